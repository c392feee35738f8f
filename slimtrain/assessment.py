"""What predictions on a split are worth: figures of the whole, by class and by slice."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slimtrain import figures
from slimtrain import predictions as predictions_lib

ROC_AUC, AVERAGE_PRECISION = 'roc_auc', 'average_precision'  # Columns of areas.
GRID = np.linspace(0, 1, 501)  # Where curves are averaged: false positive rates, or recalls.


@dataclasses.dataclass(frozen=True)
class Assessment:
  """All figures on some Predictions."""

  scalars: dict  # {name: number}, beside the metrics.
  intervals: dict  # {tag of a metric: (low, high)}, of 95% of the bootstrap's draws.
  classes: dict  # {column: values by class, or by target}.
  losses: np.ndarray  # [examples]: how wrong each prediction is.
  # Of one label, a figures.Confusion; of several, [classes, 2, 2]; of numbers, None.
  confusion: figures.Confusion | np.ndarray | None = None
  calibration: figures.Calibration | None = None
  mean_curves: dict = dataclasses.field(default_factory=dict)  # {column of areas: heights on GRID}.
  slices: tuple[dict, ...] = ()  # Of each: its name, its examples and its figures.


class _Task(NamedTuple):
  """How predictions of a task are judged."""

  assess: Callable  # assess(predictions, scoring) -> the Assessment, but for the slices.
  summarize: Callable  # summarize(predictions, scoring) -> {tag: number} of a slice.


def assess(predictions, scoring):
  """Returns the Assessment of Predictions, of one example or more, under MetricSettings."""
  task = _TASKS[predictions.task]
  slices = []
  if predictions.slice_key:
    members = {}
    for index, name in enumerate(predictions.slices()):
      members.setdefault(name, []).append(index)
    for name in sorted(members, key=_by_number):
      chosen = predictions.choose(members[name])
      summary = task.summarize(chosen, scoring)
      slices.append({'slice': name, 'examples': len(chosen), **_floats(summary)})
  return dataclasses.replace(task.assess(predictions, scoring), slices=tuple(slices))


def is_right(predictions, scoring):
  """Returns whether each prediction is right, bools `[examples]`; None for regression."""
  if predictions.task == 'single_label':
    return predictions.summary.guesses == predictions.labels
  if predictions.task == 'multi_label':
    return np.all(_predicted(predictions, scoring) == (predictions.labels > 0), axis=1)
  return None


def _by_number(name):
  """Returns what text is sorted by: numbers as such, and before the rest."""
  try:
    return 0, float(name), name
  except ValueError:
    return 1, 0.0, name


def _floats(numbers):
  return {name: float(number) for name, number in numbers.items()}


def _mean(values):
  """Returns the mean of those that are defined."""
  return np.mean(values[np.isfinite(values)]) if np.isfinite(values).any() else np.nan


class _Curves(NamedTuple):
  areas: dict  # {name: areas by class}, NaN where they are not defined.
  means: dict  # {name: heights on the GRID}, the mean of the classes where they are.


def scores(predictions, number):
  """Returns the logarithms of the probabilities of the class `number`, or alike, `[examples]`."""
  is_single = predictions.task == 'single_label'
  return predictions.logits[:, number] - (predictions.summary.log_sums if is_single else 0)


def positives(predictions, number):
  """Returns which examples have the class `number`, bools `[examples]`."""
  if predictions.task == 'single_label':
    return predictions.labels == number
  return predictions.labels[:, number] > 0


def _find_curves(predictions):
  """Returns the _Curves of all classes, each against all others.

  Without logits, there are none.
  """
  num_classes = len(predictions.class_names)
  areas = {name: np.full(num_classes, np.nan) for name in (ROC_AUC, AVERAGE_PRECISION)}
  heights = {name: np.zeros_like(GRID) for name in areas}
  # Of a class that no example has, no area is defined.
  for number in predictions.occurring() if predictions.logits is not None else ():
    curves = figures.both_curves(scores(predictions, number), positives(predictions, number))
    for name, curve in zip(areas, curves, strict=True):
      areas[name][number] = curve.area
      if np.isfinite(curve.area):
        heights[name] += _on_grid(curve, name)
  means = {
    name: heights[name] / max(1, np.isfinite(values).sum()) for name, values in areas.items()
  }
  return _Curves(areas, means)


def _on_grid(curve, name):
  if name == ROC_AUC:
    return np.interp(GRID, curve.x, curve.y)
  # In steps: a recall is reached at the first threshold that has as much.
  return curve.y[np.searchsorted(curve.x, GRID).clip(max=len(curve.y) - 1)]


def _assess_single_label(predictions, scoring):
  labels, num_classes = predictions.labels, len(predictions.class_names)
  summary = predictions.summary
  confusion = figures.confusion_matrix(labels, summary.guesses, num_classes)
  by_class = figures.class_figures(confusion)
  num_predicted = confusion.given
  right = is_right(predictions, scoring)
  losses = predictions_lib.log_losses(predictions)
  confidence = np.exp(summary.best - summary.log_sums)
  calibration = figures.calibration(confidence, right)
  curves = _find_curves(predictions)
  recall_low, recall_high = figures.proportion_interval(confusion.right, by_class.support)
  classes = {
    'examples': by_class.support,
    'predicted': num_predicted,
    'precision': by_class.precision,
    'recall': by_class.recall,
    'recall_low': recall_low,
    'recall_high': recall_high,
    'f1': by_class.f1,
    **curves.areas,
  }
  # As in scikit-learn, of the classes that examples or predictions have.
  occurs = num_predicted + by_class.support > 0
  scalars = {
    'log_loss': losses.mean(),
    'macro_precision': by_class.precision[occurs].mean(),
    'macro_recall': by_class.recall[occurs].mean(),
    'macro_f1': by_class.f1[occurs].mean(),
    'weighted_f1': np.average(by_class.f1, weights=by_class.support),
    'mean_roc_auc': _mean(curves.areas[ROC_AUC]),
    'mean_average_precision': _mean(curves.areas[AVERAGE_PRECISION]),
    'expected_calibration_error': calibration.error,
  }
  intervals = {'eval/Accuracy': figures.bootstrap_interval(right)}
  for k in {5, *scoring.find_top_k()}:
    if k < num_classes:
      intervals[f'eval/Recall_{k}'] = figures.bootstrap_interval(summary.num_before < k)
  return Assessment(
    _floats(scalars), intervals, classes, losses, confusion, calibration, curves.means
  )


def _summarize_single_label(predictions, scoring):
  right = is_right(predictions, scoring)
  low, high = figures.bootstrap_interval(right)
  log_loss = predictions_lib.log_losses(predictions).mean()
  return {'Accuracy': right.mean(), 'low': low, 'high': high, 'log_loss': log_loss}


def _predicted(predictions, scoring):
  return predictions.predicted(scoring.decision_threshold)


def _f1(means):
  """Returns F1 of the means of right, predicted and present labels, `[..., 3]`."""
  right, both = means[..., 0], means[..., 1] + means[..., 2]
  return np.divide(2 * right, both, out=np.zeros_like(right), where=both > 0)


def _label_counts(predictions, scoring):
  """Returns the numbers of right, predicted and present labels, `[examples, 3]`."""
  predicted, present = _predicted(predictions, scoring), predictions.labels > 0
  return np.stack([np.sum(a, axis=1) for a in (predicted & present, predicted, present)], axis=1)


def _assess_multi_label(predictions, scoring):
  predicted, present = _predicted(predictions, scoring), predictions.labels > 0
  confusion = figures.label_confusion(present, predicted)
  by_label = figures.label_figures(confusion)
  recall_low, recall_high = figures.proportion_interval(confusion[:, 1, 1], by_label.support)
  losses = predictions_lib.log_losses(predictions)
  calibration = figures.calibration_of_parts(_answers(predictions))
  curves = _find_curves(predictions)
  classes = {
    'examples': by_label.support,
    'predicted': predicted.sum(axis=0),
    'precision': by_label.precision,
    'recall': by_label.recall,
    'recall_low': recall_low,
    'recall_high': recall_high,
    'f1': by_label.f1,
    **curves.areas,
  }
  scalars = {
    'log_loss': losses.mean(),
    'macro_precision': by_label.precision.mean(),
    'macro_recall': by_label.recall.mean(),
    'macro_f1': by_label.f1.mean(),
    'mean_roc_auc': _mean(curves.areas[ROC_AUC]),
    'expected_calibration_error': calibration.error,
  }
  intervals = {
    'eval/Exact_match': figures.bootstrap_interval(is_right(predictions, scoring)),
    'eval/F1': figures.bootstrap_interval(_label_counts(predictions, scoring), of_means=_f1),
  }
  return Assessment(
    _floats(scalars), intervals, classes, losses, confusion, calibration, curves.means
  )


def _answers(predictions):
  """Yields, for a few examples each, how sure the answer yes or no to each label is, and right."""
  for rows in predictions.parts():
    probabilities = predictions.probabilities(rows=rows)
    confidence = np.maximum(probabilities, 1 - probabilities)
    is_right = (probabilities >= 0.5) == (predictions.labels[rows] > 0)
    yield confidence.ravel(), is_right.ravel()


def _summarize_multi_label(predictions, scoring):
  right = is_right(predictions, scoring)
  low, high = figures.bootstrap_interval(right)
  f1 = _f1(_label_counts(predictions, scoring).mean(axis=0))
  return {'Exact_match': right.mean(), 'low': low, 'high': high, 'F1': f1}


def _assess_regression(predictions, scoring):
  del scoring
  guesses, targets = predictions.logits.astype(float), predictions.labels.astype(float)
  by_target = figures.target_figures(guesses, targets)
  errors = guesses - targets
  spread = np.where(by_target.rmse > 0, by_target.rmse, 1)
  # Each target's error counts by what is usual for it.
  losses = np.mean((errors / spread) ** 2, axis=1)
  ends = [
    (*figures.bootstrap_interval(np.abs(column)), *np.sqrt(figures.bootstrap_interval(column**2)))
    for column in errors.T
  ]
  classes = {
    'mae': by_target.mae,
    'mae_low': np.array(ends)[:, 0],
    'mae_high': np.array(ends)[:, 1],
    'rmse': by_target.rmse,
    'rmse_low': np.array(ends)[:, 2],
    'rmse_high': np.array(ends)[:, 3],
    'r2': by_target.r2,
    'mean_error': by_target.mean_error,
    'max_error': by_target.max_error,
    'correlation': by_target.correlation,
  }
  intervals = {'eval/MAE': figures.bootstrap_interval(np.abs(errors).mean(axis=1))}
  return Assessment({}, intervals, classes, losses)


def _summarize_regression(predictions, scoring):
  del scoring
  by_target = figures.target_figures(predictions.logits, predictions.labels)
  low, high = figures.bootstrap_interval(
    np.abs(predictions.logits - predictions.labels).mean(axis=1)
  )
  return {'MAE': by_target.mae.mean(), 'low': low, 'high': high, 'RMSE': by_target.rmse.mean()}


_TASKS = {
  'single_label': _Task(_assess_single_label, _summarize_single_label),
  'multi_label': _Task(_assess_multi_label, _summarize_multi_label),
  'regression': _Task(_assess_regression, _summarize_regression),
}
