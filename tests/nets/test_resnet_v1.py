"""Residual nets of version 1 put together in other ways than the table's."""

import numpy as np
import pytest

from nets import resnet_utils, resnet_v1
from slimcompat import errors, slim, tf

# Two blocks, so that with the root the output stride is 16.
BLOCKS = [
  resnet_v1.resnet_v1_block('block1', base_depth=2, num_units=2, stride=2),
  resnet_v1.resnet_v1_block('block2', base_depth=4, num_units=2, stride=2),
]


def random_images(height, width, channels=3):
  pixels = np.random.RandomState(0).uniform(-1, 1, [2, height, width, channels])
  return tf.constant(pixels, tf.float32)


def evaluate(*tensors):
  with tf.Session() as session:
    tf.set_random_seed(1)
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


def features(images, **keywords):
  with slim.arg_scope(resnet_v1.resnet_arg_scope()):
    keywords = {'is_training': False, 'global_pool': False, 'scope': 'tiny', **keywords}
    return resnet_v1.resnet_v1(images, BLOCKS, **keywords)


@pytest.mark.parametrize('size', [32, 33])
def test_conv2d_same_is_a_subsampled_convolution(size):
  images = random_images(size, size)
  strided = resnet_utils.conv2d_same(images, 4, 3, stride=2, scope='conv')
  with tf.variable_scope('', reuse=True):
    dense = slim.conv2d(images, 4, 3, scope='conv')
  strided, subsampled = evaluate(strided, resnet_utils.subsample(dense, 2))
  np.testing.assert_allclose(strided, subsampled, rtol=0, atol=1e-6)


@pytest.mark.parametrize('output_stride', [4, 8, 16])
def test_output_stride_dilates_instead_of_striding(output_stride):
  """The dense features are, at every 16th pixel, those of the strided net."""
  images = random_images(65, 81)
  strided, _ = features(images)
  dense, _ = features(images, output_stride=output_stride, reuse=True)
  assert dense.shape[1:3] == [64 // output_stride + 1, 80 // output_stride + 1]
  subsampled = resnet_utils.subsample(dense, 16 // output_stride)
  strided, subsampled = evaluate(strided, subsampled)
  np.testing.assert_allclose(subsampled, strided, rtol=0, atol=1e-5 * np.abs(strided).max())


def test_end_points_before_the_stride():
  """Storing a block's output before its stride changes the end points and nothing else."""
  images = random_images(65, 65)
  late, late_end_points = features(images, store_non_strided_activations=True)
  plain, end_points = features(images, reuse=True)
  assert end_points['tiny/block1'].shape == [2, 9, 9, 8]
  assert late_end_points['tiny/block1'].shape == [2, 17, 17, 8]
  late, plain = evaluate(late, plain)
  np.testing.assert_allclose(late, plain, rtol=0, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize('output_stride', [2, 12, 32, 0])
def test_refuses_an_output_stride_the_net_lacks(output_stride):
  with pytest.raises(errors.InputError, match=f'no output_stride {output_stride}.*4, 8, 16'):
    features(random_images(65, 65), output_stride=output_stride)


def test_without_the_root_block():
  net, _ = features(random_images(32, 32, 8), include_root_block=False, output_stride=2)
  assert net.shape == [2, 16, 16, 16]
  with pytest.raises(errors.InputError, match=r'no output_stride 8.*1, 2, 4'):
    features(random_images(32, 32, 8), include_root_block=False, output_stride=8)


def test_unknown_sizes():
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, end_points = features(images, num_classes=5, global_pool=True)
  assert logits.shape.as_list() == [None, 5]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    feed = {images: np.zeros([3, 40, 50, 3])}
    logits, predictions = session.run([logits, end_points['predictions']], feed)
  assert logits.shape == (3, 5)
  np.testing.assert_allclose(predictions.sum(axis=1), np.ones(3), rtol=1e-6)


def test_dense_logits():
  logits, end_points = features(random_images(64, 64), num_classes=5, spatial_squeeze=False)
  assert logits.shape == [2, 4, 4, 5]
  assert end_points['predictions'].shape == [2, 4, 4, 5]
  with pytest.raises(errors.InputError, match='4x4 positions of logits'):
    features(random_images(64, 64), num_classes=5, reuse=True)


def test_is_training_none_leaves_it_to_the_arg_scope():
  images = random_images(32, 32)
  with slim.arg_scope([slim.batch_norm], is_training=False):
    features(images, is_training=None)
  assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  features(images, is_training=None, scope='training')
  assert tf.get_collection(tf.GraphKeys.UPDATE_OPS)


def test_arg_scope_without_batch_norm():
  with slim.arg_scope(resnet_v1.resnet_arg_scope(use_batch_norm=False)):
    resnet_v1.resnet_v1(random_images(32, 32), BLOCKS, scope='tiny')
  names = {variable.op.name.split('/')[-1] for variable in tf.global_variables()}
  assert names == {'weights', 'biases'}


@pytest.mark.parametrize(
  ('net', 'multiplier', 'least', 'base_depths'),
  [
    # A quarter of 64 is below the minimum.
    ('resnet_v1_50', 0.25, 20, (20, 32, 64, 128)),
    ('resnet_v1_50', 0, 5, (5, 5, 5, 5)),
    ('resnet_v1_101', 0, 5, (5, 5, 5, 5)),
    ('resnet_v1_50', 0.0, 8, (8, 8, 8, 8)),
    ('resnet_v1_50', 0.1, 1, (6, 12, 25, 51)),
  ],
)
def test_depth_multiplier(net, multiplier, least, base_depths):
  network = getattr(resnet_v1, net)
  _, end_points = network(random_images(32, 32), depth_multiplier=multiplier, min_base_depth=least)
  depths = [end_points[f'{net}/block{index}'].shape[-1] for index in range(1, 5)]
  assert depths == [4 * depth for depth in base_depths]


@pytest.mark.parametrize(
  ('arguments', 'sentence'),
  [
    ({'depth_multiplier': -1}, 'depth_multiplier is -1; it must be 0 or more'),
    ({'depth_multiplier': float('nan')}, 'depth_multiplier is nan;'),
    ({'depth_multiplier': 0, 'min_base_depth': 0}, 'min_base_depth is 0;'),
  ],
)
def test_refuses_depths(arguments, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    resnet_v1.resnet_v1_50(random_images(32, 32), **arguments)


def test_bounded_activations():
  unit = resnet_v1.bottleneck(
    1000 * random_images(8, 8, 4), 4, 2, stride=1, use_bounded_activations=True
  )
  (output,) = evaluate(unit)
  assert output.min() == 0
  assert output.max() == 6
