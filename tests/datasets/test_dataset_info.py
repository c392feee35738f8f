"""dataset_info.json says all of it, is written whole or not at all, and is not trusted blindly."""

import json
import os

import pytest

from datasets import dataset_info
from slimcompat import errors

INFO = dataset_info.DatasetInfo(
  name='birds',
  class_names=('Elster', 'Käuzchen'),
  channels=3,
  image_formats=('jpeg', 'png'),
  keys=('image/class/label', 'image/encoded'),
  splits={
    'train': dataset_info.Split(
      (dataset_info.Shard('a.tfrecord', 2, 100), dataset_info.Shard('b.tfrecord', 1, 50)), (1, 2)
    ),
    'test': dataset_info.Split((dataset_info.Shard('c.tfrecord', 1, 70),), (0, 1)),
  },
)


def test_reads_what_it_wrote(tmp_path):
  dataset_info.write(INFO, str(tmp_path))
  assert dataset_info.read(str(tmp_path)) == INFO
  assert INFO.num_classes == 2
  assert INFO.splits['train'].num_examples == 3


def test_no_file(tmp_path):
  assert dataset_info.read(str(tmp_path)) is None
  assert dataset_info.read(str(tmp_path / 'none')) is None


def test_a_failed_write_leaves_the_old_one(tmp_path, monkeypatch):
  dataset_info.write(INFO, str(tmp_path))

  def fail(*unused):
    raise OSError('no space left')

  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(OSError, match='no space left'):
    dataset_info.write(INFO, str(tmp_path))
  assert os.listdir(tmp_path) == ['dataset_info.json']
  assert dataset_info.read(str(tmp_path)) == INFO


def test_others_may_read_it(tmp_path):
  dataset_info.write(INFO, str(tmp_path))
  (tmp_path / 'plain').write_text('')
  modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
  assert modes['dataset_info.json'] == modes['plain']


# What is changed in the file, and what is said of it.
DAMAGES = {
  'half': (lambda content: None, 'it is not JSON'),
  'a list': (lambda content: [content], 'not of the type dict'),
  'no name': (lambda content: content.pop('name') and content, "it lacks 'name'"),
  'another version': (
    lambda content: {**content, 'format_version': 7},
    'format_version is 7, not 1',
  ),
  'channels': (lambda content: {**content, 'channels': 4}, 'channels is 4'),
  'task': (lambda content: {**content, 'task': 'detection'}, "the task 'detection' is none of"),
  'class names': (
    lambda content: {**content, 'class_names': 'ab'},
    'class_names is "ab", not of the type list',
  ),
  'splits': (lambda content: {**content, 'splits': []}, r'splits is \[\], not of the type dict'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_file(damage, tmp_path):
  change, reason = DAMAGES[damage]
  dataset_info.write(INFO, str(tmp_path))
  path = tmp_path / 'dataset_info.json'
  content = change(json.loads(path.read_text()))
  path.write_text(json.dumps(content) if content else path.read_text()[:60])
  with pytest.raises(errors.InputError, match=rf'{path} is damaged \(.*{reason}'):
    dataset_info.read(str(tmp_path))


@pytest.mark.parametrize(
  ('field', 'value', 'reason'),
  [
    ('num_records', 3, 'the counts of the split test do not add up'),
    ('num_records', '1', 'num_records is "1", not of the type int'),
    ('file_name', '../../etc/passwd', 'is not the name of a file in this directory'),
    ('file_name', '/etc/passwd', 'is not the name of a file in this directory'),
  ],
)
def test_damaged_shard(field, value, reason, tmp_path):
  dataset_info.write(INFO, str(tmp_path))
  path = tmp_path / 'dataset_info.json'
  content = json.loads(path.read_text())
  content['splits']['test']['shards'][0][field] = value
  path.write_text(json.dumps(content))
  with pytest.raises(errors.InputError, match=f'is damaged .*{reason}'):
    dataset_info.read(str(tmp_path))


# As other programs write a file of this name, and what is left of it.
OTHERS = {
  'TensorFlow Datasets': '{"citation": "@misc{a}", "fileFormat": "tfrecord", "name": "shapes",'
  ' "splits": [{"name": "train", "shardLengths": ["5"]}], "version": "1.0.0"}',
  'Hugging Face': '{"builder_name": "imagefolder", "features": {"label": {"names": ["a", "b"],'
  ' "_type": "ClassLabel"}}, "splits": {"train": {"name": "train", "num_bytes": 5}}}',
  'Hugging Face, of several': '{"default": {"dataset_name": "x", "splits": {}}}',
  'with a byte order mark': '\ufeff{"name": "shapes", "version": "1.0.0"}',
  'cut': '{"citation": "@misc{a}", "fileFor',
  'names of classes': '{"class_names": ["a", "b"], "version": 2}',
}


@pytest.mark.parametrize('program', OTHERS)
def test_file_of_another_program(program, tmp_path):
  path = tmp_path / 'dataset_info.json'
  path.write_text(OTHERS[program], encoding='utf-8')
  assert dataset_info.is_of_others(str(tmp_path))
  assert dataset_info.read(str(tmp_path)) is None
  with pytest.raises(errors.InputError, match='written by another program'):
    dataset_info.check_not_of_others(str(tmp_path))


@pytest.mark.parametrize('num_bytes', [0, 1, 5, 12, 20, 60, 200, -2])
def test_own_file_cut_is_damaged(num_bytes, tmp_path):
  dataset_info.write(INFO, str(tmp_path))
  path = tmp_path / 'dataset_info.json'
  path.write_bytes(path.read_bytes()[:num_bytes])
  assert not dataset_info.is_of_others(str(tmp_path))
  with pytest.raises(errors.InputError, match='is damaged'):
    dataset_info.read(str(tmp_path))


@pytest.mark.parametrize('content', [b'\0' * 300, b'null', b'{}', b'[]', b'\xff\xfe'])
def test_content_of_no_program_is_damage(content, tmp_path):
  (tmp_path / 'dataset_info.json').write_bytes(content)
  with pytest.raises(errors.InputError, match='is damaged'):
    dataset_info.read(str(tmp_path))
