"""Lists of images as programs and people write them: CSV and its kin, JSONL, caffe's `path 0`.

Columns of CSV and keys of JSONL have one table of names, COLUMNS. What can be understood in one way
is; everything else is refused with its line.
"""

import csv
import io
import json
import math
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from datasets import class_folders, image_tree, user_files
from slimcompat import errors, escapes

# Names of columns, without case and what stands between words, the most telling first.
COLUMNS = {
  'path': (
    *('path', 'filepath', 'imagepath', 'imgpath', 'filename', 'imagefilename', 'imgfilename'),
    *('file', 'imagefile', 'imgfile', 'imagename', 'imgname', 'image', 'img', 'images'),
    *('imageid', 'imgid', 'idcode', 'fileid', 'name', 'id'),
  ),
  'label': (
    *('label', 'labels', 'class', 'classes', 'target', 'targets', 'category', 'categories'),
    *('classname', 'labelname', 'categoryname', 'classid', 'labelid', 'categoryid', 'classlabel'),
    *('tag', 'tags'),
  ),
  'split': ('split', 'set', 'subset', 'partition', 'datasplit', 'datasetsplit', 'usage', 'phase'),
  'index': ('', 'index', 'level0', 'idx', 'rowid'),  # And what pandas names `Unnamed: 0`.
}
# Columns of names such as these are that of the split where all their values name one.
_SPLIT_AT_BEST = {'set', 'usage', 'phase', 'fold', 'group', 'dataset', 'type', 'stage'}
_NO_SPLIT = {'', 'nan', 'none', 'null', 'na', 'n/a'}
_FORMS = {
  'single_label': 'a path and a label, such as a.jpg,cat',
  'multi_label': 'a path and labels separated by semicolons, such as a.jpg,cat;dog',
  'regression': 'a path and one or more numbers, such as a.jpg,0.5,12',
}
_HEADERS = {
  'single_label': 'path,label or path,label,split',
  'multi_label': 'path,labels, or path and a column of 0 and 1 for each class',
  'regression': 'path and the names of the numbers',
}
_DELIMITERS = ('\t', ',', ';', '|')
_MAX_BYTES = 1 << 31  # Of a list.
_NUM_CHARACTERS_TRIED = 200_000  # Of a list, to find how its cells are divided.
_ENDING = '|'.join(map(re.escape, image_tree.EXTENSIONS))
_SPACED = re.compile(rf'"?(.*(?:{_ENDING}))"?\s+(.+)', re.IGNORECASE)


class Row(NamedTuple):
  """An image of a list."""

  line: int  # Its number in the file, from 1.
  path: str  # Relative to the list, or absolute.
  labels: tuple  # Names of classes, or numbers.
  split: str | None


class _Cells(NamedTuple):
  """A line of a list, taken apart."""

  line: int
  text: str  # As it stands there, for messages.
  values: list


class _Columns(NamedTuple):
  """Where in a row of several named columns something stands."""

  path: int
  labels: list[int]
  split: int | None
  one_hot: bool  # Whether the labels' columns are classes, with 1 in those that apply.


def read(
  image_list: str, task: str, image_suffix: str | None = None
) -> tuple[list[Row], list[str]]:
  """Returns the rows of a list, and for regression the names of the numbers, if it has them.

  Args:
    image_list: the file.
    task: one of dataset_info.TASKS.
    image_suffix: what is missing at the ends of the images' names; None finds it where the names
      of the files leave no choice.

  Raises:
    InputError: for a file that cannot be read, and for the first line that is not understood.
  """
  text = _read_text(image_list)
  reader = _ListReader(image_list, task, _Files(image_list, image_suffix))
  is_json = image_list.lower().endswith(('.json', '.jsonl', '.ndjson'))
  if is_json or re.match(r'\s*\{\s*"', text):
    return reader.read_jsonl(text), []
  return reader.read_csv(text)


def _read_text(image_list):
  try:
    content = user_files.read_bytes(image_list, _MAX_BYTES)
  except OSError as error:
    raise errors.InputError(
      f'The list {image_list} cannot be read ({error}). Give a CSV or JSONL file in UTF-8.'
    ) from error
  is_wide = content.startswith((b'\xff\xfe', b'\xfe\xff'))
  try:
    # Names of files are bytes, which need not be UTF-8; labels are checked.
    text = content.decode('utf-16') if is_wide else content.decode('utf-8-sig', 'surrogateescape')
  except UnicodeDecodeError as error:
    raise _not_utf8(image_list, error) from error
  if '\0' in text:
    raise _not_utf8(image_list, 'it has zero bytes')
  return text if '\n' in text else text.replace('\r', '\n')


def _not_utf8(image_list, error):
  return errors.InputError(
    f'The list {image_list} cannot be read ({error}). Give a CSV or JSONL file in UTF-8.'
  )


class _Files:
  """Finds the files that names in a list stand for."""

  def __init__(self, image_list, suffix):
    self._place = os.path.dirname(os.path.abspath(image_list))
    # jpg is meant as .jpg.
    self._suffix = f'.{suffix}' if suffix and suffix.isalnum() else suffix
    self._folders = {}  # Folder -> name of a file, or its name without an ending -> full names.

  def is_there(self, path):
    """Returns whether there is such a file, or one of that name and an ending."""
    return bool(path) and bool(self._named(path))

  def is_image(self, path):
    """Returns whether a cell looks like the name of an image."""
    return _is_named_image(path) or self.is_there(path)

  def find(self, path):
    """Returns the path of the file that is meant by one in a list.

    Raises ValueError with what is wrong when several are.
    """
    if '\\' in path and not self._named(path):
      path = path.replace('\\', '/')  # From Windows.
    if _is_named_image(path):
      return path
    if self._suffix:
      return path + self._suffix
    names = self._named(path)
    if not names or os.path.basename(path) in names:
      return path
    if len(names) > 1:
      raise ValueError(
        f'stands for {", ".join(sorted(names))}; say which by --image_suffix, such as'
        f' --image_suffix={os.path.splitext(min(names))[1]}'
      )
    return os.path.join(os.path.dirname(path), names[0])

  def _named(self, path):
    """Returns the names of the files that `path` may stand for."""
    folder, name = os.path.split(path)
    if folder not in self._folders:
      self._folders[folder] = found = {}
      for file_name in self._list(folder):
        found.setdefault(file_name, []).append(file_name)
        stem, ending = os.path.splitext(file_name)
        if ending.lower() in image_tree.EXTENSIONS:
          found.setdefault(stem, []).append(file_name)
    return self._folders[folder].get(name, [])

  def _list(self, folder):
    try:
      with os.scandir(os.path.join(self._place, folder)) as entries:
        return [entry.name for entry in entries if entry.is_file()]
    except (OSError, ValueError):
      return []  # Reading the image will tell.


class _ListReader:
  """Makes Rows of the text of a list."""

  def __init__(self, image_list, task, files):
    self._list = image_list
    self._task = task
    self._files = files

  def read_csv(self, text):
    """Returns the Rows, and the names of the numbers."""
    lines = self._split_lines(text)
    if not lines:
      return [], []
    header = self._header(lines)
    if not header:
      path_at = self._path_at(lines)
      return [self._row_of_cells(cells, path_at) for cells in lines], []
    # Where lists were put together, headers stand between them.
    lines = [cells for cells in lines if cells.values != header]
    columns = self._choose(header, lines, 1)
    rows = [self._row_of_columns(cells, header, columns) for cells in lines]
    is_named = self._task == 'regression'
    return rows, [header[index].lower() for index in columns.labels] if is_named else []

  def read_jsonl(self, text):
    """Returns the Rows."""
    rows = []
    chosen = {}
    for line, content, fields in _objects(text):
      if not isinstance(fields, dict):
        raise self._bad_object(line, content)
      header = list(fields)
      if tuple(header) not in chosen:
        one = [_Cells(line, content, [_as_cell(value) for value in fields.values()])]
        chosen[tuple(header)] = self._choose(header, one, line, is_json=True)
      columns = chosen[tuple(header)]
      cells = _Cells(line, content, list(fields.values()))
      rows.append(self._row_of_columns(cells, header, columns))
    return rows

  def _split_lines(self, text):
    """Returns the _Cells of the lines of CSV that are not empty."""
    first, *rest = text.split('\n', 1)
    stated = re.fullmatch(r'"?sep=(.)"?\r?', first)  # As spreadsheets write it.
    if stated:
      parsed = _parse(rest[0] if rest else '', stated[1])
      return [cells._replace(line=cells.line + 1) for cells in parsed]
    scores = {delimiter: self._score(text, delimiter) for delimiter in _DELIMITERS}
    best = max(scores, key=scores.get)
    num_images, num_split, num_lines = scores[best]
    if not num_images:
      best = ',' if scores[','][1] else best
      spaced, is_sure = self._spaced(text)
      if spaced and (is_sure or not num_split or num_split < num_lines):
        return spaced
    return _parse(text, best)

  def _score(self, text, delimiter):
    """Returns of how many lines a delimiter makes a path and more, or several cells; and all."""
    if delimiter not in text:
      return 0, 0, 0
    lines = _parse(text[:_NUM_CHARACTERS_TRIED], delimiter)
    num_images = sum(
      len(cells.values) > 1 and any(map(self._files.is_image, cells.values)) for cells in lines
    )
    names = _normalized(lines[0].values) if lines else []
    num_images += len(names) > 1 and any(name in COLUMNS['path'] for name in names)
    return num_images, sum(len(cells.values) > 1 for cells in lines), len(lines)

  def _spaced(self, text):
    """Returns the _Cells of lines such as caffe's, `path 0`, and whether all have an image's name.

    Of other lines, that is [] and False.
    """
    lines, num_columns, is_sure = [], None, True
    for number, line in enumerate(text.splitlines(), start=1):
      line = line.strip()
      if not line:
        continue
      match = _SPACED.fullmatch(line)
      words = [match[1], *match[2].split()] if match else line.split()
      if not lines and not match and set(_normalized(words)) & set(COLUMNS['path']):
        num_columns = len(words)
      elif match and num_columns in (None, 2) and self._task != 'regression':
        is_list = _are_numbers(words[1:])
        if self._task == 'multi_label':
          words = [match[1], ';'.join(words[1:]) if is_list else match[2]]
        elif not is_list:
          words = [match[1], match[2]]
      elif not match and len(words) != (num_columns or 2) and self._task != 'regression':
        return [], False
      is_sure = is_sure and (match is not None or (not lines and num_columns is not None))
      lines.append(_Cells(number, line, words))
    is_split = bool(lines) and all(len(cells.values) > 1 for cells in lines)
    return (lines, is_sure) if is_split else ([], False)

  def _header(self, lines):
    """Returns the cells of the first line when it is a header, None when it is an image."""
    cells = lines[0].values
    if len(cells) < 2 or any(map(_is_named_image, cells)):
      return None
    names = _normalized(cells)
    has_path, has_label = (
      any(name in COLUMNS[kind] for name in names) for kind in ('path', 'label')
    )
    others = lines[1:100]
    have_endings = others and all(any(map(_is_named_image, found.values)) for found in others)
    if has_path and (has_label or have_endings):
      return cells
    if any(map(self._files.is_there, cells)):
      return None
    if has_path or has_label:
      return cells
    has_images = any(self._files.is_image(cell) for found in others for cell in found.values)
    is_like_others = any(
      cell and cell == found.values[index]
      for found in others
      for index, cell in enumerate(cells[: len(found.values)])
    )
    has_numbers = self._task == 'regression' and _as_numbers(cells[1:]) is not None
    if has_images and not is_like_others and not has_numbers:
      raise self._bad_header(lines[0].line, cells)
    return None

  def _path_at(self, lines):
    """Returns in which column of a list without a header the paths are."""
    width = min(len(cells.values) for cells in lines)
    columns = [
      index
      for index in range(width)
      if all(self._files.is_image(cells.values[index]) for cells in lines)
    ]
    return columns[0] if columns else 0

  def _choose(self, header, lines, line, is_json=False):
    """Returns the _Columns that a header names. Raises InputError where that is not clear."""
    names = _normalized(header)
    path = min(
      (index for index, name in enumerate(names) if name in COLUMNS['path']),
      key=lambda index: COLUMNS['path'].index(names[index]),
      default=None,
    )
    split = self._split_at(names, lines)
    labels = [index for index, name in enumerate(names) if name in COLUMNS['label']]
    rest = [
      index
      for index, name in enumerate(names)
      if index not in (path, split) and not _is_index(name)
    ]
    if path is None and len(rest) == 2 and len(labels) == 1:
      (path,) = (index for index in rest if index not in labels)
      rest = labels
    # Identifiers beside a better name of the file.
    rest = [index for index in rest if names[index] not in COLUMNS['path']] or rest
    one_hot = False
    if self._task == 'regression':
      if is_json:
        rest = labels if len(labels) == 1 else sorted(rest, key=lambda index: header[index])
      labels = rest
    elif len(labels) != 1:
      exact = [index for index in labels if names[index] in ('label', 'labels')]
      labels = exact if len(exact) == 1 else labels or rest
      one_hot = len(labels) > 1 and all(_are_marks(cells.values, labels) for cells in lines)
    is_clear = len(labels) == 1 or one_hot or (labels and self._task == 'regression')
    if path is None or not is_clear:
      raise self._bad_header(line, header, is_json)
    return _Columns(path, labels, split, one_hot)

  def _split_at(self, names, lines):
    """Returns the index of the column that says where a row belongs, None if there is none."""
    for index, name in enumerate(names):
      if name in COLUMNS['split'] and name not in _SPLIT_AT_BEST:
        return index
    for index, name in enumerate(names):
      if name in _SPLIT_AT_BEST:
        values = {str(c.values[index]).strip().lower() for c in lines if index < len(c.values)}
        values -= _NO_SPLIT
        if values and all(map(class_folders.split_of, values)):
          return index
    return None

  def _row_of_cells(self, cells, path_at):
    """Returns the Row of a line of a list without a header."""
    values = list(cells.values)
    path = values.pop(path_at) if path_at < len(values) else ''
    return self._make_row(cells, path, values, None)

  def _row_of_columns(self, cells, header, columns):
    """Returns the Row of a line of a list with a header, or of an object."""
    values = list(cells.values)
    while len(values) > len(header) and values[-1] == '':
      values.pop()
    needed = max(columns.path, *columns.labels)
    if len(values) > len(header) or len(values) <= needed:
      raise self._bad_line(cells, f'{len(values)} cells, but the header has {len(header)}')
    split = None
    if columns.split is not None and columns.split < len(values):
      split = values[columns.split]
    labels = [values[index] for index in columns.labels]
    if columns.one_hot:
      if not _are_marks(values, columns.labels):
        raise self._bad_line(cells)
      labels = [header[index] for index in columns.labels if float(values[index])]
      labels = [';'.join(labels)] if self._task == 'multi_label' else labels
    return self._make_row(cells, values[columns.path], labels, split)

  def _make_row(self, cells, path, labels, split):
    """Returns the Row of the cells, or values, of a line. Raises InputError."""
    path = _as_cell(path)
    labels = [part for label in labels for part in (label if isinstance(label, list) else [label])]
    names = None
    if self._task == 'regression':
      names = _as_numbers(labels)
    elif not any(isinstance(label, (dict, list)) for label in labels):
      labels = [_as_cell(label) for label in labels]
      if self._task == 'multi_label':
        parts = [part.strip() for label in labels for part in label.split(';')]
        names = (
          tuple(dict.fromkeys(filter(None, parts))) if self._is_one_cell(cells, labels) else None
        )
      elif len(labels) == 1 and labels[0]:
        names = (labels[0],)
    if names is None or not path:
      raise self._bad_line(cells)
    if self._task != 'regression' and any(map(_has_surrogates, names)):
      raise _not_utf8(self._list, f'line {cells.line} has other bytes')
    return Row(cells.line, self._find(cells, path), names, self._split_named(cells, split))

  def _is_one_cell(self, cells, labels):
    # A list of JSONL has several; further cells of CSV are a mistake.
    return len(labels) <= 1 or any(isinstance(value, list) for value in cells.values)

  def _find(self, cells, path):
    try:
      os.fsencode(path)
      if '\0' in path:
        raise ValueError('has a zero byte')
      return self._files.find(path)
    except ValueError as error:
      reason = 'cannot be a path' if isinstance(error, UnicodeError) else error
      raise errors.InputError(
        f'Line {cells.line} of {self._list}: {escapes.for_console(path)} {reason}.'
      ) from error

  def _split_named(self, cells, split):
    text = _as_cell(split)
    if text.lower() in _NO_SPLIT:
      return None
    name = class_folders.split_of(text)
    if name is None:
      raise errors.InputError(
        f'Line {cells.line} of {self._list} has the split {text!r}; it must be one of'
        f' {", ".join(class_folders.SPLIT_NAMES)}, or empty.'
      )
    return name

  def _bad_line(self, cells, why=''):
    advice = ' For several labels set --task_type=multi_label, for numbers regression.'
    if cells.text.startswith('{'):
      return self._bad_object(cells.line, cells.text)
    why = why and f', with {why}'
    return errors.InputError(
      f'Line {cells.line} of {self._list} is {cells.text[:80]!r}{why}; it must be'
      f' {_FORMS[self._task]}.' + (advice if self._task == 'single_label' else '')
    )

  def _bad_header(self, line, header, is_json=False):
    names = ', '.join(escapes.for_console(name, keeps_lines=False) or '""' for name in header)
    if is_json:
      return errors.InputError(
        f'Line {line} of {self._list} has the keys {names}, which do not tell the path from the'
        ' label; it must be a JSON object with a path and a label, such as'
        ' {"path": "a.jpg", "label": "cat"}.'
      )
    return errors.InputError(
      f'Line {line} of {self._list} has the columns {names}, which do not tell the path from the'
      f' label. Name them {_HEADERS[self._task]}; other columns need other names.'
    )

  def _bad_object(self, line, content):
    form = {
      'single_label': '{"path": "a.jpg", "label": "cat"}',
      'multi_label': '{"path": "a.jpg", "labels": ["cat", "dog"]}',
      'regression': '{"path": "a.jpg", "targets": [0.5, 12]}',
    }[self._task]
    return errors.InputError(
      f'Line {line} of {self._list} is {content[:80]!r}; it must be a JSON object with a path and a'
      f' label, such as {form}.'
      + (' For several labels set --task_type=multi_label.' if 'cat"}' in form else '')
    )


def _parse(text, delimiter):
  """Returns the _Cells of the rows of CSV that are not empty."""
  lines = []
  reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
  try:
    for cells in reader:
      cells = [cell.strip() for cell in cells]
      if any(cells):
        lines.append(_Cells(reader.line_num, delimiter.join(cells), cells))
  except csv.Error as error:
    raise errors.InputError(
      f'Line {reader.line_num} of the list is not CSV ({error}). Mend it.'
    ) from error
  return lines


def _objects(text):
  """Yields the line, its text and the value of each line of JSONL, or each entry of an array."""
  if text.lstrip().startswith('['):
    try:
      values = json.loads(text)
    except (ValueError, RecursionError):
      values = None
    if isinstance(values, list) and all(isinstance(value, dict) for value in values):
      yield from ((number, json.dumps(value), value) for number, value in enumerate(values, 1))
      return
  # Not splitlines: JSON may hold other characters that end lines.
  for number, line in enumerate(text.split('\n'), start=1):
    if line.strip():
      try:
        yield number, line.strip(), json.loads(line)
      except (ValueError, RecursionError):
        yield number, line.strip(), None


def _normalized(names: Sequence[str]) -> list[str]:
  """Returns names of columns as they stand in COLUMNS."""
  return [re.sub(r'[\W_]+', '', str(name)).lower() for name in names]


def _is_named_image(path):
  return path.lower().endswith(image_tree.EXTENSIONS)


def _is_index(name):
  return name in COLUMNS['index'] or name.startswith('unnamed')


def _are_marks(values, indices):
  """Returns whether the values at `indices` are 0 and 1."""
  return all(
    index < len(values) and re.fullmatch(r'[01](\.0*)?', str(values[index]).strip())
    for index in indices
  )


def _as_cell(value):
  """Returns a value of JSON as the text of a cell; '' where there is none."""
  if value is None or (isinstance(value, float) and math.isnan(value)):
    return ''
  return str(value).strip()


def _as_numbers(labels):
  """Returns labels as finite numbers, None where one is not."""
  try:
    numbers = tuple(float(label) for label in labels)
  except (ValueError, TypeError, OverflowError):
    return None
  return numbers if numbers and all(map(math.isfinite, numbers)) else None


def _are_numbers(words):
  return all(re.fullmatch(r'[+-]?\d+', word) for word in words)


def _has_surrogates(text):
  return any('\ud800' <= character <= '\udfff' for character in text)
