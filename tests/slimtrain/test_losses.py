"""Losses against NumPy."""

import numpy as np
import pytest

from slimcompat import tf
from slimtrain import losses, models

LOGITS = np.random.RandomState(0).standard_normal((6, 4)).astype('float32')
LABELS = np.array([0, 1, 2, 3, 0, 2])


def cross_entropy(logits, labels, smoothing):
  targets = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
  log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  return -(targets * log_probabilities).sum(axis=1).mean()


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('has_auxiliary', [False, True])
def test_softmax_losses(smoothing, has_auxiliary):
  end_points = {'AuxLogits': tf.constant(-LOGITS)} if has_auxiliary else {}
  model = models.Model(tf.constant(LOGITS), end_points)
  loss = losses.add_softmax_losses(model, tf.constant(LABELS), smoothing)
  expected = cross_entropy(LOGITS, LABELS, smoothing)
  auxiliary = 0.4 * cross_entropy(-LOGITS, LABELS, smoothing) if has_auxiliary else 0
  with tf.Session() as session:
    assert session.run(loss) == pytest.approx(expected, rel=1e-5)
    assert session.run(tf.losses.get_total_loss()) == pytest.approx(expected + auxiliary, rel=1e-5)


def test_losses_have_slims_names():
  model = models.Model(tf.constant(LOGITS), {'AuxLogits': tf.constant(LOGITS)})
  losses.add_softmax_losses(model, tf.constant(LABELS))
  names = [loss.op.name for loss in tf.losses.get_losses()]
  assert names == ['aux_loss/value', 'softmax_cross_entropy_loss/value']
