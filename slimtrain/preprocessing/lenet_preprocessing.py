"""Preprocessing for LeNet and other nets for small pictures: no distortion, values in [-1, 1)."""

from slimcompat import tf
from slimtrain.preprocessing import images


def preprocess_image(
  image: tf.Tensor,
  output_height: int,
  output_width: int,
  is_training: bool = False,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns `image` cut or padded around its centre, with values in [-1, 1).

  Args:
    image: `[height, width, channels]` of any numeric dtype, 1 or 3 channels, in [0, 255].
    output_height: pixels.
    output_width: pixels.
    is_training: makes no difference.
    use_grayscale: whether the result has 1 channel; otherwise it has those of `image`.

  Returns:
    `[output_height, output_width, channels]`: `(value - 128) / 128`, with -1 in the padding.

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is below 1.
  """
  del is_training
  image = tf.cast(images.check(image, output_height, output_width), tf.float32)
  if use_grayscale:
    image = images.to_gray(image)
  image = tf.image.resize_image_with_crop_or_pad(image, output_height, output_width)
  return (image - 128.0) / 128.0
