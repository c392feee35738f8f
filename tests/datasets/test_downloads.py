"""Fetching files from a server on this machine, and unpacking archives."""

import http.server
import io
import os
import tarfile
import threading

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
    ('https://127.0.0.1:9/file', False, 'cannot be fetched to .*file.part: .*refused'),
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
  ],
  ids=['above', 'absolute', 'symbolic link', 'link', 'pipe'],
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


@pytest.mark.parametrize(
  'damage', [lambda data: data[:-50], lambda data: b'<html>'], ids=['cut', 'a page']
)
def test_damaged_archives_are_refused(tmp_path, damage):
  path = tmp_path / 'a.tgz'
  make_archive(path)
  path.write_bytes(damage(path.read_bytes()))
  with pytest.raises(errors.InputError, match='Remove the archive'):
    downloads.unpack(str(path), str(tmp_path / 'a'))
  assert os.listdir(tmp_path) == ['a.tgz']


@pytest.mark.parametrize('limit', ['_MAX_MEMBERS', '_MAX_UNPACKED_BYTES'])
def test_archives_beyond_all_bounds_are_refused(tmp_path, monkeypatch, limit):
  monkeypatch.setattr(downloads, limit, 1)
  with pytest.raises(errors.InputError, match='larger than any data set'):
    downloads.unpack(make_archive(tmp_path / 'a.tgz'), str(tmp_path / 'a'))
