"""The numbers of a run by step, for programs to read: metrics.jsonl and metrics.csv.

Both stand in the train_dir and hold the same records, in the order of their steps. metrics.jsonl
has one JSON object in a line; a number that is not finite is null there. `read` reads it. Every
record has

    kind     "train" for a line of the log, "eval" for an evaluation
    step     the steps made so far, an integer
    epoch    the same in epochs of the training split
    time     when it was written, in UTC as in ISO 8601: 2026-01-31T12:00:00+00:00

A record of the kind "train" has the numbers of the line that the console shows, and of the batch:

    loss               the total loss of the last step
    learning_rate      of the last step
    secs_per_step      the mean since the line before, like the following two
    images_per_sec
    wait_share         the part of the time, in [0, 1], that steps waited for their input
    records_skipped    bad records left out of the split; where there are any
    accuracy           of the last batch; for regression mean_absolute_error
    losses/..., Losses/...    the parts of the loss, under their tags in TensorBoard

One of the kind "eval" has

    split       the name of the split
    weights     "raw"; "averages" for the moving averages of the weights
    examples    how many there were
    eval/...    the metrics, under their tags in TensorBoard, such as eval/Accuracy

metrics.csv has a column for each name of any record, and nothing where a record lacks it; not
finite is nan. Columns never change their places: new ones come last.

A run that goes on from a checkpoint cuts off what was written after it, because those steps are
made again, and half a line that a kill left. What finds no room on a full disk is left out, except
for evaluations, which are written when there is room again. Each evaluation stands there once.
"""

import contextlib
import csv
import datetime
import json
import math
import os

from datasets import csv_files, state_files
from slimtrain import console, files

JSONL_FILE = 'metrics.jsonl'
CSV_FILE = 'metrics.csv'
TRAIN, EVAL = 'train', 'eval'  # The kinds of records.
# Of metrics.csv, from the left.
_FIRST_COLUMNS = (
  'kind',
  'step',
  'epoch',
  'time',
  'loss',
  'learning_rate',
  'secs_per_step',
  'images_per_sec',
  'wait_share',
)


def read(path):
  """Returns the records of a metrics.jsonl as dicts, the first step first; null becomes NaN.

  Args:
    path: of the file; one that is not there has no records. Lines that are no records are left
      out.
  """
  with contextlib.suppress(FileNotFoundError), open(path, 'rb') as file:
    return [
      {name: math.nan if value is None else value for name, value in record.items()}
      for record in map(_parse, file)
      if record
    ]
  return []


class RunLog:
  """Writes both files. None of its methods raises because a file cannot be written."""

  def __init__(self, train_dir, first_step, steps_per_epoch):
    """Opens the log of a run, whose records up to `first_step` stay.

    Args:
      train_dir: the directory of the files.
      first_step: the steps that the run has made before.
      steps_per_epoch: a float.
    """
    self._jsonl = os.path.join(train_dir, JSONL_FILE)
    self._csv = os.path.join(train_dir, CSV_FILE)
    self._steps_per_epoch = steps_per_epoch
    self._columns = []  # Of the CSV file as it is.
    self._has_failed = False
    self._evaluations = {}  # {key: record}, see `_key`.
    self._unsaved = {}  # Those of them that found no room.
    self.rewind(first_step)

  def add_step(self, step, values):
    """Adds a record of the kind TRAIN.

    Args:
      step: the steps so far.
      values: {name: number} in the order of new columns.
    """
    record = self._make_record(TRAIN, step, values)
    with self._complaining():
      self._append(record)
      if self._unsaved:
        self._rewrite(step)

  def add_evaluation(self, step, split, weights, result):
    """Adds a record of the kind EVAL.

    Args:
      step: that of the checkpoint.
      split: its name.
      weights: 'raw' or 'averages'.
      result: what evaluation.evaluate returned; its metrics and `examples` count.
    """
    metrics = {tag: value for tag, value in result.items() if tag.startswith('eval/')}
    values = {'split': split, 'weights': weights, 'examples': result.get('examples'), **metrics}
    values = {name: value for name, value in values.items() if value is not None}
    record = self._make_record(EVAL, step, values)
    is_last = (
      not self._unsaved and step >= self._last_step and _key(record) not in self._evaluations
    )
    self._evaluations[_key(record)] = self._unsaved[_key(record)] = record
    with self._complaining():
      if is_last:
        self._append(record)
      else:
        self._rewrite(max(step, self._last_step))
      self._unsaved.clear()

  def find_evaluation(self, step: int, split: str, weights: str) -> dict | None:
    """Returns the record of an evaluation that was added, None if there is none."""
    return self._evaluations.get((step, split, weights))

  def last_evaluation(self, split: str, before: float) -> int:
    """Returns the last step of an evaluation on a split before a step, 0 if there is none."""
    steps = [step for step, of_split, _ in self._evaluations if of_split == split]
    return max((step for step in steps if step < before), default=0)

  def rewind(self, step: float):
    """Cuts off the records of later steps than `step`, which the run is to make again."""
    for found in (self._unsaved, self._evaluations):
      for key in [key for key in found if key[0] > step]:
        del found[key]
    self._last_step = 0
    with self._complaining():
      for path in (self._jsonl, self._csv):
        files.make_way(path)
      self._columns = []
      if os.path.exists(self._jsonl) or os.path.exists(self._csv):
        self._rewrite(step)

  def _rewrite(self, last_step):
    """Writes both files with the records up to `last_step`, and evaluations that are missing."""
    if os.path.exists(self._jsonl) or self._unsaved:
      lines, num_kept_bytes = _lines_up_to(self._jsonl, last_step, self._unsaved)
      if self._unsaved or num_kept_bytes is None:
        for record in sorted(self._unsaved.values(), key=lambda record: record['step']):
          _insert(lines, record)
        files.write_text(self._jsonl, b''.join(line for line, _ in lines))
      else:
        # In place: this needs no room.
        os.truncate(self._jsonl, num_kept_bytes)
      records = [record for _, record in lines if record]
      self._unsaved = {}
      self._evaluations = {_key(record): record for record in records if record.get('kind') == EVAL}
      self._last_step = max((record['step'] for record in records), default=0)
    self._write_csv(())

  def _make_record(self, kind, step, values):
    record = {
      'kind': kind,
      'step': step,
      'epoch': step / self._steps_per_epoch,
      'time': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
      **values,
    }
    return {name: _rounded(value) for name, value in record.items()}

  def _append(self, record):
    _append(self._jsonl, json.dumps(record, allow_nan=False) + '\n')
    self._last_step = max(self._last_step, record['step'])
    # A file that was removed meanwhile has no header.
    if self._columns and record.keys() <= set(self._columns) and os.path.exists(self._csv):
      columns, self._columns = self._columns, []  # Written anew after a row that failed.
      _append(self._csv, _to_csv([record], columns))
      self._columns = columns
    else:
      self._write_csv(record)

  def _write_csv(self, names):
    """Writes all records, with the columns as they were and those of `names`."""
    records = read(self._jsonl)
    named = [name for record in records for name in record]
    columns = list(dict.fromkeys([*_read_columns(self._csv), *_FIRST_COLUMNS, *named, *names]))
    files.write_text(self._csv, _to_csv([None, *records], columns))
    self._columns = columns

  @contextlib.contextmanager
  def _complaining(self):
    """Says once, in place of raising it, that a file cannot be written."""
    try:
      yield
    except OSError as error:
      if not self._has_failed:
        console.say(
          f'{JSONL_FILE} and {CSV_FILE} cannot be written ({error.strerror}). Training goes on'
          ' without what belongs there.'
        )
      self._has_failed = True
    else:
      self._has_failed = False


def _parse(line):
  """Returns the record in a line of bytes, None if there is none."""
  with contextlib.suppress(state_files.FormatError):
    record = state_files.loads(line, dict[str, int | float | str | None])
    if isinstance(record.get('step'), int) and record.get('kind') in (TRAIN, EVAL):
      return record
  return None


def _key(record):
  """Returns what tells the record of an evaluation from the others."""
  return record['step'], str(record.get('split')), str(record.get('weights'))


def _lines_up_to(path, last_step, replaced):
  """Returns the lines of a metrics.jsonl to keep, and how many bytes these are.

  Left out are records of later steps, half a line, evaluations whose keys are in `replaced`, and
  those that stand there already.

  Returns:
    Pairs of a line and its record, None where it has none; and the bytes, or None when there are
    others between them.
  """
  kept, keys, num_bytes, is_cut, is_prefix = [], set(replaced), 0, False, True
  with contextlib.suppress(FileNotFoundError), open(path, 'rb') as file:
    for line in file:
      record = _parse(line)
      is_evaluation = record is not None and record.get('kind') == EVAL
      is_again = is_evaluation and _key(record) in keys
      if not line.endswith(b'\n') or is_again or (record and record['step'] > last_step):
        is_cut = True
        continue
      if is_evaluation:
        keys.add(_key(record))
      is_prefix &= not is_cut
      num_bytes += len(line)
      kept.append((line, record))
  return kept, num_bytes if is_prefix else None


def _insert(lines, record):
  """Inserts a record before those of later steps."""
  place = len(lines)
  while place and (lines[place - 1][1] is None or lines[place - 1][1]['step'] > record['step']):
    place -= 1
  lines.insert(place, ((json.dumps(record, allow_nan=False) + '\n').encode(), record))


def _append(path, text):
  """Appends all of `text` or nothing."""
  with open(path, 'ab', buffering=0) as file:
    length = os.fstat(file.fileno()).st_size
    try:
      content = text.encode()
      if file.write(content) < len(content):
        raise OSError(None, 'there was no room for a whole line')
    except OSError:
      os.truncate(file.fileno(), length)
      raise


def _to_csv(records, columns):
  """Returns the rows of `records`, a record None being the header, as text."""
  rows = []
  for record in records:
    values = columns if record is None else [record.get(name, '') for name in columns]
    rows.append(['nan' if value is None else value for value in values])
  return csv_files.to_text(rows)


def _read_columns(path):
  """Returns the header of a CSV file, [] if there is none."""
  try:
    with open(path, encoding='utf-8', newline='') as file:
      columns = next(csv_files.read(file), [])
  except (OSError, ValueError, csv.Error):
    return []
  return columns if columns[:1] == ['kind'] else []


def _rounded(value):
  """Returns a number as JSON has it: of a float 7 digits, as many as a float32 has."""
  if isinstance(value, (int, str)):
    return value
  value = float(value)
  return float(f'{value:.7g}') if math.isfinite(value) else None
