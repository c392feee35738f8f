"""Class names are understood in the forms of other programs, or refused with a sentence."""

import os

import pytest

from datasets import dataset_factory, dataset_utils, label_files, records
from slimcompat import errors

TWO = {0: 'daisy', 1: 'rose'}
FROM_ONE = {1: 'daisy', 2: 'rose'}
FORMS = {
  'label:name': (b'0:daisy\n1:rose\n', TWO),
  'label: name': (b'0: daisy\n1: rose\n', TWO),
  'label:name out of order': (b'1:rose\n0:daisy\n', TWO),
  'label:name of names with colons': (b'0:a:b\n1:1:2\n', {0: 'a:b', 1: '1:2'}),
  'label:name with spaces of its own': (b'0: a \n1:b\n', {0: ' a ', 1: 'b'}),
  'names': (b'daisy\nrose\n', TWO),
  'names without a last line break': (b'daisy\nrose', TWO),
  'names with empty lines': (b'\ndaisy\n\nrose\n\n\n', TWO),
  'names of numbers': (b'0\n1\n', {0: '0', 1: '1'}),
  'names with numbers': (b'3 musketeers\n12 monkeys\n', {0: '3 musketeers', 1: '12 monkeys'}),
  'names that are numbered': (b'class 1\nclass 2\n', {0: 'class 1', 1: 'class 2'}),
  'names with commas': (
    b'tench, Tinca tinca\ngoldfish\n',
    {0: 'tench, Tinca tinca', 1: 'goldfish'},
  ),
  'byte order mark': (b'\xef\xbb\xbfdaisy\nrose\n', TWO),
  'byte order mark before a label': (b'\xef\xbb\xbf0:daisy\n1:rose\n', TWO),
  'Windows': (b'daisy\r\nrose\r\n', TWO),
  'old Mac': (b'0:daisy\r1:rose\r', TWO),
  'UTF-16': ('0:Gänseblümchen\r\n1:rose'.encode('utf-16'), {0: 'Gänseblümchen', 1: 'rose'}),
  'UTF-16, big end first': (b'\xfe\xff' + 'daisy\nrose'.encode('utf-16-be'), TWO),
  'space': (b'0 daisy\n1 rose\n', TWO),
  'tab': (b'0\tdaisy\n1\trose\n', TWO),
  'from 1': (b'1 daisy\n2 rose\n', FROM_ONE),
  'name first': (b'daisy 0\nrose 1\n', TWO),
  'CSV': (b'0,daisy\n1,"rose"\n', TWO),
  'CSV with a header': (b'name,label\ndaisy,1\nrose,2\n', FROM_ONE),
  'label map': (
    b"item {\n  id: 1\n  name: 'daisy'\n}\nitem {\n  id: 2\n  name: 'rose'\n}\n",
    FROM_ONE,
  ),
  'label map in a line': (
    b'# Flowers.\nitem { name: "/m/1" id: 1 display_name: "daisy" } item {id: 2, name: "rose"}',
    FROM_ONE,
  ),
  'label map with quotes': (b'item { id: 1 name: "rose \\"}\\" {" }', {1: 'rose "}" {'}),
  'JSON': (b'{"0": "daisy", "1": "rose"}', TWO),
  'JSON with synsets': (b'{"0": ["n1", "daisy"], "1": ["n2", "rose"]}', TWO),
  'JSON by name': (b'{"daisy": 0, "rose": 1}', TWO),
  'JSON list': (b'\xef\xbb\xbf["daisy", "rose"]', TWO),
  'empty': (b'\n', {}),
}


@pytest.mark.parametrize('form', FORMS)
def test_form(form, tmp_path):
  content, names = FORMS[form]
  (tmp_path / 'labels.txt').write_bytes(content)
  assert dataset_utils.read_label_file(str(tmp_path)) == names


# What is in a file, and what is said of it.
REFUSED = {
  'mixed': (b'0:daisy\nrose\n', "Line 2 of .* is 'rose'; other lines are a label and a name"),
  'a label twice': (
    b'0:daisy\n0:evil\n',
    "Line 2 of .* names the label 0 'evil', which is 'daisy'",
  ),
  'Latin-1': (b'0:a\n1:Gr\xfcn\n', 'Line 2 of .* is not UTF-8. Save the file as UTF-8'),
  'UTF-16 without a mark': ('daisy\n'.encode('utf-16-le'), 'Save the file as UTF-8'),
  'half a UTF-16 letter': (b'\xff\xfed\x00a', 'is not UTF-16'),
  'escape codes': (b'0:a\x1b[31m\n', r'Line 1 of .* contains \\x1b'),
  'no name': (b'0:a\n1: \n', 'Line 2 of .* visible character'),
  'label map without a number': (b"item { name: 'a' }", 'The item after line 1 of .* label map'),
  'label map and more': (
    b"item { id: 1 name: 'a' }\nmore",
    'The item after line 2 of .* label map',
  ),
  'cut label map': (
    b"item { id: 1 name: 'a' }\nitem { id: 2 na",
    'The item after line .* label map',
  ),
  'cut JSON': (b'{"0": "daisy", "1', 'is not JSON of class names'),
  'JSON of something else': (b'{"name": "x", "version": [1]}', 'is not JSON of class names'),
  'a label out of reach': (b'4000000000:a\n', 'names the label 4000000000; labels go up to'),
}


@pytest.mark.parametrize('fault', REFUSED)
def test_refused(fault, tmp_path):
  content, sentence = REFUSED[fault]
  path = tmp_path / 'labels.txt'
  path.write_bytes(content)
  with pytest.raises(errors.InputError, match=sentence):
    label_files.read(str(path))


@pytest.mark.parametrize('kind', ['pipe', 'directory', 'missing', 'large'])
def test_no_file(kind, tmp_path):
  path = tmp_path / 'labels.txt'
  if kind == 'pipe':
    os.mkfifo(path)
  elif kind == 'directory':
    path.mkdir()
  elif kind == 'large':
    path.touch()
    os.truncate(path, 1 << 30)
  with pytest.raises(errors.InputError, match=r'The class names in .*labels\.txt cannot be read: '):
    label_files.read(str(path))


@pytest.mark.parametrize(
  ('files', 'key', 'names'),
  [
    ({'labels.txt': b'a\nb\n', 'label.labels.txt': b'c\nd\n'}, 'label', {0: 'a', 1: 'b'}),
    ({'label.labels.txt': b'a\nb\nc\n'}, None, {0: 'a', 1: 'b', 2: 'c'}),
    ({'fine.labels.txt': b'a\nb\n', 'coarse.labels.txt': b'c\nd\n'}, 'coarse', {0: 'c', 1: 'd'}),
  ],
  ids=['own first', 'only one', 'of the key'],
)
def test_names_beside_records(files, key, names, tmp_path, pictures):
  pictures.write_records(tmp_path / 'train', [0, 1])
  for name, content in files.items():
    (tmp_path / name).write_bytes(content)
  settings = records.RecordSettings(record_label_key=key)
  dataset = dataset_factory.get_dataset('tfrecord', 'train', str(tmp_path), settings=settings)
  assert (dataset.labels_to_names, dataset.num_classes) == (names, len(names))


def test_several_names_beside_records_are_not_chosen_from(tmp_path):
  for name in ('fine.labels.txt', 'coarse.labels.txt'):
    (tmp_path / name).write_bytes(b'a\nb\n')
  with pytest.raises(errors.InputError, match='Give --num_classes'):
    dataset_factory.get_dataset('tfrecord', 'train', str(tmp_path))
