"""Where the images of a survey come from: folders and records."""

import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from datasets import (
  class_folders,
  dataset_info,
  image_decoding,
  image_sources,
  image_tree,
  record_files,
  record_sets,
  user_files,
)
from slimcompat import errors, escapes


class Entry(NamedTuple):
  """An image, where it is, and what it is said to show."""

  name: str  # What a person finds it by.
  split: str  # '' where there are no splits.
  classes: tuple[str, ...]  # Names; empty where there are none.
  read: Callable[[], bytes]  # Returns the image file. Raises ValueError or OSError.
  makes_upright: bool  # Whether converting turns it as its EXIF data say.


def list_folder(image_dir: str, folders_are: str | None = None) -> list[Entry]:
  """Returns the images at any depth of a folder; classes and splits as converting takes them.

  Images that lie in no folder of a class have none; where there are splits, images that lie in
  none of them are left out.

  Raises:
    InputError: when there is no folder, no image in it, or it looks like classes and like splits.
  """
  if not os.path.isdir(image_dir):
    raise errors.InputError(f'There is no folder {image_dir}. Give --image_dir a folder of images.')
  tree = image_tree.walk(image_dir)
  if not tree.images:
    raise errors.InputError(
      f'{image_dir} has no images, which are files that end in {", ".join(image_tree.EXTENSIONS)}.'
    )
  layout = class_folders.read(tree, folders_are)
  labels = {
    path: (split, ())
    for split, folder in layout.folders.items()
    for path in layout.unlabelled
    if path.startswith(os.path.join(folder, ''))
  }
  labels |= {
    path: (split, (name,))
    for split, classes in layout.splits.items()
    for name, paths in classes.items()
    for path in paths
  }
  return [
    Entry(
      escapes.for_names(os.path.relpath(path, image_dir)),
      *labels.get(path, ('', ())),
      functools.partial(_read_file, path),
      makes_upright=True,
    )
    for path in tree.images
    if path in labels or '' in layout.splits
  ]


def list_left_out(image_dir: str, folders_are: str | None = None) -> list[tuple[str, str]]:
  """Returns the files and folders that are not surveyed, relative to the folder, with the reasons.

  The arguments are those of `list_folder`.
  """
  tree = image_tree.walk(image_dir)
  layout = class_folders.read(tree, folders_are)
  outside = [path for path in layout.unlabelled if not layout.is_in_a_split(path)]
  reasons = [
    *((path, 'it lies in no split') for path in outside),
    *((path, 'it is hidden') for path in tree.hidden),
    *((path, 'it is no image') for path in tree.others),
    *((path, 'it has no images') for path in layout.without_images),
  ]
  found = sorted((os.path.relpath(path, image_dir), reason) for path, reason in reasons)
  return [tuple(map(escapes.for_names, entry)) for entry in [*tree.left_out(), *found]]


def read_list(
  image_list: str, task: str | None = None, image_suffix: str | None = None
) -> list[Entry]:
  """Returns the images that a CSV or JSONL file lists; of no split unless it names them.

  The arguments are those of `image_sources.read_list`.

  Raises:
    InputError: when there is no such list, or it is at fault.
  """
  task = task or dataset_info.TASKS[0]
  source = image_sources.read_list(image_list, task, image_suffix=image_suffix)
  entries = []
  for split_name, files in source.splits.items():
    split = split_name if source.has_splits else ''
    for file in files:
      labels = file.label if isinstance(file.label, tuple) else (file.label,)
      has_classes = source.task != 'regression'
      classes = tuple(source.class_names[label] for label in labels) if has_classes else ()
      read = functools.partial(_read_file, file.path)
      entries.append(Entry(escapes.for_names(file.name), split, classes, read, makes_upright=True))
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
