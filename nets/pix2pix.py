"""pix2pix: a U-Net that translates images into images, and a discriminator of patches.

P. Isola, J.-Y. Zhu, T. Zhou and A. A. Efros, "Image-to-Image Translation with Conditional
Adversarial Networks", 2016, https://arxiv.org/abs/1611.07004, sections 3 and 6.1. Against the
paper: instance norm stands for batch norm; by default the generator has seven blocks, not eight,
and drops features in the outer layers of the decoder, not the inner ones.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nets import arguments
from slimcompat import errors, slim, tf

UPSAMPLE_METHODS = ('nn_upsample_conv', 'conv2d_transpose')


class Block(NamedTuple):
  """A layer of the encoder and the layer of the decoder that sees its output."""

  num_filters: int
  decoder_keep_prob: float  # The part of the decoder's features that dropout keeps; 0 for all.


GENERATOR_BLOCKS = (
  Block(64, 0.5),
  Block(128, 0.5),
  Block(256, 0.5),
  Block(512, 0),
  Block(512, 0),
  Block(512, 0),
  Block(512, 0),
)


def pix2pix_arg_scope() -> dict:
  """Returns the arg scope that the generator and the discriminator are to be built under."""
  with slim.arg_scope(
    [slim.conv2d, slim.conv2d_transpose],
    normalizer_fn=slim.instance_norm,
    normalizer_params={'center': True, 'scale': True, 'epsilon': 0.00001},
    weights_initializer=tf.random_normal_initializer(0, 0.02),
  ) as scope:
    return scope


def resize(net: tf.Tensor, factors: Sequence[int], resize_fn: Callable) -> tf.Tensor:
  """Returns `[batch, height, width, channels]` with height and width multiplied by `factors`.

  `resize_fn(net, size)` does it, such as `tf.image.resize_bilinear`.
  """
  sizes = zip(net.shape[1:3].as_list(), tf.unstack(tf.shape(net)[1:3]), factors, strict=True)
  return resize_fn(
    net, [(dynamic if static is None else static) * factor for static, dynamic, factor in sizes]
  )


def upsample(
  net: tf.Tensor, num_outputs: int, kernel_size: Sequence[int], method: str = 'nn_upsample_conv'
) -> tf.Tensor:
  """Returns features of more pixels, after a 4x4 convolution without activation.

  Args:
    net: `[batch, height, width, channels]`.
    num_outputs: the number of filters.
    kernel_size: the factors by which height and width grow.
    method: 'nn_upsample_conv', which repeats pixels and convolves, or 'conv2d_transpose'.

  Raises:
    InputError: when there is no such method.
  """
  arguments.check_choice('upsample method', method, UPSAMPLE_METHODS)
  if method == 'conv2d_transpose':
    return slim.conv2d_transpose(net, num_outputs, [4, 4], stride=kernel_size, activation_fn=None)
  net = resize(net, kernel_size, tf.image.resize_nearest_neighbor)
  return slim.conv2d(net, num_outputs, [4, 4], activation_fn=None)


def pix2pix_generator(
  net: tf.Tensor,
  num_outputs: int,
  blocks: Sequence[Block] | None = None,
  upsample_method: str = 'nn_upsample_conv',
  is_training: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, height, width, num_outputs]` and the end points by name.

  'predictions' among the end points are the images, in (-1, 1). The variables lie in the
  caller's scope.

  Args:
    net: the images to translate, `[batch, height, width, channels]`, their height and width
      multiples of 2 to the number of blocks.
    num_outputs: the number of channels of the translations.
    blocks: the layers from the outermost to the innermost; None means GENERATOR_BLOCKS.
    upsample_method: see `upsample`.
    is_training: not read: dropout is the generator's noise, in evaluation, too (section 3.1).

  Raises:
    InputError: when the images have another rank or a size that is no such multiple, or there is
      no such method.
  """
  del is_training
  blocks = blocks or GENERATOR_BLOCKS
  arguments.check_images(net)
  check_multiple(net, 2 ** len(blocks))
  shape = net.shape[:3].concatenate(num_outputs)
  end_points = {}
  with (
    tf.variable_scope('encoder'),
    slim.arg_scope([slim.conv2d], kernel_size=[4, 4], stride=2, activation_fn=tf.nn.leaky_relu),
  ):
    for index, block in enumerate(blocks):
      settings = {}
      if index in (0, len(blocks) - 1):
        # The first sees images, the last may have a single pixel: nothing to normalize over.
        settings['normalizer_fn'] = None
      if index and index == len(blocks) - 1:
        settings['activation_fn'] = None
      net = slim.conv2d(net, block.num_filters, **settings)
      end_points[f'encoder{index}'] = net
  with tf.variable_scope('decoder'):
    for index, block in enumerate(reversed(blocks)):
      if index:
        net = tf.concat([net, end_points[f'encoder{len(blocks) - 1 - index}']], axis=3)
      net = upsample(tf.nn.relu(net), block.num_filters, [2, 2], upsample_method)
      if block.decoder_keep_prob:
        net = slim.dropout(net, block.decoder_keep_prob, is_training=True)
      end_points[f'decoder{index}'] = net
  with tf.variable_scope('output'):
    logits = slim.conv2d(net, num_outputs, [4, 4], activation_fn=None, normalizer_fn=None)
    logits.set_shape(shape)
  end_points['logits'] = logits
  end_points['predictions'] = tf.tanh(logits)
  return logits, end_points


def check_multiple(images: tf.Tensor, factor: int):
  """Raises InputError unless height and width, where known, are multiples of `factor`."""
  height, width = images.shape[1:3].as_list()
  if any(size is not None and size % factor for size in (height, width)):
    raise errors.InputError(
      f'The images are {height}x{width} pixels; the generator takes multiples of {factor}. Crop or'
      ' resize them.'
    )


def pix2pix_discriminator(
  net: tf.Tensor,
  num_filters: Sequence[int],
  padding: int = 2,
  pad_mode: str = 'REFLECT',
  activation_fn: Callable = tf.nn.leaky_relu,
  is_training: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, rows, columns, 1]`, one for each patch, and the end points.

  High logits are for real patches; 'predictions' among the end points are their probabilities.
  The variables lie in the caller's scope.

  Args:
    net: the images, in colour channels and possibly those of the condition,
      `[batch, height, width, channels]`.
    num_filters: the depths of the convolutions, two at least: 64, 128, 256 and 512 see patches of
      70x70 pixels. All but the last one and the one that gives the logits have stride 2.
    padding: the pixels on all sides before each convolution.
    pad_mode: what they consist of: 'CONSTANT' for zeros, 'REFLECT' or 'SYMMETRIC'.
    activation_fn: the activation after each convolution but the last.
    is_training: not read: nothing depends on it.

  Raises:
    InputError: when the images have another rank or there are fewer than two depths.
  """
  del is_training
  arguments.check_images(net)
  if len(num_filters) < 2:
    raise errors.InputError(
      f'num_filters is {num_filters}; the discriminator takes two depths at least, such as'
      ' [64, 128].'
    )
  num_layers = len(num_filters)
  end_points = {}
  for index, depth in enumerate([*num_filters, 1]):
    name = f'conv{index}'
    settings = {'activation_fn': activation_fn}
    if index == num_layers:
      settings['activation_fn'] = None
    if index in (0, num_layers):
      settings['normalizer_fn'] = None
    net = tf.pad(net, [[0, 0], [padding, padding], [padding, padding], [0, 0]], pad_mode)
    net = slim.conv2d(
      net,
      depth,
      [4, 4],
      stride=2 if index < num_layers - 1 else 1,
      padding='VALID',
      scope=name,
      **settings,
    )
    end_points['logits' if index == num_layers else name] = net
  end_points['predictions'] = tf.sigmoid(net)
  return net, end_points
