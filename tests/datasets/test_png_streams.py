"""A PNG is checked part by part as TensorFlow checks it by decoding."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import image_files, image_sources, png_streams, shards


def _saved(mode, **kwargs):
  pixels = np.random.RandomState(0).randint(0, 256, (30, 40, 3), dtype=np.uint8)
  encoded = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(encoded, 'PNG', **kwargs)
  return encoded.getvalue()


@pytest.fixture(scope='module')
def loader():
  with image_files.ImageLoader(image_files.ImageSettings()) as loader:
    yield loader


@pytest.mark.parametrize(
  ('mode', 'expected'), [('L', True), ('RGB', True), ('P', False), ('RGBA', False), ('1', False)]
)
def test_what_can_be_checked(mode, expected):
  file = io.BytesIO(_saved(mode))
  assert png_streams.can_check(file) == expected
  if expected:
    assert png_streams.damage(file) is None


@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_says_what_decoding_says_of_damaged_files(mode, loader):
  whole = _saved(mode)
  draw = np.random.RandomState(1)
  damaged = [whole[:length] for length in range(33, len(whole), 97)]
  for _ in range(150):
    data = bytearray(whole)
    # What comes before are the first bytes and the header.
    data[draw.randint(33, len(data))] ^= 1 << draw.randint(8)
    damaged.append(bytes(data))
  num_refused = 0
  for data in damaged:
    reason = loader.undecodable(data)
    assert bool(png_streams.damage(io.BytesIO(data))) == bool(reason), reason
    num_refused += bool(reason)
  assert num_refused > 100


def _with_pixels(pixels):
  whole = _saved('L')
  start = whole.index(b'IDAT') - 4

  def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', checksum)

  return whole[:start] + chunk(b'IDAT', zlib.compress(pixels)) + chunk(b'IEND', b'')


@pytest.mark.parametrize(
  ('pixels', 'reason'),
  [
    ((b'\0' + bytes(40)) * 30, None),
    ((b'\0' + bytes(40)) * 29, 'the PNG has too few pixels'),
    ((b'\0' + bytes(40)) * 29 + b'\5' + bytes(40), 'has the filter 5'),
    (bytes(10**8), None),  # More than the image takes is not unpacked.
  ],
)
def test_pixels(pixels, reason, loader):
  data = _with_pixels(pixels)
  found = png_streams.damage(io.BytesIO(data))
  assert reason in found if reason else found is None
  assert bool(loader.undecodable(data)) == bool(reason)


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
def test_large_files_are_checked_and_kept(image_format, loader, tmp_path, monkeypatch):
  monkeypatch.setattr(image_files, '_LARGE_BYTES', 10)
  pixels = np.random.RandomState(0).randint(0, 256, (30, 40, 3), dtype=np.uint8)
  path = tmp_path / 'image'
  Image.fromarray(pixels).save(path, image_format)
  data = path.read_bytes()
  file = image_sources.LabelledFile(str(path), 'image', 0)
  assert loader.load(file).data == data
  path.write_bytes(data[: len(data) // 2])
  assert isinstance(loader.load(file), shards.Reject)
