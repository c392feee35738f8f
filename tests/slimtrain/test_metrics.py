"""Metrics, fed in batches, against scikit-learn and NumPy on the whole."""

import types

import numpy as np
import pytest

from slimcompat import tf
from slimtrain import metrics, models

RNG = np.random.RandomState(0)
# Few distinct scores, so that examples share them, and a class without examples.
LOGITS = np.round(RNG.standard_normal((57, 5)) * 3).astype('float32')
SEVERAL = (LOGITS / 3 + RNG.standard_normal((57, 5)) > 0.5).astype('float32')
SEVERAL[:, 3] = 0
TARGETS = (LOGITS + RNG.standard_normal((57, 5)) * [1, 2, 3, 4, 5]).astype('float32')
ERRORS = np.float64(LOGITS) - TARGETS


def compute(task, labels, threshold=0.5, num_classes=5, logits=LOGITS):
  """Returns {name: value} after batches of 10, the last smaller."""
  data = types.SimpleNamespace(task=task, num_classes=num_classes)
  examples = tf.data.Dataset.from_tensor_slices((logits, labels)).batch(10)
  batch_logits, batch_labels = tf.data.make_one_shot_iterator(examples).get_next()
  model = models.Model(batch_logits, {})
  settings = metrics.MetricSettings(decision_threshold=threshold)
  values, updates = metrics.make(settings, model, batch_labels, data)
  with tf.Session() as session:
    session.run(tf.local_variables_initializer())
    for _ in range(6):
      session.run(updates)
    return session.run(values)


def test_several_labels():
  sklearn = pytest.importorskip('sklearn.metrics')
  values = compute('multi_label', SEVERAL, threshold=0.7)
  predicted = np.log(0.7 / 0.3) <= LOGITS
  present = [0, 1, 2, 4]
  expected = {
    'mAP': sklearn.average_precision_score(SEVERAL[:, present], LOGITS[:, present]),
    'F1': sklearn.f1_score(SEVERAL, predicted, average='micro'),
    'Exact_match': sklearn.accuracy_score(SEVERAL, predicted),
  }
  assert values == pytest.approx(expected, rel=1e-6)
  assert 0 < expected['Exact_match'] < 1


def test_map_of_no_labels_is_nan():
  assert np.isnan(metrics.average_precision(LOGITS, np.zeros_like(LOGITS)))


def test_targets():
  sklearn = pytest.importorskip('sklearn.metrics')
  values = compute('regression', TARGETS)
  np.testing.assert_allclose(values['MAE'], np.abs(ERRORS).mean(axis=0), rtol=1e-6)
  np.testing.assert_allclose(values['RMSE'], np.sqrt((ERRORS**2).mean(axis=0)), rtol=1e-6)
  np.testing.assert_allclose(
    values['R2'], sklearn.r2_score(TARGETS, LOGITS, multioutput='raw_values'), rtol=1e-5
  )


def test_one_label():
  labels = RNG.randint(0, 5, 57)
  assert compute('single_label', labels) == pytest.approx(
    {'Accuracy': (LOGITS.argmax(axis=1) == labels).mean()}
  )


def test_metric_needs_enough_classes():
  logits = RNG.standard_normal((57, 6)).astype('float32')
  labels = RNG.randint(0, 6, 57)
  assert set(compute('single_label', labels, num_classes=6, logits=logits)) == {
    'Accuracy',
    'Recall_5',
  }


@pytest.mark.parametrize(
  ('value', 'expected'),
  [
    (np.float32(2), {'eval/MAE': 2}),
    (np.float32([2]), {'eval/MAE': 2}),
    (np.float32([2, 4]), {'eval/MAE': 3, 'eval/MAE/x': 2, 'eval/MAE/1': 4}),
  ],
)
def test_values_of_each_target_are_named(value, expected):
  data = types.SimpleNamespace(dataset=types.SimpleNamespace(labels_to_names={0: 'x'}))
  assert metrics.by_tag({'MAE': value}, data) == expected


@pytest.mark.parametrize('limit', [metrics.Scores.MAX_IN_MEMORY, 600, 40])
def test_map_of_more_scores_than_fit_into_memory(monkeypatch, limit):
  sklearn = pytest.importorskip('sklearn.metrics')
  monkeypatch.setattr(metrics.Scores, 'MAX_IN_MEMORY', limit)
  rng = np.random.RandomState(0)
  logits = rng.normal(size=(70, 23)).round(1).astype(np.float32)  # Many are alike.
  labels = (rng.uniform(size=(70, 23)) < np.linspace(0, 0.9, 23)).astype(np.float32)
  kept = metrics.Scores()
  for start in range(0, 70, 16):
    kept.add(logits[start : start + 16], labels[start : start + 16])
  present = labels.any(axis=0)
  assert not present.all()
  expected = sklearn.average_precision_score(labels[:, present], logits[:, present])
  assert kept.average_precision() == pytest.approx(expected, abs=1e-12)


def test_map_of_nothing():
  assert np.isnan(metrics.Scores().average_precision())
  assert np.isnan(metrics.average_precision(np.zeros((2, 3)), np.zeros((2, 3))))
