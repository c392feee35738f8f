"""Inception-ResNet v2: Inception blocks whose outputs are added to their inputs.

C. Szegedy, S. Ioffe, V. Vanhoucke and A. Alemi, "Inception-v4, Inception-ResNet and the Impact of
Residual Connections on Learning", 2016, https://arxiv.org/abs/1602.07261, figures 15 to 19,
table 1 and section 3.3. Against the paper, the stem is that of Inception v3 with one of its
blocks; there are 10, 20 and 10 residual blocks in place of 5, 10 and 5, on 320, 1088 and 2080
channels; a convolution of 1536 channels follows them; and there is an auxiliary head.
"""

from collections.abc import Callable
from typing import NamedTuple

from nets import arguments, inception_heads, inception_utils, inception_v3
from nets import inception_blocks as blocks
from slimcompat import errors, slim, tf

_AUXILIARY_END_POINT = 'PreAuxLogits'


def _conv_1x1(depth):
  return blocks.Conv('', 1, depth, irregular_name='Conv2d_1x1')


def _residual_block(name, branches):
  """Returns the function `name` that builds a block of `branches` and a shortcut."""

  def block(
    net: tf.Tensor,
    scale: float = 1.0,
    activation_fn: Callable | None = tf.nn.relu,
    scope: str | None = None,
    reuse: bool | None = None,
  ) -> tf.Tensor:
    """Returns the features `net`, `[batch, height, width, channels]`, plus what the block adds.

    Args:
      net: the features before.
      scale: the factor on what is added, in (0, 1]; small ones keep training stable (section 3.3).
      activation_fn: what follows the addition; None for nothing. `tf.nn.relu6` also keeps what is
        added within [-6, 6].
      scope: the variable scope.
      reuse: whether to use the variables that the scope has already.
    """
    with tf.variable_scope(scope, name.capitalize(), [net], reuse=reuse):
      residual = slim.conv2d(
        blocks.concat_branches(net, branches),
        net.shape[3],
        1,
        normalizer_fn=None,
        activation_fn=None,
        scope='Conv2d_1x1',
      )
      residual *= scale
      if activation_fn is tf.nn.relu6:
        residual = tf.clip_by_value(residual, -6.0, 6.0)
      net += residual
      return activation_fn(net) if activation_fn else net

  # slim.repeat takes the scopes of the blocks from it.
  block.__name__ = block.__qualname__ = name
  return block


block35 = _residual_block(  # Figure 16.
  'block35',
  [
    [_conv_1x1(32)],
    [blocks.Conv('0a', 1, 32), blocks.Conv('0b', 3, 32)],
    [blocks.Conv('0a', 1, 32), blocks.Conv('0b', 3, 48), blocks.Conv('0c', 3, 64)],
  ],
)
block17 = _residual_block(  # Figure 17.
  'block17',
  [
    [_conv_1x1(192)],
    [blocks.Conv('0a', 1, 128), blocks.Conv('0b', (1, 7), 160), blocks.Conv('0c', (7, 1), 192)],
  ],
)
block8 = _residual_block(  # Figure 19.
  'block8',
  [
    [_conv_1x1(192)],
    [blocks.Conv('0a', 1, 192), blocks.Conv('0b', (1, 3), 224), blocks.Conv('0c', (3, 1), 256)],
  ],
)


class _Residual(NamedTuple):
  """A stack of residual blocks, as a layer of the net."""

  block: Callable
  times: int
  scale: float
  activation_fn: Callable | None
  rate: int = 1  # The dilation of the convolutions.
  name: str | None = None  # The end point; the scopes are slim.repeat's.

  def build(self, net, variant):
    with slim.arg_scope([slim.conv2d], rate=self.rate):
      return slim.repeat(
        net, self.times, self.block, scale=self.scale, activation_fn=self.activation_fn
      )

  def smallest_input(self, output_size):
    return output_size


class _LastBlock(NamedTuple):
  """The last residual block, which nothing follows, as a layer of the net."""

  name: None = None

  def build(self, net, variant):
    return block8(net, activation_fn=None)

  def smallest_input(self, output_size):
    return output_size


def _layers(padding='VALID', has_stride_8=False, activation_fn=tf.nn.relu):
  """Returns the layers of the net.

  Args:
    padding: of the layers that make features smaller, but few.
    has_stride_8: whether 'Mixed_6a' does not stride, and dilation makes up for it.
    activation_fn: what follows the addition in the residual blocks.
  """
  halving = {'padding': padding}
  maybe_halving = {'padding': padding, 'stride': 1 if has_stride_8 else 2}
  return [
    *inception_v3.root(padding),
    inception_v3.mixed_35x35('Mixed_5b', 64, conv_1x1=_conv_1x1(96)),
    _Residual(block35, 10, 0.17, activation_fn),
    blocks.Mixed(  # Figure 7, with the depths of table 1.
      'Mixed_6a',
      [
        [blocks.halving_conv(384, **maybe_halving)],
        [
          blocks.Conv('0a', 1, 256),
          blocks.Conv('0b', 3, 256),
          blocks.halving_conv(384, **maybe_halving),
        ],
        [blocks.halving_pool(**maybe_halving)],
      ],
    ),
    _Residual(
      block17, 20, 0.1, activation_fn, rate=2 if has_stride_8 else 1, name=_AUXILIARY_END_POINT
    ),
    blocks.Mixed(  # Figure 18.
      'Mixed_7a',
      [
        [blocks.Conv('0a', 1, 256), blocks.halving_conv(384, **halving)],
        [blocks.Conv('0a', 1, 256), blocks.halving_conv(288, **halving)],
        [blocks.Conv('0a', 1, 256), blocks.Conv('0b', 3, 288), blocks.halving_conv(320, **halving)],
        [blocks.halving_pool(**halving)],
      ],
    ),
    _Residual(block8, 9, 0.2, activation_fn),
    _LastBlock(),
    blocks.Conv('7b', 1, 1536),
  ]


def inception_resnet_v2_base(
  inputs: tf.Tensor,
  final_endpoint: str = 'Conv2d_7b_1x1',
  output_stride: int = 16,
  align_feature_maps: bool = False,
  scope: str | None = None,
  activation_fn: Callable | None = tf.nn.relu,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`, of 75x75 pixels or more unless the
      feature maps are aligned.
    final_endpoint: where to end: 'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3',
      'MaxPool_3a_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3', 'MaxPool_5a_3x3', 'Mixed_5b',
      'Mixed_6a', 'PreAuxLogits', 'Mixed_7a' or 'Conv2d_7b_1x1'.
    output_stride: 8 or 16, the ratio of the images' size to that of the features up to
      'PreAuxLogits'; with 8, convolutions dilate instead of striding, and the net ends there.
    align_feature_maps: whether 'SAME' padding centres each position on what it sees.
    scope: the variable scope.
    activation_fn: what follows the addition in the residual blocks.

  Raises:
    InputError: when the images have another rank or are too small for the end point, or an
      argument is none of the allowed.
  """
  arguments.check_choice('output_stride', output_stride, [8, 16])
  layers = _layers('SAME' if align_feature_maps else 'VALID', output_stride == 8, activation_fn)
  if output_stride == 8 and final_endpoint in ('Mixed_7a', 'Conv2d_7b_1x1'):
    raise errors.InputError(
      f'final_endpoint is {final_endpoint!r}, but with output_stride=8 the net ends at'
      f' {_AUXILIARY_END_POINT!r}. Pass final_endpoint={_AUXILIARY_END_POINT!r} or an earlier one,'
      ' or output_stride=16.'
    )
  with tf.variable_scope(scope, 'InceptionResnetV2', [inputs]):
    return blocks.build_until(final_endpoint, inputs, layers)


def inception_resnet_v2(
  inputs: tf.Tensor,
  num_classes: int | None = 1001,
  is_training: bool | tf.Tensor = True,
  dropout_keep_prob: float = 0.8,
  reuse: bool | None = None,
  scope: str = 'InceptionResnetV2',
  create_aux_logits: bool = True,
  activation_fn: Callable | None = tf.nn.relu,
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
    activation_fn: what follows the addition in the residual blocks.

  Raises:
    InputError: when the images have another rank or are too small.
  """
  has_auxiliary = bool(create_aux_logits and num_classes)
  if has_auxiliary:
    layers = blocks.layers_until(_AUXILIARY_END_POINT, _layers())
    inception_heads.check_auxiliary_images(inputs, layers, any_size=False)
  with (
    tf.variable_scope(scope, 'InceptionResnetV2', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = inception_resnet_v2_base(inputs, scope=sc, activation_fn=activation_fn)
    if has_auxiliary:
      end_points['AuxLogits'] = inception_heads.auxiliary_dense_logits(
        end_points[_AUXILIARY_END_POINT],
        num_classes,
        conv_scope='Conv2d_2a_5x5',
        logits_scope='Logits',
      )
    net, head_end_points = inception_heads.classify_dense(
      net,
      num_classes,
      dropout_keep_prob,
      pool_scope='AvgPool_1a_8x8',
      flatten_scope='Flatten',
      dropout_scope='Dropout',
    )
  return net, {**end_points, **head_end_points}


inception_resnet_v2.default_image_size = 299


def inception_resnet_v2_arg_scope(
  weight_decay: float = 0.00004,
  batch_norm_decay: float = 0.9997,
  batch_norm_epsilon: float = 0.001,
  activation_fn: Callable | None = tf.nn.relu,
  batch_norm_updates_collections: str | None = tf.GraphKeys.UPDATE_OPS,
  batch_norm_scale: bool = False,
) -> dict:
  """Returns the arg scope that Inception-ResNet v2 is to be built under.

  Args:
    weight_decay: the weight of the L2 losses on the weights and the biases.
    batch_norm_decay: the decay of the moving averages, in [0, 1); short runs want less, such as
      0.9.
    batch_norm_epsilon: what batch norm adds to the variance.
    activation_fn: what follows each convolution; None for nothing.
    batch_norm_updates_collections: what the updates of the moving averages join; None runs them
      with the layer.
    batch_norm_scale: whether batch norm learns a factor.
  """
  regularizer = slim.l2_regularizer(weight_decay)
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      weights_regularizer=regularizer,
      biases_regularizer=regularizer,
    ),
    slim.arg_scope(
      [slim.conv2d],
      activation_fn=activation_fn,
      normalizer_fn=slim.batch_norm,
      normalizer_params=inception_utils.batch_norm_arguments(
        batch_norm_decay, batch_norm_epsilon, batch_norm_updates_collections, batch_norm_scale
      ),
    ) as scope,
  ):
    return scope
