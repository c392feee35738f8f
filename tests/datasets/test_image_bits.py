"""Images of 16 bits per value, of which many have values of 10, 12 or 14 bits only."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import (
  conversion,
  dataset_info,
  image_files,
  image_measures,
  shards,
  survey,
  survey_report,
  survey_sources,
)

_SIDE = 16


def _gray(bits):
  values = np.linspace(0, 2**bits - 1, _SIDE * _SIDE).astype(np.uint16)
  return values.reshape(_SIDE, _SIDE)


def _color(bits):
  gray = _gray(bits)
  return np.stack([gray, gray[::-1], gray.T], axis=-1)


def _saved(image, image_format, **kwargs):
  encoded = io.BytesIO()
  image.save(encoded, image_format, **kwargs)
  return encoded.getvalue()


def _png(values, color_type):
  """Returns a PNG of 16 bits per value, which Pillow cannot write in color."""

  def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', checksum)

  header = struct.pack('>IIBBBBB', *values.shape[1::-1], 16, color_type, 0, 0, 0)
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*parts) for parts in chunks)


def _tiff(values, order='<', bits=16):
  """Returns an uncompressed TIFF, of `values` [height, width, channels] or of packed bytes."""
  data = values if isinstance(values, bytes) else values.astype(f'{order}u2').tobytes()
  channels = 1 if isinstance(values, bytes) or values.ndim == 2 else values.shape[2]
  entries = [
    (256, 3, 1, _SIDE),
    (257, 3, 1, _SIDE),
    (258, 3, 1, bits),
    (259, 3, 1, 1),
    (262, 3, 1, 1 if channels == 1 else 2),
    (273, 4, 1, 8),
    (277, 3, 1, channels),
    (278, 3, 1, _SIDE),
    (279, 4, 1, len(data)),
  ]
  after = 8 + len(data)
  more = b''
  if channels > 1:
    more = struct.pack(f'{order}3H', *[bits] * 3)
    entries[2] = (258, 3, 3, after)
  packed = b''
  for tag, kind, count, value in entries:
    if kind == 3 and count == 1:
      packed += struct.pack(f'{order}HHIHH', tag, kind, count, value, 0)
    else:
      packed += struct.pack(f'{order}HHII', tag, kind, count, value)
  directory = struct.pack(f'{order}H', len(entries)) + packed + bytes(4)
  magic = b'II*\0' if order == '<' else b'MM\0*'
  return magic + struct.pack(f'{order}I', after + len(more)) + data + more + directory


def _with_alpha(values):
  return np.concatenate([values, np.full([_SIDE, _SIDE, 1], 65535, np.uint16)], axis=-1)


# Makes a file of the values of so many bits -> those values.
_FILES = {
  'png': (lambda bits: _png(_gray(bits), 0), _gray),
  'png_by_pillow': (lambda bits: _saved(Image.fromarray(_gray(bits)), 'PNG'), _gray),
  'tiff': (lambda bits: _saved(Image.fromarray(_gray(bits)), 'TIFF'), _gray),
  'tiff_lzw': (
    lambda bits: _saved(Image.fromarray(_gray(bits)), 'TIFF', compression='tiff_lzw'),
    _gray,
  ),
  'tiff_big_endian': (lambda bits: _tiff(_gray(bits), '>'), _gray),
  'tiff_color': (lambda bits: _tiff(_color(bits)), _color),
  'tiff_color_big_endian': (lambda bits: _tiff(_color(bits), '>'), _color),
  'png_color': (lambda bits: _png(_color(bits), 2), _color),
  'png_color_and_alpha': (lambda bits: _png(_with_alpha(_color(bits)), 6), _color),
  'pgm': (lambda bits: b'P5 16 16 65535\n' + _gray(bits).astype('>u2').tobytes(), _gray),
  'png_turned': (
    lambda bits: _saved(Image.fromarray(_gray(bits).T), 'PNG', exif=_exif(5)),
    _gray,
  ),
}


def _exif(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  return exif


@pytest.fixture(scope='module')
def encode():
  """`encode(data, **settings)` is what becomes of an image file."""

  def encode(data, **settings):
    with image_files.ImageLoader(image_files.ImageSettings(**settings)) as loader:
      return loader.encode('x', data, 0, {})

  return encode


def _pixels(example):
  return np.asarray(Image.open(io.BytesIO(example.data)))


@pytest.mark.parametrize('name', _FILES)
@pytest.mark.parametrize('bits', [9, 10, 12, 14, 16])
def test_values_are_scaled_by_the_bits_given(name, bits, encode):
  make, values = _FILES[name]
  data, values = make(bits), values(bits)
  example = encode(data)
  np.testing.assert_array_equal(_pixels(example), values >> 8)
  assert example.value_bits == bits
  scaled = encode(data, image_bits=bits)
  np.testing.assert_array_equal(_pixels(scaled), values >> (bits - 8))
  assert _pixels(scaled).max() == 255
  np.testing.assert_array_equal(
    np.asarray(image_measures.decode(data, image_bits=bits)[0]), values >> (bits - 8)
  )


@pytest.mark.parametrize('name', _FILES)
def test_values_beyond_the_bits_given_are_refused(name, encode):
  reject = encode(_FILES[name][0](12), image_bits=11)
  assert isinstance(reject, shards.Reject)
  assert reject.reason == 'it has the value 4,095, more than 11 bits hold (--image_bits)'


@pytest.mark.parametrize('bits', [None, 12, 16])
@pytest.mark.parametrize(
  'make',
  [
    # 4095 is what these files themselves call white.
    lambda: b'P5 16 16 4095\n' + _gray(12).astype('>u2').tobytes(),
    lambda: b'P2 16 16 4095\n' + ' '.join(map(str, _gray(12).flat)).encode(),
    lambda: _tiff(
      b''.join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
        for a, b in _gray(12).reshape(-1, 2).tolist()
      ),
      bits=12,
    ),
  ],
  ids=['pgm', 'plain_pgm', 'tiff'],
)
def test_a_range_that_the_file_tells_is_taken(make, bits, encode):
  example = encode(make(), image_bits=bits)
  assert np.abs(_pixels(example).astype(int) - (_gray(12) >> 4)).max() <= 1
  assert example.value_bits is None


def test_files_of_8_bits_are_not_scaled(encode):
  gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
  for image_format in ('PNG', 'TIFF', 'BMP'):
    data = _saved(Image.fromarray(gray), image_format)
    example = encode(data, image_bits=9)
    np.testing.assert_array_equal(_pixels(example), gray)
    assert example.value_bits is None


@pytest.mark.parametrize(
  ('value_bits', 'image_bits', 'expected'),
  [
    ({}, None, ''),
    ({'16': 5}, None, ''),
    ({'16': 5, '12': 2, '1': 1}, None, ''),
    ({'12': 5}, 12, ''),
    ({'12': 5, '7': 1}, None, '6 of 6 images .* above 4,095, .* --image_bits=12[.]'),
    ({'15': 1}, None, '1 of 1 images .* above 32,767, so they reach 50% .* --image_bits=15[.]'),
    ({'12': 5, '16': 1}, None, '5 of 6 images .* --image_bits=12, apart from the other 1, which'),
    ({'3': 5}, None, '--image_bits=9[.]'),
    ({'10': 5}, 12, '--image_bits=10[.]'),
  ],
)
def test_warning(value_bits, image_bits, expected):
  import re

  warning = image_files.describe_bits(value_bits, image_bits)
  assert re.search(expected, warning) if expected else not warning


@pytest.fixture
def image_dir(tmp_path):
  for label in ('cat', 'dog'):
    for number in range(4):
      path = tmp_path / 'images' / label / f'{number}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(_FILES['png'][0](10 if label == 'cat' else 12))
  return tmp_path / 'images'


def _convert(image_dir, dataset_dir, **settings):
  settings = conversion.ConversionSettings(
    image_dir=str(image_dir),
    dataset_dir=str(dataset_dir),
    images=image_files.ImageSettings(**settings),
  )
  info = conversion.convert(settings)
  return info, conversion.report(info, settings)


def test_conversion_warns_and_says_which_bits_fit(image_dir, tmp_path):
  info, report = _convert(image_dir, tmp_path / 'dark')
  assert 'WARNING: 8 of 8 images from files with 16 bits' in report
  assert '--image_bits=12.' in report
  assert info.value_bits == {'10': 4, '12': 4}
  assert dataset_info.read(str(tmp_path / 'dark')) == info
  info, report = _convert(image_dir, tmp_path / 'bright', image_bits=12)
  assert 'WARNING' not in report
  assert info.image_bits == 12
  assert dataset_info.read(str(tmp_path / 'bright')) == info
  info, report = _convert(image_dir, tmp_path / 'some', image_bits=11)
  assert '4 files could not be used' in report


def test_survey_warns(image_dir):
  entries = survey_sources.list_folder(str(image_dir))
  report = survey_report.report(survey.summarize(survey.make(entries)))
  assert 'WARNING: 8 of 8 images from files with 16 bits' in report
  assert '--image_bits=12.' in report
  found = survey.make(entries, image_bits=12)
  assert 'WARNING' not in survey_report.report(survey.summarize(found))
  assert found.column('channel_sums').max() > 100 * _SIDE**2
