"""The same picture more than once: exactly, or nearly, also turned and mirrored."""

import collections
from collections.abc import Sequence

import numpy as np

# Signatures whose 64 bits have 16 in common at the same place are compared.
_NUM_BANDS = 4
_MAX_ALIKE = 64  # Above so many candidates a band tells nothing, as of pictures on white ground.
_MAX_DIFFERENCE = 4.0  # Of 255, on average.
_MIN_CONTRAST = 8.0  # Below it pictures are too plain to be told apart.
_NUM_TURNS = 8
_CHUNK = 1 << 12  # Pictures compared with all at a time.


def find_exact(digests: Sequence[bytes]) -> list[list[int]]:
  """Returns the groups of two or more indices whose digests are equal."""
  groups = collections.defaultdict(list)
  for index, digest in enumerate(digests):
    groups[digest].append(index)
  return [group for group in groups.values() if len(group) > 1]


def find_near(signatures: np.ndarray) -> list[list[int]]:
  """Returns the groups of two or more indices of pictures that are nearly the same.

  Candidates share a quarter of their average hashes (64 bits: which cells are brighter than the
  mean); those whose signatures differ little are taken. Each is also compared turned by 90, 180
  and 270 degrees, and mirrored.

  Args:
    signatures: uint8 `[pictures, 8, 8, 3]`.
  """
  if len(signatures) < 2:
    return []
  can_be_told = np.std(signatures, axis=(1, 2, 3)) > _MIN_CONTRAST
  bands = _bands(signatures)
  orders = np.argsort(bands, axis=0, kind='stable')
  pairs = set()
  for turn in range(_NUM_TURNS):
    turned = _turn(signatures, turn)
    turned_bands = _bands(turned)
    for begin in range(0, len(signatures), _CHUNK):
      for band in range(_NUM_BANDS):
        others = turned_bands[begin : begin + _CHUNK, band]
        first, second = _equal_pairs(bands[:, band], orders[:, band], others)
        second += begin
        is_new = (first < second) & can_be_told[first]
        first, second = first[is_new], second[is_new]
        difference = signatures[first].astype(np.int16) - turned[second]
        is_near = np.abs(difference).mean(axis=(1, 2, 3)) <= _MAX_DIFFERENCE
        pairs.update(zip(first[is_near].tolist(), second[is_near].tolist(), strict=True))
  return _connected(pairs)


def _turn(signatures, turn):
  """Returns the pictures turned by `turn % 4` right angles, and mirrored if `turn` is above 3."""
  turned = np.rot90(signatures, turn % 4, axes=(1, 2))
  return turned[:, :, ::-1] if turn > 3 else turned


def _bands(signatures):
  """Returns the average hashes, uint16 `[pictures, 4]`."""
  gray = signatures.mean(axis=3).reshape(len(signatures), -1)
  bits = np.packbits(gray > gray.mean(axis=1, keepdims=True), axis=1)
  return np.ascontiguousarray(bits).view(np.uint16)


def _equal_pairs(keys, order, others):
  """Returns the indices, into `keys`, sorted by `order`, and into `others`, of equal values."""
  ordered = keys[order]
  begin, end = (np.searchsorted(ordered, others, side) for side in ('left', 'right'))
  counts = end - begin
  counts[counts > _MAX_ALIKE] = 0
  second = np.repeat(np.arange(len(others)), counts)
  within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
  return order[np.repeat(begin, counts) + within], second


def _connected(pairs):
  """Returns the sorted groups of what `pairs` connect."""
  groups = {}
  for pair in sorted(pairs):
    merged = sorted({index for member in pair for index in groups.get(member, [member])})
    for index in merged:
      groups[index] = merged
  return sorted({id(group): group for group in groups.values()}.values())
