"""Writing a dataset as sharded TFRecords that never look finished before they are."""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from datasets import dataset_info, dataset_utils, records, user_files
from slimcompat import errors, tf

# Folders that an interrupted conversion leaves behind start with this.
UNFINISHED_PREFIX = '.unfinished-'
DEFAULT_NUM_SHARDS = 5


class EncodedExample(NamedTuple):
  """One image on its way into a record."""

  data: bytes  # The encoded image.
  image_format: str  # 'jpeg' or 'png'.
  height: int
  width: int
  channels: int  # 1 or 3.
  label: int | tuple[int, ...] | tuple[float, ...]  # As the dataset's task has it.


class Examples(NamedTuple):
  """The examples of a split, in the order they are written."""

  num_examples: int
  examples: Iterable[EncodedExample]


def file_names(name: str, split_name: str, num_examples: int, num_shards: int) -> list[str]:
  """Returns the names of a split's shards: none stays empty, so there may be fewer."""
  num_shards = min(num_shards, num_examples)
  return [
    f'{name}_{split_name}_{shard:05d}-of-{num_shards:05d}.tfrecord' for shard in range(num_shards)
  ]


def write(
  dataset_dir: str,
  name: str,
  class_names: Sequence[str],
  splits: Mapping[str, Examples],
  num_shards: int = DEFAULT_NUM_SHARDS,
  task: str = 'single_label',
) -> dataset_info.DatasetInfo:
  """Writes shards, labels.txt and, last, dataset_info.json into `dataset_dir`.

  The shards grow in a hidden folder there, and move to their places when all are complete.

  Args:
    dataset_dir: the directory, which is made if it does not exist.
    name: what the file names start with.
    class_names: the names by label.
    splits: what to write, by the split's name.
    num_shards: how many files a split is spread over.
    task: one of dataset_info.TASKS.

  Raises:
    InputError: when the directory cannot be written to, or the disk is full.
  """
  try:
    os.makedirs(dataset_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dataset_dir, prefix=UNFINISHED_PREFIX) as unfinished:
      writer = _Writer(unfinished, len(class_names), task)
      written = {
        split_name: writer.write_split(
          file_names(name, split_name, examples.num_examples, num_shards), examples
        )
        for split_name, examples in splits.items()
      }
      for split in written.values():
        for shard in split.shards:
          os.replace(
            os.path.join(unfinished, shard.file_name), os.path.join(dataset_dir, shard.file_name)
          )
    dataset_utils.write_label_file(dict(enumerate(class_names)), dataset_dir)
    info = dataset_info.DatasetInfo(
      name=name,
      class_names=tuple(class_names),
      channels=max(writer.channels),
      image_formats=tuple(sorted(writer.image_formats)),
      keys=tuple(sorted(writer.keys)),
      splits=written,
      task=task,
    )
    dataset_info.write(info, dataset_dir)
  except (OSError, tf.errors.OpError) as error:
    raise errors.InputError(
      f'Cannot write the dataset to {dataset_dir}: {getattr(error, "strerror", "") or error}.'
      ' Make room or give another directory.'
    ) from error
  return info


class _Writer:
  """Writes shards and remembers what was in them."""

  def __init__(self, folder, num_classes, task):
    self._folder = folder
    self._num_classes = num_classes
    self._task = task
    self.channels = set()
    self.image_formats = set()
    self.keys = set()

  def write_split(self, names, examples):
    class_counts = np.zeros(0 if self._task == 'regression' else self._num_classes, int)
    remaining = iter(examples.examples)
    shards = []
    for index, name in enumerate(names):
      # Whole numbers, so that the shards' sizes differ by one at most and add up.
      first, end = (examples.num_examples * i // len(names) for i in (index, index + 1))
      path = os.path.join(self._folder, name)
      with tf.io.TFRecordWriter(path) as file:
        for _ in range(first, end):
          example = next(remaining)
          record = _make_record(example, self._task)
          file.write(record.SerializeToString())
          if self._task != 'regression':
            class_counts[np.array(example.label, int)] += 1
          self.channels.add(example.channels)
          self.image_formats.add(example.image_format)
          self.keys.update(record.features.feature)
      user_files.flush_to_disk(path)
      shards.append(dataset_info.Shard(name, end - first, os.path.getsize(path)))
    return dataset_info.Split(tuple(shards), tuple(class_counts.tolist()))


def _make_record(example, task):
  """Returns the tf.train.Example of an EncodedExample."""
  is_regression = task == 'regression'
  record = dataset_utils.image_to_tfexample(
    example.data,
    example.image_format,
    example.height,
    example.width,
    class_id=() if is_regression else example.label,
  )
  if is_regression:
    del record.features.feature[records.LABEL_KEY]
    targets = dataset_utils.float_feature(example.label)
    record.features.feature[records.TARGETS_KEY].CopyFrom(targets)
  return record
