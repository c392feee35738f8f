"""The figures equal scikit-learn's and SciPy's."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from slimtrain import figures


def predictions(num_examples, num_classes, seed=0, num_levels=None):
  """Returns (labels, probabilities); with `num_levels` there are many equal probabilities."""
  rng = np.random.RandomState(seed)
  labels = rng.randint(num_classes, size=num_examples)
  logits = rng.normal(size=(num_examples, num_classes)) + 2 * np.eye(num_classes)[labels]
  scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  return labels, np.ceil(scores * num_levels) / num_levels if num_levels else scores


CASES = {
  'many classes': (500, 20, 1, None),
  'two classes': (300, 2, 2, None),
  'ties': (400, 5, 3, 8),
  'a few': (12, 4, 4, None),
  'classes without examples': (6, 9, 5, None),
}
ids = pytest.mark.parametrize('case', CASES)


@ids
def test_confusion_and_figures_by_class(case):
  labels, scores = predictions(*CASES[case])
  num_classes = scores.shape[1]
  predicted = scores.argmax(axis=1)
  confusion = figures.confusion_matrix(labels, predicted, num_classes)
  np.testing.assert_array_equal(
    confusion, metrics.confusion_matrix(labels, predicted, labels=range(num_classes))
  )
  ours = figures.class_figures(confusion)
  theirs = metrics.precision_recall_fscore_support(
    labels, predicted, labels=range(num_classes), zero_division=0
  )
  for our, their in zip(ours, theirs, strict=True):
    np.testing.assert_allclose(our, their, atol=1e-12)


@ids
@pytest.mark.parametrize('k', [1, 3])
def test_top_k(case, k):
  num_examples, num_classes, seed, _ = CASES[case]
  labels, scores = predictions(num_examples, num_classes, seed)
  if num_classes == 2:  # scikit-learn wants the scores of one class then.
    theirs = np.mean(scores.argmax(axis=1) == labels) if k == 1 else 1.0
  else:
    theirs = metrics.top_k_accuracy_score(labels, scores, k=k, labels=range(num_classes))
  assert figures.top_k_accuracy(scores, labels, k) == pytest.approx(theirs, abs=1e-12)


def test_ties_go_to_the_lower_class_as_argmax_has_it():
  scores = np.array([[0.5, 0.5, 0.0], [0.2, 0.4, 0.4]])
  np.testing.assert_array_equal(figures.ranks(scores, [1, 2]), [1, 1])
  assert figures.top_k_accuracy(scores, scores.argmax(axis=1), 1) == 1
  assert figures.top_k_accuracy(scores, [2, 0], 99) == 1


@ids
def test_curves(case):
  labels, scores = predictions(*CASES[case])
  for label in np.unique(labels):
    positives, score = labels == label, scores[:, label]
    roc = figures.roc_curve(score, positives)
    x, y, thresholds = metrics.roc_curve(positives, score, drop_intermediate=False)
    for our, their in zip(roc[:3], (x, y, thresholds), strict=True):
      np.testing.assert_allclose(our, their, atol=1e-12)
    assert roc.area == pytest.approx(metrics.roc_auc_score(positives, score), abs=1e-12)
    curve = figures.precision_recall_curve(score, positives)
    precision, recall, thresholds = metrics.precision_recall_curve(positives, score)
    # scikit-learn's ends at a recall of 0, and rises in thresholds.
    np.testing.assert_allclose(curve.x, recall[-2::-1], atol=1e-12)
    np.testing.assert_allclose(curve.y, precision[-2::-1], atol=1e-12)
    np.testing.assert_allclose(curve.thresholds, thresholds[::-1], atol=1e-12)
    assert curve.area == pytest.approx(metrics.average_precision_score(positives, score), abs=1e-12)


def test_curves_of_one_kind_have_no_area():
  scores = np.array([0.1, 0.9])
  assert np.isnan(figures.roc_curve(scores, [True, True]).area)
  assert np.isnan(figures.precision_recall_curve(scores, [False, False]).area)


@ids
def test_calibration(case):
  labels, scores = predictions(*CASES[case])
  confidence, is_right = scores.max(axis=1), scores.argmax(axis=1) == labels
  ours = figures.calibration(confidence, is_right, num_bins=10)
  # Its definition, bin by bin.
  error = 0.0
  for low, high in zip(ours.edges[:-1], ours.edges[1:], strict=True):
    inside = (confidence > low) & (confidence <= high)
    if inside.any():
      error += inside.mean() * abs(confidence[inside].mean() - is_right[inside].mean())
  assert ours.error == pytest.approx(error, abs=1e-12)
  assert ours.counts.sum() == len(labels)


def test_calibration_at_the_edges():
  ours = figures.calibration([0.0, 0.5, 1.0], [False, True, True], num_bins=2)
  np.testing.assert_array_equal(ours.counts, [2, 1])
  assert ours.error == pytest.approx((2 * 0.25 + 0) / 3)


def test_bootstrap():
  is_right = np.random.RandomState(0).rand(2000) < 0.8
  low, high = figures.bootstrap_interval(is_right)
  # The normal approximation is good for so many.
  width = 1.96 * np.sqrt(0.8 * 0.2 / 2000)
  assert low == pytest.approx(is_right.mean() - width, abs=0.003)
  assert high == pytest.approx(is_right.mean() + width, abs=0.003)
  assert figures.bootstrap_interval(np.ones(10)) == (1.0, 1.0)
  assert figures.bootstrap_interval(is_right) == (low, high)


@pytest.mark.parametrize('counts', [(0, 0), (1, 0), (5, 5), (2, 11), (300, 340), (4000, 4400)])
def test_mcnemar(counts):
  only_first, only_second = counts
  first = [True] * only_first + [False] * only_second + [True, False]
  second = [False] * only_first + [True] * only_second + [True, False]
  total = sum(counts)
  expected = stats.binomtest(only_first, total).pvalue if total else 1.0
  assert figures.mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_interval_of_a_function_of_means():
  rng = np.random.RandomState(0)
  counts = rng.randint(1, 5, size=(300, 2))
  ratio = lambda means: means[..., 0] / means[..., 1]  # noqa: E731
  low, high = figures.bootstrap_interval(counts, of_means=ratio)
  theirs = stats.bootstrap(
    (counts[:, 0], counts[:, 1]),
    lambda a, b, axis: a.mean(axis=axis) / b.mean(axis=axis),
    paired=True,
    method='percentile',
    random_state=0,
  ).confidence_interval
  assert (low, high) == pytest.approx(tuple(theirs), abs=0.01)
  # Drawn in parts, for memory, the numbers are the same.
  old, figures._MAX_COUNTS = figures._MAX_COUNTS, 100
  try:
    assert figures.bootstrap_interval(counts, of_means=ratio) == (low, high)
  finally:
    figures._MAX_COUNTS = old


def test_interval_of_proportions():
  counts, totals = np.array([0, 3, 31, 50, 0]), np.array([12, 10, 31, 200, 0])
  lows, highs = figures.proportion_interval(counts, totals)
  for index in range(4):
    theirs = stats.binomtest(int(counts[index]), int(totals[index])).proportion_ci(method='wilson')
    assert (lows[index], highs[index]) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
  assert np.isnan(lows[4])
  assert np.isnan(highs[4])


@ids
def test_both_curves_at_once(case):
  labels, scores = predictions(*CASES[case])
  both = figures.both_curves(scores[:, 1], labels == 1)
  for curve, alone in zip(both, (figures.roc_curve, figures.precision_recall_curve), strict=True):
    for part, its in zip(curve, alone(scores[:, 1], labels == 1), strict=True):
      np.testing.assert_array_equal(part, its)
