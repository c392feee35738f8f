"""Pictures to preprocess, and the ways to run a preprocessing on them."""

import warnings

import numpy as np
import pytest

from slimcompat import tf


def make_picture(height, width):
  """Returns a uint8 RGB picture, coarse clouds under fine noise.

  goldens/preprocessing_eval.npz was made from these; another sequence of random draws or
  roundings gives other pictures.
  """
  random = np.random.RandomState(1000 * height + width)
  clouds = random.uniform(0, 255, (height // 8 + 2, width // 8 + 2, 3))
  y = np.linspace(0, clouds.shape[0] - 1.001, height)
  x = np.linspace(0, clouds.shape[1] - 1.001, width)
  top, left = y.astype(int), x.astype(int)
  y, x = (y - top)[:, None, None], (x - left)[None, :, None]
  corners = (
    clouds[top][:, left] * (1 - y) * (1 - x),
    clouds[top + 1][:, left] * y * (1 - x),
    clouds[top][:, left + 1] * (1 - y) * x,
    clouds[top + 1][:, left + 1] * y * x,
  )
  smooth = corners[0] + corners[1] + corners[2] + corners[3]
  return np.clip(smooth + random.uniform(-10, 10, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def picture():
  """`picture(height, width)` is a uint8 array `[height, width, 3]`."""
  return make_picture


@pytest.fixture
def run():
  """`run(function, image)` is what the `function` makes of the image, as an array."""

  def run_once(function, image):
    with tf.Graph().as_default(), tf.Session() as session:
      return session.run(function(tf.constant(image)))

  return run_once


@pytest.fixture
def draw():
  """`draw(function, image, count)` is an array of `count` results of a random function.

  They come from one tf.data map, in order, and are the same in each run of the tests.
  """

  def draw_many(function, image, count, seed=1):
    with tf.Graph().as_default(), tf.Session() as session, warnings.catch_warnings():
      # That the graph's seed reaches the map is what is wanted here.
      warnings.filterwarnings('ignore', 'Seed .* from outer graph')
      tf.set_random_seed(seed)
      dataset = tf.data.Dataset.range(count).map(lambda _: function(tf.constant(image)))
      results = tf.data.make_one_shot_iterator(dataset.batch(count)).get_next()
      return session.run(results)

  return draw_many
