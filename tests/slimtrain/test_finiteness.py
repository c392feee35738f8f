"""A loss or gradients that are not finite: what is said, and what the run goes back to."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import checkpoints, finiteness, inputs, run_log

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = inputs.Data(None, ['/a', '/b'], 20, 2)
# A net whose loss is finite, and whose gradient is not, for some images.
SPIKY = """
from nets import lenet, nets_factory
from slimcompat import slim, tf


def spiky(images, num_classes=10, is_training=False, **kwargs):
  features = slim.flatten(images)
  logits = slim.fully_connected(features, num_classes, activation_fn=None, scope='spiky/fc')
  # The root's slope at 0 is infinite.
  has_spike = tf.reduce_all(features[:, {pixel}] > {above})
  scale = slim.model_variable('spiky/scale', [1], initializer=tf.zeros_initializer())
  return logits + tf.cond(has_spike, lambda: tf.sqrt(scale), lambda: 0.0 * scale), {{}}


spiky.default_image_size = 28
nets_factory.register(nets_factory.Network(
  'spiky', spiky, lenet.lenet_arg_scope, preprocessing='lenet'))
"""


@pytest.fixture
def spiky(tmp_path):
  """`spiky(pixel, above)` is the plugin of a net that fails when all of a batch have such one."""

  def write(pixel, above):
    path = tmp_path / 'spiky.py'
    path.write_text(SPIKY.format(pixel=pixel, above=above))
    return str(path)

  return write


def run_check(loss, gradients):
  """Runs the check with `gradients`, {name: values}, in a graph of its own."""
  with tf.Graph().as_default():
    pairs = [
      (None if values is None else tf.constant(values), tf.get_variable(name, [2]))
      for name, values in gradients.items()
    ]
    records = tf.constant([[1, 5], [0, 7], [1, 2]], tf.int64)
    check = finiteness.check(tf.constant(loss), pairs, tf.constant(12), tf.constant(0.1), records)
    with tf.Session() as session, finiteness.explained(DATA, '/nowhere'):
      session.run(check)


@pytest.mark.parametrize('gradients', [{}, {'a': [1.0, -1e30]}, {'a': None, 'b': [0.0, 0.0]}])
def test_finite_ones_pass(gradients):
  run_check(
    1e30, {name: values and np.float32(values) * 1e-12 for name, values in gradients.items()}
  )


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_gradients(bad):
  with pytest.raises(finiteness.NotFiniteError) as error:
    run_check(0.5, {'net/a': [3.0, 4.0], 'net/b': None, 'net/c': [1.0, bad], 'net/d': [0.0, 9.0]})
  assert re.search(
    r'The loss is finite but not the gradients: it is 0.5 at step 12, with the learning rate 0.1\.'
    r' The largest gradients, by norm: net/c (-?nan|inf), net/d 9, net/a 5\.'
    r' The batch held the records \(counted from 0\) 7 of /a; 5, 2 of /b\.'
    r' There is no checkpoint yet\. Lower --learning_rate',
    str(error.value),
  )


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_loss(bad):
  with pytest.raises(finiteness.NotFiniteError, match=r'The loss is -?(nan|inf) at step 12'):
    run_check(bad, {'a': [1.0, 2.0]})


def test_other_errors_pass_through():
  with pytest.raises(tf.errors.InvalidArgumentError), finiteness.explained(DATA, '/nowhere'):
    raise tf.errors.InvalidArgumentError(None, None, 'assertion failed: [1]')


def run_script(train_dir, plugin, *flags):
  return subprocess.run(  # noqa: S603
    [
      sys.executable,
      'train_image_classifier.py',
      '--dataset_name=digits',
      '--model_name=spiky',
      f'--plugin={plugin}',
      f'--train_dir={train_dir}',
      '--optimizer=sgd',
      '--seed=1',
      '--deterministic_input',
      '--save_interval_steps=2',
      '--log_every_n_steps=1',
      *flags,
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )


def test_the_run_ends_with_its_last_good_checkpoint(tmp_path, spiky):
  # Sooner or later a batch of 2 has white in the middle of both.
  run = run_script(
    tmp_path / 'run', spiky(14 * 28 + 14, 0.9), '--batch_size=2', '--max_number_of_steps=500'
  )
  assert run.returncode == 1
  assert 'Traceback' not in run.stderr
  assert 'The largest gradients, by norm: spiky/scale' in run.stderr
  step = int(re.search(r'at step (\d+),', run.stderr)[1])
  newest = checkpoint_directory.newest(str(tmp_path / 'run'))
  assert f'{newest} is the last good checkpoint' in run.stderr
  assert step - 2 <= checkpoints.saved_step(newest) < step
  reader = tf.train.NewCheckpointReader(newest)
  assert np.isfinite(reader.get_tensor('spiky/fc/weights')).all()
  assert 'digits_train_0000' in run.stderr


def test_the_run_goes_back_and_on(tmp_path, spiky):
  run = run_script(
    tmp_path / 'run',
    spiky(14 * 28 + 14, 0.9),
    '--batch_size=2',
    '--on_nan=rollback',
    '--max_rollbacks=2',
    '--max_number_of_steps=500',
  )
  back = re.findall(r'Going back to (\S+) \((\d) of at most 2 times\)', run.stdout)
  assert [number for _, number in back] == ['1', '2']
  assert run.returncode == 1
  assert '--max_rollbacks=2 times this run has gone back already' in run.stderr
  # It went on from the checkpoint's step.
  after = run.stdout.split('(1 of at most 2 times)')[1]
  first_step = int(re.search(r'global step (\d+):', after)[1])
  assert first_step == int(back[0][0].rsplit('-', 1)[1]) + 1
  # metrics.jsonl has each step once.
  steps = [record['step'] for record in run_log.read(tmp_path / 'run' / run_log.JSONL_FILE)]
  assert steps == list(range(1, steps[-1] + 1))


def test_without_a_checkpoint_there_is_no_way_back(tmp_path, spiky):
  run = run_script(tmp_path / 'run', spiky(0, -2), '--on_nan=rollback', '--max_number_of_steps=3')
  assert run.returncode == 1
  assert 'There is no checkpoint yet' in run.stderr
  assert isinstance(finiteness.NotFiniteError('x'), errors.InputError)
