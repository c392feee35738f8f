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
  if not 0 < resize_side_min <= resize_side_max:
    raise errors.InputError(
      f'resize_side_min is {resize_side_min} and resize_side_max {resize_side_max}; they are'
      ' pixels, and the first must be positive and not above the second.'
    )
  image = images.check(image, output_height, output_width)
  side = randomness.uniform([], resize_side_min, resize_side_max + 1, tf.int32)
  image = _resize_and_crop(image, side, output_height, output_width, _random_offset)
  image = images.mirror_half(image)
  return _subtract_mean(image, use_grayscale)


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
  scale = tf.cast(resize_side, tf.float32) / tf.reduce_min(source_size)
  scale = tf.maximum(scale, tf.reduce_max([height, width] / source_size))
  resized_size = tf.cast(tf.rint(source_size * scale), tf.int32)
  resized = tf.image.resize_images(image, resized_size)
  return tf.cast(_crop(resized, [height, width], offset), tf.float32)


def _crop(image, size, offset):
  """Returns the window of `size` (height, width), placed by `offset` along each side."""
  num_places = tf.shape(image)[:2] - size + 1
  begin = tf.stack([offset(num_places[0]), offset(num_places[1]), 0])
  window = tf.slice(image, begin, tf.concat([size, [-1]], axis=0))
  # The slice does not know that it keeps the channels.
  window.set_shape([None, None, images.num_channels(image)])
  return window


def _random_offset(num_places):
  return randomness.uniform([], 0, num_places, tf.int32)


def _central_offset(num_places):
  return (num_places - 1) // 2


def _subtract_mean(image, use_grayscale):
  means = tf.constant(RGB_MEANS, shape=[1, 1, 3])
  if use_grayscale:
    return images.to_gray(image) - tf.image.rgb_to_grayscale(means)
  return images.to_rgb(image) - means
