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

A run that goes on from a checkpoint cuts off what was written after it, for those steps are made
again, and half a line that a kill left. What finds no room on a full disk is left out.
"""

import contextlib
import csv
import datetime
import json
import math
import os

from datasets import csv_files
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
    self.rewind(first_step)

  def add_step(self, step, values):
    """Adds a record of the kind TRAIN.

    Args:
      step: the steps so far.
      values: {name: number} in the order of new columns.
    """
    self._add(TRAIN, step, values)

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
    self._add(EVAL, step, {name: value for name, value in values.items() if value is not None})

  def rewind(self, step):
    """Cuts off the records of later steps than `step`, which the run is to make again."""
    with self._complaining():
      if os.path.exists(self._jsonl):
        # In place: this needs no room.
        os.truncate(self._jsonl, _length_up_to(self._jsonl, step))
      self._columns = []
      if os.path.exists(self._jsonl) or os.path.exists(self._csv):
        self._write_csv(())

  def _add(self, kind, step, values):
    record = {
      'kind': kind,
      'step': step,
      'epoch': step / self._steps_per_epoch,
      'time': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      **values,
    }
    record = {name: _rounded(value) for name, value in record.items()}
    with self._complaining():
      _append(self._jsonl, json.dumps(record, allow_nan=False) + '\n')
      if self._columns and record.keys() <= set(self._columns):
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
  try:
    record = json.loads(line)
  except ValueError:
    return None
  is_record = isinstance(record, dict) and isinstance(record.get('step'), int)
  return record if is_record else None


def _length_up_to(path, step):
  """Returns the bytes of a metrics.jsonl before the first record of a later step, or half line."""
  length = 0
  with open(path, 'rb') as file:
    for line in file:
      record = _parse(line)
      if not line.endswith(b'\n') or (record and record['step'] > step):
        break
      length += len(line)
  return length


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
