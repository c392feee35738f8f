"""What the preprocessings share: the check of an image, its channels, its summaries."""

from slimcompat import errors, tf
from slimtrain.preprocessing import randomness


def check(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """Returns `image` as a tensor of known rank, fit to become one of `height` x `width` pixels.

  A rank or a number of channels that only the data show is checked there.

  Raises:
    InputError: unless `image` may be `[height, width, channels]` with 1 or 3 channels, and both
      sides are 1 at least.
  """
  image = tf.convert_to_tensor(image)
  if image.shape.ndims not in (None, 3):
    raise errors.InputError(
      f'The image has the shape {image.shape}, but one image [height, width, channels] is'
      ' preprocessed at a time. Decode it first, and map a batch image by image.'
    )
  if image.shape.ndims is None:
    image = tf.ensure_shape(image, [None, None, None])
  channels = num_channels(image)
  if channels not in (None, 1, 3):
    raise errors.InputError(
      f'The image has {channels} channels, but 1 (gray) or 3 (RGB) can be preprocessed. Decode it'
      ' with channels=1 or channels=3.'
    )
  if height < 1 or width < 1:
    raise errors.InputError(
      f'An image of {height} x {width} pixels was asked for; height and width are 1 at least.'
    )
  return image


def num_channels(image: tf.Tensor) -> int | None:
  """Returns the channels of `image` `[height, width, channels]`, None where only data show them."""
  return image.shape.as_list()[-1]


def to_rgb(image: tf.Tensor) -> tf.Tensor:
  """Returns `image` with 3 channels; those of a gray one are equal."""
  if num_channels(image) == 3:
    return image
  height, width, _ = image.shape.as_list()
  rgb = tf.broadcast_to(image, tf.concat([tf.shape(image)[:2], [3]], axis=0))
  rgb.set_shape([height, width, 3])
  return rgb


def to_gray(image: tf.Tensor) -> tf.Tensor:
  """Returns `image` with 1 channel, the luma of RGB (ITU-R BT.601); a gray one stays as it is."""
  if num_channels(image) == 1:
    return image
  rgb = to_rgb(image)
  gray = tf.image.rgb_to_grayscale(rgb)
  if num_channels(image) == 3:
    return gray
  # Not tf.cond: there TensorFlow 2.21's optimizer runs the branch not taken, which fails.
  return tf.where(tf.equal(tf.shape(image)[2], 1), rgb[..., :1], gray)


def mirror_half(image: tf.Tensor) -> tf.Tensor:
  """Returns `image` `[height, width, channels]`, left and right exchanged half of the time."""
  # Over the axes [1] or []: not a branch, which costs more than reversing.
  mirrored = tf.reverse(image, tf.range(1, 1 + tf.cast(randomness.coin(), tf.int32)))
  mirrored.set_shape(image.shape)
  return mirrored


def can_add_summaries() -> bool:
  """Returns whether summaries made here reach the graph; out of tf.data's functions none do."""
  return not tf.get_default_graph().building_function


def add_summary(tag: str, image: tf.Tensor):
  """Adds a summary of `image` `[height, width, channels]`."""
  tf.summary.image(tag, tf.expand_dims(image, 0))
