"""Random distortions of the kinds and strength that suit most nets: `OPERATIONS` is the table.

E. D. Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search
space", https://arxiv.org/abs/1909.13719. The operations and their greatest strengths are those of
E. D. Cubuk et al., "AutoAugment", https://arxiv.org/abs/1805.09501, table 6; invert, which the
first paper leaves out, is there, too. Against the papers: all grow stronger with the magnitude
(posterize and solarize grew weaker), and those that can go two ways go either way. What moves out
of the image leaves gray, and pixels are moved, not blended, as in the authors' code.

What the operations give is what Pillow's ImageOps, ImageEnhance and Image.transform give.
"""

import dataclasses
import math
from collections.abc import Callable

from slimcompat import errors, tables, tf
from slimtrain.preprocessing import images, randomness

MAX_MAGNITUDE = 10
GRAY = 128.0  # What comes into the image from outside.
MAX_ROTATION = math.radians(30)
MAX_SHEAR = 0.3
MAX_TRANSLATION = 150 / 331  # Of the side: pixels, and the side of the images in that paper.
MAX_ENHANCEMENT = 0.9  # Of factors around 1.
MAX_BITS_LOST = 4


@dataclasses.dataclass(frozen=True)
class Operation:
  """A distortion of one strength."""

  name: str
  # apply(image, strength) -> image: uint8 `[height, width, 1 or 3]` both.
  apply: Callable
  # to_strength(part) -> strength: `part` is a scalar in [-1, 1], its sign drawn at random, its size
  # the magnitude in parts of the greatest.
  to_strength: Callable = lambda part: part


def autocontrast(image: tf.Tensor) -> tf.Tensor:
  """Returns `image` with each channel stretched to [0, 255]; a channel of one value stays."""
  low, high = (
    tf.cast(find(image, axis=[0, 1]), tf.float64)[:, tf.newaxis]
    for find in (tf.reduce_min, tf.reduce_max)
  )
  values = tf.range(256, dtype=tf.float64)[tf.newaxis]
  scale = 255.0 / tf.maximum(high - low, 1.0)
  stretched = tf.clip_by_value(values * scale - low * scale, 0.0, 255.0)
  return _look_up(image, tf.where_v2(high > low, stretched, values))


def equalize(image: tf.Tensor) -> tf.Tensor:
  """Returns `image` with each channel's values spread so that all are about as frequent."""
  values = _values_by_channel(image)
  num_channels = tf.shape(image)[2]
  counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256 * num_channels)
  counts = tf.reshape(counts, [num_channels, 256])
  highest = tf.cast(tf.reduce_max(image, axis=[0, 1]), tf.int32)
  last = tf.gather(counts, highest, batch_dims=1)[:, tf.newaxis]
  step = (tf.reduce_prod(tf.shape(image)[:2]) - last) // 255
  spread = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
  table = tf.where_v2(step > 0, tf.minimum(spread, 255), tf.range(256)[tf.newaxis])
  return _look_up(image, table)


def _values_by_channel(image):
  """Returns the values of `image` as int32, 256 more in each channel than in the one before."""
  return tf.cast(image, tf.int32) + 256 * tf.range(tf.shape(image)[2])


def _look_up(image, table):
  """Returns `image` with the values of each channel looked up in a `table`, `[channels, 256]`."""
  return tf.gather(tf.reshape(tf.cast(table, tf.uint8), [-1]), _values_by_channel(image))


def invert(image: tf.Tensor) -> tf.Tensor:
  """Returns the negative of `image`."""
  return 255 - image


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
  """Returns `image` with only so many of the values' highest bits, in [1, 8]."""
  step = tf.bitwise.left_shift(1, 8 - bits)
  return tf.cast(tf.cast(image, tf.int32) // step * step, tf.uint8)


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
  """Returns `image` with the values from `threshold` on inverted."""
  return tf.where(tf.cast(image, tf.float32) < threshold, image, 255 - image)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Returns `image` with its colours scaled by `factor`: 0 is gray."""
  return _blend(_luma(image), image, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Returns `image` with its distance from its mean luma scaled by `factor`."""
  mean = tf.reduce_mean(tf.cast(_luma(image), tf.float64))
  return _blend(tf.cast(tf.floor(mean + 0.5), tf.float32), image, factor)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Returns `image` with its values scaled by `factor`."""
  return _blend(tf.zeros([]), image, factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
  """Returns `image` with its distance from a smoothed one scaled by `factor`."""
  values = tf.cast(image, tf.int32)
  size = tf.shape(image)
  # A mean of 3x3 pixels, in which the middle counts 5 times; pixels at the edge stay.
  inner = tf.maximum(size[:2] - 2, 0)
  windows = [
    values[row : row + inner[0], column : column + inner[1]]
    for row in range(3)
    for column in range(3)
  ]
  smoothed = (tf.add_n(windows) + 4 * windows[4] + 6) // 13
  edge = size[:2] - inner
  before = edge // 2
  paddings = tf.concat([tf.stack([before, edge - before], axis=1), [[0, 0]]], axis=0)
  is_inner = tf.pad(tf.ones_like(smoothed, tf.bool), paddings)
  smoothed = tf.where(is_inner, tf.pad(smoothed, paddings), values)
  return _blend(tf.cast(smoothed, tf.float32), image, factor)


def _luma(image):
  """Returns the luma of `image` in whole numbers, `[height, width, 1]`, as Pillow rounds it."""
  if images.num_channels(image) == 1:
    return tf.cast(image, tf.float32)
  red, green, blue = tf.unstack(tf.cast(images.to_rgb(image), tf.int32), axis=-1)
  luma = (19595 * red + 38470 * green + 7471 * blue + 2**15) // 2**16
  return tf.cast(luma, tf.float32)[..., tf.newaxis]


def _blend(other, image, factor):
  """Returns `other` and `image` blended: 0 is the one, 1 the other, and more goes beyond."""
  blended = other + factor * (tf.cast(image, tf.float32) - other)
  return tf.cast(tf.clip_by_value(blended, 0.0, 255.0), tf.uint8)


def rotate(image: tf.Tensor, radians: tf.Tensor) -> tf.Tensor:
  """Returns `image` turned around its centre."""
  height, width = _size(image)
  cos, sin = tf.cos(radians), tf.sin(radians)
  return transform(
    image,
    (cos, sin, (width - width * cos - height * sin) / 2),
    (-sin, cos, (height + width * sin - height * cos) / 2),
  )


def shear_x(image: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
  """Returns `image` with its rows moved sideways, the more the farther down."""
  return transform(image, (1.0, slope, 0.0), (0.0, 1.0, 0.0))


def shear_y(image: tf.Tensor, slope: tf.Tensor) -> tf.Tensor:
  """Returns `image` with its columns moved up or down, the more the farther right."""
  return transform(image, (1.0, 0.0, 0.0), (slope, 1.0, 0.0))


def translate_x(image: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
  """Returns `image` moved by a part of its width."""
  return transform(image, (1.0, 0.0, part * _size(image)[1]), (0.0, 1.0, 0.0))


def translate_y(image: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
  """Returns `image` moved by a part of its height."""
  return transform(image, (1.0, 0.0, 0.0), (0.0, 1.0, part * _size(image)[0]))


def _size(image):
  return [tf.cast(side, tf.float32) for side in tf.unstack(tf.shape(image)[:2])]


def transform(image: tf.Tensor, x: tuple, y: tuple) -> tf.Tensor:
  """Returns `image` with each pixel taken from elsewhere in it, as Pillow's AFFINE does.

  Args:
    image: uint8 `[height, width, channels]`.
    x: (a, b, c): a point (column, row), in pixels from the corner, has the colour that is at the
      column a * column + b * row + c; scalars.
    y: likewise of the row there.
  """
  (a, b, c), (d, e, f) = x, y
  # TensorFlow counts from the centre of the first pixel.
  c, f = c + (a + b - 1) / 2, f + (d + e - 1) / 2
  matrix = tf.stack([tf.cast(value, tf.float32) for value in (a, b, c, d, e, f, 0.0, 0.0)])
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=image[tf.newaxis],
    transforms=matrix[tf.newaxis],
    output_shape=tf.shape(image)[:2],
    fill_value=GRAY,
    interpolation='NEAREST',
    fill_mode='CONSTANT',
  )[0]


def _enhancement(part):
  return 1.0 + MAX_ENHANCEMENT * part


OPERATIONS = tables.Table(
  'distortion',
  [
    Operation('autocontrast', lambda image, _: autocontrast(image)),
    Operation('brightness', brightness, _enhancement),
    Operation('color', color, _enhancement),
    Operation('contrast', contrast, _enhancement),
    Operation('equalize', lambda image, _: equalize(image)),
    Operation('identity', lambda image, _: image),
    Operation('invert', lambda image, _: invert(image)),
    Operation(
      'posterize',
      posterize,
      lambda part: 8 - tf.cast(tf.round(MAX_BITS_LOST * tf.abs(part)), tf.int32),
    ),
    Operation('rotate', rotate, lambda part: MAX_ROTATION * part),
    Operation('sharpness', sharpness, _enhancement),
    Operation('shear_x', shear_x, lambda part: MAX_SHEAR * part),
    Operation('shear_y', shear_y, lambda part: MAX_SHEAR * part),
    Operation('solarize', solarize, lambda part: 256.0 * (1.0 - tf.abs(part))),
    Operation('translate_x', translate_x, lambda part: MAX_TRANSLATION * part),
    Operation('translate_y', translate_y, lambda part: MAX_TRANSLATION * part),
  ],
)


def distort(image: tf.Tensor, num_layers: int, magnitude: float) -> tf.Tensor:
  """Returns `image` after `num_layers` operations, each drawn from all of `OPERATIONS`.

  Args:
    image: uint8 `[height, width, 1 or 3]`.
    num_layers: how many, one after the other; the same may come again.
    magnitude: in [0, MAX_MAGNITUDE].

  Raises:
    InputError: when there are layers, but `image` is of another type.
  """
  shape = image.shape
  if num_layers and image.dtype != tf.uint8:
    raise errors.InputError(
      f'--rand_augment_layers={num_layers} is for images of uint8, and the decoder of this dataset'
      f' gives {image.dtype.name}. Change the decoder, or leave the flag out.'
    )
  for _ in range(num_layers):
    # Drawn outside of the branches, where a graph's seed would give the same numbers again.
    index = randomness.uniform([], 0, len(OPERATIONS), tf.int32)
    part = tf.where(randomness.coin(), 1.0, -1.0) * (magnitude / MAX_MAGNITUDE)

    def make_branch(operation, image=image, part=part):
      return lambda: tf.ensure_shape(operation.apply(image, operation.to_strength(part)), shape)

    image = tf.switch_case(index, [make_branch(row) for row in OPERATIONS.values()])
    image.set_shape(shape)
  return image
