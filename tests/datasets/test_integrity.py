"""Finding everything that is wrong with records, and copying what is right."""

import collections
import dataclasses
import json
import math
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import (
  dataset_factory,
  dataset_info,
  dataset_utils,
  extraction,
  image_folder,
  integrity,
  record_files,
  record_sets,
  records,
  repair,
  shards,
  sound_records,
  survey,
  survey_sources,
  verification,
)
from slimcompat import errors, tf
from tests.datasets import damage


def payloads_of(path):
  return [frame.payload for frame in record_files.read_frames(str(path))]


@pytest.mark.parametrize('num_shards', [65, pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_shards_are_found_and_repaired(tmp_path, num_shards):
  paths = damage.make_shards(tmp_path / 'pets', num_shards)
  assert len(paths) == num_shards
  record_set = record_sets.find(str(tmp_path / 'pets'))
  assert integrity.verify(record_set).problems == []
  damaged = damage.damage_all(paths)

  findings = integrity.verify(record_set)
  numbers = collections.defaultdict(list)
  for problem in findings.problems:
    assert problem.path in str(problem)
    numbers[problem.path].append(problem.number)
    if problem.number is not None:
      assert f'Record {problem.number} (counted from 0) of {problem.path}' in str(problem)
  for shard in damaged:
    named = [number for number in numbers[shard.path] if number is not None]
    assert numbers[shard.path], shard
    assert named == shard.numbers, shard
    assert findings.num_records[shard.path] == len(shard.kept), shard

  # Training names the first bad record, or leaves out all of them and no others: also those whose
  # length is damaged, which a repair restores.
  damaged_set = dataset_factory.get_dataset('image_folder', 'train', str(tmp_path / 'pets'))
  first = verification.find_bad_record(damaged_set, damaged_set.num_classes, 0)
  assert damaged[0].path in first
  found = sound_records.find(damaged_set, damaged_set.num_classes)
  assert {path: contents.num_records for path, contents in found.items()} == {
    shard.path: len(shard.kept) - (shard.kind in ('flip in the length', 'flip in its CRC'))
    for shard in damaged
  }
  assert all(contents.bad for contents in found.values())

  repaired = repair.repair(record_set, str(tmp_path / 'clean'))
  for shard in damaged:
    copy = tmp_path / 'clean' / os.path.basename(shard.path)
    assert (payloads_of(copy) if shard.kept else copy.exists()) == (shard.kept or False), shard
  clean = record_sets.find(str(tmp_path / 'clean'))
  assert integrity.verify(clean).problems == []
  assert clean.info.splits['train'].num_examples == sum(len(shard.kept) for shard in damaged)
  assert repaired.num_kept == sum(split.num_examples for split in clean.info.splits.values())
  dataset = dataset_factory.get_dataset('image_folder', 'train', str(tmp_path / 'clean'))
  assert sum(verification.check_records(dataset).values()) == dataset.num_samples


@pytest.fixture
def converted(tmp_path, image_dir):
  """The folder of `image_dir` as records, two shards a split."""
  image_folder.convert(str(image_dir), str(tmp_path / 'pets'), 'pets', num_shards=2)
  return tmp_path / 'pets'


def shards_of(folder):
  return sorted(folder.glob('*.tfrecord'))


def sentences(folder, **options):
  findings = integrity.verify(record_sets.find(str(folder), **options))
  return [str(problem).replace(str(folder), 'DIR') for problem in findings.problems]


def test_a_sound_set(converted):
  record_set = record_sets.find(str(converted))
  findings = integrity.verify(record_set)
  assert findings.problems == []
  assert sum(findings.num_records.values()) == 18
  assert integrity.report(record_set, findings).splitlines() == [
    'train: 15 good records in 2 files.',
    'validation: 3 good records in 2 files.',
    f'All records of {converted} are good.',
  ]


def test_files_missing_unlisted_and_of_another_size(converted):
  first, second, *_ = shards_of(converted)
  number = len(payloads_of(first))
  first.unlink()
  shutil.copy(second, converted / 'pets_train_copy.tfrecord')
  (converted / 'pets_validation_folder.tfrecord').mkdir()
  found = sentences(converted)
  assert found[:1] == [f'DIR/{first.name} is missing, with {number} records.']
  assert any('pets_train_copy.tfrecord is not listed in dataset_info.json' in s for s in found)
  assert any('folder.tfrecord is no file of records but a directory' in s for s in found)
  assert len(found) == 3


def test_a_shard_missing_beside_others_of_slim(tmp_path, pictures):
  for number in (0, 2):
    name = f'flowers_train_0000{number}-of-00003.tfrecord'
    pictures.write_records(tmp_path / name, [0, 4])
  assert sentences(tmp_path, name='flowers') == [
    'DIR/flowers_train_00001-of-00003.tfrecord is missing, although'
    ' flowers_train_00000-of-00003.tfrecord is there.'
  ]


def test_contents_that_cannot_be_trained_with(tmp_path, pictures):
  path = tmp_path / 'mnist_train.tfrecord'
  pictures.write_records(path, [3, 10, 4, -1, 5, 6, 7], size=(28, 28), channels=1)
  payloads = payloads_of(path)
  example = tf.train.Example.FromString(payloads[2])
  image = example.features.feature['image/encoded'].bytes_list
  image.value[0] = image.value[0][:-20]
  payloads[2] = example.SerializeToString()
  payloads[4] = b'no protocol buffer'
  del example.features.feature['image/class/label']
  payloads[5] = example.SerializeToString()
  with tf.io.TFRecordWriter(str(path)) as writer:
    for payload in payloads:
      writer.write(payload)
  found = sentences(tmp_path, name='mnist')
  assert [sentence.split(' of DIR')[0] for sentence in found] == [
    f'Record {number} (counted from 0)' for number in (1, 2, 3, 4, 5)
  ]
  assert 'has the label 10, but labels run from 0 to 9.' in found[0]
  assert 'cannot be read' in found[1]
  assert 'has the label -1' in found[2]
  assert 'image/class/label' in found[4]
  record_set = record_sets.find(str(tmp_path), 'mnist')
  assert repair.repair(record_set, str(tmp_path / 'clean')).num_kept == 2
  assert payloads_of(tmp_path / 'clean' / 'mnist_train.tfrecord') == [payloads[0], payloads[6]]
  assert os.listdir(tmp_path / 'clean') == ['mnist_train.tfrecord']


@pytest.mark.parametrize(
  ('task', 'good', 'bad', 'complaint'),
  [
    ('multi_label', [(0, 2), (), (1,)], [(0, 3)], 'has the label 3, but labels run from 0 to 2'),
    ('regression', [(0.5, 1.0, 2.0)], [(1.0, 2.0)], 'cannot be read: Key: image/targets'),
    (
      'regression',
      [(0.5, 1.0, 2.0)],
      [(1.0, 2.0, math.nan)],
      'a target that is no finite number, at place 2',
    ),
  ],
)
def test_other_tasks(tmp_path, pictures, task, good, bad, complaint):
  data = pictures.encode(pictures.make_pixels(6, 5, 3))
  labels = [*good, *bad]
  examples = [shards.EncodedExample(data, 'png', 6, 5, 3, label) for label in labels]
  train = shards.Examples(len(examples), lambda first, end: examples[first:end])
  splits = {'train': train}
  info = shards.write(str(tmp_path / 'data'), 'my', ['a', 'b', 'c', 'd'], splits, 1, task)
  # The last of the classes is struck off.
  train = info.splits['train']
  train = dataclasses.replace(train, class_counts=train.class_counts[:3])
  info = dataclasses.replace(info, class_names=('a', 'b', 'c'), splits={'train': train})
  dataset_info.write(info, str(tmp_path / 'data'))
  sentence, _ = sentences(tmp_path / 'data')
  assert f'Record {len(good)} (counted' in sentence
  assert complaint in sentence
  record_set = record_sets.find(str(tmp_path / 'data'))
  assert repair.repair(record_set, str(tmp_path / 'clean')).num_kept == len(good)
  assert extraction.extract(record_set, str(tmp_path / 'out')) == len(labels)
  info = dataset_info.read(str(tmp_path / 'clean'))
  assert info.task == task
  assert info.splits['train'].class_counts == ((1, 1, 1) if task == 'multi_label' else ())


def test_nothing_is_replaced(converted, tmp_path):
  record_set = record_sets.find(str(converted))
  before = {path: path.read_bytes() for path in converted.iterdir()}
  for output_dir in (None, str(converted)):
    with pytest.raises(errors.InputError, match='output_dir'):
      repair.repair(record_set, output_dir)
  assert {path: path.read_bytes() for path in converted.iterdir()} == before


def test_nothing_left_to_keep(converted, tmp_path):
  for path in shards_of(converted):
    path.write_text('<html>')
  with pytest.raises(errors.InputError, match='has no good record'):
    repair.repair(record_sets.find(str(converted)), str(tmp_path / 'clean'))
  assert os.listdir(tmp_path / 'clean') == []


def test_a_repaired_set_counts_its_classes(converted, tmp_path):
  first = shards_of(converted)[0]
  first.write_bytes(first.read_bytes()[:-1])
  repair.repair(record_sets.find(str(converted)), str(tmp_path / 'clean'))
  info = dataset_info.read(str(tmp_path / 'clean'))
  assert sum(info.splits['train'].class_counts) == info.splits['train'].num_examples == 14
  assert (tmp_path / 'clean' / 'labels.txt').read_text() == (converted / 'labels.txt').read_text()
  assert not list((tmp_path / 'clean').glob('.*'))


@pytest.mark.parametrize(
  ('folder', 'options', 'words'),
  [
    ('nowhere', {}, '--dataset_name'),
    ('nowhere', {'name': 'mnist'}, 'there is no directory'),
    ('pets', {'split_name': 'tset'}, 'train'),
    ('pets', {'name': 'no_such'}, 'Known'),
  ],
)
def test_sets_that_are_not_there(converted, folder, options, words):
  with pytest.raises(errors.InputError, match=words):
    record_sets.find(str(converted.parent / folder), **options)


def test_records_with_keys_and_pixels_of_their_own(tmp_path):
  """As `img_raw` and `label` of many tutorials, compressed."""
  rng = np.random.RandomState(0)
  pictures = rng.randint(0, 256, (6, 4, 5, 3), np.uint8)
  path = str(tmp_path / 'my_train.tfrecord')
  with tf.io.TFRecordWriter(path, 'GZIP') as writer:
    for label, picture in enumerate(pictures):
      features = {
        'img_raw': dataset_utils.bytes_feature(picture.tobytes()),
        'label': dataset_utils.int64_feature(label),
      }
      example = tf.train.Example(features=tf.train.Features(feature=features))
      writer.write(example.SerializeToString())
  layout = records.RecordSettings(
    num_classes=5,
    record_image_key='img_raw',
    record_label_key='label',
    record_image_shape='4,5,3',
  )
  record_set = record_sets.find(str(tmp_path), 'tfrecord', 'train', layout)
  (problem,) = integrity.verify(record_set).problems
  assert 'Record 5' in str(problem)
  assert 'has the label 5' in str(problem)
  extraction.extract(record_set, str(tmp_path / 'out'))
  for label, picture in enumerate(pictures):
    with Image.open(tmp_path / 'out' / str(label) / f'train_{label}_00000{label}.png') as image:
      np.testing.assert_array_equal(np.asarray(image), picture)
  found = survey.make(survey_sources.read_records(record_set))
  assert [entry.classes for entry in found.entries] == [(str(label),) for label in range(6)]
  assert (found.measures[0].width, found.measures[0].height) == (5, 4)
  repair.repair(record_set, str(tmp_path / 'clean'))
  clean = record_sets.find(str(tmp_path / 'clean'), 'tfrecord', 'train', layout)
  assert integrity.verify(clean).problems == []


def test_the_set_that_comes_with_the_package():
  record_set = record_sets.find(None, 'digits')
  assert sum(integrity.verify(record_set).num_records.values()) == 1797


def test_all_images_are_extracted_as_they_were(converted, image_dir, tmp_path):
  record_set = record_sets.find(str(converted))
  assert extraction.extract(record_set, str(tmp_path / 'out')) == 18
  for class_name in ('cat', 'dog', 'emu'):
    before = sorted(path.read_bytes() for path in (image_dir / class_name).iterdir())
    extracted = sorted((tmp_path / 'out' / class_name).iterdir())
    assert sorted(path.read_bytes() for path in extracted) == before
  assert pathlib.Path(tmp_path / 'out' / 'emu').exists()
  names = {path.suffix for path in (tmp_path / 'out' / 'dog').iterdir()}
  assert names == {'.png'}
  with pytest.raises(errors.InputError, match='is there already'):
    extraction.extract(record_set, str(tmp_path / 'out'))


def test_some_images_are_extracted(converted, tmp_path):
  record_set = record_sets.find(str(converted))
  assert extraction.extract(record_set, str(tmp_path / 'out'), 2) == 4
  names = sorted(path.name for path in (tmp_path / 'out').rglob('*.*'))
  assert [name.split('_')[0] for name in names] == ['train'] * 2 + ['validation'] * 2
  assert {name.rsplit('_')[-1][:6] for name in names} == {'000000', '000001'}


def test_class_names_lead_nowhere(converted, tmp_path):
  info = json.loads((converted / 'dataset_info.json').read_text())
  (converted / 'labels.txt').write_text('0:../../evil\n1:..\n2:/etc/x\n')
  assert info['class_names'][0] == 'cat'
  extraction.extract(record_sets.find(str(converted)), str(tmp_path / 'a' / 'out'))
  assert sorted(os.listdir(tmp_path / 'a')) == ['out']
  assert sorted(os.listdir(tmp_path / 'a' / 'out')) == ['_.._evil', '_etc_x', 'unnamed']
