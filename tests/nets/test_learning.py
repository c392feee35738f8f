"""One net of a family learns a batch by heart."""

import numpy as np
import pytest

from nets import nets_factory
from nets.nasnet import nasnet, pnasnet
from slimcompat import tf

# By name: the shape of the images or videos in patches, the pixels per side of a patch, and the
# arguments that make the net smaller.
NETS = {
  'alexnet_v2': ([8, 5, 5, 3], 39, {}),
  'inception_v1': ([8, 4, 4, 3], 8, {}),
  'inception_v2': ([8, 4, 4, 3], 8, {'depth_multiplier': 0.25}),
  'inception_v3': ([8, 5, 5, 3], 15, {'depth_multiplier': 0.25, 'create_aux_logits': False}),
  'inception_v4': ([8, 5, 5, 3], 15, {'create_aux_logits': False}),
  'inception_resnet_v2': ([8, 5, 5, 3], 15, {'create_aux_logits': False}),
  'nasnet_cifar': (
    [8, 4, 4, 3],
    8,
    {'config': nasnet.cifar_config().parse('num_cells=3,num_conv_filters=8')},
  ),
  'pnasnet_mobile': (
    [8, 4, 4, 3],
    17,
    {'config': pnasnet.mobile_imagenet_config().parse('num_cells=3,num_conv_filters=8')},
  ),
  'resnet_v2_50': ([8, 4, 4, 3], 8, {}),
  's3dg': ([8, 4, 4, 4, 3], 8, {'depth_multiplier': 0.25}),
}
SLOW = {'alexnet_v2', 'inception_v1', 'inception_v4', 'inception_resnet_v2'}


@pytest.mark.parametrize(
  'name', [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NETS]
)
def test_loss_falls_by_half(name, recipe):
  """Within 60 steps of training on 8 images."""
  shape, patch_size, keywords = NETS[name]
  # Images of noise per pixel look the same to the last layers of a net that was just made.
  images = recipe.input_images(shape).repeat(patch_size, axis=-3).repeat(patch_size, axis=-2)
  tf.set_random_seed(1)
  network_fn = nets_factory.get_network_fn(name, 10, is_training=True)
  logits, _ = network_fn(tf.constant(images), **keywords)
  loss = tf.losses.sparse_softmax_cross_entropy(np.arange(8), logits)
  step = tf.train.AdamOptimizer(0.0003).minimize(loss)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    losses = [session.run(loss)]
    while losses[-1] > losses[0] / 2:
      assert len(losses) <= 60, losses
      losses.append(session.run([loss, step])[0])
