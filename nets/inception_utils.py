"""The arg scope of Inception nets."""

from collections.abc import Callable

from slimcompat import slim, tf


def inception_arg_scope(
  weight_decay: float = 0.00004,
  use_batch_norm: bool = True,
  batch_norm_decay: float = 0.9997,
  batch_norm_epsilon: float = 0.001,
  activation_fn: Callable | None = tf.nn.relu,
  batch_norm_updates_collections: str | None = tf.GraphKeys.UPDATE_OPS,
  batch_norm_scale: bool = False,
) -> dict:
  """Returns the arg scope that the Inception nets, but Inception-ResNet, are to be built under.

  Args:
    weight_decay: the weight of the L2 losses on the weights.
    use_batch_norm: whether batch norm follows each convolution; without, a bias does.
    batch_norm_decay: the decay of the moving averages, in [0, 1); short runs want less, such as
      0.9.
    batch_norm_epsilon: what batch norm adds to the variance.
    activation_fn: what follows each convolution; None for nothing.
    batch_norm_updates_collections: what the updates of the moving averages join; None runs them
      with the layer.
    batch_norm_scale: whether batch norm learns a factor; before a ReLU the next layer can do its
      work.
  """
  batch_norm = batch_norm_arguments(
    batch_norm_decay, batch_norm_epsilon, batch_norm_updates_collections, batch_norm_scale
  )
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected], weights_regularizer=slim.l2_regularizer(weight_decay)
    ),
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=slim.variance_scaling_initializer(),
      activation_fn=activation_fn,
      normalizer_fn=slim.batch_norm if use_batch_norm else None,
      normalizer_params=batch_norm if use_batch_norm else {},
    ) as scope,
  ):
    return scope


def batch_norm_arguments(
  decay: float, epsilon: float, updates_collections: str | None, scale: bool
) -> dict:
  """Returns the arguments of `slim.batch_norm`; see `inception_arg_scope`."""
  return {
    'decay': decay,
    'epsilon': epsilon,
    'updates_collections': updates_collections,
    'fused': None,  # One fused op where the shape allows it.
    'scale': scale,
  }
