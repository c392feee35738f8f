"""What version 2 has of its own, in a net of a few narrow units."""

import numpy as np
import pytest

from nets import resnet_utils, resnet_v2
from slimcompat import errors, slim, tf


def _blocks():
  columns = zip((1, 2, 2, 1), (2, 2, 2, 1), strict=True)
  return [
    resnet_v2.resnet_v2_block(f'block{index}', base_depth=2, num_units=units, stride=stride)
    for index, (units, stride) in enumerate(columns, 1)
  ]


def _features(images, **kwargs):
  """Returns the features without the average over positions."""
  with slim.arg_scope(resnet_v2.resnet_arg_scope()):
    return resnet_v2.resnet_v2(
      images, _blocks(), is_training=False, global_pool=False, scope='net', **kwargs
    )


@pytest.mark.parametrize('output_stride', [4, 8, 16, 32])
def test_dense_features(output_stride):
  """With fewer strides there are more features, and among them those with all strides."""
  tf.set_random_seed(1)
  images = tf.random.stateless_normal([1, 65, 65, 3], [1, 2])
  dense, _ = _features(images, output_stride=output_stride)
  assert dense.shape[1] == 64 // output_stride + 1
  dense = resnet_utils.subsample(dense, 32 // output_stride)
  strided, _ = _features(images, reuse=True)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    dense, strided = session.run([dense, strided])
  assert np.abs(strided).max() > 0.1
  np.testing.assert_allclose(dense, strided, rtol=0, atol=1e-5 * np.abs(strided).max())


def test_unit():
  """The sum is neither normalized nor activated, and the shortcut starts at the activation."""
  tf.set_random_seed(1)
  images = np.random.RandomState(1).normal(size=[1, 4, 4, 3]).astype('float32')
  with (
    slim.arg_scope(resnet_v2.resnet_arg_scope()),
    slim.arg_scope([slim.batch_norm], is_training=False),
  ):
    output = resnet_v2.bottleneck(tf.constant(images), 4, 2, stride=1, scope='unit')
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for variable in tf.global_variables('unit/conv3'):
      variable.load(np.zeros(variable.shape), session)
    (weights,) = tf.global_variables('unit/shortcut/weights')
    output, weights = session.run([output, weights])
  preact = np.maximum(images / np.sqrt(1 + 1e-5), 0)
  np.testing.assert_allclose(output, preact @ weights[0, 0], rtol=1e-4, atol=1e-5)
  assert output.min() < 0


def test_no_root_block():
  net, end_points = _features(tf.zeros([1, 8, 8, 16]), include_root_block=False)
  assert net.shape == [1, 1, 1, 8]
  assert 'net/conv1' not in end_points


def test_images_of_unknown_size():
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, _ = resnet_v2.resnet_v2(images, _blocks(), 5)
  assert logits.shape.as_list() == [None, 5]


REFUSED = {
  'output_stride': (lambda: _features(tf.zeros([1, 64, 64, 3]), output_stride=12), '4, 8, 16, 32'),
  'output_stride without root': (
    lambda: _features(tf.zeros([1, 8, 8, 3]), output_stride=16, include_root_block=False),
    '1, 2, 4, 8',
  ),
  'rank': (lambda: resnet_v2.resnet_v2_50(tf.zeros([64, 64, 3])), r'\(64, 64, 3\)'),
  'positions': (
    lambda: resnet_v2.resnet_v2(tf.zeros([1, 64, 64, 3]), _blocks(), 5, global_pool=False),
    '2x2 positions',
  ),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(case):
  call, message = REFUSED[case]
  with pytest.raises(errors.InputError, match=message):
    call()
