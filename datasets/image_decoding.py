"""The only module that asks Pillow to open an image: of formats named here, of a bounded size."""

import contextlib
import functools
import io
import re
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image

# Every format that an extension in image_sources.EXTENSIONS promises. Pillow knows more: PostScript
# starts Ghostscript, and stubs such as WMF, GRIB and HDF5 call whatever a program has registered.
# TGA comes last because it has no first bytes of its own.
FORMATS = (
  *('JPEG', 'PNG', 'GIF', 'BMP', 'DIB', 'WEBP', 'TIFF', 'PPM', 'AVIF', 'JPEG2000', 'ICO'),
  'TGA',
)
JPEG_FORMATS = ('JPEG', 'MPO')  # As Pillow calls it, with several pictures too.
MAX_PIXELS = 50_000_000
# A photograph has about 10. Each takes time for all pixels, however few bytes it has.
_MAX_JPEG_SCANS = 250
# Pillow's modes without color, with or without transparency.
GRAY_MODES = ('1', 'L', 'LA', 'La')
# 32 bits, whole or floating-point.
_UNBOUNDED_MODES = ('I', 'F')
# What Exif 2.3, 4.6.4, says of the stored pixels -> what makes them upright.
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
_BAND_PIXELS = 2**20  # Converted at a time: a large image is never there more often than needed.
_ICO_BEGINNING = b'\0\0\1\0'
_PNG_BEGINNING = b'\x89PNG\r\n\x1a\n'


def max_bytes(max_pixels: int = MAX_PIXELS) -> int:
  """Returns how long an image file may be: its pixels as 4 times 16 bits, and some metadata."""
  return 8 * max_pixels + 2**24


@contextlib.contextmanager
def open_image(file: bytes | BinaryIO, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
  """Gives the Pillow image of a file, of which only the header has been read.

  Args:
    file: its bytes, or the file, open at its beginning.
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


def check_scans(file: BinaryIO):
  """Raises ValueError for a JPEG whose few bytes may take hours to decode; keeps its position."""
  place = file.tell()
  file.seek(0)
  # Within a scan, no other byte than 0 or a restart marker follows 255.
  num_scans = sum(part.count(b'\xff\xda') for part in iter(lambda: file.read(2**20), b''))
  file.seek(place)
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


def is_upright(image: Image.Image, file: BinaryIO) -> bool:
  """Returns whether Exif data leave the pixels as they are stored.

  Args:
    image: the Pillow image, not decoded.
    file: what it was opened from, or another of the same content; its position stays.
  """
  if image.format == 'PNG' and not _has_png_exif(file):
    return True  # Pillow would decode it to look further.
  return image.getexif().get(ExifTags.Base.Orientation, 1) in (0, 1)


def upright_size(image: Image.Image, file: BinaryIO) -> tuple[int, int]:
  """Returns the (width, height) of an image as `decode` gives it; the arguments are its own."""
  # Pillow itself turns TIFF.
  if image.format == 'TIFF' or is_upright(image, file):
    return image.size
  is_on_its_side = image.getexif().get(ExifTags.Base.Orientation) in range(5, 9)
  return image.size[::-1] if is_on_its_side else image.size


def png_kind(file: BinaryIO) -> tuple[int, int]:
  """Returns the bit depth and the color type in the header of a PNG; keeps the file's position."""
  place = file.tell()
  file.seek(24)
  depth, color_type = file.read(2)
  file.seek(place)
  return depth, color_type


def _has_png_exif(file):
  place = file.tell()
  file.seek(len(_PNG_BEGINNING))
  try:
    while len(header := file.read(8)) == 8:
      if header[4:] == b'eXIf':
        return True
      file.seek(int.from_bytes(header[:4], 'big') + 4, 1)
  finally:
    file.seek(place)
  return False


class Decoded(NamedTuple):
  """An image as training sees it."""

  image: Image.Image  # Of mode L or RGB, without transparency or metadata.
  # Bits that the largest value takes, of a file whose values may take 16; None for all others.
  value_bits: int | None


def decode(
  image: Image.Image, file: BinaryIO, image_bits: int | None = None, makes_upright: bool = True
) -> Decoded:
  """Returns the pixels of an image that `open_image` opened, and closes it.

  Args:
    image: the image, not decoded.
    file: what it was opened from, or another of the same content.
    image_bits: bits of each value of 16 that hold all that occur, the upper 8 of which are kept;
      None is 16. Values of which the file itself says that they have fewer bits are taken by that.
    makes_upright: whether to turn the image as its Exif data say.

  Raises:
    ValueError: when values have no known range, or more bits than `image_bits`.
  """
  image_bits = image_bits or 16
  rawmode = _rawmode(image)
  if image.format in JPEG_FORMATS:
    check_scans(file)
  image.load()
  # Pillow turns some formats itself when it loads them.
  orientation = image.getexif().get(ExifTags.Base.Orientation, 1) if makes_upright else 1
  is_wide_gray = image.mode.startswith('I;16') or (image.mode == 'I' and rawmode.startswith('I;16'))
  is_scaled = image.mode == 'I' and image.format == 'PPM'
  value_bits = None
  if is_wide_gray and rawmode == 'I;12':
    picture = _shift_gray(image, 12)[0]
  elif is_wide_gray:
    picture, value_bits = _shift_gray(image, image_bits)
  elif is_scaled:
    picture = _shift_gray(image, 16)[0]
  elif image.mode in _UNBOUNDED_MODES:
    raise ValueError(f'its pixels have no known range (mode {image.mode}); save it with 8 bits')
  elif re.search(';16[BLN]$', rawmode):
    value_bits = _value_bits_of_color(image)
    picture = _to_gray_or_rgb(image) if image_bits == 16 else _shift_color(image, file, image_bits)
  else:
    picture = _to_gray_or_rgb(image)
  # Saving would write what else the file held.
  picture.info = {}
  if orientation in _TURNS:
    picture = picture.transpose(_TURNS[orientation])
  return Decoded(picture, value_bits)


def _rawmode(image):
  """Returns how Pillow unpacks the pixels of an image that is not decoded, '' if not known."""
  arguments = image.tile[0][3] if getattr(image, 'tile', None) else ''
  first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
  return first if isinstance(first, str) else ''


def _bands(image):
  """Yields the row that each band of an image begins at, and the band; closes it at the end."""
  step = max(1, _BAND_PIXELS // image.width)
  for top in range(0, image.height, step):
    yield top, image.crop((0, top, image.width, min(top + step, image.height)))
  image.close()


def _to_gray_or_rgb(image):
  """Returns an image of mode L or RGB without transparency."""
  if image.mode in ('L', 'RGB'):
    return image
  is_gray = image.mode in GRAY_MODES
  pixels = np.empty(image.size[::-1] if is_gray else (*image.size[::-1], 3), np.uint8)
  for top, band in _bands(image):
    # By way of RGBA a palette's colors stay as they are, even of transparent pixels.
    band = band.convert('RGBA') if band.mode == 'P' else band
    pixels[top : top + band.height] = np.asarray(band.convert('L' if is_gray else 'RGB'))
  return Image.fromarray(pixels)


def _shift_gray(image, bits):
  """Returns an image of 16 bits as one of 8, and the bits that its largest value takes."""
  pixels, largest = np.empty(image.size[::-1], np.uint8), 0
  for top, band in _bands(image):
    values = np.asarray(band)
    largest = max(largest, int(values.max()))
    pixels[top : top + band.height] = values >> (bits - 8)
  _check_largest(largest, bits)
  return Image.fromarray(pixels), largest.bit_length()


def _value_bits_of_color(image):
  """Returns the bits that the largest value takes, by its upper byte, which Pillow keeps."""
  if image.mode == 'CMYK':
    return None  # Of which 0 is white.
  num_colors = 1 if image.mode in GRAY_MODES else 3
  return 8 + max(highest for _, highest in image.getextrema()[:num_colors]).bit_length()


def _shift_color(image, file, bits):
  """Returns an image of 16 bits per color as RGB of 8."""
  if image.mode not in ('RGB', 'RGBA', 'RGBX'):
    raise ValueError(
      f'its 16 bits of mode {image.mode} cannot be taken as {bits} (--image_bits); save it as RGB'
    )
  file.seek(0)
  with Image.open(file, formats=[image.format]) as lower:
    # Read with its bytes in the other order, the lower one is kept instead of the upper.
    tiles = []
    for tile in lower.tile:
      rawmode = _rawmode(lower)
      is_big = rawmode[-1] == 'B' or (rawmode[-1] == 'N' and sys.byteorder == 'big')
      rawmode = rawmode[:-1] + ('L' if is_big else 'B')
      rest = tile[3][1:] if isinstance(tile[3], tuple) else None
      tiles.append(tile._replace(args=rawmode if rest is None else (rawmode, *rest)))
    lower.tile = tiles
    lower.load()
    pixels = np.empty((*image.size[::-1], 3), np.uint8)
    largest = 0
    for (top, band), (_, lower_band) in zip(_bands(image), _bands(lower), strict=True):
      high, low = (np.asarray(part)[..., :3].astype(np.uint16) for part in (band, lower_band))
      values = high << 8 | low
      largest = max(largest, int(values.max()))
      pixels[top : top + band.height] = values >> (bits - 8)
  _check_largest(largest, bits)
  return Image.fromarray(pixels)


def _check_largest(largest, bits):
  if largest >= 2**bits:
    raise ValueError(f'it has the value {largest:,}, more than {bits} bits hold (--image_bits)')
