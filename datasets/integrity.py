"""Everything that is wrong with a directory of records, not only what is wrong first."""

import collections
import concurrent.futures
import contextlib
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import tqdm

from datasets import dataset_info, labels, record_files, record_sets, records
from slimcompat import slim, tf

_MAX_REASON_LENGTH = 200
_SHARD_NUMBERS = re.compile(r'(.*\D|)(\d+)-of-(\d+)(.*)')


class Problem(NamedTuple):
  """Something wrong with a file, or with one of its records."""

  path: str
  number: int | None  # Of the record, counted from 0; None for the file as a whole.
  complaint: str  # The end of a sentence.

  def __str__(self):
    if self.number is None:
      return f'{self.path} {self.complaint}'
    return f'Record {self.number} (counted from 0) of {self.path} {self.complaint}'


class CheckedRecord(NamedTuple):
  """A record, or the bytes where one or more should be."""

  number: int
  payload: bytes | None  # None unless it can be trained with.
  complaint: str  # '' when nothing is wrong, not even around the payload.


class Findings(NamedTuple):
  """What `verify` found."""

  num_records: dict[str, int]  # Those that can be trained with, by path.
  problems: list[Problem]


class Checker(contextlib.AbstractContextManager):
  """Reads the files of a dataset record by record, decoding them all in one graph."""

  def __init__(self, dataset: slim.dataset.Dataset):
    task = getattr(dataset, 'task', dataset_info.TASKS[0])
    self._allowed = labels.allowed(task, dataset.num_classes)
    self._label_complaint = labels.complaint(task, self._allowed)
    self._num_workers = os.cpu_count() or 1
    self._pool = concurrent.futures.ThreadPoolExecutor(self._num_workers)
    with tf.Graph().as_default() as graph, tf.device('/cpu:0'):
      record = tf.placeholder(tf.string, [])
      label, image = dataset.decoder.decode(record, ['label', 'image'])
      label = labels.summarize(task, labels.as_label(task, label, dataset.num_classes))
      # A sum that cannot be known without decoding the image.
      pixel = tf.reduce_sum(tf.cast(tf.reshape(image, [-1])[:1], tf.float32))
      initialize = tf.tables_initializer()
    # The memory of the graphics processors is left to other runs.
    self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0}))
    self._session.run(initialize)
    self._decode = self._session.make_callable([label, pixel], [record])

  def __exit__(self, *unused):
    self._pool.shutdown(cancel_futures=True)
    self._session.close()

  def check(self, path: str) -> Iterator[CheckedRecord]:
    """Yields a CheckedRecord for each record of a file, and for each damage to it."""
    pending = collections.deque()
    for number, frame in enumerate(record_files.read_frames(path)):
      pending.append(self._pool.submit(self._check, number, frame))
      if len(pending) > 8 * self._num_workers:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()

  def _check(self, number, frame):
    complaint = frame.complaint if frame.payload is None else self._complaint(frame.payload)
    if complaint:
      return CheckedRecord(number, None, complaint)
    return CheckedRecord(number, frame.payload, frame.complaint)

  def _complaint(self, payload):
    """Returns why the record cannot be trained with, '' when it can."""
    try:
      label, _ = self._decode(payload)
    except tf.errors.OpError as error:
      return f'cannot be read: {records.reason(error)[:_MAX_REASON_LENGTH]}.'
    return '' if label in self._allowed else self._label_complaint.format(label)


def verify(record_set: record_sets.RecordSet) -> Findings:
  """Reads every record of a RecordSet: its checksums, its image, its label, and the counts."""
  num_records = {}
  problems = []
  with progress_bar(record_set, 'Checking records') as bar:
    for split_name, dataset in record_set.datasets.items():
      paths = record_set.files[split_name]
      shards = _listed_shards(record_set, split_name)
      problems += _missing_shards(paths, shards)
      with Checker(dataset) as checker:
        for path in paths:
          shard = shards.get(os.path.basename(path))
          found = list(_problems_of_file(checker, path, shard, bool(shards), num_records))
          problems += found
          bar.update()
  return Findings(num_records, problems)


def progress_bar(record_set: record_sets.RecordSet, doing: str) -> tqdm.tqdm:
  """Returns a bar of as many steps as the RecordSet has files."""
  num_files = sum(map(len, record_set.files.values()))
  return tqdm.tqdm(total=num_files, desc=doing, unit='file', disable=None)


def _listed_shards(record_set, split_name):
  """Returns the shards of dataset_info.json by their file names."""
  info = record_set.info
  if info is None or split_name not in info.splits:
    return {}
  return {shard.file_name: shard for shard in info.splits[split_name].shards}


def _missing_shards(paths, shards):
  """Yields a Problem for each file that the numbers in the others' names tell of."""
  if shards:
    return
  names = {os.path.basename(path) for path in paths}
  for name in sorted(names):
    parts = _SHARD_NUMBERS.fullmatch(name)
    if parts is None:
      continue
    before, number, num_shards, after = parts.groups()
    for index in range(int(num_shards)):
      missing = f'{before}{index:0{len(number)}d}-of-{num_shards}{after}'
      if missing not in names:
        names.add(missing)
        path = os.path.join(os.path.dirname(paths[0]), missing)
        yield Problem(path, None, f'is missing, although {name} is there.')


def _problems_of_file(checker, path, shard, are_listed, num_records):
  """Yields the Problems of one file, and counts its good records in `num_records`."""
  num_records[path] = 0
  complaint = record_files.why_unreadable(path)
  if complaint and shard:
    complaint = f'{complaint[:-1]}, with {shard.num_records} records.'
  if complaint:
    yield Problem(path, None, complaint)
    return
  if are_listed and shard is None:
    yield Problem(path, None, f'is not listed in {dataset_info.FILE_NAME}, but training reads it.')
  num_bytes = tf.io.gfile.stat(path).length
  if not num_bytes:
    yield Problem(path, None, 'is empty: it has no records.')
  elif shard and num_bytes != shard.num_bytes:
    yield Problem(path, None, f'has {num_bytes} bytes, but was written with {shard.num_bytes}.')
  for record in checker.check(path):
    if record.complaint:
      yield Problem(path, record.number, record.complaint)
    num_records[path] += record.payload is not None
  if shard and num_records[path] != shard.num_records:
    yield Problem(
      path,
      None,
      f'has {num_records[path]} good records, but was written with {shard.num_records}.',
    )


def report(record_set: record_sets.RecordSet, findings: Findings) -> str:
  """Returns lines on what `verify` found."""
  lines = [str(problem) for problem in findings.problems]
  for split_name, paths in record_set.files.items():
    num_records = sum(findings.num_records[path] for path in paths)
    lines.append(f'{split_name}: {num_records:,} good records in {len(paths)} files.')
  num_bad_files = len({problem.path for problem in findings.problems})
  if findings.problems:
    lines.append(
      f'Problems: {len(findings.problems):,}, in {num_bad_files} of {len(findings.num_records)}'
      f' files of {record_set.dataset_dir}.'
      ' --repair --output_dir=DIRECTORY writes a copy with the good records.'
    )
  else:
    lines.append(f'All records of {record_set.dataset_dir} are good.')
  return '\n'.join(lines)
