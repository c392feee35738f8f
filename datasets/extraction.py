"""Image files out of records."""

import contextlib
import itertools
import os
import re
from collections.abc import Iterable

import tqdm

from datasets import record_files, record_sets
from slimcompat import errors


def extract(record_set: record_sets.RecordSet, output_dir: str, num_per_split: int = 0) -> int:
  """Writes records as `output_dir/CLASS/SPLIT_LABEL_INDEX.ENDING` and returns how many.

  The files hold the bytes of the records. Where a record has several labels, or numbers instead
  of a label, they stand one after another; damaged records and those without an image are left
  out.

  Args:
    record_set: where they are.
    output_dir: what the folders of the classes are made in.
    num_per_split: how many of each split, the first ones; 0 takes all.

  Raises:
    InputError: when a file is there already or cannot be written.
  """
  num_written = 0
  with tqdm.tqdm(desc='Extracting', unit='image', disable=None) as bar:
    for split_name in record_set.files:
      images = _images(record_set, split_name)
      for index, image in itertools.islice(images, num_per_split or None):
        folder, label = _names(record_set, split_name, image)
        folder = os.path.join(output_dir, folder)
        name = f'{split_name}_{label}_{index:06d}.{record_sets.ending(image.data)}'
        _write(os.path.join(folder, name), image.data)
        num_written += 1
        bar.update()
  return num_written


def _images(record_set, split_name):
  """Yields the index within the split and the StoredImage of each record."""
  frames = itertools.chain.from_iterable(
    map(record_files.read_frames, record_set.present_files(split_name))
  )
  sound = (frame for frame in frames if frame.payload is not None)
  for index, frame in enumerate(sound):
    with contextlib.suppress(ValueError):
      yield index, record_set.stored_image(frame.payload)


def _names(record_set, split_name, image):
  """Returns the folder for an image, and what stands for its labels in its name."""
  if image.targets:
    return 'targets', '_'.join(f'{target:g}' for target in image.targets)
  if not image.labels:
    return 'no_class', 'none'
  names = [record_set.class_name(split_name, label) for label in image.labels]
  return folder_name(names), '_'.join(map(str, image.labels))


def folder_name(class_names: Iterable[str]) -> str:
  """Returns the name of the folder for images of some classes, which leads nowhere else."""
  # Names are chosen freely.
  return re.sub(r'[^\w.,+ -]', '_', '+'.join(class_names)).strip('. ')[:200] or 'unnamed'


def _write(path, data):
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'xb') as file:
      file.write(data)
  except FileExistsError as error:
    raise errors.InputError(
      f'{path} is there already, and nothing is replaced. Give --output_dir a new directory.'
    ) from error
  except OSError as error:
    raise errors.InputError(
      f'Cannot write {path}: {error.strerror}. Make room, or give another --output_dir.'
    ) from error
