"""Every schedule against its formula."""

import math

import pytest

from slimcompat import tf
from slimtrain import learning_rates

STEPS_PER_EPOCH = 10.5
RATE, FACTOR, END = 0.1, 0.5, 0.01
STEPS = range(0, 100, 7)
# With 2 epochs per decay: int(21.0) steps.
EXPECTED = {
  'fixed': lambda step: RATE,
  'exponential': lambda step: RATE * FACTOR ** math.floor(step / 21),
  'polynomial': lambda step: (RATE - END) * (1 - min(step, 21) / 21) + END,
}


def rates(**settings):
  settings = learning_rates.LearningRateSettings(
    learning_rate=RATE, learning_rate_decay_factor=FACTOR, end_learning_rate=END, **settings
  )
  step = tf.placeholder(tf.int64, [])
  rate = learning_rates.make_learning_rate(settings, step, STEPS_PER_EPOCH)
  with tf.Session() as session:
    return [session.run(rate, {step: value}) for value in STEPS]


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_schedule(name):
  expected = [EXPECTED[name](step) for step in STEPS]
  assert rates(learning_rate_decay_type=name) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_warm_up_rises_to_the_schedule(name):
  expected = [min(RATE * step / (3 * STEPS_PER_EPOCH), EXPECTED[name](step)) for step in STEPS]
  assert rates(learning_rate_decay_type=name, warmup_epochs=3) == pytest.approx(expected, rel=1e-6)


def test_a_set_smaller_than_a_batch_keeps_the_rate_finite():
  settings = learning_rates.LearningRateSettings()
  rate = learning_rates.make_learning_rate(settings, tf.constant(1), steps_per_epoch=0.1)
  with tf.Session() as session:
    assert session.run(rate) == pytest.approx(0.01 * 0.94)


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_row_reads_existing_settings(name):
  settings = learning_rates.LearningRateSettings()
  assert all(hasattr(settings, setting) for setting in learning_rates.SCHEDULES[name].reads)
