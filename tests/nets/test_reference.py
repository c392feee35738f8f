"""Every net against the facts that TensorFlow 1.15 gave, in goldens/nets.

A new net is tested by its row in NETWORKS and its golden; nothing is added here.
"""

import itertools

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import tf

# Of the largest value: float noise between TensorFlow 1.15 and 2.21 is about 1e-6 of it, a wrong
# epsilon in batch norm 1e-4.
TOLERANCE = 1e-5
# As they stand before any test registers a net of its own.
NAMES = set(nets_factory.NETWORKS)


def test_every_row_has_a_golden(goldens):
  files = (goldens / 'nets').glob('*.json')
  assert {file.stem for file in files} == NAMES


def test_image_size(reference):
  assert reference.network.image_size == reference.golden['default_image_size']


def test_variables_when_training(reference):
  golden = dict(reference.golden['variables'])
  built = reference.training
  assert built.shape_by_variable == golden
  trainable = built.graph.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES)
  not_trainable = golden.keys() - {variable.op.name for variable in trainable}
  assert not_trainable == set(reference.golden['not_trainable'])
  model_variables = built.graph.get_collection(tf.GraphKeys.MODEL_VARIABLES)
  assert len(model_variables) == reference.golden['model_variables']


def test_variables_when_evaluating(reference):
  golden = dict(reference.golden['variables'])
  for name in reference.golden['only_when_training']:
    del golden[name]
  assert reference.evaluation.shape_by_variable == golden


def test_losses_and_updates(reference):
  built = reference.training
  losses = built.graph.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
  assert len(losses) == reference.golden['regularization_losses']
  updates = built.graph.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert len(updates) == reference.golden['update_ops']
  assert not reference.evaluation.graph.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_end_points(reference):
  golden = reference.golden
  assert reference.training.shape_by_end_point == golden['end_points_train']
  assert reference.evaluation.shape_by_end_point == golden['end_points_eval']


def test_logits(reference, recipe):
  golden = reference.golden
  if 'logits' not in golden:
    pytest.skip('The golden has no logits.')
  built = reference.evaluation
  with tf.Session(graph=built.graph) as session:
    # In one run, the value in place of each initial one; a run for each would take long.
    variables = built.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
    values = {
      variable.initializer.inputs[1]: recipe.variable_value(
        variable.op.name, variable.shape.as_list()
      )
      for variable in variables
    }
    session.run([variable.initializer for variable in variables], values)
    images = recipe.input_images(golden['input_shape'])
    logits, end_points = session.run([built.logits, built.end_points], {built.images: images})
  assert np.isfinite(logits).all()
  largest = np.abs(golden['logits']).max()
  np.testing.assert_allclose(logits, golden['logits'], rtol=0, atol=TOLERANCE * largest)
  rms = {name: np.sqrt(np.mean(np.square(value))) for name, value in end_points.items()}
  assert rms == pytest.approx(golden['end_point_rms'], rel=TOLERANCE)


def test_classifier_scopes(reference):
  """The row's classifier scopes hold all variables with an axis for the classes."""
  num_classes = reference.golden['num_classes']
  names = [name for name, shape in reference.golden['variables'] if shape[-1] == num_classes]
  in_scope = {
    scope: [name for name in names if name.startswith(f'{scope}/')]
    for scope in reference.network.classifier_scopes
  }
  assert all(in_scope.values())
  assert sorted(names) == sorted(itertools.chain(*in_scope.values()))
