"""What is known of files of records that were read before, so that they are read once."""

import contextlib
import json
import os

from datasets import record_files, user_files
from slimcompat import tf

_CACHE_FILE = 'record_counts.json'
_MAX_CACHE_ENTRIES = 20_000


def file_state(path):
  """Returns what changes whenever the file is written, or replaced by another.

  Raises:
    InputError: when it cannot be opened.
  """
  record_files.check_readable(path)
  if _is_remote(path):
    stat = tf.io.gfile.stat(path)
    return [stat.length, stat.mtime_nsec]
  # TensorFlow's nanoseconds are whole seconds on a local disk. Programs set the time of writing
  # back; that of the last change of any kind is the system's own.
  stat = os.stat(path)
  return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _is_remote(path):
  return '://' in path


class Cache:
  """What is known of files read before, in one JSON file. Not being able to use it is no error."""

  def __init__(self, fingerprint):
    """Opens the cache for what a decoder of this `fingerprint` finds."""
    self._fingerprint = fingerprint
    self._file = os.path.join(user_files.cache_dir(), _CACHE_FILE)
    self._entries = {}
    self._has_changed = False

  def __enter__(self):
    with (
      contextlib.suppress(OSError, ValueError, TypeError),
      open(self._file, encoding='utf-8') as file,
    ):
      self._entries = dict(json.load(file))
    return self

  def __exit__(self, *unused):
    if not self._has_changed:
      return
    newest = dict(list(self._entries.items())[-_MAX_CACHE_ENTRIES:])
    with contextlib.suppress(OSError):
      os.makedirs(os.path.dirname(self._file), exist_ok=True)
      user_files.write_atomically(self._file, json.dumps(newest))

  def get(self, path, state):
    """Returns what is known of `path` in `state`, as JSON gives it back, or None."""
    with contextlib.suppress(KeyError, ValueError, TypeError):
      known_state, fingerprint, contents = self._entries[_key(path)]
      if (known_state, fingerprint) == (state, self._fingerprint):
        return contents
    return None

  def put(self, path, state, contents):
    """Remembers the `contents` of `path` in `state`, as the newest entry."""
    self._entries.pop(_key(path), None)
    self._entries[_key(path)] = (state, self._fingerprint, contents)
    self._has_changed = True


def forget(path):
  """Forgets what is known of the file `path`."""
  with Cache('') as cache:
    cache._has_changed = cache._entries.pop(_key(path), None) is not None


def _key(path):
  return path if _is_remote(path) else os.path.abspath(path)
