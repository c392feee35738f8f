"""DCGAN: a generator of images from noise, and a discriminator that tells them from real ones.

A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks", 2015, https://arxiv.org/abs/1511.06434, section 3 and figure 1.
Against the paper: kernels are 4x4, not 5x5; the numbers of layers follow from the images' size;
both nets end with a 1x1 convolution of its own; the generator's output is not bounded by a tanh;
initial weights are Glorot's.
"""

from nets import arguments
from slimcompat import errors, slim, tf


def discriminator(
  inputs: tf.Tensor,
  depth: int = 64,
  is_training: bool | tf.Tensor = True,
  reuse: bool | None = None,
  scope: str = 'Discriminator',
  fused_batch_norm: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, 1]`, high for real images, and the end points by name.

  Args:
    inputs: the images, `[batch, size, size, channels]`, the size a power of 2.
    depth: the number of filters of the first convolution; each next one has twice as many.
    is_training: whether batch norm uses and averages the batch's statistics.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    fused_batch_norm: whether batch norm is one fused op.

  Raises:
    InputError: when the images have another rank, or are not square with a power of 2 as size.
  """
  arguments.check_images(inputs)
  height, width = inputs.shape[1:3].as_list()
  if height is None or height != width:
    raise errors.InputError(
      f'The images have the shape {inputs.shape}; the discriminator takes [batch, size, size,'
      ' channels] with a known size. Crop or resize them.'
    )
  num_layers = _log2('The size of the images', height)
  end_points = {}
  with (
    tf.variable_scope(scope, values=[inputs], reuse=reuse),
    _batch_norm_scope(is_training, fused_batch_norm),
  ):
    net = inputs
    for index in range(num_layers):
      name = f'conv{index + 1}'
      net = end_points[name] = slim.conv2d(
        net,
        depth * 2**index,
        [4, 4],
        stride=2,
        activation_fn=tf.nn.leaky_relu,
        # The images' own statistics shall reach the net.
        normalizer_fn=slim.batch_norm if index else None,
        scope=name,
      )
    logits = slim.conv2d(net, 1, [1, 1], activation_fn=None, normalizer_fn=None)
    end_points['logits'] = tf.reshape(logits, [-1, 1])
  return end_points['logits'], end_points


def generator(
  inputs: tf.Tensor,
  depth: int = 64,
  final_size: int = 32,
  num_outputs: int = 3,
  is_training: bool | tf.Tensor = True,
  reuse: bool | None = None,
  scope: str = 'Generator',
  fused_batch_norm: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns images `[batch, final_size, final_size, num_outputs]` and the end points by name.

  The images are unbounded; apply `tf.tanh` for values in [-1, 1].

  Args:
    inputs: the noise, `[batch, any]`.
    depth: the number of filters of the last transposed convolution; each one before has twice as
      many.
    final_size: the height and width of the images, a power of 2 from 8 on.
    num_outputs: the number of channels of the images.
    is_training: whether batch norm uses and averages the batch's statistics.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    fused_batch_norm: whether batch norm is one fused op.

  Raises:
    InputError: when the noise has another rank, or `final_size` is none of the allowed.
  """
  if inputs.shape.rank != 2:
    raise errors.InputError(
      f'The noise has the shape {inputs.shape}; the generator takes [batch, any]. Reshape it.'
    )
  num_layers = _log2('final_size', final_size) - 1
  if num_layers < 2:
    raise errors.InputError(f'final_size is {final_size}; it must be at least 8.')
  end_points = {}
  with (
    tf.variable_scope(scope, values=[inputs], reuse=reuse),
    _batch_norm_scope(is_training, fused_batch_norm),
  ):
    net = inputs[:, tf.newaxis, tf.newaxis]
    for index in range(1, num_layers + 1):
      name = f'deconv{index}'
      is_first, is_last = index == 1, index == num_layers
      net = end_points[name] = slim.conv2d_transpose(
        net,
        depth * 2 ** (num_layers - index),
        [4, 4],
        # From 1x1 to 4x4, then twice the size each time.
        stride=1 if is_first else 2,
        padding='VALID' if is_first else 'SAME',
        activation_fn=None if is_last else tf.nn.relu,
        # As with the discriminator's first layer.
        normalizer_fn=None if is_last else slim.batch_norm,
        scope=name,
      )
    logits = end_points['logits'] = slim.conv2d(
      net, num_outputs, [1, 1], activation_fn=None, normalizer_fn=None, scope='logits'
    )
  return logits, end_points


def _log2(name, value):
  """Returns the logarithm of a power of 2; `name` says what it is of."""
  if value < 1 or value & (value - 1):
    raise errors.InputError(f'{name} is {value}; it must be a power of 2, such as 32 or 64.')
  return value.bit_length() - 1


def _batch_norm_scope(is_training, fused):
  # Without zero_debias the first steps' averages stay close to the initial zeros.
  return slim.arg_scope(
    [slim.batch_norm], is_training=is_training, zero_debias_moving_mean=True, fused=fused
  )
