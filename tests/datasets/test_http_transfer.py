"""Fetching from a hostile server: the file arrives as it is, or a sentence says why it does not."""

import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import socket
import threading
import time

import pytest

from datasets import downloads, http_transfer
from slimcompat import errors

CONTENT = bytes(range(256)) * 40
OLD = b'old' * 3000
# Far from what an answer takes on a busy machine, but for the behaviors that are about time.
LIMITS = http_transfer.Limits(
  idle_secs=20, rate_secs=20, total_secs=60, retry_secs=0.05, num_retries=2, max_bytes=100_000
)
SHORT = dataclasses.replace(
  LIMITS, idle_secs=1, rate_secs=0.3, min_bytes_per_sec=200, total_secs=2.5
)
LENGTH = f'Content-Length: {len(CONTENT)}'


def answer(*headers, body=CONTENT, status='200 OK'):
  """Returns the bytes of an answer."""
  return '\r\n'.join([f'HTTP/1.1 {status}', *headers, '', '']).encode() + body


def chunked(*chunks, end=b'0\r\n\r\n'):
  return b''.join(b'%x\r\n%s\r\n' % (len(chunk), chunk) for chunk in chunks) + end


def part(first, *headers, length=None, content=CONTENT, named=None, status='206 Partial Content'):
  """Returns the bytes of an answer to a range."""
  named = named or f'bytes {first}-{len(content) - 1}/{len(content)}'
  length = len(content) - first if length is None else length
  lines = (f'Content-Range: {named}', f'Content-Length: {length}', *headers)
  return answer(*lines, body=content[first:], status=status)


def forever(connection, beginning, piece, secs=0.0):
  connection.sendall(beginning)
  while True:
    connection.sendall(piece)
    time.sleep(secs)


class Server:
  """Serves one behavior: bytes, or a function of the connection, by the number of the request."""

  def __init__(self, behaviors):
    self.behaviors = behaviors
    self.requests = []
    self._listener = socket.create_server(('127.0.0.1', 0))
    self.port = self._listener.getsockname()[1]
    self.mirror = f'http://127.0.0.1:{self.port}/a/'
    threading.Thread(target=self._serve, daemon=True).start()

  def _serve(self):
    while True:
      try:
        connection, _ = self._listener.accept()
      except OSError:
        return
      threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

  def _answer(self, connection):
    with connection, contextlib.suppress(OSError):
      received = b''
      while b'\r\n\r\n' not in received:
        received += connection.recv(1 << 16)
      self.requests.append(received.decode())
      behavior = self.behaviors[min(len(self.requests), len(self.behaviors)) - 1]
      if callable(behavior):
        behavior(connection)
      else:
        connection.sendall(behavior.replace(b'PORT', str(self.port).encode()))

  def close(self):
    self._listener.close()


@pytest.fixture
def serve():
  """serve(*behaviors) -> a Server."""
  servers = []

  def start(*behaviors):
    servers.append(Server(behaviors))
    return servers[-1]

  yield start
  for server in servers:
    server.close()


WHOLE = 'arrives whole'
REDIRECT = answer(
  'Location: http://127.0.0.1:PORT/b', 'Content-Length: 0', body=b'', status='302 F'
)
# What the server does -> how it ends.
BEHAVIORS = {
  'as it should be': ([answer(LENGTH)], WHOLE),
  'without Content-Length': ([answer()], 'does not say how long it is'),
  'HTTP 1.0': ([answer(LENGTH).replace(b'HTTP/1.1', b'HTTP/1.0')], WHOLE),
  'chunks': ([answer('Transfer-Encoding: chunked', body=chunked(CONTENT))], WHOLE),
  'chunks and a length': (
    [answer('Transfer-Encoding: chunked', 'Content-Length: 3', body=chunked(CONTENT))],
    WHOLE,
  ),
  'chunks cut off': (
    [answer('Transfer-Encoding: chunked', body=chunked(CONTENT, end=b''))],
    'ended within the file',
  ),
  'a chunk cut off': (
    [answer('Transfer-Encoding: chunked', body=b'9999\r\n' + CONTENT)],
    'ended within the file',
  ),
  'chunks of no number': (
    [answer('Transfer-Encoding: chunked', body=b'zz\r\n' + CONTENT)],
    'ended within the file',
  ),
  'a negative chunk': (
    [answer('Transfer-Encoding: chunked', body=b'-5\r\n' + CONTENT)],
    'ended|chunk',
  ),
  'another transfer encoding': ([answer('Transfer-Encoding: gzip')], "sends it as 'gzip'"),
  'cut off': ([answer(LENGTH, body=CONTENT[:99])], 'ended after 99 of 10240 bytes'),
  'more than its length': ([answer('Content-Length: 10240', body=CONTENT + b'more')], WHOLE),
  'a length of no number': ([answer('Content-Length: many')], "gives the length 'many'"),
  'a negative length': ([answer('Content-Length: -5')], "gives the length '-5'"),
  'two lengths': ([answer(LENGTH, 'Content-Length: 5')], "gives the length '10240 and 5'"),
  'a huge length': ([answer('Content-Length: 999999999999')], 'more than the 100,000 expected'),
  'a length of 30 digits': ([answer(f'Content-Length: {"9" * 30}')], 'gives the length'),
  'nothing in it': ([answer('Content-Length: 0', body=b'')], 'the file is empty'),
  'an endless body': (
    [
      lambda c: forever(
        c, answer('Transfer-Encoding: chunked', body=b''), chunked(CONTENT, end=b'')
      )
    ],
    'more comes than',
  ),
  'an endless body that is slow': (
    [lambda c: forever(c, answer(LENGTH, body=b''), b'x', 0.05)],
    'comes too slowly',
  ),
  'a body that just keeps pace': (
    [lambda c: forever(c, answer('Content-Length: 90000', body=b''), b'x' * 300, 0.08)],
    'takes more than 2 seconds',
  ),
  'silence': ([lambda c: time.sleep(9)], 'nothing came for 1 seconds'),
  'silence after the headers': (
    [lambda c: (c.sendall(answer(LENGTH, body=CONTENT[:9])), time.sleep(9))],
    'nothing came for 1 seconds',
  ),
  'headers that trickle': (
    [lambda c: forever(c, b'HTTP/1.1 200 OK\r\nX: ', b'a', 0.05)],
    'nothing came for 1 seconds',
  ),
  'endless headers': ([lambda c: forever(c, b'HTTP/1.1 200 OK\r\n', b'X: 1\r\n')], 'headers'),
  'an endless header': (
    [lambda c: forever(c, b'HTTP/1.1 200 OK\r\nX: ', b'a' * 999)],
    'header line',
  ),
  'endless 100 Continue': (
    [lambda c: forever(c, b'', b'HTTP/1.1 100 Continue\r\n\r\n')],
    'nothing came for 1 seconds',
  ),
  'hanging up': ([b''], 'closed connection without response'),
  'no HTTP': ([b'SSH-2.0-OpenSSH_9.2\r\n\r\n'], 'SSH-2.0'),
  'no status': ([b'HTTP/1.1 abc\r\n\r\n'], 'HTTP/1.1 abc'),
  'a web page': ([answer(LENGTH, 'Content-Type: text/html; charset=utf-8')], 'a web page'),
  'not found': ([answer(status='404 Not Found')], 'the server says 404 Not Found'),
  'an error of its own': ([answer(status='500 Oops')], 'the server says 500 Oops'),
  'no content': ([answer(status='204 No Content', body=b'')], 'the server says 204 No Content'),
  'a part that was not asked for': ([part(0)], 'the server says 206'),
  '416 that was not asked for': ([answer(status='416 No')], 'the server says 416 No'),
  'compressed': ([answer(LENGTH, 'Content-Encoding: br')], 'encoded as br'),
  'gzip': (
    [
      answer(
        'Content-Encoding: gzip',
        'Transfer-Encoding: chunked',
        body=chunked(gzip.compress(b'a', mtime=0)),
      )
    ],
    'encoded as gzip',
  ),
  'a redirect': ([REDIRECT, answer(LENGTH)], WHOLE),
  'a permanent redirect': ([REDIRECT.replace(b'302', b'308'), answer(LENGTH)], WHOLE),
  'a relative redirect': (
    [answer('Location: ../c d', body=b'', status='307 T'), answer(LENGTH)],
    WHOLE,
  ),
  'redirects without end': ([REDIRECT], 'more than 5 times'),
  'a redirect to nowhere': ([answer(status='302 Found')], 'the server says 302 Found'),
  'a redirect with an endless body': (
    [
      lambda c: forever(c, answer('Location: /c', status='302 F', body=b''), CONTENT),
      answer(LENGTH),
    ],
    WHOLE,
  ),
  'a redirect to a file': (
    [answer('Location: file:///etc/passwd', status='302 F')],
    'leads to file:///etc/passwd, which is not https',
  ),
  'a redirect to ftp': ([answer('Location: ftp://a.invalid/b', status='301 M')], 'is not https'),
  'a redirect to no address': ([answer('Location: http://[bad', status='301 M')], 'Invalid IPv6'),
  'busy': (
    [
      answer('Retry-After: 0', status='503 S'),
      answer('Retry-After: 0', status='429 T'),
      answer(LENGTH),
    ],
    WHOLE,
  ),
  'busy for good': ([answer('Retry-After: 0', status='503 S')], 'busy and asks to wait 0 seconds'),
  'busy for an hour': ([answer('Retry-After: 3600', status='429 T')], 'asks to wait 3600 seconds'),
  'busy until a date': (
    [answer('Retry-After: Fri, 31 Dec 2100 23:59:59 GMT', status='503 S')],
    r'asks to wait \d{9,} seconds',
  ),
  'busy until a past date': (
    [answer('Retry-After: Fri, 31 Dec 1999 23:59:59 GMT', status='503 S'), answer(LENGTH)],
    WHOLE,
  ),
  'busy for no number': ([answer('Retry-After: soon', status='503 S')], 'asks to wait 5 seconds'),
}


def fetch(tmp_path, server, name='file', limits=LIMITS, **arguments):
  path = tmp_path / name
  downloads.fetch(
    f'https://a.invalid/b/{name}', str(path), mirror=server.mirror, limits=limits, **arguments
  )
  assert os.listdir(tmp_path) == [name]
  return path.read_bytes()


TIMED = (
  *('an endless body that is slow', 'a body that just keeps pace', 'silence'),
  *('silence after the headers', 'headers that trickle', 'endless 100 Continue'),
)


@pytest.mark.parametrize('behavior', BEHAVIORS)
def test_hostile_servers(behavior, tmp_path, serve):
  behaviors, end = BEHAVIORS[behavior]
  server = serve(*behaviors)
  limits = SHORT if behavior in TIMED else LIMITS
  if end == WHOLE:
    assert fetch(tmp_path, server) == CONTENT
    return
  with pytest.raises(errors.InputError, match=end) as raised:
    fetch(tmp_path, server, limits=limits)
  assert re.match(r'http://127\.0\.0\.1:\d+/a/file cannot be fetched: ', str(raised.value))
  assert '\n' not in str(raised.value)
  assert not (tmp_path / 'file').exists()


@pytest.mark.parametrize(
  ('name', 'body', 'end'),
  [
    ('a.tgz', b'<!DOCTYPE html><html>', r"not a \.tgz file: it begins b'<!DOCTYPE html>"),
    ('a.tar.gz', b'{"error": "no"}', r'not a \.gz file'),
    ('a.zip', b'\x1f\x8b1234', r'not a \.zip file'),
    ('a.tgz', gzip.compress(b'a', mtime=0), None),
    ('a.tgz', b'\x1f', 'not a|cannot|None'),
    ('a.zip', b'PK\3\4', None),
  ],
)
def test_what_is_not_the_kind_of_file_is_refused(name, body, end, tmp_path, serve):
  # Labelled as a server does that takes the compression for an encoding.
  server = serve(answer(f'Content-Length: {len(body)}', body=body))
  if end and body != b'\x1f':
    with pytest.raises(errors.InputError, match=end):
      fetch(tmp_path, server, name)
    assert os.listdir(tmp_path) == []
  else:
    assert fetch(tmp_path, server, name) == body


VERSION = {'etag': '"1"', 'last_modified': 'Mon, 01 Jan 2024 00:00:00 GMT', 'num_bytes': None}
ETAG = 'ETag: "1"'
# How a partial file of the version above is completed -> (behaviors, state of the part, end).
CONTINUATIONS = {
  'the rest': ([part(99, ETAG)], {}, WHOLE),
  'the rest, of unknown length': ([part(99, ETAG, named='bytes 99-10239/*')], {}, WHOLE),
  'all of another version': ([answer(LENGTH, 'ETag: "2"')], {'part': OLD[:99]}, WHOLE),
  'all of it': ([answer(LENGTH, ETAG)], {}, WHOLE),
  'the rest of another version': (
    [part(99, 'ETag: "2"'), answer(LENGTH, 'ETag: "2"')],
    {'part': OLD[:99]},
    WHOLE,
  ),
  'a wrong range': ([part(50, ETAG), answer(LENGTH)], {}, WHOLE),
  'a range from the start': ([part(0, ETAG), answer(LENGTH)], {}, WHOLE),
  'no range': ([answer(LENGTH, ETAG, status='206 P'), answer(LENGTH)], {}, WHOLE),
  'a range of nonsense': ([part(99, named='bytes nine'), answer(LENGTH)], {}, WHOLE),
  'a range past its end': ([part(99, named='bytes 99-10240/10240'), answer(LENGTH)], {}, WHOLE),
  'a longer body than its range': ([part(99, length=10200), answer(LENGTH)], {}, WHOLE),
  'another total': ([part(99, ETAG), answer(LENGTH)], {'num_bytes': 9999}, WHOLE),
  'parts of several': (
    [answer('Content-Type: multipart/byteranges; boundary=a', status='206 P'), answer(LENGTH)],
    {},
    WHOLE,
  ),
  'always a wrong range': ([part(50, ETAG)], {}, 'the server says 206'),
  'complete': ([], {'part': CONTENT, 'num_bytes': len(CONTENT)}, WHOLE),
  'complete, as the server says': (
    [answer(f'Content-Range: bytes */{len(CONTENT)}', status='416 No', body=b'')],
    {'part': CONTENT},
    WHOLE,
  ),
  'too long': (
    [answer(f'Content-Range: bytes */{len(CONTENT)}', status='416 No'), answer(LENGTH)],
    {'part': CONTENT + b'more'},
    WHOLE,
  ),
  '416 without a range': ([answer(status='416 No'), answer(LENGTH)], {}, WHOLE),
  'cut off again': ([part(99, ETAG)[:-20]], {}, 'ended after 10220 of 10240 bytes'),
  'of another address': ([answer(LENGTH)], {'part': OLD[:99], 'url': 'http://b/'}, WHOLE),
  'of an unknown version': ([answer(LENGTH)], {'part': OLD[:99], 'version': None}, WHOLE),
  'of a damaged version': ([answer(LENGTH)], {'part': OLD[:99], 'version': '[1'}, WHOLE),
  'of a version of wrong types': ([answer(LENGTH)], {'part': OLD[:99], 'etag': 5}, WHOLE),
  'of a weak version': (
    [answer(LENGTH)],
    {'part': OLD[:99], 'etag': 'W/"1"', 'last_modified': None},
    WHOLE,
  ),
}


@pytest.mark.parametrize('continuation', CONTINUATIONS)
def test_partial_files(continuation, tmp_path, serve):
  behaviors, state, end = CONTINUATIONS[continuation]
  server = serve(*behaviors)
  (tmp_path / 'file.part').write_bytes(state.get('part', CONTENT[:99]))
  known = {name: state.get(name, value) for name, value in VERSION.items()}
  version = json.dumps({'url': state.get('url', f'{server.mirror}file'), **known})
  version = state.get('version', version)
  if version is not None:
    (tmp_path / 'file.part.json').write_text(version)
  if end == WHOLE:
    assert fetch(tmp_path, server) == CONTENT
  else:
    with pytest.raises(errors.InputError, match=end):
      fetch(tmp_path, server)
  asks_for_rest = ['Range: bytes=' in request for request in server.requests]
  assert asks_for_rest[1:] == [False] * (len(asks_for_rest) - 1) or end != WHOLE
  if continuation == 'the rest':
    assert 'Range: bytes=99-\r\nIf-Range: "1"\r\n' in server.requests[0]


def test_without_an_etag_the_time_decides(tmp_path, serve):
  server = serve(answer(LENGTH, f'Last-Modified: {VERSION["last_modified"]}')[:-20], part(10220))
  with pytest.raises(errors.InputError, match='ended after 10220'):
    fetch(tmp_path, server)
  assert fetch(tmp_path, server) == CONTENT
  assert f'If-Range: {VERSION["last_modified"]}\r\n' in server.requests[1]


def test_without_either_it_begins_anew(tmp_path, serve):
  server = serve(answer(LENGTH)[:-20], answer(LENGTH))
  with pytest.raises(errors.InputError, match='ended after 10220'):
    fetch(tmp_path, server)
  assert fetch(tmp_path, server) == CONTENT
  assert 'Range' not in server.requests[1]


SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
  ('behaviors', 'there'),
  [
    ([answer()], None),
    ([part(99)], CONTENT[:99]),
    ([part(99), answer(LENGTH)], OLD[:99]),
    ([answer(LENGTH, body=OLD[:99])[:-9], answer(LENGTH)], None),
  ],
  ids=['no length', 'a part without a version', 'one of another version', 'a part of another'],
)
def test_a_known_digest_vouches_for_the_file(behaviors, there, tmp_path, serve):
  server = serve(*behaviors)
  if there:
    (tmp_path / 'file.part').write_bytes(there)
  with contextlib.suppress(errors.InputError):
    fetch(tmp_path, server, sha256=SHA256)
  assert fetch(tmp_path, server, sha256=SHA256) == CONTENT


def test_other_content_of_the_right_length_is_refused(tmp_path, serve):
  server = serve(answer(LENGTH, body=CONTENT[::-1]))
  with pytest.raises(errors.InputError, match=f'in place of {SHA256}: .* rename it to'):
    fetch(tmp_path, server, sha256=SHA256)
  assert os.listdir(tmp_path) == ['file.wrong']


def test_two_at_once(tmp_path, serve):
  """The second is refused while the first one writes."""
  goes_on = threading.Event()

  def slow(connection):
    connection.sendall(answer(LENGTH, body=CONTENT[:99]))
    goes_on.wait(5)
    connection.sendall(CONTENT[99:])

  server = serve(slow)
  first = threading.Thread(target=fetch, args=(tmp_path, server))
  first.start()
  while not (tmp_path / 'file.part.json').exists():
    time.sleep(0.01)
  with pytest.raises(errors.InputError, match='another process is fetching it'):
    fetch(tmp_path, server)
  goes_on.set()
  first.join()
  assert (tmp_path / 'file').read_bytes() == CONTENT


def test_a_disk_that_is_full(tmp_path, serve):
  server = serve(answer(LENGTH))
  (tmp_path / 'file.part').symlink_to('/dev/full')
  with pytest.raises(errors.InputError, match='cannot be fetched'):
    fetch(tmp_path, server)


@pytest.mark.parametrize('proxy', ['closed', 'refusing', 'silent'])
def test_proxies(proxy, tmp_path, serve, monkeypatch):
  server = serve(
    {
      'closed': b'',
      'refusing': answer(status='407 Proxy Authentication Required'),
      'silent': lambda c: time.sleep(5),
    }[proxy]
  )
  monkeypatch.setenv('https_proxy', f'http://127.0.0.1:{server.port}')
  monkeypatch.delenv('no_proxy', raising=False)
  with pytest.raises(errors.InputError, match=r'https://a\.invalid/file cannot be fetched: '):
    downloads.fetch('https://a.invalid/file', str(tmp_path / 'file'), limits=SHORT)
  assert server.requests[0].startswith('CONNECT a.invalid:443')


@pytest.mark.parametrize(
  ('url', 'leads_to', 'is_allowed'),
  [
    ('https://a.invalid/f', 'http://b.invalid/f', False),
    ('https://a.invalid/f', 'https://b.invalid/f', True),
    ('http://a.invalid/f', 'https://b.invalid/f', True),
    ('https://a.invalid/f', '//b.invalid/f', True),
    ('https://a.invalid/f', 'data:,x', False),
  ],
)
def test_redirects_never_leave_https(url, leads_to, is_allowed, monkeypatch):
  asked = []

  class Opener:
    def open(self, request, timeout):
      asked.append(request.full_url)
      headers = http_transfer.http.client.HTTPMessage()
      headers['Location'] = leads_to
      raise http_transfer.urllib.error.HTTPError(
        request.full_url, 302, 'Found', headers, io.BytesIO()
      )

  monkeypatch.setattr(http_transfer.urllib.request, 'build_opener', lambda *unused: Opener())
  with pytest.raises(http_transfer.TransferError):
    http_transfer._open(url, {}, 1)
  assert (len(asked) > 1) == is_allowed


def test_only_one_module_asks_the_network():
  root = pathlib.Path(downloads.__file__).parent.parent
  asking = re.compile(r'urllib\.request|http\.client|\brequests\b(?=[.\n])|extractall|urlretrieve')
  found = {
    path.relative_to(root).as_posix()
    for package in ('slimcompat', 'nets', 'datasets', 'slimtrain')
    for path in (root / package).rglob('*.py')
    if asking.search(path.read_text())
  }
  assert found == {'datasets/http_transfer.py'}
