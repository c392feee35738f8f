"""Explanations: the numbers of the papers' equations, of a model that can be computed by hand."""

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import tf
from slimtrain import explanation, models


@pytest.mark.parametrize('task', ['single_label', 'regression'])
def test_gradient_and_grad_cam_are_those_of_the_papers(task):
  rng = np.random.RandomState(0)
  pixels = rng.normal(size=(3, 4, 6, 2)).astype(np.float32)
  weights = rng.normal(size=(4, 6, 2, 5)).astype(np.float32)  # Of the logits.
  with tf.Session() as session:
    images = tf.constant(pixels)
    activations = 2 * images
    beside = tf.square(images)
    logits = tf.einsum('bhwc,hwck->bk', activations, weights)
    end_points = {'map': activations, 'beside': beside, 'Logits': logits}
    outputs = explanation.add_outputs(
      models.Model(logits, end_points), images, task, np.zeros(2), np.ones(2)
    )
    assert outputs.keys() == {'gradient', 'grad_cam', 'picture'}
    found, logits = session.run([outputs, logits])
  chosen = [0, 0, 0] if task == 'regression' else logits.argmax(axis=1)
  for row, number in enumerate(chosen):
    derivatives = weights[..., number]
    np.testing.assert_allclose(
      found['gradient'][row], np.abs(2 * derivatives).max(axis=-1), rtol=1e-5
    )
    expected = np.maximum((derivatives.mean(axis=(0, 1)) * 2 * pixels[row]).sum(axis=-1), 0)
    np.testing.assert_allclose(found['grad_cam'][row], expected, rtol=1e-4, atol=1e-6)
  assert found['picture'].dtype == np.uint8


# The last end point with rows and columns that the logits are made of.
MAPS = {
  'lenet': 'pool2',
  'vgg_a': 'vgg_a/pool5',
  'inception_v3': 'Mixed_7c',
  'resnet_v1_50': 'resnet_v1_50/block4',
  'mobilenet_v1_025': 'Conv2d_13_pointwise',
}


@pytest.mark.parametrize('name', MAPS)
def test_the_map_is_the_last_one_of_the_net(name):
  network = nets_factory.NETWORKS[name]
  size = network.image_size
  images = tf.zeros([1, size, size, network.num_channels])
  model = models.Model(*nets_factory.get_network_fn(name, 5)(images))
  chosen = explanation._last_map(model, tf.reduce_sum(model.logits))
  assert chosen.shape[1] > 1
  assert chosen.op is model.end_points[MAPS[name]].op
