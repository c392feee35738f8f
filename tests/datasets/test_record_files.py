"""The framing of TFRecord files: sound ones, damaged ones, and how fast."""

import gzip
import re
import struct

import numpy as np
import pytest

from datasets import record_files
from slimcompat import tf


def payloads(num, seed=0):
  rng = np.random.RandomState(seed)
  return [rng.bytes(rng.randint(20, 2000)) for _ in range(num)]


def write(path, contents):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for content in contents:
      writer.write(content)
  return path


def frames_of(path):
  return list(record_files.read_frames(str(path)))


def offsets(contents):
  """Returns where each record begins, and the end."""
  return np.cumsum([0] + [len(content) + 16 for content in contents]).tolist()


def change(path, position, value):
  data = bytearray(path.read_bytes())
  data[position] ^= value
  path.write_bytes(data)


@pytest.mark.parametrize(
  ('data', 'expected'),
  [
    (b'', 0),
    (b'a', 0xC1D04330),
    (b'123456789', 0xE3069283),
    # RFC 3720, appendix B.4.
    (bytes(32), 0x8A9136AA),
    (b'\xff' * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
  ],
)
def test_crc32c(data, expected):
  assert record_files.crc32c(data) == expected


@pytest.mark.parametrize('num_bytes', [3, 4, 8, 255, 256, 257, 769, 5000, 131_073])
def test_crc32c_equals_tensorflow(tmp_path, num_bytes):
  data = np.random.RandomState(num_bytes).bytes(num_bytes)
  stored = write(tmp_path / 'file', [data]).read_bytes()[-4:]
  assert record_files.masked_crc32c(data) == struct.unpack('<I', stored)[0]


def test_sound_file(tmp_path):
  contents = [b'', *payloads(5), bytes(4096)]
  path = write(tmp_path / 'file', contents)
  frames = frames_of(path)
  assert [frame.payload for frame in frames] == contents
  assert [frame.offset for frame in frames] == offsets(contents)[:-1]
  assert not any(frame.complaint for frame in frames)
  assert record_files.read_payload(str(path), frames[3].offset) == contents[3]


def test_empty_file(tmp_path):
  assert frames_of(write(tmp_path / 'file', [])) == []


@pytest.mark.parametrize('number', [0, 2, 4])
@pytest.mark.parametrize(
  ('place', 'words', 'is_whole'),
  [
    (0, 'damaged length; its contents are whole', True),
    (6, 'damaged length; its contents are whole', True),
    (9, 'damaged length; its contents are whole', True),
    (12, 'is damaged', False),
    (25, 'is damaged', False),
    (-1, 'is damaged', False),
  ],
  ids=['length', 'length above 2^31', 'CRC of the length', 'first byte', 'payload', 'CRC'],
)
def test_flipped_bits(tmp_path, number, place, words, is_whole):
  contents = payloads(5)
  path = write(tmp_path / 'file', contents)
  begins = offsets(contents)
  change(path, begins[number] + place if place >= 0 else begins[number + 1] + place, 16)
  frames = frames_of(path)
  expected = [*contents]
  if not is_whole:
    expected[number] = None
  assert [frame.payload for frame in frames] == expected
  assert [frame.complaint != '' for frame in frames] == [i == number for i in range(5)]
  assert words in frames[number].complaint


@pytest.mark.parametrize('place', [1, 11, 12, 13, 60, -5, -4, -1])
def test_cut_within_a_record(tmp_path, place):
  contents = payloads(4)
  path = write(tmp_path / 'file', contents)
  begins = offsets(contents)
  size = begins[3] + place if place > 0 else begins[4] + place
  path.write_bytes(path.read_bytes()[:size])
  *sound, last = frames_of(path)
  assert [frame.payload for frame in sound] == contents[:3]
  assert last.payload is None
  assert f'cut short: the file ends {size - begins[3]} bytes into it' in last.complaint


@pytest.mark.parametrize('change_of_size', [-10, 10])
def test_bytes_lost_or_added_within_a_record(tmp_path, change_of_size):
  contents = payloads(5)
  path = write(tmp_path / 'file', contents)
  data = path.read_bytes()
  place = offsets(contents)[2] + 15
  if change_of_size < 0:
    path.write_bytes(data[:place] + data[place - change_of_size :])
  else:
    path.write_bytes(data[:place] + b'x' * change_of_size + data[place:])
  frames = frames_of(path)
  assert [frame.payload for frame in frames] == [*contents[:2], None, *contents[3:]]


def test_two_damaged_lengths_in_a_row(tmp_path):
  contents = payloads(6)
  path = write(tmp_path / 'file', contents)
  for number in (2, 3):
    change(path, offsets(contents)[number] + 1, 64)
  kept = [frame.payload for frame in frames_of(path) if frame.payload is not None]
  assert kept == [*contents[:2], *contents[4:]]


def test_a_hole_of_zeros_across_records(tmp_path):
  contents = payloads(30)
  path = write(tmp_path / 'file', contents)
  data = bytearray(path.read_bytes())
  begins = offsets(contents)
  data[begins[10] + 5 : begins[13] + 7] = bytes(begins[13] + 7 - begins[10] - 5)
  path.write_bytes(data)
  kept = [frame.payload for frame in frames_of(path) if frame.payload is not None]
  assert kept == [*contents[:10], *contents[14:]]


def test_the_search_crosses_its_windows(tmp_path, monkeypatch):
  contents = payloads(8)
  path = write(tmp_path / 'file', contents)
  change(path, 1, 128)
  # A payload that cannot be trusted either, so that the search is needed.
  change(path, 30, 1)
  for num_bytes in range(40, 60):
    monkeypatch.setattr(record_files, '_SEARCH_BYTES', num_bytes)
    assert [frame.payload for frame in frames_of(path)] == [None, *contents[1:]]


@pytest.mark.parametrize(
  ('content', 'words'),
  [
    (b'<!DOCTYPE html><html>Not found</html>', 'begins .*<!DOCTYPE html>'),
    (b'short', "begins b'short'"),
    (b'\x1f\x8b\x08\x00' + bytes(30), 'cannot be decompressed'),
    (bytes(5000), 'no TFRecord file'),
  ],
)
def test_files_of_something_else(tmp_path, content, words):
  path = tmp_path / 'file'
  path.write_bytes(content)
  (frame,) = frames_of(path)
  assert frame.payload is None
  assert re.search(words, frame.complaint)


@pytest.mark.parametrize('kept', [1.0, 0.5, 0.01])
def test_compressed_files(tmp_path, kept):
  contents = payloads(40)
  path = write(tmp_path / 'file', contents)
  data = gzip.compress(path.read_bytes())
  path.write_bytes(data[: int(len(data) * kept)])
  frames = frames_of(path)
  sound = [frame for frame in frames if frame.payload is not None]
  assert [frame.payload for frame in sound] == contents[: len(sound)]
  assert len(sound) >= int(40 * kept * 0.8)
  for frame in sound:
    assert record_files.read_payload(str(path), frame.offset) == frame.payload
  if kept == 1:
    assert len(frames) == 40
  else:
    (last,) = frames[len(sound) :]
    assert 'cannot be decompressed' in last.complaint


def test_a_damaged_compressed_file(tmp_path):
  contents = payloads(40)
  path = write(tmp_path / 'file', contents)
  path.write_bytes(gzip.compress(path.read_bytes()))
  change(path, path.stat().st_size // 2, 16)
  *_, last = frames_of(path)
  assert last.payload is None


def test_a_record_between_the_damaged_ones(tmp_path):
  """Bytes lost before it and as many added: the stated length leads past it."""
  random = np.random.RandomState(0)
  contents = [random.bytes(num_bytes) for num_bytes in (500, 500, 100, 500, 500)]
  path = write(tmp_path / 'file', contents)
  data = path.read_bytes()
  begins = offsets(contents)
  shift = begins[3] - begins[2]
  path.write_bytes(data[: begins[2] - shift] + data[begins[2] :])
  frames = frames_of(path)
  assert [frame.payload for frame in frames] == [contents[0], None, *contents[2:]]
