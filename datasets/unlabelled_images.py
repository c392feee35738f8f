"""Images to classify, of which no label is known: files, folders, patterns, lists, records."""

import functools
import glob
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from datasets import (
  image_decoding,
  image_tree,
  record_files,
  record_sets,
  records,
  user_files,
)
from slimcompat import errors, tf

STANDARD_INPUT = '-'
_RECORD_ENDINGS = ('.tfrecord', '.tfrecords', '.tfrecord.gz', '.tfrecords.gz')


class UnlabelledImage(NamedTuple):
  """An image, and what a person finds it by."""

  name: str  # The path of its file, or that of the records and its number there: PATH:NUMBER.
  read: Callable[[], bytes]  # Returns an image file. Raises OSError, or ValueError saying why not.
  is_record: bool = False  # Whether it is decoded as it is; files become what converting makes.


def find(
  words: Iterable[str],
  lines: Iterable[str] = (),
  layout: records.RecordSettings | None = None,
) -> list[UnlabelledImage]:
  """Returns the images that `words` name, in that order.

  Args:
    words: files, folders with images or records at any depth, patterns such as `photos/**/*.jpg`,
      and `-`, which stands for `lines`. A file of TFRecords, known by its name or its first bytes,
      stands for the images in it.
    lines: paths of files; of those that do not exist, reading fails.
    layout: the keys of the records.

  Raises:
    InputError: when there is no such file or folder, a pattern matches nothing, or a folder has
      neither images nor records.
  """
  layout = layout or records.RecordSettings()
  images = []
  for word in words:
    if word == STANDARD_INPUT:
      paths = [line for line in map(str.strip, lines) if line]
    elif os.path.isdir(word):
      paths, unreached = _list_folder(word)
      for path, reason in unreached:
        images.append(UnlabelledImage(path, functools.partial(_complain, reason)))
    elif os.path.lexists(word):
      paths = [word]
    elif glob.has_magic(word):
      # glob follows circles of links as far as the system does.
      is_deep = '**' in word.split(os.sep)
      found = image_tree.expand(word) if is_deep else glob.glob(word)
      paths = sorted(path for path in found if not os.path.isdir(path))
      if not paths:
        raise errors.InputError(f'No file matches {word}. Give a pattern such as photos/**/*.jpg.')
    else:
      raise errors.InputError(
        f'There is no file or folder {word}. Give images, folders of them, patterns, TFRecords,'
        f' or {STANDARD_INPUT} to read their paths from the standard input.'
      )
    for path in paths:
      images += _list_records(path, layout) if _is_records(path) else [_of_file(path)]
  return images


def _of_file(path):
  return UnlabelledImage(path, functools.partial(_read_file, path))


def list_left_out(words: Iterable[str]) -> list[tuple[str, str]]:
  """Returns what `find` passes over in the folders among `words`, and the reasons."""
  left_out = []
  for word in filter(os.path.isdir, words):
    tree = image_tree.walk(word)
    taken = set(_list_folder(word)[0])
    unread = dict(_unread_folders(tree))
    reasons = {**tree.unreached, **tree.repeated}
    left_out += [(path, reason) for path, reason in reasons.items() if path not in unread]
    left_out += [(path, 'it is hidden') for path in tree.hidden if path not in taken]
    left_out += [(path, 'it is no image') for path in tree.others if path not in taken]
  return left_out


def _list_folder(folder):
  """Returns the images of a folder, or the files of records where it has none; and what failed."""
  tree = image_tree.walk(folder)
  paths = tree.images
  if not paths:
    files = [*tree.others, *tree.hidden]
    files = (path for path in files if not os.path.basename(path).startswith('.'))
    paths = sorted(path for path in files if _is_records(path))
  unread = _unread_folders(tree)
  if not paths and not unread:
    raise errors.InputError(
      f'{folder} has neither TFRecords nor images, which are files that end in'
      f' {", ".join(image_tree.EXTENSIONS)}. Name others one by one.'
    )
  return paths, unread


def _unread_folders(tree):
  """Returns the folders that may hold images but cannot be read, and the reasons."""
  return [entry for entry in tree.unreached.items() if os.path.isdir(entry[0])]


def _is_records(path):
  """Returns whether a file says that it holds TFRecords, by its name or its first bytes."""
  if path.lower().endswith(_RECORD_ENDINGS):
    return True
  if path.lower().endswith(image_tree.EXTENSIONS):
    return False
  try:
    return record_files.holds_records(path)
  except (OSError, errors.InputError, tf.errors.OpError):
    return False


def _list_records(path, layout) -> Iterator[UnlabelledImage]:
  """Yields the images of a file of records, the damaged ones too."""
  if not os.path.isfile(path):
    yield _of_file(path)
    return
  for number, frame in enumerate(record_files.read_frames(path)):
    if frame.complaint:
      read = functools.partial(_complain, f'the record {frame.complaint}')
    else:
      # The image is read again when it is needed: all of them do not fit in memory.
      read = functools.partial(_read_record, path, frame.offset, layout)
    yield UnlabelledImage(f'{path}:{number}', read, is_record=True)


def _read_file(path):
  return user_files.read_bytes(path, image_decoding.max_bytes())


def _read_record(path, offset, layout):
  record_set = record_sets.RecordSet('', None, {}, {}, layout)
  return record_set.stored_image(record_files.read_payload(path, offset)).data


def _complain(complaint):
  raise ValueError(complaint)
