"""Writing a dataset as sharded TFRecords that never look finished before they are."""

import collections
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from datasets import csv_files, dataset_info, dataset_utils, records, user_files
from slimcompat import errors, tf

# Folders that an interrupted conversion leaves behind start with this.
UNFINISHED_PREFIX = '.unfinished-'
DEFAULT_NUM_SHARDS = 5
REJECTS_FILE = 'rejects.csv'
# What a conversion that can be resumed is kept in, and the file there that says of what it is.
_RESUMABLE = f'{UNFINISHED_PREFIX}conversion'
_PLAN_FILE = 'plan.json'
_LARGE_BYTES = 2**24
_RESULT_ENDING = '.json'


class EncodedExample(NamedTuple):
  """One image on its way into a record."""

  data: bytes  # The encoded image, or bare pixels.
  image_format: str  # 'jpeg', 'png' or 'raw'.
  height: int
  width: int
  channels: int  # 1 or 3.
  label: int | tuple[int, ...] | tuple[float, ...]  # As the dataset's task has it.
  # What the record holds besides, by key.
  more: Mapping[str, tf.train.Feature] = {}
  # Bits that the largest value of its file takes, where these may be 16.
  value_bits: int | None = None


class Reject(NamedTuple):
  """An image that is left out."""

  name: str
  reason: str


class Examples(NamedTuple):
  """The examples of a split, in the order they are written."""

  num_examples: int  # With those that turn out to be rejects.
  # load(first, end) -> those from `first` up to `end`, each an EncodedExample or a Reject.
  load: Callable[[int, int], Iterable[EncodedExample | Reject]]


def listed(examples: Sequence[EncodedExample | Reject]) -> Examples:
  """Returns the Examples of a sequence."""
  return Examples(len(examples), lambda first, end: examples[first:end])


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
  channels: int | None = None,
  image_bits: int | None = None,
  plan: str | None = None,
  made_of: Mapping[str, str] | None = None,
  name_files: Callable[[str, str, int, int], list[str]] = file_names,
  left_out: Iterable[Reject] = (),
) -> dataset_info.DatasetInfo:
  """Writes shards, labels.txt, rejects.csv and, last, dataset_info.json into `dataset_dir`.

  The shards grow in a hidden folder there, and move to their places when all are complete.

  Args:
    dataset_dir: the directory, which is made if it does not exist.
    name: what the file names start with.
    class_names: the names by label.
    splits: what to write, by the split's name.
    num_shards: how many files a split is spread over; those whose examples are all rejects are
      left out.
    task: one of dataset_info.TASKS.
    channels: as which the images are meant to be decoded; None is 1 when all are gray, else 3.
    image_bits: how many bits the values of images of 16 were taken to have; None is 16.
    plan: when given, all that the records depend on. What is written is then kept when it is
      interrupted, and another call of the same plan goes on from the shards that are whole.
    made_of: what dataset_info.json says of what the records depend on.
    name_files: names the shards, as `file_names` does.
    left_out: what was never among the examples, for rejects.csv.

  Raises:
    InputError: when all examples of a split are rejects, the directory cannot be written to, or
      has the dataset_info.json of another program, or the disk is full.
  """
  dataset_info.check_not_of_others(dataset_dir)
  try:
    os.makedirs(dataset_dir, exist_ok=True)
    with _unfinished_folder(dataset_dir, plan) as unfinished:
      results = {
        split_name: _write_split(
          dataset_dir,
          unfinished,
          name_files(name, split_name, examples.num_examples, num_shards),
          examples,
          task,
          0 if task == 'regression' else len(class_names),
        )
        for split_name, examples in splits.items()
      }
      all_results = [result for of_split in results.values() for result in of_split]
      _check_not_empty(results)
      for result in all_results:
        path = os.path.join(unfinished, result.file_name)
        # One moved already, before an interruption, is in its place.
        if result.num_records and os.path.exists(path):
          os.replace(path, os.path.join(dataset_dir, result.file_name))
      dataset_utils.write_label_file(dict(enumerate(class_names)), dataset_dir)
      rejects = [reject for result in all_results for reject in result.rejects]
      _write_rejects(dataset_dir, [*rejects, *left_out])
      info = dataset_info.DatasetInfo(
        name=name,
        class_names=tuple(class_names),
        channels=channels or max(result.channels for result in all_results),
        image_formats=tuple(sorted({f for result in all_results for f in result.image_formats})),
        keys=tuple(sorted({key for result in all_results for key in result.keys})),
        splits={split_name: _as_split(of_split) for split_name, of_split in results.items()},
        task=task,
        image_bits=image_bits,
        value_bits=_total(result.value_bits for result in all_results),
        made_of=made_of or {},
      )
      dataset_info.write(info, dataset_dir)
  except (OSError, tf.errors.OpError) as error:
    raise errors.InputError(
      f'Cannot write the dataset to {dataset_dir}: {getattr(error, "strerror", "") or error}.'
      ' Make room or give another directory.'
    ) from error
  return info


def remove_unfinished(dataset_dir: str, but_resumable: bool = False):
  """Removes what interrupted conversions left in the directory."""
  for name in os.listdir(dataset_dir):
    if name.startswith(UNFINISHED_PREFIX) and not (but_resumable and name == _RESUMABLE):
      shutil.rmtree(os.path.join(dataset_dir, name), ignore_errors=True)


def read_plan(dataset_dir: str) -> str | None:
  """Returns the plan of the conversion that was interrupted in the directory, if there is one."""
  try:
    with open(os.path.join(dataset_dir, _RESUMABLE, _PLAN_FILE), encoding='utf-8') as file:
      return file.read()
  except OSError:
    return None


def _unfinished_folder(dataset_dir, plan):
  """Returns a context of the folder to write to; it is removed at the end.

  With a plan, only when there is no error.
  """
  if plan is None:
    return tempfile.TemporaryDirectory(dir=dataset_dir, prefix=UNFINISHED_PREFIX)
  return _resumable_folder(os.path.join(dataset_dir, _RESUMABLE), plan)


@contextlib.contextmanager
def _resumable_folder(folder, plan) -> Iterator[str]:
  os.makedirs(folder, exist_ok=True)
  user_files.write_atomically(os.path.join(folder, _PLAN_FILE), plan)
  try:
    yield folder
  except errors.InputError:
    shutil.rmtree(folder)  # Of no use for another try.
    raise
  shutil.rmtree(folder)


class _Result(NamedTuple):
  """What was written into a shard."""

  file_name: str
  num_records: int
  num_bytes: int
  class_counts: list[int]
  channels: int
  image_formats: list[str]
  keys: list[str]
  rejects: list[Reject]
  value_bits: dict[str, int]  # As DatasetInfo has them.


def _write_split(dataset_dir, folder, names, examples, task, num_classes):
  """Returns the _Results of the shards of a split, having written those that were not yet."""
  results = []
  for index, name in enumerate(names):
    # Whole numbers, so that the shards' sizes differ by one at most and add up.
    first, end = (examples.num_examples * i // len(names) for i in (index, index + 1))
    result = _read_result(dataset_dir, folder, name)
    if result is None:
      result = _write_shard(folder, name, examples.load(first, end), task, num_classes)
    results.append(result)
  return results


def _read_result(dataset_dir, folder, name):
  """Returns the _Result of a shard that is whole, None of others."""
  try:
    with open(os.path.join(folder, name + _RESULT_ENDING), encoding='utf-8') as file:
      result = _Result(**json.load(file))
  except (OSError, ValueError, TypeError):
    return None
  places = [os.path.join(place, name) for place in (folder, dataset_dir)]
  sizes = [os.path.getsize(path) for path in places if os.path.exists(path)]
  is_whole = sizes[:1] == [result.num_bytes] or not result.num_records
  return (
    result._replace(rejects=[Reject(*reject) for reject in result.rejects]) if is_whole else None
  )


def _write_shard(folder, name, examples, task, num_classes):
  """Writes a shard and, last, the file that tells what is in it, a _Result."""
  class_counts = np.zeros(num_classes, int)
  channels, image_formats, keys, rejects = 1, set(), set(), []
  value_bits = collections.Counter()
  path = os.path.join(folder, name)
  num_records = 0
  with tf.io.TFRecordWriter(path) as file:
    for example in examples:
      if isinstance(example, Reject):
        rejects.append(example)
        continue
      record = _make_record(example, task)
      num_records += 1
      if num_classes:
        class_counts[np.array(example.label, int)] += 1
      channels = max(channels, example.channels)
      image_formats.add(example.image_format)
      if example.value_bits is not None:
        value_bits[str(example.value_bits)] += 1
      keys.update(record.features.feature)
      payload = _serialize(record, example.data)
      # The names would keep them while the next one is loaded.
      del example, record
      file.write(payload)
      del payload
  user_files.flush_to_disk(path)
  result = _Result(
    name,
    num_records,
    os.path.getsize(path),
    class_counts.tolist(),
    channels,
    sorted(image_formats),
    sorted(keys),
    rejects,
    value_bits,
  )
  user_files.write_atomically(path + _RESULT_ENDING, json.dumps(result._asdict()))
  return result


def _make_record(example, task):
  """Returns the tf.train.Example of an EncodedExample, with an empty image."""
  is_regression = task == 'regression'
  record = dataset_utils.image_to_tfexample(
    b'',
    example.image_format,
    example.height,
    example.width,
    class_id=() if is_regression else example.label,
  )
  features = record.features.feature
  if is_regression:
    del features[records.LABEL_KEY]
    features[records.TARGETS_KEY].CopyFrom(dataset_utils.float_feature(example.label))
  if example.image_format == records.RAW_FORMAT:
    shape = (example.height, example.width, example.channels)
    features[records.SHAPE_KEY].CopyFrom(dataset_utils.int64_feature(shape))
  for key, feature in example.more.items():
    features[key].CopyFrom(feature)
  return record


def _serialize(record, data):
  """Returns the serialized tf.train.Example `record`, whose image is empty, with the image `data`.

  A large one is put in its place by the rules of the format, because the library makes several
  copies: Protocol Buffers, "Encoding", https://protobuf.dev/programming-guides/encoding.
  """
  features = record.features.feature
  if len(data) < _LARGE_BYTES:
    features[records.IMAGE_KEY].bytes_list.value[:] = [data]
    return record.SerializeToString(deterministic=True)
  parts = []
  for key in sorted(features, key=str.encode):
    # Field 1 of a list of bytes, itself field 1 of the value.
    value = [features[key].SerializeToString(deterministic=True)]
    if key == records.IMAGE_KEY:
      value = _field(1, _field(1, [data]))
    # A pair of field 1, the key, and field 2, the value.
    parts += _field(1, [*_field(1, [key.encode()]), *_field(2, value)])
  return b''.join(_field(1, parts))


def _field(number, parts):
  """Returns the parts of a field of bytes, after its number and their length."""
  length, header = sum(map(len, parts)), bytearray([number << 3 | 2])
  while length > 127:
    header.append(length & 127 | 128)
    length >>= 7
  return [bytes([*header, length]), *parts]


def _check_not_empty(results):
  for split_name, of_split in results.items():
    if not any(result.num_records for result in of_split):
      first = of_split[0].rejects[0]
      raise errors.InputError(
        f'None of the images for {split_name} can be used; the first is {first.name}:'
        f' {first.reason}. Nothing was written.'
      )


def _total(counts):
  """Returns the sum of counts by number of bits, fewest bits first."""
  total = sum(map(collections.Counter, counts), collections.Counter())
  return dict(sorted(total.items(), key=lambda item: int(item[0])))


def _as_split(results):
  counts = np.sum([result.class_counts for result in results], axis=0, dtype=int)
  return dataset_info.Split(
    tuple(
      dataset_info.Shard(result.file_name, result.num_records, result.num_bytes)
      for result in results
      if result.num_records
    ),
    tuple(counts.tolist()),
  )


def _write_rejects(dataset_dir, rejects):
  path = os.path.join(dataset_dir, REJECTS_FILE)
  if not rejects:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)
    return
  user_files.write_atomically(path, csv_files.to_text([('image', 'reason'), *rejects]))
