"""The framing of TFRecord files, read so that what is damaged does not hide what is sound.

A record is the length of its payload (8 bytes, little-endian), the masked CRC32C of that length,
the payload, and the masked CRC32C of the payload: TensorFlow, "TFRecord and tf.train.Example",
https://www.tensorflow.org/tutorials/load_data/tfrecord. TensorFlow's own reader gives up the rest
of a file at the first damage.
"""

import functools
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from slimcompat import tf

# Castagnoli's polynomial with its bits reversed: RFC 3720, appendix B.4.
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_BLOCK_BYTES = 256
_HEADER = struct.Struct('<QI')
_CRC = struct.Struct('<I')
# A tf.train.Example is smaller, for a serialized protocol buffer is: a greater length is damage.
_MAX_PAYLOAD_BYTES = 2**31 - 1
_SEARCH_BYTES = 1 << 20
_GZIP_MAGIC = b'\x1f\x8b\x08'
# For zlib: gzip's format, with the largest window.
_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS
_COMPRESSED_BYTES = 1 << 14  # Taken at a time: those before damage are not lost.
_NUM_BYTES_SHOWN = 20


class Frame(NamedTuple):
  """A record, or the bytes where one or more should be."""

  offset: int  # Bytes from the beginning of the file.
  payload: bytes | None  # None where it is not known to be as it was written.
  # What is wrong, as the end of a sentence that begins with the record; '' when nothing is.
  complaint: str = ''


def read_frames(path: str) -> Iterator[Frame]:
  """Yields a Frame for each record of a file, and for each damage to it.

  After a damaged length reading goes on at the next place where a length and its checksum agree.
  A payload whose own checksum is right comes with its Frame even where its length is damaged. An
  empty file gives no Frame. Of a damaged file compressed with gzip, the records before the damage
  are read; the offsets are those in the file decompressed.
  """
  data, complaint = _open(path)
  offset = 0
  while offset < len(data):
    frame, offset = _read_frame(data, offset)
    if offset == len(data) and complaint and frame.payload is None:
      break
    yield frame
  if complaint:
    yield Frame(offset, None, complaint)


def read_payload(path: str, offset: int) -> bytes:
  """Returns the payload of the sound record that begins at `offset`."""
  data, _ = _open(path)
  length, _ = _HEADER.unpack(data[offset : offset + _HEADER.size])
  return data[offset + _HEADER.size : offset + _HEADER.size + length]


def may_begin_records(beginning: bytes) -> bool:
  """Returns whether the first 12 bytes of a file, or more, can be those of TFRecords.

  They are then the length of a record and its checksum, or the beginning of what gzip compressed.
  """
  return beginning[:3] == _GZIP_MAGIC or _length_at(beginning, 0) is not None


def crc32c(data: bytes) -> int:
  """Returns the CRC32C of `data` (RFC 3720, section 12.1).

  The remainder of a sum is the sum of the remainders, so those of single bytes are looked up by
  their places within blocks, and those of the blocks joined two by two.
  """
  if len(data) < 4:
    # Too short for what follows to stand for the initial value.
    crc = 0xFFFFFFFF
    for byte in data:
      crc = int(_byte_table()[(crc ^ byte) & 0xFF]) ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
  # Zeros in front change nothing; the initial value inverts the first four bytes.
  padding = -len(data) % _BLOCK_BYTES
  padded = np.zeros(padding + len(data), np.uint8)
  padded[padding:] = np.frombuffer(data, np.uint8)
  padded[padding : padding + 4] ^= 0xFF
  blocks = padded.reshape(-1, _BLOCK_BYTES)
  places = np.arange(0, 256 * _BLOCK_BYTES, 256)
  crcs = np.bitwise_xor.reduce(_place_tables(_BLOCK_BYTES).ravel().take(blocks + places), axis=1)
  num_bytes = _BLOCK_BYTES
  while len(crcs) > 1:
    if len(crcs) % 2:
      crcs = np.concatenate([np.zeros(1, np.uint32), crcs])
    crcs = _shift(crcs[::2], _shift_tables(num_bytes)) ^ crcs[1::2]
    num_bytes *= 2
  return int(crcs[0]) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
  """Returns the CRC32C of `data` as TFRecord files store it."""
  crc = crc32c(data)
  return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


@functools.cache
def _byte_table():
  """Returns the remainder of each byte, uint32 `[256]`."""
  table = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
  return table


@functools.cache
def _place_tables(num_places):
  """Returns the remainders of each byte by its place, uint32 `[num_places, 256]`."""
  tables = [_byte_table()]
  while len(tables) < num_places:
    tables.append(_byte_table()[tables[-1] & 0xFF] ^ (tables[-1] >> 8))
  return np.stack(tables[::-1])


@functools.cache
def _shift_tables(num_bytes):
  """Returns what `num_bytes` zeros, a power of 2, make of each byte of a remainder: `[4, 256]`."""
  if num_bytes > 1:
    half = _shift_tables(num_bytes // 2)
    return _shift(half, half)
  values = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
  return _byte_table()[values & 0xFF] ^ (values >> 8)


def _shift(crcs, tables):
  return (
    tables[0][crcs & 0xFF]
    ^ tables[1][(crcs >> 8) & 0xFF]
    ^ tables[2][(crcs >> 16) & 0xFF]
    ^ tables[3][crcs >> 24]
  )


def _open(path):
  """Returns the bytes of a file, decompressed, and what is wrong with its compression, or ''."""
  data = _map(path)
  if data[:3] != _GZIP_MAGIC or _length_at(data, 0) is not None:
    return data, ''
  return _decompress(path, len(data), os.stat(path).st_mtime_ns if '://' not in path else 0)


# Pictures are taken out of a file one by one.
@functools.lru_cache(maxsize=1)
def _decompress(path, *_state):
  data = _map(path)
  decompressed = bytearray()
  decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
  is_complete = False
  for begin in range(0, len(data), _COMPRESSED_BYTES):
    part = data[begin : begin + _COMPRESSED_BYTES]
    while part:
      try:
        decompressed += decompressor.decompress(part)
      except zlib.error as error:
        return bytes(decompressed), f'cannot be decompressed, nor what comes after it: {error}.'
      part = decompressor.unused_data
      is_complete = decompressor.eof
      if is_complete:  # Another part of the file may follow, compressed by itself.
        decompressor = zlib.decompressobj(_GZIP_WINDOW_BITS)
  complaint = '' if is_complete else 'cannot be decompressed: the file is cut short.'
  return bytes(decompressed), complaint


def _map(path):
  """Returns the bytes of a file, of a local one without reading it."""
  if '://' in path:
    with tf.io.gfile.GFile(path, 'rb') as file:
      return file.read()
  with open(path, 'rb') as file:
    if not os.fstat(file.fileno()).st_size:
      return b''
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _read_frame(data, offset):
  """Returns the Frame at `offset`, and where the next one begins."""
  length = _length_at(data, offset)
  if length is None:
    return _read_without_length(data, offset)
  begin = offset + _HEADER.size
  end = begin + length
  payload = data[begin:end]
  if _has_crc(data, payload, end):
    return Frame(offset, payload), end + _CRC.size
  # Bytes may be missing, or too many: the next record is anywhere.
  following = _find_header(data, offset + 1)
  if following is None:
    following = len(data)
  if end + _CRC.size > len(data) == following:
    return Frame(offset, None, _cut(data, offset)), following
  complaint = 'is damaged: its bytes do not match their checksum.'
  if following != end + _CRC.size:
    num_bytes = following - begin - _CRC.size
    complaint = f'is damaged: it should have {length} bytes, but has {num_bytes}.'
  return Frame(offset, None, complaint), following


def _read_without_length(data, offset):
  """Returns what `_read_frame` does, where no length can be trusted."""
  found = _find_header(data, offset + 1)
  following = len(data) if found is None else found
  begin = offset + _HEADER.size
  # The length may be right and its checksum wrong, or the payload end where the next one begins.
  stated = _HEADER.unpack(data[offset:begin])[0] if begin <= len(data) else 0
  for end in (begin + stated, following - _CRC.size):
    if begin <= end <= len(data) and _has_crc(data, payload := data[begin:end], end):
      complaint = 'has a damaged length; its contents are whole.'
      return Frame(offset, payload, complaint), end + _CRC.size
  if found is not None:
    complaint = f'has a damaged length; the next record begins {found - offset} bytes later.'
  elif not offset:
    beginning = bytes(data[:_NUM_BYTES_SHOWN])
    complaint = f'is no record: the file is damaged, or no TFRecord file; it begins {beginning!r}.'
  elif len(data) - offset < _HEADER.size:
    complaint = _cut(data, offset)
  else:
    complaint = (
      f'has a damaged length; no other begins in the {len(data) - offset} bytes that are left.'
    )
  return Frame(offset, None, complaint), following


def _cut(data, offset):
  return f'is cut short: the file ends {len(data) - offset} bytes into it.'


def _length_at(data, offset):
  """Returns the length that stands at `offset`, or None where it is not known to be right."""
  header = data[offset : offset + _HEADER.size]
  if len(header) < _HEADER.size:
    return None
  length, crc = _HEADER.unpack(header)
  # The length is looked at first because that takes no time.
  is_right = length <= _MAX_PAYLOAD_BYTES and masked_crc32c(header[:8]) == crc
  return length if is_right else None


def _has_crc(data, payload, end):
  """Returns whether the checksum of `payload` stands at `end`."""
  stored = data[end : end + _CRC.size]
  return len(stored) == _CRC.size and _CRC.unpack(stored)[0] == masked_crc32c(payload)


def _find_header(data, first):
  """Returns the first offset from `first` on of a length and its checksum, or None."""
  for begin in range(first, len(data), _SEARCH_BYTES):
    part = np.frombuffer(data[begin : begin + _SEARCH_BYTES + _HEADER.size - 1], np.uint8)
    num_places = len(part) - _HEADER.size + 1
    if num_places < 1:
      return None
    # Lengths below 2^31 end in four zeros and a byte below 128, which few places have.
    is_likely = part[3 : 3 + num_places] < 128
    for place in range(4, 8):
      is_likely &= part[place : place + num_places] == 0
    for offset in np.flatnonzero(is_likely):
      if _length_at(data, begin + int(offset)) is not None:
        return begin + int(offset)
  return None
