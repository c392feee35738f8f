"""S3D-G: Inception v1 for videos, with convolutions over space, then time, and feature gates.

S. Xie, C. Sun, J. Huang, Z. Tu and K. Murphy, "Rethinking Spatiotemporal Feature Learning:
Speed-Accuracy Trade-offs in Video Classification", 2017, https://arxiv.org/abs/1712.04851,
sections 4.2 to 4.5. Against the paper, the first convolution is not separated and sees 3 frames,
not 7; those over time have biases in place of batch norm; each branch of a block ends with a
gate, not only those with a convolution over time; gates have no bias.

Scopes and end points are Inception v1's, so that its weights can be the start.
"""

import functools
from collections.abc import Callable

from nets import arguments, heads, i3d_utils, inception_v1
from nets import inception_blocks as blocks
from slimcompat import slim, tf


def s3dg_arg_scope(
  weight_decay: float = 1e-7,
  batch_norm_decay: float = 0.999,
  batch_norm_epsilon: float = 0.001,
) -> dict:
  """Returns the arg scope that `s3dg` is to be built under.

  Args:
    weight_decay: the weight of the L2 losses on the weights.
    batch_norm_decay: the decay of the moving averages, in [0, 1); short runs want less, such as
      0.9.
    batch_norm_epsilon: what batch norm adds to the variance.
  """
  return i3d_utils.video_arg_scope(
    weight_decay, batch_norm_decay, batch_norm_epsilon, use_renorm=False, separable_conv3d=True
  )


def self_gating(input_tensor: tf.Tensor, scope: str, data_format: str = 'NDHWC') -> tf.Tensor:
  """Returns the features, each channel times a factor in (0, 1) (section 4.5 of the paper).

  The factors depend on the averages of all channels over space and time.

  Args:
    input_tensor: `[batch, frames, height, width, channels]`.
    scope: what the gate's own scope is in.
    data_format: 'NDHWC' or 'NCDHW', the order of the axes of `input_tensor`.
  """
  average = tf.reduce_mean(input_tensor, [data_format.index(a) for a in 'DHW'], keepdims=True)
  factors = slim.conv3d(
    average,
    input_tensor.shape[data_format.index('C')],
    [1, 1, 1],
    activation_fn=tf.sigmoid,
    normalizer_fn=None,
    weights_initializer=_initial_weights(),
    biases_initializer=None,
    data_format=data_format,
    scope=f'{scope}/self_gating/transformer_W',
  )
  return factors * input_tensor


def _initial_weights():
  return tf.truncated_normal_initializer(stddev=0.01)


# Where convolutions over time and gates may start, or, for features, end.
_CONVOLUTIONS = ('Conv2d_2c_3x3', *inception_v1.MIXED_BLOCKS)


def s3dg_base(
  inputs: tf.Tensor,
  first_temporal_kernel_size: int = 3,
  temporal_conv_startat: str | None = 'Conv2d_2c_3x3',
  gating_startat: str | None = 'Conv2d_2c_3x3',
  final_endpoint: str = 'Mixed_5c',
  min_depth: int = 16,
  depth_multiplier: float = 1.0,
  data_format: str = 'NDHWC',
  scope: str = 'InceptionV1',
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, frames, height, width, depth]` and the end points up to them.

  Args:
    inputs: the videos, `[batch, frames, height, width, channels]`.
    first_temporal_kernel_size: 1, 3, 5 or 7, the frames of the first convolution.
    temporal_conv_startat: from which layer on convolutions see 3 frames: 'Conv2d_2c_3x3' or a key
      of `inception_v1.MIXED_BLOCKS`. None for none.
    gating_startat: from which of these layers on there are gates. None for none.
    final_endpoint: where to end: one of these layers, 'Conv2d_1a_7x7', 'MaxPool_2a_3x3',
      'Conv2d_2b_1x1', 'MaxPool_3a_3x3', 'MaxPool_4a_3x3' or 'MaxPool_5a_2x2'.
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    data_format: 'NDHWC' or 'NCDHW', the order of the axes of the inputs and all features.
    scope: the variable scope.

  Raises:
    InputError: when the videos have another rank, or an argument is none of the allowed.
  """
  arguments.check_choice('data_format', data_format, ['NDHWC', 'NCDHW'])
  if data_format == 'NDHWC':
    arguments.check_images(inputs, rank=5)
  gating_fn = functools.partial(self_gating, data_format=data_format)
  layers = _layers(first_temporal_kernel_size, temporal_conv_startat, gating_startat, gating_fn)
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs]),
    slim.arg_scope([slim.conv3d], weights_initializer=_initial_weights()),
    slim.arg_scope([slim.batch_norm], data_format=data_format.replace('D', '')),
  ):
    variant = blocks.Variant(depth_multiplier, min_depth, data_format)
    return blocks.build_until(final_endpoint, inputs, layers, variant)


def _layers(first_temporal_kernel_size, temporal_conv_startat, gating_startat, gating_fn):
  """Returns the layers of Inception v1 for videos; the arguments are those of `s3dg_base`."""
  arguments.check_choice('first_temporal_kernel_size', first_temporal_kernel_size, [1, 3, 5, 7])

  def from_layer(argument, first):
    """Returns the names of the layers from the `first` on."""
    if first is None:
      return ()
    arguments.check_choice(argument, first, _CONVOLUTIONS)
    return _CONVOLUTIONS[_CONVOLUTIONS.index(first) :]

  temporal = from_layer('temporal_conv_startat', temporal_conv_startat)
  gated = from_layer('gating_startat', gating_startat)

  def settings(name):
    return 3 if name in temporal else 1, gating_fn if name in gated else None

  def mixed(*names):
    table = inception_v1.MIXED_BLOCKS
    return [
      blocks.Mixed(name, i3d_utils.mixed_branches(table[name], *settings(name))) for name in names
    ]

  frames, gating = settings('Conv2d_2c_3x3')
  return [
    i3d_utils.Conv('Conv2d_1a_7x7', [first_temporal_kernel_size, 7, 7], 64, stride=2),
    i3d_utils.MaxPool('MaxPool_2a_3x3', [1, 3, 3], [1, 2, 2]),
    i3d_utils.Conv('Conv2d_2b_1x1', [1, 1, 1], 64),
    i3d_utils.Conv(
      'Conv2d_2c_3x3',
      [frames, 3, 3],
      192,
      conv_fn=i3d_utils.conv3d_spatiotemporal,
      self_gating_fn=gating,
    ),
    i3d_utils.MaxPool('MaxPool_3a_3x3', [1, 3, 3], [1, 2, 2]),
    *mixed('Mixed_3b', 'Mixed_3c'),
    i3d_utils.MaxPool('MaxPool_4a_3x3', [3, 3, 3], [2, 2, 2]),
    *mixed('Mixed_4b', 'Mixed_4c', 'Mixed_4d', 'Mixed_4e', 'Mixed_4f'),
    i3d_utils.MaxPool('MaxPool_5a_2x2', [2, 2, 2], [2, 2, 2]),
    *mixed('Mixed_5b', 'Mixed_5c'),
  ]


def s3dg(
  inputs: tf.Tensor,
  num_classes: int | None = 1000,
  first_temporal_kernel_size: int = 3,
  temporal_conv_startat: str | None = 'Conv2d_2c_3x3',
  gating_startat: str | None = 'Conv2d_2c_3x3',
  final_endpoint: str = 'Mixed_5c',
  min_depth: int = 16,
  depth_multiplier: float = 1.0,
  dropout_keep_prob: float = 0.8,
  is_training: bool | tf.Tensor = True,
  prediction_fn: Callable | None = slim.softmax,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
  data_format: str = 'NDHWC',
  scope: str = 'InceptionV1',
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` and the end points by name.

  Args:
    inputs: the videos, `[batch, frames, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the features averaged over time instead,
      `[batch, 1, 1, depth]`.
    first_temporal_kernel_size: see `s3dg_base`; so for the next five and `data_format`.
    temporal_conv_startat: the first layer with convolutions over time.
    gating_startat: the first layer with gates.
    final_endpoint: the last layer before the logits.
    min_depth: the least depth after multiplication.
    depth_multiplier: the factor on all depths, above 0.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    prediction_fn: makes the end point 'Predictions' of the logits; None leaves it out.
    spatial_squeeze: whether the logits lose their height and width of 1.
    reuse: whether to use the variables that the scope has already.
    data_format: 'NDHWC' or 'NCDHW', the order of the axes of the inputs and all features.
    scope: the variable scope.

  Raises:
    InputError: when the videos have another rank, an argument is none of the allowed, or there is
      more than one position of logits to squeeze.
  """
  with (
    tf.variable_scope(scope, 'InceptionV1', [inputs], reuse=reuse) as sc,
    slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training),
  ):
    net, end_points = s3dg_base(
      inputs,
      first_temporal_kernel_size,
      temporal_conv_startat,
      gating_startat,
      final_endpoint,
      min_depth,
      depth_multiplier,
      data_format,
      scope=sc,
    )
    with tf.variable_scope('Logits'):
      if data_format == 'NCDHW':
        net = tf.transpose(net, [0, 2, 3, 4, 1])
      kernel_size = heads.reduced_kernel_size(net, [2, 7, 7])
      net = slim.avg_pool3d(net, kernel_size, stride=1, padding='VALID', scope='AvgPool_0a_7x7')
      if not num_classes:
        return tf.reduce_mean(net, axis=1), end_points
      net = slim.dropout(net, dropout_keep_prob, scope='Dropout_0b')
      logits = slim.conv3d(
        net, num_classes, [1, 1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_0c_1x1'
      )
      logits = tf.reduce_mean(logits, axis=1)
      if spatial_squeeze:
        logits = heads.squeeze(logits, 'SpatialSqueeze')
      end_points['Logits'] = logits
      if prediction_fn:
        end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


s3dg.default_image_size = 224
