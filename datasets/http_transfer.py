"""One file over HTTP, by the letter of RFC 9110: lengths, ranges, redirects and time limits."""

import contextlib
import dataclasses
import datetime
import email.utils
import http.client
import json
import os
import queue
import re
import string
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import tqdm

from datasets import user_files

_CHUNK_BYTES = 1 << 16
_NUM_CHUNKS = 64  # Received ahead of what is written.
_MAX_REDIRECTS = 5
_DEFAULT_RETRY_SECS = 5  # Where a busy server does not say how long to wait.
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
# By the end of a file's name, how it must begin.
_BEGINNINGS = {'.gz': b'\x1f\x8b', '.tgz': b'\x1f\x8b', '.zip': b'PK'}
_NUM_BYTES_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Limits:
  """How long a server may take, and how much it may send."""

  idle_secs: float = 60  # Until the answer begins, and between two pieces of it.
  rate_secs: float = 30  # Over which the rate is measured.
  min_bytes_per_sec: float = 1000
  total_secs: float = 24 * 3600
  retry_secs: float = 20  # The longest wait that a busy server may ask for.
  num_retries: int = 3
  max_bytes: int = 20 * 10**9


class TransferError(Exception):
  """Why a file was not transferred, as the end of a sentence."""


class _OtherVersionError(Exception):
  """What the server sends does not continue the partial file."""


class _BusyError(Exception):
  """The server asks to wait `args[0]` seconds."""


@dataclasses.dataclass(frozen=True)
class _Version:
  """What a partial file is a part of."""

  url: str
  etag: str | None = None
  last_modified: str | None = None
  num_bytes: int | None = None  # Of the whole file.

  @property
  def validator(self):
    """The value of If-Range; a weak ETag does not promise equal bytes."""
    if self.etag and not self.etag.startswith('W/'):
      return self.etag
    return self.last_modified


def download(url: str, part: str, limits: Limits, is_checked: bool = False):
  """Completes the file `part` with what it lacks of `url`.

  Bytes from an earlier call are kept only when the server confirms that they belong to the same
  version of the file. `part`.json says which version that is.

  Args:
    url: with the scheme https or http.
    part: the file, which may hold the beginning already.
    limits: on time and size.
    is_checked: whether the caller knows the file's digest, which then vouches for the beginning and
      the end where the server does not tell.

  Raises:
    TransferError: when the server does not deliver.
    OSError: when the file cannot be written.
  """
  with _locked(part) as file:
    try:
      _complete(url, file, f'{part}.json', limits, is_checked)
    finally:
      if not os.fstat(file.fileno()).st_size:
        for path in (part, f'{part}.json'):
          with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _complete(url, file, version_path, limits, is_checked):
  version = _read_version(version_path, url)
  if not (is_checked or (version and version.validator)):
    file.truncate(0)
  num_waits = 0
  while True:
    try:
      return _attempt(url, file, version, version_path, limits, is_checked)
    except _OtherVersionError:
      # From the start, which happens once: then there is nothing to continue.
      file.truncate(0)
      version = None
    except _BusyError as error:
      num_waits += 1
      if num_waits > limits.num_retries or error.args[0] > limits.retry_secs:
        raise TransferError(
          f'the server is busy and asks to wait {error.args[0]:.0f} seconds'
        ) from None
      time.sleep(error.args[0])


@contextlib.contextmanager
def _locked(path):
  """Gives the file at `path`, opened for this process alone."""
  with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), 'r+b') as file:
    try:
      import fcntl  # Not everywhere.

      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise TransferError('another process is fetching it') from None
    except (ImportError, OSError):
      pass  # The system or the file system has no locks.
    if not (os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(file.fileno()))):
      raise TransferError('another process has just fetched it')
    yield file


def _read_version(path, url):
  """Returns the _Version of a partial file, None where it is not known or of another address."""
  try:
    with open(path, encoding='utf-8') as file:
      version = _Version(**json.load(file))
  except (OSError, ValueError, TypeError):
    return None
  texts = (version.url, version.etag, version.last_modified)
  is_sound = all(isinstance(text, str | None) for text in texts)
  return version if is_sound and version.url == url else None


def _attempt(url, file, version, version_path, limits, is_checked):
  """Makes one request and writes what comes to `file`."""
  num_bytes = file.seek(0, os.SEEK_END)
  if num_bytes and version and version.num_bytes == num_bytes:
    return
  headers = {}
  if num_bytes:
    headers['Range'] = f'bytes={num_bytes}-'
    if version and version.validator:
      headers['If-Range'] = version.validator
  with _Reception(url, headers, limits) as reception:
    answer = reception.answer
    if answer.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and num_bytes:
      if answer.headers.get('Content-Range') == f'bytes */{num_bytes}':
        return
      raise _OtherVersionError
    start, total = _find_place(answer, num_bytes, version)
    _check_answer(answer, url, total, limits, is_checked)
    file.truncate(start)
    file.seek(start)
    found = _Version(url, answer.headers.get('ETag'), answer.headers.get('Last-Modified'), total)
    user_files.write_atomically(version_path, json.dumps(dataclasses.asdict(found)))
    _write_body(reception, file, start, total, url, limits)


def _write_body(reception, file, start, total, url, limits):
  name = _name(url)
  num_bytes = start
  # The bar shows on a terminal only.
  with tqdm.tqdm(
    desc=name, total=total, initial=start, unit='B', unit_scale=True, disable=None
  ) as bar:
    for chunk in reception.chunks():
      if not num_bytes:
        _check_beginning(name, chunk)
      num_bytes += len(chunk)
      if num_bytes > (limits.max_bytes if total is None else total):
        file.truncate(0)
        raise TransferError(f'more comes than {num_bytes - len(chunk)} bytes')
      file.write(chunk)
      bar.update(len(chunk))
    file.flush()
    os.fsync(file.fileno())
  if total is not None and num_bytes < total:
    raise TransferError(f'the connection ended after {num_bytes} of {total} bytes')
  if not num_bytes:
    raise TransferError('the file is empty')


def _find_place(answer, num_bytes, version):
  """Returns where the body belongs in the file, and how long the whole file is, None if untold."""
  if answer.status == http.HTTPStatus.OK:
    return 0, answer.length
  if answer.status != http.HTTPStatus.PARTIAL_CONTENT or not num_bytes:
    raise TransferError(f'the server says {answer.status} {answer.reason}'.rstrip())
  match = re.fullmatch(r'bytes (\d+)-(\d+)/(\d+|\*)', answer.headers.get('Content-Range', ''))
  if not match:
    raise _OtherVersionError
  first, last = int(match[1]), int(match[2])
  total = None if match[3] == '*' else int(match[3])
  is_next = first == num_bytes <= last and answer.length in (None, last + 1 - first)
  if total is None:
    total = last + 1  # As asked for: all the rest.
  if not is_next or last >= total:
    raise _OtherVersionError
  if version and version.num_bytes not in (None, total):
    raise _OtherVersionError
  if version and version.etag and answer.headers.get('ETag', version.etag) != version.etag:
    raise _OtherVersionError
  return first, total


def _check_answer(answer, url, total, limits, is_checked):
  """Raises TransferError when the body cannot be the file."""
  name = _name(url)
  content_type = answer.headers.get('Content-Type', '').lower()
  if content_type.startswith(('text/html', 'application/xhtml')) and not name.endswith('.html'):
    raise TransferError('the server answers with a web page')
  encoding = answer.headers.get('Content-Encoding', 'identity').strip().lower()
  # Some servers call a .gz file an encoding of the file inside.
  is_name_for_it = name.endswith(('.gz', '.tgz')) and encoding in ('gzip', 'x-gzip')
  if encoding not in ('', 'identity') and not is_name_for_it:
    raise TransferError(f'the server sends it encoded as {encoding[:_NUM_BYTES_SHOWN]}')
  if total is None and not answer.is_chunked and not is_checked:
    raise TransferError('the server does not say how long it is, so a cut would not show')
  if total is not None and total > limits.max_bytes:
    raise TransferError(f'it has {total:,} bytes, more than the {limits.max_bytes:,} expected')


def _check_beginning(name, chunk):
  beginning = next((start for end, start in _BEGINNINGS.items() if name.endswith(end)), b'')
  if not chunk.startswith(beginning[: len(chunk)]):
    raise TransferError(
      f'what comes is not a {os.path.splitext(name)[1]} file: it begins'
      f' {bytes(chunk[:_NUM_BYTES_SHOWN])!r}'
    )


def _name(url):
  return os.path.basename(urllib.parse.urlsplit(url).path)


@dataclasses.dataclass(frozen=True)
class _Answer:
  """How an answer begins."""

  status: int
  reason: str
  headers: http.client.HTTPMessage
  length: int | None  # Of the body.
  is_chunked: bool


class _NoRedirects(urllib.request.HTTPRedirectHandler):
  """Leaves redirects to _open, which limits them."""

  def redirect_request(self, *unused_args):
    return None


class _Reception:
  """A request, and what comes of it in a thread of its own.

  So every wait has an end: that for a name server, for a proxy, for headers that trickle.
  """

  def __init__(self, url, headers, limits):
    self._limits = limits
    self._queue = queue.Queue(_NUM_CHUNKS)
    self._is_over = threading.Event()
    self._start = time.monotonic()
    # A thread that waits for a silent server does not keep the process.
    threading.Thread(target=self._receive, args=(url, headers), daemon=True).start()

  def __enter__(self):
    try:
      self.answer = self._next()
    except BaseException:
      self._is_over.set()
      raise
    return self

  def __exit__(self, *unused):
    self._is_over.set()

  def chunks(self):
    """Yields the body piece by piece."""
    begin, num_bytes = time.monotonic(), 0
    while chunk := self._next():
      yield chunk
      num_bytes += len(chunk)
      secs = time.monotonic() - begin
      if secs >= self._limits.rate_secs:
        if num_bytes < secs * self._limits.min_bytes_per_sec:
          raise TransferError(f'it comes too slowly, {num_bytes} bytes in {secs:.0f} seconds')
        begin, num_bytes = time.monotonic(), 0

  def _next(self):
    """Returns what the thread received next. Raises TransferError."""
    limits = self._limits
    left = max(0, self._start + limits.total_secs - time.monotonic())
    try:
      item = self._queue.get(timeout=min(left, limits.idle_secs))
    except queue.Empty:
      if left <= limits.idle_secs:
        raise TransferError(f'it takes more than {limits.total_secs:,.0f} seconds') from None
      raise TransferError(f'nothing came for {limits.idle_secs:.0f} seconds') from None
    if isinstance(item, Exception):
      raise item
    return item

  def _receive(self, url, headers):
    try:
      # Longer than the caller waits, whose message tells more.
      with _open(url, headers, 2 * self._limits.idle_secs) as response:
        self._put(_read_answer(response))
        while (chunk := response.read1(_CHUNK_BYTES)) and self._put(chunk):
          pass
        self._put(b'')
    except (TransferError, _BusyError) as error:
      self._put(error)
    except http.client.IncompleteRead:
      self._put(TransferError('the connection ended within the file'))
    except Exception as error:  # Whatever a library runs into, the caller must hear of it.
      reason = getattr(error, 'reason', None) or error
      text = ' '.join(str(reason).split()) or type(reason).__name__
      self._put(TransferError(text + _name_proxy(url)))

  def _put(self, item):
    """Hands `item` over. Returns whether it is still wanted."""
    while not self._is_over.is_set():
      with contextlib.suppress(queue.Full):
        self._queue.put(item, timeout=0.1)
        return True
    return False


def _open(url, headers, timeout):
  """Returns the response, with any status that _attempt understands, after redirects."""
  opener = urllib.request.build_opener(_NoRedirects)
  for _ in range(_MAX_REDIRECTS + 1):
    try:
      # The caller has checked the scheme of the first address, and this function of the others.
      return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
      if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and 'Range' in headers:
        return error
      error.close()
      if error.code in _BUSY:
        raise _BusyError(_retry_secs(error.headers.get('Retry-After'))) from None
      location = error.headers.get('Location')
      if error.code not in _REDIRECTS or not location:
        raise TransferError(f'the server says {error.code} {error.reason}'.rstrip()) from None
    following = urllib.parse.urljoin(url, urllib.parse.quote(location, safe=string.punctuation))
    scheme = urllib.parse.urlsplit(following).scheme
    if scheme != 'https' and (scheme != 'http' or url.startswith('https:')):
      raise TransferError(f'it leads to {following}, which is not https')
    url = following
  raise TransferError(f'it leads from one address to the next more than {_MAX_REDIRECTS} times')


def _read_answer(response):
  """Returns the _Answer of a response. Raises TransferError for lengths that cannot be trusted."""
  headers = response.headers
  is_chunked = headers.get('Transfer-Encoding', '').strip().lower() == 'chunked'
  if not is_chunked and headers.get('Transfer-Encoding', 'identity').strip().lower() != 'identity':
    raise TransferError(f'the server sends it as {headers["Transfer-Encoding"]!r}')
  lengths = {
    part.strip() for line in headers.get_all('Content-Length', []) for part in line.split(',')
  }
  if len(lengths) > 1 or not all(re.fullmatch('[0-9]{1,15}', length) for length in lengths):
    raise TransferError(f'the server gives the length {" and ".join(sorted(lengths))!r}')
  length = int(lengths.pop()) if lengths and not is_chunked else None
  return _Answer(response.status, response.reason, headers, length, is_chunked)


def _retry_secs(text):
  """Returns how long the header Retry-After asks to wait."""
  if text is None:
    return _DEFAULT_RETRY_SECS
  if re.fullmatch('[0-9]{1,9}', text.strip()):
    return int(text)
  try:
    until = email.utils.parsedate_to_datetime(text)
    return max(0.0, (until - datetime.datetime.now(until.tzinfo)).total_seconds())
  except (TypeError, ValueError):
    return _DEFAULT_RETRY_SECS


def _name_proxy(url):
  """Returns a remark on the proxy that an address is fetched through, '' without one."""
  parts = urllib.parse.urlsplit(url)
  proxy = urllib.request.getproxies().get(parts.scheme)
  if not proxy or urllib.request.proxy_bypass(parts.hostname or ''):
    return ''
  return f' (through the proxy that {parts.scheme}_proxy names)'
