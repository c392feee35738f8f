"""Checkpoints that TensorFlow 1.15 saved of the net `mobilenet_v1_025`."""

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import tf


@pytest.mark.parametrize('file_format', ['v1', 'v2'])
def test_restores_with_nothing_missing(file_format, goldens, recipe):
  folder = goldens / 'checkpoints' / f'mobilenet_v1_025_{file_format}'
  checkpoint = tf.train.latest_checkpoint(str(folder))
  global_step = tf.train.create_global_step()
  network_fn = nets_factory.get_network_fn('mobilenet_v1_025', num_classes=10)
  network_fn(tf.zeros([1, 224, 224, 3]))
  variables = {variable.op.name: variable for variable in tf.global_variables()}
  saved = {name for name, _ in tf.train.list_variables(checkpoint)}
  assert saved == variables.keys()
  with tf.Session() as session:
    tf.train.Saver().restore(session, checkpoint)
    values = session.run(variables)
  assert values.pop(global_step.op.name) == 12345
  for name, value in values.items():
    np.testing.assert_array_equal(value, recipe.variable_value(name, value.shape), err_msg=name)
