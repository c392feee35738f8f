"""Where the images of a survey come from: folders and records."""

import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from datasets import (
  dataset_info,
  image_decoding,
  image_sources,
  record_files,
  record_sets,
  user_files,
)
from slimcompat import errors


class Entry(NamedTuple):
  """An image, where it is, and what it is said to show."""

  name: str  # What a person finds it by.
  split: str  # '' where there are no splits.
  classes: tuple[str, ...]  # Names; empty where there are none.
  read: Callable[[], bytes]  # Returns the image file. Raises ValueError or OSError.
  makes_upright: bool  # Whether converting turns it as its EXIF data say.


def list_folder(image_dir: str) -> list[Entry]:
  """Returns the images at any depth of a folder.

  The folders in it are the classes, or the splits if they are named so, with the classes in them.

  Raises:
    InputError: when there is no folder, or no image in it.
  """
  if not os.path.isdir(image_dir):
    raise errors.InputError(f'There is no folder {image_dir}. Give --image_dir a folder of images.')
  names = []
  for folder, subfolders, files in os.walk(image_dir):
    subfolders[:] = sorted(name for name in subfolders if not name.startswith('.'))
    names += [
      os.path.relpath(os.path.join(folder, name), image_dir)
      for name in sorted(files)
      if not name.startswith('.') and name.lower().endswith(image_sources.EXTENSIONS)
    ]
  if not names:
    raise errors.InputError(
      f'{image_dir} has no images, which are files that end in'
      f' {", ".join(image_sources.EXTENSIONS)}.'
    )
  folders = [name.split(os.sep)[:-1] for name in names]
  has_splits = all(parts and parts[0].lower() in image_sources.SPLIT_NAMES for parts in folders)
  entries = []
  for name, parts in zip(names, folders, strict=True):
    split = image_sources.SPLIT_NAMES[parts.pop(0).lower()] if has_splits else ''
    read = functools.partial(_read_file, os.path.join(image_dir, name))
    entries.append(Entry(name, split, tuple(parts[:1]), read, makes_upright=True))
  return entries


def read_list(image_list: str, task: str | None = None) -> list[Entry]:
  """Returns the images that a CSV or JSONL file lists; of no split unless it names them.

  Raises:
    InputError: when there is no such list, or it is at fault.
  """
  source = image_sources.read_list(image_list, task or dataset_info.TASKS[0])
  entries = []
  for split_name, files in source.splits.items():
    split = split_name if source.has_splits else ''
    for file in files:
      labels = file.label if isinstance(file.label, tuple) else (file.label,)
      has_classes = source.task != 'regression'
      classes = tuple(source.class_names[label] for label in labels) if has_classes else ()
      read = functools.partial(_read_file, file.path)
      entries.append(Entry(file.name, split, classes, read, makes_upright=True))
  return entries


def read_records(record_set: record_sets.RecordSet) -> Iterator[Entry]:
  """Yields the images of a RecordSet, the damaged ones too."""
  for split_name in record_set.files:
    for path, complaint in record_set.unreadable_files(split_name).items():
      read = functools.partial(_complain, f'the file {complaint}')
      yield Entry(os.path.basename(path), split_name, (), read, makes_upright=False)
    for path in record_set.present_files(split_name):
      file_name = os.path.basename(path)
      for number, frame in enumerate(record_files.read_frames(path)):
        classes, original = (), ''
        complaint = f'the record {frame.complaint}'
        if frame.payload is not None:
          try:
            image = record_set.stored_image(frame.payload)
            complaint, original = '', image.name
            classes = tuple(record_set.class_name(split_name, label) for label in image.labels)
          except ValueError as error:
            complaint = str(error)
        # The image is read again when it is needed: all of them do not fit in memory.
        read = (
          functools.partial(_complain, complaint)
          if complaint or frame.complaint
          else functools.partial(_read_record, record_set, path, frame.offset)
        )
        name = f'{file_name}:{number} {original}'.rstrip()
        yield Entry(name, split_name, classes, read, makes_upright=False)


def _read_file(path):
  return user_files.read_bytes(path, image_decoding.max_bytes())


def _read_record(record_set, path, offset):
  return record_set.stored_image(record_files.read_payload(path, offset)).data


def _complain(complaint):
  raise ValueError(complaint)
