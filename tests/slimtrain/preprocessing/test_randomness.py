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
