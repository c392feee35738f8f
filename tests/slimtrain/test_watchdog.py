"""A step that hangs is shown and ended."""

import pathlib
import subprocess
import sys
import time

import pytest

from slimcompat import errors, tf
from slimtrain import watchdog

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCKING = """
import time
from slimcompat import tf
from slimtrain.preprocessing import preprocessing_factory

count = [0]


def block(image):
  count[0] += 1
  if count[0] > 300:
    time.sleep(1000)
  return image


def preprocess(image, height, width, is_training, use_grayscale):
  image = tf.py_func(block, [tf.cast(image, tf.float32)], tf.float32)
  return tf.ensure_shape(image, [height, width, 1])


preprocessing_factory.register(preprocessing_factory.Preprocessing('blocking', preprocess))
"""


def test_a_blocked_op_is_cancelled(capfd):
  dog = watchdog.Watchdog(0.5)
  queue = tf.FIFOQueue(1, [tf.float32])
  with tf.Session() as session:
    with dog.watch(session):
      session.run(queue.enqueue([1.0]))
    with dog.watch(session):
      session.run(queue.dequeue())
    with (
      pytest.raises(errors.InputError, match=r'did not end within --step_timeout_secs=0\.5'),
      dog.watch(session),
    ):
      session.run(queue.dequeue())
  assert 'test_a_blocked_op_is_cancelled' in capfd.readouterr().err


def test_steps_in_time_are_left_alone():
  dog = watchdog.Watchdog(1.0)
  with tf.Session() as session:
    for _ in range(15):
      with dog.watch(session):
        time.sleep(0.1)
    time.sleep(1.2)  # No step is running.
    assert session.run(tf.constant(3)) == 3


def test_other_errors_pass_through():
  with pytest.raises(RuntimeError, match='mine'), watchdog.Watchdog(60).watch(None):
    raise RuntimeError('mine')


def test_a_hung_input_ends_the_run(tmp_path):
  """What blocks is Python code, which TensorFlow cannot cancel."""
  plugin = tmp_path / 'blocking.py'
  plugin.write_text(BLOCKING)
  run = subprocess.run(  # noqa: S603
    [
      sys.executable,
      'train_image_classifier.py',
      '--dataset_name=digits',
      '--model_name=lenet',
      f'--plugin={plugin}',
      '--preprocessing_name=blocking',
      f'--train_dir={tmp_path}/run',
      '--step_timeout_secs=2',
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert run.returncode == 1
  assert 'did not end within --step_timeout_secs=2' in run.stderr
  assert 'in block' in run.stderr
