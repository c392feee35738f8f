"""Folders and small files that a run writes."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from datasets import state_files, user_files
from slimcompat import errors, tf
from slimtrain import console

_FULL = ('no space left on device', 'disk quota exceeded', 'file too large')
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


def make_way(path: str):
  """Renames what lies at `path` if it is no file and would be in the way of one; says so."""
  if os.path.lexists(path) and not os.path.isfile(path):
    target = state_files.set_aside(path)
    console.say(f'{path} was not a file; what was there is now {os.path.basename(target)}.')


def write_text(path, content):
  """Writes `content` to `path`; a reader sees the old file or the new one, whole."""
  make_way(path)
  user_files.write_atomically(path, content)


def write_json(path, content):
  """Writes `content` to `path` as JSON, as `write_text` does."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def write_array(file: BinaryIO, array: np.ndarray):
  """Writes `array` to a binary file as .npy; unlike np.save, it says why that is not possible."""
  array = np.ascontiguousarray(array)
  header = {
    'shape': array.shape,
    'fortran_order': False,
    'descr': np.lib.format.dtype_to_descr(array.dtype),
  }
  np.lib.format.write_array_header_1_0(file, header)
  file.write(memoryview(array).cast('B') if array.size else b'')


class UnwrittenError(errors.InputError):
  """Some files found no room; the others are written."""

  result = None  # What was to be returned.


class Attempts:
  """Writes several files, so that one without room does not keep the others from being written."""

  def __init__(self, directory: str):
    self._directory = directory
    self._failed = {}

  @contextlib.contextmanager
  def writing(self, name: str) -> Iterator[str]:
    """Gives the path of a file in the directory; an error of the disk in the block is kept."""
    try:
      yield os.path.join(self._directory, name)
    except Exception as error:
      if not is_of_disk(error):
        raise
      self._failed[name] = error

  def check(self, result=None):
    """Raises UnwrittenError, with `result`, when a file could not be written."""
    if not self._failed:
      return
    first = next(iter(self._failed.values()))
    error = UnwrittenError(
      f'{", ".join(self._failed)} in {self._directory} could not be written'
      f' ({reason(first)}): such a file is missing, or that of an earlier evaluation. All others'
      ' are written. Make room, and evaluate again.'
    )
    error.result = result
    raise error


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
  """Returns a sentence on an error that names a file, or for which `is_of_disk` is true."""
  name = getattr(error, 'filename', None)
  what = str(name) if name else 'A file'
  advice = 'Mend the rights or the disk' if is_of_disk(error) else 'See what lies there'
  advice = 'Make room' if is_full(error) else advice
  return f'{what} cannot be written or read ({reason(error)}). {advice}, then run it again.'


def reason(error: BaseException) -> str:
  """Returns in a few words why the disk refused something."""
  text = getattr(error, 'strerror', None) or getattr(error, 'message', None) or str(error)
  # TensorFlow tells of ops first, and of the disk far below.
  known = next((words for words in _FULL if words in str(text).lower()), None)
  return known.capitalize() if known else (str(text).strip().splitlines() or [''])[0]
