"""What a survey wants to know of one image file."""

import hashlib
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from datasets import image_decoding

SIGNATURE_SIDE = 8  # Pixels.
_VALUES = np.arange(256.0)
_UPRIGHT = (0, 1)  # Values of EXIF's orientation.
_GRAY_MODES = ('1', 'L', 'LA', 'La')
# What Pillow's modes are called here; others keep their names.
_MODE_NAMES = {'L': 'gray', '1': 'black/white', 'P': 'palette', 'LA': 'gray+alpha', 'I': '32 bit'}


class Measure(NamedTuple):
  """An image that could be decoded."""

  width: int  # Pixels, as a person sees the image.
  height: int
  image_format: str  # 'JPEG', 'PNG', ...
  mode: str  # 'RGB', 'gray', ...
  is_turned: bool  # Whether EXIF says that the stored pixels are turned or mirrored.
  num_bytes: int
  digest: bytes  # Of the pixels: equal for equal pictures in different files.
  signature: np.ndarray  # uint8 [8, 8, 3]: the picture made tiny.
  channel_sums: np.ndarray  # [3]: of R, G and B, in [0, 255].
  channel_square_sums: np.ndarray  # [3].


def decode(data: bytes, makes_upright: bool = True) -> tuple[Image.Image, str, str, bool]:
  """Decodes an image file.

  Args:
    data: its bytes.
    makes_upright: whether to turn it as EXIF says.

  Returns:
    the image with 1 or 3 channels of 8 bits, its format, its mode, and whether EXIF turns it.

  Raises:
    ValueError: when it cannot be decoded, with the reason.
  """
  with image_decoding.open_image(data) as image:
    image_format = 'JPEG' if image.format == 'MPO' else image.format
    is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) not in _UPRIGHT
    mode = '16 bit' if image.mode.startswith('I;16') else _MODE_NAMES.get(image.mode, image.mode)
    picture = _as_gray_or_rgb(
      ImageOps.exif_transpose(image) if is_turned and makes_upright else image
    )
  return picture, image_format, mode, is_turned


def measure(data: bytes, makes_upright: bool = True) -> Measure:
  """Returns the Measure of an image file; the arguments and errors are those of `decode`."""
  picture, image_format, mode, is_turned = decode(data, makes_upright)
  histograms = np.array(picture.histogram(), np.float64).reshape(-1, 256)
  digest = hashlib.sha256(f'{picture.size} {picture.mode}'.encode())
  digest.update(picture.tobytes())
  # Shrunk by whole factors first, which is much faster and close enough.
  factor = max(1, min(picture.size) // (4 * SIGNATURE_SIDE))
  tiny = picture.reduce(factor).resize((SIGNATURE_SIDE, SIGNATURE_SIDE), Image.Resampling.BOX)
  return Measure(
    *picture.size,
    image_format,
    mode,
    is_turned,
    len(data),
    digest.digest(),
    np.asarray(tiny.convert('RGB')),
    np.broadcast_to(histograms @ _VALUES, 3),
    np.broadcast_to(histograms @ _VALUES**2, 3),
  )


def _as_gray_or_rgb(image):
  """Returns a Pillow image of mode L or RGB, without transparency."""
  if image.mode in ('L', 'RGB'):
    image.load()
    return image.copy()
  if image.mode in ('I', 'F'):
    raise ValueError(f'its pixels have no known range (mode {image.mode})')
  if image.mode.startswith('I;16'):
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
  if image.mode in _GRAY_MODES:
    return image.convert('L')
  # By way of RGBA a palette's colours stay as they are, even of transparent pixels.
  return (image.convert('RGBA') if image.mode == 'P' else image).convert('RGB')
