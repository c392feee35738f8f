"""The digits in the package are those that the reference LeNet was trained and evaluated on."""

import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from datasets import dataset_factory, dataset_info, digits, verification
from slimcompat import errors

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# SHA-256 of the pixels and labels, uint8, of the 1,437 records that TensorFlow 1.15 trained the
# reference LeNet on.
TRAIN_DIGEST = '14329700e6d499579608d9032cddc8071beb7bd0d722aa2e03affc7f6d534622'


def read(split_name, dataset_dir, pictures):
  dataset = dataset_factory.get_dataset('digits', split_name, dataset_dir)
  images, labels = zip(*pictures.read_all(dataset), strict=True)
  return np.stack(images), np.array(labels)


def test_test_split_is_the_references(goldens, pictures):
  images, labels = read('test', digits.cached_dir(), pictures)
  golden = dataset_factory.get_dataset('mnist', 'test', str(goldens / 'trained_lenet'))
  golden_images, golden_labels = zip(*pictures.read_all(golden), strict=True)
  np.testing.assert_array_equal(images, np.stack(golden_images))
  np.testing.assert_array_equal(labels, golden_labels)
  assert images.shape == (360, 28, 28, 1)


def test_train_split_is_the_references(pictures):
  images, labels = read('train', digits.cached_dir(), pictures)
  assert images.shape == (1437, 28, 28, 1)
  digest = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
  assert digest == TRAIN_DIGEST


def test_info(tmp_path):
  info = digits.convert(str(tmp_path))
  assert dataset_info.read(str(tmp_path)) == info
  assert (info.name, info.channels, info.image_formats) == ('digits', 1, ('png',))
  assert info.class_names == tuple('0123456789')
  assert {name: split.num_examples for name, split in info.splits.items()} == {
    'train': 1437,
    'test': 360,
  }
  # scikit-learn's counts of the ten digits.
  totals = np.sum([split.class_counts for split in info.splits.values()], axis=0)
  assert totals.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
  assert (tmp_path / 'labels.txt').read_text().splitlines()[3] == '3:3'


def test_package_data_is_small_and_credited():
  path = pathlib.Path(digits.__file__).with_name('digits.csv.gz')
  assert path.stat().st_size < 100_000
  assert 'CC-BY-4.0' in path.with_name('digits_license.txt').read_text()


def test_second_conversion_writes_nothing(tmp_path, monkeypatch):
  info = digits.convert(str(tmp_path))
  monkeypatch.setattr(digits.shards, 'write', None)
  assert digits.convert(str(tmp_path)) == info


@pytest.mark.parametrize('damage', ['missing', 'cut', 'info'])
def test_damaged_cache_is_made_whole(damage):
  dataset_dir = pathlib.Path(digits.cached_dir())
  shard = dataset_dir / 'digits_test_00002-of-00005.tfrecord'
  whole = shard.read_bytes()
  if damage == 'missing':
    shard.unlink()
  elif damage == 'cut':
    shard.write_bytes(whole[:-1])
  else:
    (dataset_dir / 'dataset_info.json').write_text('{')
  assert digits.cached_dir() == str(dataset_dir)
  assert shard.read_bytes() == whole
  dataset = dataset_factory.get_dataset('digits', 'test', str(dataset_dir))
  assert sum(verification.check_records(dataset, 10).values()) == 360


def test_other_dataset_in_the_way(tmp_path):
  info = dataset_info.DatasetInfo('birds', ('a',), 3, (), (), {})
  dataset_info.write(info, str(tmp_path))
  with pytest.raises(errors.InputError, match="holds the dataset 'birds'"):
    digits.convert(str(tmp_path))


def test_cache_follows_the_users_variable(cache_home, monkeypatch, tmp_path):
  assert digits.cached_dir() == str(cache_home / 'slimtrain' / 'digits')
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
  assert digits.cached_dir() == str(tmp_path / '.cache' / 'slimtrain' / 'digits')


def test_cache_that_cannot_be_written(cache_home):
  cache_home.write_text('a file where the folder should be')
  with pytest.raises(errors.InputError, match=r'Cannot write .*slimtrain/digits.*no directory is'):
    digits.cached_dir()


def test_processes_at_once(cache_home):
  code = 'from datasets import digits; print(flush=True); input(); print(digits.cached_dir())'
  pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
  command = [sys.executable, '-c', code]
  processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(2)]  # noqa: S603
  # Both convert when they get a line, after the slow imports.
  for process in processes:
    assert process.stdout.readline() == '\n'
  for process in processes:
    process.stdin.write('\n')
    process.stdin.flush()
  outputs = {process.communicate()[0].strip() for process in processes}
  assert [process.returncode for process in processes] == [0, 0]
  assert outputs == {str(cache_home / 'slimtrain' / 'digits')}
  assert len(os.listdir(outputs.pop())) == 12  # Shards, labels and counts; nothing left over.
  for split_name, count in (('train', 1437), ('test', 360)):
    dataset = dataset_factory.get_dataset('digits', split_name, digits.cached_dir())
    assert verification.find_bad_record(dataset, 10) is None
    assert sum(verification.check_records(dataset, 10).values()) == count
