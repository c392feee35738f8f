"""MobileNet: depthwise separable convolutions, with a factor on all depths.

A. G. Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", 2017, https://arxiv.org/abs/1704.04861, table 1. Against the table, the last
depthwise convolution has stride 1, which its 7x7 output calls for; activations are ReLU6, and a
little dropout precedes the logits.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nets import arguments, convolutions, heads
from slimcompat import slim, tf


class Conv(NamedTuple):
  """A full convolution."""

  kernel: Sequence[int]
  stride: int
  depth: int  # The number of filters, before the factor.


class DepthSepConv(NamedTuple):
  """A convolution of each channel by itself, then a 1x1 convolution."""

  kernel: Sequence[int]
  stride: int
  depth: int  # The number of 1x1 filters, before the factor.


MOBILENETV1_CONV_DEFS = [
  Conv([3, 3], stride=2, depth=32),
  DepthSepConv([3, 3], stride=1, depth=64),
  DepthSepConv([3, 3], stride=2, depth=128),
  DepthSepConv([3, 3], stride=1, depth=128),
  DepthSepConv([3, 3], stride=2, depth=256),
  DepthSepConv([3, 3], stride=1, depth=256),
  DepthSepConv([3, 3], stride=2, depth=512),
  *[DepthSepConv([3, 3], stride=1, depth=512)] * 5,
  DepthSepConv([3, 3], stride=2, depth=1024),
  DepthSepConv([3, 3], stride=1, depth=1024),
]


def mobilenet_v1_base(
  inputs: tf.Tensor,
  final_endpoint: str = 'Conv2d_13_pointwise',
  min_depth: int = 8,
  depth_multiplier: float = 1.0,
  conv_defs: Sequence[Conv | DepthSepConv] | None = None,
  output_stride: int | None = None,
  use_explicit_padding: bool = False,
  scope: str | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    final_endpoint: where to end: 'Conv2d_0', or 'Conv2d_<n>_depthwise' or '_pointwise'.
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    conv_defs: the layers; None means MOBILENETV1_CONV_DEFS.
    output_stride: 8, 16 or 32, the ratio of the images' size to that of the features, for dense
      prediction: later layers dilate instead of striding. None means 32.
    use_explicit_padding: whether the padding is independent of the images' size.
    scope: the variable scope.

  Raises:
    InputError: when the images have another rank, or an argument is none of the allowed.
  """
  arguments.check_images(inputs)
  arguments.check_positive('depth_multiplier', depth_multiplier)
  if output_stride is not None:
    arguments.check_choice('output_stride', output_stride, [8, 16, 32])
  conv_defs = MOBILENETV1_CONV_DEFS if conv_defs is None else conv_defs
  arguments.check_choice('final_endpoint', final_endpoint, _end_point_names(conv_defs))

  def scaled(depth):
    return max(int(depth * depth_multiplier), min_depth)

  strides = convolutions.StrideKeeper(output_stride)
  end_points = {}
  with (
    tf.variable_scope(scope, 'MobilenetV1', [inputs]),
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d], padding='VALID' if use_explicit_padding else 'SAME'
    ),
  ):
    net = inputs
    for index, layer in enumerate(conv_defs):
      name = f'Conv2d_{index}'
      stride, rate = strides.next(layer.stride)
      if use_explicit_padding:
        net = convolutions.fixed_padding(net, layer.kernel, rate)
      if isinstance(layer, Conv):
        net = slim.conv2d(
          net, scaled(layer.depth), layer.kernel, stride=stride, rate=rate, scope=name
        )
        end_points[name] = net
      else:
        net = end_points[f'{name}_depthwise'] = slim.separable_conv2d(
          net,
          None,
          layer.kernel,
          depth_multiplier=1,
          stride=stride,
          rate=rate,
          scope=f'{name}_depthwise',
        )
        if final_endpoint == f'{name}_depthwise':
          break
        net = slim.conv2d(net, scaled(layer.depth), [1, 1], scope=f'{name}_pointwise')
        end_points[f'{name}_pointwise'] = net
      if final_endpoint in end_points:
        break
  return net, end_points


def _end_point_names(conv_defs):
  names = []
  for index, layer in enumerate(conv_defs):
    suffixes = [''] if isinstance(layer, Conv) else ['_depthwise', '_pointwise']
    names += [f'Conv2d_{index}{suffix}' for suffix in suffixes]
  return names


def mobilenet_v1(
  inputs: tf.Tensor,
  num_classes: int | None = 1000,
  dropout_keep_prob: float = 0.999,
  is_training: bool | tf.Tensor = True,
  min_depth: int = 8,
  depth_multiplier: float = 1.0,
  conv_defs: Sequence[Conv | DepthSepConv] | None = None,
  prediction_fn: Callable | None = slim.softmax,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
  scope: str = 'MobilenetV1',
  global_pool: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns MobileNet's logits `[batch, num_classes]` and its end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, depth]`.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    conv_defs: the layers; None means MOBILENETV1_CONV_DEFS.
    prediction_fn: makes the end point 'Predictions' of the logits; None leaves it out.
    spatial_squeeze: whether the logits lose their height and width of 1.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    global_pool: whether the features are averaged over all positions; without, over 7x7, or
      fewer where there are fewer.

  Raises:
    InputError: when the images have another rank, `depth_multiplier` is not above 0, or there is
      more than one position of logits to squeeze.
  """
  arguments.check_images(inputs)
  with (
    tf.variable_scope(scope, 'MobilenetV1', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = mobilenet_v1_base(
      inputs,
      min_depth=min_depth,
      depth_multiplier=depth_multiplier,
      conv_defs=conv_defs,
      scope=sc,
    )
    with tf.variable_scope('Logits'):
      if global_pool:
        net = end_points['global_pool'] = heads.global_average(net)
      else:
        kernel_size = heads.reduced_kernel_size(net, [7, 7])
        net = slim.avg_pool2d(net, kernel_size, padding='VALID', scope='AvgPool_1a')
        end_points['AvgPool_1a'] = net
      if not num_classes:
        return net, end_points
      net = slim.dropout(net, keep_prob=dropout_keep_prob, scope='Dropout_1b')
      logits = slim.conv2d(
        net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_1c_1x1'
      )
      if spatial_squeeze:
        logits = heads.squeeze(logits, 'SpatialSqueeze')
    end_points['Logits'] = logits
    if prediction_fn:
      end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


mobilenet_v1.default_image_size = 224


def _of_width(depth_multiplier):
  """Returns `mobilenet_v1` with another factor on all depths."""
  narrow = functools.partial(mobilenet_v1, depth_multiplier=depth_multiplier)
  return functools.update_wrapper(narrow, mobilenet_v1)


mobilenet_v1_075 = _of_width(0.75)
mobilenet_v1_050 = _of_width(0.50)
mobilenet_v1_025 = _of_width(0.25)


def mobilenet_v1_arg_scope(
  is_training: bool | tf.Tensor | None = True,
  weight_decay: float = 0.00004,
  stddev: float = 0.09,
  regularize_depthwise: bool = False,
  batch_norm_decay: float = 0.9997,
  batch_norm_epsilon: float = 0.001,
  batch_norm_updates_collections: str | None = tf.GraphKeys.UPDATE_OPS,
  normalizer_fn: Callable | None = slim.batch_norm,
) -> dict:
  """Returns the arg scope that MobileNet is to be built under.

  Args:
    is_training: for `mobilenet_v1_base` on its own; `mobilenet_v1` sets its own. None leaves
      batch norm's default.
    weight_decay: the weight of the L2 losses on the weights.
    stddev: of the initial weights.
    regularize_depthwise: whether the depthwise weights have L2 losses, too.
    batch_norm_decay: the decay of the moving averages, in [0, 1); short runs want less, such as
      0.9.
    batch_norm_epsilon: what batch norm adds to the variance.
    batch_norm_updates_collections: what the updates of the moving averages join; None runs them
      with the layer.
    normalizer_fn: the normalization after each convolution; None gives biases instead.
  """
  batch_norm = {
    'center': True,
    'scale': True,
    'decay': batch_norm_decay,
    'epsilon': batch_norm_epsilon,
    'updates_collections': batch_norm_updates_collections,
  }
  if is_training is not None:
    batch_norm['is_training'] = is_training
  regularizer = slim.l2_regularizer(weight_decay)
  with (
    slim.arg_scope(
      [slim.conv2d, slim.separable_conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=stddev),
      activation_fn=tf.nn.relu6,
      normalizer_fn=normalizer_fn,
    ),
    slim.arg_scope([slim.batch_norm], **batch_norm),
    slim.arg_scope([slim.conv2d], weights_regularizer=regularizer),
    slim.arg_scope(
      [slim.separable_conv2d],
      weights_regularizer=regularizer if regularize_depthwise else None,
    ) as scope,
  ):
    return scope
