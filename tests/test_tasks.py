"""Learning several labels, and numbers, end to end through the scripts."""

import json
import pathlib
import subprocess
import sys

import pytest

from datasets import record_files
from tests import scenes

ROOT = pathlib.Path(__file__).resolve().parent.parent
NET = ('--model_name=mobilenet_v1_025', '--use_grayscale', '--preprocessing_name=lenet')
LEARNING = (
  '--weight_decay=0',
  '--batch_norm_decay=0.98',
  '--optimizer=adam',
  '--opt_epsilon=1e-7',
  '--learning_rate=0.004',
  '--num_epochs_per_decay=3',
  '--learning_rate_decay_factor=0.5',
)


def run(script, *args):
  """Runs a script of this checkout; returns what it printed."""
  finished = subprocess.run(  # noqa: S603
    [sys.executable, str(ROOT / script), *args], capture_output=True, text=True, check=False
  )
  assert finished.returncode == 0, finished.stderr
  return finished.stdout + finished.stderr


def learn(folder, num_steps, size, *more):
  """Trains on the records in `folder`, evaluates; returns eval.json and what training printed."""
  data = ('--dataset_name=image_folder', f'--dataset_dir={folder}/records', *NET, *more)
  printed = run(
    'train_image_classifier.py',
    *data,
    *LEARNING,
    '--seed=1',
    '--batch_size=32',
    f'--train_image_size={size}',
    f'--max_number_of_steps={num_steps}',
    f'--train_dir={folder}/run',
  )
  run(
    'eval_image_classifier.py',
    *data,
    '--dataset_split_name=validation',
    f'--eval_image_size={size}',
    f'--checkpoint_path={folder}/run',
    f'--eval_dir={folder}/run',
  )
  return json.loads((folder / 'run' / 'eval.json').read_text()), printed


def convert(folder, task):
  """Converts 4,000 pictures of a task for training, and 500 for validation, from a list."""
  path = scenes.write_list(folder / 'pictures', task, {'train': 4000, 'validation': 500}, size=64)
  run(
    'download_and_convert_data.py',
    f'--image_list={path}',
    f'--task_type={task}',
    f'--dataset_dir={folder}/records',
    '--keep_gray',
  )


@pytest.mark.slow
def test_where_a_disc_is_and_how_large(tmp_path):
  convert(tmp_path, 'regression')
  result, _ = learn(tmp_path, 2400, 64)
  # Of the picture's width, which is 1.
  assert result['eval/MAE'] < 0.03
  assert result['eval/R2'] > 0.8
  assert {f'eval/MAE/{name}' for name in scenes.TARGETS} <= set(result)


@pytest.mark.slow
def test_which_shapes_are_there(tmp_path):
  convert(tmp_path, 'multi_label')
  result, _ = learn(tmp_path, 1200, 64)
  assert result['eval/mAP'] > 0.95


def test_bad_records_are_skipped_and_counted(tmp_path):
  """A run of a few steps, from memory, with two records damaged."""

  def damage(path, number):
    content = bytearray(path.read_bytes())
    content[list(record_files.read_frames(str(path)))[number].offset + 20] ^= 1
    path.write_bytes(content)

  info = scenes.write(tmp_path / 'records', 'multi_label', {'train': 40, 'validation': 9})
  for split, number in (('train', 3), ('train', 5), ('validation', 0)):
    damage(tmp_path / 'records' / info.splits[split].shards[0].file_name, number)
  result, printed = learn(tmp_path, 2, 32, '--record_errors=skip', '--input_mode=memory')
  assert '38 examples of 4 classes' in printed
  assert printed.count('Skipped: Record ') == 2
  assert 'Skipped: Record 5 (counted from 0) of ' in printed
  assert printed.count(', 2 bad records skipped') == printed.count('global step')
  assert (result['examples'], result['skipped']) == (8, 1)
  assert {'eval/mAP', 'eval/F1', 'eval/Exact_match'} <= set(result)
