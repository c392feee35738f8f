"""Checking a PNG part by part, where decoding it would take too much memory."""

import struct
import zlib
from typing import BinaryIO

_PART_BYTES = 2**20
_SIGNATURE_BYTES = 8
_CHANNELS = {0: 1, 2: 3}  # By color type: gray and RGB.
_NUM_FILTERS = 5


def can_check(file: BinaryIO) -> bool:
  """Returns whether `damage` can check a PNG: 8 bits, gray or RGB, not interlaced."""
  file.seek(_SIGNATURE_BYTES)
  header = file.read(8 + 13)
  depth, color_type, _, _, interlace = header[16:21].ljust(5, b'\xff')
  return (depth, interlace) == (8, 0) and color_type in _CHANNELS


def damage(file: BinaryIO) -> str | None:
  """Returns what keeps a PNG that `can_check` from being decoded, None if nothing does.

  As in a decoder, checksums count in chunks that must be there: W3C, "Portable Network Graphics
  (PNG) Specification", third edition, sections 5.3 and 13.2.
  """
  file.seek(_SIGNATURE_BYTES + 8)
  width, height, _, color_type = struct.unpack('>IIBB', file.read(10))
  rows = _Rows(1 + width * _CHANNELS[color_type], height)
  file.seek(_SIGNATURE_BYTES)
  kind = b''
  try:
    while kind != b'IEND':
      header = file.read(8)
      if len(header) < 8:
        return 'the PNG is cut short'
      length, kind = struct.unpack('>I4s', header)
      checksum = zlib.crc32(kind)
      while length:
        part = file.read(min(length, _PART_BYTES))
        if not part:
          return 'the PNG is cut short'
        length -= len(part)
        checksum = zlib.crc32(part, checksum)
        if kind == b'IDAT':
          rows.add(part)
      is_critical = not kind[0] & 32
      if is_critical and file.read(4) != struct.pack('>I', checksum):
        return f'the checksum of its chunk {kind.decode("latin-1")} is wrong'
      if not is_critical:
        file.seek(4, 1)
    rows.finish()
  except (ValueError, zlib.error) as error:
    return str(error)
  return None


class _Rows:
  """The rows of pixels, each after the number of its filter."""

  def __init__(self, num_bytes, num_rows):
    self._num_bytes = num_bytes  # Of each, with the filter.
    self._num_missing = num_bytes * num_rows
    self._place = 0
    self._decompressor = zlib.decompressobj()

  def add(self, compressed):
    """Takes a part of the data. Raises ValueError or zlib.error when it is damaged."""
    while self._num_missing > 0:
      pixels = self._decompressor.decompress(compressed, _PART_BYTES)
      if not pixels:
        break
      self._num_missing -= len(pixels)
      filters = pixels[-self._place % self._num_bytes :: self._num_bytes]
      if filters and max(filters) >= _NUM_FILTERS:
        raise ValueError(f'a row of the PNG has the filter {max(filters)}, which does not exist')
      self._place += len(pixels)
      compressed = self._decompressor.unconsumed_tail

  def finish(self):
    """Raises ValueError when rows are missing."""
    self.add(b'')
    if self._num_missing > 0:
      raise ValueError('the PNG has too few pixels')
