"""Numbers that say how good a model is on a whole split; `METRICS` is the table."""

import dataclasses
import os
import tempfile
from collections.abc import Callable

import numpy as np

from datasets import dataset_info
from slimcompat import errors, slim, tables, tf
from slimtrain import figures
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class MetricSettings(settings_lib.Settings):
  """Metrics."""

  top_k: str | None = settings_lib.setting(
    None,
    'single_label: numbers k, separated by commas, for which eval/Recall_k is the share of examples'
    ' whose class is among the k likeliest. There is Recall_5 anyway, of more than 5 classes.',
  )
  decision_threshold: float = settings_lib.setting(
    0.5,
    'multi_label: the probability from which on a label counts as predicted, for F1 and'
    ' Exact_match.',
    above=0,
    below=1,
  )

  def __post_init__(self):
    super().__post_init__()
    self.find_top_k()

  def find_top_k(self):
    """Returns the numbers of `top_k`. Raises InputError."""
    names = settings_lib.split_names(self.top_k)
    if not all(name.isdecimal() and int(name) for name in names):
      raise errors.InputError(
        f'--top_k={self.top_k} is no list of numbers from 1 on. Separate them by commas, as in 3,5.'
      )
    return sorted({int(name) for name in names})


@dataclasses.dataclass(frozen=True)
class Metric:
  """A number that says how good a model is on a whole split."""

  name: str
  # make(model, labels, settings) -> (value, update op), as the functions of tf.metrics. The value
  # is a scalar, or `[targets]` of regression.
  make: Callable
  min_classes: int = 1  # With fewer classes it would say nothing.
  task: str = dataset_info.TASKS[0]
  is_lower_better: bool = False


def average_precision(scores, labels):
  """Returns the mean, over the classes that have examples, of the average precision.

  As figures.precision_recall_curve has it. NaN without any label.

  Args:
    scores: `[examples, classes]`, higher where a class is likelier.
    labels: `[examples, classes]`, 1 or 0.
  """
  kept = Scores()
  kept.add(scores, labels)
  return kept.average_precision()


class Scores:
  """The scores of a split, batch by batch, for the mean of the average precision.

  More than fit into memory go to a temporary file, which vanishes with the object.
  """

  MAX_IN_MEMORY = 100_000_000  # Scores, of 4 bytes.

  def __init__(self):
    self._num_examples = self._num_classes = 0
    self._batches, self._file = [], None
    self._positives = []  # [labels, 2]: the example and the class.

  def add(self, scores, labels):
    """Adds a batch, `[batch, classes]` both; labels are 1 or 0."""
    scores = np.array(scores, np.float32)
    examples, classes = np.nonzero(np.asarray(labels) > 0)
    self._positives.append(np.stack([examples + self._num_examples, classes], axis=1))
    self._num_examples += len(scores)
    self._num_classes = scores.shape[1]
    if self._file is None and self._num_examples * self._num_classes > self.MAX_IN_MEMORY:
      self._file = tempfile.TemporaryFile()  # noqa: SIM115
      for batch in self._batches:
        self._file.write(batch.data)
      self._batches = []
    if self._file is None:
      self._batches.append(scores)
    else:
      self._file.write(scores.data)

  def average_precision(self):
    """Returns the mean over the classes that have examples; NaN without any."""
    examples, classes = np.concatenate([np.zeros((0, 2), int), *self._positives]).T
    examples = examples[np.argsort(classes, kind='stable')]
    numbers, counts = np.unique(classes, return_counts=True)
    positives = dict(zip(numbers, np.split(examples, np.cumsum(counts))[:-1], strict=True))
    width = max(1, self.MAX_IN_MEMORY // 4 // max(1, self._num_examples))
    areas = []
    for first in range(0, self._num_classes, width):
      columns = self._columns(first, min(first + width, self._num_classes))
      for number, column in enumerate(columns, first):
        if number in positives:
          areas.append(figures.average_precision(column, column[positives[number]]))
    return np.mean(areas or [np.nan])

  def _columns(self, first, end):
    """Returns the scores of some classes, `[classes, examples]`."""
    if self._file is None:
      parts = [batch[:, first:end] for batch in self._batches]
      return np.ascontiguousarray(np.concatenate(parts).T)
    self._file.flush()
    rows = np.empty((self._num_examples, end - first), np.float32)
    for number, row in enumerate(rows):
      os.preadv(self._file.fileno(), [row], 4 * (number * self._num_classes + first))
    return np.ascontiguousarray(rows.T)


def _predicted(model, settings):
  return tf.sigmoid(model.logits) >= settings.decision_threshold


def _make_map(model, labels, settings):
  """All scores are kept: what is computed is exact."""
  kept = Scores()

  def add(logits, labels):
    kept.add(logits, labels)
    return np.True_

  def compute():
    return np.float32(kept.average_precision())

  update = tf.numpy_function(add, [model.logits, labels], tf.bool)
  return tf.numpy_function(compute, [], tf.float32), update


def _make_f1(model, labels, settings):
  """2 x right / (predicted + present), of all labels together."""
  predicted, present = _predicted(model, settings), labels > 0

  def count(where):
    return tf.reduce_sum(tf.cast(where, tf.float64))

  right, update_right = _make_sum(count(predicted & present), [])
  all_of_both, update_all = _make_sum(count(predicted) + count(present), [])
  value = tf.div_no_nan(2 * right, all_of_both)
  return tf.cast(value, tf.float32), tf.group(update_right, update_all)


def _make_exact_match(model, labels, settings):
  """The share of examples of which all labels are predicted, and no others."""
  is_right = tf.reduce_all(tf.equal(_predicted(model, settings), labels > 0), axis=1)
  return tf.metrics.mean(tf.cast(is_right, tf.float32))


def _make_sum(values, shape):
  """Returns what `values` of all batches add up to, float64 `shape`, and its update op."""
  total = tf.get_local_variable(
    tf.get_default_graph().unique_name('metric_sum'),
    shape,
    tf.float64,
    tf.zeros_initializer(),
    use_resource=True,
  )
  return total.read_value(), total.assign_add(values, read_value=False)


def _make_mean_of_errors(function, of_mean):
  """Returns a `make` of `of_mean` of the mean of `function` of a target's errors."""

  def make(model, labels, settings):
    values = function(tf.cast(model.logits - labels, tf.float64))
    total, update = _make_sum(tf.reduce_sum(values, axis=0), labels.shape[1:])
    count, update_count = _make_sum(tf.cast(tf.shape(labels)[0], tf.float64), [])
    return tf.cast(of_mean(total / count), tf.float32), tf.group(update, update_count)

  return make


def _make_r2(model, labels, settings):
  """1 - the squared errors' sum / that of guessing the mean; -inf or NaN if all are alike."""
  both, update = slim.metrics.streaming_concat(tf.stack([model.logits, labels], axis=1))
  guessed, true = tf.unstack(tf.cast(both, tf.float64), axis=1)
  errors = tf.reduce_sum(tf.square(guessed - true), axis=0)
  spread = tf.reduce_sum(tf.square(true - tf.reduce_mean(true, axis=0)), axis=0)
  value = tf.cast(1 - errors / spread, tf.float32)
  value.set_shape(labels.shape[1:])
  return value, update


def _recall(k):
  """Returns the row of the share of examples whose label is among the `k` likeliest classes."""
  return Metric(
    f'Recall_{k}',
    lambda model, labels, settings: tf.metrics.mean(
      tf.cast(tf.math.in_top_k(model.logits, labels, k), tf.float32)
    ),
    min_classes=k + 1,
  )


METRICS = tables.Table(
  'metric',
  [
    Metric(
      'Accuracy',
      lambda model, labels, settings: tf.metrics.accuracy(labels, tf.argmax(model.logits, axis=-1)),
    ),
    _recall(5),
    Metric('mAP', _make_map, task='multi_label'),
    Metric('F1', _make_f1, task='multi_label'),
    Metric('Exact_match', _make_exact_match, task='multi_label'),
    # Each target's, and their mean.
    Metric(
      'MAE',
      _make_mean_of_errors(tf.abs, tf.identity),
      task='regression',
      is_lower_better=True,
    ),
    Metric(
      'RMSE',
      _make_mean_of_errors(tf.square, tf.sqrt),
      task='regression',
      is_lower_better=True,
    ),
    Metric('R2', _make_r2, task='regression'),
  ],
)
register = METRICS.register


def make(settings, model, labels, data):
  """Adds the metrics of the task to the graph; returns ({name: value}, update ops).

  Args:
    settings: MetricSettings.
    model: a models.Model.
    labels: of its batch, as inputs.Batch has them.
    data: the inputs.Data.

  Raises:
    InputError: when the settings are not for the data.
  """
  made = {
    row.name: row.make(model, labels, settings)
    for row in (*METRICS.values(), *_more_recalls(settings, data))
    if row.task == data.task and data.num_classes >= row.min_classes
  }
  return {name: value for name, (value, _) in made.items()}, [update for _, update in made.values()]


def _more_recalls(settings, data):
  """Returns the rows for `top_k`, without those in the table."""
  numbers = settings.find_top_k()
  if numbers and (data.task != 'single_label' or numbers[-1] >= data.num_classes):
    raise errors.InputError(
      f'--top_k={settings.top_k} says nothing: the dataset has {data.num_classes} classes and the'
      f' task {data.task}. It is for one label per image, and for less than all classes.'
    )
  return [row for row in map(_recall, numbers) if row.name not in METRICS]


def by_tag(values, data):
  """Returns {tag: number} of the values by name that `make` gave, once computed.

  A value for each target becomes their mean, `eval/MAE`, and, when there are several, the values
  themselves, `eval/MAE/radius`.
  """
  by_tag = {}
  for name, value in values.items():
    tag = f'eval/{name}'
    by_tag[tag] = np.mean(value)
    if np.size(value) > 1:
      names = data.dataset.labels_to_names or {}
      for index, part in enumerate(value):
        by_tag[f'{tag}/{names.get(index, index)}'] = part
  return by_tag
