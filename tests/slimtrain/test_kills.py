"""Runs that are killed (-9) at any moment go on from a whole checkpoint."""

import os
import re
import time

import numpy as np
import pytest

from slimcompat import checkpoint_directory, tf
from slimtrain import run_log


@pytest.fixture
def start(start_training):
  """`start(train_dir, *flags)` is the process of a run that saves every 5 steps."""

  def start_run(train_dir, *flags):
    return start_training(
      f'--train_dir={train_dir}',
      '--batch_size=8',
      '--optimizer=momentum',
      '--moving_average_decay=0.9',
      '--save_interval_steps=5',
      '--seed=1',
      '--deterministic_input',
      *flags,
    )

  return start_run


def finished_steps(train_dir):
  """Returns the steps whose checkpoints are listed, and so were completed."""
  return [int(path.rsplit('-', 1)[1]) for path in checkpoint_directory.read_state(str(train_dir))]


def kill_and_check(start, train_dir, secs, last_finished):
  """Kills a run some seconds after its first step; returns the newest step completed by then."""
  process = start(train_dir)
  lines = []
  for line in process.stdout:
    lines.append(line)
    if line.startswith('global step'):
      break
  time.sleep(secs)
  process.kill()
  _, error = process.communicate()
  assert 'Traceback' not in error
  continued = re.search(r'Continuing \S+ at step (\d+)\.', ''.join(lines))
  if last_finished:
    assert continued, ''.join(lines) + error
    assert int(continued[1]) >= last_finished
  return max([0, *finished_steps(train_dir)])


def check_that_nothing_piled_up(train_dir):
  names = os.listdir(train_dir)
  assert not [name for name in names if 'tempstate' in name or name.endswith('.tmp')]
  # One may be left where a run was killed between listing a checkpoint and removing the oldest.
  assert len([name for name in names if name.endswith('.index')]) <= 5 + 2


def values(train_dir):
  reader = tf.train.NewCheckpointReader(checkpoint_directory.newest(str(train_dir)))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def check_kills(start, tmp_path, num_kills):
  """Kills a run again and again, and compares its end with that of an undisturbed one."""
  train_dir = tmp_path / 'killed'
  rng = np.random.RandomState(0)
  finished = 0
  for _ in range(num_kills):
    finished = kill_and_check(start, train_dir, rng.uniform(0, 0.6), finished)
  assert finished > 0
  last_step = f'--max_number_of_steps={finished + 7}'
  for folder in (train_dir, tmp_path / 'undisturbed'):
    run = start(folder, last_step)
    _, error = run.communicate()
    assert run.returncode == 0, error
  check_that_nothing_piled_up(train_dir)
  killed, undisturbed = values(train_dir), values(tmp_path / 'undisturbed')
  assert killed.keys() == undisturbed.keys()
  for name in killed:
    np.testing.assert_array_equal(killed[name], undisturbed[name], err_msg=name)


def run_until(process, step):
  """Kills a run as soon as it has made a step."""
  for line in process.stdout:
    if line.startswith(f'global step {step}:'):
      break
  process.kill()
  process.communicate()


@pytest.mark.slow
def test_200_steps_straight_and_with_a_kill_after_100(start, tmp_path):
  flags = ('--max_number_of_steps=200', '--num_steps_per_decay=30', '--learning_rate=0.02')
  run_until(start(tmp_path / 'killed', *flags), 101)
  for folder in ('killed', 'straight'):
    run = start(tmp_path / folder, *flags)
    output, error = run.communicate()
    assert run.returncode == 0, error
    assert ('at step 100.' in output) == (folder == 'killed')
  killed, straight = values(tmp_path / 'killed'), values(tmp_path / 'straight')
  assert killed.keys() == straight.keys()
  # Weights, their moving averages, the slots of momentum, the step.
  assert {'LeNet/conv1/weights' + end for end in ('', '/Momentum', '/ExponentialMovingAverage')} < (
    killed.keys()
  )
  for name in killed:
    np.testing.assert_array_equal(killed[name], straight[name], err_msg=name)
  rates = {
    folder: [
      (record['step'], record['learning_rate'], record['loss'])
      for record in run_log.read(tmp_path / folder / run_log.JSONL_FILE)
    ]
    for folder in ('killed', 'straight')
  }
  assert rates['killed'] == rates['straight']
  assert [step for step, *_ in rates['killed']] == list(range(1, 201))


def test_three_kills(start, tmp_path):
  check_kills(start, tmp_path, 3)


@pytest.mark.slow
def test_fifty_kills(start, tmp_path):
  check_kills(start, tmp_path, 50)
