"""I3D: Inception v1 for videos, all its convolutions over space and time.

J. Carreira and A. Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics
Dataset", 2017, https://arxiv.org/abs/1705.07750, figure 3. Like Inception v1 here, it has 3x3x3
convolutions where GoogLeNet has 5x5 ones.

Scopes and end points are Inception v1's, so that its weights can be the start.
"""

from collections.abc import Callable

from nets import i3d_utils, s3dg
from slimcompat import slim, tf

# What S3D-G has to leave out to be I3D.
_SETTINGS = {'first_temporal_kernel_size': 7, 'gating_startat': None}


def i3d_arg_scope(
  weight_decay: float = 1e-7,
  batch_norm_decay: float = 0.999,
  batch_norm_epsilon: float = 0.001,
  use_renorm: bool = False,
  separable_conv3d: bool = False,
) -> dict:
  """Returns the arg scope that `i3d` is to be built under.

  Args:
    weight_decay: the weight of the L2 losses on the weights.
    batch_norm_decay: the decay of the moving averages, in [0, 1); short runs want less, such as
      0.9.
    batch_norm_epsilon: what batch norm adds to the variance.
    use_renorm: must be False: TensorFlow 2.16 and later have no batch renormalization.
    separable_conv3d: whether convolutions go over space first, then over time.
  """
  return i3d_utils.video_arg_scope(
    weight_decay, batch_norm_decay, batch_norm_epsilon, use_renorm, separable_conv3d
  )


def i3d_base(
  inputs: tf.Tensor, final_endpoint: str = 'Mixed_5c', scope: str = 'InceptionV1'
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, frames, height, width, depth]` and the end points up to them.

  Args:
    inputs: the videos, `[batch, frames, height, width, channels]`.
    final_endpoint: where to end; see `s3dg.s3dg_base`.
    scope: the variable scope.

  Raises:
    InputError: when the videos have another rank, or there is no such end point.
  """
  return s3dg.s3dg_base(inputs, final_endpoint=final_endpoint, scope=scope, **_SETTINGS)


def i3d(
  inputs: tf.Tensor,
  num_classes: int | None = 1000,
  dropout_keep_prob: float = 0.8,
  is_training: bool | tf.Tensor = True,
  prediction_fn: Callable | None = slim.softmax,
  spatial_squeeze: bool = True,
  reuse: bool | None = None,
  scope: str = 'InceptionV1',
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` and the end points by name.

  Args:
    inputs: the videos, `[batch, frames, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the features averaged over time instead,
      `[batch, 1, 1, 1024]`.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    prediction_fn: makes the end point 'Predictions' of the logits; None leaves it out.
    spatial_squeeze: whether the logits lose their height and width of 1.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.

  Raises:
    InputError: when the videos have another rank, or there is more than one position of logits to
      squeeze.
  """
  return s3dg.s3dg(
    inputs,
    num_classes,
    dropout_keep_prob=dropout_keep_prob,
    is_training=is_training,
    prediction_fn=prediction_fn,
    spatial_squeeze=spatial_squeeze,
    reuse=reuse,
    scope=scope,
    **_SETTINGS,
  )


i3d.default_image_size = 224
