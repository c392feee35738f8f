"""Files from the network: fetched whole or not at all, and archives unpacked without surprises."""

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib

import tqdm

from slimcompat import errors

_TIMEOUT_SECS = 60  # Without a byte.
_CHUNK_BYTES = 1 << 20
_MAX_MEMBERS = 1_000_000
_MAX_UNPACKED_BYTES = 100 * 10**9


def fetch(url: str, path: str, sha256: str | None = None, mirror: str | None = None) -> str:
  """Fetches a file, unless it is there; what an interrupted call left in `path`.part is used.

  Args:
    url: of https; of http only where the SHA-256 is known.
    path: where to write the file.
    sha256: what the file must have, in hexadecimal digits.
    mirror: a URL, of https or http, that replaces `url` up to the name of the file.

  Returns:
    `path`.

  Raises:
    InputError: when it cannot be fetched or written, or has another SHA-256, and is then kept as
      `path`.wrong.
  """
  if mirror:
    url = f'{mirror.rstrip("/")}/{url.rsplit("/", 1)[1]}'
  scheme = urllib.parse.urlsplit(url).scheme
  if scheme not in ('https', 'http') or (scheme == 'http' and not (sha256 or mirror)):
    raise errors.InputError(f'{url} is not fetched: its address must begin with https://.')
  if os.path.exists(path):
    _check_sha256(path, path, sha256)
    return path
  part = f'{path}.part'
  try:
    _download(url, part)
  except urllib.error.HTTPError as error:
    raise errors.InputError(
      f'{url} cannot be fetched: the server says {error.code} {error.reason}. Give another mirror.'
    ) from error
  except (OSError, http.client.HTTPException) as error:
    reason = getattr(error, 'reason', None) or error
    raise errors.InputError(
      f'{url} cannot be fetched to {part}: {reason}. Run the command again to go on, or give a'
      ' mirror.'
    ) from error
  _check_sha256(part, path, sha256)
  os.replace(part, path)
  return path


def _download(url, part):
  """Appends to the file `part` what it lacks of `url`."""
  num_bytes = os.path.getsize(part) if os.path.exists(part) else 0
  request = urllib.request.Request(url)  # noqa: S310  The scheme is checked.
  if num_bytes:
    request.add_header('Range', f'bytes={num_bytes}-')
  try:
    response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECS)  # noqa: S310
  except urllib.error.HTTPError as error:
    if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not num_bytes:
      raise
    # All of it is there, or more than that.
    if error.headers.get('Content-Range') != f'bytes */{num_bytes}':
      os.remove(part)
      _download(url, part)
    return
  with response:
    if url.startswith('https:') and not response.url.startswith('https:'):
      raise OSError(f'it leads to {response.url}, which is not https')
    goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
    if not goes_on:
      num_bytes = 0  # The server sends all of it.
    length = response.headers.get('Content-Length')
    total = None if length is None else num_bytes + int(length)
    with (
      open(part, 'ab' if goes_on else 'wb') as file,
      # The bar shows on a terminal only.
      tqdm.tqdm(
        desc=os.path.basename(url),
        total=total,
        initial=num_bytes,
        unit='B',
        unit_scale=True,
        disable=None,
      ) as bar,
    ):
      while chunk := response.read(_CHUNK_BYTES):
        file.write(chunk)
        num_bytes += len(chunk)
        bar.update(len(chunk))
      file.flush()
      os.fsync(file.fileno())
  if total is not None and num_bytes < total:
    raise OSError(f'the connection ended after {num_bytes} of {total} bytes')


def _check_sha256(file, path, expected):
  if expected is None:
    return
  found = find_sha256(file)
  if found != expected:
    os.replace(file, f'{path}.wrong')
    raise errors.InputError(
      f'{path} has the SHA-256 {found} in place of {expected}: it is not the file that it was. It'
      f' is kept as {path}.wrong. Run the command again, or give another mirror.'
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
      than any data set.
  """
  parent = os.path.dirname(os.path.abspath(folder))
  temporary = tempfile.mkdtemp(dir=parent, prefix=f'.{os.path.basename(folder)}.')
  num_members = num_bytes = 0
  try:
    with tarfile.open(archive) as tar:
      for member in tar:
        num_members += 1
        num_bytes += member.size
        if num_members > _MAX_MEMBERS or num_bytes > _MAX_UNPACKED_BYTES:
          raise tarfile.TarError('it is larger than any data set')
        if not (member.isfile() or member.isdir()):
          raise tarfile.TarError(f'{member.name} is neither a file nor a folder')
        tar.extract(member, temporary, filter='data')
    os.chmod(temporary, 0o755)  # noqa: S103  As a folder that is made in the usual way.
    os.rename(temporary, folder)
  except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
    raise errors.InputError(
      f'{archive} cannot be unpacked to {folder}: {error}. Remove the archive to fetch it again.'
    ) from error
  finally:
    shutil.rmtree(temporary, ignore_errors=True)
