"""Inception v2: Inception with batch norm, and two 3x3 convolutions in place of a 5x5 one.

S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift", 2015, https://arxiv.org/abs/1502.03167, appendix, figure 5. Its blocks
3a to 5b are here 'Mixed_3b' to 'Mixed_5c'. Against the figure, the projections of 'Mixed_4d' and
'Mixed_4e' are 96 deep, which its sums call for, and a little dropout precedes the logits. The
first, separable convolution has biases and no batch norm, and its weights no L2 loss.
"""

from collections.abc import Callable

from nets import arguments, inception_heads, inception_utils
from nets import inception_blocks as blocks
from slimcompat import errors, slim, tf

inception_v2_arg_scope = inception_utils.inception_arg_scope


class _SeparableConv(blocks.Conv):
  """A convolution of each channel by itself, then a 1x1 convolution."""

  def build(self, net, variant):
    depth = variant.depth(self.depth)
    return slim.separable_conv2d(
      net,
      depth,
      self.kernel,
      depth_multiplier=min(depth // 3, 8),  # For images of 3 channels.
      stride=self.stride,
      padding=self.padding,
      weights_initializer=tf.truncated_normal_initializer(stddev=self.stddev),
      scope=self.name,
    )


def _reducing_conv(depth):
  return blocks.Conv('0a', 1, depth, stddev=0.09)


def _mixed(name, conv_1x1, conv_3x3, double_3x3, pool, projection):
  """Returns a block by its row of figure 5.

  Args:
    name: the scope and end point.
    conv_1x1: the depth of branch 0.
    conv_3x3: the depths in branch 1: of the 1x1 reduction, then of the 3x3 convolution.
    double_3x3: the depths in branch 2: of the 1x1 reduction, then of both 3x3 convolutions.
    pool: the kind of pooling in branch 3, 'Avg' or 'Max'.
    projection: the depth of the 1x1 convolution after the pooling.
  """
  branches = [
    [blocks.Conv('0a', 1, conv_1x1)],
    [_reducing_conv(conv_3x3[0]), blocks.Conv('0b', 3, conv_3x3[1])],
    [
      _reducing_conv(double_3x3[0]),
      blocks.Conv('0b', 3, double_3x3[1]),
      blocks.Conv('0c', 3, double_3x3[1]),
    ],
    [blocks.Pool(pool, '0a', 3), blocks.Conv('0b', 1, projection, stddev=0.1)],
  ]
  return blocks.Mixed(name, branches)


def _halving(name, conv_3x3, double_3x3):
  """Returns a block that strides and passes the pooled input through; see `_mixed`."""
  branches = [
    [_reducing_conv(conv_3x3[0]), blocks.Conv('1a', 3, conv_3x3[1], stride=2)],
    [
      _reducing_conv(double_3x3[0]),
      blocks.Conv('0b', 3, double_3x3[1]),
      blocks.Conv('1a', 3, double_3x3[1], stride=2),
    ],
    [blocks.Pool('Max', '1a', 3, stride=2)],
  ]
  return blocks.Mixed(name, branches)


_ROOT = [
  blocks.Pool('Max', '2a', 3, stride=2),
  blocks.Conv('2b', 1, 64, stddev=0.1),
  blocks.Conv('2c', 3, 192),
  blocks.Pool('Max', '3a', 3, stride=2),
]
_BLOCKS = [
  _mixed('Mixed_3b', 64, (64, 64), (64, 96), 'Avg', 32),
  _mixed('Mixed_3c', 64, (64, 96), (64, 96), 'Avg', 64),
  _halving('Mixed_4a', (128, 160), (64, 96)),
  _mixed('Mixed_4b', 224, (64, 96), (96, 128), 'Avg', 128),
  _mixed('Mixed_4c', 192, (96, 128), (96, 128), 'Avg', 128),
  _mixed('Mixed_4d', 160, (128, 160), (128, 160), 'Avg', 96),
  _mixed('Mixed_4e', 96, (128, 192), (160, 192), 'Avg', 96),
  _halving('Mixed_5a', (128, 192), (192, 256)),
  _mixed('Mixed_5b', 352, (192, 320), (160, 224), 'Avg', 128),
  _mixed('Mixed_5c', 352, (192, 320), (192, 224), 'Max', 128),
]


def inception_v2_base(
  inputs: tf.Tensor,
  final_endpoint: str = 'Mixed_5c',
  min_depth: int = 16,
  depth_multiplier: float = 1.0,
  use_separable_conv: bool = True,
  data_format: str = 'NHWC',
  include_root_block: bool = True,
  scope: str | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    final_endpoint: where to end: 'Conv2d_1a_7x7', 'MaxPool_2a_3x3', 'Conv2d_2b_1x1',
      'Conv2d_2c_3x3', 'MaxPool_3a_3x3', 'Mixed_3b', 'Mixed_3c', 'Mixed_4a' to 'Mixed_4e', or
      'Mixed_5a' to 'Mixed_5c'.
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    use_separable_conv: whether the first convolution is separable, as released, or a full one.
    data_format: 'NHWC', or 'NCHW' for inputs and features `[batch, channels, height, width]`;
      that takes a full first convolution.
    include_root_block: whether the net starts with the layers before 'Mixed_3b'; without, the
      inputs are features in their place.
    scope: the variable scope.

  Raises:
    InputError: when the images have another rank, or an argument is none of the allowed.
  """
  arguments.check_choice('data_format', data_format, ['NHWC', 'NCHW'])
  if data_format == 'NCHW' and use_separable_conv:
    raise errors.InputError(
      "data_format is 'NCHW', which separable convolutions cannot do. Pass"
      " use_separable_conv=False, or data_format='NHWC'."
    )
  layers = _BLOCKS
  if include_root_block:
    conv = _SeparableConv if use_separable_conv else blocks.Conv
    layers = [conv('1a', 7, 64, stride=2, stddev=1.0), *_ROOT, *_BLOCKS]
  variant = blocks.Variant(depth_multiplier, min_depth, data_format)
  with (
    tf.variable_scope(scope, 'InceptionV2', [inputs]),
    slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d], data_format=data_format),
  ):
    return blocks.build_until(final_endpoint, inputs, layers, variant)


def inception_v2(
  inputs: tf.Tensor,
  num_classes: int | None = 1000,
  is_training: bool | tf.Tensor = True,
  dropout_keep_prob: float = 0.8,
  min_depth: int = 16,
  depth_multiplier: float = 1.0,
  prediction_fn: Callable | None = slim.softmax,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
  scope: str = 'InceptionV2',
  global_pool: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` and the end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, depth]`.
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
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
  with (
    tf.variable_scope(scope, 'InceptionV2', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v2_base(
      inputs, min_depth=min_depth, depth_multiplier=depth_multiplier, scope=sc
    )
    net, head_end_points = inception_heads.classify(
      net,
      num_classes,
      (7, 7),
      dropout_keep_prob,
      prediction_fn,
      spatial_squeeze,
      global_pool,
    )
  return net, {**end_points, **head_end_points}


inception_v2.default_image_size = 224
