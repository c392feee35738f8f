"""CycleGAN's generator: an encoder, residual blocks and a decoder between two kinds of images.

J.-Y. Zhu, T. Park, P. Isola and A. A. Efros, "Unpaired Image-to-Image Translation using
Cycle-Consistent Adversarial Networks", 2017, https://arxiv.org/abs/1703.10593, section 7.2. Against
the paper, transposed convolutions have biases in place of instance norm, and Glorot's initial
weights. The discriminator is `pix2pix`'s.
"""

from collections.abc import Callable, Sequence

from nets import arguments, convolutions, pix2pix
from slimcompat import slim, tf

UPSAMPLE_METHODS = ('nn_upsample_conv', 'bilinear_upsample_conv', 'conv2d_transpose')


def cyclegan_arg_scope(
  instance_norm_center: bool = True,
  instance_norm_scale: bool = True,
  instance_norm_epsilon: float = 0.001,
  weights_init_stddev: float = 0.02,
  weight_decay: float = 0.0,
) -> dict:
  """Returns the arg scope that the generator is to be built under.

  Args:
    instance_norm_center: whether instance norm adds a `beta`.
    instance_norm_scale: whether instance norm multiplies by a `gamma`.
    instance_norm_epsilon: what instance norm adds to the variance.
    weights_init_stddev: of the initial weights.
    weight_decay: the weight of the L2 losses on the weights; 0 for none.
  """
  with slim.arg_scope(
    [slim.conv2d],
    normalizer_fn=slim.instance_norm,
    normalizer_params={
      'center': instance_norm_center,
      'scale': instance_norm_scale,
      'epsilon': instance_norm_epsilon,
    },
    weights_initializer=tf.random_normal_initializer(0, weights_init_stddev),
    weights_regularizer=slim.l2_regularizer(weight_decay) if weight_decay else None,
  ) as scope:
    return scope


def cyclegan_upsample(
  net: tf.Tensor,
  num_outputs: int,
  stride: Sequence[int],
  method: str = 'conv2d_transpose',
  pad_mode: str = 'REFLECT',
  align_corners: bool = False,
) -> tf.Tensor:
  """Returns features of more pixels, after a 3x3 convolution, in the scope 'upconv'.

  Args:
    net: `[batch, height, width, channels]`.
    num_outputs: the number of filters.
    stride: the factors by which height and width grow.
    method: 'nn_upsample_conv' or 'bilinear_upsample_conv', which enlarge and convolve, or
      'conv2d_transpose'.
    pad_mode: what is padded before the convolution of the first two: 'CONSTANT' for zeros,
      'REFLECT' or 'SYMMETRIC'.
    align_corners: whether 'bilinear_upsample_conv' keeps the centres of the corner pixels.

  Raises:
    InputError: when there is no such method.
  """
  arguments.check_choice('upsample method', method, UPSAMPLE_METHODS)
  with tf.variable_scope('upconv'):
    if method == 'conv2d_transpose':
      net = slim.conv2d_transpose(net, num_outputs, [3, 3], stride=stride, padding='VALID')
      # Of the one row and column too many with stride 2, those that make up for the shift of the
      # encoder's convolutions.
      return net[:, 1:, 1:, :]
    if method == 'nn_upsample_conv':
      net = pix2pix.resize(net, stride, tf.image.resize_nearest_neighbor)
    else:
      net = pix2pix.resize(
        net,
        stride,
        lambda images, size: tf.image.resize_bilinear(images, size, align_corners=align_corners),
      )
    net = convolutions.fixed_padding(net, [3, 3], mode=pad_mode)
    return slim.conv2d(net, num_outputs, [3, 3], padding='VALID')


def cyclegan_generator_resnet(
  images: tf.Tensor,
  arg_scope_fn: Callable = cyclegan_arg_scope,
  num_resnet_blocks: int = 6,
  num_filters: int = 64,
  upsample_fn: Callable = cyclegan_upsample,
  kernel_size: int | Sequence[int] = 3,
  tanh_linear_slope: float = 0.0,
  is_training: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the translated images, of the shape of `images` and in (-1, 1), and the end points.

  The variables lie in the caller's scope.

  Args:
    images: `[batch, height, width, channels]`, their height and width multiples of 4.
    arg_scope_fn: arg_scope_fn() -> the arg scope of all layers.
    num_resnet_blocks: the number of residual blocks: 6, or 9 for images of 256x256 pixels or more.
    num_filters: the depth of the first convolution; the residual blocks have four times as many.
    upsample_fn: upsample_fn(net, num_outputs=, stride=) -> the next features of the decoder.
    kernel_size: of the convolutions but the outermost and the decoder's: one number, or height
      and width.
    tanh_linear_slope: what part of the logits is added to their tanh, so that gradients do not
      vanish; other than 0, the images are unbounded.
    is_training: not read: nothing depends on it.

  Raises:
    InputError: when the images have another rank, a size that is no multiple of 4, or too few
      pixels to reflect.
  """
  del is_training
  kernel_size = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
  # The innermost features, of a quarter of the size, have to exceed their padding.
  arguments.check_images(images, min_size=4 * (max(kernel_size) // 2 + 1))
  pix2pix.check_multiple(images, 4)

  def conv(net, depth, kernel_size=kernel_size, **settings):
    net = convolutions.fixed_padding(net, kernel_size, mode='REFLECT')
    return slim.conv2d(net, depth, kernel_size, padding='VALID', **settings)

  end_points = {}
  with slim.arg_scope(arg_scope_fn()):
    with tf.variable_scope('input'):
      net = end_points['encoder_0'] = conv(images, num_filters, [7, 7])
    with tf.variable_scope('encoder'):
      net = end_points['encoder_1'] = conv(net, num_filters * 2, stride=2)
      net = end_points['encoder_2'] = conv(net, num_filters * 4, stride=2)
    with tf.variable_scope('residual_blocks'):
      for index in range(num_resnet_blocks):
        with tf.variable_scope(f'block_{index}'):
          residual = conv(net, num_filters * 4)
          net += conv(residual, num_filters * 4, activation_fn=None)
          end_points[f'resnet_block_{index}'] = net
    with tf.variable_scope('decoder'):
      for name, depth in (('decoder1', num_filters * 2), ('decoder2', num_filters)):
        with tf.variable_scope(name):
          net = end_points[name] = upsample_fn(net, num_outputs=depth, stride=[2, 2])
    with tf.variable_scope('output'):
      channels = images.shape[-1]
      logits = conv(net, channels, [7, 7], activation_fn=None, normalizer_fn=None)
      logits.set_shape(images.shape)
  end_points['logits'] = logits
  end_points['predictions'] = tf.tanh(logits) + tanh_linear_slope * logits
  return end_points['predictions'], end_points
