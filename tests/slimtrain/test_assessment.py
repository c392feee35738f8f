"""All figures of a report equal scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from slimtrain import assessment, metrics, predictions

NUM = 400
EXACT = {'rtol': 0, 'atol': 1e-6}


def make(task, num_classes, seed=0, slice_key=None):
  rng = np.random.RandomState(seed)
  logits = rng.normal(size=(NUM, num_classes)).astype(np.float32)
  if task == 'single_label':
    labels = rng.randint(num_classes, size=NUM)
    logits[np.arange(NUM), labels] += 1
  elif task == 'multi_label':
    labels = (rng.uniform(size=(NUM, num_classes)) < 0.4).astype(np.float32)
    logits += labels
  else:
    labels = logits + rng.normal(scale=[0.1, 1, 3], size=(NUM, num_classes)).astype(np.float32)
  names = tuple(f'c{number}' for number in range(num_classes))
  records = np.stack([np.zeros(NUM, int), np.arange(NUM)], axis=1)
  texts = {'camera': [str(number % 3 + 9) for number in range(NUM)]}
  return predictions.Predictions(task, names, 0, ('x',), logits, labels, records, texts, slice_key)


def softmax(logits):
  exponentials = np.exp(logits.astype(float))
  return exponentials / exponentials.sum(axis=1, keepdims=True)


def expected_calibration_error(confidence, is_right, num_bins=15):
  """Returns it, bin by bin."""
  error = 0
  for number in range(num_bins):
    inside = (confidence > number / num_bins) & (confidence <= (number + 1) / num_bins)
    if inside.any():
      error += inside.mean() * abs(is_right[inside].mean() - confidence[inside].mean())
  return error


@pytest.mark.parametrize('num_classes', [2, 3, 20])
def test_single_label(num_classes):
  made = make('single_label', num_classes, seed=num_classes)
  assessed = assessment.assess(made, metrics.MetricSettings())
  labels, probabilities = made.labels, softmax(made.logits)
  guesses = probabilities.argmax(axis=1)
  one_hot = np.eye(num_classes)[labels]
  np.testing.assert_array_equal(
    assessed.confusion, sklearn_metrics.confusion_matrix(labels, guesses)
  )
  precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(labels, guesses)
  areas = [
    sklearn_metrics.roc_auc_score(*pair) for pair in zip(one_hot.T, probabilities.T, strict=True)
  ]
  averages = sklearn_metrics.average_precision_score(one_hot, probabilities, average=None)
  for column, theirs in (
    ('precision', precision),
    ('recall', recall),
    ('f1', f1),
    ('examples', support),
    ('predicted', np.bincount(guesses, minlength=num_classes)),
    ('roc_auc', areas),
    ('average_precision', averages),
  ):
    np.testing.assert_allclose(assessed.classes[column], theirs, **EXACT, err_msg=column)
  average = sklearn_metrics.precision_recall_fscore_support
  expected = {
    'log_loss': sklearn_metrics.log_loss(labels, probabilities),
    'macro_precision': average(labels, guesses, average='macro')[0],
    'macro_recall': sklearn_metrics.balanced_accuracy_score(labels, guesses),
    'macro_f1': sklearn_metrics.f1_score(labels, guesses, average='macro'),
    'weighted_f1': sklearn_metrics.f1_score(labels, guesses, average='weighted'),
    'mean_roc_auc': np.mean(areas),
    'mean_average_precision': np.mean(averages),
    'expected_calibration_error': expected_calibration_error(
      probabilities.max(axis=1), guesses == labels
    ),
  }
  assert assessed.scalars.keys() == expected.keys()
  for name, theirs in expected.items():
    assert assessed.scalars[name] == pytest.approx(theirs, abs=1e-6), name
  # The mean of the curves has the mean area, but for the width of the grid.
  for name, heights in assessed.mean_curves.items():
    assert np.trapezoid(heights, assessment.GRID) == pytest.approx(
      np.mean(assessed.classes[name]), abs=0.02
    )


def test_classes_without_examples():
  made = make('single_label', 5)
  made.labels[made.labels == 4] = 3
  made.logits[:, 4] = -10
  assessed = assessment.assess(made, metrics.MetricSettings())
  guesses = made.logits.argmax(axis=1)
  # Class 4 is neither there nor predicted, which leaves it out of the means.
  assert assessed.scalars['macro_f1'] == pytest.approx(
    sklearn_metrics.f1_score(made.labels, guesses, average='macro'), abs=1e-9
  )
  for column in ('roc_auc', 'average_precision', 'recall_low'):
    assert np.isnan(assessed.classes[column][4])
  assert np.isfinite(list(assessed.scalars.values())).all()


@pytest.mark.parametrize('threshold', [0.5, 0.7])
def test_multi_label(threshold):
  made = make('multi_label', 6)
  scoring = metrics.MetricSettings(decision_threshold=threshold)
  assessed = assessment.assess(made, scoring)
  probabilities = 1 / (1 + np.exp(-made.logits.astype(float)))
  predicted, present = probabilities >= threshold, made.labels > 0
  np.testing.assert_array_equal(
    assessed.confusion, sklearn_metrics.multilabel_confusion_matrix(present, predicted)
  )
  precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
    present, predicted, zero_division=0
  )
  areas = sklearn_metrics.roc_auc_score(present, probabilities, average=None)
  averages = sklearn_metrics.average_precision_score(present, probabilities, average=None)
  for column, theirs in (
    ('precision', precision),
    ('recall', recall),
    ('f1', f1),
    ('examples', support),
    ('roc_auc', areas),
    ('average_precision', averages),
  ):
    np.testing.assert_allclose(assessed.classes[column], theirs, **EXACT, err_msg=column)
  assert metrics.average_precision(made.logits, made.labels) == pytest.approx(np.mean(averages))
  losses = [
    sklearn_metrics.log_loss(*pair) for pair in zip(present.T, probabilities.T, strict=True)
  ]
  assert assessed.scalars['log_loss'] == pytest.approx(np.mean(losses), abs=1e-6)
  assert assessed.scalars['macro_f1'] == pytest.approx(f1.mean(), abs=1e-6)
  assert assessed.scalars['expected_calibration_error'] == pytest.approx(
    expected_calibration_error(
      np.maximum(probabilities, 1 - probabilities).ravel(),
      ((probabilities >= 0.5) == present).ravel(),
    ),
    abs=1e-6,
  )
  for tag, value in (
    ('eval/F1', sklearn_metrics.f1_score(present, predicted, average='micro')),
    ('eval/Exact_match', sklearn_metrics.accuracy_score(present, predicted)),
  ):
    low, high = assessed.intervals[tag]
    assert low < value < high


def test_regression():
  made = make('regression', 3)
  assessed = assessment.assess(made, metrics.MetricSettings())
  for column, function in (
    ('mae', sklearn_metrics.mean_absolute_error),
    ('rmse', sklearn_metrics.root_mean_squared_error),
    ('r2', sklearn_metrics.r2_score),
  ):
    theirs = function(made.labels, made.logits, multioutput='raw_values')
    np.testing.assert_allclose(assessed.classes[column], theirs, **EXACT, err_msg=column)
  errors = made.logits - made.labels
  np.testing.assert_allclose(assessed.classes['mean_error'], errors.mean(axis=0), **EXACT)
  np.testing.assert_allclose(assessed.classes['max_error'], np.abs(errors).max(axis=0), **EXACT)
  for index in range(3):
    correlation = np.corrcoef(made.logits[:, index], made.labels[:, index])[0, 1]
    assert assessed.classes['correlation'][index] == pytest.approx(correlation, abs=1e-6)
    ends = (assessed.classes[f'rmse_{end}'][index] for end in ('low', 'high'))
    assert next(ends) < assessed.classes['rmse'][index] < next(ends)
  # Each target's errors count alike, however large they are.
  scaled = errors / assessed.classes['rmse']
  np.testing.assert_allclose(assessed.losses, np.mean(scaled**2, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
  ('task', 'tag'), [('single_label', 'Accuracy'), ('multi_label', 'Exact_match')]
)
def test_slices(task, tag):
  made = make(task, 3, slice_key='camera')
  scoring = metrics.MetricSettings()
  slices = assessment.assess(made, scoring).slices
  # Numbers are in their order, not in that of their digits.
  assert [row['slice'] for row in slices] == ['9', '10', '11']
  right = assessment.is_right(made, scoring)
  for number, row in enumerate(slices):
    own = right[number::3]
    assert row['examples'] == len(own)
    assert row[tag] == pytest.approx(own.mean(), abs=1e-12)
    assert row['low'] < row[tag] < row['high']


def test_slices_of_numbers():
  slices = assessment.assess(
    make('regression', 3, slice_key='camera'), metrics.MetricSettings()
  ).slices
  made = make('regression', 3)
  for number, row in enumerate(slices):
    errors = (made.logits - made.labels)[number::3]
    assert row['MAE'] == pytest.approx(np.abs(errors).mean(), rel=1e-6)
    assert row['RMSE'] == pytest.approx(np.sqrt((errors**2).mean(axis=0)).mean(), rel=1e-6)
