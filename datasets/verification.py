"""Checks of records before a run, and the search for the one that ended it.

Shards that dataset_info.json lists are compared with it in no time. Others, such as those that
slim wrote, are read once, with their checksums, and remembered in the user's cache folder.
"""

import contextlib
import fnmatch
import hashlib
import itertools
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tqdm
from google.protobuf import message

from datasets import dataset_info, labels, record_cache, record_files, records
from slimcompat import errors, slim, tf

_BATCH_SIZE = 1024  # Records summarized per session.run.
# What a TFRecord takes besides its payload: the length and its CRC before it, a CRC after it.
_FRAME_BYTES = 8 + 4 + 4
_MAX_NAMES_LISTED = 8
# Names of files that lie beside records: indexes of other readers, checksums, marks of other
# programs, and what is not records by its ending.
_NAME_OF_OTHERS = re.compile(
  r'.*\.(idx|index|tfindex|crc|md5|sfv|sha\d+(sum)?|json|jsonl|csv|tsv|txt|pbtxt|xml|ya?ml|html?|md'
  r'|pdf|log|ini|lnk|db|py|npz|npy|pkl|zip|tar|tgz|part|partial|crdownload|aria2|tmp|bak|swp)(\.gz)?'
  r'|_success|_started.*|_committed.*|_metadata|checksums?|(md5|sha\d+)(sums?)?|.*~',
  re.IGNORECASE,
)
_NUM_CHECKED_FOR_KEY = 100
_MAX_REASON_LENGTH = 200


class _Contents(NamedTuple):
  """What is known of a file."""

  num_records: int
  # Of their labels.summarize; None where a list says nothing of them.
  lowest_label: int | None
  highest_label: int | None


class BadRecordError(Exception):
  """A sentence that names a file, what is wrong with it, and where."""


def check_records(
  dataset: slim.dataset.Dataset,
  num_classes: int | None = None,
  labels_offset: int = 0,
  progress: bool = True,
) -> dict[str, int]:
  """Checks that the files of a dataset are there, whole, and labelled within the classes.

  A file that was cut where a record ends cannot be told from a whole one unless
  dataset_info.json lists it.

  Args:
    dataset: the dataset, a user's own as well.
    num_classes: of the dataset; None leaves the labels unchecked.
    labels_offset: the lowest label allowed.
    progress: whether a terminal shows a bar while files are read.

  Returns:
    the number of records by file, in the order of the file names.

  Raises:
    InputError: for no files, a missing, empty, cut or damaged one, and a label outside
      `[labels_offset, num_classes)` or else not as the task has it; names the file and the record.
  """
  listed = _read_listed(dataset.data_sources)
  paths = list_files(dataset.data_sources)
  allowed = allowed_labels(dataset, num_classes, labels_offset)
  reader = Reader(dataset)
  counts = {}
  with record_cache.Cache(reader.fingerprint) as cache:
    for path in with_bar(paths, progress):
      state = record_cache.file_state(path)
      contents = listed.get(path) or _parse(cache.get(path, state))
      if contents is None or not _is_allowed(contents, allowed):
        try:
          contents = reader.read(path, allowed)
        except BadRecordError as error:
          raise errors.InputError(f'{error} Mend the file, or convert the data again.') from error
        cache.put(path, state, contents)
      counts[path] = contents.num_records
  return counts


def check_label_key(path: str, key: str):
  """Raises InputError when none of the first records of a file has the key of its labels.

  A record without it is not told from one to which no label applies.
  """
  options = tf.io.TFRecordOptions(compression_type=compression(path))
  found = set()
  with contextlib.suppress(tf.errors.DataLossError, message.DecodeError):
    for record in itertools.islice(
      tf.python_io.tf_record_iterator(path, options), _NUM_CHECKED_FOR_KEY
    ):
      found.update(tf.train.Example.FromString(record).features.feature)
      if key in found:
        return
  if found:
    raise errors.InputError(
      f'The records of {path} have no key {key}, where their labels should be, only'
      f' {", ".join(sorted(found))}. Give --record_label_key.'
    )


def find_bad_record(
  dataset: slim.dataset.Dataset,
  num_classes: int | None = None,
  labels_offset: int = 0,
  progress: bool = True,
) -> str | None:
  """Reads every record and decodes its image; returns a sentence on the first that is bad.

  The arguments are those of `check_records`. Returns None when all are well.
  """
  allowed = allowed_labels(dataset, num_classes, labels_offset)
  reader = Reader(dataset, with_images=True)
  for path in with_bar(list_files(dataset.data_sources), progress):
    try:
      reader.read(path, allowed)
    except BadRecordError as error:
      return str(error)
  return None


def _parse(content):
  """Returns the _Contents that a cache gives back as a list, or None."""
  with contextlib.suppress(TypeError, ValueError):
    return _Contents(*map(int, content))
  return None


def compression(path: str) -> str:
  """Returns tf.data's name for how a file of records is compressed, '' for not at all."""
  return record_files.compression(path)


def _task(dataset):
  return getattr(dataset, 'task', dataset_info.TASKS[0])


def allowed_labels(dataset, num_classes, labels_offset):
  """Returns the summaries of good labels; None where all are."""
  return None if num_classes is None else labels.allowed(_task(dataset), num_classes, labels_offset)


def list_files(data_sources: str | Sequence[str]) -> list[str]:
  """Returns the sorted paths that `data_sources` stand for.

  Args:
    data_sources: a path or pattern, several of them separated by commas, or a list of them.

  Raises:
    InputError: when one of them stands for no file; lists what is there.
  """
  paths = set()
  for source in _split_sources(data_sources):
    matches = _glob(source)
    if not matches:
      raise errors.InputError(
        f'No file matches {source}: {_describe_folder(os.path.dirname(source))} Correct the'
        ' directory or the split, or convert the data first.'
      )
    paths.update(matches)
  return sorted(paths)


def _split_sources(data_sources):
  if not isinstance(data_sources, str):
    return [part for source in data_sources for part in _split_sources(source)]
  # A comma may also be part of a name.
  if ',' not in data_sources or _glob(data_sources):
    return [data_sources]
  return [source.strip() for source in data_sources.split(',') if source.strip()]


def ignored_files(data_sources: str | Sequence[str]) -> list[str]:
  """Returns the paths of other programs' files that `list_files` leaves out by their names.

  A dataset_info.json beside them that other programs wrote is there, too.
  """
  ignored = set()
  for source in _split_sources(data_sources):
    ignored.update(set(_glob(source, with_others=True)) - set(_glob(source)))
    folder = os.path.dirname(source)
    if dataset_info.is_of_others(folder):
      ignored.add(os.path.join(folder, dataset_info.FILE_NAME))
  return sorted(ignored)


def describe_ignored(data_sources: str | Sequence[str]) -> str:
  """Returns a sentence on the `ignored_files`, '' when there are none."""
  paths = ignored_files(data_sources)
  if not paths:
    return ''
  listing = ', '.join(paths[:_MAX_NAMES_LISTED])
  if len(paths) > _MAX_NAMES_LISTED:
    listing += f' and {len(paths) - _MAX_NAMES_LISTED} more'
  return f'Ignored, not being records: {listing}.'


def _is_of_others(path):
  """Returns whether a file is another program's by its name, unless it holds records."""
  if not _NAME_OF_OTHERS.fullmatch(os.path.basename(path)):
    return False
  try:
    return not record_files.holds_records(path)
  except (OSError, errors.InputError, tf.errors.OpError):
    return True


def _glob(source, with_others=False):
  paths = _glob_all(source)
  own = paths if with_others else [path for path in paths if not _is_of_others(path)]
  # What a pattern asks for alone is taken as it is.
  return own or paths


def _glob_all(source):
  folder, pattern = os.path.split(source)
  # Matching within the folder, where it exists, leaves its own name free to hold any character.
  if tf.io.gfile.isdir(folder or '.'):
    names = fnmatch.filter(tf.io.gfile.listdir(folder or '.'), pattern)
    is_hidden = pattern.startswith('.')
    return [os.path.join(folder, name) for name in names if name.startswith('.') == is_hidden]
  with contextlib.suppress(tf.errors.OpError):
    return tf.io.gfile.glob(source)
  return []


def _describe_folder(folder):
  """Returns a sentence on what is in `folder` instead of the files looked for."""
  folder = folder or '.'
  if not tf.io.gfile.exists(folder):
    return f'there is no directory {folder}.'
  if not tf.io.gfile.isdir(folder):
    return f'{folder} is not a directory.'
  names = sorted(name for name in tf.io.gfile.listdir(folder) if not name.startswith('.'))
  if not names:
    return f'the directory {folder} is empty.'
  listing = ', '.join(names[:_MAX_NAMES_LISTED])
  if len(names) > _MAX_NAMES_LISTED:
    listing += f' and {len(names) - _MAX_NAMES_LISTED} more'
  return f'the directory {folder} holds {listing}.'


def listed_shards(data_sources: str | Sequence[str]) -> dict[str, dataset_info.Shard]:
  """Returns, by path, those of the files that a dataset_info.json beside them lists.

  Raises:
    InputError: when one of them is missing.
  """
  listed = {}
  for path, shard, _ in _list_shards(data_sources):
    if not tf.io.gfile.exists(path):
      raise errors.InputError(_restore(dataset_info.damage(shard, os.path.dirname(path))))
    listed[path] = shard
  return listed


def _read_listed(data_sources):
  """Returns the _Contents, by path, of the files that a dataset_info.json beside them lists.

  Raises:
    InputError: when one of those that belong to `data_sources` is missing or has another size.
  """
  listed = {}
  for path, shard, class_counts in _list_shards(data_sources):
    damage = dataset_info.damage(shard, os.path.dirname(path))
    if damage:
      raise errors.InputError(_restore(damage))
    present = np.flatnonzero(class_counts).tolist() or [None]
    listed[path] = _Contents(shard.num_records, present[0], present[-1])
  return listed


def _list_shards(data_sources):
  """Yields the path, the Shard and its split's class counts of each file listed."""
  for source in _split_sources(data_sources):
    folder, pattern = os.path.split(source)
    info = dataset_info.read(folder)
    for split in info.splits.values() if info else ():
      for shard in split.shards:
        if fnmatch.fnmatch(shard.file_name, pattern):
          yield os.path.join(folder, shard.file_name), shard, split.class_counts


def _restore(damage):
  return f'{damage} Restore the file, or convert the data again.'


def _is_allowed(contents, allowed):
  found = {contents.lowest_label, contents.highest_label} - {None}
  return allowed is None or all(summary in allowed for summary in found)


def with_bar(paths, progress):
  # None: only on a terminal.
  disable = None if progress else True
  return tqdm.tqdm(
    paths, desc='Checking records', unit='file', delay=1, leave=False, disable=disable
  )


class Reader:
  """Reads files through a dataset's own decoder, in a graph of its own."""

  def __init__(self, dataset, with_images=False):
    """Makes a reader that decodes the label of each record, and maybe the image."""

    def summarize(record):
      items = ['label', 'image'] if with_images else ['label']
      label, *images = dataset.decoder.decode(record, items)
      label = labels.as_label(self._task, label, dataset.num_classes)
      summary = labels.summarize(self._task, label)
      return summary, tf.strings.length(record), *map(_first_pixel, images)

    self._task = _task(dataset)

    with tf.Graph().as_default() as decoding:
      self._record = tf.placeholder(tf.string, [])
      self._summary = summarize(self._record)
      self._initialize_one = tf.tables_initializer()
    self._one = decoding
    graph_def = decoding.as_graph_def().SerializeToString(deterministic=True)
    # Tells apart decoders that read the same file's labels in different ways.
    self.fingerprint = hashlib.sha256(graph_def).hexdigest()

    self._graph = tf.Graph()
    with self._graph.as_default(), tf.device('/cpu:0'):
      self._path = tf.placeholder(tf.string, [])
      self._compression = tf.placeholder(tf.string, [])
      self._first = tf.placeholder(tf.int64, [])
      self._batch_size = tf.placeholder(tf.int64, [])
      batches = (
        tf.data.TFRecordDataset(self._path, self._compression)
        .skip(self._first)
        .map(summarize, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(self._batch_size)
        .prefetch(1)
      )
      iterator = tf.data.make_initializable_iterator(batches)
      self._next = iterator.get_next()
      self._start = iterator.initializer
      self._initialize = tf.tables_initializer()

  def read(self, path, allowed):
    """Returns the _Contents of the file. Raises BadRecordError."""
    # The memory of the graphics processors is left to the run.
    config = tf.ConfigProto(device_count={'GPU': 0})
    summaries = []
    num_bytes = 0
    with tf.Session(graph=self._graph, config=config) as session:
      session.run(self._initialize)
      # One by one, what is wrong is the record after the last that could be read.
      for batch_size in (_BATCH_SIZE, 1):
        try:
          for batch_summaries, payload_bytes, *_ in self._read_batches(
            session, path, len(summaries), batch_size
          ):
            self._check_labels(path, len(summaries), batch_summaries, allowed)
            summaries.extend(batch_summaries)
            num_bytes += int(np.sum(payload_bytes + _FRAME_BYTES))
          break
        except tf.errors.OpError as error:
          if batch_size == 1 and not _is_sound(path, len(summaries)):
            raise BadRecordError(
              sentence_on(path, len(summaries), _explain(error, path))
            ) from error
    excess = _num_bytes(path) - num_bytes
    if excess:
      # TensorFlow takes a file that ends within a record's length for one that ends before it.
      complaint = f'is cut short: the file ends {excess} bytes into it.'
      raise BadRecordError(sentence_on(path, len(summaries), complaint))
    if not summaries:
      raise BadRecordError(f'{path} is empty: it has no records.')
    return _Contents(len(summaries), int(min(summaries)), int(max(summaries)))

  @contextlib.contextmanager
  def checking(self, allowed):
    """Gives a function of a record that returns what is wrong with it, '' if nothing is."""
    config = tf.ConfigProto(device_count={'GPU': 0})
    with tf.Session(graph=self._one, config=config) as session:
      session.run(self._initialize_one)
      summarize = session.make_callable(self._summary, [self._record])

      def check(record):
        try:
          summary, *_ = summarize(record)
        except tf.errors.OpError as error:
          return _unreadable(error)
        is_good = allowed is None or summary in allowed
        return '' if is_good else labels.complaint(self._task, allowed).format(summary)

      yield check

  def _read_batches(self, session, path, first, batch_size):
    """Yields the summaries and the payloads' sizes of batches from the record `first` on."""
    feeds = {
      self._path: path,
      self._compression: compression(path),
      self._first: first,
      self._batch_size: batch_size,
    }
    session.run(self._start, feeds)
    while True:
      try:
        yield session.run(self._next)
      except tf.errors.OutOfRangeError:
        return

  def _check_labels(self, path, first, summaries, allowed):
    if allowed is None:
      return
    outside = np.flatnonzero((summaries < allowed.start) | (summaries >= allowed.stop))
    if outside.size:
      index = outside[0]
      complaint = labels.complaint(self._task, allowed).format(summaries[index])
      raise BadRecordError(sentence_on(path, first + index, complaint))


def _first_pixel(image):
  """Returns a scalar that cannot be known without decoding the image."""
  # A user's decoder may pass on an animation, of rank 4.
  image = tf.ensure_shape(image, [None, None, None])
  return tf.reduce_sum(tf.cast(tf.reshape(image, [-1])[:1], tf.float32))


def sentence_on(path: str, number: int, complaint: str) -> str:
  """Returns a sentence on the record `number` of a file."""
  return f'Record {number} (counted from 0) of {path} {complaint}'


def _explain(error, path):
  """Returns what TensorFlow's `error` says of a record."""
  reason = records.reason(error)
  if not isinstance(error, tf.errors.DataLossError):
    return _unreadable(error)
  if 'truncated' in reason:
    return 'is cut short: the file ends within it.'
  if 'corrupted record at 0 ' in reason:
    with tf.io.gfile.GFile(path, 'rb') as file:
      return f'is no record: the file is damaged, or no TFRecord file; it begins {file.read(20)!r}.'
  return 'is damaged: its bytes do not match their checksum.'


def _unreadable(error):
  return f'cannot be read: {records.reason(error)[:_MAX_REASON_LENGTH]}.'


def _num_bytes(path):
  """Returns the size of a file of records, of a compressed one as it would be without that."""
  if not compression(path):
    return tf.io.gfile.stat(path).length
  num_bytes, complaint = record_files.num_bytes(path)
  if complaint:
    raise BadRecordError(f'{path} is damaged, being compressed: it {complaint}')
  return num_bytes


def _is_sound(path, num_records):
  """Returns whether a compressed file that TensorFlow gives up is whole for all that.

  TensorFlow takes the zeros that some programs put after what is compressed for damage.
  """
  if not compression(path):
    return False
  num_sound = 0
  for frame in record_files.read_frames(path):
    if frame.complaint:
      return False
    num_sound += 1
  return num_sound == num_records
