"""Draws of a net that follow from the seed and the step."""

import numpy as np
import pytest

from slimcompat import slim, stateless_draws, tf


@pytest.mark.parametrize(
  'draw',
  [
    lambda x: slim.dropout(x, 0.5, is_training=True),
    lambda x: x + tf.random_uniform(tf.shape(x)),
    lambda x: x + tf.random_normal(tf.shape(x)),
    lambda x: x + tf.truncated_normal(tf.shape(x)),
  ],
  ids=['dropout', 'uniform', 'normal', 'truncated_normal'],
)
def test_a_step_repeats_its_draws(graph, draw):
  tf.set_random_seed(1)
  step = tf.placeholder(tf.int64, [])
  drawn = [draw(tf.ones([40])), draw(tf.ones([40]))]
  # A reader that comes before, as gradients do after.
  doubled = drawn[0] * 2
  stateless_draws.follow_step(graph.get_operations(), step)

  def run():
    with tf.Session() as session:
      return [session.run([*drawn, doubled], {step: number}) for number in (0, 1, 0)]

  first, other, again = run()
  np.testing.assert_array_equal(first, again)
  np.testing.assert_array_equal(run()[1], other)
  np.testing.assert_array_equal(first[2], 2 * first[0])
  assert np.any(first[0] != other[0])
  assert np.any(first[0] != first[1])


def test_initial_values_stay_as_they_are(graph):
  tf.set_random_seed(1)
  weights = tf.get_variable('weights', [50])
  with tf.Session() as session:
    session.run(weights.initializer)
    before = session.run(weights)
  stateless_draws.follow_step(graph.get_operations(), tf.placeholder(tf.int64, []))
  with tf.Session() as session:
    session.run(weights.initializer)
    np.testing.assert_array_equal(session.run(weights), before)
