"""The framing of TFRecord files, read so that what is damaged does not hide what is sound.

A record is the length of its payload (8 bytes, little-endian), the masked CRC32C of that length,
the payload, and the masked CRC32C of the payload: TensorFlow, "TFRecord and tf.train.Example",
https://www.tensorflow.org/tutorials/load_data/tfrecord. TensorFlow's own reader gives up the rest
of a file at the first damage.

Files may be compressed as TensorFlow does it: as gzip (RFC 1952) or zlib (RFC 1950) files.
"""

import functools
import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from datasets import checksums, user_files
from slimcompat import errors, tf

crc32c = checksums.crc32c
masked_crc32c = checksums.masked_crc32c

# What tells how a file is compressed: the tables of zlib's first block may come before all else.
_BEGINNING_BYTES = 1024
_HEADER = struct.Struct('<QI')
_CRC = struct.Struct('<I')
# A tf.train.Example is smaller, for a serialized protocol buffer is: a greater length is damage.
_MAX_PAYLOAD_BYTES = 2**31 - 1
_SEARCH_BYTES = 1 << 20
_GZIP_MAGIC = b'\x1f\x8b\x08'  # With the only method of compression that there is.
# For zlib, both with the largest window.
_WINDOW_BITS = {'GZIP': 16 + zlib.MAX_WBITS, 'ZLIB': zlib.MAX_WBITS}
_COMPRESSED_BYTES = 1 << 14  # Taken at a time.
_DECOMPRESSED_BYTES = 1 << 20  # Given at a time, however much is compressed into a few bytes.
_NUM_BYTES_SHOWN = 20
# How often the bytes of a file may be summed, record by record, before overlapping records are
# summed together.
_TIMES_SUMMED = 4


class Frame(NamedTuple):
  """A record, or the bytes where one or more should be."""

  offset: int  # Bytes from the beginning of the file.
  payload: bytes | None  # None where it is not known to be as it was written.
  # What is wrong, as the end of a sentence that begins with the record; '' when nothing is.
  complaint: str = ''


def read_frames(path: str, offset: int = 0) -> Iterator[Frame]:
  """Yields a Frame for each record of a file from `offset` on, and for each damage to it.

  After a damaged length reading goes on at the next place where a length and its checksum agree.
  A payload whose own checksum is right comes with its Frame even where its length is damaged. An
  empty file gives no Frame. Of a damaged file that is compressed, the records before the damage
  are read; the offsets are those in the file decompressed. The time needed is linear in the size
  of the file, whatever is in it.

  Raises:
    InputError: when the file cannot be opened.
  """
  data, complaint = _open(path)
  parser = _Parser(data)
  while offset < len(data):
    frame, offset = parser.read(offset)
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


def num_bytes(path: str) -> tuple[int, str]:
  """Returns the size of a file, decompressed, and what is wrong with its compression, or ''."""
  data, complaint = _open(path)
  return len(data), complaint


def compression(path: str) -> str:
  """Returns tf.data's name for how a file is compressed: 'GZIP', 'ZLIB', or '' for not at all."""
  return _compression(_beginning(path))


def holds_records(path: str) -> bool:
  """Returns whether a file begins with the length of a record, decompressed where it needs that."""
  beginning = _beginning(path)
  kind = _compression(beginning)
  return _length_at(_decompress_beginning(beginning, kind) if kind else beginning, 0) is not None


def why_unreadable(path: str) -> str:
  """Returns why a file of records cannot be opened, as the end of a sentence, or ''."""
  if '://' in path:
    if not tf.io.gfile.exists(path):
      return 'is missing.'
    return 'is no file of records but a directory.' if tf.io.gfile.isdir(path) else ''
  try:
    user_files.open_regular(path).close()
  except FileNotFoundError:
    is_link = os.path.islink(path)
    return 'is a link that leads to nothing.' if is_link else 'is missing.'
  except IsADirectoryError:
    return 'is no file of records but a directory.'
  except OSError as error:
    return f'is no file of records that can be read: {error.strerror}.'
  return ''


def check_readable(path: str):
  """Raises InputError when a file of records cannot be opened: a directory, a pipe, no access."""
  complaint = why_unreadable(path)
  if complaint:
    raise errors.InputError(
      f'{path} {complaint} Remove it, give a pattern that leaves it out, or make it readable.'
    )


def _beginning(path):
  check_readable(path)
  with tf.io.gfile.GFile(path, 'rb') as file:
    return file.read(_BEGINNING_BYTES)


def _compression(beginning):
  if _length_at(beginning, 0) is not None:
    return ''
  if beginning[:3] == _GZIP_MAGIC:
    return 'GZIP'
  # Two bytes tell a zlib file, the first of which is one in 16 (RFC 1950, section 2.2): not enough.
  is_likely = len(beginning) > 2 and beginning[0] & 0x8F == 8 and not beginning[1] & 0x20
  if is_likely and int.from_bytes(beginning[:2], 'big') % 31 == 0:
    decompressed = _decompress_beginning(beginning, 'ZLIB')
    if _length_at(decompressed, 0) is not None or _is_empty_zlib(beginning):
      return 'ZLIB'
  return ''


def _decompress_beginning(beginning, kind):
  decompressor = zlib.decompressobj(_WINDOW_BITS[kind])
  try:
    return decompressor.decompress(beginning, _HEADER.size)
  except zlib.error:
    return b''


def _is_empty_zlib(beginning):
  decompressor = zlib.decompressobj(_WINDOW_BITS['ZLIB'])
  try:
    return not decompressor.decompress(beginning, 1) and decompressor.eof
  except zlib.error:
    return False


def _open(path):
  """Returns the bytes of a file, decompressed, and what is wrong with its compression, or ''."""
  data = _map(path)
  kind = _compression(data[:_BEGINNING_BYTES])
  if not kind:
    return data, ''
  return _decompress(path, kind, os.stat(path).st_mtime_ns if '://' not in path else 0, len(data))


# Pictures are taken out of a file one by one.
@functools.lru_cache(maxsize=1)
def _decompress(path, kind, *_state):
  data = _map(path)
  try:
    with tempfile.TemporaryFile(prefix='slimtrain-') as file:
      complaint = _decompress_to(file, data, kind)
      file.flush()
      return _map_file(file), complaint
  except OSError as error:
    raise errors.InputError(
      f'{path} is compressed, and there is no room in {tempfile.gettempdir()} for it'
      f' decompressed: {error.strerror}. Make room there, or name another folder by TMPDIR.'
    ) from error


def _decompress_to(file, data, kind):
  """Writes what is compressed in `data` to `file`; returns what is wrong with it, or ''."""
  decompressor = zlib.decompressobj(_WINDOW_BITS[kind])
  begin, step = 0, _COMPRESSED_BYTES
  while begin < len(data):
    part = data[begin : begin + step]
    before = decompressor.copy()
    position = file.tell()
    try:
      while part and not decompressor.eof:
        file.write(decompressor.decompress(part, _DECOMPRESSED_BYTES))
        part = decompressor.unconsumed_tail
    except zlib.error as error:
      if step == 1:
        return f'cannot be decompressed, nor what comes after it: {error}.'
      # Again, byte by byte: those before the damage are not lost.
      file.seek(position)
      file.truncate()
      decompressor, step = before, 1
      continue
    begin += step
    if decompressor.eof:
      begin = min(begin, len(data)) - len(decompressor.unused_data)
      begin, complaint = _after_end(data, begin, kind)
      if complaint or begin == len(data):
        return complaint
      decompressor = zlib.decompressobj(_WINDOW_BITS[kind])
  return 'cannot be decompressed: the file is cut short.'


def _after_end(data, begin, kind):
  """Returns where something else that is compressed begins, and a complaint where none does.

  Zeros at the end are padding. gzip files may follow each other (RFC 1952, section 2.2).
  """
  if kind == 'GZIP' and data[begin : begin + 3] == _GZIP_MAGIC:
    return begin, ''
  for place in range(begin, len(data), _SEARCH_BYTES):
    part = data[place : place + _SEARCH_BYTES]
    if part.count(0) != len(part):
      return begin, (
        f'is no record: {len(data) - begin} more bytes follow the end of what is compressed.'
      )
  return len(data), ''


def _map(path):
  """Returns the bytes of a file, of a local one without reading it."""
  check_readable(path)
  if '://' in path:
    with tf.io.gfile.GFile(path, 'rb') as file:
      return file.read()
  with user_files.open_regular(path) as file:
    return _map_file(file)


def _map_file(file):
  if not os.fstat(file.fileno()).st_size:
    return b''
  return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class _Parser:
  """Reads the Frames of bytes that may be damaged, from the first to the last."""

  def __init__(self, data):
    self._data = data
    self._array = np.frombuffer(data, np.uint8)
    self._sums = checksums.PartSums(self._array)
    self._num_to_sum = _TIMES_SUMMED * len(data)
    # What was found between two offsets: the sorted ones of lengths with the right checksum, and
    # those of whole records among them, None where that was not looked at yet.
    self._searched = (0, 0)
    self._headers = np.zeros(0, np.int64)
    self._whole = None

  def read(self, offset):
    """Returns the Frame at `offset`, and where the next one begins."""
    data = self._data
    length = _length_at(data, offset)
    if length is None:
      return self._read_without_length(offset)
    begin = offset + _HEADER.size
    end = begin + length
    if self._is_whole_record(offset, end):
      return Frame(offset, data[begin:end]), end + _CRC.size
    # Bytes may be missing, or too many: the next record is anywhere.
    following = self._find_header(offset + 1)
    if following is None:
      following = len(data)
    if end + _CRC.size > len(data) == following:
      return Frame(offset, None, _cut(data, offset)), following
    complaint = 'is damaged: its bytes do not match their checksum.'
    if following != end + _CRC.size:
      num_bytes = following - begin - _CRC.size
      complaint = f'is damaged: it should have {length} bytes, but has {num_bytes}.'
    return Frame(offset, None, complaint), following

  def _read_without_length(self, offset):
    """Returns what `read` does, where no length can be trusted."""
    data = self._data
    found = self._find_header(offset + 1)
    following = len(data) if found is None else found
    begin = offset + _HEADER.size
    # The length may be right and its checksum wrong, or the payload end where the next one begins.
    stated = _HEADER.unpack(data[offset:begin])[0] if begin <= len(data) else 0
    for end in (begin + stated, following - _CRC.size):
      if self._has_crc(begin, end):
        complaint = 'has a damaged length; its contents are whole.'
        return Frame(offset, data[begin:end], complaint), end + _CRC.size
    if found is not None:
      complaint = f'has a damaged length; the next record begins {found - offset} bytes later.'
    elif not offset:
      beginning = bytes(data[:_NUM_BYTES_SHOWN])
      complaint = (
        f'is no record: the file is damaged, or no TFRecord file; it begins {beginning!r}.'
      )
    elif len(data) - offset < _HEADER.size:
      complaint = _cut(data, offset)
    else:
      complaint = (
        f'has a damaged length; no other begins in the {len(data) - offset} bytes that are left.'
      )
    return Frame(offset, None, complaint), following

  def _is_whole_record(self, offset, end):
    """Returns whether the record at `offset`, whose payload reaches to `end`, is sound."""
    begin = offset + _HEADER.size
    is_searched = self._searched[0] <= offset < self._searched[1]
    if not is_searched or end - begin <= self._num_to_sum:
      return self._has_crc(begin, end)
    if self._whole is None:
      lengths = [_length_at(self._data, int(header)) for header in self._headers]
      begins = self._headers + _HEADER.size
      ends = begins + np.array(lengths, np.int64)
      is_inside = ends + _CRC.size <= len(self._data)
      begins, ends = begins[is_inside], ends[is_inside]
      stored = self._array[ends[:, None] + np.arange(_CRC.size)]
      is_whole = stored.view('<u4')[:, 0] == self._sums.masked_crc32c(begins, ends)
      self._whole = set((begins[is_whole] - _HEADER.size).tolist())
    return offset in self._whole

  def _has_crc(self, begin, end):
    """Returns whether the checksum of the bytes from `begin` to `end` follows them."""
    if not begin <= end <= len(self._data) - _CRC.size:
      return False
    (stored,) = _CRC.unpack(self._data[end : end + _CRC.size])
    if end - begin <= self._num_to_sum:
      self._num_to_sum -= end - begin
      return stored == masked_crc32c(self._array[begin:end])
    return stored == self._sums.masked_crc32c_of_one(begin, end)

  def _find_header(self, first):
    """Returns the first offset from `first` on of a length and its checksum, or None."""
    while first + _HEADER.size <= len(self._data):
      if not self._searched[0] <= first < self._searched[1]:
        self._search(first)
      place = np.searchsorted(self._headers, first)
      if place < len(self._headers):
        return int(self._headers[place])
      first = self._searched[1]
    return None

  def _search(self, first):
    """Finds the offsets of lengths with the right checksum from `first` on, a window of them."""
    part = self._array[first : first + _SEARCH_BYTES + _HEADER.size - 1]
    num_places = len(part) - _HEADER.size + 1
    found = []
    for shift in range(4):
      words = np.frombuffer(part[shift : len(part) - (len(part) - shift) % 4].tobytes(), '<u4')
      lengths, zeros, crcs = words[:-2], words[1:-1], words[2:]
      # Lengths below 2^31 end in four zeros, and zeros are not their own checksum.
      is_likely = (zeros == 0) & (lengths <= _MAX_PAYLOAD_BYTES) & ((lengths | crcs) != 0)
      likely = np.flatnonzero(is_likely)
      is_right = checksums.masked_crc32c_of_lengths(lengths[likely]) == crcs[likely]
      found.append(first + shift + 4 * likely[is_right])
    self._headers = np.sort(np.concatenate(found))
    self._searched = (first, first + num_places)
    self._whole = None


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
