"""Figures on how good a model is, of all its predictions on a split; NumPy alone.

Definitions are scikit-learn's, where it has them.
"""

import math
from typing import NamedTuple

import numpy as np

_FEW_THRESHOLDS = 30  # Up to which to count scores above each is faster than to sort them.
_MAX_COUNTS = 5_000_000  # Numbers held at once while drawing.


class ClassFigures(NamedTuple):
  """A classifier's figures by class, each float64 `[classes]`; 0 where they are not defined."""

  precision: np.ndarray  # Of the examples given the class, the share that has it.
  recall: np.ndarray  # Of the examples that have the class, the share given it.
  f1: np.ndarray  # The harmonic mean of both.
  support: np.ndarray  # Examples that have the class, int64.


class TargetFigures(NamedTuple):
  """Figures on numbers that were to be guessed, each float64 `[targets]`."""

  mae: np.ndarray  # The mean of the absolute errors.
  rmse: np.ndarray  # The root of the mean of their squares.
  r2: np.ndarray  # 1 less the share of the variance that errors have; NaN where there is none.
  mean_error: np.ndarray  # Above 0 where guesses are too high.
  max_error: np.ndarray  # The largest absolute one.
  correlation: np.ndarray  # Pearson's; NaN where either does not vary.


class Curve(NamedTuple):
  """What follows from each threshold on a score, and the area below."""

  x: np.ndarray
  y: np.ndarray
  thresholds: np.ndarray  # Falling: a score of so much, or more, counts as yes.
  area: float


class Calibration(NamedTuple):
  """How often predictions of a confidence are right, by bins of the confidence."""

  edges: np.ndarray  # Of the bins, `[bins + 1]`.
  confidence: np.ndarray  # The mean in each bin, `[bins]`; NaN in an empty one.
  accuracy: np.ndarray  # The share that is right, `[bins]`; NaN in an empty one.
  counts: np.ndarray  # Examples, int64 `[bins]`.
  error: float  # The mean distance of both over the examples: the expected calibration error.


class Confusion(NamedTuple):
  """The cells of a confusion matrix that are not 0, in the order of their rows and columns.

  `np.array` of it is the whole matrix, int64 `[classes, classes]`.
  """

  num_classes: int
  labels: np.ndarray  # int64 [cells]: the class that the examples have.
  predictions: np.ndarray  # int64 [cells]: the class that they are given.
  counts: np.ndarray  # int64 [cells]: how many they are, 1 or more.

  @property
  def support(self) -> np.ndarray:
    """Examples that have each class, int64 `[classes]`."""
    return self._sum(self.labels, self.counts)

  @property
  def given(self) -> np.ndarray:
    """Examples that are given each class, int64 `[classes]`."""
    return self._sum(self.predictions, self.counts)

  @property
  def right(self) -> np.ndarray:
    """Examples that have and are given each class, int64 `[classes]`."""
    return self._sum(self.labels, np.where(self.is_right, self.counts, 0))

  @property
  def is_right(self) -> np.ndarray:
    """Whether each cell is on the diagonal, bools `[cells]`."""
    return self.labels == self.predictions

  def part(self, chosen: np.ndarray) -> np.ndarray:
    """Returns the matrix of some classes alone, int64 `[chosen, chosen]`."""
    places = np.full(self.num_classes, -1)
    places[chosen] = np.arange(len(chosen))
    rows, columns = places[self.labels], places[self.predictions]
    is_inside = (rows >= 0) & (columns >= 0)
    matrix = np.zeros((len(chosen), len(chosen)), np.int64)
    matrix[rows[is_inside], columns[is_inside]] = self.counts[is_inside]
    return matrix

  def __array__(self, dtype=None, copy=None):
    return self.part(np.arange(self.num_classes)).astype(dtype or np.int64)

  def _sum(self, classes, counts):
    return np.bincount(classes, counts, self.num_classes).astype(np.int64)


def confusion_matrix(labels, predictions, num_classes):
  """Returns the Confusion that counts examples by class and by predicted class.

  Args:
    labels: ints `[examples]`, in `[0, num_classes)`.
    predictions: ints `[examples]`, likewise.
    num_classes: an int.
  """
  cells, counts = np.unique(
    np.asarray(labels, np.int64) * num_classes + predictions, return_counts=True
  )
  return Confusion(num_classes, *np.divmod(cells, num_classes), counts)


def class_figures(confusion):
  """Returns the ClassFigures of a Confusion."""
  right, support, given = confusion.right.astype(float), confusion.support, confusion.given
  return ClassFigures(
    _divide(right, given), _divide(right, support), _divide(2 * right, given + support), support
  )


def label_confusion(present, predicted):
  """Returns the counts of examples by label, presence and prediction, int64 `[labels, 2, 2]`.

  Args:
    present: bools `[examples, labels]`.
    predicted: bools `[examples, labels]`.
  """
  present, predicted = np.asarray(present, bool), np.asarray(predicted, bool)
  counts = [np.sum(a & b, axis=0) for a in (~present, present) for b in (~predicted, predicted)]
  return np.stack(counts, axis=1).reshape(-1, 2, 2)


def label_figures(confusion):
  """Returns the ClassFigures of a `label_confusion`."""
  right, false, missed = confusion[:, 1, 1].astype(float), confusion[:, 0, 1], confusion[:, 1, 0]
  return ClassFigures(
    _divide(right, right + false),
    _divide(right, right + missed),
    _divide(2 * right, 2 * right + false + missed),
    confusion[:, 1].sum(axis=1),
  )


def target_figures(guesses, targets):
  """Returns the TargetFigures of guesses `[examples, targets]` of so many targets."""
  guesses, targets = np.asarray(guesses, float), np.asarray(targets, float)
  errors = guesses - targets
  squares = np.mean(errors**2, axis=0)
  a, b = guesses - guesses.mean(axis=0), targets - targets.mean(axis=0)
  variance = np.mean(b**2, axis=0)
  with np.errstate(invalid='ignore', divide='ignore'):
    r2 = np.where(variance > 0, 1 - squares / variance, np.nan)
    correlation = np.mean(a * b, axis=0) / np.sqrt(np.mean(a**2, axis=0) * variance)
  return TargetFigures(
    np.mean(np.abs(errors), axis=0),
    np.sqrt(squares),
    r2,
    errors.mean(axis=0),
    np.abs(errors).max(axis=0),
    correlation,
  )


def _divide(a, b):
  return np.divide(a, b, out=np.zeros_like(a, float), where=b != 0)


def top_k_accuracy(scores, labels, k):
  """Returns the share of examples whose class is among the `k` of the highest scores.

  Of classes with the same score the one of the lower number comes first.

  Args:
    scores: `[examples, classes]`.
    labels: ints `[examples]`.
    k: an int; all classes at most are looked at.
  """
  return float(np.mean(ranks(scores, labels) < k))


def ranks(scores, labels):
  """Returns the places of the examples' classes by their scores, ints `[examples]`; 0 is first."""
  scores = np.asarray(scores)
  own = np.take_along_axis(scores, np.asarray(labels)[:, None], axis=1)
  ties_before = (scores == own) & (np.arange(scores.shape[1]) < np.asarray(labels)[:, None])
  return np.sum((scores > own) | ties_before, axis=1)


def _cumulate(scores, positives):
  """Returns (true positives, false positives, thresholds) at each distinct score, falling."""
  scores, positives = np.asarray(scores), np.asarray(positives, np.int64)
  # Of equal scores the order is of no account.
  order = np.argsort(-scores)
  scores, positives = scores[order], positives[order]
  is_last = np.append(scores[1:] != scores[:-1], True)  # Of those with the same score.
  true = np.cumsum(positives)[is_last]
  return true, np.flatnonzero(is_last) + 1 - true, scores[is_last]


def roc_curve(scores, positives):
  """Returns the Curve of the true positive rate (y) by the false positive rate (x).

  It begins at (0, 0), with an infinite threshold. The area is NaN where all examples are positive,
  or none.

  Args:
    scores: `[examples]`.
    positives: bools `[examples]`.
  """
  return _make_roc_curve(*_cumulate(scores, positives))


def precision_recall_curve(scores, positives):
  """Returns the Curve of precision (y) by recall (x); its area is the average precision.

  The area is that below steps: the precision at each threshold, times what recall gains there. NaN
  where no example is positive.

  Args:
    scores: `[examples]`.
    positives: bools `[examples]`.
  """
  return _make_precision_recall_curve(*_cumulate(scores, positives))


def average_precision(scores, own):
  """Returns the area of `precision_recall_curve`, exactly, fast where few examples are positive.

  Args:
    scores: `[examples]`.
    own: those of the positive ones, of which there is at least one.
  """
  thresholds, counts = np.unique(own, return_counts=True)
  if len(thresholds) <= _FEW_THRESHOLDS:
    num_above = np.array([np.count_nonzero(scores >= threshold) for threshold in thresholds])
  else:
    num_above = len(scores) - np.searchsorted(np.sort(scores), thresholds)
  num_right = np.cumsum(counts[::-1])[::-1]
  return float(np.sum(num_right / num_above * counts) / len(own))


def both_curves(scores, positives):
  """Returns (roc_curve, precision_recall_curve) of the same arguments, sorted once for both."""
  cumulated = _cumulate(scores, positives)
  return _make_roc_curve(*cumulated), _make_precision_recall_curve(*cumulated)


def _make_roc_curve(true, false, thresholds):
  with np.errstate(invalid='ignore'):
    x = np.append(0, false) / false[-1]
    y = np.append(0, true) / true[-1]
  area = np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)
  return Curve(x, y, np.append(np.inf, thresholds), float(area))


def _make_precision_recall_curve(true, false, thresholds):
  precision = true / (true + false)
  with np.errstate(invalid='ignore'):
    recall = true / true[-1]
  return Curve(recall, precision, thresholds, float(np.sum(precision * np.diff(recall, prepend=0))))


def calibration(confidence, is_right, num_bins=15):
  """Returns the Calibration, in bins of equal width.

  C. Guo et al., "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599,
  equation 3.

  Args:
    confidence: the probability of the predicted class, `[examples]`, in [0, 1].
    is_right: bools `[examples]`.
    num_bins: an int; a bin holds its upper edge.
  """
  return calibration_of_parts([(confidence, is_right)], num_bins)


def calibration_of_parts(parts, num_bins=15):
  """Returns the Calibration of pairs of confidences and bools, as `calibration` has them."""
  edges = np.linspace(0, 1, num_bins + 1)
  counts, sums = np.zeros(num_bins, np.int64), np.zeros((2, num_bins))
  for confidence, is_right in parts:
    confidence = np.asarray(confidence, float)
    bins = np.clip(np.searchsorted(edges, confidence, side='left') - 1, 0, num_bins - 1)
    counts += np.bincount(bins, minlength=num_bins)
    sums += [np.bincount(bins, values, num_bins) for values in (confidence, np.asarray(is_right))]
  with np.errstate(invalid='ignore'):
    means = sums / counts
  error = np.sum(np.abs(sums[0] - sums[1])) / max(1, counts.sum())
  return Calibration(edges, *means, counts, float(error))


def bootstrap_interval(values, level=0.95, num_draws=1000, seed=0, of_means=None):
  """Returns the (low, high) ends of the interval of the mean of `values`, by the bootstrap.

  B. Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979: percentiles of the means of
  examples drawn again.

  Args:
    values: `[examples]`, such as whether each is right; or several, `[examples, values]`.
    level: the share of the means within.
    num_draws: an int.
    seed: an int.
    of_means: of several values, a function of their means `[draws, values]` that returns what the
      interval is of, `[draws]`.
  """
  values = np.asarray(values, float)
  distinct, counts = np.unique(values, return_counts=True, axis=0)
  random = np.random.RandomState(seed)
  # How often each value is drawn is all that matters of which examples are.
  num_at_once = max(1, _MAX_COUNTS // len(counts))
  means = np.concatenate(
    [
      random.multinomial(len(values), counts / len(values), min(num_at_once, num_draws - start))
      @ distinct
      / len(values)
      for start in range(0, num_draws, num_at_once)
    ]
  )
  drawn = of_means(means) if of_means else means
  low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
  return float(low), float(high)


def proportion_interval(counts, totals):
  """Returns the (lows, highs) of the 95% intervals of `counts / totals`, NaN where these are 0.

  E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927: unlike
  the bootstrap it has a width when all of a few are right.

  Args:
    counts: ints `[n]`.
    totals: ints `[n]`, of which these are.
  """
  z2 = 1.959963984540054**2  # Of the normal distribution, 95% lie within this square's root.
  counts, totals = np.asarray(counts, float), np.asarray(totals, float)
  with np.errstate(invalid='ignore', divide='ignore'):
    centre = (counts + z2 / 2) / (totals + z2)
    half = np.sqrt(z2 * (counts * (totals - counts) / totals + z2 / 4)) / (totals + z2)
  centre = np.where(totals > 0, centre, np.nan)
  return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def mcnemar(first_is_right, second_is_right):
  """Returns how likely two models, equally good, differ on examples as much as these do.

  Q. McNemar, "Note on the sampling error of the difference between correlated proportions", 1947,
  in its exact form, two-sided: of the examples that one of both has right, each has half of them.

  Args:
    first_is_right: bools `[examples]`.
    second_is_right: bools of the same examples.
  """
  first_is_right, second_is_right = (np.asarray(a, bool) for a in (first_is_right, second_is_right))
  only_first = int(np.sum(first_is_right & ~second_is_right))
  only_second = int(np.sum(second_is_right & ~first_is_right))
  total = only_first + only_second
  log_choices = [
    math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
    for k in range(min(only_first, only_second) + 1)
  ]
  tail = sum(math.exp(log - total * math.log(2)) for log in log_choices)
  return min(1.0, 2 * tail)
