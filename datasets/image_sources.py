"""Where the images of a conversion come from: folders or a list, and what each is labelled with."""

import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from datasets import class_folders, class_names, image_lists, image_tree
from slimcompat import errors

EXTENSIONS = image_tree.EXTENSIONS
SPLIT_NAMES = class_folders.SPLIT_NAMES
SPLITS = ('train', 'validation')
DEFAULT_VALIDATION_FRACTION = 0.1


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
  # What could not be looked into or was passed over, relative to the folder, and the reasons.
  left_out: tuple[tuple[str, str], ...] = ()


def read_folder(
  image_dir: str,
  validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
  seed: int = 0,
  folders_are: str | None = None,
) -> Source:
  """Returns the images of a folder with a sub-folder per class, or with one per split of such.

  Args:
    image_dir: the folder; the names of the classes' folders, sorted, are the classes.
    validation_fraction: the part of each class that goes to `validation`, in (0, 1), unless there
      is a folder for each split. A class of two images or more has at least one in each split; a
      single image is for training.
    seed: of the division and the order.
    folders_are: one of class_folders.MEANINGS, what the outermost folders are; None is as they
      look.

  Raises:
    InputError: for a folder that is neither, or looks like both, and a class without images.
  """
  if not os.path.isdir(image_dir):
    raise errors.InputError(
      f'There is no folder {image_dir}. image_dir must be a folder with a sub-folder of images per'
      ' class.'
    )
  tree = image_tree.walk(image_dir)
  layout = class_folders.read(tree, folders_are)
  names = layout.class_names()
  _check_classes(names, layout, image_dir)
  left_out = tuple(tree.left_out())
  numbers = {name: number for number, name in enumerate(names)}
  by_split = {
    split: [
      [_labelled(path, image_dir, numbers[name]) for path in paths]
      for name, paths in sorted(classes.items())
    ]
    for split, classes in layout.splits.items()
  }
  random = _random(seed)
  if '' not in by_split:
    # In the order of the folders' names, as the random numbers are drawn.
    order = sorted(by_split, key=lambda split: layout.folders[split])
    splits = {
      split: _shuffled([f for part in by_split[split] for f in part], random) for split in order
    }
    return Source(image_dir, 'single_label', tuple(names), _in_order(splits), True, left_out)
  splits = _divide(by_split[''], validation_fraction, random)
  if not splits['validation']:
    raise errors.InputError(
      f'Every class in {image_dir} has a single image, so none is left for validation. Add images.'
    )
  return Source(image_dir, 'single_label', tuple(names), splits, False, left_out)


def read_list(
  image_list: str,
  task: str = 'single_label',
  validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
  seed: int = 0,
  image_suffix: str | None = None,
) -> Source:
  """Returns the images that a CSV or JSONL file lists, by paths relative to it or absolute.

  A row of CSV is `path,label`, for `multi_label` `path,label1;label2` and for `regression`
  `path,number[,number...]`. The first row may be a header; of its columns one may say to which
  split a row belongs, and for regression the others name the numbers. A line of JSONL is an object
  with the same keys. image_lists.COLUMNS has the names of columns that are known.

  Args:
    image_list: the file; a name that ends in .json or .jsonl is JSONL.
    task: one of dataset_info.TASKS.
    validation_fraction: as for `read_folder`, where the list has no splits; for other tasks than
      `single_label` the part of all images.
    seed: likewise.
    image_suffix: what the names in the list lack at their ends, such as .jpg; None finds it.

  Raises:
    InputError: for a file that cannot be read, and a row that is not as above; names its line.
  """
  rows, target_names = image_lists.read(image_list, task, image_suffix)
  if not rows:
    raise errors.InputError(f'The list {image_list} names no image. Add rows such as a.jpg,cat.')
  names, labels = _number_labels(image_list, rows, task, target_names)
  folder = os.path.dirname(os.path.abspath(image_list))
  files = [
    LabelledFile(os.path.join(folder, row.path), row.path, label)
    for row, label in zip(rows, labels, strict=True)
  ]
  splits = _splits_of_list(rows, files, task, validation_fraction, seed)
  has_splits = any(row.split for row in rows)
  return Source(image_list, task, names, splits, has_splits)


def list_ignored(image_dir: str, folders_are: str | None = None) -> list[str]:
  """Returns the sorted paths of the files in a folder that `read_folder` does not take."""
  tree = image_tree.walk(image_dir)
  layout = class_folders.read(tree, folders_are)
  return sorted([*layout.unlabelled, *tree.others, *tree.hidden])


def list_images(image_dir: str) -> list[str]:
  """Returns the sorted paths of the images at any depth within a folder, their labels aside."""
  return image_tree.walk(image_dir).images


def _labelled(path, image_dir, label):
  return LabelledFile(path, os.path.relpath(path, image_dir), label)


def _check_classes(names, layout, image_dir):
  """Raises InputError unless there are several classes with images, and some in each split."""
  for split, folder in sorted(layout.folders.items(), key=lambda item: item[1]):
    if split and not layout.splits[split]:
      is_full = any(path.startswith(os.path.join(folder, '')) for path in layout.unlabelled)
      raise errors.InputError(
        f'{folder} has no images in folders of classes. Add some, or remove the folder.'
        + (' If it is a class, give --folders_are=classes.' if is_full else '')
      )
  if layout.without_images and '' in layout.splits:
    raise errors.InputError(
      f'The class folder {layout.without_images[0]} has no images. Add some or remove the folder;'
      f' images are files that end in {", ".join(EXTENSIONS)}.'
    )
  if len(names) < 2:
    found = f'only the sub-folder {names[0]!r}' if names else 'no sub-folders'
    raise errors.InputError(
      f'{image_dir} has {found}; a classifier needs two or more, one per class, with the images'
      ' of the class in it.'
    )


def _random(seed):
  # This generator gives the same numbers in every version of NumPy.
  return np.random.RandomState(seed)


def _shuffled(files, random):
  return [files[index] for index in random.permutation(len(files))]


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
    class_names.check(target_names, image_list)
    return tuple(target_names), [row.labels for row in rows]
  # Numbers in the order of numbers: where they are 0, 1, 2 ... each keeps its own.
  names = class_names.in_order({name for row in rows for name in row.labels})
  class_names.check(names, image_list)
  if len(names) < 2:
    found = f'only the label {names[0]!r}' if names else 'no labels'
    raise errors.InputError(f'{image_list} has {found}; a classifier needs two or more.')
  numbers = {name: number for number, name in enumerate(names)}
  labels = [tuple(sorted(numbers[name] for name in row.labels)) for row in rows]
  if task == 'single_label':
    labels = [number for (number,) in labels]
  return tuple(names), labels


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
