"""Checks of records before a run, and the search for the one that ended it.

Shards that dataset_info.json lists are compared with it in no time. Others, such as those that
slim wrote, are read once, with their checksums, and remembered in the user's cache folder.
"""

import contextlib
import fnmatch
import hashlib
import json
import os
import stat as stat_lib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tqdm

from datasets import dataset_info, labels, records, user_files
from slimcompat import errors, slim, tf

_BATCH_SIZE = 1024  # Records summarized per session.run.
# What a TFRecord takes besides its payload: the length and its CRC before it, a CRC after it.
_FRAME_BYTES = 8 + 4 + 4
_CACHE_FILE = 'record_counts.json'
_MAX_CACHE_ENTRIES = 20_000
_MAX_NAMES_LISTED = 8
_MAX_REASON_LENGTH = 200


class _Contents(NamedTuple):
  """What is known of a file."""

  num_records: int
  # Of their labels.summarize; None where a list says nothing of them.
  lowest_label: int | None
  highest_label: int | None


class _BadRecordError(Exception):
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
  allowed = _allowed(dataset, num_classes, labels_offset)
  reader = _Reader(dataset)
  counts = {}
  with _Cache(reader.fingerprint) as cache:
    for path in _with_bar(paths, progress):
      state = _file_state(path)
      contents = listed.get(path) or cache.get(path, state)
      if contents is None or not _is_allowed(contents, allowed):
        try:
          contents = reader.read(path, allowed)
        except _BadRecordError as error:
          raise errors.InputError(f'{error} Mend the file, or convert the data again.') from error
        cache.put(path, state, contents)
      counts[path] = contents.num_records
  return counts


def find_bad_record(
  dataset: slim.dataset.Dataset,
  num_classes: int | None = None,
  labels_offset: int = 0,
  progress: bool = True,
) -> str | None:
  """Reads every record and decodes its image; returns a sentence on the first that is bad.

  The arguments are those of `check_records`. Returns None when all are well.
  """
  allowed = _allowed(dataset, num_classes, labels_offset)
  reader = _Reader(dataset, with_images=True)
  for path in _with_bar(list_files(dataset.data_sources), progress):
    try:
      reader.read(path, allowed)
    except _BadRecordError as error:
      return str(error)
  return None


def _task(dataset):
  return getattr(dataset, 'task', dataset_info.TASKS[0])


def _allowed(dataset, num_classes, labels_offset):
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


def _glob(source):
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


def _read_listed(data_sources):
  """Returns the _Contents, by path, of the files that a dataset_info.json beside them lists.

  Raises:
    InputError: when one of those that belong to `data_sources` is missing or has another size.
  """
  listed = {}
  for source in _split_sources(data_sources):
    folder, pattern = os.path.split(source)
    info = dataset_info.read(folder)
    if info is None:
      continue
    for split in info.splits.values():
      present = np.flatnonzero(split.class_counts).tolist() or [None]
      for shard in split.shards:
        if not fnmatch.fnmatch(shard.file_name, pattern):
          continue
        damage = dataset_info.damage(shard, folder)
        if damage:
          raise errors.InputError(f'{damage} Restore the file, or convert the data again.')
        path = os.path.join(folder, shard.file_name)
        listed[path] = _Contents(shard.num_records, present[0], present[-1])
  return listed


def _is_allowed(contents, allowed):
  found = {contents.lowest_label, contents.highest_label} - {None}
  return allowed is None or all(summary in allowed for summary in found)


def _with_bar(paths, progress):
  # None: only on a terminal.
  disable = None if progress else True
  return tqdm.tqdm(
    paths, desc='Checking records', unit='file', delay=1, leave=False, disable=disable
  )


def _file_state(path):
  """Returns what changes whenever the file is written."""
  if _is_remote(path):
    stat = tf.io.gfile.stat(path)
    return [stat.length, stat.mtime_nsec]
  # TensorFlow's nanoseconds are whole seconds on a local disk.
  stat = os.stat(path)
  if not stat_lib.S_ISREG(stat.st_mode):
    raise errors.InputError(
      f'{path} is no file of records but a directory, a pipe or a device. Remove it, or give a'
      ' pattern that leaves it out.'
    )
  return [stat.st_size, stat.st_mtime_ns]


def _is_remote(path):
  return '://' in path


class _Reader:
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
      summarize(tf.placeholder(tf.string, []))
    graph_def = decoding.as_graph_def().SerializeToString(deterministic=True)
    # Tells apart decoders that read the same file's labels in different ways.
    self.fingerprint = hashlib.sha256(graph_def).hexdigest()

    self._graph = tf.Graph()
    with self._graph.as_default(), tf.device('/cpu:0'):
      self._path = tf.placeholder(tf.string, [])
      self._first = tf.placeholder(tf.int64, [])
      self._batch_size = tf.placeholder(tf.int64, [])
      batches = (
        tf.data.TFRecordDataset(self._path)
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
    """Returns the _Contents of the file. Raises _BadRecordError."""
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
          if batch_size == 1:
            raise _BadRecordError(
              _complaint(path, len(summaries), _explain(error, path))
            ) from error
    excess = tf.io.gfile.stat(path).length - num_bytes
    if excess:
      # TensorFlow takes a file that ends within a record's length for one that ends before it.
      complaint = f'is cut short: the file ends {excess} bytes into it.'
      raise _BadRecordError(_complaint(path, len(summaries), complaint))
    if not summaries:
      raise _BadRecordError(f'{path} is empty: it has no records.')
    return _Contents(len(summaries), int(min(summaries)), int(max(summaries)))

  def _read_batches(self, session, path, first, batch_size):
    """Yields the summaries and the payloads' sizes of batches from the record `first` on."""
    session.run(self._start, {self._path: path, self._first: first, self._batch_size: batch_size})
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
      raise _BadRecordError(_complaint(path, first + index, complaint))


def _first_pixel(image):
  """Returns a scalar that cannot be known without decoding the image."""
  # A user's decoder may pass on an animation, of rank 4.
  image = tf.ensure_shape(image, [None, None, None])
  return tf.reduce_sum(tf.cast(tf.reshape(image, [-1])[:1], tf.float32))


def _complaint(path, number, complaint):
  return f'Record {number} (counted from 0) of {path} {complaint}'


def _explain(error, path):
  """Returns what TensorFlow's `error` says of a record."""
  reason = records.reason(error)
  if not isinstance(error, tf.errors.DataLossError):
    return f'cannot be read: {reason[:_MAX_REASON_LENGTH]}.'
  if 'truncated' in reason:
    return 'is cut short: the file ends within it.'
  if 'corrupted record at 0 ' in reason:
    with tf.io.gfile.GFile(path, 'rb') as file:
      return f'is no record: the file is damaged, or no TFRecord file; it begins {file.read(20)!r}.'
  return 'is damaged: its bytes do not match their checksum.'


class _Cache:
  """The _Contents of files read before, in one JSON file. Not being able to use it is no error."""

  def __init__(self, fingerprint):
    """Opens the cache for what a decoder of this `fingerprint` finds."""
    self._fingerprint = fingerprint
    self._file = os.path.join(user_files.cache_dir(), _CACHE_FILE)
    self._entries = {}
    self._has_changed = False

  def __enter__(self):
    with (
      contextlib.suppress(OSError, ValueError, TypeError),
      open(self._file, encoding='utf-8') as file,
    ):
      self._entries = dict(json.load(file))
    return self

  def __exit__(self, *unused):
    if not self._has_changed:
      return
    newest = dict(list(self._entries.items())[-_MAX_CACHE_ENTRIES:])
    with contextlib.suppress(OSError):
      os.makedirs(os.path.dirname(self._file), exist_ok=True)
      user_files.write_atomically(self._file, json.dumps(newest))

  def get(self, path, state):
    """Returns the _Contents of `path` in `state`, or None."""
    try:
      known_state, fingerprint, contents = self._entries[_key(path)]
      if (known_state, fingerprint) == (state, self._fingerprint):
        return _Contents(*map(int, contents))
    except (KeyError, ValueError, TypeError):
      pass
    return None

  def put(self, path, state, contents):
    """Remembers the `contents` of `path` in `state`, as the newest entry."""
    self._entries.pop(_key(path), None)
    self._entries[_key(path)] = (state, self._fingerprint, contents)
    self._has_changed = True


def _key(path):
  return path if _is_remote(path) else os.path.abspath(path)
