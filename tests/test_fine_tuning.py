"""Fine-tuning as a user does it: the head first, then all, in both ways, through the scripts."""

import re

import pytest

from tests import test_scripts

pytestmark = pytest.mark.slow

HEAD = 'MobilenetV1/Logits'
HEAD_NAMES = {f'{HEAD}/Conv2d_1c_1x1/{kind}' for kind in ('biases', 'weights')}
NUM_PARAMETERS = 83


def run(script, *args):
  finished = test_scripts.run(script, *args)
  assert finished.returncode == 0, finished.stderr
  return finished.stdout


def train(train_dir, num_steps, *args):
  """Trains on the digits, saving each 10 steps; returns what the script said."""
  return run(
    'train_image_classifier.py',
    '--dataset_name=digits',
    '--model_name=mobilenet_v1_025',
    '--train_image_size=32',
    '--batch_size=4',
    '--optimizer=momentum',
    '--learning_rate=0.001',
    '--save_interval_steps=10',
    f'--max_number_of_steps={num_steps}',
    f'--train_dir={train_dir}',
    *args,
  )


def differing(first, second):
  """Returns the names of the parameters, which gradients change, that two checkpoints differ in."""
  said = run(
    'inspect_checkpoint.py',
    f'--checkpoint_path={first}',
    f'--compare_with={second}',
    '--filter=/(weights|biases|depthwise_weights|gamma|beta)$',
  )
  names = set(re.findall(r'^ {8}(\S+) ', said, re.MULTILINE))
  assert f'{NUM_PARAMETERS - len(names):5d} equal to the bit' in said
  return names


def test_the_head_first_and_all_from_a_step_on(tmp_path, goldens):
  start = goldens / 'checkpoints' / 'mobilenet_v1_025_v2'
  args = (f'--checkpoint_path={start}', f'--trainable_scopes={HEAD}', '--unfreeze_at_step=100')
  train(tmp_path, 110, *args)
  assert differing(start, tmp_path / 'model.ckpt-100') == HEAD_NAMES
  assert len(differing(tmp_path / 'model.ckpt-100', tmp_path / 'model.ckpt-110')) == NUM_PARAMETERS


def test_the_head_first_and_all_in_a_continued_run(tmp_path, goldens):
  start = goldens / 'checkpoints' / 'mobilenet_v1_025_v2'
  train(tmp_path, 100, f'--checkpoint_path={start}', f'--trainable_scopes={HEAD}')
  assert differing(start, tmp_path / 'model.ckpt-100') == HEAD_NAMES
  said = train(tmp_path, 110)
  assert f'starts fresh: {NUM_PARAMETERS - 2} variables, first MobilenetV1/' in said
  assert len(differing(tmp_path / 'model.ckpt-100', tmp_path / 'model.ckpt-110')) == NUM_PARAMETERS
