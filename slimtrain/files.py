"""Folders and small files that a run writes."""

import errno
import json
import os
import tempfile

from datasets import user_files
from slimcompat import errors, tf

_FULL = ('no space left', 'disk quota exceeded', 'file too large')
# What is wrong with a disk, or with the rights to it, and not with the program.
_OF_DISK = {errno.EACCES, errno.EIO, errno.EPERM, errno.EROFS, errno.ESTALE}
_LEAST_BYTES = 1 << 16  # As much as the small files of a run take.


def check_writable(flag, directory):
  """Makes `directory`, the value of `flag`, unless it is there.

  Raises:
    InputError: when nothing can be written to it.
  """
  try:
    os.makedirs(directory, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:
      # A disk that is full takes files, but nothing into them.
      file.write(bytes(_LEAST_BYTES))
      file.flush()
  except OSError as error:
    raise errors.InputError(
      f'--{flag}={directory} cannot be written to ({error.strerror}); give a directory that can.'
    ) from error


def write_text(path, content):
  """Writes `content` to `path`; a reader sees the old file or the new one, whole."""
  user_files.write_atomically(path, content)


def write_json(path, content):
  """Writes `content` to `path` as JSON, as `write_text` does."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def is_full(error: BaseException) -> bool:
  """Returns whether `error`, of TensorFlow or Python, comes from a disk without room."""
  text = str(getattr(error, 'message', error)).lower()
  return isinstance(error, tf.errors.ResourceExhaustedError) or any(word in text for word in _FULL)


def is_of_disk(error: BaseException) -> bool:
  """Returns whether `error` comes from a disk that is full, read-only, broken or not ours."""
  if isinstance(error, tf.errors.ResourceExhaustedError):  # Memory, too.
    return any(word in error.message.lower() for word in _FULL)
  is_os_error = isinstance(error, (OSError, tf.errors.OpError, RuntimeError))
  return is_os_error and (getattr(error, 'errno', None) in _OF_DISK or is_full(error))


def explain(error: BaseException) -> str:
  """Returns a sentence on an error for which `is_of_disk` is true."""
  name = getattr(error, 'filename', None)
  what = str(name) if name else 'A file'
  reason = getattr(error, 'strerror', None) or getattr(error, 'message', None) or str(error)
  advice = 'Make room' if is_full(error) else 'Mend the rights or the disk'
  return f'{what} cannot be written or read ({_first_line(reason)}). {advice}, then run it again.'


def _first_line(text):
  return (str(text).strip().splitlines() or [''])[0]
