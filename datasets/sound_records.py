"""Which records of damaged files can be trained with, and where they are.

Every record is read and decoded once, before a run; what was found is remembered in the user's
cache folder. So a run knows how many examples it has, and their order does not depend on when a bad
one turns up.
"""

from typing import NamedTuple

import numpy as np

from datasets import dataset_info, record_cache, record_files, verification
from slimcompat import errors, slim, tf

_MAX_LISTED = 50


class Segment(NamedTuple):
  """Sound records of a file that follow each other."""

  offset: int  # Of the first one, in bytes.
  number: int  # Of the first one in the file, counted from 0 and with the bad ones.
  num_records: int


class Bad(NamedTuple):
  """What cannot be trained with."""

  sentence: str
  num_records: int  # 1 where nobody knows how many there were.


class Contents(NamedTuple):
  """What is in a file."""

  segments: list[Segment]
  bad: list[Bad]

  @property
  def num_records(self) -> int:
    return sum(segment.num_records for segment in self.segments)


def find(
  dataset: slim.dataset.Dataset,
  num_classes: int,
  labels_offset: int = 0,
  max_bad: int | None = None,
  progress: bool = True,
) -> dict[str, Contents]:
  """Returns the Contents of the files of a dataset by path, in the order of the file names.

  Args:
    dataset: the dataset, a user's own as well.
    num_classes: of the dataset.
    labels_offset: the lowest label allowed.
    max_bad: how many bad records are borne; None is any number.
    progress: whether a terminal shows a bar while files are read.

  Raises:
    InputError: when files are missing, more than `max_bad` records are bad, or all are. It lists
      the first 50. Also for damage within a file compressed with gzip, where nothing can be found.
  """
  allowed = verification.allowed_labels(dataset, num_classes, labels_offset)
  listed = verification.listed_shards(dataset.data_sources)
  paths = verification.list_files(dataset.data_sources)
  reader = verification.Reader(dataset, with_images=True)
  found = {}
  num_bad = 0
  with record_cache.Cache(f'{reader.fingerprint} {allowed} sound') as cache:
    for path in verification.with_bar(paths, progress):
      state = record_cache.file_state(path)
      contents = _parse(cache.get(path, state))
      if contents is None:
        contents = _read(reader, path, allowed)
        cache.put(path, state, contents)
      found[path] = _with_lost(path, contents, listed.get(path))
      num_bad += sum(bad.num_records for bad in found[path].bad)
      if max_bad is not None and num_bad > max_bad:
        raise errors.InputError(
          f'More than --max_skipped_records={max_bad} records are bad: {listing(found)} Mend the'
          ' files, or convert the data again.'
        )
  if not any(contents.segments for contents in found.values()):
    raise errors.InputError(
      f'There is no record that can be trained with: {listing(found)} Check that the dataset and'
      ' its keys are those of the files.'
    )
  return found


def listing(found: dict[str, Contents]) -> str:
  """Returns the sentences on what is bad in the files, the first 50 of them."""
  sentences = [bad.sentence for contents in found.values() for bad in contents.bad]
  more = f' And {len(sentences) - _MAX_LISTED} more.' if len(sentences) > _MAX_LISTED else ''
  return ' '.join(sentences[:_MAX_LISTED]) + more


def _read(reader, path, allowed):
  try:
    contents = reader.read(path, allowed)
    return Contents([Segment(0, 0, contents.num_records)], [])
  except verification.BadRecordError as error:
    if verification.compression(path):
      raise errors.InputError(
        f'{error} Bad records of a file compressed with gzip cannot be skipped: decompress it.'
      ) from error
  segments, bad = [], []
  is_following = False  # Whether the record before was a good one.
  number = -1
  with reader.checking(allowed) as check:
    for number, frame in enumerate(record_files.read_frames(path)):
      complaint = frame.complaint or check(frame.payload)
      if complaint:
        bad.append(Bad(verification.sentence_on(path, number, complaint), 1))
      elif is_following:
        segments[-1] = segments[-1]._replace(num_records=segments[-1].num_records + 1)
      else:
        segments.append(Segment(frame.offset, number, 1))
      is_following = not complaint
  if number < 0:
    bad.append(Bad(f'{path} is empty: it has no records.', 1))
  return Contents(segments, bad)


def _with_lost(path, contents, shard):
  """Returns the Contents of a file with what it lacks of its `shard` in dataset_info.json."""
  if shard is None:
    return contents
  num_found = contents.num_records + sum(bad.num_records for bad in contents.bad)
  num_lost = shard.num_records - num_found
  if num_lost <= 0:
    return contents
  sentence = f'{path} lacks {num_lost} more of the {shard.num_records} records that'
  return contents._replace(
    bad=[*contents.bad, Bad(f'{sentence} {dataset_info.FILE_NAME} lists.', num_lost)]
  )


def _parse(content):
  """Returns the Contents that a cache gives back as lists, or None."""
  try:
    segments, bad = content
    return Contents([Segment(*segment) for segment in segments], [Bad(*entry) for entry in bad])
  except (TypeError, ValueError):
    return None


def read(
  path: tf.Tensor, compression: tf.Tensor | str, segments: list[list[Segment]], index: tf.Tensor
) -> tf.data.Dataset:
  """Returns a dataset of (number in the file, serialized example) of sound records.

  Args:
    path: scalar string.
    compression: of the file, as verification.compression names it.
    segments: those of all files.
    index: int64 scalar, of the file.
  """
  flat = [segment for of_file in segments for segment in of_file]
  offsets, numbers, counts = (tf.constant(column, tf.int64) for column in zip(*flat, strict=True))
  ends = tf.constant(np.cumsum([0, *map(len, segments)]), tf.int64)

  def read_segment(position):
    # The class of TensorFlow that reads records has no argument for where to begin.
    variant = tf.raw_ops.TFRecordDatasetV2(
      filenames=[path],
      compression_type=compression,
      buffer_size=tf.constant(1 << 18, tf.int64),
      byte_offsets=[offsets[position]],
    )
    found = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
    return found.take(counts[position]).enumerate(numbers[position])

  return tf.data.Dataset.range(ends[index], ends[index + 1]).flat_map(read_segment)
