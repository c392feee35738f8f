"""Every schedule against its formula."""

import math

import pytest

from slimcompat import errors, tf
from slimtrain import learning_rates

STEPS_PER_EPOCH = 10.5
RATE, FACTOR, END = 0.1, 0.5, 0.01
STEPS = range(0, 140, 7)


def half_cosine(progress):
  return END + (RATE - END) * (1 + math.cos(math.pi * min(progress, 1))) / 2


def cosine_restarts(step):
  length = 21
  while step >= length:
    step, length = step - length, 2 * length
  return half_cosine(step / length)


def one_cycle(step):
  progress = min(step / 21, 1)
  if progress < 0.3:
    return RATE / 25 + (RATE - RATE / 25) * (1 - math.cos(math.pi * progress / 0.3)) / 2
  return half_cosine((progress - 0.3) / 0.7)


# With 2 epochs per decay: int(21.0) steps.
EXPECTED = {
  'cosine': lambda step: half_cosine(step / 21),
  'cosine_restarts': cosine_restarts,
  'exponential': lambda step: RATE * FACTOR ** math.floor(step / 21),
  'fixed': lambda step: RATE,
  'inverse_time': lambda step: RATE / (1 + FACTOR * math.floor(step / 21)),
  'natural_exp': lambda step: RATE * math.exp(-FACTOR * math.floor(step / 21)),
  'one_cycle': one_cycle,
  # Boundaries after 2 and 6 epochs; the step at one has the rate before it.
  'piecewise': lambda step: RATE if step <= 21 else 0.02 if step <= 63 else 0.003,
  # Until an evaluation makes it fall: see test_plateau.
  'plateau': lambda step: RATE,
  'polynomial': lambda step: (RATE - END) * (1 - min(step, 21) / 21) + END,
}
# What a schedule needs besides, for those formulas.
NEEDED = {
  'piecewise': {'learning_rate_boundaries': '2,6', 'learning_rate_values': f'{RATE},0.02,0.003'}
}


# The same lengths in steps.
IN_STEPS = {'num_epochs_per_decay': 1000.0, 'num_steps_per_decay': 21}


def rates(name, **settings):
  settings = learning_rates.LearningRateSettings(
    **{
      'learning_rate': RATE,
      'learning_rate_decay_type': name,
      'learning_rate_decay_factor': FACTOR,
      'end_learning_rate': END,
      **NEEDED.get(name, {}),
      **settings,
    }
  )
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.placeholder(tf.int64, [])
    rate = learning_rates.make_learning_rate(settings, step, STEPS_PER_EPOCH)
    session.run(tf.global_variables_initializer())
    return [session.run(rate, {step: value}) for value in STEPS]


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_schedule_in_steps(name):
  settings = dict(IN_STEPS)
  if name == 'piecewise':
    settings.update(learning_rate_boundaries=None, learning_rate_boundary_steps='21,63')
  expected = [EXPECTED[name](step) for step in STEPS]
  assert rates(name, **settings) == pytest.approx(expected, rel=1e-6)
  expected = [min(RATE * step / 30, rate) for step, rate in zip(STEPS, expected, strict=True)]
  assert rates(name, warmup_steps=30, **settings) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_schedule(name):
  expected = [EXPECTED[name](step) for step in STEPS]
  assert rates(name) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_warm_up_rises_to_the_schedule(name):
  expected = [min(RATE * step / (3 * STEPS_PER_EPOCH), EXPECTED[name](step)) for step in STEPS]
  assert rates(name, warmup_epochs=3) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('exponential', lambda step: RATE * FACTOR ** (step / 21)),
    ('inverse_time', lambda step: RATE / (1 + FACTOR * step / 21)),
    ('natural_exp', lambda step: RATE * math.exp(-FACTOR * step / 21)),
  ],
)
def test_smooth_decay(name, expected):
  smooth = rates(name, learning_rate_staircase=False)
  assert smooth == pytest.approx([expected(step) for step in STEPS], rel=1e-5)


def test_polynomial_of_a_power_in_cycles():
  def expected(step):
    length = 21 * max(1, math.ceil(step / 21))
    return (RATE - END) * (1 - step / length) ** 2 + END

  cycling = rates('polynomial', learning_rate_power=2.0, learning_rate_cycle=True)
  assert cycling == pytest.approx([expected(step) for step in STEPS], rel=1e-5)


@pytest.mark.parametrize(
  ('boundaries', 'values'),
  [(None, None), ('2', '0.1'), ('2,1', '0.1,0.2,0.3'), ('0', '0.1,0.2'), ('two', '0.1,0.2')],
)
def test_piecewise_needs_rising_epochs_and_a_rate_more(boundaries, values):
  with pytest.raises(errors.InputError, match=r'one rate more|no list of numbers'):
    learning_rates.LearningRateSettings(
      learning_rate_decay_type='piecewise',
      learning_rate_boundaries=boundaries,
      learning_rate_values=values,
    )


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    ({'warmup_epochs': 1.0, 'warmup_steps': 5}, '--warmup_epochs=1.0 and --warmup_steps=5 exclude'),
    (
      {'learning_rate_boundaries': '1', 'learning_rate_boundary_steps': '5'},
      '--learning_rate_boundaries=1 and --learning_rate_boundary_steps=5 exclude',
    ),
    ({'learning_rate_boundary_steps': '5.5'}, '=5.5 are not all whole numbers'),
    (
      {'learning_rate_decay_type': 'plateau', 'learning_rate_decay_factor': 1.0},
      'must be less than 1',
    ),
  ],
  ids=['warm-up', 'boundaries', 'whole', 'factor'],
)
def test_refused(settings, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    learning_rates.LearningRateSettings(**settings)


def test_epochs_of_boundaries_are_not_rounded():
  settings = learning_rates.LearningRateSettings(
    learning_rate_decay_type='piecewise',
    learning_rate_boundaries='1000',
    learning_rate_values='1,0.5',
  )
  step = tf.placeholder(tf.int64, [])
  rate = learning_rates.make_learning_rate(settings, step, steps_per_epoch=10.4)
  with tf.Session() as session:
    assert [session.run(rate, {step: n}) for n in (10400, 10401)] == [1, 0.5]


def test_a_set_smaller_than_a_batch_keeps_the_rate_finite():
  settings = learning_rates.LearningRateSettings()
  rate = learning_rates.make_learning_rate(settings, tf.constant(1), steps_per_epoch=0.1)
  with tf.Session() as session:
    assert session.run(rate) == pytest.approx(0.01 * 0.94)


@pytest.mark.parametrize('name', learning_rates.SCHEDULES)
def test_row_reads_existing_settings(name):
  settings = learning_rates.LearningRateSettings()
  assert all(hasattr(settings, setting) for setting in learning_rates.SCHEDULES[name].reads)
