"""Preprocessing for one's own images: cut to shape, resized, and normalized by one's own numbers.

Without random crops and flips it is the same in training as in evaluation, and what is in the
middle stays there: fit for regression on positions.
"""

from collections.abc import Sequence

from slimcompat import errors, tf
from slimtrain.preprocessing import images, randomness

# With these as means and as standard deviations, values come to lie in [-1, 1].
HALF_RANGE = (127.5,)
# The part of each side of the largest window that a random crop keeps, as 224 of 256 pixels.
CROP_FRACTION = 0.875


def preprocess_image(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  is_training: bool = False,
  use_grayscale: bool = False,
  channel_means: Sequence[float] = HALF_RANGE,
  channel_stds: Sequence[float] = HALF_RANGE,
  random_crop: bool = True,
  random_flip: bool = True,
) -> tf.Tensor:
  """Returns the largest window of `image` of the output's shape, resized to it and normalized.

  The window lies in the centre. A random crop, in training, has 7/8 of its sides and lies anywhere.

  Args:
    image: `[height, width, channels]` of any numeric dtype, 1 or 3 channels, in [0, 255].
    output_height: pixels.
    output_width: pixels.
    is_training: whether `random_crop` and `random_flip` are heeded.
    use_grayscale: whether the result has 1 channel; otherwise it has those of `image`.
    channel_means: in [0, 255], one for each channel of the result or one for all.
    channel_stds: alike, above 0.
    random_crop: whether training sees crops.
    random_flip: whether training sees left and right exchanged, half of the time.

  Returns:
    `[output_height, output_width, channels]`: `(value - mean) / std`.

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, a side is below 1, or there are
      not as many means or standard deviations as channels.
  """
  image = images.check(image, output_height, output_width)
  if use_grayscale:
    image = images.to_gray(tf.cast(image, tf.float32))
  for name, values in (('channel_means', channel_means), ('channel_stds', channel_stds)):
    _check_count(name, values, images.num_channels(image))
  source_size = tf.shape(image)[:2]
  size = tf.constant([output_height, output_width], tf.float32)
  # As many pixels of the image as go into one of the output, in the direction that has fewer.
  scale = tf.reduce_min(tf.cast(source_size, tf.float32) / size)
  if is_training and random_crop:
    scale *= CROP_FRACTION
  window_size = tf.clip_by_value(tf.cast(tf.rint(size * scale), tf.int32), 1, source_size)
  num_places = source_size - window_size + 1
  if is_training and random_crop:
    corner = tf.stack([randomness.uniform([], 0, num_places[side], tf.int32) for side in (0, 1)])
  else:
    corner = (num_places - 1) // 2
  num_channels = images.num_channels(image)
  window = tf.slice(image, tf.pad(corner, [[0, 1]]), tf.concat([window_size, [-1]], axis=0))
  window.set_shape([None, None, num_channels])
  image = tf.image.resize_images(window, [output_height, output_width])
  if is_training and random_flip:
    image = images.mirror_half(image)
  image = (tf.cast(image, tf.float32) - tf.constant(channel_means)) / tf.constant(channel_stds)
  image.set_shape([output_height, output_width, num_channels])
  return image


def _check_count(name, values, num_channels):
  if len(values) not in (1, num_channels or len(values)):
    raise errors.InputError(
      f'--{name} has {len(values)} numbers, but the images have {num_channels} channels. Give one'
      ' number for each, or one for all.'
    )
