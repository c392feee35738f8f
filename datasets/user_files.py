"""The user's cache folder; files that are whole or not there; files that are safe to read."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from typing import BinaryIO

# What a path may lead to besides a regular file. Reading some of them never ends.
_OTHER_KINDS = (
  (stat.S_ISDIR, errno.EISDIR, 'it is a directory'),
  (stat.S_ISFIFO, errno.EINVAL, 'it is a named pipe'),
  (stat.S_ISSOCK, errno.EINVAL, 'it is a socket'),
  (stat.S_ISCHR, errno.EINVAL, 'it is a device'),
  (stat.S_ISBLK, errno.EINVAL, 'it is a device'),
)


def cache_dir() -> str:
  """Returns the product's folder within the user's cache folder, which need not exist.

  That is `$XDG_CACHE_HOME`, or `~/.cache`; the XDG base directory specification says to ignore
  a relative one.
  """
  base = os.environ.get('XDG_CACHE_HOME', '')
  if not os.path.isabs(base):
    base = os.path.join(os.path.expanduser('~'), '.cache')
  return os.path.join(base, 'slimtrain')


def open_regular(path: str) -> BinaryIO:
  """Returns a regular file, or one that links lead to, opened to read bytes; never waits.

  Raises:
    OSError: when there is none, or it is a directory, a named pipe, a socket or a device.
  """
  # Opening alone may have effects on a device.
  _check_regular(path, os.stat(path))
  flags = os.O_RDONLY | getattr(os, 'O_CLOEXEC', 0) | getattr(os, 'O_BINARY', 0)
  # It may have been replaced, by a pipe that nobody writes to.
  descriptor = os.open(path, flags | getattr(os, 'O_NONBLOCK', 0))
  try:
    _check_regular(path, os.fstat(descriptor))
    return os.fdopen(descriptor, 'rb')
  except BaseException:
    os.close(descriptor)
    raise


def read_bytes(path: str, max_bytes: int) -> bytes:
  """Returns the content of a regular file, or of one that links lead to; never waits.

  Raises:
    OSError: when it cannot be read, is not a regular file, or has more than `max_bytes` bytes.
  """
  with open_regular(path) as file:
    num_bytes = os.fstat(file.fileno()).st_size
    # One more tells of a file that grows, or has a size that the system does not know.
    content = b'' if num_bytes > max_bytes else file.read(num_bytes + 1)
    if len(content) > num_bytes:
      content += file.read(max_bytes + 1 - len(content))
  if max(num_bytes, len(content)) > max_bytes:
    num_bytes = max(num_bytes, len(content))
    raise OSError(errno.EFBIG, f'it has {num_bytes:,} bytes, more than {max_bytes:,}', path)
  return content


def _check_regular(path, state):
  if stat.S_ISREG(state.st_mode):
    return
  for is_kind, number, reason in _OTHER_KINDS:
    if is_kind(state.st_mode):
      raise OSError(number, f'{reason}, not a file', path)
  raise OSError(errno.EINVAL, 'it is not a regular file', path)


def write_atomically(path: str, content: str | bytes):
  """Writes `content` to `path` so that a reader finds the old content or all of the new one.

  Text becomes UTF-8. What no UTF-8 can hold, such as a byte of a file name, becomes an escape as in
  JSON, from which it can be read again.
  """
  if isinstance(content, str):
    content = content.encode('utf-8', 'backslashreplace')
  with open_atomically(path) as file:
    file.write(content)


@contextlib.contextmanager
def open_atomically(path: str):
  """Gives a binary file to write, which is at `path` once the block has ended without an error.

  What killed processes left of earlier attempts is removed.
  """
  folder, name = os.path.split(path)
  _remove_abandoned(folder or '.', re.escape(name), 'tmp')
  temporary, file = _create_locked(folder, name)
  try:
    with file:
      yield file
      file.flush()
      os.fsync(file.fileno())
      os.replace(temporary, path)
  except BaseException as error:
    with contextlib.suppress(OSError):
      os.unlink(temporary)
    is_of_system = isinstance(error, OSError) and error.errno is not None
    if is_of_system and error.filename in (None, temporary):
      error.filename = path  # Writing into an open file doesn't tell which.
    raise
  flush_to_disk(folder or '.')


@contextlib.contextmanager
def folder_beside(path: str, ending: str):
  """Gives a new hidden folder in that of `path`, which is removed at the end.

  Folders with this ending that killed processes left there are removed.

  Args:
    path: what is made in the folder, and then moved.
    ending: what the folder's name ends in; nobody else's should.
  """
  parent, name = os.path.split(path)
  _remove_abandoned(parent or '.', '.+', ending)
  folder = os.path.join(parent, f'.{name}.{secrets.token_hex(4)}.{ending}')
  os.mkdir(folder)
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    _lock(descriptor)
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def _create_locked(folder, name):
  """Returns the path of a new file for `name`, and the file, which is locked while it is open."""
  while True:
    # In the same folder, because os.replace cannot move between file systems.
    path = os.path.join(folder, f'.{name}.{secrets.token_hex(4)}.tmp')
    file = open(path, 'xb')  # noqa: SIM115  The caller closes it.
    _lock(file.fileno())
    # Another process may have found it before it was locked.
    if os.fstat(file.fileno()).st_nlink:
      return path, file
    file.close()


def _lock(descriptor, waits=True):
  """Locks an open file or folder until it is closed; returns whether that was possible."""
  try:
    import fcntl  # Not everywhere.

    fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
  except (ImportError, OSError):  # In use, or a file system without locks.
    return False
  return True


def _remove_abandoned(folder, name, ending):
  """Removes what is named like a temporary file or folder and locked by no process.

  Args:
    folder: where to look.
    name: a pattern of what it was made for.
    ending: of its own name.
  """
  pattern = re.compile(rf'\.{name}\.[0-9a-f]{{8}}\.{re.escape(ending)}', re.DOTALL)
  for found in os.listdir(folder):
    if not pattern.fullmatch(found):
      continue
    path = os.path.join(folder, found)
    with contextlib.suppress(OSError):
      is_folder = os.path.isdir(path)
      # Some file systems lock only what is open for writing.
      descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
      try:
        if _lock(descriptor, waits=False):
          shutil.rmtree(path, ignore_errors=True) if is_folder else os.unlink(path)
      finally:
        os.close(descriptor)


def flush_to_disk(path: str):
  """Makes sure that the file or folder `path` outlives a power cut."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
