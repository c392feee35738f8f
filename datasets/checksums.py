"""CRC32C, the checksum of TFRecord files, of bytes and of many parts of them at once.

The remainder of a sum is the sum of the remainders (Castagnoli's polynomial, RFC 3720, section
12.1). So the remainders of single bytes are looked up by their places within blocks, and those of
blocks are joined.
"""

import functools

import numpy as np

# Castagnoli's polynomial with its bits reversed: RFC 3720, appendix B.4.
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_BLOCK_BYTES = 256
_BLOCKS_AT_A_TIME = 128
_PARTS_AT_A_TIME = 1024
_SUMMED_BYTES = 1 << 20
_SHORT_BYTES = 64  # Up to which Python is faster than NumPy.
_INITIAL = 0xFFFFFFFF


def crc32c(data: bytes) -> int:
  """Returns the CRC32C of `data`."""
  if len(data) <= _SHORT_BYTES:
    table = _byte_list()
    crc = _INITIAL
    for byte in bytes(data):
      crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ _INITIAL
  # Zeros in front change nothing; the initial value inverts the first four bytes.
  padding = -len(data) % _BLOCK_BYTES
  padded = np.zeros(padding + len(data), np.uint8)
  padded[padding:] = np.frombuffer(data, np.uint8)
  padded[padding : padding + 4] ^= 0xFF
  crcs = _block_remainders(padded.reshape(-1, _BLOCK_BYTES))
  num_bytes = _BLOCK_BYTES
  while len(crcs) > 1:
    if len(crcs) % 2:
      crcs = np.concatenate([np.zeros(1, np.uint32), crcs])
    crcs = _shift(crcs[::2], _shift_tables(num_bytes)) ^ crcs[1::2]
    num_bytes *= 2
  return int(crcs[0]) ^ _INITIAL


def masked_crc32c(data: bytes) -> int:
  """Returns the CRC32C of `data` as TFRecord files store it."""
  return _masked_one(crc32c(data))


def masked_crc32c_of_lengths(lengths: np.ndarray) -> np.ndarray:
  """Returns the masked CRC32C of the 8 bytes, little-endian, of each of `lengths`, uint32."""
  return _masked(_shift(lengths, _shift_tables(8)) ^ np.uint32(crc32c(bytes(8))))


class PartSums:
  """CRC32Cs of parts of the same bytes, however many of the parts overlap.

  The bytes are gone through once, and what is remembered is a number for each 256 of them.
  """

  def __init__(self, data: np.ndarray):
    """Makes the sums of `data`, uint8 `[num_bytes]`, when they are asked for."""
    self._data = data
    self._sums = None  # The remainder of all bytes before each block.
    self._num_sums = 0

  def masked_crc32c(self, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Returns the masked CRC32C of each part from `begins` to `ends`, int64 `[num_parts]`."""
    crcs = np.empty(len(begins), np.uint32)
    for first in range(0, len(begins), _PARTS_AT_A_TIME):
      some = slice(first, first + _PARTS_AT_A_TIME)
      before = self._before(begins[some]) ^ np.uint32(_INITIAL)
      crcs[some] = self._before(ends[some]) ^ _shift_each(before, ends[some] - begins[some])
    return _masked(crcs ^ np.uint32(_INITIAL))

  def masked_crc32c_of_one(self, begin: int, end: int) -> int:
    """Returns the masked CRC32C of the part from `begin` to `end`."""
    before = _shift_one(self._before_one(begin) ^ _INITIAL, end - begin)
    return _masked_one(self._before_one(end) ^ before ^ _INITIAL)

  def _before_one(self, end):
    """Returns the remainder of all bytes before `end`."""
    self._go_on(end)
    crc = int(self._sums[end // _BLOCK_BYTES])
    table = _byte_list()
    for byte in bytes(self._data[end - end % _BLOCK_BYTES : end]):
      crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc

  def _before(self, ends):
    """Returns the remainder of all bytes before each of `ends`."""
    if not len(ends):
      return np.zeros(0, np.uint32)
    self._go_on(int(ends.max()))
    blocks, num_bytes = np.divmod(ends, _BLOCK_BYTES)
    places = ends[:, None] - np.arange(_BLOCK_BYTES, 0, -1)
    of_last_block = np.where(
      places >= blocks[:, None] * _BLOCK_BYTES, self._data[np.maximum(places, 0)], np.uint8(0)
    )
    return _shift_each(self._sums[blocks], num_bytes) ^ _block_remainders(of_last_block)

  def _go_on(self, end):
    """Goes on to the last whole block before `end`."""
    if self._sums is None:
      self._sums = np.zeros(len(self._data) // _BLOCK_BYTES + 1, np.uint32)
      self._num_sums = 1
    while self._num_sums <= end // _BLOCK_BYTES:
      begin = (self._num_sums - 1) * _BLOCK_BYTES
      part = self._data[begin : min(begin + _SUMMED_BYTES, len(self._data))]
      part = part[: len(part) // _BLOCK_BYTES * _BLOCK_BYTES]
      sums = _block_remainders(part.reshape(-1, _BLOCK_BYTES))
      sums[:1] ^= _shift(self._sums[self._num_sums - 1 : self._num_sums], _shift_tables(256))
      distance = 1
      while distance < len(sums):
        sums[distance:] ^= _shift(sums[:-distance], _shift_tables(distance * _BLOCK_BYTES))
        distance *= 2
      self._sums[self._num_sums : self._num_sums + len(sums)] = sums
      self._num_sums += len(sums)


def _masked_one(crc):
  return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _masked(crcs):
  return ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(_MASK_DELTA)


def _block_remainders(blocks):
  """Returns the remainder of each of the `blocks`, uint8 `[num_blocks, _BLOCK_BYTES]`."""
  tables = _place_tables(_BLOCK_BYTES).ravel()
  places = np.arange(0, 256 * _BLOCK_BYTES, 256)
  remainders = np.empty(len(blocks), np.uint32)
  # A few at a time, so that what is looked up stays in the processor's cache.
  for begin in range(0, len(blocks), _BLOCKS_AT_A_TIME):
    some = blocks[begin : begin + _BLOCKS_AT_A_TIME]
    np.bitwise_xor.reduce(
      tables.take(some + places), axis=1, out=remainders[begin : begin + len(some)]
    )
  return remainders


@functools.cache
def _byte_list():
  return _byte_table().tolist()


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


@functools.cache
def _shift_lists(num_bytes):
  return _shift_tables(num_bytes).tolist()


def _shift_one(crc, num_bytes):
  """Returns what `num_bytes` zeros make of a remainder, an int."""
  for bit in range(num_bytes.bit_length()):
    if num_bytes >> bit & 1:
      tables = _shift_lists(1 << bit)
      crc = (
        tables[0][crc & 0xFF]
        ^ tables[1][(crc >> 8) & 0xFF]
        ^ tables[2][(crc >> 16) & 0xFF]
        ^ tables[3][crc >> 24]
      )
  return crc


def _shift_each(crcs, num_bytes):
  """Returns what zeros make of each remainder, of each another number of them, int64."""
  for bit in range(int(num_bytes.max(initial=0)).bit_length()):
    has_bit = (num_bytes >> bit) & 1 == 1
    crcs = np.where(has_bit, _shift(crcs, _shift_tables(1 << bit)), crcs)
  return crcs
