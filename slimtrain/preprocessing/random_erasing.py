"""Rectangles of noise over images: a net learns not to rely on one part of them.

Z. Zhong et al., "Random Erasing Data Augmentation", https://arxiv.org/abs/1708.04896, section 3.2,
with the paper's ranges, and noise drawn for each pixel, which it found best.
"""

from slimcompat import tf
from slimtrain.preprocessing import randomness

AREA_RANGE = (0.02, 0.4)  # Of the image.
ASPECT_RATIO_RANGE = (0.3, 1 / 0.3)  # Height by width.
NUM_ATTEMPTS = 10  # After so many rectangles that don't fit, none is erased.


def erase(image: tf.Tensor, probability: float) -> tf.Tensor:
  """Returns `image` with a rectangle of noise, at the `probability`.

  Args:
    image: float32 `[height, width, channels]`, of any range: the noise is drawn uniformly from
      between its least and its greatest value.
    probability: in [0, 1].
  """
  height, width = (tf.cast(side, tf.float32) for side in tf.unstack(tf.shape(image)[:2]))
  area = height * width * randomness.uniform([NUM_ATTEMPTS], *AREA_RANGE)
  ratio = randomness.uniform([NUM_ATTEMPTS], *ASPECT_RATIO_RANGE)
  heights, widths = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
  fits = tf.logical_and(heights < height, widths < width)
  chosen = tf.argmax(tf.cast(fits, tf.int32))
  size = tf.stack([heights[chosen], widths[chosen]])
  # Of a rectangle that does not fit, the place makes no difference.
  places = tf.maximum(tf.stack([height, width]) - size + 1.0, 1.0)
  top, left = tf.unstack(tf.floor(randomness.uniform([2]) * places))
  rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)[tf.newaxis]
  is_inside = tf.logical_and(
    tf.logical_and(rows >= top, rows < top + size[0]),
    tf.logical_and(columns >= left, columns < left + size[1]),
  )
  is_erased = tf.logical_and(tf.reduce_any(fits), randomness.uniform([]) < probability)
  low, high = tf.reduce_min(image), tf.reduce_max(image)
  noise = low + (high - low) * randomness.uniform(tf.shape(image))
  erased = tf.where_v2(tf.logical_and(is_inside, is_erased)[..., tf.newaxis], noise, image)
  erased.set_shape(image.shape)
  return erased
