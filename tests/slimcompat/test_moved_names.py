import importlib
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

import slimcompat
from slimcompat import batch_normalization, checkpoint_assignment, moved_names, slim


@pytest.mark.parametrize('row', moved_names.MOVED_NAMES, ids=lambda row: '.'.join(row[:2]))
def test_moved_name_is_back(row):
  old_module, old_name, new_module, new_name = row
  old = importlib.import_module(f'tensorflow.python.{old_module}')
  new = importlib.import_module(f'tensorflow.python.{new_module}')
  assert getattr(old, old_name) is getattr(new, new_name)


@pytest.mark.parametrize('row', moved_names.REPLACED_NAMES, ids=lambda row: '.'.join(row[:2]))
def test_replaced_name_is_ours(row):
  module, name, our_module = row
  replaced = getattr(importlib.import_module(module), name)
  assert replaced.__module__ == our_module


def test_slim_uses_the_replacements():
  from tf_slim.layers import layers

  assert layers.normalization_layers.BatchNormalization is batch_normalization.BatchNormalization
  assert slim.assign_from_checkpoint is checkpoint_assignment.assign_from_checkpoint


# What a user's own script may do first, before it uses tf_slim.
_IMPORTS = {
  'nets': 'import nets; import tf_slim as slim',
  'datasets': 'import datasets; import tf_slim as slim',
  'slimtrain': 'import slimtrain; import tf_slim as slim',
  'tf_slim-first': 'import tf_slim as slim; import nets',
}
_SCRIPT = """
  import sys
  sys.modules['tf_keras'] = None  # Not to be imported, even where it is installed.
  {imports}
  import numpy as np
  import tensorflow.compat.v1 as tf
  with tf.Graph().as_default(), tf.Session() as session:
    net = slim.conv2d(tf.ones([2, 4, 4, 3]), 5, 3, normalizer_fn=slim.batch_norm)
    net = slim.batch_norm(net, fused=False)
    net = slim.dropout(slim.fully_connected(slim.flatten(slim.max_pool2d(net, 2)), 6))
    session.run(tf.global_variables_initializer())
    slim.get_model_variables('fully_connected/biases')[0].load(np.ones(6), session)  # Deprecated.
    assert session.run(net).shape == (2, 6)
    assert len(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == 4
"""


def _run_python(script):
  """Runs `script` in a Python of its own, without any variable that TensorFlow reads."""
  root = pathlib.Path(slimcompat.__file__).parent.parent
  inherited = {
    key: value
    for key, value in os.environ.items()
    if not key.startswith(('TF_', 'KERAS_', 'ABSL_', 'PYTHONWARNINGS'))
  }
  return subprocess.run(  # noqa: S603
    [sys.executable, '-c', textwrap.dedent(script)],
    env={**inherited, 'PYTHONPATH': str(root)},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


@pytest.mark.parametrize('imports', _IMPORTS)
def test_a_users_own_tf_slim_works(imports):
  ran = _run_python(_SCRIPT.format(imports=_IMPORTS[imports]))
  assert ran.returncode == 0, ran.stderr
  if imports != 'tf_slim-first':  # TensorFlow was loaded, with all its notes, before we were.
    assert (ran.stdout, ran.stderr) == ('', '')
