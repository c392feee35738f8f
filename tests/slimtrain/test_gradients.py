"""Clipping of gradients, and learning rates by scope."""

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain import gradients as gradients_lib
from slimtrain import optimizers

FIRST, SECOND = np.array([3.0, -4.0]), np.array([[12.0]])  # Of the norms 5 and 12; together 13.


def clipped(**settings):
  pairs = [
    (tf.constant(FIRST), 'first'),
    (None, 'without a gradient'),
    (tf.constant(SECOND), 'second'),
  ]
  result = gradients_lib.clip(gradients_lib.GradientSettings(**settings), pairs)
  assert [variable for _, variable in result] == ['first', 'second']
  with tf.Session() as session:
    return session.run([gradient for gradient, _ in result])


@pytest.mark.parametrize(
  ('settings', 'first', 'second'),
  [
    ({}, FIRST, SECOND),
    ({'clip_gradients_by_value': 3.5}, [3, -3.5], [[3.5]]),
    ({'clip_gradients_by_norm': 10.0}, FIRST, [[10]]),
    ({'clip_gradients_by_norm': 2.5}, FIRST / 2, [[2.5]]),
    ({'clip_gradients_by_global_norm': 6.5}, FIRST / 2, SECOND / 2),
    ({'clip_gradients_by_global_norm': 20.0}, FIRST, SECOND),
    ({'clip_gradients_by_value': 4.0, 'clip_gradients_by_norm': 2.0}, FIRST * 0.4, [[2]]),
  ],
  ids=str,
)
def test_clipping(settings, first, second):
  for value, expected in zip(clipped(**settings), (first, second), strict=True):
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def apply(multipliers, optimizer='sgd'):
  """Returns {name: change} of three variables in a step of rate 0.1 on gradients of 1."""
  names = ('Net/logits/weights', 'Net/logits/biases', 'Net/conv/weights')
  variables = [tf.get_variable(name, initializer=0.0) for name in names]
  step = tf.train.get_or_create_global_step()
  settings = optimizers.OptimizerSettings(optimizer=optimizer, opt_epsilon=1e-8)
  op = gradients_lib.apply(
    gradients_lib.GradientSettings(learning_rate_multipliers=multipliers),
    [(tf.constant(1.0), variable) for variable in variables],
    lambda rate: optimizers.make_optimizer(settings, rate),
    tf.constant(0.1),
    step,
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op)
    assert session.run(step) == 1
    return dict(zip(names, session.run(variables), strict=True))


@pytest.mark.parametrize('optimizer', ['sgd', 'adam'])
def test_the_first_scope_that_holds_a_variable_counts(optimizer):
  changes = apply('Net/logits/weights:10, Net/logits:2, Net/conv:0', optimizer)
  expected = {'Net/logits/weights': -1, 'Net/logits/biases': -0.2, 'Net/conv/weights': 0}
  assert changes == pytest.approx(expected, rel=1e-5)


def test_without_multipliers_all_have_the_rate():
  assert list(apply(None).values()) == pytest.approx([-0.1] * 3)


@pytest.mark.parametrize('multipliers', ['Net', 'Net:', ':2', 'Net:x', 'Net:-1'])
def test_refused_multipliers(multipliers):
  with pytest.raises(errors.InputError, match='no scope with a factor'):
    gradients_lib.GradientSettings(learning_rate_multipliers=multipliers)


def test_unknown_scope():
  with pytest.raises(errors.InputError, match='Net/logit'):
    apply('Net/lojits:2')
