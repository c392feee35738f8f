"""What a survey wants to know of one image file."""

import hashlib
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from datasets import image_decoding

SIGNATURE_SIDE = 8  # Pixels.
_VALUES = np.arange(256.0)
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
  value_bits: int | None  # As image_decoding.Decoded has them.


def decode(
  data: bytes, makes_upright: bool = True, image_bits: int | None = None
) -> tuple[Image.Image, str, str, bool, int | None]:
  """Decodes an image file.

  Args:
    data: its bytes.
    makes_upright: whether to turn it as EXIF says.
    image_bits: as for `image_decoding.decode`.

  Returns:
    the image with 1 or 3 channels of 8 bits, its format, its mode, whether EXIF turns it, and the
    bits that its values take, as image_decoding.Decoded has them.

  Raises:
    ValueError: when it cannot be decoded, with the reason.
  """
  file = io.BytesIO(data)
  with image_decoding.open_image(file) as image:
    image_format = 'JPEG' if image.format == 'MPO' else image.format
    is_turned = not image_decoding.is_upright(image, file)
    mode = '16 bit' if image.mode.startswith('I;16') else _MODE_NAMES.get(image.mode, image.mode)
    decoded = image_decoding.decode(image, file, image_bits, makes_upright)
  return decoded.image, image_format, mode, is_turned, decoded.value_bits


def measure(data: bytes, makes_upright: bool = True, image_bits: int | None = None) -> Measure:
  """Returns the Measure of an image file; the arguments and errors are those of `decode`."""
  picture, image_format, mode, is_turned, value_bits = decode(data, makes_upright, image_bits)
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
    value_bits,
  )
