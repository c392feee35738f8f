"""Preprocessing for CifarNet and other nets for small pictures, which are not resized.

The distortions and the standardization are those of TensorFlow's tutorial on CIFAR-10,
https://github.com/tensorflow/models/tree/v1.13.0/tutorials/image/cifar10; the padded crop is that
of K. He et al., "Deep Residual Learning", https://arxiv.org/abs/1512.03385, section 4.2.
"""

from slimcompat import tf
from slimtrain.preprocessing import images, randomness

PADDING = 4  # Pixels on each side.
MAX_BRIGHTNESS_DELTA = 63.0  # Of values in [0, 255].
CONTRAST_RANGE = (0.2, 1.8)


def preprocess_for_train(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  padding: int = PADDING,
  add_image_summaries: bool = True,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns a random crop of `image`, perhaps mirrored, of random brightness and contrast.

  Args:
    image: as for `preprocess_image`.
    output_height: pixels.
    output_width: pixels.
    padding: black pixels added on each side before the crop. A side that even then is shorter
      than the output is padded up to it.
    add_image_summaries: as for `preprocess_image`.
    use_grayscale: whether the result has 1 channel; otherwise it has those of `image`.

  Returns:
    `[output_height, output_width, channels]`, of mean 0 and variance 1.

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is below 1.
  """
  add_image_summaries = add_image_summaries and images.can_add_summaries()
  image = _prepare(image, output_height, output_width, add_image_summaries, use_grayscale)
  image = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
  height, width, _ = tf.unstack(tf.shape(image))
  image = tf.image.resize_image_with_crop_or_pad(
    image, tf.maximum(height, output_height), tf.maximum(width, output_width)
  )
  num_channels = images.num_channels(image)
  num_places = tf.unstack(tf.shape(image)[:2] - [output_height, output_width] + 1)
  begin = [randomness.uniform([], 0, places, tf.int32) for places in num_places]
  image = tf.slice(image, [*begin, 0], [output_height, output_width, -1])
  image.set_shape([output_height, output_width, num_channels])
  image = images.mirror_half(image)
  if add_image_summaries:
    images.add_summary('distorted_image', image)
  brightness = randomness.uniform([], -MAX_BRIGHTNESS_DELTA, MAX_BRIGHTNESS_DELTA)
  image = tf.image.adjust_brightness(image, brightness)
  image = tf.image.adjust_contrast(image, randomness.uniform([], *CONTRAST_RANGE))
  return tf.image.per_image_standardization(image)


def preprocess_for_eval(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  add_image_summaries: bool = True,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns `image` cut or padded around its centre, of mean 0 and variance 1.

  The arguments, shapes and errors are those of `preprocess_for_train`.
  """
  add_image_summaries = add_image_summaries and images.can_add_summaries()
  image = _prepare(image, output_height, output_width, add_image_summaries, use_grayscale)
  image = tf.image.resize_image_with_crop_or_pad(image, output_height, output_width)
  if add_image_summaries:
    images.add_summary('resized_image', image)
  return tf.image.per_image_standardization(image)


def preprocess_image(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  is_training: bool = False,
  add_image_summaries: bool = True,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns `image` preprocessed for training or for evaluation.

  Args:
    image: `[height, width, channels]` of any numeric dtype, 1 or 3 channels, in [0, 255].
    output_height: pixels.
    output_width: pixels.
    is_training: whether `preprocess_for_train` does it rather than `preprocess_for_eval`.
    add_image_summaries: whether to add image summaries to the graph; inside a function of
      tf.data, which summaries cannot leave, none are.
    use_grayscale: whether the result has 1 channel; otherwise it has those of `image`.

  Returns:
    `[output_height, output_width, channels]`, of mean 0 and variance 1 (0 where all pixels are
    equal).

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is below 1.
  """
  preprocess = preprocess_for_train if is_training else preprocess_for_eval
  return preprocess(
    image,
    output_height,
    output_width,
    add_image_summaries=add_image_summaries,
    use_grayscale=use_grayscale,
  )


def _prepare(image, output_height, output_width, add_image_summaries, use_grayscale):
  image = images.check(image, output_height, output_width)
  if add_image_summaries:
    images.add_summary('image', image)
  image = tf.cast(image, tf.float32)
  return images.to_gray(image) if use_grayscale else image
