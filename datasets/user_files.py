"""The user's cache folder, and files that are either whole or not there."""

import contextlib
import os
import secrets


def cache_dir() -> str:
  """Returns the product's folder within the user's cache folder, which need not exist.

  That is `$XDG_CACHE_HOME`, or `~/.cache`; the XDG base directory specification says to ignore
  a relative one.
  """
  base = os.environ.get('XDG_CACHE_HOME', '')
  if not os.path.isabs(base):
    base = os.path.join(os.path.expanduser('~'), '.cache')
  return os.path.join(base, 'slimtrain')


def write_atomically(path: str, content: str | bytes):
  """Writes `content` to `path` so that a reader finds the old content or all of the new one."""
  with open_atomically(path) as file:
    file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def open_atomically(path: str):
  """Gives a binary file to write, which is at `path` once the block has ended without an error."""
  folder, name = os.path.split(path)
  # In the same folder, for os.replace cannot move between file systems.
  temporary = os.path.join(folder, f'.{name}.{secrets.token_hex(4)}.tmp')
  try:
    with open(temporary, 'wb') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(OSError):
      os.unlink(temporary)
    raise
  flush_to_disk(folder or '.')


def flush_to_disk(path: str):
  """Makes sure that the file or folder `path` outlives a power cut."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
