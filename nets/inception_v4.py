"""Inception v4: more blocks than v3, the same one in each stage, and a deeper stem.

C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the Impact of
Residual Connections on Learning", 2016, https://arxiv.org/abs/1602.07261, figures 3 to 9 and
table 1. Against the figures, the longest branches convolve down before they convolve across, and
there is the auxiliary head of v3, with one more convolution over all its positions.
"""

from nets import inception_blocks as blocks
from nets import inception_heads, inception_utils
from slimcompat import slim, tf

inception_v4_arg_scope = inception_utils.inception_arg_scope

_AUXILIARY_END_POINT = 'Mixed_6h'


_INCEPTION_A = [  # Figure 4.
  [blocks.Conv('0a', 1, 96)],
  [blocks.Conv('0a', 1, 64), blocks.Conv('0b', 3, 96)],
  [blocks.Conv('0a', 1, 64), blocks.Conv('0b', 3, 96), blocks.Conv('0c', 3, 96)],
  [blocks.Pool('Avg', '0a', 3), blocks.Conv('0b', 1, 96)],
]
_REDUCTION_A = [  # Figure 7, with the depths of table 1.
  [blocks.halving_conv(384)],
  [blocks.Conv('0a', 1, 192), blocks.Conv('0b', 3, 224), blocks.halving_conv(256)],
  [blocks.halving_pool()],
]
_INCEPTION_B = [  # Figure 5.
  [blocks.Conv('0a', 1, 384)],
  [blocks.Conv('0a', 1, 192), blocks.Conv('0b', (1, 7), 224), blocks.Conv('0c', (7, 1), 256)],
  [
    blocks.Conv('0a', 1, 192),
    blocks.Conv('0b', (7, 1), 192),
    blocks.Conv('0c', (1, 7), 224),
    blocks.Conv('0d', (7, 1), 224),
    blocks.Conv('0e', (1, 7), 256),
  ],
  [blocks.Pool('Avg', '0a', 3), blocks.Conv('0b', 1, 128)],
]
_REDUCTION_B = [  # Figure 8.
  [blocks.Conv('0a', 1, 192), blocks.halving_conv(192)],
  [
    blocks.Conv('0a', 1, 256),
    blocks.Conv('0b', (1, 7), 256),
    blocks.Conv('0c', (7, 1), 320),
    blocks.halving_conv(320),
  ],
  [blocks.halving_pool()],
]
_INCEPTION_C = [  # Figure 6.
  [blocks.Conv('0a', 1, 256)],
  [
    blocks.Conv('0a', 1, 384),
    blocks.Fork([blocks.Conv('0b', (1, 3), 256), blocks.Conv('0c', (3, 1), 256)]),
  ],
  [
    blocks.Conv('0a', 1, 384),
    blocks.Conv('0b', (3, 1), 448),
    blocks.Conv('0c', (1, 3), 512),
    blocks.Fork([blocks.Conv('0d', (1, 3), 256), blocks.Conv('0e', (3, 1), 256)]),
  ],
  [blocks.Pool('Avg', '0a', 3), blocks.Conv('0b', 1, 256)],
]
_STEM = [  # Figure 3.
  blocks.halving_conv(32),
  blocks.Conv('2a', 3, 32, padding='VALID'),
  blocks.Conv('2b', 3, 64),
  blocks.Mixed(
    'Mixed_3a', [[blocks.halving_pool(position='0a')], [blocks.halving_conv(96, position='0a')]]
  ),
  blocks.Mixed(
    'Mixed_4a',
    [
      [blocks.Conv('0a', 1, 64), blocks.Conv('1a', 3, 96, padding='VALID')],
      [
        blocks.Conv('0a', 1, 64),
        blocks.Conv('0b', (1, 7), 64),
        blocks.Conv('0c', (7, 1), 64),
        blocks.Conv('1a', 3, 96, padding='VALID'),
      ],
    ],
  ),
  blocks.Mixed('Mixed_5a', [[blocks.halving_conv(192)], [blocks.halving_pool()]]),
]
_LAYERS = [  # Figure 9.
  *_STEM,
  *(blocks.Mixed(f'Mixed_5{letter}', _INCEPTION_A) for letter in 'bcde'),
  blocks.Mixed('Mixed_6a', _REDUCTION_A),
  *(blocks.Mixed(f'Mixed_6{letter}', _INCEPTION_B) for letter in 'bcdefgh'),
  blocks.Mixed('Mixed_7a', _REDUCTION_B),
  *(blocks.Mixed(f'Mixed_7{letter}', _INCEPTION_C) for letter in 'bcd'),
]


def _block(name, default_scope, branches):
  """Returns the function `name` that builds a block of `branches`."""

  def block(inputs: tf.Tensor, scope: str | None = None, reuse: bool | None = None) -> tf.Tensor:
    """Returns the block's features of `[batch, height, width, channels]`.

    Args:
      inputs: the features before.
      scope: the variable scope.
      reuse: whether to use the variables that the scope has already.
    """
    with tf.variable_scope(scope, default_scope, [inputs], reuse=reuse):
      return blocks.concat_branches(inputs, branches)

  block.__name__ = block.__qualname__ = name
  return block


block_inception_a = _block('block_inception_a', 'BlockInceptionA', _INCEPTION_A)
block_reduction_a = _block('block_reduction_a', 'BlockReductionA', _REDUCTION_A)
block_inception_b = _block('block_inception_b', 'BlockInceptionB', _INCEPTION_B)
block_reduction_b = _block('block_reduction_b', 'BlockReductionB', _REDUCTION_B)
block_inception_c = _block('block_inception_c', 'BlockInceptionC', _INCEPTION_C)


def inception_v4_base(
  inputs: tf.Tensor, final_endpoint: str = 'Mixed_7d', scope: str | None = None
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`, of 75x75 pixels or more.
    final_endpoint: where to end: 'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Mixed_3a',
      'Mixed_4a', 'Mixed_5a' to 'Mixed_5e', 'Mixed_6a' to 'Mixed_6h', or 'Mixed_7a' to 'Mixed_7d'.
    scope: the variable scope.

  Raises:
    InputError: when the images have another rank or are too small for the end point, or there is
      no such end point.
  """
  with tf.variable_scope(scope, 'InceptionV4', [inputs]):
    return blocks.build_until(final_endpoint, inputs, _LAYERS)


def inception_v4(
  inputs: tf.Tensor,
  num_classes: int | None = 1001,
  is_training: bool | tf.Tensor = True,
  dropout_keep_prob: float = 0.8,
  reuse: bool | None = None,
  scope: str = 'InceptionV4',
  create_aux_logits: bool = True,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` and the end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`, of 107x107 pixels or more and of known
      size, or 75x75 and any without the auxiliary logits.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, 1536]`.
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    create_aux_logits: whether there is the end point 'AuxLogits', from the features of 17x17.

  Raises:
    InputError: when the images have another rank or are too small.
  """
  has_auxiliary = bool(create_aux_logits and num_classes)
  if has_auxiliary:
    layers = blocks.layers_until(_AUXILIARY_END_POINT, _LAYERS)
    inception_heads.check_auxiliary_images(inputs, layers, any_size=False)
  with (
    tf.variable_scope(scope, 'InceptionV4', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_v4_base(inputs, scope=sc)
    if has_auxiliary:
      end_points['AuxLogits'] = inception_heads.auxiliary_dense_logits(
        end_points[_AUXILIARY_END_POINT],
        num_classes,
        conv_scope='Conv2d_2a',
        logits_scope='Aux_logits',
      )
    net, head_end_points = inception_heads.classify_dense(
      net,
      num_classes,
      dropout_keep_prob,
      pool_scope='AvgPool_1a',
      flatten_scope='PreLogitsFlatten',
      dropout_scope='Dropout_1b',
    )
  return net, {**end_points, **head_end_points}


inception_v4.default_image_size = 299
