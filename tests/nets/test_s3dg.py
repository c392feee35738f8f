"""The video nets S3D-G and I3D: what their arguments change, and their building blocks."""

import numpy as np
import pytest

from nets import i3d, i3d_utils, s3dg
from slimcompat import errors, slim, tf

SHAPE = [1, 4, 16, 16, 3]


def _leaves(scope):
  """Returns the kinds of weights in the scope, such as 'temporal'."""
  variables = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, f'InceptionV1/{scope}/')
  return {variable.op.name.split('/')[-2] for variable in variables}


def _frames(scope):
  (weights,) = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, f'InceptionV1/{scope}/weights')
  return int(weights.shape[0])


def test_start_of_convolutions_over_time_and_gates():
  with slim.arg_scope(s3dg.s3dg_arg_scope()):
    s3dg.s3dg_base(
      tf.zeros(SHAPE),
      first_temporal_kernel_size=1,
      temporal_conv_startat='Mixed_3c',
      gating_startat='Mixed_4b',
      final_endpoint='Mixed_4b',
    )
  assert _frames('Conv2d_1a_7x7') == 1
  kinds = {
    name: _leaves(f'{name}/Branch_1/Conv2d_0b_3x3') & {'temporal', 'transformer_W'}
    for name in ('Mixed_3b', 'Mixed_3c', 'Mixed_4b')
  }
  assert kinds == {
    'Mixed_3b': set(),
    'Mixed_3c': {'temporal'},
    'Mixed_4b': {'temporal', 'transformer_W'},
  }


def test_without_convolutions_over_time():
  s3dg.s3dg_base(
    tf.zeros(SHAPE),
    temporal_conv_startat=None,
    gating_startat=None,
    final_endpoint='Mixed_3b',
    depth_multiplier=0.5,
  )
  assert not _leaves('.*') & {'temporal', 'transformer_W'}
  weights = tf.get_collection(tf.GraphKeys.TRAINABLE_VARIABLES, '.*weights')
  depths = {variable.op.name: variable.shape[-1] for variable in weights}
  assert depths['InceptionV1/Conv2d_2c_3x3/weights'] == 96
  # 16 filters would be 8; the least depth is 16.
  assert depths['InceptionV1/Mixed_3b/Branch_2/Conv2d_0a_1x1/weights'] == 16


def test_i3d_ends_early():
  net, end_points = i3d.i3d_base(tf.zeros([1, 8, 32, 32, 3]), final_endpoint='MaxPool_4a_3x3')
  assert net is end_points['MaxPool_4a_3x3']
  assert net.shape == [1, 2, 2, 2, 480]
  assert list(end_points)[-1] == 'MaxPool_4a_3x3'
  assert len(end_points) == 8


def test_unknown_sizes_and_features():
  videos = tf.placeholder(tf.float32, [None, None, None, None, 3])
  settings = {'final_endpoint': 'Mixed_3b', 'is_training': False}
  logits, _ = s3dg.s3dg(videos, 5, **settings)
  features, _ = s3dg.s3dg(videos, None, **settings, reuse=True)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    feed = {videos: np.ones([2, 7, 56, 56, 3])}
    logits, features = session.run([logits, features], feed)
  assert logits.shape == (2, 5)
  assert features.shape == (2, 1, 1, 256)


def test_channels_first_has_the_same_variables():
  """The ops have no CPU kernels, so only the graph is looked at."""
  shapes = []
  for data_format, shape in (('NDHWC', [1, 4, 16, 16, 3]), ('NCDHW', [1, 3, 4, 16, 16])):
    with tf.Graph().as_default(), slim.arg_scope(s3dg.s3dg_arg_scope()):
      logits, end_points = s3dg.s3dg(
        tf.zeros(shape), 5, final_endpoint='Mixed_3c', data_format=data_format
      )
      assert logits.shape == [1, 5]
      shapes.append({variable.op.name: variable.shape for variable in tf.global_variables()})
  assert shapes[0] == shapes[1]
  assert end_points['Mixed_3c'].shape == [1, 480, 2, 2, 2]


def test_a_separated_convolution_starts_as_one_over_space():
  videos = tf.random.stateless_normal([2, 5, 6, 6, 3], [1, 2])
  one = tf.ones_initializer()
  with (
    slim.arg_scope([i3d_utils.conv3d_spatiotemporal], separable=True, activation_fn=tf.nn.relu),
    slim.arg_scope([slim.conv3d], weights_initializer=one),
  ):
    both = i3d_utils.conv3d_spatiotemporal(videos, 4, [3, 3, 3], scope='both')
    space = i3d_utils.conv3d_spatiotemporal(videos, 4, [1, 3, 3], scope='space')
    strided = i3d_utils.conv3d_spatiotemporal(videos, 4, [3, 3, 3], stride=2, scope='strided')
    axes = i3d_utils.conv3d_spatiotemporal(videos, 4, [3, 3, 3], stride=[1, 2, 3], scope='axes')
  assert strided.shape == [2, 3, 3, 3, 4]
  assert axes.shape == [2, 5, 3, 2, 4]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    both, space = session.run([both, space])
  assert np.abs(space).max() > 0
  np.testing.assert_array_equal(both, space)


def test_self_gating():
  features = np.random.RandomState(1).normal(size=[2, 3, 4, 5, 6]).astype('float32')
  gated = s3dg.self_gating(tf.constant(features), 'layer')
  (weights,) = tf.global_variables()
  assert weights.op.name == 'layer/self_gating/transformer_W/weights'
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    gated, weights = session.run([gated, weights])
  factors = 1 / (1 + np.exp(-features.mean(axis=(1, 2, 3)) @ weights[0, 0, 0]))
  expected = factors[:, np.newaxis, np.newaxis, np.newaxis] * features
  np.testing.assert_allclose(gated, expected, rtol=1e-5)


def test_block_of_one_s_own():
  net = i3d_utils.inception_block_v1_3d(
    tf.zeros([1, 2, 8, 8, 3]), 1, 2, 3, 4, 5, 6, temporal_kernel_size=1, scope='mine'
  )
  assert net.shape == [1, 2, 8, 8, 1 + 3 + 5 + 6]
  names = {variable.op.name for variable in tf.global_variables()}
  assert 'mine/Branch_2/Conv2d_0b_3x3/weights' in names


REFUSED = {
  'images': (lambda: i3d.i3d(tf.zeros([1, 16, 16, 3])), 'frames, height'),
  'unknown channels': (
    lambda: s3dg.s3dg(tf.placeholder(tf.float32, [1, 4, 16, 16, None])),
    'number of channels is unknown',
  ),
  'final_endpoint': (
    lambda: i3d.i3d_base(tf.zeros(SHAPE), 'Mixed_5d'),
    "final_endpoint 'Mixed_5d'. Did you mean 'Mixed_5",
  ),
  'depth_multiplier': (lambda: s3dg.s3dg(tf.zeros(SHAPE), depth_multiplier=0), 'greater than 0'),
  'data_format': (lambda: s3dg.s3dg(tf.zeros(SHAPE), data_format='NHWC'), 'NDHWC, NCDHW'),
  'first_temporal_kernel_size': (
    lambda: s3dg.s3dg(tf.zeros(SHAPE), first_temporal_kernel_size=2),
    '1, 3, 5, 7',
  ),
  'temporal_conv_startat': (
    lambda: s3dg.s3dg(tf.zeros(SHAPE), temporal_conv_startat='Conv2d_1a_7x7'),
    "temporal_conv_startat 'Conv2d_1a_7x7'",
  ),
  'gating_startat': (
    lambda: s3dg.s3dg(tf.zeros(SHAPE), gating_startat='Mixed_3'),
    "Did you mean 'Mixed_3",
  ),
  'larger videos': (
    lambda: s3dg.s3dg(tf.zeros([1, 4, 64, 72, 3]), final_endpoint='Mixed_3b'),
    '2x3 positions',
  ),
  'frames of weights': (lambda: i3d_utils.center_initializer()([2, 1, 1, 3, 3]), 'odd number'),
  'depths of weights': (lambda: i3d_utils.center_initializer()([3, 1, 1, 3, 4]), 'depth, depth'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(case):
  call, message = REFUSED[case]
  with pytest.raises(errors.InputError, match=message):
    call()
