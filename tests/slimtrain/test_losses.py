"""Losses against NumPy."""

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain import losses, models

LOGITS = np.random.RandomState(0).standard_normal((6, 4)).astype('float32')
LABELS = np.array([0, 1, 2, 3, 0, 2])
TARGETS = np.random.RandomState(1).standard_normal((6, 4)).astype('float32')
SEVERAL = (TARGETS > 0).astype('float32')


def cross_entropy(logits, labels, smoothing=0.0, gamma=0.0, class_weights=(1, 1, 1, 1)):
  targets = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
  log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  unrecognized = 1 - np.exp(log_probabilities[np.arange(len(labels)), labels])
  weights = unrecognized**gamma * np.array(class_weights)[labels]
  return (-(targets * log_probabilities).sum(axis=1) * weights).mean()


def compute(settings, has_auxiliary=False, class_weights=None, labels=LABELS, **kwargs):
  """Returns the loss, the total of all, and the gradient of the total by the logits."""
  logits = tf.constant(LOGITS)
  model = models.Model(logits, {'AuxLogits': tf.constant(-LOGITS)} if has_auxiliary else {})
  loss = losses.add_losses(settings, model, tf.constant(labels), class_weights, **kwargs)
  total = tf.losses.get_total_loss()
  with tf.Session() as session:
    return session.run([loss, total, tf.gradients(total, logits)[0]])


@pytest.mark.parametrize('has_auxiliary', [False, True])
@pytest.mark.parametrize(
  ('settings', 'class_weights', 'expected'),
  [
    ({}, None, {}),
    ({'label_smoothing': 0.1}, None, {'smoothing': 0.1}),
    ({'loss': 'focal', 'focal_gamma': 1.5}, None, {'gamma': 1.5}),
    ({}, [0.5, 1.0, 2.0, 0.0], {'class_weights': [0.5, 1.0, 2.0, 0.0]}),
    (
      {'loss': 'focal', 'label_smoothing': 0.2},
      [0.5, 1.0, 2.0, 0.0],
      {'gamma': 2.0, 'smoothing': 0.2, 'class_weights': [0.5, 1.0, 2.0, 0.0]},
    ),
  ],
  ids=['softmax', 'smoothed', 'focal', 'weighted', 'all'],
)
def test_losses(settings, class_weights, expected, has_auxiliary):
  loss, total, _ = compute(losses.LossSettings(**settings), has_auxiliary, class_weights)
  main = cross_entropy(LOGITS, LABELS, **expected)
  auxiliary = 0.4 * cross_entropy(-LOGITS, LABELS, **expected) if has_auxiliary else 0
  assert loss == pytest.approx(main, rel=1e-5)
  assert total == pytest.approx(main + auxiliary, rel=1e-5)


@pytest.mark.parametrize(
  ('settings', 'given'),
  [
    ({'loss': 'focal', 'focal_gamma': 0.0}, {}),
    ({}, {'class_weights': [1.0] * 4}),
    ({}, {'example_weights': np.ones(6, 'float32')}),
    ({}, {'labels': np.eye(4, dtype='float32')[LABELS]}),
  ],
  ids=['gamma 0', 'class weights of 1', 'example weights of 1', 'labels mixed with nothing'],
)
@pytest.mark.parametrize('has_auxiliary', [False, True])
def test_what_changes_nothing_changes_no_bit(settings, given, has_auxiliary):
  plain = compute(losses.LossSettings(), has_auxiliary)
  with tf.Graph().as_default():
    other = compute(losses.LossSettings(**settings), has_auxiliary, **given)
  for value, expected in zip(other, plain, strict=True):
    np.testing.assert_array_equal(value, expected)


MIXED = 0.7 * np.eye(4, dtype='float32')[LABELS] + 0.3 * np.eye(4, dtype='float32')[LABELS[::-1]]


@pytest.mark.parametrize('has_auxiliary', [False, True])
@pytest.mark.parametrize('gamma', [0.0, 1.5])
@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('class_weights', [None, [0.5, 1.0, 2.0, 0.0]])
def test_mixed_labels(gamma, smoothing, class_weights, has_auxiliary):
  """Each part has its share in smoothing, class weights and the probability of the label."""
  settings = losses.LossSettings('focal', label_smoothing=smoothing, focal_gamma=gamma)
  loss, total, _ = compute(settings, has_auxiliary, class_weights, MIXED)

  def expected(logits):
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = MIXED * (1 - smoothing) + smoothing / 4
    weights = (1 - (MIXED * probabilities).sum(axis=1)) ** gamma
    if class_weights:
      weights *= (MIXED * class_weights).sum(axis=1)
    return (-(targets * np.log(probabilities)).sum(axis=1) * weights).mean()

  assert loss == pytest.approx(expected(LOGITS), rel=1e-5)
  auxiliary = 0.4 * expected(-LOGITS) if has_auxiliary else 0
  assert total == pytest.approx(expected(LOGITS) + auxiliary, rel=1e-5)


WEIGHTS = np.array([0.0, 1.0, 2.0, 0.5, 1.0, 3.0], 'float32')


@pytest.mark.parametrize(
  ('task', 'loss'), [('single_label', 'focal'), ('multi_label', 'focal'), ('regression', 'l1')]
)
def test_an_example_of_weight_2_counts_as_two(task, loss):
  """And one of weight 0 not at all: the loss is what the weights make of each example's own."""
  labels = {'single_label': LABELS, 'multi_label': SEVERAL, 'regression': TARGETS}[task]
  settings = losses.LossSettings(loss)
  class_weights = None if task == 'regression' else [0.5, 1.0, 2.0, 4.0]
  own = []
  for number in range(6):
    with tf.Graph().as_default(), tf.Session() as session:
      model = models.Model(tf.constant(LOGITS[number : number + 1]), {})
      one = labels[number : number + 1]
      own.append(session.run(losses.add_losses(settings, model, one, class_weights, task)))
  loss, total, _ = compute(
    settings, True, class_weights, labels, task=task, example_weights=tf.constant(WEIGHTS)
  )
  assert loss == pytest.approx(np.mean(own * WEIGHTS), rel=1e-5)
  assert total > loss


@pytest.mark.parametrize('settings', [{}, {'loss': 'focal'}], ids=['softmax', 'focal'])
def test_losses_have_slims_names(settings):
  model = models.Model(tf.constant(LOGITS), {'AuxLogits': tf.constant(LOGITS)})
  losses.add_losses(losses.LossSettings(**settings), model, tf.constant(LABELS), [1.0] * 4)
  names = [loss.op.name for loss in tf.losses.get_losses()]
  assert names == ['aux_loss/value', 'softmax_cross_entropy_loss/value']


def binary_cross_entropy(smoothing=0.0, gamma=0.0, class_weights=(1, 1, 1, 1)):
  probabilities = 1 / (1 + np.exp(-LOGITS.astype(float)))
  targets = SEVERAL * (1 - smoothing) + smoothing / 2
  cross = -(targets * np.log(probabilities) + (1 - targets) * np.log(1 - probabilities))
  unrecognized = np.where(SEVERAL, 1 - probabilities, probabilities)
  return (cross * unrecognized**gamma * np.array(class_weights)).mean()


ERRORS = np.abs(LOGITS - TARGETS)


@pytest.mark.parametrize(
  ('task', 'settings', 'class_weights', 'expected'),
  [
    ('multi_label', {}, None, binary_cross_entropy()),
    ('multi_label', {'loss': 'sigmoid'}, None, binary_cross_entropy()),
    ('multi_label', {'label_smoothing': 0.2}, None, binary_cross_entropy(smoothing=0.2)),
    ('multi_label', {'loss': 'focal', 'focal_gamma': 0.0}, None, binary_cross_entropy()),
    (
      'multi_label',
      {'loss': 'focal', 'focal_gamma': 1.5},
      [0.5, 1.0, 2.0, 0.0],
      binary_cross_entropy(gamma=1.5, class_weights=[0.5, 1.0, 2.0, 0.0]),
    ),
    ('regression', {}, None, (ERRORS**2).mean()),
    ('regression', {'loss': 'l2'}, None, (ERRORS**2).mean()),
    ('regression', {'loss': 'l1'}, None, ERRORS.mean()),
    (
      'regression',
      {'loss': 'huber', 'huber_delta': 0.5},
      None,
      np.where(ERRORS < 0.5, ERRORS**2 / 2, 0.5 * ERRORS - 0.125).mean(),
    ),
  ],
)
def test_losses_of_other_tasks(task, settings, class_weights, expected):
  labels = SEVERAL if task == 'multi_label' else TARGETS
  # The auxiliary classifier sees the same, so the total is 1.4 times the loss.
  model = models.Model(tf.constant(LOGITS), {'AuxLogits': tf.constant(LOGITS)})
  settings = losses.LossSettings(**settings)
  loss = losses.add_losses(settings, model, tf.constant(labels), class_weights, task)
  with tf.Session() as session:
    values = session.run([loss, tf.losses.get_total_loss()])
  assert values == pytest.approx([expected, 1.4 * expected], rel=1e-5)


@pytest.mark.parametrize(
  ('settings', 'task', 'sentence'),
  [
    (
      {'loss': 'l1'},
      'single_label',
      '--loss=l1 is not for the task single_label .* focal, softmax',
    ),
    ({'loss': 'focal'}, 'regression', 'Choose one of huber, l1, l2'),
    ({'loss': 'sigmoid'}, 'single_label', 'but for multi_label'),
    ({'label_smoothing': 0.1}, 'regression', '--label_smoothing=0.1 is for classes'),
    ({'class_weights': 'auto'}, 'regression', '--class_weights=auto is for classes'),
  ],
)
def test_what_a_task_has_no_use_for_is_refused(settings, task, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    losses.find(losses.LossSettings(**settings), task)


def test_focal_gradient_is_finite_where_all_is_recognized():
  logits = tf.constant([[100.0, 0.0, 0.0, 0.0]])
  model = models.Model(logits, {})
  loss = losses.add_losses(losses.LossSettings(loss='focal', focal_gamma=0.5), model, [0])
  with tf.Session() as session:
    assert np.all(np.isfinite(session.run(tf.gradients(loss, logits)[0])))


def test_automatic_weights_have_mean_1_over_the_examples():
  settings = losses.LossSettings(class_weights='auto')
  counts = (10, 30, 0, 60)
  weights = losses.find_class_weights(settings, 4, counts)
  assert np.dot(weights, counts) == pytest.approx(100)
  assert weights[0] / weights[3] == pytest.approx(6)
  assert weights[2] == 0


@pytest.mark.parametrize(
  ('given', 'counts', 'sentence'),
  [
    ('auto', None, 'no dataset_info.json'),
    ('1,2', (1, 1, 1), '2 numbers, but 3'),
    ('1,2,-1', (1, 1, 1), 'none below 0'),
    ('a,b', None, 'no list of numbers'),
  ],
)
def test_refused_weights(given, counts, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    losses.find_class_weights(losses.LossSettings(class_weights=given), 3, counts)
