"""The batch-normalization layer that `slim.batch_norm` builds on.

TensorFlow 2.16 moved `tf.layers.BatchNormalization` to tf_keras. This is its part that slim
uses, with TensorFlow 1.15's numbers: S. Ioffe and C. Szegedy, "Batch Normalization",
https://arxiv.org/abs/1502.03167, algorithms 1 and 2.
"""

from tensorflow.python.framework import dtypes, ops, smart_cond, tensor_shape
from tensorflow.python.layers import base, utils
from tensorflow.python.ops import array_ops, init_ops, math_ops, nn, state_ops


class BatchNormalization(base.Layer):
  """Normalizes each channel over all other axes; see `slim.batch_norm` for the arguments.

  Rank 4 runs as one fused op unless `fused` is False; other ranks are put together from
  elementary ops. When training, the updates of the moving statistics go to
  `tf.GraphKeys.UPDATE_OPS`.

  Raises:
    NotImplementedError: for `renorm` and `adjustment`, which went with tf_keras.
    ValueError: when `axis` is not a single axis, or the channel count is unknown.
  """

  def __init__(
    self,
    axis=-1,
    momentum=0.99,
    epsilon=1e-3,
    center=True,
    scale=True,
    beta_initializer=None,
    gamma_initializer=None,
    moving_mean_initializer=None,
    moving_variance_initializer=None,
    beta_regularizer=None,
    gamma_regularizer=None,
    renorm=False,
    renorm_clipping=None,
    renorm_momentum=0.99,
    adjustment=None,
    fused=None,
    trainable=True,
    name=None,
    **kwargs,
  ):
    del renorm_clipping, renorm_momentum  # Read only by renorm.
    unsupported = [
      option for option, value in (('renorm', renorm), ('adjustment', adjustment)) if value
    ]
    if unsupported:
      raise NotImplementedError(
        f'batch_norm got {" and ".join(unsupported)}, which TensorFlow 2.16 and later no longer'
        ' provide. Leave the argument out, or define the layer with tf.nn.moments and'
        ' tf.nn.batch_normalization.'
      )
    if not isinstance(axis, int):
      raise ValueError(f'axis is {axis!r}; it must be one axis, such as -1 or 1.')
    super().__init__(name=name, trainable=trainable, **kwargs)
    self.axis = axis
    self.momentum = momentum
    self.epsilon = epsilon
    self.center = center
    self.scale = scale
    self.fused = fused
    self._initializers = {
      'beta': beta_initializer or init_ops.zeros_initializer(),
      'gamma': gamma_initializer or init_ops.ones_initializer(),
      'moving_mean': moving_mean_initializer or init_ops.zeros_initializer(),
      'moving_variance': moving_variance_initializer or init_ops.ones_initializer(),
    }
    self._regularizers = {'beta': beta_regularizer, 'gamma': gamma_regularizer}

  def build(self, input_shape):
    shape = tensor_shape.TensorShape(input_shape)
    if shape.ndims is None:
      raise ValueError('batch_norm needs inputs of known rank, got an unknown shape.')
    self._channel_axis = self.axis % shape.ndims
    channels = tensor_shape.dimension_value(shape[self._channel_axis])
    if channels is None:
      raise ValueError(f'batch_norm needs a known number of channels, got the shape {shape}.')
    self._is_fused = shape.ndims == 4 and self.fused is not False and self._channel_axis in (1, 3)
    # Statistics of half-precision activations are kept in float32.
    is_half = self.dtype in (dtypes.float16.name, dtypes.bfloat16.name)
    param_dtype = dtypes.float32 if is_half else dtypes.as_dtype(self.dtype or dtypes.float32)

    def add_parameter(name, wanted=True, trainable=True):
      if not wanted:
        return None
      return self.add_weight(
        name,
        shape=(channels,),
        dtype=param_dtype,
        initializer=self._initializers[name],
        regularizer=self._regularizers.get(name),
        trainable=trainable,
      )

    self.gamma = add_parameter('gamma', self.scale)
    self.beta = add_parameter('beta', self.center)
    # The moving averages are assigned as wholes, so they are never partitioned.
    scope = self._scope
    partitioner = scope.partitioner if scope else None
    try:
      if scope:
        scope.set_partitioner(None)
      self.moving_mean = add_parameter('moving_mean', trainable=False)
      self.moving_variance = add_parameter('moving_variance', trainable=False)
    finally:
      if scope:
        scope.set_partitioner(partitioner)
    if self._is_fused:
      # Constants, not variables: without scale or offset nothing enters the checkpoint.
      self._gamma_or_ones = self.gamma
      self._beta_or_zeros = self.beta
      if not self.scale:
        self._gamma_or_ones = array_ops.constant(1.0, dtype=param_dtype, shape=(channels,))
      if not self.center:
        self._beta_or_zeros = array_ops.constant(0.0, dtype=param_dtype, shape=(channels,))
    self.built = True

  def call(self, inputs, training=False):
    training = _as_predicate(training)
    normalize = self._fused if self._is_fused else self._elementwise
    outputs, mean, variance = normalize(inputs, training)
    if smart_cond.smart_constant_value(training) is not False:
      self._add_moving_average_updates(training, mean, variance)
    return outputs

  def _fused(self, inputs, training):
    """Returns the outputs and the statistics of the batch, from one fused op."""

    def fused_batch_norm(is_training, **statistics):
      return nn.fused_batch_norm(
        inputs,
        self._gamma_or_ones,
        self._beta_or_zeros,
        epsilon=self.epsilon,
        data_format='NCHW' if self._channel_axis == 1 else 'NHWC',
        is_training=is_training,
        **statistics,
      )

    return smart_cond.smart_cond(
      training,
      lambda: fused_batch_norm(True),
      lambda: fused_batch_norm(False, mean=self.moving_mean, variance=self.moving_variance),
    )

  def _elementwise(self, inputs, training):
    """Returns the outputs and the statistics of the batch, from elementary ops."""
    ndims = inputs.shape.ndims
    axes = [axis for axis in range(ndims) if axis != self._channel_axis]
    if smart_cond.smart_constant_value(training) is False:
      mean, variance = self.moving_mean, self.moving_variance
    else:
      batch_mean, batch_variance = nn.moments(inputs, axes)
      batch_mean = math_ops.cast(batch_mean, self.moving_mean.dtype.base_dtype)
      batch_variance = math_ops.cast(batch_variance, self.moving_variance.dtype.base_dtype)
      mean, variance = smart_cond.smart_cond(
        training,
        lambda: (batch_mean, batch_variance),
        lambda: (
          ops.convert_to_tensor(self.moving_mean),
          ops.convert_to_tensor(self.moving_variance),
        ),
      )
    # Channels that are not last need their parameters shaped to broadcast.
    broadcast_shape = [1] * ndims
    broadcast_shape[self._channel_axis] = -1

    def broadcast(parameter):
      if parameter is None:
        return None
      if self._channel_axis != ndims - 1:
        parameter = array_ops.reshape(parameter, broadcast_shape)
      return math_ops.cast(parameter, inputs.dtype)

    outputs = nn.batch_normalization(
      inputs,
      broadcast(mean),
      broadcast(variance),
      broadcast(self.beta),
      broadcast(self.gamma),
      self.epsilon,
    )
    outputs.set_shape(inputs.shape)
    return outputs, mean, variance

  def _add_moving_average_updates(self, training, mean, variance):
    """Collects `moving -= (1 - momentum) * (moving - batch)`, a no-op when not training."""
    rate = 1 - self.momentum
    if smart_cond.smart_constant_value(training) is None:
      rate = smart_cond.smart_cond(training, lambda: rate, lambda: 0.0)
    for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
      with ops.name_scope('AssignMovingAvg'), ops.colocate_with(moving):
        step = math_ops.cast(rate, moving.dtype.base_dtype)
        delta = (moving - math_ops.cast(batch, moving.dtype.base_dtype)) * step
        ops.add_to_collection(ops.GraphKeys.UPDATE_OPS, state_ops.assign_sub(moving, delta))


def batch_normalization(inputs, training=False, name=None, reuse=None, **kwargs):
  """Returns `inputs` normalized by a new `BatchNormalization` layer of the given arguments."""
  layer = BatchNormalization(name=name, _reuse=reuse, _scope=name, **kwargs)
  return layer(inputs, training=training)


def _as_predicate(training):
  """Returns `training` as a bool or a boolean tensor; slim accepts 0 and 1 as well."""
  value = utils.constant_value(training) if not isinstance(training, int) else bool(training)
  if value is not None:
    return bool(value)
  return math_ops.cast(training, dtypes.bool)
