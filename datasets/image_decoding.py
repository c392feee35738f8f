"""The only module that asks Pillow to open an image: of formats named here, of a bounded size."""

import contextlib
import functools
import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

# Every format that an extension in image_sources.EXTENSIONS promises. Pillow knows more: PostScript
# starts Ghostscript, and stubs such as WMF, GRIB and HDF5 call whatever a program has registered.
# TGA comes last because it has no first bytes of its own.
FORMATS = (
  *('JPEG', 'PNG', 'GIF', 'BMP', 'DIB', 'WEBP', 'TIFF', 'PPM', 'AVIF', 'JPEG2000', 'ICO'),
  'TGA',
)
MAX_PIXELS = 50_000_000
# A photograph has about 10. Each takes time for all pixels, however few bytes it has.
_MAX_JPEG_SCANS = 250
_ICO_BEGINNING = b'\0\0\1\0'
_PNG_BEGINNING = b'\x89PNG\r\n\x1a\n'


def max_bytes(max_pixels: int = MAX_PIXELS) -> int:
  """Returns how long an image file may be: as pixels of 4 times 16 bits, and as much again."""
  return 16 * max_pixels + 2**24


@contextlib.contextmanager
def open_image(file: bytes | BinaryIO, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
  """Gives the Pillow image of a file, of which only the header has been read.

  Args:
    file: its bytes, or the file, open for reading.
    max_pixels: width times height of the largest image that is opened.

  Raises:
    ValueError: when it cannot be opened, or the block fails to decode it, with the reason.
  """
  try:
    opened = io.BytesIO(file) if isinstance(file, bytes) else file
    beginning = opened.read(16)
    if not beginning:
      raise ValueError('it is empty')
    if beginning.startswith(_ICO_BEGINNING):
      # Pillow decodes these when it opens them.
      for size in _sizes_in_ico(opened):
        _check_size(size, max_pixels)
    opened.seek(0)
    with Image.open(opened, formats=_installed_formats()) as image:
      _check_size(image.size, max_pixels)
      if image.format in ('JPEG', 'MPO') and isinstance(file, bytes):
        _check_scans(file)
      yield image
  except Image.UnidentifiedImageError as error:
    raise ValueError(f'it is no image that is known; it begins {beginning!r}') from error
  except ValueError:
    raise
  except Exception as error:  # On a damaged file Pillow raises whatever its decoders run into.
    raise ValueError(str(error) or type(error).__name__) from error


@functools.cache
def _installed_formats():
  """Returns those of FORMATS that this Pillow was built with."""
  Image.init()
  return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_size(size, max_pixels):
  width, height = size
  if width * height > max_pixels:
    raise ValueError(f'it has {width}x{height} pixels, more than {max_pixels:,}')


def _check_scans(data):
  # Within a scan, no other byte than 0 or a restart marker follows 255.
  num_scans = data.count(b'\xff\xda')
  if num_scans > _MAX_JPEG_SCANS:
    raise ValueError(f'it is a JPEG of {num_scans:,} scans, more than {_MAX_JPEG_SCANS}')


def _sizes_in_ico(file):
  """Yields the (width, height) that each picture in an icon says of itself.

  The directory, which Pillow believes before it decodes, may say otherwise.
  """
  file.seek(4)
  (count,) = struct.unpack('<H', file.read(2))
  directory = file.read(16 * count)
  for place in range(12, len(directory) - 3, 16):
    file.seek(struct.unpack_from('<I', directory, place)[0])
    header = file.read(24)
    if header.startswith(_PNG_BEGINNING):
      yield struct.unpack_from('>II', header.ljust(24, b'\0'), 16)
    else:
      width, height = struct.unpack_from('<ii', header.ljust(12, b'\0'), 4)
      yield abs(width), abs(height)
