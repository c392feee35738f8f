"""Converting what is there already: nothing is done, or a sentence says what is different."""

import dataclasses
import os
import re
import shutil

import pytest

from datasets import (
  conversion,
  dataset_info,
  dataset_utils,
  finished,
  finished_known,
  image_files,
  record_sets,
  repair,
)
from slimcompat import errors

Settings = conversion.ConversionSettings
TRAIN, VALIDATION = 30, 10


@pytest.fixture
def known(monkeypatch):
  """known(name, **sizes): gives a known dataset other sizes, so that it fits in a test."""

  def change(name, **sizes):
    rows = conversion.dataset_factory.DATASETS._rows
    monkeypatch.setitem(rows, name, dataclasses.replace(rows[name], split_sizes=sizes))

  return change


def state(folder):
  return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir()}


def settings_of(image_dir, out, **changes):
  return Settings(image_dir=str(image_dir), dataset_dir=str(out), **changes)


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'num_shards': 2, 'validation_fraction': 0.5, 'seed': 3},
    {'images': image_files.ImageSettings(resize_shorter_side=4)},
    {'resume': True},
    {'dataset_name': 'flowers'},
    {'dataset_name': 'image_folder'},
  ],
  ids=str,
)
def test_the_same_again(changes, image_dir, tmp_path):
  out = tmp_path / 'out'
  settings = settings_of(image_dir, out, **changes)
  info, was_there = conversion.find_or_convert(settings)
  assert not was_there
  before = state(out)
  # How it is done does not matter.
  for again in (settings, dataclasses.replace(settings, num_workers=1, resume=True)):
    assert conversion.find_or_convert(again) == (info, True)
  assert conversion.convert(settings) == info
  assert state(out) == before


def add(image_dir):
  shutil.copy(image_dir / 'cat' / '0.jpeg', image_dir / 'cat' / 'new.jpeg')


def edit(image_dir):
  with open(image_dir / 'cat' / '0.jpeg', 'ab') as file:
    file.write(b'\0')


CHANGES = {
  'one more': (add, {}, 'was made of 18, and there are 19 now'),
  'one less': (lambda folder: os.unlink(folder / 'cat' / '0.jpeg'), {}, 'of 18, and there are 17'),
  'another content': (edit, {}, 'its images have changed since'),
  'another time': (lambda folder: os.utime(folder / 'cat' / '0.jpeg', (5, 5)), {}, 'have changed'),
  'another name': (
    lambda folder: os.rename(folder / 'cat' / '0.jpeg', folder / 'cat' / 'x.jpeg'),
    {},
    'have changed',
  ),
  'another class': (
    lambda folder: os.rename(folder / 'cat' / '0.jpeg', folder / 'dog' / '0.jpeg'),
    {},
    'have changed',
  ),
  'renamed class': (lambda folder: os.rename(folder / 'cat', folder / 'cats'), {}, 'have changed'),
  'shards': (None, {'num_shards': 2}, 'converted with --num_shards=5, not 2'),
  'seed': (None, {'seed': 1}, r'divided in another way \(by --validation_fraction, --seed'),
  'fraction': (None, {'validation_fraction': 0.5}, 'divided in another way'),
  'size': (
    None,
    {'images': image_files.ImageSettings(resize_shorter_side=4)},
    'with --resize_shorter_side=None, not 4',
  ),
  'format': (
    None,
    {'images': image_files.ImageSettings(image_format='png')},
    'with --image_format=None, not png',
  ),
}


@pytest.mark.parametrize('change', CHANGES)
def test_something_else(change, image_dir, tmp_path):
  out = tmp_path / 'out'
  conversion.convert(settings_of(image_dir, out))
  before = state(out)
  alter, changes, sentence = CHANGES[change]
  if alter:
    alter(image_dir)
  expected = (
    f"{re.escape(str(out))} already holds the dataset 'my_pets', but .*{sentence}.*. Remove"
  )
  with pytest.raises(errors.InputError, match=expected):
    conversion.convert(settings_of(image_dir, out, **changes))
  assert state(out) == before


def test_a_list(image_dir, tmp_path):
  """Its splits and classes count, too."""
  image_list = tmp_path / 'list.csv'
  names = sorted(path.relative_to(tmp_path).as_posix() for path in image_dir.glob('*/*'))
  rows = [f'{name},{name.split("/")[1]}' for name in names]
  image_list.write_text('\n'.join(rows))
  settings = Settings(image_list=str(image_list), dataset_dir=str(tmp_path / 'out'))
  info = conversion.convert(settings)
  assert conversion.find_or_convert(settings) == (info, True)
  image_list.write_text('\n'.join(rows[:-1]))
  with pytest.raises(errors.InputError, match='was made of 18, and there are 17 now'):
    conversion.convert(settings)
  multi = dataclasses.replace(settings, task_type='multi_label')
  image_list.write_text('\n'.join(rows))
  with pytest.raises(errors.InputError, match='--task_type=single_label, not multi_label'):
    conversion.convert(multi)


def test_damage_is_not_whole(image_dir, tmp_path):
  out = tmp_path / 'out'
  conversion.convert(settings_of(image_dir, out))
  (out / 'my_pets_train_00001-of-00005.tfrecord').unlink()
  with pytest.raises(errors.InputError, match=r"'my_pets'\. The shard \S+00001\S+ is missing, of"):
    conversion.convert(settings_of(image_dir, out))


def test_a_directory_that_does_not_tell_what_it_was_made_of(image_dir, tmp_path):
  """As an older version left it."""
  out = tmp_path / 'out'
  info = conversion.convert(settings_of(image_dir, out))
  dataset_info.write(dataclasses.replace(info, made_of={}), str(out))
  with pytest.raises(errors.InputError, match='it does not tell of which images'):
    conversion.convert(settings_of(image_dir, out))


def test_a_repaired_copy_is_not_the_same(image_dir, tmp_path):
  conversion.convert(settings_of(image_dir, tmp_path / 'out'))
  record_set = record_sets.find(str(tmp_path / 'out'))
  repair.repair(record_set, str(tmp_path / 'clean'))
  with pytest.raises(errors.InputError, match='already holds'):
    conversion.convert(settings_of(image_dir, tmp_path / 'clean'))


def test_flags_of_later_versions_count_as_their_defaults():
  made_of = {'num_shards': '5'}
  info = dataset_info.DatasetInfo('a', ('b', 'c'), 3, (), (), {}, made_of=made_of)
  assert finished.is_finished(info, {**made_of, 'new': '0'}, {'new': '0'}, '')
  with pytest.raises(errors.InputError, match='--new=0, not 1'):
    finished.is_finished(info, {**made_of, 'new': '1'}, {'new': '0'}, '')


def test_digits(tmp_path):
  settings = Settings(dataset_name='digits', dataset_dir=str(tmp_path))
  info, was_there = conversion.find_or_convert(settings)
  assert not was_there
  assert conversion.find_or_convert(settings) == (info, True)
  next(tmp_path.glob('*_train_*')).unlink()
  assert conversion.find_or_convert(settings) == (info, False)


def write_slims(folder, pictures, name, counts, labels=5):
  """Writes {split: counts by shard} as slim's converters do, without dataset_info.json."""
  folder.mkdir(exist_ok=True)
  for split_name, by_shard in counts.items():
    for shard, count in enumerate(by_shard):
      file_name = f'{name}_{split_name}_{shard:05d}-of-{len(by_shard):05d}.tfrecord'
      if name != 'flowers':
        file_name = f'{name}_{split_name}.tfrecord'
      channels = 1 if name == 'mnist' else 3
      size = {'mnist': (28, 28), 'cifar10': (32, 32)}.get(name, (6, 5))
      pictures.write_records(
        folder / file_name, [number % labels for number in range(count)], size, channels
      )
  dataset_utils.write_label_file({label: f'class {label}' for label in range(labels)}, str(folder))


SLIMS = {
  'flowers': {'train': [6] * 5, 'validation': [2] * 5},
  'mnist': {'train': [30], 'test': [10]},
  'cifar10': {'train': [30], 'test': [10]},
}


@pytest.mark.parametrize('name', SLIMS)
def test_what_slim_made_is_whole(name, tmp_path, pictures, known, capsys):
  counts = SLIMS[name]
  sizes = {split_name: sum(by_shard) for split_name, by_shard in counts.items()}
  known(name, **sizes)
  out = tmp_path / 'out'
  write_slims(out, pictures, name, counts, labels=5 if name == 'flowers' else 10)
  before = state(out)
  # A server that does not answer: nothing is fetched.
  settings = Settings(dataset_name=name, dataset_dir=str(out), mirror='http://127.0.0.1:9/')
  info, was_there = conversion.find_or_convert(settings)
  assert was_there
  assert {split_name: split.num_examples for split_name, split in info.splits.items()} == sizes
  assert f'holds {name}: 30 images for train in' in conversion.report(info, settings)
  assert state(out) == before
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('name', ['mnist', 'cifar10'])
def test_too_few_of_slims_records(name, tmp_path, pictures, known):
  known(name, train=31, test=10)
  out = tmp_path / 'out'
  write_slims(out, pictures, name, SLIMS[name], labels=10)
  before = state(out)
  with pytest.raises(errors.InputError, match=r'but 30 records for train in place of 31\. Move'):
    conversion.convert(Settings(dataset_name=name, dataset_dir=str(out)))
  assert state(out) == before


@pytest.mark.parametrize(
  ('train', 'is_sound'),
  [
    # As slim's converter writes other images.
    ([6, 6, 6, 6, 2], True),
    # As ours does.
    ([3, 4, 3, 4, 3], True),
    ([6, 6, 5, 6, 2], False),
    ([6, 6, 6, 6, 7], True),
    ([6, 6, 6, 6, 8], False),
  ],
)
def test_other_images_in_slims_files(train, is_sound, tmp_path, pictures, known, capsys):
  known('flowers', train=1000, validation=10)
  write_slims(tmp_path, pictures, 'flowers', {'train': train, 'validation': [2] * 5})
  settings = Settings(dataset_name='flowers', dataset_dir=str(tmp_path))
  if is_sound:
    assert conversion.find_or_convert(settings)[1]
    err = capsys.readouterr().err
    assert f'flowers has 1,000 images for train, but {tmp_path} holds {sum(train)}.' in err
  else:
    with pytest.raises(errors.InputError, match='in place of 1,000'):
      conversion.convert(settings)


def cut(folder):
  path = next(folder.glob('*_train_00001*'))
  path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
  ('damage', 'sentence'),
  [
    (cut, 'flowers_train_00001-of-00005.tfrecord'),
    (lambda folder: next(folder.glob('*_train_00003*')).unlink(), 'in place of 30'),
    (lambda folder: next(folder.glob('*_train_00003*')).write_bytes(b''), 'empty'),
  ],
  ids=['cut', 'missing', 'empty'],
)
def test_damaged_directories_of_slim(damage, sentence, tmp_path, pictures, known):
  known('flowers', train=30, validation=10)
  out = tmp_path / 'out'
  write_slims(out, pictures, 'flowers', SLIMS['flowers'])
  damage(out)
  before = state(out)
  with pytest.raises(errors.InputError, match=sentence):
    conversion.convert(Settings(dataset_name='flowers', dataset_dir=str(out)))
  assert state(out) == before


@pytest.mark.parametrize(
  'alter',
  [
    lambda folder: os.unlink(folder / 'labels.txt'),
    lambda folder: (folder / '.unfinished-conversion').mkdir(),
    lambda folder: [path.unlink() for path in folder.glob('*_validation_*')],
  ],
  ids=['no labels', 'ours', 'a split less'],
)
def test_what_is_not_finished_is_converted(alter, tmp_path, pictures, known):
  known('flowers', train=30, validation=10)
  write_slims(tmp_path, pictures, 'flowers', SLIMS['flowers'])
  alter(tmp_path)
  row = conversion.dataset_factory.DATASETS['flowers']
  assert finished_known.find(row, str(tmp_path), {}, {}) is None
