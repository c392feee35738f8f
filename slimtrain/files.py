"""Folders and small files that a run writes."""

import json
import os
import tempfile

from datasets import user_files
from slimcompat import errors

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
