"""Directories of runs that were killed, damaged, or are in use."""

import os
import re

import numpy as np
import pytest

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import checkpoints, recovery

STEPS = (10, 20, 30)


@pytest.fixture
def train_dir(tmp_path):
  """A directory with three checkpoints, of a variable that holds the step."""
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    tf.get_variable('weights', [1000])
    saver = tf.train.Saver()
    session.run(tf.global_variables_initializer())
    for number in STEPS:
      session.run(step.assign(number))
      saver.save(session, str(tmp_path / 'model.ckpt'), step)
  return tmp_path


def cut(path):
  path.write_bytes(path.read_bytes()[:-5])


def flip(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(bytes(content))


def empty(path):
  path.write_bytes(b'')


def zero(path):
  path.write_bytes(bytes(path.stat().st_size))


def replace_by_text(path):
  path.write_text('<html>404 Not Found</html>')


def replace_by_folder(path):
  os.remove(path)
  path.mkdir()


def take_from_another_step(path):
  path.write_bytes((path.parent / path.name.replace('30', '20')).read_bytes())


DATA = 'model.ckpt-{}.data-00000-of-00001'
INDEX = 'model.ckpt-{}.index'


def newest_step(train_dir):
  return checkpoints.saved_step(checkpoint_directory.newest(str(train_dir)))


def test_a_whole_directory_stays_as_it_is(train_dir):
  before = {path.name: path.read_bytes() for path in train_dir.iterdir()}
  assert recovery.mend(str(train_dir)) == []
  assert {path.name: path.read_bytes() for path in train_dir.iterdir()} == before


@pytest.mark.parametrize(
  ('name', 'harm'),
  [
    *(
      (DATA, harm)
      for harm in (
        *(cut, flip, empty, zero, os.remove),
        *(replace_by_text, replace_by_folder, take_from_another_step),
      )
    ),
    # A flipped bit in the index, which has no checksum, shows in the data, or does no harm.
    *((INDEX, harm) for harm in (cut, empty, zero, os.remove, replace_by_text)),
  ],
)
def test_a_damaged_newest_is_set_aside(train_dir, name, harm):
  harm(train_dir / name.format(30))
  (line,) = recovery.mend(str(train_dir))
  assert line.startswith(f'{train_dir}/model.ckpt-30 is damaged (')
  assert newest_step(train_dir) == 20
  state = tf.train.get_checkpoint_state(str(train_dir))
  assert [path[-2:] for path in state.all_model_checkpoint_paths] == ['10', '20']
  left = [path.name for path in train_dir.iterdir() if 'ckpt-30' in path.name]
  assert left
  assert all(name.endswith('.damaged') for name in left)


def test_two_damaged(train_dir):
  for step in (20, 30):
    flip(train_dir / DATA.format(step))
  assert len(recovery.mend(str(train_dir))) == 2
  assert newest_step(train_dir) == 10


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew(train_dir):
  for step in STEPS:
    cut(train_dir / DATA.format(step))
  with pytest.raises(errors.InputError, match='no whole checkpoint any more'):
    recovery.mend(str(train_dir))


@pytest.mark.parametrize(
  'content',
  [
    *(None, b'', b'\xff\x00 garbage', b'model_checkpoint_path: "x"'),
    *(b'model_checkpoint_path: "/etc/passwd"', b'model_checkpoint_path: "model.ckpt-99"'),
  ],
)
def test_the_list_of_checkpoints_is_made_anew(train_dir, content):
  path = train_dir / 'checkpoint'
  os.remove(path)
  if content is not None:
    path.write_bytes(content)
  assert recovery.mend(str(train_dir)) == []
  assert newest_step(train_dir) == 30


def test_a_finished_checkpoint_that_is_not_listed_yet_counts(train_dir):
  tf.train.update_checkpoint_state(str(train_dir), str(train_dir / 'model.ckpt-20'))
  recovery.mend(str(train_dir))
  assert newest_step(train_dir) == 30


def test_those_kept_for_good_are_not_listed_again(train_dir):
  prefixes = [str(train_dir / f'model.ckpt-{step}') for step in STEPS]
  tf.train.update_checkpoint_state(str(train_dir), prefixes[1], prefixes[1:2])
  recovery.mend(str(train_dir))
  names = [os.path.basename(prefix) for prefix in prefixes]
  assert checkpoint_directory.read_state(str(train_dir)) == names[1:]


def test_a_list_of_what_is_gone(train_dir):
  for path in train_dir.glob('model.ckpt-*'):
    os.remove(path)
  with pytest.raises(errors.InputError, match=r'lists .*ckpt-30 .* but holds no checkpoint'):
    recovery.mend(str(train_dir))


def test_a_folder_without_a_run(tmp_path):
  (tmp_path / 'flags.txt').touch()
  assert recovery.mend(str(tmp_path)) == []


def test_what_was_never_finished_is_removed(train_dir):
  (train_dir / 'model.ckpt-40_temp').mkdir()
  (train_dir / 'model.ckpt-40_temp' / 'part-00000-of-00001.data-00000-of-00001').touch()
  (train_dir / 'model.ckpt-40.index.tempstate123').touch()
  (train_dir / 'model.ckpt-mine_temp').mkdir()
  assert recovery.mend(str(train_dir)) == []
  assert not list(train_dir.glob('model.ckpt-40*'))
  assert (train_dir / 'model.ckpt-mine_temp').is_dir()


def test_the_format_v1(tmp_path):
  values = np.arange(1000, dtype='float32')
  with tf.Session() as session:
    variable = tf.get_variable('weights', initializer=values)
    session.run(variable.initializer)
    saver = tf.train.Saver(write_version=tf.train.SaverDef.V1)
    for step in (1, 2):
      saver.save(session, str(tmp_path / 'model.ckpt'), step)
  assert recovery.mend(str(tmp_path)) == []
  empty(tmp_path / 'model.ckpt-2')
  (line,) = recovery.mend(str(tmp_path))
  assert re.search(r'model\.ckpt-2 is damaged', line)
  assert checkpoint_directory.newest(str(tmp_path)) == str(tmp_path / 'model.ckpt-1')


def test_a_second_run_is_kept_out(tmp_path):
  first, second = (recovery.locked(str(tmp_path)) for _ in range(2))
  with first, pytest.raises(errors.InputError, match='is in use'):
    second.__enter__()
  with recovery.locked(str(tmp_path)):
    pass
