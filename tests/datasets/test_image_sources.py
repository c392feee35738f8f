"""Where images come from, and what they are labelled with."""

import json
import re

import pytest

from datasets import image_sources
from slimcompat import errors


def write_list(tmp_path, name, text):
  path = tmp_path / name
  path.write_text(text, encoding='utf-8')
  return str(path)


def labels_by_name(source):
  return {file.name: file.label for files in source.splits.values() for file in files}


# The text, the task, the names by label, and the label of each image.
LISTS = {
  'a.csv': ('a.jpg,dog\nb/c.png,cat\n', 'single_label', ('cat', 'dog'), {'a.jpg': 1, 'b/c.png': 0}),
  'header.csv': (
    'path,label\na.jpg,"big, dog"\nb.jpg,cat\n\n',
    'single_label',
    ('big, dog', 'cat'),
    {'a.jpg': 0, 'b.jpg': 1},
  ),
  'numbers.csv': (
    'a.jpg,10\nb.jpg,9\nc.jpg,0\n',
    'single_label',
    ('0', '9', '10'),
    {'a.jpg': 2, 'b.jpg': 1, 'c.jpg': 0},
  ),
  'bom.csv': (
    '\ufeffpath,label\r\na.jpg,x\r\nb.jpg,y\r\n',
    'single_label',
    ('x', 'y'),
    {'a.jpg': 0, 'b.jpg': 1},
  ),
  'several.csv': (
    'a.jpg,x;z\nb.jpg,\nc.jpg,z; y;z\n',
    'multi_label',
    ('x', 'y', 'z'),
    {'a.jpg': (0, 2), 'b.jpg': (), 'c.jpg': (1, 2)},
  ),
  'targets.csv': (
    'image,left,top\na.jpg,1,-2.5\nb.jpg,1e3,0\n',
    'regression',
    ('left', 'top'),
    {'a.jpg': (1.0, -2.5), 'b.jpg': (1000.0, 0.0)},
  ),
  'one target.csv': (
    'a.jpg,1\nb.jpg,2\n',
    'regression',
    ('target_0',),
    {'a.jpg': (1.0,), 'b.jpg': (2.0,)},
  ),
  'a.jsonl': (
    '{"path": "a.jpg", "label": "dog"}\n{"path": "b.jpg", "class": 3}\n',
    'single_label',
    ('3', 'dog'),
    {'a.jpg': 1, 'b.jpg': 0},
  ),
  'several.jsonl': (
    '{"path": "a.jpg", "labels": ["x", "y"]}\n{"path": "b.jpg", "labels": []}\n',
    'multi_label',
    ('x', 'y'),
    {'a.jpg': (0, 1), 'b.jpg': ()},
  ),
  'targets.jsonl': (
    '{"path": "a.jpg", "targets": [1, 2.5]}\n{"path": "b.jpg", "targets": [0, 0]}\n',
    'regression',
    ('target_0', 'target_1'),
    {'a.jpg': (1.0, 2.5), 'b.jpg': (0.0, 0.0)},
  ),
}


@pytest.mark.parametrize('name', LISTS)
def test_list(tmp_path, name):
  text, task, class_names, expected = LISTS[name]
  source = image_sources.read_list(write_list(tmp_path, name, text), task)
  assert source.task == task
  assert source.class_names == class_names
  assert labels_by_name(source) == expected
  for files in source.splits.values():
    assert all(file.path == str(tmp_path / file.name) for file in files)


@pytest.mark.parametrize('kind', ['csv', 'jsonl'])
def test_splits_of_a_list(tmp_path, kind):
  rows = [
    ('a.jpg', 'x', 'train'),
    ('b.jpg', 'y', 'val'),
    ('c.jpg', 'x', 'TEST'),
    ('d.jpg', 'y', 'eval'),
  ]
  if kind == 'csv':
    text = 'path,split,label\n' + '\n'.join(
      f'{path},{split},{label}' for path, label, split in rows
    )
  else:
    keys = ('path', 'label', 'split')
    text = '\n'.join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows)
  source = image_sources.read_list(write_list(tmp_path, f'a.{kind}', text))
  names = {split: sorted(file.name for file in files) for split, files in source.splits.items()}
  assert names == {'train': ['a.jpg'], 'validation': ['b.jpg', 'd.jpg'], 'test': ['c.jpg']}
  assert list(source.splits) == ['train', 'validation', 'test']


def test_a_list_is_divided_within_each_class(tmp_path):
  text = ''.join(f'{number}.jpg,{number % 3}\n' for number in range(90))
  path = write_list(tmp_path, 'a.csv', text)
  source = image_sources.read_list(path, validation_fraction=0.2)
  labels = [file.label for file in source.splits['validation']]
  assert {label: labels.count(label) for label in range(3)} == {0: 6, 1: 6, 2: 6}
  assert image_sources.read_list(path, validation_fraction=0.2) == source
  assert image_sources.read_list(path, validation_fraction=0.2, seed=1) != source


BAD_LISTS = {
  'a.csv': ('a.jpg\n', 'single_label', "Line 1 of .* is 'a.jpg'; it must be a path and a label"),
  'b.csv': ('path,label\na.jpg,x\nb.jpg,x,y\n', 'single_label', 'Line 3 .*--task_type=multi_label'),
  'c.csv': (
    'a.jpg,1\nb.jpg,one\n',
    'regression',
    "Line 2 .* is 'b.jpg,one'; it must be .* numbers",
  ),
  'd.csv': ('a.jpg,1\nb.jpg,nan\n', 'regression', 'Line 2 '),
  'e.csv': ('a.jpg,1\nb.jpg,1,2\n', 'regression', 'Line 2 of .* has 2 numbers, but line 1 has 1'),
  'f.csv': ('', 'single_label', 'names no image'),
  'g.csv': ('path,label\n', 'single_label', 'names no image'),
  'h.csv': ('a.jpg,x\nb.jpg,x\n', 'single_label', "only the label 'x'"),
  'i.csv': ('path,split,label\na.jpg,holdout,x\n', 'single_label', "has the split 'holdout'"),
  'j.jsonl': ('{"path": "a.jpg"}\n', 'single_label', 'Line 1 .* must be a JSON object'),
  'k.jsonl': ('[1]\n', 'single_label', 'Line 1 '),
  'l.jsonl': ('{"path": "a.jpg", "label": "x"\n', 'single_label', 'Line 1 '),
}


@pytest.mark.parametrize('name', BAD_LISTS)
def test_bad_list(tmp_path, name):
  text, task, sentence = BAD_LISTS[name]
  with pytest.raises(errors.InputError, match=sentence):
    image_sources.read_list(write_list(tmp_path, name, text), task)


def test_unreadable_lists(tmp_path):
  with pytest.raises(errors.InputError, match='cannot be read'):
    image_sources.read_list(str(tmp_path / 'none.csv'))
  (tmp_path / 'latin.csv').write_bytes('a.jpg,Käuzchen\n'.encode('latin-1'))
  with pytest.raises(errors.InputError, match='in UTF-8'):
    image_sources.read_list(str(tmp_path / 'latin.csv'))


@pytest.fixture
def split_dir(tmp_path):
  """A folder of folders per split, in whose validation one class is missing."""
  for name in ('Train/cat/1.jpg', 'Train/dog/2.jpg', 'val/dog/3.jpg', 'test/emu/4.jpg'):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.touch()
  return tmp_path


def test_folders_per_split(split_dir):
  source = image_sources.read_folder(str(split_dir))
  assert source.class_names == ('cat', 'dog', 'emu')
  assert {
    split: [(f.name, f.label) for f in sorted(files)] for split, files in source.splits.items()
  } == {
    'train': [('Train/cat/1.jpg', 0), ('Train/dog/2.jpg', 1)],
    'validation': [('val/dog/3.jpg', 1)],
    'test': [('test/emu/4.jpg', 2)],
  }
  assert image_sources.list_ignored(str(split_dir)) == []


def test_folders_of_one_split_twice(split_dir):
  (split_dir / 'valid' / 'cat').mkdir(parents=True)
  with pytest.raises(errors.InputError, match=re.escape('Train, test, val, valid')):
    image_sources.read_folder(str(split_dir))


def test_an_empty_split(split_dir):
  (split_dir / 'val' / 'dog' / '3.jpg').unlink()
  with pytest.raises(errors.InputError, match='val has no images in folders of classes'):
    image_sources.read_folder(str(split_dir))
