"""Files from the network: fetched whole or not at all, and archives unpacked without surprises."""

import bz2
import contextlib
import dataclasses
import gzip
import hashlib
import ipaddress
import lzma
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.parse
import zipfile
import zlib

from datasets import http_transfer
from slimcompat import errors

LIMITS = http_transfer.Limits()
_CHUNK_BYTES = 1 << 20
_MAX_MEMBERS = 1_000_000
_MAX_UNPACKED_BYTES = 100 * 10**9
# Images and weights hardly shrink when they are compressed; a small archive may have zeros in it.
_MAX_RATIO, _LEAST_LIMIT_BYTES = 100, 1 << 30
_MAX_HEADER_BYTES = 1 << 24  # Taken into memory at once.
_OPENERS = {b'\x1f\x8b': gzip.open, b'BZ': bz2.open, b'\xfd7': lzma.open}
# What the readers of archives raise for damaged ones.
_DAMAGE = (
  tarfile.TarError,
  zipfile.BadZipFile,
  zlib.error,
  lzma.LZMAError,
  EOFError,
  OSError,
  ValueError,
  OverflowError,
  NotImplementedError,
  RuntimeError,
)


def fetch(
  url: str,
  path: str,
  sha256: str | None = None,
  mirror: str | None = None,
  limits: http_transfer.Limits = LIMITS,
) -> str:
  """Fetches a file, unless it is there; what an interrupted call left in `path`.part is used.

  Args:
    url: of https; of http only where the SHA-256 is known.
    path: where to write the file.
    sha256: what the file must have, in hexadecimal digits.
    mirror: a URL, of https or http, that replaces `url` up to the name of the file.
    limits: on time and size.

  Returns:
    `path`.

  Raises:
    InputError: when it cannot be fetched or written, or has another SHA-256, and is then kept as
      `path`.wrong.
  """
  if mirror:
    url = f'{mirror.rstrip("/")}/{url.rsplit("/", 1)[1]}'
  try:
    scheme = urllib.parse.urlsplit(url).scheme
  except ValueError as error:
    raise errors.InputError(f'{url} is not an address: {error}.') from error
  if scheme not in ('https', 'http') or (scheme == 'http' and not (sha256 or mirror)):
    raise errors.InputError(f'{url} is not fetched: its address must begin with https://.')
  if os.path.exists(path):
    _check_sha256(path, path, sha256)
    return path
  part = f'{path}.part'
  try:
    is_continued = _download(url, part, limits, sha256)
    if is_continued and find_sha256(part) != sha256:
      # The beginning may be that of another version, where the server did not say.
      os.remove(part)
      _download(url, part, limits, sha256)
  except http_transfer.TransferError as error:
    raise errors.InputError(
      f'{url} cannot be fetched: {error}. Run the command again, or give another mirror.'
    ) from error
  except OSError as error:
    raise errors.InputError(
      f'{url} cannot be fetched to {part}: {error.strerror or error}. Run the command again to go'
      ' on.'
    ) from error
  with contextlib.suppress(FileNotFoundError):
    os.remove(f'{part}.json')
  _check_sha256(part, path, sha256)
  os.replace(part, path)
  return path


def obtain(
  url: str,
  path: str,
  sha256: str | None = None,
  mirror: str | None = None,
  remembered: str | None = None,
  max_bytes: int = LIMITS.max_bytes,
) -> str:
  """Returns the SHA-256 of the file at `path`, which is fetched unless it is there.

  A file that the user put there is used as it is, and so is what a mirror on this machine offers:
  both are the user's own. A line says so where the authors published another digest.

  Args:
    url: where the authors offer it.
    path: where it goes.
    sha256: the published digest, None where there is none.
    mirror: as in `fetch`.
    remembered: the digest that it had when it was fetched first, which counts where none was
      published.
    max_bytes: more than it has.

  Raises:
    InputError: as for `fetch`.
  """
  if not os.path.isfile(path):
    expected = remembered if _is_local(mirror) else sha256 or remembered
    fetch(url, path, expected, mirror, dataclasses.replace(LIMITS, max_bytes=max_bytes))
  found = find_sha256(path)
  if sha256 and found != sha256:
    sys.stderr.write(
      f'{path} is not the published file: its SHA-256 is {found} in place of {sha256}. It is used'
      ' as it is.\n'
    )
  return found


def _is_local(mirror):
  """Returns whether a mirror is on this machine."""
  host = urllib.parse.urlsplit(mirror or '').hostname or ''
  with contextlib.suppress(ValueError):
    return ipaddress.ip_address(host).is_loopback
  return host == 'localhost'


def _download(url, part, limits, sha256):
  """Completes `part`. Returns whether only a digest can tell that its beginning is right."""
  is_continued = bool(sha256) and os.path.exists(part)
  http_transfer.download(url, part, limits, is_checked=sha256 is not None)
  return is_continued


def _check_sha256(file, path, expected):
  if expected is None:
    return
  found = find_sha256(file)
  if found != expected:
    os.replace(file, f'{path}.wrong')
    raise errors.InputError(
      f'{path} has the SHA-256 {found} in place of {expected}: it is not the file that it was. It'
      f' is kept as {path}.wrong. Run the command again, or give another mirror. If it is the file'
      f' that you want, rename it to {path}.'
    )


def find_sha256(path: str) -> str:
  """Returns the SHA-256 of a file in hexadecimal digits."""
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK_BYTES):
      digest.update(chunk)
  return digest.hexdigest()


def unpack(archive: str, folder: str):
  """Unpacks a tar archive, compressed or not, into `folder`, which is new and then whole.

  Raises:
    InputError: when it is damaged, or has links, paths that lead elsewhere, or more files or bytes
      than any dataset.
  """
  parent = os.path.dirname(os.path.abspath(folder))
  temporary = tempfile.mkdtemp(dir=parent, prefix=f'.{os.path.basename(folder)}.')
  try:
    with _open_tar(archive) as (tar, stream):
      for member in tar:
        _extract(tar, member, temporary)
      while stream.read(_CHUNK_BYTES):
        pass  # The checksum of the compression comes last.
    os.chmod(temporary, 0o755)  # noqa: S103  As a folder that is made in the usual way.
    os.rename(temporary, folder)
  except _DAMAGE as error:
    raise errors.InputError(
      f'{archive} cannot be unpacked to {folder}: {error}. Remove the archive to fetch it again.'
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


class _Stream:
  """The bytes of a tar archive, decompressed, with bounds on what a small file may become."""

  def __init__(self, file, max_bytes):
    self._file = file
    self._max_bytes = max_bytes

  def read(self, size=-1):
    if not 0 <= size <= _MAX_HEADER_BYTES:
      raise tarfile.ReadError('a header in it is larger than any')
    data = self._file.read(size)
    self._check()
    return data

  def seek(self, offset, whence=os.SEEK_SET):
    position = self._file.seek(offset, whence)
    self._check()
    return position

  def tell(self):
    return self._file.tell()

  def _check(self):
    if self._file.tell() > self._max_bytes:
      raise tarfile.ReadError('it is larger than any dataset')


@contextlib.contextmanager
def _open_tar(path):
  """Gives the TarFile at `path` and the _Stream below it."""
  with open(path, 'rb') as file:
    beginning = file.read(2)
    opener = next((opener for start, opener in _OPENERS.items() if beginning == start), None)
    file.seek(0)
    limit = max(_LEAST_LIMIT_BYTES, _MAX_RATIO * os.path.getsize(path))
    content = opener(file) if opener else file
    stream = _Stream(content, min(_MAX_UNPACKED_BYTES, limit))
    with tarfile.open(fileobj=stream, mode='r:') as tar:
      yield tar, stream


def read_tar_member(archive: str, name: str, max_bytes: int) -> bytes:
  """Returns the content of a file in a tar archive.

  Raises:
    ValueError: when the archive is damaged, has no such file, or one of more than `max_bytes`.
  """
  try:
    with _open_tar(archive) as (tar, _):
      member = tar.getmember(name)
      if not member.isfile() or not 0 <= member.size <= max_bytes:
        raise ValueError(f'{name} has {member.size} bytes')
      content = tar.extractfile(member)
      return b''.join(iter(lambda: content.read(_CHUNK_BYTES), b''))
  except (*_DAMAGE, KeyError) as error:
    raise ValueError(str(error)) from error


def read_zip_member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
  """Returns the content of a file in a zip archive. Raises ValueError as `read_tar_member`."""
  try:
    with archive.open(name) as file:
      content = file.read(max_bytes + 1)
  except (*_DAMAGE, KeyError) as error:
    raise ValueError(str(error)) from error
  if len(content) > max_bytes:
    raise ValueError(f'{name} has more than {max_bytes} bytes')
  return content


def _extract(tar, member, folder):
  """Writes a member of an archive into `folder`. Raises TarError for anything unusual."""
  if len(tar.members) > _MAX_MEMBERS:
    raise tarfile.TarError('it is larger than any dataset')
  if not (member.isfile() or member.isdir()) or member.size < 0:
    raise tarfile.TarError(f'{member.name} is neither a file nor a folder')
  parts = [part for part in member.name.split('/') if part not in ('', '.')]
  if '..' in parts:
    raise tarfile.TarError(f'{member.name} leads out of the folder')
  path = os.path.join(folder, *parts)
  if member.isdir():
    os.makedirs(path, exist_ok=True)
    return
  os.makedirs(os.path.dirname(path), exist_ok=True)
  num_bytes = 0
  with tar.extractfile(member) as source, open(path, 'wb') as file:
    while chunk := source.read(_CHUNK_BYTES):
      file.write(chunk)
      num_bytes += len(chunk)
  if num_bytes != member.size:
    raise tarfile.ReadError(f'{member.name} is cut short')
