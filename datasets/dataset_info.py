"""dataset_info.json: what a converted directory holds.

It is written last, so a directory without it was not made by our converters, or not finished.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from datasets import state_files, user_files
from slimcompat import errors, paths, tf

FILE_NAME = 'dataset_info.json'
# What the records of a dataset tell of their images: the class, the classes that apply (none or
# several), or numbers.
TASKS = ('single_label', 'multi_label', 'regression')
_FORMAT_VERSION = 1
_MAX_BYTES = 256 << 20
_ADVICE = 'Restore it, or convert the data again.'
_FIRST_KEY = 'format_version'  # That `write` begins with.
# Other programs write files of the same name, with other keys: TensorFlow Datasets, Hugging Face.
_OWN_KEY = re.compile(rb'"(format_version|class_names|image_formats|class_counts)"\s*:')
_BEGINNING = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"([^"\\]*)"\s*:')


@dataclasses.dataclass(frozen=True)
class Shard:
  """One TFRecord file."""

  file_name: str  # Within the directory.
  num_records: int
  num_bytes: int


@dataclasses.dataclass(frozen=True)
class Split:
  """The shards of one split, in order."""

  shards: tuple[Shard, ...]
  class_counts: tuple[int, ...]  # Examples that have each label; empty for regression.

  @property
  def num_examples(self) -> int:
    return sum(shard.num_records for shard in self.shards)


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
  """A converted dataset."""

  name: str  # What its file names start with.
  class_names: tuple[str, ...]  # By label; for regression the names of the numbers.
  channels: int  # Of the images as they are meant to be decoded: 1 when all are gray, else 3.
  image_formats: tuple[str, ...]  # The values of image/format that occur.
  keys: tuple[str, ...]  # Of a record.
  splits: Mapping[str, Split]
  task: str = TASKS[0]
  # How many bits the values of images of 16 were taken to have, where it is not 16.
  image_bits: int | None = None
  # How many images came from files of 16 bits, by the bits that the largest value of each takes.
  value_bits: Mapping[str, int] = dataclasses.field(default_factory=dict)
  # What the records depend on, such as the values of flags by their names; see finished.py.
  made_of: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def num_classes(self) -> int:
    return len(self.class_names)


def write(info: DatasetInfo, dataset_dir: str):
  """Writes `info` into the directory, atomically: this is what declares it finished."""
  content = {'format_version': _FORMAT_VERSION, **dataclasses.asdict(info)}
  text = json.dumps(content, indent=2, ensure_ascii=False)
  user_files.write_atomically(os.path.join(dataset_dir, FILE_NAME), text + '\n')


def is_of_others(dataset_dir: str) -> bool:
  """Returns whether the directory has a dataset_info.json that another program wrote."""
  content = _read_content(os.path.join(dataset_dir, FILE_NAME))
  return content is not None and _is_of_others(content)


def _read_content(path):
  """Returns the bytes of a file, None if there is none. Raises InputError."""
  try:
    if not paths.is_url(path):
      return user_files.read_bytes(path, _MAX_BYTES)
    with tf.io.gfile.GFile(path, 'rb') as file:
      return file.read()
  except (FileNotFoundError, NotADirectoryError, tf.errors.NotFoundError):
    return None
  except (OSError, tf.errors.OpError) as error:
    reason = getattr(error, 'strerror', None) or getattr(error, 'message', error)
    raise errors.InputError(f'{path} cannot be read: {reason}. {_ADVICE}') from error


def _is_of_others(content):
  """Returns whether the content of a file, whole or damaged, is clearly not what `write` wrote."""
  own_keys = {match[1] for match in _OWN_KEY.finditer(content)}
  try:
    parsed = json.loads(content)
  except (ValueError, RecursionError):
    beginning = _BEGINNING.match(content)
    return not own_keys and beginning is not None and beginning[1].decode('latin-1') != _FIRST_KEY
  return (
    isinstance(parsed, dict) and bool(parsed) and len(own_keys) < 2 and _FIRST_KEY not in parsed
  )


def check_not_of_others(dataset_dir: str):
  """Raises InputError where `write` would replace what another program wrote."""
  if is_of_others(dataset_dir):
    raise errors.InputError(
      f'{os.path.join(dataset_dir, FILE_NAME)} was written by another program, and would be'
      ' replaced. Give another directory for the records.'
    )


def read(dataset_dir: str) -> DatasetInfo | None:
  """Returns what `write` wrote, or None when the directory has none, or one of another program.

  Raises:
    InputError: when the file is damaged.
  """
  path = os.path.join(dataset_dir, FILE_NAME)
  content = _read_content(path)
  if content is None or _is_of_others(content):
    return None
  try:
    return _parse(content)
  except state_files.FormatError as error:
    raise errors.InputError(f'{path} is damaged ({error}). {_ADVICE}') from error


def _parse(content):
  values = state_files.loads(content, dict[str, Any])
  if (version := values.pop(_FIRST_KEY, None)) != _FORMAT_VERSION:
    raise state_files.FormatError(f'{_FIRST_KEY} is {version}, not {_FORMAT_VERSION}')
  info = state_files.parse(DatasetInfo, values)
  if info.task not in TASKS:
    raise state_files.FormatError(f'the task {info.task!r} is none of {", ".join(TASKS)}')
  if info.channels not in (1, 3):
    raise state_files.FormatError(f'channels is {info.channels}')
  if not all(bits.isdigit() for bits in info.value_bits):
    raise state_files.FormatError('value_bits has a key that is not a number')
  for name, split in info.splits.items():
    _check_split(name, split, info)
  return info


def _check_split(name, split, info):
  """Raises state_files.FormatError when the counts of a split do not agree."""
  num_counts = 0 if info.task == 'regression' else info.num_classes
  counts, num_examples = split.class_counts, split.num_examples
  for problem, is_there in (
    (f'has counts of {len(counts)} classes, not {num_counts}', len(counts) != num_counts),
    ('has negative counts', min(counts, default=0) < 0),
  ):
    if is_there:
      raise state_files.FormatError(f'the split {name} {problem}')
  if info.task == 'single_label' and sum(counts) != num_examples:
    raise state_files.FormatError(f'the counts of the split {name} do not add up')
  for shard in split.shards:
    if os.path.basename(shard.file_name) != shard.file_name:
      raise state_files.FormatError(
        f'{shard.file_name!r} is not the name of a file in this directory'
      )
    if shard.num_records < 1 or shard.num_bytes < 1:
      raise state_files.FormatError(
        f'{shard.file_name} has {shard.num_records} records in {shard.num_bytes} bytes'
      )


def damage(shard: Shard, dataset_dir: str) -> str | None:
  """Returns a sentence when the shard's file is missing or not of its size, else None."""
  path = os.path.join(dataset_dir, shard.file_name)
  try:
    num_bytes = tf.io.gfile.stat(path).length
  except tf.errors.OpError:
    return f'The shard {path} is missing, of {shard.num_records} records.'
  if num_bytes != shard.num_bytes:
    return f'The shard {path} has {num_bytes} bytes, but was written with {shard.num_bytes}.'
  return None
