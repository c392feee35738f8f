"""Preprocessing for VGG and ResNet: resized keeping the aspect ratio, cropped, mean subtracted.

K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", https://arxiv.org/abs/1409.1556, section 3.1. Against the paper: no random shift of
the colours in training, and one centre crop in evaluation.
"""

from slimcompat import errors, tf
from slimtrain.preprocessing import images, randomness

# The means of the training images of ImageNet, R, G and B, in [0, 255]: the paper's authors'
# https://gist.github.com/ksimonyan/211839e770f7b538e2d8
RGB_MEANS = (123.68, 116.78, 103.94)
RESIZE_SIDE_MIN = 256  # Pixels of the shorter side.
RESIZE_SIDE_MAX = 512
MAX_ELONGATION = 32  # The longer side by the shorter, of the part of an image that is resized.


def preprocess_for_train(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  resize_side_min: int = RESIZE_SIDE_MIN,
  resize_side_max: int = RESIZE_SIDE_MAX,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns a random crop, perhaps mirrored, of `image` resized at random.

  Args:
    image: as for `preprocess_image`.
    output_height: pixels.
    output_width: pixels.
    resize_side_min: the least size of the resized image's shorter side, in pixels.
    resize_side_max: its greatest; all sizes in between are equally likely.
    use_grayscale: as for `preprocess_image`.

  Returns:
    As `preprocess_image`.

  Raises:
    InputError: as `preprocess_image`, and when `resize_side_min` is above `resize_side_max`.
  """
  image = images.check(image, output_height, output_width)
  side = _random_side(resize_side_min, resize_side_max)
  image = _resize_and_crop(image, side, output_height, output_width, _random_offset)
  return _subtract_mean(images.mirror_half(image), use_grayscale)


def choose_window(
  image_shape: tf.Tensor,
  output_height: int,
  output_width: int,
  resize_side_min: int = RESIZE_SIDE_MIN,
  resize_side_max: int = RESIZE_SIDE_MAX,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns about what `preprocess_for_train` crops, in whole pixels of an image not yet resized.

  Against its crops, each side may be half a pixel longer or shorter, and lies at a whole pixel.

  Args:
    image_shape: int32 `[3]`: height, width and channels.
    output_height: as for `preprocess_for_train`, like the others.

  Returns:
    The window's corner, `[3]`, and size, `[3]`, for `tf.slice`.
  """
  sides = image_shape[:2]
  # No side is longer than in a part that `_resize_and_crop` resizes.
  longest = tf.minimum(sides, MAX_ELONGATION * tf.reduce_min(sides))
  side = _random_side(resize_side_min, resize_side_max)
  scale = _scale(tf.cast(longest, tf.float32), side, output_height, output_width)
  size = tf.cast(tf.rint([output_height, output_width] / scale), tf.int32)
  size = tf.clip_by_value(size, 1, longest)
  corner = tf.stack([_random_offset(sides[axis] - size[axis] + 1) for axis in (0, 1)])
  return tf.pad(corner, [[0, 1]]), tf.concat([size, [-1]], axis=0)


def preprocess_window(
  window: tf.Tensor, output_height: int, output_width: int, use_grayscale: bool = False
) -> tf.Tensor:
  """Returns what `choose_window` cut out of an image resized, and perhaps mirrored.

  Args:
    window: as the image of `preprocess_image`, like the other arguments.

  Returns:
    As `preprocess_image`.
  """
  window = images.check(window, output_height, output_width)
  image = tf.cast(tf.image.resize_images(window, [output_height, output_width]), tf.float32)
  return _subtract_mean(images.mirror_half(image), use_grayscale)


def preprocess_for_eval(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  resize_side: int,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns the centre of `image` resized to a shorter side of `resize_side` pixels.

  The other arguments, the result and the errors are those of `preprocess_image`.
  """
  image = images.check(image, output_height, output_width)
  image = _resize_and_crop(image, resize_side, output_height, output_width, _central_offset)
  return _subtract_mean(image, use_grayscale)


def preprocess_image(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  is_training: bool = False,
  resize_side_min: int = RESIZE_SIDE_MIN,
  resize_side_max: int = RESIZE_SIDE_MAX,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns `image` preprocessed for training or for evaluation.

  Where the crop would be larger than the resized image, that is made just large enough. Of an
  image longer than `MAX_ELONGATION` times its shorter side, a part of that length is resized.

  Args:
    image: `[height, width, channels]` of any numeric dtype, 1 or 3 channels, in [0, 255].
    output_height: pixels.
    output_width: pixels.
    is_training: whether `preprocess_for_train` does it rather than `preprocess_for_eval`.
    resize_side_min: the least size of the resized image's shorter side, in pixels; its size when
      evaluating.
    resize_side_max: its greatest size when training.
    use_grayscale: whether the result has 1 channel, and not 3. Its mean is that of the gray
      images: the luma of `RGB_MEANS`.

  Returns:
    `[output_height, output_width, 3 or 1]`, in [-123.68, 151.06]. A gray `image` gives three equal
    channels, less their means, or one.

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is below 1.
  """
  if is_training:
    return preprocess_for_train(
      image, output_height, output_width, resize_side_min, resize_side_max, use_grayscale
    )
  return preprocess_for_eval(image, output_height, output_width, resize_side_min, use_grayscale)


def _resize_and_crop(image, resize_side, height, width, offset):
  """Returns a window of `image` resized so that its shorter side is `resize_side`.

  Args:
    image: `[height, width, channels]`.
    resize_side: pixels, an integer or an integer tensor.
    height: of the window.
    width: of the window.
    offset: a function of the number of places for a window, that returns its place.
  """
  # A strip of 1 x 5000 pixels would become one of 256 x 1,280,000 and take all memory.
  longest = MAX_ELONGATION * tf.reduce_min(tf.shape(image)[:2])
  image = _crop(image, tf.minimum(tf.shape(image)[:2], longest), offset)
  source_size = tf.cast(tf.shape(image)[:2], tf.float32)
  scale = _scale(source_size, resize_side, height, width)
  resized_size = tf.cast(tf.rint(source_size * scale), tf.int32)
  resized = tf.image.resize_images(image, resized_size)
  return tf.cast(_crop(resized, [height, width], offset), tf.float32)


def _scale(source_size, resize_side, height, width):
  """Returns how many times larger an image gets, float32, for a window to fit into it."""
  scale = tf.cast(resize_side, tf.float32) / tf.reduce_min(source_size)
  return tf.maximum(scale, tf.reduce_max([height, width] / source_size))


def _crop(image, size, offset):
  """Returns the window of `size` (height, width), placed by `offset` along each side."""
  num_places = tf.shape(image)[:2] - size + 1
  begin = tf.stack([offset(num_places[0]), offset(num_places[1]), 0])
  window = tf.slice(image, begin, tf.concat([size, [-1]], axis=0))
  # The slice does not know that it keeps the channels.
  window.set_shape([None, None, images.num_channels(image)])
  return window


def _random_side(least, greatest):
  if not 0 < least <= greatest:
    raise errors.InputError(
      f'resize_side_min is {least} and resize_side_max {greatest}; they are pixels, and the first'
      ' must be positive and not above the second.'
    )
  return randomness.uniform([], least, greatest + 1, tf.int32)


def _random_offset(num_places):
  return randomness.uniform([], 0, num_places, tf.int32)


def _central_offset(num_places):
  return (num_places - 1) // 2


def _subtract_mean(image, use_grayscale):
  means = tf.constant(RGB_MEANS, shape=[1, 1, 3])
  if use_grayscale:
    return images.to_gray(image) - tf.image.rgb_to_grayscale(means)
  return images.to_rgb(image) - means
