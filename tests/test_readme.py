"""The README's commands run, and its scripts are there."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from slimtrain import deployment
from tests import shapes

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text()
BLOCKS = re.findall(r'```sh\n(.*?)```', README, re.DOTALL)


def test_every_command_stands_in_a_block_or_is_one_of_the_two():
  outside = re.sub(r'```sh\n.*?```', '', README, flags=re.DOTALL)
  commands = set(re.findall(r'(?:\./|python )\w+\.\w+', outside))
  assert commands == {'./quickstart.sh', './run_tests.sh'}
  assert len(BLOCKS) == 3


def test_commands_run_in_order(tmp_path, shapes_dir):
  # As written, but for the number of steps.
  script = re.sub(r'--max_number_of_steps=\d+', '--max_number_of_steps=2', '\n'.join(BLOCKS))
  finished = subprocess.run(  # noqa: S603
    ['/bin/bash', '-euo', 'pipefail', '-c', script],
    cwd=ROOT,
    env={
      **os.environ,
      'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}',
      'IMAGE_DIR': str(shapes_dir),
      'DATA_DIR': str(tmp_path / 'data'),
      'TRAIN_DIR': str(tmp_path / 'run'),
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  assert re.search(r'^eval/Accuracy\[', finished.stdout, re.MULTILINE)
  assert '    137 restored' in finished.stdout


# In bfloat16 a run may end one point below the least that it ends at in float32.
PRECISIONS = pytest.mark.parametrize(
  ('precision', 'loss'),
  [
    ('none', 0),
    pytest.param(
      'bfloat16',
      0.01,
      marks=pytest.mark.skipif(
        not deployment.has_avx512(), reason='needs a processor with AVX-512'
      ),
    ),
  ],
)


@pytest.mark.slow
@PRECISIONS
def test_fine_tuning_on_shapes_reaches_95_percent(tmp_path, precision, loss):
  """The net that TensorFlow 1.15 saved learns three shapes, with no scope named."""
  shapes.write(tmp_path / 'shapes', images_per_class=800, size=64)
  finished = subprocess.run(  # noqa: S603
    [
      str(ROOT / 'scripts' / 'finetune_mobilenet_v1_on_folder.sh'),
      f'--mixed_precision={precision}',
    ],
    env={
      **os.environ,
      'PYTHON': sys.executable,
      'IMAGE_DIR': str(tmp_path / 'shapes'),
      'CHECKPOINT_PATH': str(ROOT / 'tests' / 'goldens' / 'checkpoints' / 'mobilenet_v1_025_v1'),
      'DATA_DIR': str(tmp_path / 'data'),
      'TRAIN_DIR': str(tmp_path / 'run'),
      'IMAGE_SIZE': '64',
      'PREPROCESSING': 'cifarnet',
      'LEARNING_RATE': '0.05',
      'EPOCHS': '10',
      'STEPS': '700',
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  assert '    135 restored' in finished.stdout
  assert '      2 skipped for shape, first MobilenetV1/Logits/' in finished.stdout
  result = json.loads((tmp_path / 'run' / 'eval' / 'eval.json').read_text())
  assert result['examples'] == 240
  assert result['eval/Accuracy'] >= 0.95 - loss


@pytest.mark.slow
@PRECISIONS
def test_lenet_on_digits_reaches_98_5_percent(tmp_path, precision, loss):
  finished = subprocess.run(  # noqa: S603
    [
      str(ROOT / 'scripts' / 'train_lenet_on_digits.sh'),
      f'--mixed_precision={precision}',
    ],
    env={**os.environ, 'PYTHON': sys.executable, 'TRAIN_DIR': str(tmp_path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  result = json.loads((tmp_path / 'eval' / 'eval.json').read_text())
  assert result['examples'] == 360
  assert result['eval/Accuracy'] >= 0.985 - loss
