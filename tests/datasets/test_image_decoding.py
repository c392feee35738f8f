"""Images that do harm: what is opened starts no program, and takes bounded time and memory."""

import io
import os
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import image_decoding, image_files, image_measures, record_sets, shards

_POSTSCRIPT = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n'
_DOS_HEADER = b'\xc5\xd0\xd3\xc6' + struct.pack('<II', 30, len(_POSTSCRIPT)) + bytes(18)
_WMF = struct.pack('<IhhhhhhI', 0x9AC6CDD7, 0, 0, 0, 100, 100, 72, 0) + bytes(2) + b'\1\0\t\0' * 50
# What Pillow by itself would take for an image and hand on, or decode with code few people use.
_FOREIGN = {
  'postscript': _POSTSCRIPT,
  'postscript_of_dos': _DOS_HEADER + _POSTSCRIPT,
  'after_whitespace': b'\r\n \t' + _POSTSCRIPT,
  'after_garbage': b'garbage' + _POSTSCRIPT,
  'after_utf8_mark': b'\xef\xbb\xbf' + _POSTSCRIPT,
  'after_job_header': b'\x1b%-12345X@PJL\r\n' + _POSTSCRIPT,
  'pdf': b'%PDF-1.4\n1 0 obj\n<<>>\nendobj\n',
  'wmf': _WMF,
  'emf': b'\1\0\0\0' + bytes(36) + b' EMF' + bytes(60),
  'grib': b'GRIB' + bytes(3) + b'\1' + bytes(90),
  'bufr': b'BUFR' + bytes(96),
  'hdf5': b'\x89HDF\r\n\x1a\n' + bytes(90),
  'mpeg': b'\0\0\1\xb3' + bytes(90),
  'fits': b'SIMPLE  =                    T' + b' ' * 2850,
  'psd': b'8BPS\0\1' + bytes(90),
  'xpm': b'/* XPM */\nstatic char *x[] = {"1 1 1 1", "a c #000000", "a"};\n',
  'svg': b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
}


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
  """Returns the path of a file that exists once Ghostscript was started."""
  started = tmp_path / 'started'
  programs = tmp_path / 'programs'
  programs.mkdir()
  for name in ('gs', 'gswin32c', 'gswin64c'):
    program = programs / name
    program.write_text(f'#!/bin/sh\ntouch {started}\nexit 1\n')
    program.chmod(0o755)
  monkeypatch.setenv('PATH', f'{programs}{os.pathsep}{os.environ["PATH"]}')
  # Pillow remembers what it found.
  from PIL import EpsImagePlugin

  monkeypatch.setattr(EpsImagePlugin, 'gs_binary', None)
  return started


@pytest.fixture(scope='module')
def loader():
  with image_files.ImageLoader(image_files.ImageSettings()) as loader:
    yield loader


def test_ghostscript_would_be_seen(ghostscript):
  with Image.open(io.BytesIO(_POSTSCRIPT)) as image, pytest.raises(Exception):  # noqa: B017
    image.load()
  assert ghostscript.exists()


@pytest.mark.parametrize('name', _FOREIGN)
def test_foreign_files_are_refused_and_start_nothing(name, loader, ghostscript):
  data = _FOREIGN[name]
  reject = loader.encode('x.jpg', data, 0, {})
  assert isinstance(reject, shards.Reject)
  assert reject.reason == f'it is no image that is known; it begins {data[:16]!r}'
  with pytest.raises(ValueError, match='it is no image that is known'):
    image_measures.measure(data)
  assert record_sets.ending(data) == 'bin'
  assert not ghostscript.exists()


@pytest.mark.parametrize('image_format', image_decoding.FORMATS)
def test_every_format_is_opened(image_format, loader):
  if image_format not in image_decoding._installed_formats():
    pytest.skip('Pillow was built without it.')
  encoded = io.BytesIO()
  pixels = np.full([16, 16, 3], (200, 100, 50), np.uint8)
  Image.fromarray(pixels).save(encoded, image_format)
  example = loader.encode('image', encoded.getvalue(), 0, {})
  assert (example.width, example.height, example.channels) == (16, 16, 3)


def _chunk(kind, content):
  checksum = zlib.crc32(kind + content)
  return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', checksum)


def _png(width, height, *more, depth=8, color=2):
  header = _chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, color, 0, 0, 0))
  pixels = _chunk(b'IDAT', zlib.compress(bytes(1000)))
  return b''.join([b'\x89PNG\r\n\x1a\n', header, *more, pixels, _chunk(b'IEND', b'')])


def _ico(picture, num_entries=1):
  entry = struct.pack('<BBBBHHII', 16, 16, 0, 0, 1, 32, len(picture), 6 + 16 * num_entries)
  return struct.pack('<HHH', 0, 1, num_entries) + entry * num_entries + picture


def _dib(width, height):
  return struct.pack('<IiiHHIIiiII', 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def _tiff_loop():
  # A directory that names itself as the next one, and as what holds the Exif data.
  entries = [(256, 4, 1, 8), (257, 4, 1, 8), (34665, 4, 1, 8), (330, 4, 1, 8)]
  packed = b''.join(struct.pack('<HHII', *entry) for entry in entries)
  return b'II*\0' + struct.pack('<IH', 8, len(entries)) + packed + struct.pack('<I', 8)


def _tiff_of_long_tag():
  entries = [(256, 4, 1, 8), (257, 4, 1, 8), (270, 2, 2**31, 8)]
  packed = b''.join(struct.pack('<HHII', *entry) for entry in entries)
  return b'II*\0' + struct.pack('<IH', 8, len(entries)) + packed + bytes(4)


def _jpeg_of_many_scans():
  encoded = io.BytesIO()
  Image.new('RGB', (16, 16)).save(encoded, 'JPEG', progressive=True)
  data = encoded.getvalue()
  scan = data.rindex(b'\xff\xda')
  return data[:scan] + data[scan:-2] * 1000 + data[-2:]


_BOMB = zlib.compress(bytes(10**8), 9)
_HOSTILE = {
  'png_of_4_billion_pixels': (_png(2**16, 2**16), 'pixels, more than'),
  'png_of_nothing': (_png(0, 0), ''),
  'png_with_a_profile_that_unpacks': (
    _png(8, 8, _chunk(b'iCCP', b'a\0\0' + _BOMB)),
    'Decompressed data too large',
  ),
  'png_with_a_text_that_unpacks': (
    _png(8, 8, _chunk(b'zTXt', b'a\0\0' + _BOMB)),
    'Decompressed data too large',
  ),
  'png_cut': (_png(8, 8)[:40], ''),
  'png_without_pixels': (_png(8, 8)[:33], ''),
  'icon_of_a_large_png': (_ico(_png(20000, 20000)), 'it has 20000x20000 pixels'),
  'icon_of_a_large_bitmap': (_ico(_dib(30000, 60000)), 'it has 30000x60000 pixels'),
  'icon_of_many': (_ico(_png(20000, 20000), 60000), 'it has 20000x20000 pixels'),
  'icon_cut': (_ico(b'')[:10], ''),
  'bitmap_of_4_billion_pixels': (b'BM' + bytes(8) + b'6\0\0\0' + _dib(2**16, 2**16), 'pixels'),
  'gif_larger_than_it_says': (
    b'GIF89a\1\0\1\0\0\0\0,' + struct.pack('<HHHHB', 0, 0, 65535, 65535, 0) + b'\2\1\0\0;',
    'pixels, more than',
  ),
  'tiff_loop': (_tiff_loop(), ''),
  'tiff_of_a_long_tag': (_tiff_of_long_tag(), ''),
  'pgm_of_4_billion_pixels': (b'P5 65536 65536 255\n', 'pixels, more than'),
  'jpeg_of_many_scans': (_jpeg_of_many_scans(), 'it is a JPEG of'),
  'empty': (b'', 'it is empty'),
}


@pytest.mark.parametrize('name', _HOSTILE)
def test_hostile_images_are_refused(name, loader):
  import resource

  data, reason = _HOSTILE[name]
  before = resource.getrusage(resource.RUSAGE_SELF)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    reject = loader.encode('x', data, 0, {})
    with pytest.raises(ValueError):
      image_measures.measure(data)
  after = resource.getrusage(resource.RUSAGE_SELF)
  assert isinstance(reject, shards.Reject)
  assert reason in reject.reason
  assert after.ru_utime - before.ru_utime < 2
  scale = 1 if sys.platform == 'darwin' else 1024
  assert (after.ru_maxrss - before.ru_maxrss) * scale < 100e6


@pytest.mark.parametrize('image_format', ['GIF', 'PNG', 'WEBP', 'TIFF'])
def test_only_the_first_of_many_frames_is_decoded(image_format, loader):
  frames = [Image.new('L', (8, 8), number % 256) for number in range(300)]
  encoded = io.BytesIO()
  frames[0].save(encoded, image_format, save_all=True, append_images=frames[1:])
  example = loader.encode('x', encoded.getvalue(), 0, {})
  assert (example.width, example.height) == (8, 8)
