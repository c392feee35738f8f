"""MobileNet v1 with other layers, depths and strides than the table's."""

import numpy as np
import pytest

from nets import mobilenet_v1
from slimcompat import errors, slim, tf

END_POINTS = [
  'Conv2d_0',
  *(f'Conv2d_{index}_{part}' for index in range(1, 14) for part in ('depthwise', 'pointwise')),
]


def random_images(size):
  pixels = np.random.RandomState(0).uniform(-1, 1, [2, size, size, 3])
  return tf.constant(pixels, tf.float32)


def base(images, **keywords):
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(is_training=False)):
    return mobilenet_v1.mobilenet_v1_base(
      images, **{'depth_multiplier': 0.25, 'scope': 'mobilenet', **keywords}
    )


def evaluate(*tensors):
  with tf.Session() as session:
    tf.set_random_seed(1)
    session.run(tf.global_variables_initializer())
    return session.run(tensors)


@pytest.mark.parametrize('index', [0, 1, 2, 13, 26])
def test_final_endpoint(index):
  net, end_points = base(random_images(32), final_endpoint=END_POINTS[index])
  assert list(end_points) == END_POINTS[: index + 1]
  assert net is end_points[END_POINTS[index]]


def test_refuses_a_final_endpoint():
  with pytest.raises(errors.InputError, match=r"Did you mean 'Conv2d_1_pointwise'\?.*Conv2d_0, "):
    base(random_images(32), final_endpoint='Conv2d_1_pointwis')


@pytest.mark.parametrize('output_stride', [8, 16, 32])
@pytest.mark.parametrize('use_explicit_padding', [False, True])
def test_output_stride_dilates_instead_of_striding(output_stride, use_explicit_padding):
  """The dense features are, at every 32nd pixel, those of the strided net."""
  images = random_images(97)
  strided, _ = base(images, use_explicit_padding=use_explicit_padding)
  with tf.variable_scope('', reuse=True):
    dense, _ = base(images, output_stride=output_stride, use_explicit_padding=use_explicit_padding)
  assert dense.shape[1:3] == [96 // output_stride + 1] * 2
  step = 32 // output_stride
  strided, subsampled = evaluate(strided, dense[:, ::step, ::step])
  assert np.abs(strided).max() > 0
  np.testing.assert_allclose(subsampled, strided, rtol=0, atol=1e-5 * np.abs(strided).max())


@pytest.mark.parametrize('output_stride', [4, 12, 64])
def test_refuses_an_output_stride(output_stride):
  with pytest.raises(errors.InputError, match=f'no output_stride {output_stride}.*8, 16, 32'):
    base(random_images(32), output_stride=output_stride)


def test_least_depth():
  _, end_points = base(random_images(32), depth_multiplier=0.1, min_depth=10)
  assert end_points['Conv2d_0'].shape[-1] == 10
  assert end_points['Conv2d_13_pointwise'].shape[-1] == 102


@pytest.mark.parametrize('depth_multiplier', [0, -0.5])
def test_refuses_a_depth_multiplier(depth_multiplier):
  with pytest.raises(errors.InputError, match=f'depth_multiplier is {depth_multiplier};'):
    mobilenet_v1.mobilenet_v1(random_images(32), depth_multiplier=depth_multiplier)


def test_layers_of_ones_own():
  layers = [
    mobilenet_v1.Conv(kernel=[5, 5], stride=2, depth=16),
    mobilenet_v1.DepthSepConv(kernel=[3, 3], stride=2, depth=32),
    mobilenet_v1.Conv(kernel=[1, 1], stride=1, depth=24),
  ]
  net, end_points = base(
    random_images(32), conv_defs=layers, final_endpoint='Conv2d_2', depth_multiplier=1.0
  )
  assert list(end_points) == ['Conv2d_0', 'Conv2d_1_depthwise', 'Conv2d_1_pointwise', 'Conv2d_2']
  assert net.shape == [2, 8, 8, 24]


def test_features_and_global_pool():
  features, end_points = mobilenet_v1.mobilenet_v1_025(random_images(128), None)
  assert features is end_points['AvgPool_1a']
  assert features.shape == [2, 1, 1, 256]
  pooled, end_points = mobilenet_v1.mobilenet_v1_025(
    random_images(320), None, global_pool=True, reuse=True
  )
  assert pooled is end_points['global_pool']
  assert pooled.shape == [2, 1, 1, 256]


def test_maps_of_logits():
  logits, _ = mobilenet_v1.mobilenet_v1_025(
    random_images(320), 10, spatial_squeeze=False, prediction_fn=None
  )
  assert logits.shape == [2, 2, 2, 10]
  with pytest.raises(errors.InputError, match='2x2 positions of logits'):
    mobilenet_v1.mobilenet_v1_025(random_images(320), 10, reuse=True)


def test_without_predictions():
  _, end_points = mobilenet_v1.mobilenet_v1_025(random_images(32), 10, prediction_fn=None)
  assert 'Logits' in end_points
  assert 'Predictions' not in end_points


def test_unknown_sizes():
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, _ = mobilenet_v1.mobilenet_v1_025(images, 10, is_training=False, global_pool=True)
  assert logits.shape.as_list() == [None, 10]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert session.run(logits, {images: np.zeros([3, 40, 50, 3])}).shape == (3, 10)


def test_arg_scope_regularizes_depthwise_weights_on_demand():
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(regularize_depthwise=True)):
    mobilenet_v1.mobilenet_v1_025(random_images(32), 10)
  # One loss for each of 13 depthwise, 13 pointwise and 2 full convolutions.
  assert len(tf.losses.get_regularization_losses()) == 28


def test_arg_scope_without_batch_norm():
  with slim.arg_scope(mobilenet_v1.mobilenet_v1_arg_scope(normalizer_fn=None)):
    mobilenet_v1.mobilenet_v1_025(random_images(32), 10)
  names = {variable.op.name.split('/')[-1] for variable in tf.global_variables()}
  assert names == {'weights', 'depthwise_weights', 'biases'}
