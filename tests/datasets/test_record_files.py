"""The framing of TFRecord files: sound ones, damaged ones, and how fast."""

import gzip
import os
import re
import struct
import zlib

import numpy as np
import pytest

from datasets import checksums, record_files
from slimcompat import errors, tf


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


@pytest.mark.parametrize('compress', [gzip.compress, zlib.compress])
@pytest.mark.parametrize('kept', [1.0, 0.5, 0.01])
def test_compressed_files(tmp_path, kept, compress):
  contents = payloads(40)
  path = write(tmp_path / 'file', contents)
  data = compress(path.read_bytes())
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
  *before, last = frames_of(path)
  assert last.payload is None
  # All but the record that was met, and the last at most: its end is not told from the damage.
  assert sum(frame.payload is not None for frame in before) >= 38


@pytest.mark.parametrize('compress', [gzip.compress, zlib.compress])
@pytest.mark.parametrize('num_zeros', [1, 1000, 3 << 20])
def test_zeros_after_compressed_records_are_padding(tmp_path, compress, num_zeros):
  contents = payloads(3)
  path = write(tmp_path / 'file', contents)
  path.write_bytes(compress(path.read_bytes()) + bytes(num_zeros))
  assert [frame.payload for frame in frames_of(path)] == contents
  path.write_bytes(path.read_bytes() + b'x')
  *sound, last = frames_of(path)
  assert [frame.payload for frame in sound] == contents
  assert f'{num_zeros + 1} more bytes follow the end' in last.complaint


def test_gzip_files_in_a_row(tmp_path):
  contents = payloads(4)
  first, second = (write(tmp_path / name, contents[i : i + 2]) for i, name in ((0, 'a'), (2, 'b')))
  first.write_bytes(gzip.compress(first.read_bytes()) + gzip.compress(second.read_bytes()))
  assert [frame.payload for frame in frames_of(first)] == contents


def header(length):
  data = struct.pack('<Q', length)
  return data + struct.pack('<I', record_files.masked_crc32c(data))


# What a file consists of over and over, with how many records are found in it at least.
HARD_CONTENTS = {
  'zeros': (bytes(12), 1),
  'ones': (b'\xff' * 12, 1),
  'text': (b'hello, world', 1),
  'zeros and ones': (b'\1' + bytes(8), 1),
  'lengths beyond the end': (header(10**9), 5000),
  'lengths of overlapping records': (header(20_000), 5000),
  'lengths of records up to the end': (header(40_000), 5000),
  'empty records': (header(0) + struct.pack('<I', record_files.masked_crc32c(b'')), 5000),
  'damaged lengths among sound records': (
    header(0) + struct.pack('<IQI', record_files.masked_crc32c(b''), 9000, 7),
    5000,
  ),
}


@pytest.mark.parametrize('kind', HARD_CONTENTS)
def test_work_is_linear_in_the_size_of_the_file(tmp_path, monkeypatch, kind):
  content, num_frames = HARD_CONTENTS[kind]
  work = []

  def summing(blocks, original=checksums._block_remainders):
    work.append(blocks.size)
    return original(blocks)

  def searching(parser, first, original=record_files._Parser._search):
    work.append(record_files._SEARCH_BYTES)
    original(parser, first)

  monkeypatch.setattr(checksums, '_block_remainders', summing)
  monkeypatch.setattr(record_files._Parser, '_search', searching)
  monkeypatch.setattr(record_files, '_SEARCH_BYTES', 1 << 14)
  path = tmp_path / 'file'
  done = []
  for num_bytes in (250_000, 500_000):
    path.write_bytes(content * (num_bytes // len(content)))
    work.clear()
    assert len(frames_of(path)) >= num_frames
    done.append(sum(work))
  assert done[1] <= 2.3 * done[0]


@pytest.mark.parametrize('budget', [0, 4])
def test_overlapping_records_are_summed_together(tmp_path, monkeypatch, budget):
  """A record within what another one's length says, and so on; the sums are the same."""
  monkeypatch.setattr(record_files, '_TIMES_SUMMED', budget)
  contents = payloads(30)
  path = write(tmp_path / 'file', contents)
  data = path.read_bytes()
  begin = offsets(contents)[10]
  nested = b''.join(header(length) for length in range(0, 30_000, 100))
  path.write_bytes(data[:begin] + nested + data[begin:])
  kept = [frame.payload for frame in frames_of(path) if frame.payload is not None]
  assert kept == contents


def test_sums_of_many_parts():
  data = np.random.RandomState(0).randint(0, 256, 3 << 20, np.uint8)
  sums = checksums.PartSums(data)
  rng = np.random.RandomState(1)
  begins = np.concatenate([[0, 0, 5, 256, 255], rng.randint(0, len(data), 40)])
  ends = np.concatenate([[0, 3, 5, 512, 257], rng.randint(begins[5:], len(data) + 1)])
  parts = list(zip(begins.tolist(), ends.tolist(), strict=True))
  expected = [record_files.masked_crc32c(data[begin:end]) for begin, end in parts]
  assert sums.masked_crc32c(begins, ends).tolist() == expected
  assert [sums.masked_crc32c_of_one(*part) for part in parts] == expected
  lengths = np.array([0, 1, 77, 65536, 2**31 - 1], np.uint32)
  expected = [record_files.masked_crc32c(struct.pack('<Q', length)) for length in lengths]
  assert checksums.masked_crc32c_of_lengths(lengths).tolist() == expected


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir, lambda path: os.symlink('nowhere', path)])
def test_what_is_no_file_is_refused(tmp_path, make):
  path = tmp_path / 'file'
  make(path)
  with pytest.raises(errors.InputError, match=r'is no file of records|leads to nothing'):
    frames_of(path)


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
