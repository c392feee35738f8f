"""Preprocessed images brought back to colours, for a person to look at."""

import numpy as np
from PIL import Image

_PROBE_SIDE = 256


def probe(channels):
  """Returns an image that is black on the left and white on the right, uint8 of `channels`."""
  image = np.zeros((_PROBE_SIDE, _PROBE_SIDE, channels), np.uint8)
  image[:, _PROBE_SIDE // 2 :] = 255
  return image


def show(image, probe):
  """Returns the PIL image of a preprocessed one.

  Args:
    image: float `[height, width, channels]`, with 1 or 3 channels.
    probe: what the same preprocessing made of `probe`.
  """
  black, white = probe.min(axis=(0, 1)), probe.max(axis=(0, 1))
  values = (image - black) / np.where(white > black, white - black, 1)
  # Where each image is normalized by numbers of its own, values lie beyond black and white.
  low, high = min(values.min(), 0), max(values.max(), 1)
  pixels = np.rint((values - low) / (high - low) * 255).astype(np.uint8)
  return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
