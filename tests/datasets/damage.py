"""Shards damaged in every way that files get damaged, from a seed."""

import os
from typing import NamedTuple

import numpy as np

from datasets import image_folder, record_files
from tests.datasets import conftest

_HTML = b'<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n'


class Damaged(NamedTuple):
  """What became of a shard."""

  path: str
  kind: str
  numbers: list  # Of the records that must be named; empty where only the file can be.
  kept: list  # The payloads that must be left after a repair.


def make_shards(folder, num_shards, records_per_shard=7):
  """Writes a dataset of `num_shards` sound shards into `folder`; returns their sorted paths."""
  num_images = num_shards * records_per_shard
  image_dir = folder.parent / f'{folder.name} images'
  data = [conftest.encode(conftest.make_pixels(6, 5, 3, seed)) for seed in range(40)]
  for label, name in enumerate(('cat', 'dog')):
    (image_dir / name).mkdir(parents=True)
    for index in range(num_images // 2 + 1):
      (image_dir / name / f'{index}.png').write_bytes(data[(index * 2 + label) % len(data)])
  image_folder.convert(
    str(image_dir), str(folder), 'pets', 2 / (num_images + 2), num_shards, seed=3
  )
  return sorted(str(path) for path in folder.glob('pets_train_*'))


def damage_all(paths, seed=0):
  """Damages each file in one of the ways of KINDS, in turn; returns what became of them."""
  rng = np.random.RandomState(seed)
  kinds = list(KINDS)
  return [_damage(path, kinds[index % len(kinds)], rng) for index, path in enumerate(paths)]


def _damage(path, kind, rng):
  frames = list(record_files.read_frames(path))
  payloads = [frame.payload for frame in frames]
  begins = [frame.offset for frame in frames] + [os.path.getsize(path)]
  with open(path, 'rb') as file:
    data = bytearray(file.read())
  number = rng.randint(len(payloads))
  numbers, kept = KINDS[kind](rng, data, begins, number)
  with open(path, 'wb') as file:
    file.write(data)
  return Damaged(path, kind, numbers, [payloads[index] for index in kept])


def _flip(place_of, keeps_record):
  def damage(rng, data, begins, number):
    place = place_of(rng, begins[number], begins[number + 1])
    data[place] ^= 1 << rng.randint(8)
    everything = list(range(len(begins) - 1))
    return [number], [index for index in everything if keeps_record or index != number]

  return damage


def _flip_twice(rng, data, begins, number):
  other = (number + 2) % (len(begins) - 1)
  for damaged in (number, other):
    data[rng.randint(begins[damaged] + 12, begins[damaged + 1])] ^= 1 << rng.randint(8)
  everything = range(len(begins) - 1)
  return sorted((number, other)), [i for i in everything if i not in (number, other)]


def _cut(place_of):
  def damage(rng, data, begins, number):
    del data[place_of(rng, begins[number], begins[number + 1]) :]
    return [number], list(range(number))

  return damage


def _cut_at_border(rng, data, begins, number):
  number = max(number, 1)
  del data[begins[number] :]
  return [], list(range(number))


def _lose_bytes(rng, data, begins, number):
  # At least two bytes: of a single one its neighbour may be the same.
  place = rng.randint(begins[number] + 12, begins[number + 1] - 8)
  del data[place : place + rng.randint(2, 8)]
  return [number], [index for index in range(len(begins) - 1) if index != number]


def _replace(content, numbers):
  def damage(rng, data, begins, number):
    data[:] = content
    return numbers, []

  return damage


KINDS = {
  'flip in the length': _flip(lambda rng, begin, end: rng.randint(begin, begin + 8), True),
  'flip in its CRC': _flip(lambda rng, begin, end: rng.randint(begin + 8, begin + 12), True),
  'flip in the payload': _flip(lambda rng, begin, end: rng.randint(begin + 12, end - 4), False),
  'flip in the CRC': _flip(lambda rng, begin, end: rng.randint(end - 4, end), False),
  'flips in two records': _flip_twice,
  'cut in the header': _cut(lambda rng, begin, end: rng.randint(begin + 1, begin + 12)),
  'cut after the header': _cut(lambda rng, begin, end: begin + 12),
  'cut in the payload': _cut(lambda rng, begin, end: rng.randint(begin + 13, end - 4)),
  'cut in the CRC': _cut(lambda rng, begin, end: rng.randint(end - 4, end)),
  'cut at a border': _cut_at_border,
  'bytes lost': _lose_bytes,
  'HTML': _replace(_HTML, [0]),
  'empty': _replace(b'', []),
}
