"""Files of predictions: CSV and JSONL with a row per image, and .npy with a row of features.

CSV has the columns `path`, and `class_1`, `probability_1`, `class_2` ... with the likeliest class
first; for several labels `classes` and `probabilities`, each a list separated by semicolons; for
regression one for each number; and `error`, the reason why an image could not be read. An object of
JSONL has `path`, and `classes`, `numbers` or `error`.
"""

import contextlib
import json
import os

import numpy as np

from datasets import csv_files
from slimcompat import errors
from slimtrain import files


def check_free(flag, path, overwrite):
  """Raises InputError when `path`, which follows from `flag`, is there and may not be replaced."""
  if os.path.lexists(path) and not overwrite:
    raise errors.InputError(
      f'{path} is there already. Give another --{flag}, or --overwrite to replace it.'
    )
  folder = os.path.dirname(path) or '.'
  if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
    raise errors.InputError(
      f'--{flag}: {path} cannot be written; give a file in a folder that can be written to.'
    )


class _File:
  """A file that gets its name when it is complete; until then `.partial` follows it.

  Of a file without room, whole lines stay.
  """

  def __init__(self, path, mode, **kwargs):
    self.path = path
    self._partial = f'{path}.partial'
    with self._explained():
      self._file = open(self._partial, mode, **kwargs)  # noqa: SIM115  Closed by `close`.

  @contextlib.contextmanager
  def _explained(self):
    try:
      yield
    except OSError as error:
      raise errors.InputError(
        f'{self._partial} cannot be written: {error.strerror}. Make room, or give another'
        ' --output_file.'
      ) from error

  def __enter__(self):
    return self

  def __exit__(self, error_type, *unused):
    try:
      with self._explained():
        self._file.close()
        if error_type is None:
          os.replace(self._partial, self.path)
    finally:
      if os.path.exists(self._partial):
        self._cut()

  def _cut(self):
    """Removes what is of no use of a file that is not complete."""
    os.remove(self._partial)


class _TextFile(_File):
  def __init__(self, path, facts, top_k):
    # What is not UTF-8 of the names of files becomes an escape, as JSON has it.
    super().__init__(path, 'w', encoding='utf-8', errors='backslashreplace', newline='')
    self._facts = facts
    self._num_ranks = min(top_k, facts.num_classes)

  def _cut(self):
    """Removes half a line at the end; this needs no room."""
    with open(self._partial, 'rb') as file:
      length = file.read().rfind(b'\n') + 1
    os.truncate(self._partial, length)


class CsvFile(_TextFile):
  """A CSV file."""

  def __init__(self, path, facts, top_k):
    super().__init__(path, facts, top_k)
    if facts.task == 'single_label':
      ranks = range(1, self._num_ranks + 1)
      columns = [name for rank in ranks for name in (f'class_{rank}', f'probability_{rank}')]
    elif facts.task == 'multi_label':
      columns = ['classes', 'probabilities']
    else:
      columns = list(facts.class_names)
    self._num_columns = len(columns)
    self._writer = csv_files.Writer(self._file)
    with self._explained():
      self._writer.write_row(['path', *columns, 'error'])

  def write(self, prediction, ranking):
    """Writes the row of a Prediction; `ranking` has (name, number) pairs."""
    if prediction.reason:
      cells = [''] * self._num_columns
    elif self._facts.task == 'single_label':
      cells = [cell for name, number in ranking for cell in (name, _shown(number))]
    elif self._facts.task == 'multi_label':
      cells = [
        ';'.join(name for name, _ in ranking),
        ';'.join(_shown(number) for _, number in ranking),
      ]
    else:
      cells = [_shown(number) for _, number in ranking]
    with self._explained():
      self._writer.write_row([prediction.image.name, *cells, prediction.reason])


class JsonlFile(_TextFile):
  """A JSONL file."""

  def write(self, prediction, ranking):
    """Writes the object of a Prediction; `ranking` has (name, number) pairs."""
    content = {'path': prediction.image.name}
    if prediction.reason:
      content['error'] = prediction.reason
    elif self._facts.task == 'regression':
      content['numbers'] = {name: float(_shown(number)) for name, number in ranking}
    else:
      content['classes'] = [
        {'class': name, 'probability': float(_shown(number))} for name, number in ranking
      ]
    with self._explained():
      self._file.write(json.dumps(content, ensure_ascii=False) + '\n')


def _shown(number):
  return f'{number:.7g}'  # A float32 has 7 digits.


FORMATS = {'.csv': CsvFile, '.jsonl': JsonlFile}


class FeatureFile(_File):
  """A .npy file of float32 `[images, ...]`; rows of images that could not be read are NaN.

  Sides of 1, such as those of pooled features, are left out.
  """

  def __init__(self, path, num_images):
    super().__init__(path, 'wb')
    self._num_images = num_images
    self._num_missing = 0  # Before the first features, which tell their shape.
    self._missing = None

  def write(self, features):
    """Writes the features of an image, `[...]`; None for one that could not be read."""
    if features is None and self._missing is None:
      self._num_missing += 1
      return
    with self._explained():
      if self._missing is None:
        shape = np.squeeze(features).shape
        header = {
          'shape': (self._num_images, *shape),
          'fortran_order': False,
          'descr': np.lib.format.dtype_to_descr(np.dtype(np.float32)),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        self._missing = np.full(shape, np.nan, np.float32).tobytes()
        self._file.write(self._missing * self._num_missing)
      if features is None:
        self._file.write(self._missing)
      else:
        self._file.write(np.ascontiguousarray(features, np.float32).tobytes())

  def __exit__(self, error_type, *unused):
    if error_type is None and self._missing is None:
      with self._explained():
        files.write_array(self._file, np.full(self._num_images, np.nan, np.float32))
    super().__exit__(error_type, *unused)
