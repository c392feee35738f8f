"""The batch-normalization layer that `slim.batch_norm` builds on.

TensorFlow 2.16 moved `tf.layers.BatchNormalization` to tf_keras. This is its part that slim
uses, with TensorFlow 1.15's variables, collections and numbers: S. Ioffe and C. Szegedy, "Batch
Normalization", https://arxiv.org/abs/1502.03167, algorithms 1 and 2.
"""

import contextlib
from collections.abc import Callable, Iterator

from tensorflow.python.autograph.impl import api as autograph
from tensorflow.python.framework import dtypes, ops, tensor_shape
from tensorflow.python.layers import base, utils
from tensorflow.python.ops import array_ops, init_ops, math_ops, nn, state_ops, variable_scope

from slimcompat import errors

_frozen = [lambda name: False]


@contextlib.contextmanager
def frozen(is_frozen: Callable[[str], bool]) -> Iterator[None]:
  """Has layers that the block calls normalize by their moving statistics, and leave these alone.

  Args:
    is_frozen: says of the name of a layer's moving mean whether it is such a layer.
  """
  _frozen.append(is_frozen)
  try:
    yield
  finally:
    _frozen.pop()


class BatchNormalization(base.Layer):
  """Normalizes each channel over all other axes; see `slim.batch_norm` for the arguments.

  Rank 4 runs as one fused op unless `fused` is False; other ranks are put together from
  elementary ops. The fused op's moving variance counts with Bessel's correction (n / (n - 1)),
  the other's doesn't. When training, the updates of the moving statistics go to
  `tf.GraphKeys.UPDATE_OPS`, except those of a layer that is not trainable.

  Raises:
    InputError: for `renorm` and `adjustment`, and inputs of unknown rank or channels.
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
    unsupported = {'renorm': renorm, 'adjustment': adjustment}
    if any(unsupported.values()):
      raise errors.InputError(
        f'batch_norm got {" and ".join(key for key, value in unsupported.items() if value)}, which'
        ' TensorFlow 2.16 and later no longer provide; leave the argument out, or write the layer'
        ' with tf.nn.moments and tf.nn.batch_normalization.'
      )
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
      raise errors.InputError(
        'batch_norm got inputs of undefined rank; give them a shape with set_shape.'
      )
    self._channel_axis = self.axis % shape.ndims
    self._channels = tensor_shape.dimension_value(shape[self._channel_axis])
    if self._channels is None:
      raise errors.InputError(
        f'batch_norm got inputs of shape {shape}, whose channels (axis {self._channel_axis}) are'
        ' undefined; give them a number with set_shape.'
      )
    # Half precision is for activations; TensorFlow keeps parameters and statistics in float32.
    dtype = dtypes.as_dtype(self.dtype or dtypes.float32)
    is_half = dtype in (dtypes.float16, dtypes.bfloat16)
    self._param_dtype = dtypes.float32 if is_half else dtype
    self.gamma = self._add_parameter('gamma') if self.scale else None
    self.beta = self._add_parameter('beta') if self.center else None
    # Moving statistics are assigned as wholes, so they are never partitioned.
    with variable_scope.variable_scope(
      variable_scope.get_variable_scope(), auxiliary_name_scope=False
    ) as scope:
      scope.set_partitioner(None)
      self.moving_mean = self._add_parameter('moving_mean', trainable=False)
      self.moving_variance = self._add_parameter('moving_variance', trainable=False)
    self.built = True

  # AutoGraph would read this file again and rewrite it, for nothing.
  @autograph.do_not_convert
  def call(self, inputs, training=False):
    if _frozen[-1](self.moving_mean.op.name):
      training = False
    constant = utils.constant_value(training)
    is_training = math_ops.cast(training, dtypes.bool) if constant is None else bool(constant)
    is_fused = inputs.shape.ndims == 4 and self._channel_axis in (1, 3) and self.fused is not False
    normalize = self._normalize_fused if is_fused else self._normalize
    outputs, mean, variance = normalize(inputs, is_training)
    if is_training is not False and self.trainable:
      # A momentum of 1 leaves the moving statistics as they are.
      momentum = utils.smart_cond(is_training, lambda: self.momentum, lambda: 1.0)
      for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
        with ops.name_scope('AssignMovingAvg') as name, ops.colocate_with(moving):
          update = state_ops.assign_sub(moving, (moving - batch) * (1 - momentum), name=name)
        ops.add_to_collection(ops.GraphKeys.UPDATE_OPS, update.op)
    return outputs

  def _add_parameter(self, name, trainable=True):
    # In the layer's scope, which it is called in. Keras' `add_weight` would look through all of the
    # graph's variables each time.
    return variable_scope.get_variable(
      name,
      shape=(self._channels,),
      dtype=self._param_dtype,
      initializer=self._initializers[name],
      regularizer=self._regularizers.get(name),
      trainable=trainable and self.trainable,
    )

  def _normalize_fused(self, inputs, is_training):
    """Returns the outputs, and the mean and variance used, from one fused op."""

    # Constants, not variables: without scale or center nothing more enters the checkpoint.
    def parameter_or(constants, parameter):
      return constants([self._channels], self._param_dtype) if parameter is None else parameter

    arguments = {
      'x': inputs,
      'scale': parameter_or(array_ops.ones, self.gamma),
      'offset': parameter_or(array_ops.zeros, self.beta),
      'epsilon': self.epsilon,
      'data_format': 'NCHW' if self._channel_axis == 1 else 'NHWC',
    }
    moving = {'mean': self.moving_mean, 'variance': self.moving_variance}
    return utils.smart_cond(
      is_training,
      lambda: nn.fused_batch_norm(**arguments),
      lambda: nn.fused_batch_norm(**arguments, **moving, is_training=False),
    )

  def _normalize(self, inputs, is_training):
    """Returns the outputs, and the mean and variance used, from elementary ops."""
    axes = [axis for axis in range(inputs.shape.ndims) if axis != self._channel_axis]
    mean, variance = utils.smart_cond(
      is_training,
      lambda: nn.moments(math_ops.cast(inputs, self._param_dtype), axes),
      lambda: (
        ops.convert_to_tensor(self.moving_mean),
        ops.convert_to_tensor(self.moving_variance),
      ),
    )
    # A parameter per channel, with an axis of one wherever the inputs have others.
    broadcast_shape = [1] * inputs.shape.ndims
    broadcast_shape[self._channel_axis] = self._channels
    parameters = (
      None
      if parameter is None
      else math_ops.cast(array_ops.reshape(parameter, broadcast_shape), inputs.dtype)
      for parameter in (mean, variance, self.beta, self.gamma)
    )
    return nn.batch_normalization(inputs, *parameters, self.epsilon), mean, variance


def batch_normalization(inputs, training=False, name=None, reuse=None, **kwargs):
  """Returns `inputs` normalized by a new `BatchNormalization` layer of the given arguments."""
  layer = BatchNormalization(name=name, _reuse=reuse, _scope=name, **kwargs)
  return layer(inputs, training=training)
