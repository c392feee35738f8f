"""Fetching files from a server on this machine, and unpacking archives."""

import gzip
import http.server
import io
import json
import os
import tarfile
import threading
import zipfile

import pytest

from datasets import downloads
from slimcompat import errors

CONTENT = bytes(range(256)) * 40


class Server(http.server.BaseHTTPRequestHandler):
  """Answers as the name of the file asks for."""

  def log_message(self, *args):
    pass

  def do_GET(self):
    self.server.ranges.append(self.headers.get('Range'))
    start = int((self.headers.get('Range') or 'bytes=0-')[6:-1])
    if 'missing' in self.path:
      self.send_error(404)
      return
    if 'whole' in self.path:
      start = 0
    if start >= len(CONTENT):
      self.send_response(416)
      self.send_header('Content-Range', f'bytes */{len(CONTENT)}')
      self.end_headers()
      return
    self.send_response(206 if start else 200)
    self.send_header('Content-Length', str(len(CONTENT) - start))
    self.send_header('ETag', '"1"')
    if start:
      self.send_header('Content-Range', f'bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}')
    self.end_headers()
    end = len(CONTENT) // 2 if 'cut' in self.path and not start else len(CONTENT)
    self.wfile.write(CONTENT[start:end])


@pytest.fixture
def server():
  """A server, with the ranges it was asked for, and its `mirror`."""
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Server) as running:
    running.ranges = []
    running.mirror = f'http://127.0.0.1:{running.server_port}/a/'
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()


def fetch(tmp_path, server, name='file', **settings):
  path = str(tmp_path / name)
  assert (
    downloads.fetch(f'https://a.invalid/b/{name}', path, mirror=server.mirror, **settings) == path
  )
  assert (tmp_path / name).read_bytes() == CONTENT
  assert os.listdir(tmp_path) == [name]


def test_fetched_once(tmp_path, server):
  sha256 = downloads.hashlib.sha256(CONTENT).hexdigest()
  fetch(tmp_path, server, sha256=sha256)
  fetch(tmp_path, server, sha256=sha256)
  assert server.ranges == [None]


@pytest.mark.parametrize(
  ('name', 'there', 'ranges'),
  [
    ('file', 100, ['bytes=100-']),
    ('whole', 100, ['bytes=100-']),
    ('file', len(CONTENT), [f'bytes={len(CONTENT)}-']),
    ('file', len(CONTENT) + 1, [f'bytes={len(CONTENT) + 1}-', None]),
  ],
  ids=['goes on', 'no ranges', 'complete', 'too long'],
)
def test_what_is_there_is_used(tmp_path, server, name, there, ranges):
  (tmp_path / f'{name}.part').write_bytes((CONTENT + b'more')[:there])
  version = {'url': f'{server.mirror}{name}', 'etag': '"1"'}
  (tmp_path / f'{name}.part.json').write_text(json.dumps(version))
  fetch(tmp_path, server, name)
  assert server.ranges == ranges


def test_a_connection_that_ends_is_taken_up_again(tmp_path, server):
  with pytest.raises(errors.InputError, match=r'ended after 5120 of 10240 bytes\. Run'):
    fetch(tmp_path, server, 'cut')
  fetch(tmp_path, server, 'cut')
  assert server.ranges == [None, 'bytes=5120-']


def test_another_sha256_is_refused_and_set_aside(tmp_path, server):
  for _ in range(2):
    with pytest.raises(errors.InputError, match='in place of 123'):
      fetch(tmp_path, server, sha256='123')
    assert os.listdir(tmp_path) == ['file.wrong']
  (tmp_path / 'file').write_bytes(b'changed')
  with pytest.raises(errors.InputError, match='in place of 123'):
    fetch(tmp_path, server, sha256='123')
  assert (tmp_path / 'file.wrong').read_bytes() == b'changed'


@pytest.mark.parametrize(
  ('url', 'mirror', 'sentence'),
  [
    ('https://a.invalid/missing', True, 'the server says 404'),
    ('http://a.invalid/file', False, 'must begin with https://'),
    ('file:///etc/hostname', False, 'must begin with https://'),
    ('https://127.0.0.1:9/file', False, 'cannot be fetched: .*refused'),
  ],
)
def test_refused(tmp_path, server, url, mirror, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    downloads.fetch(url, str(tmp_path / 'file'), mirror=server.mirror if mirror else None)
  assert os.listdir(tmp_path) == []


def make_archive(path, **changes):
  with tarfile.open(path, 'w:gz') as tar:
    for name in ('folder/first', 'second'):
      member = tarfile.TarInfo(name)
      member.size = len(CONTENT)
      tar.addfile(member, io.BytesIO(CONTENT))
    if changes:
      member = tarfile.TarInfo('third')
      for name, value in changes.items():
        setattr(member, name, value)
      tar.addfile(member, io.BytesIO(CONTENT))
  return str(path)


def test_unpacked(tmp_path):
  downloads.unpack(make_archive(tmp_path / 'a.tgz'), str(tmp_path / 'a'))
  assert (tmp_path / 'a' / 'folder' / 'first').read_bytes() == CONTENT
  assert (tmp_path / 'a' / 'second').read_bytes() == CONTENT
  assert sorted(os.listdir(tmp_path)) == ['a', 'a.tgz']


@pytest.mark.parametrize(
  'changes',
  [
    {'name': '../third'},
    {'name': '/third'},
    {'type': tarfile.SYMTYPE, 'linkname': '../../third'},
    {'type': tarfile.LNKTYPE, 'linkname': 'second'},
    {'type': tarfile.FIFOTYPE},
    {'type': tarfile.CHRTYPE},
    {'name': 'second/third'},
    {'name': 'x' * 300},
  ],
  ids=[
    *('above', 'absolute', 'symbolic link', 'link', 'pipe', 'device', 'in a file', 'long'),
  ],
)
def test_evil_archives_are_refused(tmp_path, changes):
  folder = tmp_path / 'parent' / 'a'
  folder.parent.mkdir()
  archive = make_archive(tmp_path / 'a.tgz', **changes)
  if changes == {'name': '/third'}:
    # The slash goes, as tar does it.
    downloads.unpack(archive, str(folder))
    assert (folder / 'third').exists()
    assert not os.path.exists('/third')
    return
  with pytest.raises(errors.InputError, match='cannot be unpacked'):
    downloads.unpack(archive, str(folder))
  assert os.listdir(tmp_path / 'parent') == []


def zeros(path, num_bytes):
  """Writes a small archive of one file of zeros."""
  with gzip.open(path, 'wb') as file:
    header = tarfile.TarInfo('zeros')
    header.size = num_bytes
    file.write(header.tobuf())
    for _ in range(num_bytes >> 20):
      file.write(bytes(1 << 20))
    file.write(bytes(1024))


def flipped(data):
  changed = bytearray(data)
  changed[-6] ^= 1  # In the checksum of the compression.
  return bytes(changed)


def header_of(size, kind=tarfile.REGTYPE):
  """Returns an archive of a header with a size, as a hostile one may have it, and no content."""
  header = bytearray(tarfile.TarInfo('first').tobuf())
  header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
  header[156:157] = kind
  header[148:156] = b'%06o\0 ' % tarfile.calc_chksums(bytes(header))[0]
  return bytes(header) + bytes(1024)


@pytest.mark.parametrize(
  'damage',
  [
    lambda data: data[:-50],
    flipped,
    lambda data: data[: len(data) // 2],
    lambda data: b'<html>',
    lambda data: b'',
    lambda data: gzip.compress(b'a' * 3000),
    lambda data: gzip.compress(data),
    lambda data: header_of(-512),
    lambda data: header_of(10**12),
    lambda data: header_of(10**12, tarfile.XHDTYPE),
    lambda data: header_of(10**12, tarfile.GNUTYPE_LONGNAME),
  ],
  ids=[
    *('cut', 'checksum', 'half', 'a page', 'empty', 'no archive', 'compressed twice'),
    *('negative size', 'huge size', 'huge header', 'huge name'),
  ],
)
def test_damaged_archives_are_refused(tmp_path, damage):
  path = tmp_path / 'a.tgz'
  make_archive(path)
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(errors.InputError, match='Remove the archive'):
    downloads.unpack(str(path), str(tmp_path / 'a'))
  assert os.listdir(tmp_path) == ['a.tgz']


@pytest.mark.parametrize('limit', ['_MAX_MEMBERS', '_MAX_UNPACKED_BYTES', '_LEAST_LIMIT_BYTES'])
def test_archives_beyond_all_bounds_are_refused(tmp_path, monkeypatch, limit):
  monkeypatch.setattr(downloads, limit, 1)
  zeros(tmp_path / 'a.tgz', 1 << 24)
  make_archive(tmp_path / 'b.tgz')
  name = 'b' if limit == '_MAX_MEMBERS' else 'a'
  with pytest.raises(errors.InputError, match='larger than any dataset'):
    downloads.unpack(str(tmp_path / f'{name}.tgz'), str(tmp_path / 'folder'))
  assert sorted(os.listdir(tmp_path)) == ['a.tgz', 'b.tgz']


@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:bz2', 'w:xz'])
def test_every_compression(tmp_path, mode):
  with tarfile.open(tmp_path / 'a', mode) as tar:
    member = tarfile.TarInfo('./folder/first')
    member.size = len(CONTENT)
    tar.addfile(member, io.BytesIO(CONTENT))
  downloads.unpack(str(tmp_path / 'a'), str(tmp_path / 'out'))
  assert (tmp_path / 'out' / 'folder' / 'first').read_bytes() == CONTENT


def test_members_are_read_within_bounds(tmp_path):
  archive = make_archive(tmp_path / 'a.tgz')
  assert downloads.read_tar_member(archive, 'second', len(CONTENT)) == CONTENT
  for name, most in (('second', len(CONTENT) - 1), ('none', 10), ('folder', 10)):
    with pytest.raises(ValueError, match=name):
      downloads.read_tar_member(archive, name, most)
  with zipfile.ZipFile(tmp_path / 'a.zip', 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('zeros', bytes(1 << 20))
  with zipfile.ZipFile(tmp_path / 'a.zip') as file:
    assert downloads.read_zip_member(file, 'zeros', 1 << 20) == bytes(1 << 20)
    for name, most in (('zeros', (1 << 20) - 1), ('none', 10)):
      with pytest.raises(ValueError, match=name):
        downloads.read_zip_member(file, name, most)


@pytest.mark.parametrize(
  ('mirror', 'is_local'),
  [
    ('http://127.0.0.1:80/a', True),
    ('http://[::1]/a', True),
    ('http://localhost/a', True),
    ('https://example.org/127.0.0.1/', False),
    ('http://127.0.0.1.example.org/', False),
    ('http://10.0.0.1/', False),
    (None, False),
  ],
)
def test_published_digests_hold_for_mirrors_elsewhere(
  mirror, is_local, tmp_path, monkeypatch, capsys
):
  expected = []

  def fetch(url, path, sha256, mirror, limits):
    expected.append(sha256)
    (tmp_path / 'file').write_bytes(CONTENT)

  monkeypatch.setattr(downloads, 'fetch', fetch)
  path = str(tmp_path / 'file')
  found = downloads.obtain('https://a.invalid/file', path, '12', mirror)
  assert found == downloads.hashlib.sha256(CONTENT).hexdigest()
  assert expected == [None if is_local else '12']
  assert f'its SHA-256 is {found} in place of 12' in capsys.readouterr().err
  # What is there is not fetched. A digest that is remembered counts where none was published.
  downloads.obtain('https://a.invalid/file', path, '12', mirror)
  for sha256 in (None, '12'):
    (tmp_path / 'file').unlink()
    downloads.obtain('https://a.invalid/file', path, sha256, mirror, '34')
  assert expected[1:] == ['34', '34' if is_local else '12']
