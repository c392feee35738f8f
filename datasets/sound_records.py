"""Which records of damaged files can be trained with, and where they are.

Every record is read and decoded once, before a run; what was found is remembered in the user's
cache folder. So a run knows how many examples it has, and their order does not depend on when a bad
one turns up. A record that is damaged later, as on a disk that fails, is left out when it is met.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from datasets import dataset_info, record_cache, record_files, verification
from slimcompat import errors, slim, tf

_MAX_LISTED = 50
_CHUNK_RECORDS = 32  # Read at a time.


class Segment(NamedTuple):
  """Sound records of a file that follow each other."""

  offset: int  # Of the first one, in bytes.
  number: int  # Of the first one in the file, counted from 0 and with the bad ones.
  num_records: int
  num_bytes: int  # Up to the bad record after them, or to the end of the file.


class Bad(NamedTuple):
  """What cannot be trained with."""

  sentence: str
  num_records: int  # 1 where nobody knows how many there were.
  is_record: bool = False  # Whether it is one for sure, although it cannot be trained with.


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
      the first 50. Also when a file has more records than dataset_info.json lists.
  """
  allowed = verification.allowed_labels(dataset, num_classes, labels_offset)
  listed = verification.listed_shards(dataset.data_sources)
  paths = verification.list_files(dataset.data_sources)
  reader = verification.Reader(dataset, with_images=True)
  found = {}
  num_bad = 0
  with record_cache.Cache(f'{reader.fingerprint} {allowed} sound records') as cache:
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
    num_bytes, _ = record_files.num_bytes(path)
    return Contents([Segment(0, 0, contents.num_records, num_bytes)], [])
  except verification.BadRecordError:
    num_bytes, _ = record_files.num_bytes(path)
  segments, bad = [], []
  is_following = False  # Whether the record before was a good one.
  number = -1
  with reader.checking(allowed) as check:
    for number, frame in enumerate(record_files.read_frames(path)):
      complaint = frame.complaint or check(frame.payload)
      if complaint:
        sentence = verification.sentence_on(path, number, complaint)
        bad.append(Bad(sentence, 1, not frame.complaint))
        if is_following:
          segments[-1] = _up_to(segments[-1], frame.offset)
      elif is_following:
        segments[-1] = segments[-1]._replace(num_records=segments[-1].num_records + 1)
      else:
        segments.append(Segment(frame.offset, number, 1, 0))
      is_following = not complaint
  if is_following:
    segments[-1] = _up_to(segments[-1], num_bytes)
  if number < 0:
    bad.append(Bad(f'{path} is empty: it has no records.', 1))
  return Contents(segments, bad)


def _up_to(segment, end):
  return segment._replace(num_bytes=end - segment.offset)


def _with_lost(path, contents, shard):
  """Returns the Contents of a file with what it lacks of its `shard` in dataset_info.json.

  Raises:
    InputError: when it has more.
  """
  if shard is None:
    return contents
  num_found = contents.num_records + sum(bad.num_records for bad in contents.bad)
  num_known = contents.num_records + sum(bad.is_record for bad in contents.bad)
  if num_known > shard.num_records:
    raise errors.InputError(
      f'{path} has {num_known} records, but {dataset_info.FILE_NAME} lists {shard.num_records}: it'
      ' is not the file that was written. Restore it, or convert the data again.'
    )
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


class GoodRecords:
  """Reads the sound records of files, without those that have been damaged since."""

  def __init__(
    self,
    found: dict[str, Contents],
    max_bad: int | None = None,
    say: Callable[[str], None] = lambda sentence: None,
  ):
    """Makes a reader of what `find` returned.

    Args:
      found: the Contents by path.
      max_bad: how many bad records are borne; None is any number.
      say: what is called with a sentence on each one that is met later.
    """
    self._paths = list(found)
    self._contents = list(found.values())
    self._max_bad = max_bad
    self._say = say
    self._lock = threading.Lock()
    self._damaged = {}  # The sentences on those met later, by path and offset.
    self.error = None  # What ended the reading, other than a damaged record.

  @property
  def skipped(self) -> tuple[str, ...]:
    """A sentence on each bad record left out, or several."""
    known = [bad.sentence for contents in self._contents for bad in contents.bad]
    return (*known, *self._damaged.values())

  @property
  def num_skipped(self) -> int:
    """How many bad records were left out."""
    known = sum(bad.num_records for contents in self._contents for bad in contents.bad)
    return known + len(self._damaged)

  def read(self, path: tf.Tensor, compression: tf.Tensor | str, index: tf.Tensor):
    """Returns a dataset of (number in the file, serialized example) of sound records.

    Args:
      path: scalar string.
      compression: of the file, as verification.compression names it.
      index: int64 scalar, of the file.
    """
    segments = [segment for contents in self._contents for segment in contents.segments]
    offsets, numbers, counts, _ = (
      tf.constant(column, tf.int64) for column in zip(*segments, strict=True)
    )
    ends = np.cumsum([0, *(len(contents.segments) for contents in self._contents)])
    ends = tf.constant(ends, tf.int64)
    is_plain = tf.equal(compression, '')

    def read_segment(position):
      # The class of TensorFlow that reads records has no argument for where to begin.
      variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[path],
        compression_type=compression,
        buffer_size=tf.constant(1 << 18, tf.int64),
        byte_offsets=[offsets[position]],
      )
      found = tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))
      # Of what is compressed, TensorFlow loses sound records before damage.
      is_streamed = is_plain | tf.equal(ends[index + 1] - ends[index], 1)
      found = found.take(tf.where_v2(is_streamed, counts[position], 0))
      return self._and_the_rest(found.enumerate(numbers[position]), index, position - ends[index])

    def check(index):
      with self._keeping_error():
        record_files.check_readable(self._paths[index])
      return index

    # A file that is not there would be tried again and again.
    first = tf.data.Dataset.from_tensors(index)
    first = first.map(lambda index: tf.numpy_function(check, [index], tf.int64))
    positions = first.flat_map(lambda _: tf.data.Dataset.range(ends[index], ends[index + 1]))
    return positions.flat_map(read_segment)

  def _and_the_rest(self, streamed, index, number):
    """Returns the records of a segment that TensorFlow reads, and after damage the others."""
    chunks = streamed.ignore_errors().batch(_CHUNK_RECORDS)
    end = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int64), tf.zeros([0], tf.string)))

    def count(num_before, chunk):
      num_records = num_before + tf.size(chunk[0], out_type=tf.int64)
      return num_records, (*chunk, num_records)

    def flatten(numbers, examples, num_read):
      read = tf.data.Dataset.from_tensor_slices((numbers, examples))
      is_end = tf.cast(tf.equal(tf.size(numbers), 0), tf.int64)
      rest = tf.data.Dataset.range(is_end).flat_map(
        lambda _: tf.data.Dataset.from_generator(
          self._read_rest, (tf.int64, tf.string), ([], []), args=(index, number, num_read)
        )
      )
      return read.concatenate(rest)

    counted = chunks.concatenate(end).scan(tf.constant(0, tf.int64), count)
    return counted.flat_map(flatten)

  def _read_rest(self, index, number, num_read) -> Iterator[tuple[int, bytes]]:
    """Yields what TensorFlow has not read of a segment, having read `num_read` records."""
    segment = self._contents[index].segments[number]
    if num_read == segment.num_records:
      return
    path = self._paths[index]
    end = segment.offset + segment.num_bytes
    frames = record_files.read_frames(path, segment.offset)
    with self._keeping_error():
      for place, frame in enumerate(frames, start=segment.number):
        if frame.offset >= end:
          return
        if frame.complaint:
          self._leave_out(path, place, frame)
        elif place - segment.number >= num_read:
          yield place, frame.payload

  def _leave_out(self, path, number, frame):
    """Counts a record that was sound before. Raises InputError when there are too many."""
    with self._lock:
      if (path, frame.offset) in self._damaged:
        return
      sentence = verification.sentence_on(path, number, frame.complaint)
      self._damaged[path, frame.offset] = sentence
      self._say(sentence)
      record_cache.forget(path)
    num_left = sum(contents.num_records for contents in self._contents) - len(self._damaged)
    is_over = self._max_bad is not None and self.num_skipped > self._max_bad
    if is_over or num_left <= 0:
      raise errors.InputError(
        f'{self.num_skipped} records are bad, and {num_left} are left; the last one met:'
        f' {sentence} --max_skipped_records={self._max_bad}. Mend the files, or convert the data'
        ' again.'
      )

  @contextlib.contextmanager
  def _keeping_error(self):
    try:
      yield
    except errors.InputError as error:
      self.error = error
      raise
