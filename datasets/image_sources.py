"""Where the images of a conversion come from: folders or a list, and what each is labelled with.

What counts as an image in a folder: every file, at any depth within a class's folder, whose name
ends in one of EXTENSIONS, in either case. Other files, and files and folders whose names start with
a dot, are ignored. A list names its files, whatever they are called.
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from slimcompat import errors

EXTENSIONS = (
  *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.bmp', '.dib', '.webp', '.tif', '.tiff'),
  *('.ppm', '.pgm', '.pnm', '.tga', '.avif', '.jp2', '.ico'),
)
SPLITS = ('train', 'validation')
DEFAULT_VALIDATION_FRACTION = 0.1
# Folders, or values in a list, that name a part of the images, and the split each stands for.
SPLIT_NAMES = {
  **dict.fromkeys(('train', 'training'), 'train'),
  **dict.fromkeys(('val', 'valid', 'validation', 'eval'), 'validation'),
  **dict.fromkeys(('test', 'testing'), 'test'),
}
# A first row whose first cell is one of these is a header.
_PATH_COLUMNS = ('path', 'file', 'filename', 'file_name', 'image', 'image_path')
_LABEL_COLUMNS = ('label', 'labels', 'class', 'target', 'targets')


class LabelledFile(NamedTuple):
  """An image to convert."""

  path: str
  name: str  # The path as the source has it: relative to its folder.
  label: int | tuple[int, ...] | tuple[float, ...]  # As the task has it.


class Source(NamedTuple):
  """The images of a conversion, in the order they will be written."""

  place: str  # The folder or the list.
  task: str  # One of dataset_info.TASKS.
  class_names: tuple[str, ...]  # By label; the names of the numbers for regression.
  splits: Mapping[str, list[LabelledFile]]
  has_splits: bool  # Whether it says itself what is for training and what is not.


def read_folder(
  image_dir: str,
  validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
  seed: int = 0,
) -> Source:
  """Returns the images of a folder with a sub-folder per class, or with one per split of such.

  Args:
    image_dir: the folder; the names of the classes' folders, sorted, are the classes.
    validation_fraction: the part of each class that goes to `validation`, in (0, 1), unless there
      is a folder for each split. A class of two images or more has at least one in each split; a
      single image is for training.
    seed: of the division and the order.

  Raises:
    InputError: for a folder that is neither, and a class without images.
  """
  if not os.path.isdir(image_dir):
    raise errors.InputError(
      f'There is no folder {image_dir}. image_dir must be a folder with a sub-folder of images per'
      ' class.'
    )
  folders = _subfolders(image_dir)
  random = _random(seed)
  if folders and {name.lower() for name in folders} <= set(SPLIT_NAMES):
    return _read_split_folders(image_dir, folders, random)
  class_names = _check_class_names(folders, image_dir)
  by_class = [
    _files_of_class(image_dir, os.path.join(image_dir, name), label, must_have=True)
    for label, name in enumerate(class_names)
  ]
  splits = _divide(by_class, validation_fraction, random)
  if not splits['validation']:
    raise errors.InputError(
      f'Every class in {image_dir} has a single image, so none is left for validation. Add images.'
    )
  return Source(image_dir, 'single_label', tuple(class_names), splits, has_splits=False)


def read_list(
  image_list: str,
  task: str = 'single_label',
  validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
  seed: int = 0,
) -> Source:
  """Returns the images that a CSV or JSONL file lists, by paths relative to it or absolute.

  A row of CSV is `path,label`, for `multi_label` `path,label1;label2` and for `regression`
  `path,number[,number...]`. The first row may be a header that begins with `path`; of its columns
  `split` says where a row belongs, and for regression the others name the numbers. A line of JSONL
  is an object with `path`, `label` (or `labels`, `targets`) and perhaps `split`.

  Args:
    image_list: the file; a name that ends in .json or .jsonl is JSONL.
    task: one of dataset_info.TASKS.
    validation_fraction: as for `read_folder`, where the list has no splits; for other tasks than
      `single_label` the part of all images.
    seed: likewise.

  Raises:
    InputError: for a file that cannot be read, and a row that is not as above; names its line.
  """
  try:
    with open(image_list, encoding='utf-8-sig', newline='') as file:
      text = file.read()
  except (OSError, UnicodeDecodeError) as error:
    raise errors.InputError(
      f'The list {image_list} cannot be read ({error}). Give a CSV or JSONL file in UTF-8.'
    ) from error
  is_json = image_list.lower().endswith(('.json', '.jsonl'))
  rows, target_names = (_read_jsonl if is_json else _read_csv)(image_list, text, task)
  if not rows:
    raise errors.InputError(f'The list {image_list} names no image. Add rows such as a.jpg,cat.')
  class_names, labels = _number_labels(image_list, rows, task, target_names)
  folder = os.path.dirname(os.path.abspath(image_list))
  files = [
    LabelledFile(os.path.join(folder, row.path), row.path, label)
    for row, label in zip(rows, labels, strict=True)
  ]
  splits = _splits_of_list(rows, files, task, validation_fraction, seed)
  has_splits = any(row.split for row in rows)
  return Source(image_list, task, class_names, splits, has_splits)


def list_ignored(image_dir: str) -> list[str]:
  """Returns the sorted paths of the files in a folder that `read_folder` does not take."""
  folders = _subfolders(image_dir)
  if folders and {name.lower() for name in folders} <= set(SPLIT_NAMES):
    folders = [
      os.path.join(split, name)
      for split in folders
      for name in _subfolders(os.path.join(image_dir, split))
    ]
  images = {path for folder in folders for path in list_images(os.path.join(image_dir, folder))}
  everything = {
    os.path.join(folder, name) for folder, _, names in os.walk(image_dir) for name in names
  }
  return sorted(everything - images)


def _random(seed):
  # This generator gives the same numbers in every version of NumPy.
  return np.random.RandomState(seed)


def _shuffled(files, random):
  return [files[index] for index in random.permutation(len(files))]


def _subfolders(folder):
  with os.scandir(folder) as entries:
    return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != '.')


def list_images(image_dir: str) -> list[str]:
  """Returns the sorted paths of the images at any depth within a folder, their labels aside."""
  paths = []
  for folder, subfolders, names in os.walk(image_dir):
    subfolders[:] = [name for name in subfolders if not name.startswith('.')]
    paths += [
      os.path.join(folder, name)
      for name in names
      if not name.startswith('.') and name.lower().endswith(EXTENSIONS)
    ]
  return sorted(paths)


def _files_of_class(image_dir, class_dir, label, must_have):
  paths = list_images(class_dir)
  if must_have and not paths:
    raise errors.InputError(
      f'The class folder {class_dir} has no images. Add some or remove the folder; images are'
      f' files that end in {", ".join(EXTENSIONS)}.'
    )
  return [LabelledFile(path, os.path.relpath(path, image_dir), label) for path in paths]


def _check_class_names(class_names, image_dir):
  if len(class_names) < 2:
    found = f'only the sub-folder {class_names[0]!r}' if class_names else 'no sub-folders'
    raise errors.InputError(
      f'{image_dir} has {found}; a classifier needs two or more, one per class, with the images'
      ' of the class in it.'
    )
  for name in class_names:
    if not name.isprintable():
      raise errors.InputError(
        f'The class name {name!r} in {image_dir} has characters that cannot be printed; rename'
        ' the folder.'
      )
  return class_names


def _read_split_folders(image_dir, folders, random):
  """Returns the Source of a folder with a folder per split, each with folders of classes."""
  split_names = [SPLIT_NAMES[name.lower()] for name in folders]
  if len(set(split_names)) < len(split_names):
    raise errors.InputError(
      f'{image_dir} has the sub-folders {", ".join(folders)}, of which several are the same split.'
      ' Put their images together.'
    )
  class_names = sorted(
    {name for folder in folders for name in _subfolders(os.path.join(image_dir, folder))}
  )
  _check_class_names(class_names, image_dir)
  splits = {}
  for folder, split_name in zip(folders, split_names, strict=True):
    files = [
      file
      for label, name in enumerate(class_names)
      for file in _files_of_class(
        image_dir, os.path.join(image_dir, folder, name), label, must_have=False
      )
    ]
    if not files:
      raise errors.InputError(
        f'{os.path.join(image_dir, folder)} has no images in folders of classes. Add some, or'
        ' remove the folder.'
      )
    splits[split_name] = _shuffled(files, random)
  return Source(image_dir, 'single_label', tuple(class_names), _in_order(splits), has_splits=True)


def _in_order(splits):
  order = ('train', 'validation', 'test')
  return {name: splits[name] for name in order if name in splits}


def _divide(files_by_class, validation_fraction, random):
  """Returns the shuffled files of each split, each class divided alike."""
  train, validation = [], []
  for files in files_by_class:
    files = _shuffled(files, random)
    # At least 1 of 2 or more, and never all of them.
    num_validation = round(len(files) * validation_fraction)
    num_validation = min(max(num_validation, 1), len(files) - 1)
    validation += files[:num_validation]
    train += files[num_validation:]
  return dict(zip(SPLITS, (_shuffled(part, random) for part in (train, validation)), strict=True))


class _Row(NamedTuple):
  """A row of a list."""

  line: int  # Its number in the file, from 1.
  path: str
  labels: tuple  # Names of classes, or numbers.
  split: str | None


def _read_csv(image_list, text, task):
  """Returns the _Rows of CSV, and the names of the numbers if it has them."""
  reader = csv.reader(io.StringIO(text))
  rows, header = [], None
  for cells in reader:
    cells = [cell.strip() for cell in cells]
    if not any(cells):
      continue
    if not rows and header is None and cells[0].lower() in _PATH_COLUMNS:
      header = [cell.lower() for cell in cells]
      continue
    split = None
    if header and 'split' in header:
      index = header.index('split')
      if len(cells) == len(header):
        split = cells.pop(index)
    rows.append(_make_row(image_list, reader.line_num, cells[0], cells[1:], split, task))
  names = [cell for cell in (header or [])[1:] if cell != 'split']
  return rows, names


def _read_jsonl(image_list, text, task):
  """Returns the _Rows of JSONL, and no names."""
  rows = []
  for number, line in enumerate(text.splitlines(), start=1):
    if not line.strip():
      continue
    try:
      fields = json.loads(line)
      path = fields['path']
      label = next(fields[key] for key in _LABEL_COLUMNS if key in fields)
    except (ValueError, KeyError, TypeError, StopIteration):
      raise errors.InputError(
        f'Line {number} of {image_list} is {line[:80]!r}; it must be a JSON object with a path and'
        ' a label, such as {"path": "a.jpg", "label": "cat"}.'
      ) from None
    cells = [str(part) for part in label] if isinstance(label, list) else [str(label)]
    if task == 'multi_label' and isinstance(label, list):
      cells = [';'.join(cells)]
    rows.append(_make_row(image_list, number, str(path), cells, fields.get('split'), task))
  return rows, []


def _make_row(image_list, line, path, cells, split, task):
  """Returns the _Row of a path and the cells of its label. Raises InputError."""
  expected = {
    'single_label': 'a path and a label, such as a.jpg,cat',
    'multi_label': 'a path and labels separated by semicolons, such as a.jpg,cat;dog',
    'regression': 'a path and one or more numbers, such as a.jpg,0.5,12',
  }[task]
  labels = None
  if task == 'single_label' and len(cells) == 1 and cells[0]:
    labels = (cells[0],)
  elif task == 'multi_label' and len(cells) == 1:
    labels = tuple(dict.fromkeys(name.strip() for name in cells[0].split(';') if name.strip()))
  elif task == 'regression' and cells:
    try:
      labels = tuple(map(float, cells))
    except ValueError:
      labels = None
    if labels and not all(map(math.isfinite, labels)):
      labels = None
  if labels is None or not path:
    advice = ' For several labels set --task_type=multi_label, for numbers regression.'
    raise errors.InputError(
      f'Line {line} of {image_list} is {",".join([path, *cells])!r}; it must be {expected}.'
      + (advice if task == 'single_label' else '')
    )
  if split is not None and split.lower() not in SPLIT_NAMES:
    raise errors.InputError(
      f'Line {line} of {image_list} has the split {split!r}; it must be one of'
      f' {", ".join(SPLIT_NAMES)}.'
    )
  return _Row(line, path, labels, None if split is None else SPLIT_NAMES[split.lower()])


def _number_labels(image_list, rows, task, target_names):
  """Returns the names by label, and the label of each row as the task has it."""
  if task == 'regression':
    num_targets = len(rows[0].labels)
    for row in rows:
      if len(row.labels) != num_targets:
        raise errors.InputError(
          f'Line {row.line} of {image_list} has {len(row.labels)} numbers, but line'
          f' {rows[0].line} has {num_targets}. Every image needs the same.'
        )
    if len(target_names) != num_targets:
      target_names = [f'target_{index}' for index in range(num_targets)]
    return tuple(target_names), [row.labels for row in rows]
  names = {name for row in rows for name in row.labels}
  # Numbers in the order of numbers: where they are 0, 1, 2 ... each keeps its own.
  by_number = all(name.isdecimal() for name in names)
  class_names = sorted(names, key=int if by_number else None)
  if len(class_names) < 2:
    found = f'only the label {class_names[0]!r}' if class_names else 'no labels'
    raise errors.InputError(f'{image_list} has {found}; a classifier needs two or more.')
  numbers = {name: number for number, name in enumerate(class_names)}
  labels = [tuple(sorted(numbers[name] for name in row.labels)) for row in rows]
  if task == 'single_label':
    labels = [number for (number,) in labels]
  return tuple(class_names), labels


def _splits_of_list(rows, files, task, validation_fraction, seed):
  """Returns the shuffled files by split, as the list says or divided at random."""
  random = _random(seed)
  if any(row.split for row in rows):
    splits = {}
    for row, file in zip(rows, files, strict=True):
      splits.setdefault(row.split or 'train', []).append(file)
    return {name: _shuffled(part, random) for name, part in _in_order(splits).items()}
  groups = {}
  for file in files:
    groups.setdefault(file.label if task == 'single_label' else None, []).append(file)
  splits = _divide([groups[key] for key in sorted(groups, key=str)], validation_fraction, random)
  return {name: part for name, part in splits.items() if part}
