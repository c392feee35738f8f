"""Inception v1, also known as GoogLeNet: four branches of convolutions side by side in a block.

C. Szegedy et al., "Going Deeper with Convolutions", 2014, https://arxiv.org/abs/1409.4842,
table 1. Against the paper, 3x3 convolutions stand for its 5x5 ones, batch norm for its local
response normalization, the pooling before the blocks 5 is 2x2, dropout keeps 0.8 in place of 0.6,
and there are no auxiliary heads.
"""

from collections.abc import Callable
from typing import NamedTuple

from nets import heads, inception_utils
from nets import inception_blocks as blocks
from slimcompat import slim, tf

inception_v1_arg_scope = inception_utils.inception_arg_scope

_STDDEV = 0.01  # Of all initial weights but the logits'.


class MixedBlock(NamedTuple):
  """The depths in a block's branches, as the columns of table 1 have them."""

  conv_1x1: int  # Branch 0.
  conv_3x3: tuple[int, int]  # Branch 1: of the 1x1 reduction, then of the 3x3 convolution.
  conv_5x5: tuple[int, int]  # Branch 2: the same; it has a 3x3 convolution, too.
  projection: int  # Branch 3: of the 1x1 convolution after a 3x3 maximum pooling.


MIXED_BLOCKS = {
  'Mixed_3b': MixedBlock(64, (96, 128), (16, 32), 32),
  'Mixed_3c': MixedBlock(128, (128, 192), (32, 96), 64),
  'Mixed_4b': MixedBlock(192, (96, 208), (16, 48), 64),
  'Mixed_4c': MixedBlock(160, (112, 224), (24, 64), 64),
  'Mixed_4d': MixedBlock(128, (128, 256), (24, 64), 64),
  'Mixed_4e': MixedBlock(112, (144, 288), (32, 64), 64),
  'Mixed_4f': MixedBlock(256, (160, 320), (32, 128), 128),
  'Mixed_5b': MixedBlock(256, (160, 320), (32, 128), 128),
  'Mixed_5c': MixedBlock(384, (192, 384), (48, 128), 128),
}


def _conv(position, kernel, depth, stride=1):
  return blocks.Conv(position, kernel, depth, stride, stddev=_STDDEV)


def _mixed(*names):
  """Returns the blocks of these names as layers."""
  layers = []
  for name in names:
    block = MIXED_BLOCKS[name]
    # The released weights have one convolution under another name than its sisters.
    position = '0a' if name == 'Mixed_5b' else '0b'
    branches = [
      [_conv('0a', 1, block.conv_1x1)],
      [_conv('0a', 1, block.conv_3x3[0]), _conv('0b', 3, block.conv_3x3[1])],
      [_conv('0a', 1, block.conv_5x5[0]), _conv(position, 3, block.conv_5x5[1])],
      [blocks.Pool('Max', '0a', 3), _conv('0b', 1, block.projection)],
    ]
    layers.append(blocks.Mixed(name, branches))
  return layers


_ROOT = [
  _conv('1a', 7, 64, stride=2),
  blocks.Pool('Max', '2a', 3, stride=2),
  _conv('2b', 1, 64),
  _conv('2c', 3, 192),
  blocks.Pool('Max', '3a', 3, stride=2),
]
_BLOCKS = [
  *_mixed('Mixed_3b', 'Mixed_3c'),
  blocks.Pool('Max', '4a', 3, stride=2),
  *_mixed('Mixed_4b', 'Mixed_4c', 'Mixed_4d', 'Mixed_4e', 'Mixed_4f'),
  blocks.Pool('Max', '5a', 2, stride=2),
  *_mixed('Mixed_5b', 'Mixed_5c'),
]


def inception_v1_base(
  inputs: tf.Tensor,
  final_endpoint: str = 'Mixed_5c',
  include_root_block: bool = True,
  scope: str = 'InceptionV1',
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    final_endpoint: where to end: 'Conv2d_1a_7x7', 'MaxPool_2a_3x3', 'Conv2d_2b_1x1',
      'Conv2d_2c_3x3', 'MaxPool_3a_3x3', 'MaxPool_4a_3x3', 'MaxPool_5a_2x2' or a key of
      MIXED_BLOCKS.
    include_root_block: whether the net starts with the layers before 'Mixed_3b'; without, the
      inputs are features in their place.
    scope: the variable scope.

  Raises:
    InputError: when the images have another rank or there is no such end point.
  """
  layers = [*_ROOT, *_BLOCKS] if include_root_block else _BLOCKS
  with tf.variable_scope(scope, 'InceptionV1', [inputs]):
    return blocks.build_until(final_endpoint, inputs, layers)


def inception_v1(
  inputs: tf.Tensor,
  num_classes: int | None = 1000,
  is_training: bool | tf.Tensor = True,
  dropout_keep_prob: float = 0.8,
  prediction_fn: Callable | None = slim.softmax,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
  scope: str = 'InceptionV1',
  global_pool: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` and the end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, 1024]`.
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    prediction_fn: makes the end point 'Predictions' of the logits; None leaves it out.
    spatial_squeeze: whether the logits lose their height and width of 1.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    global_pool: whether the features are averaged over all positions; without, over 7x7, or
      fewer where there are fewer.

  Raises:
    InputError: when the images have another rank or there is more than one position of logits to
      squeeze.
  """
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v1_base(inputs, scope=sc)
    with tf.variable_scope('Logits'):
      if global_pool:
        net = end_points['global_pool'] = heads.global_average(net)
      else:
        kernel_size = heads.reduced_kernel_size(net, [7, 7])
        net = slim.avg_pool2d(net, kernel_size, stride=1, padding='VALID', scope='AvgPool_0a_7x7')
        end_points['AvgPool_0a_7x7'] = net
      if not num_classes:
        return net, end_points
      net = slim.dropout(net, dropout_keep_prob, scope='Dropout_0b')
      logits = slim.conv2d(
        net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_0c_1x1'
      )
      if spatial_squeeze:
        logits = heads.squeeze(logits, 'SpatialSqueeze')
      end_points['Logits'] = logits
      if prediction_fn:
        end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


inception_v1.default_image_size = 224
