"""What a model says of every example of a split, and the two files of it.

`predictions.csv` has a row for each example, in the order of the records. Its columns are

    file          of the image, within the folder that was converted; empty where records don't say
    record_file   the name of the TFRecord file
    record        the number of the record in it, from 0
    slice         what stands at --slice_key of the record; only with that flag

and for one label per image

    label, label_name              the class of the example, as the data numbers and names it
    prediction, prediction_name    the likeliest class
    probability                    of that class
    label_probability              of the class of the example
    place                          of the class of the example among all by probability; 1 is first
    is_right                       1 or 0

for several labels per image

    labels, predictions            class names separated by semicolons; of the predictions, those
                                   with a probability of --decision_threshold or more
    is_right                       1 if both are the same, else 0
    log_loss                       the mean over the labels

and of both, up to 100 classes,

    probability_3                  of the class that the data number 3, and so of each class

For regression there are `target/NAME` and `prediction/NAME` of each target. Numbers have the digits
that a float32 has, 9 significant ones.

Names that begin like a formula, and characters that cannot be seen, are escaped;
slimcompat.escapes.from_csv gives back the text.

`logits.npy` holds what the net gave, float32 `[examples, classes]`, its rows in the order of those
of the CSV file. Where crops or models are averaged, these are the logits of the mean probabilities.
It is left out where it would be too large; see `has_room`.
"""

import contextlib
import dataclasses
import functools
import io
import os
from typing import NamedTuple

import numpy as np

from datasets import csv_files, records, user_files
from slimcompat import errors, tf
from slimtrain import files

CSV_FILE = 'predictions.csv'
LOGITS_FILE = 'logits.npy'
# Columns that do not depend on the model.
OF_EXAMPLE = ('file', 'record_file', 'record', 'slice', 'label', 'label_name', 'labels')
_NUM_AT_ONCE = 1024  # Examples whose numbers are computed at once.
_MAX_PROBABILITIES = 100  # Classes up to which the CSV file has the probability of each.
_MAX_LOGITS = 100_000_000  # Of more classes than these, the numbers that are kept: 400 MB.


def has_room(data, num_examples: int) -> bool:
  """Returns whether the logits of all examples are kept, in memory and in a file.

  They are not where there are more than 100 million of them, of more than 100 classes: 20,000
  classes of 50,000 examples would take 4 GB. For one label per image a Summary is kept instead, and
  there are no curves, whose areas need all logits. Of several labels, nothing is.

  Args:
    data: the inputs.Data.
    num_examples: how many of its examples are evaluated.
  """
  return num_examples * data.num_classes <= _MAX_LOGITS or data.num_classes <= _MAX_PROBABILITIES


class Summary(NamedTuple):
  """What all figures but curves are made of, for one label per image; each `[examples]`."""

  guesses: np.ndarray  # int64: the likeliest class.
  best: np.ndarray  # float32: its logit.
  own: np.ndarray  # float32: the logit of the class of the example.
  num_before: np.ndarray  # int64: classes with a higher logit than that.
  # float64: the logarithm of the sum of the exponentials. A logit less this is the logarithm of the
  # probability of its class.
  log_sums: np.ndarray


def add_summary(logits, labels):
  """Adds the Summary of a batch to the graph.

  Args:
    logits: `[batch, classes]`.
    labels: int64 `[batch]`.
  """
  own = tf.gather(logits, labels, axis=1, batch_dims=1)
  num_before = tf.reduce_sum(tf.cast(logits > own[:, None], tf.int32), axis=1)
  best = tf.reduce_max(logits, axis=1)
  rest = tf.reduce_sum(tf.exp(logits - best[:, None]), axis=1)
  log_sums = tf.cast(best, tf.float64) + tf.log(tf.cast(rest, tf.float64))
  return Summary(tf.argmax(logits, axis=-1), best, own, num_before, log_sums)


def _summarize(logits, labels):
  """Returns the Summary of logits and labels, computed for a few examples at once."""
  parts = []
  for start in range(0, max(1, len(logits)), _NUM_AT_ONCE):
    rows = slice(start, start + _NUM_AT_ONCE)
    some = logits[rows]
    own = np.take_along_axis(some, labels[rows, None], axis=1)
    log_sums = np.logaddexp.reduce(some.astype(np.float64), axis=1)
    num_before = np.sum(some > own, axis=1)
    parts.append((some.argmax(axis=1), some.max(axis=1), own[:, 0], num_before, log_sums))
  return Summary(*map(np.concatenate, zip(*parts, strict=True)))


@dataclasses.dataclass(frozen=True)
class Predictions:
  """What a model says of each example, in the order of the records."""

  task: str  # One of dataset_info.TASKS.
  class_names: tuple[str, ...]  # Of each logit.
  labels_offset: int  # Of the data's labels against the numbers of the logits.
  record_files: tuple[str, ...]  # Names of the TFRecord files.
  logits: np.ndarray | None  # float32 [examples, classes]; None without room for them.
  labels: np.ndarray  # As inputs.Batch has them: int64 [examples] or float32 [examples, classes].
  records: np.ndarray  # int64 [examples, 2]: the file, and the record in it.
  # By key of the records, a list of what it says of each example.
  texts: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  slice_key: str | None = None
  known_summary: Summary | None = None  # None where it follows from the logits.

  def __len__(self):
    return len(self.records)

  @functools.cached_property
  def summary(self):
    """The Summary, for one label per image."""
    return self.known_summary or _summarize(self.logits, self.labels)

  def occurring(self):
    """Returns the numbers of the classes that examples have."""
    if self.task == 'single_label':
      return np.unique(self.labels)
    return np.flatnonzero(np.any(self.labels > 0, axis=0))

  def probabilities(self, number=slice(None), rows=slice(None)):
    """Returns the probabilities of the classes, or of the class `number`, float64.

    That is `[examples, classes]`, or `[examples]`; of several labels, also of a part of the rows.
    """
    logits = self.logits[rows, number].astype(np.float64)
    if self.task == 'multi_label':
      return np.exp(-np.logaddexp(0, -logits))
    return np.exp((logits.T - self.summary.log_sums).T)

  def parts(self):
    """Yields slices of a few examples each, of which numbers in float64 are small."""
    for start in range(0, max(1, len(self)), _NUM_AT_ONCE):
      yield slice(start, start + _NUM_AT_ONCE)

  def predicted(self, threshold):
    """Returns which of several labels have a probability of `threshold`, bools."""
    return np.concatenate([self.probabilities(rows=rows) >= threshold for rows in self.parts()])

  def file_names(self):
    """Returns the names of the image files, '' where records don't say."""
    return self.texts.get(records.FILENAME_KEY, [''] * len(self))

  def slices(self):
    """Returns what stands at the slice key, None without one."""
    return self.texts[self.slice_key] if self.slice_key else None

  def choose(self, chosen):
    """Returns the Predictions of some examples, by a mask or indices, in the order of these."""
    indices = np.arange(len(self))[chosen]
    texts = {key: [values[index] for index in indices] for key, values in self.texts.items()}
    summary = self.known_summary
    if self.task == 'single_label':
      summary = Summary(*(values[indices] for values in self.summary))
    return dataclasses.replace(
      self,
      logits=None if self.logits is None else self.logits[indices],
      labels=self.labels[indices],
      records=self.records[indices],
      texts=texts,
      known_summary=summary,
    )


class Collector:
  """Gathers the Predictions of a pass, batch by batch."""

  def __init__(self, data, labels_offset, text_keys=(), slice_key=None):
    """Begins without any.

    Args:
      data: the inputs.Data.
      labels_offset: of its labels.
      text_keys: keys of what `texts` of `add` are.
      slice_key: one of these, or None.
    """
    self._data = data
    self._labels_offset = labels_offset
    self._text_keys = tuple(text_keys)
    self._slice_key = slice_key
    self._count = 0
    self._arrays = ()
    self._texts = []

  def add(self, logits, labels, sources, texts=()):
    """Adds a batch.

    Args:
      logits: `[batch, classes]`; or a Summary, of every batch.
      labels: as inputs.Batch has them.
      sources: int64 `[batch, 2]`, as inputs.Batch.records.
      texts: byte strings `[batch, keys]`, as inputs.Batch.texts.
    """
    parts = (labels, sources, *(logits if isinstance(logits, tuple) else [logits]))
    if not self._arrays:
      # At once, not in pieces that are put together and thus there twice.
      num = self._data.num_examples
      self._arrays = tuple(np.empty((num, *part.shape[1:]), part.dtype) for part in parts)
    for array, part in zip(self._arrays, parts, strict=True):
      array[self._count : self._count + len(part)] = part
    self._texts.extend(texts)
    self._count += len(labels)

  def finish(self):
    """Returns the Predictions."""
    labels, sources, *rest = (array[: self._count] for array in self._arrays)
    order = np.lexsort((sources[:, 1], sources[:, 0]))
    self._arrays = ()
    # A copy of what is in order already would take its room twice.
    rows = slice(None) if np.all(order[1:] > order[:-1]) else order
    rest = [rest.pop(0)[rows] for _ in tuple(rest)]
    names = self._data.dataset.labels_to_names or {}
    offset = self._labels_offset
    numbers = range(offset, offset + self._data.num_classes)
    return Predictions(
      self._data.task,
      tuple(str(names.get(number, number)) for number in numbers),
      offset,
      tuple(map(os.path.basename, self._data.files)),
      None if len(rest) > 1 else rest[0],
      labels[rows],
      sources[rows],
      {
        key: [self._texts[index][column].decode('utf-8', 'surrogateescape') for index in order]
        for column, key in enumerate(self._text_keys)
      },
      self._slice_key,
      Summary(*rest) if len(rest) > 1 else None,
    )


def check_same_examples(several):
  """Raises InputError unless the Predictions `several` are of the same examples and classes."""
  first = several[0]
  for other in several[1:]:
    if other.class_names != first.class_names or not np.array_equal(other.labels, first.labels):
      raise errors.InputError(
        f'The models differ in their classes: one has {len(first.class_names)}, such as'
        f' {first.class_names[0]}, another {len(other.class_names)}, such as'
        f' {other.class_names[0]}. Give models of the same classes and --labels_offset.'
      )


def write(directory, predictions, threshold):
  """Writes both files into `directory`, which exists; the arguments are those of the two below."""
  write_csv(os.path.join(directory, CSV_FILE), predictions, threshold)
  write_logits(os.path.join(directory, LOGITS_FILE), predictions)


def write_csv(path, predictions, threshold):
  """Writes predictions.csv to `path`.

  Args:
    path: a string.
    predictions: Predictions.
    threshold: the probability from which on a label of several counts as predicted.
  """
  listed = columns(predictions, threshold)
  with user_files.open_atomically(path) as file:
    text = io.TextIOWrapper(file, encoding='utf-8', newline='')
    writer = csv_files.Writer(text)
    writer.write_row(listed)
    writer.write_rows(zip(*listed.values(), strict=True))
    text.detach()


def write_logits(path, predictions):
  """Writes logits.npy to `path`; where there are none, removes that of an earlier evaluation."""
  if predictions.logits is None:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)
    return
  with user_files.open_atomically(path) as file:
    files.write_array(file, predictions.logits)


def columns(predictions, threshold):
  """Returns the columns of the CSV file, {name: values}; see `write_csv`."""
  return {**_sources(predictions), **_COLUMNS[predictions.task](predictions, threshold)}


def digits(values):
  """Returns numbers as text that a float32 can be read back from."""
  return [f'{value:.9g}' for value in values]


def _sources(predictions):
  sources = {
    'file': predictions.file_names(),
    'record_file': [predictions.record_files[file] for file in predictions.records[:, 0]],
    'record': predictions.records[:, 1],
  }
  if predictions.slice_key:
    sources['slice'] = predictions.slices()
  return sources


def _single_label_columns(predictions, threshold):
  del threshold
  labels, summary = predictions.labels, predictions.summary
  guesses, log_sums = summary.guesses, summary.log_sums
  offset, names = predictions.labels_offset, predictions.class_names
  return {
    'label': labels + offset,
    'label_name': [names[label] for label in labels],
    'prediction': guesses + offset,
    'prediction_name': [names[guess] for guess in guesses],
    'probability': digits(np.exp(summary.best - log_sums)),
    'label_probability': digits(np.exp(summary.own - log_sums)),
    'place': 1 + summary.num_before,
    'is_right': (guesses == labels).astype(int),
    **_probability_columns(predictions),
  }


def _multi_label_columns(predictions, threshold):
  present, predicted = predictions.labels > 0, predictions.predicted(threshold)
  names = predictions.class_names
  return {
    'labels': [_joined(names, row) for row in present],
    'predictions': [_joined(names, row) for row in predicted],
    'is_right': np.all(present == predicted, axis=1).astype(int),
    'log_loss': digits(log_losses(predictions)),
    **_probability_columns(predictions),
  }


def _regression_columns(predictions, threshold):
  del threshold
  numbers = {}
  for kind, values in (('target', predictions.labels), ('prediction', predictions.logits)):
    for index, name in enumerate(predictions.class_names):
      numbers[f'{kind}/{name}'] = digits(values[:, index])
  return numbers


_COLUMNS = {
  'single_label': _single_label_columns,
  'multi_label': _multi_label_columns,
  'regression': _regression_columns,
}


def _joined(names, chosen):
  return ';'.join(names[index] for index in np.flatnonzero(chosen))


def _probability_columns(predictions):
  if len(predictions.class_names) > _MAX_PROBABILITIES or predictions.logits is None:
    return {}
  return {
    f'probability_{number + predictions.labels_offset}': digits(values)
    for number, values in enumerate(predictions.probabilities().T)
  }


def log_losses(predictions):
  """Returns the cross entropy of each example, `[examples]`; of several labels, their mean."""
  if predictions.task == 'single_label':
    return predictions.summary.log_sums - predictions.summary.own
  losses = []
  for rows in predictions.parts():
    signs = np.where(predictions.labels[rows] > 0, 1.0, -1.0)
    losses.append(np.mean(np.logaddexp(0, -signs * predictions.logits[rows]), axis=1))
  return np.concatenate(losses)
