"""Preprocessed images brought back to what a screen shows."""

import numpy as np

from slimcompat import tf
from slimtrain.preprocessing import preprocessing_factory

_PROBE_SIDE = 256  # Pixels.


def probe(num_channels):
  """Returns an image, uint8 `[side, side, channels]`, black on the left and white on the right."""
  image = np.zeros((_PROBE_SIDE, _PROBE_SIDE, num_channels), np.uint8)
  image[:, _PROBE_SIDE // 2 :] = 255
  return image


def black_and_white(seen):
  """Returns what black and white became in each channel, `[channels]` each, of a seen `probe`."""
  black, white = seen.min(axis=(0, 1)), seen.max(axis=(0, 1))
  return black, np.where(white > black, white, black + 1)


def of_preprocessing(settings, model_name, image_size, num_channels):
  """Returns what black and white become in each channel, by the preprocessing for evaluation.

  Args:
    settings: DataSettings.
    model_name: the net, which chooses the preprocessing when `settings` don't.
    image_size: pixels per side.
    num_channels: of the preprocessed images.
  """
  with tf.Graph().as_default(), tf.device('/device:CPU:0'), tf.Session() as session:
    preprocess = preprocessing_factory.get_preprocessing(
      settings.preprocessing_name or model_name,
      False,
      settings.use_grayscale,
      settings.preprocessing,
      settings.dataset_dir,
    )
    image = probe(3 if settings.use_grayscale else num_channels)
    seen = preprocess(tf.constant(image), image_size, image_size)
    return black_and_white(session.run(seen))


def to_pixels(images, black, white):
  """Returns preprocessed images as pixels, uint8 of the same shape.

  Args:
    images: `[batch, height, width, channels]`.
    black: `[channels]`, what black became.
    white: alike. Where each image is normalized by numbers of its own, values lie beyond; such an
      image is shown from its least value to its greatest.
  """
  values = (images - black) / (white - black)
  low = tf.minimum(tf.reduce_min(values, axis=[1, 2, 3], keepdims=True), 0.0)
  high = tf.maximum(tf.reduce_max(values, axis=[1, 2, 3], keepdims=True), 1.0)
  return tf.cast(tf.rint((values - low) / (high - low) * 255), tf.uint8)
