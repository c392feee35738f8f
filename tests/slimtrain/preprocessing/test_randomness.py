"""Numbers drawn from TensorFlow's generators, and from a seed."""

import numpy as np
import pytest

from slimcompat import tf
from slimtrain.preprocessing import randomness


@pytest.mark.parametrize('dtype', [tf.float32, tf.int32])
def test_seeded_draws_repeat_and_differ_from_each_other(dtype):
  def draw(first):
    with randomness.seeded(tf.constant([first, 9], tf.int64)):
      return [randomness.uniform([50], 0, 1000, dtype) for _ in range(2)]

  with tf.Session() as session:
    (one, two), again, (other, _) = session.run([draw(1), draw(1), draw(100)])
  np.testing.assert_array_equal([one, two], again)
  assert np.any(one != two)
  assert np.any(one != other)
  assert one.min() >= 0
  assert one.max() < 1000


def test_without_a_seed_each_run_draws_anew():
  drawn = [randomness.uniform([3]), randomness.coin(), randomness.seed()]
  with tf.Session() as session:
    values = [session.run(drawn) for _ in range(40)]
  assert len({value[0].tobytes() for value in values}) == 40
  assert len({value[2].tobytes() for value in values}) == 40
  assert 5 < sum(value[1] for value in values) < 35


@pytest.mark.parametrize('concentration', [0.001, 0.2, 1.0, 8.0])
def test_beta(concentration):
  """Mean and variance are those of the distribution: 1/2 and 1 / (8 a + 4)."""

  def draw(number):
    with randomness.seeded(tf.stack([7, number])):
      return randomness.beta(concentration)

  drawn = tf.data.Dataset.range(4000).map(draw).batch(4000)
  with tf.Session() as session:
    values, again = (
      session.run(tf.data.make_one_shot_iterator(drawn).get_next()) for _ in range(2)
    )
  np.testing.assert_array_equal(values, again)
  assert values.min() >= 0
  assert values.max() <= 1
  assert values.mean() == pytest.approx(0.5, abs=0.03)
  assert values.var() == pytest.approx(1 / (8 * concentration + 4), rel=0.08)


def test_beta_without_a_seed_differs_in_each_run():
  value = randomness.beta(1.0)
  with tf.Session() as session:
    assert len({float(session.run(value)) for _ in range(20)}) == 20
