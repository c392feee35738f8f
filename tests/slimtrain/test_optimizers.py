"""Every optimizer: its update of a quadratic against NumPy, and the settings its row names."""

import dataclasses

import numpy as np
import pytest

from slimcompat import tf
from slimtrain import optimizers

RATE = 0.1
START = np.array([1.0, -2.0, 0.5])


def adadelta(x, s):
  squares, deltas = np.zeros_like(x), np.zeros_like(x)
  while True:
    gradient = x.copy()
    squares = s.adadelta_rho * squares + (1 - s.adadelta_rho) * gradient**2
    delta = np.sqrt(deltas + s.opt_epsilon) / np.sqrt(squares + s.opt_epsilon) * gradient
    deltas = s.adadelta_rho * deltas + (1 - s.adadelta_rho) * delta**2
    x = x - RATE * delta
    yield x


def adagrad(x, s):
  squares = np.full_like(x, s.adagrad_initial_accumulator_value)
  while True:
    squares = squares + x**2
    x = x - RATE * x / np.sqrt(squares)
    yield x


def adam(x, s):
  first, second, step = np.zeros_like(x), np.zeros_like(x), 0
  while True:
    step += 1
    first = s.adam_beta1 * first + (1 - s.adam_beta1) * x
    second = s.adam_beta2 * second + (1 - s.adam_beta2) * x**2
    rate = RATE * np.sqrt(1 - s.adam_beta2**step) / (1 - s.adam_beta1**step)
    x = x - rate * first / (np.sqrt(second) + s.opt_epsilon)
    yield x


def ftrl(x, s):
  # H. B. McMahan et al., "Ad Click Prediction", algorithm 1, with TensorFlow's power and L2.
  squares, linear = np.full_like(x, s.ftrl_initial_accumulator_value), np.zeros_like(x)
  power = -s.ftrl_learning_rate_power
  while True:
    new_squares = squares + x**2
    linear = linear + x - (new_squares**power - squares**power) / RATE * x
    quadratic = new_squares**power / RATE + 2 * s.ftrl_l2
    x = np.where(
      np.abs(linear) > s.ftrl_l1, (np.sign(linear) * s.ftrl_l1 - linear) / quadratic, 0.0
    )
    squares = new_squares
    yield x


def momentum(x, s):
  velocity = np.zeros_like(x)
  while True:
    velocity = s.momentum * velocity + x
    x = x - RATE * velocity
    yield x


def rmsprop(x, s):
  # TensorFlow starts the mean of squares at 1.
  squares, velocity = np.ones_like(x), np.zeros_like(x)
  while True:
    squares = s.rmsprop_decay * squares + (1 - s.rmsprop_decay) * x**2
    velocity = s.rmsprop_momentum * velocity + RATE * x / np.sqrt(squares + s.opt_epsilon)
    x = x - velocity
    yield x


def sgd(x, s):
  while True:
    x = x - RATE * x
    yield x


REFERENCES = {
  function.__name__: function
  for function in (adadelta, adagrad, adam, ftrl, momentum, rmsprop, sgd)
}
# Away from the defaults, so that a setting that is not read shows.
SETTINGS = optimizers.OptimizerSettings(
  opt_epsilon=0.3,
  momentum=0.8,
  rmsprop_momentum=0.7,
  rmsprop_decay=0.6,
  adam_beta1=0.85,
  adam_beta2=0.95,
  adadelta_rho=0.9,
  adagrad_initial_accumulator_value=0.2,
  ftrl_learning_rate_power=-0.6,
  ftrl_initial_accumulator_value=0.3,
  ftrl_l1=0.01,
  ftrl_l2=0.02,
)


@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
def test_five_steps(name):
  settings = dataclasses.replace(SETTINGS, optimizer=name)
  variable = tf.get_variable('x', initializer=START.astype('float32'))
  optimizer = optimizers.make_optimizer(settings, tf.constant(RATE))
  step = optimizer.minimize(tf.nn.l2_loss(variable))  # Its gradient is the variable.
  reference = REFERENCES[name](START, settings)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for _ in range(5):
      session.run(step)
      np.testing.assert_allclose(session.run(variable), next(reference), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  'setting',
  [
    field.name
    for field in dataclasses.fields(optimizers.OptimizerSettings)
    if field.name != 'optimizer'
  ],
)
def test_setting_is_read_by_a_row(setting):
  assert any(setting in row.reads for row in optimizers.OPTIMIZERS.values())
