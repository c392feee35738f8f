"""Gradients of several batches in one step, against one batch of their size."""

import re

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, slim, tf
from slimtrain import (
  accumulation,
  checkpoints,
  deployment,
  inputs,
  models,
  optimizers,
  training,
)
from slimtrain import settings as settings_lib


@pytest.fixture(autouse=True)
def plain_net(monkeypatch):
  """A small net named `plain`, without batch norm and dropout."""
  table = nets_factory.NETWORKS
  monkeypatch.setattr(table, '_rows', dict(table))

  def plain(images, num_classes=10, is_training=False):
    net = slim.conv2d(images, 4, [5, 5], stride=4, scope='plain/conv')
    logits = slim.fully_connected(
      slim.flatten(net), num_classes, activation_fn=None, scope='plain/fc'
    )
    return logits, {'AuxLogits': -logits}

  def arg_scope(weight_decay=0.0):
    regularizer = slim.l2_regularizer(weight_decay)
    layers = [slim.conv2d, slim.fully_connected]
    with slim.arg_scope(layers, weights_regularizer=regularizer) as scope:
      return scope

  plain.default_image_size = 28
  nets_factory.register(nets_factory.Network('plain', plain, arg_scope, preprocessing='lenet'))


def train(train_dir, **changes):
  """Trains for 5 steps; returns {name: value} of the checkpoint."""
  settings = training.TrainingSettings(
    train_dir=str(train_dir),
    max_number_of_steps=5,
    seed=3,
    model=models.TrainedModelSettings(model_name='plain', weight_decay=0.1),
    data=inputs.TrainingDataSettings(
      dataset_name='digits', batch_size=32, deterministic_input=True
    ),
    optimizer=optimizers.OptimizerSettings(optimizer='momentum'),
  )
  training.train(settings_lib.replace(settings, **changes))
  reader = tf.train.NewCheckpointReader(checkpoints.find(str(train_dir)))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_close(actual, expected):
  assert actual.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(actual[name], value, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
  ('changes', 'split'),
  [
    ({}, {}),
    ({'clip_gradients_by_global_norm': 0.5}, {'steps_per_run': 2}),
    (
      {'optimizer': 'adamw', 'learning_rate': 0.001, 'warmup_epochs': 0.5},
      {'num_clones': 2, 'batch_size': 4},
    ),
    (
      {'loss': 'focal', 'label_smoothing': 0.1, 'moving_average_decay': 0.9},
      {'steps_per_run': 5},
    ),
    ({'trainable_scopes': 'plain/fc', 'unfreeze_at_step': 2}, {}),
  ],
  ids=['plain', 'clipped', 'clones', 'averages', 'unfreezing'],
)
def test_4_batches_of_8_equal_one_of_32(tmp_path, changes, split):
  if 'num_clones' in split:
    # The schedule counts the batches of one clone.
    changes = {**changes, 'learning_rate_decay_type': 'fixed', 'warmup_epochs': 0.0}
  whole = train(tmp_path / 'whole', **changes)
  parts = train(tmp_path / 'parts', **{**changes, 'batch_size': 8, 'accumulate_steps': 4, **split})
  assert_close(parts, whole)


def test_the_schedule_counts_updates(tmp_path):
  """Of 1437 examples in steps of 32 images, so that the rate falls between these steps."""
  changes = {'num_epochs_per_decay': 0.05, 'learning_rate_decay_factor': 0.5, 'optimizer': 'sgd'}
  whole = train(tmp_path / 'whole', **changes)
  assert_close(train(tmp_path / 'parts', batch_size=8, accumulate_steps=4, **changes), whole)


def test_a_run_goes_on_where_it_was(tmp_path):
  """Dropout, too, differs between the batches of a step and repeats."""
  changes = {'model_name': 'lenet', 'batch_size': 8, 'accumulate_steps': 3}
  whole = train(tmp_path / 'whole', **changes)
  train(tmp_path / 'halves', max_number_of_steps=2, **changes)
  halves = train(tmp_path / 'halves', **changes)
  for name, value in whole.items():
    np.testing.assert_array_equal(halves[name], value, err_msg=name)


@pytest.mark.parametrize('legacy_clone_decay', [False, True])
def test_epochs_and_images_count_all_batches(tmp_path, caplog, legacy_clone_decay):
  caplog.set_level('INFO', logger='slimtrain')
  changes = {'num_epochs': 0.1, 'max_number_of_steps': None, 'num_clones': 2}
  changes['legacy_clone_decay'] = legacy_clone_decay
  saved = train(tmp_path, batch_size=8, accumulate_steps=3, **changes)
  assert saved['global_step'] == 3  # 143.7 of 48 images.
  lines = [record.message for record in caplog.records]
  line = next(line for line in lines if line.startswith('A step takes'))
  assert line.startswith('A step takes 48 images (2 clones x 3 batches x 8), an epoch 29.9 steps.')
  assert line.endswith('an epoch of it has 59.9 steps.') == legacy_clone_decay


def test_batch_norm_follows_each_batch(tmp_path):
  changes = {
    'model_name': 'mobilenet_v1_025',
    'train_image_size': 32,
    'batch_size': 4,
    'batch_norm_decay': 0.5,
    'learning_rate': 1e-12,
    'max_number_of_steps': 1,
  }
  name = 'MobilenetV1/Conv2d_0/BatchNorm/moving_mean'
  accumulated = train(tmp_path / 'accumulated', accumulate_steps=2, **changes)[name]
  # The weights stay, so that two steps see what the two batches of one step do.
  separate = train(tmp_path / 'separate', **{**changes, 'max_number_of_steps': 2})[name]
  np.testing.assert_allclose(accumulated, separate, rtol=1e-4, atol=1e-7)
  assert np.any(separate != 0)


def test_the_loss_is_scaled_in_float16(tmp_path, monkeypatch):
  """On a CPU nothing is rewritten to float16, but the loss is scaled and unscaled."""
  monkeypatch.setattr(deployment, '_check_precision', lambda precision: None)
  whole = train(tmp_path / 'whole')
  scaled = train(tmp_path / 'scaled', mixed_precision='float16', batch_size=8, accumulate_steps=4)
  assert scaled['current_loss_scale'] > 1
  assert_close({name: scaled[name] for name in whole}, whole)


def test_the_batch_that_is_not_finite_is_named(tmp_path):
  with pytest.raises(errors.InputError) as error:
    train(tmp_path, learning_rate=1e30, optimizer='sgd', batch_size=2, accumulate_steps=2)
  (listed,) = re.findall(r'counted from 0\) (.*?)\. ', str(error.value))
  numbers = re.findall(r'(?:^|; )([\d, ]+) of ', listed)
  assert len(', '.join(numbers).split(', ')) == 2


def test_activations_cannot_leave_the_loop():
  with pytest.raises(errors.InputError, match='--accumulate_steps=2 and --summarize_activations'):
    settings_lib.replace(
      training.TrainingSettings(), accumulate_steps=2, summarize_activations=True
    )


def test_means_of_batches():
  variable = tf.get_variable('v', [2], initializer=tf.zeros_initializer(), use_resource=True)
  unused = tf.get_variable('unused', [2], use_resource=True)
  count = tf.get_variable('count', [], tf.int64, tf.zeros_initializer(), use_resource=True)

  def compute(number):
    value = tf.cast(number, tf.float32)
    gradients = [(value * [1.0, 10.0], variable), (None, unused)]
    return gradients, {'loss': value, 'one': tf.ones([])}, tf.no_op(), [count.assign_add(1).op]

  gradients, scalars = accumulation.average(4, compute)
  assert [variable for _, variable in gradients] == [variable, unused]
  assert gradients[1][0] is None
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    for run in range(3):
      gradient, values = session.run([gradients[0][0], scalars])
      np.testing.assert_allclose(gradient, [1.5, 15.0])
      assert values == {'loss': 1.5, 'one': 1.0}
      assert session.run(count) == 4 * (run + 1)
