"""What the tests of training share: runs of the script."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Blocks in the fifth batch or so, for longer than any test.
BLOCKING = """
import sys
import time
from slimcompat import tf
from slimtrain.preprocessing import preprocessing_factory

count = [0]

def block(image):
  count[0] += 1
  if count[0] > 300:
    # In one piece, for other threads write, too.
    sys.stdout.write('blocked\\n')
    time.sleep(1000)
  return image

def preprocess(image, height, width, is_training, use_grayscale):
  image = tf.py_func(block, [tf.cast(image, tf.float32)], tf.float32)
  return tf.ensure_shape(image, [height, width, 1])

preprocessing_factory.register(preprocessing_factory.Preprocessing('blocking', preprocess))
"""


@pytest.fixture
def start_training(tmp_path):
  """`start_training(*flags)` is the process of an endless run of LeNet on digits in `tmp_path`."""
  processes = []

  def start(*flags):
    process = subprocess.Popen(  # noqa: S603
      [
        sys.executable,
        '-u',
        'train_image_classifier.py',
        '--dataset_name=digits',
        '--model_name=lenet',
        '--log_every_n_steps=1',
        f'--train_dir={tmp_path}',
        *flags,
      ],
      cwd=ROOT,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    processes.append(process)
    return process

  yield start
  for process in processes:
    process.kill()
    process.communicate()


@pytest.fixture
def blocking_plugin(tmp_path):
  """Flags of a run whose input blocks after a few batches, and says so in a line `blocked`."""
  path = tmp_path / 'blocking.py'
  path.write_text(BLOCKING)
  return (f'--plugin={path}', '--preprocessing_name=blocking')
