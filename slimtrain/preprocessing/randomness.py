"""The random numbers of the distortions.

By default they come from TensorFlow's generators, whose state moves on with every draw: cheap, but
images preprocessed at the same time take their numbers in any order. Within `seeded`, they follow
from a seed of the image's own.
"""

import contextlib
from collections.abc import Iterator

from slimcompat import tf

_INT32 = tf.int32.limits


class _Seeds:
  """Gives each draw for an image another seed."""

  def __init__(self, image_seed):
    self._image_seed = image_seed
    self._num_draws = 0

  def next(self):
    self._num_draws += 1
    return tf.stack([self._image_seed[0] + self._num_draws, self._image_seed[1]])


_seeds: list[_Seeds] = []


@contextlib.contextmanager
def seeded(image_seed: tf.Tensor) -> Iterator[None]:
  """Makes all that is drawn in the block follow from `image_seed`, int64 `[2]`."""
  _seeds.append(_Seeds(image_seed))
  try:
    yield
  finally:
    _seeds.pop()


def uniform(shape, low=0.0, high=1.0, dtype: tf.DType = tf.float32) -> tf.Tensor:
  """Returns numbers of `shape` drawn uniformly from `[low, high)`."""
  if _seeds:
    return tf.random.stateless_uniform(shape, _seeds[-1].next(), low, high, dtype)
  return tf.random_uniform(shape, low, high, dtype)


def coin() -> tf.Tensor:
  """Returns a scalar that is True half of the time."""
  return uniform([]) < 0.5


def seed() -> tf.Tensor:
  """Returns a random seed, int32 `[2]`, for one of TensorFlow's stateless functions."""
  return uniform([2], *_INT32, dtype=tf.int32)


def beta(concentration: float) -> tf.Tensor:
  """Returns a scalar drawn from the distribution Beta(concentration, concentration).

  That is the first of two gamma-distributed numbers by their sum. Small concentrations make both
  too small for a float32, so their logarithms are drawn: Gamma(a) is Gamma(a + 1) * U^(1 / a).
  """
  gammas = tf.random.stateless_gamma([2], seed(), concentration + 1.0)
  powers = tf.log(1.0 - uniform([2])) / concentration
  logs = tf.log(gammas) + powers
  return tf.sigmoid(logs[0] - logs[1])
