"""Inception v3: convolutions factorized into smaller ones, 1x7 and 7x1 among them.

C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception Architecture
for Computer Vision", 2015, https://arxiv.org/abs/1512.00567, table 1, and figures 5 to 8 for the
blocks and the auxiliary head. Against the table, a 1x1 convolution and a second maximum pooling
stand for two of the 3x3 convolutions before the blocks; the first blocks have a 5x5 convolution;
and dropout precedes the logits.
"""

from collections.abc import Callable

from nets import heads, inception_heads, inception_utils
from nets import inception_blocks as blocks
from slimcompat import errors, slim, tf

inception_v3_arg_scope = inception_utils.inception_arg_scope

_AUXILIARY_END_POINT = 'Mixed_6e'
_CONV_1X1 = blocks.Conv('0a', 1, 64)
_CONV_5X5 = (blocks.Conv('0a', 1, 48), blocks.Conv('0b', 5, 64))


def root(padding: str = 'VALID') -> list[blocks.Conv | blocks.Pool]:
  """Returns the layers before the blocks, which make features of 35x35 from images of 299x299.

  Args:
    padding: of all but one layer; 'SAME' makes each position the centre of what it sees.
  """
  return [
    blocks.halving_conv(32, padding=padding),
    blocks.Conv('2a', 3, 32, padding=padding),
    blocks.Conv('2b', 3, 64),
    blocks.halving_pool(position='3a', padding=padding),
    blocks.Conv('3b', 1, 80, padding=padding),
    blocks.Conv('4a', 3, 192, padding=padding),
    blocks.halving_pool(position='5a', padding=padding),
  ]


def mixed_35x35(
  name: str,
  projection: int,
  conv_1x1: blocks.Conv = _CONV_1X1,
  conv_5x5: tuple[blocks.Conv, blocks.Conv] = _CONV_5X5,
) -> blocks.Mixed:
  """Returns a block for features of 35x35: figure 5, but with a 5x5 convolution in branch 1.

  Args:
    name: the scope and end point.
    projection: the depth of the 1x1 convolution after the pooling.
    conv_1x1: branch 0.
    conv_5x5: branch 1.
  """
  branches = [
    [conv_1x1],
    conv_5x5,
    [blocks.Conv('0a', 1, 64), blocks.Conv('0b', 3, 96), blocks.Conv('0c', 3, 96)],
    [blocks.Pool('Avg', '0a', 3), blocks.Conv('0b', 1, projection)],
  ]
  return blocks.Mixed(name, branches)


def _mixed_17x17(name, depth):
  """Returns a block for features of 17x17, figure 6, with convolutions of `depth` inside."""
  branches = [
    [blocks.Conv('0a', 1, 192)],
    [
      blocks.Conv('0a', 1, depth),
      blocks.Conv('0b', (1, 7), depth),
      blocks.Conv('0c', (7, 1), 192),
    ],
    [
      blocks.Conv('0a', 1, depth),
      blocks.Conv('0b', (7, 1), depth),
      blocks.Conv('0c', (1, 7), depth),
      blocks.Conv('0d', (7, 1), depth),
      blocks.Conv('0e', (1, 7), 192),
    ],
    [blocks.Pool('Avg', '0a', 3), blocks.Conv('0b', 1, 192)],
  ]
  return blocks.Mixed(name, branches)


def _mixed_8x8(name, conv_3x1):
  """Returns a block for features of 8x8, figure 7; `conv_3x1` is the position in branch 1."""
  branches = [
    [blocks.Conv('0a', 1, 320)],
    [
      blocks.Conv('0a', 1, 384),
      blocks.Fork([blocks.Conv('0b', (1, 3), 384), blocks.Conv(conv_3x1, (3, 1), 384)]),
    ],
    [
      blocks.Conv('0a', 1, 448),
      blocks.Conv('0b', 3, 384),
      blocks.Fork([blocks.Conv('0c', (1, 3), 384), blocks.Conv('0d', (3, 1), 384)]),
    ],
    [blocks.Pool('Avg', '0a', 3), blocks.Conv('0b', 1, 192)],
  ]
  return blocks.Mixed(name, branches)


# The released weights have some irregular names, and a 3x3 convolution that is called 1x1.
_LAYERS = [
  *root(),
  mixed_35x35('Mixed_5b', 32),
  mixed_35x35(
    'Mixed_5c',
    64,
    conv_5x5=(
      blocks.Conv('0b', 1, 48),
      blocks.Conv('0c', 5, 64, irregular_name='Conv_1_0c_5x5'),
    ),
  ),
  mixed_35x35('Mixed_5d', 64),
  blocks.Mixed(
    'Mixed_6a',
    [
      [blocks.halving_conv(384, irregular_name='Conv2d_1a_1x1')],
      [
        blocks.Conv('0a', 1, 64),
        blocks.Conv('0b', 3, 96),
        blocks.halving_conv(96, irregular_name='Conv2d_1a_1x1'),
      ],
      [blocks.halving_pool()],
    ],
  ),
  _mixed_17x17('Mixed_6b', 128),
  _mixed_17x17('Mixed_6c', 160),
  _mixed_17x17('Mixed_6d', 160),
  _mixed_17x17('Mixed_6e', 192),
  blocks.Mixed(
    'Mixed_7a',
    [
      [blocks.Conv('0a', 1, 192), blocks.halving_conv(320)],
      [
        blocks.Conv('0a', 1, 192),
        blocks.Conv('0b', (1, 7), 192),
        blocks.Conv('0c', (7, 1), 192),
        blocks.halving_conv(192),
      ],
      [blocks.halving_pool()],
    ],
  ),
  _mixed_8x8('Mixed_7b', conv_3x1='0b'),
  _mixed_8x8('Mixed_7c', conv_3x1='0c'),
]


def inception_v3_base(
  inputs: tf.Tensor,
  final_endpoint: str = 'Mixed_7c',
  min_depth: int = 16,
  depth_multiplier: float = 1.0,
  scope: str | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`, of 75x75 pixels or more.
    final_endpoint: where to end: 'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3',
      'MaxPool_3a_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3', 'MaxPool_5a_3x3', 'Mixed_5b' to
      'Mixed_5d', 'Mixed_6a' to 'Mixed_6e', or 'Mixed_7a' to 'Mixed_7c'.
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    scope: the variable scope.

  Raises:
    InputError: when the images have another rank or are too small for the end point, there is no
      such end point, or `depth_multiplier` is not above 0.
  """
  with tf.variable_scope(scope, 'InceptionV3', [inputs]):
    variant = blocks.Variant(depth_multiplier, min_depth)
    return blocks.build_until(final_endpoint, inputs, _LAYERS, variant)


def _auxiliary_logits(net, num_classes, variant, spatial_squeeze):
  """Returns the auxiliary logits of figure 8, of the features of 17x17."""
  with tf.variable_scope('AuxLogits'):
    for layer in inception_heads.AUXILIARY_LAYERS:
      net = layer.build(net, variant)
    height, width = heads.reduced_kernel_size(net, [5, 5])
    net = slim.conv2d(
      net,
      variant.depth(inception_heads.AUXILIARY_DEPTH),
      [height, width],
      padding='VALID',
      weights_initializer=tf.truncated_normal_initializer(stddev=0.01),
      scope=f'Conv2d_2a_{height}x{width}',
    )
    logits = slim.conv2d(
      net,
      num_classes,
      [1, 1],
      activation_fn=None,
      normalizer_fn=None,
      weights_initializer=tf.truncated_normal_initializer(stddev=0.001),
      scope='Conv2d_2b_1x1',
    )
    if not spatial_squeeze:
      return logits
    if logits.shape[1:3].as_list() not in ([1, 1], [None, None]):
      raise errors.InputError(
        f'The auxiliary logits have the shape {logits.shape}, not one position. Pass'
        ' create_aux_logits=False, spatial_squeeze=False, or images of 299x299 pixels.'
      )
    return tf.squeeze(logits, [1, 2], name='SpatialSqueeze')


def inception_v3(
  inputs: tf.Tensor,
  num_classes: int | None = 1000,
  is_training: bool | tf.Tensor = True,
  dropout_keep_prob: float = 0.8,
  min_depth: int = 16,
  depth_multiplier: float = 1.0,
  prediction_fn: Callable | None = slim.softmax,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
  create_aux_logits: bool = True,
  scope: str = 'InceptionV3',
  global_pool: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` and the end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`, of 107x107 pixels or more, or 75x75
      without the auxiliary logits.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, depth]`.
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    prediction_fn: makes the end point 'Predictions' of the logits; None leaves it out.
    spatial_squeeze: whether the logits lose their height and width of 1.
    reuse: whether to use the variables that the scope has already.
    create_aux_logits: whether there is the end point 'AuxLogits', from the features of 17x17.
    scope: the variable scope.
    global_pool: whether the features are averaged over all positions; without, over 8x8, or
      fewer where there are fewer.

  Raises:
    InputError: when the images have another rank or are too small, `depth_multiplier` is not
      above 0, or there is more than one position of logits to squeeze.
  """
  has_auxiliary = bool(create_aux_logits and num_classes)
  if has_auxiliary:
    layers = blocks.layers_until(_AUXILIARY_END_POINT, _LAYERS)
    inception_heads.check_auxiliary_images(inputs, layers)
  with (
    tf.variable_scope(scope, 'InceptionV3', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v3_base(
      inputs, min_depth=min_depth, depth_multiplier=depth_multiplier, scope=sc
    )
    if has_auxiliary:
      end_points['AuxLogits'] = _auxiliary_logits(
        end_points[_AUXILIARY_END_POINT],
        num_classes,
        blocks.Variant(depth_multiplier, min_depth),
        spatial_squeeze,
      )
    net, head_end_points = inception_heads.classify(
      net,
      num_classes,
      (8, 8),
      dropout_keep_prob,
      prediction_fn,
      spatial_squeeze,
      global_pool,
    )
  return net, {**end_points, **head_end_points}


inception_v3.default_image_size = 299
