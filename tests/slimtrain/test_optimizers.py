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


def adagrad_da(x, s):
  # J. Duchi et al., "Adaptive Subgradient Methods", the dual averaging of section 1.
  squares, total, step = np.full_like(x, s.adagrad_initial_accumulator_value), np.zeros_like(x), 0
  while True:
    step += 1
    squares, total = squares + x**2, total + x
    shrunk = np.sign(total) * np.maximum(np.abs(total) - s.proximal_l1 * step, 0)
    x = -RATE * shrunk / (s.proximal_l2 * step * RATE + np.sqrt(squares))
    yield x


def adam_changes(x, s):
  """Yields m / (sqrt(v) + epsilon), unbiased; is sent the next x."""
  first, second, step = np.zeros_like(x), np.zeros_like(x), 0
  while True:
    step += 1
    first = s.adam_beta1 * first + (1 - s.adam_beta1) * x
    second = s.adam_beta2 * second + (1 - s.adam_beta2) * x**2
    scale = np.sqrt(second / (1 - s.adam_beta2**step)) + s.adamw_epsilon
    x = yield first / (1 - s.adam_beta1**step) / scale


def adamw(x, s):
  changes = adam_changes(x, s)
  change = next(changes)
  while True:
    x = x - RATE * (change + s.decoupled_weight_decay * x)
    yield x
    change = changes.send(x)


def lamb(x, s):
  changes = adam_changes(x, s)
  change = next(changes)
  while True:
    change = change + s.decoupled_weight_decay * x
    x = x - RATE * np.linalg.norm(x) / np.linalg.norm(change) * change
    yield x
    change = changes.send(x)


def lars(x, s):
  velocity = np.zeros_like(x)
  while True:
    norm = np.linalg.norm(x)  # Of the gradient, too.
    trust = s.lars_trust * norm / (norm + s.decoupled_weight_decay * norm)
    velocity = s.momentum * velocity + RATE * trust * (x + s.decoupled_weight_decay * x)
    x = x - velocity
    yield x


def lion(x, s):
  mean = np.zeros_like(x)
  while True:
    sign = np.sign(s.lion_beta1 * mean + (1 - s.lion_beta1) * x)
    mean = s.lion_beta2 * mean + (1 - s.lion_beta2) * x
    x = x - RATE * (sign + s.decoupled_weight_decay * x)
    yield x


def proximal(x, rate, s):
  shrunk = np.sign(x) * np.maximum(np.abs(x) - rate * s.proximal_l1, 0)
  return shrunk / (1 + rate * s.proximal_l2)


def proximal_adagrad(x, s):
  squares = np.full_like(x, s.adagrad_initial_accumulator_value)
  while True:
    squares = squares + x**2
    rate = RATE / np.sqrt(squares)
    x = proximal(x - rate * x, rate, s)
    yield x


def proximal_sgd(x, s):
  while True:
    x = proximal(x - RATE * x, RATE, s)
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
    x = x - RATE * (x + s.momentum * velocity if s.nesterov else velocity)
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
  for function in (
    adadelta,
    adagrad,
    adagrad_da,
    adam,
    adamw,
    ftrl,
    lamb,
    lars,
    lion,
    momentum,
    proximal_adagrad,
    proximal_sgd,
    rmsprop,
    sgd,
  )
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
  decoupled_weight_decay=0.2,
  adamw_epsilon=0.1,
  lars_trust=0.3,
  lion_beta1=0.8,
  lion_beta2=0.7,
  proximal_l1=0.03,
  proximal_l2=0.04,
)


def run_steps(settings, num_steps, start=START, use_resource=False):
  """Returns the variable after each step on half its square, whose gradient it is."""
  variable = tf.get_variable(
    'x', initializer=np.asarray(start, 'float32'), use_resource=use_resource
  )
  optimizer = optimizers.make_optimizer(settings, tf.constant(RATE))
  global_step = tf.train.get_or_create_global_step()
  step = optimizer.minimize(tf.nn.l2_loss(variable), global_step=global_step)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    values = []
    for _ in range(num_steps):
      session.run(step)
      values.append(session.run(variable))
  return values


@pytest.mark.parametrize('use_resource', [False, True], ids=['reference', 'resource'])
@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
def test_five_steps(name, use_resource):
  settings = dataclasses.replace(SETTINGS, optimizer=name)
  values = run_steps(settings, 5, use_resource=use_resource)
  for value, expected in zip(values, REFERENCES[name](START, settings), strict=False):
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
def test_one_step_is_exact(name):
  settings = dataclasses.replace(SETTINGS, optimizer=name)
  (value,) = run_steps(settings, 1)
  np.testing.assert_allclose(
    value, next(iter(REFERENCES[name](START, settings))), rtol=0, atol=1e-6
  )


def test_nesterov():
  settings = dataclasses.replace(SETTINGS, optimizer='momentum', nesterov=True)
  for value, expected in zip(run_steps(settings, 5), momentum(START, settings), strict=False):
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('name', ['adamw', 'lamb', 'lars', 'lion'])
@pytest.mark.parametrize('rank', [1, 2])
def test_vectors_are_spared_on_request(graph, name, rank):
  start = START.reshape([3] if rank == 1 else [3, 1])
  values = []
  for is_spared in (False, True):
    with tf.Graph().as_default():
      settings = dataclasses.replace(SETTINGS, optimizer=name, no_decay_on_bn_and_bias=is_spared)
      values.append(run_steps(settings, 1, start)[0])
  assert np.array_equal(*values) == (rank == 2)


@pytest.mark.parametrize('name', ['lamb', 'lars'])
def test_weights_that_are_0_get_finite_updates(name):
  values = run_steps(dataclasses.replace(SETTINGS, optimizer=name), 2, np.zeros(3))
  assert np.all(np.isfinite(values))


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
