"""What a net does to its variables, in training and in evaluation, on small images."""

import zlib

import numpy as np
import pytest

from slimcompat import tf


@pytest.fixture
def feed(reference, recipe):
  images = reference.small.images
  return {images: recipe.input_images(images.shape.as_list())}


def test_variables_in_a_second_scope_and_reused(reference):
  small = reference.small
  # Without height and width, which a second classifier's kernel has from the size of the images.
  golden = {f'second/{name}': shape[-2:] for name, shape in reference.golden['variables']}
  built = {variable.op.name: variable.shape.as_list()[-2:] for variable in small.variables}
  assert built == golden
  assert small.variables_with_features == small.variables


def test_features_have_no_classifier(reference):
  features = reference.small.features
  assert features.shape[0] == reference.small.images.shape[0]
  assert features.shape[-1] > reference.golden['num_classes']


def test_evaluating_leaves_variables_alone(reference, feed):
  small = reference.small

  def checksums():
    values = small.session.run(small.variables)
    return [zlib.crc32(value.tobytes()) for value in values]

  before = checksums()
  assert np.isfinite(small.session.run(small.features, feed)).all()
  assert checksums() == before


def test_gradients(reference, feed):
  """Every trainable variable gets a finite gradient, and not all of it is zero."""
  small = reference.small
  with small.graph.as_default():
    loss = sum(
      tf.losses.sparse_softmax_cross_entropy([0, 1, 2, 3], logits) for logits in small.all_logits
    )
    variables = tf.trainable_variables()
    gradients = tf.gradients(loss, variables)
    # Infinite or not a number if any element is.
    sums = [tf.reduce_sum(tf.abs(gradient)) for gradient in gradients]
    loss, sums = small.session.run([loss, sums], feed)
  assert np.isfinite(loss)
  names = np.array([variable.op.name for variable in variables])
  assert not names[~np.isfinite(sums)].tolist()
  assert not names[np.equal(sums, 0)].tolist()


def test_batch_norm_decay(reference, feed):
  """All moving averages move towards the batch's, by the part that the decay leaves."""
  small = reference.small
  averages = [variable for variable in small.variables if variable.op.name.endswith('moving_mean')]
  assert bool(averages) == reference.network.has_batch_norm_decay
  updates = small.graph.get_collection(tf.GraphKeys.UPDATE_OPS)
  # The averages start at 0.
  small.session.run(updates, feed)
  once = small.session.run(averages)
  small.session.run(updates, feed)
  twice = small.session.run(averages)
  for variable, first, second in zip(averages, once, twice, strict=True):
    largest = np.abs(first).max()
    assert largest > 0, variable.op.name
    np.testing.assert_allclose(
      second,
      (1 + small.batch_norm_decay) * first,
      rtol=0,
      atol=1e-3 * largest,
      err_msg=variable.op.name,
    )
