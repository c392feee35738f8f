"""The shares that mixup and CutMix draw, and what they mix."""

import numpy as np
import pytest

from slimcompat import tf
from slimtrain.preprocessing import mixing, randomness


def draw(count, *args):
  """Returns `count` maps of shares, `[count, height, width]`."""

  def draw_one(number):
    with randomness.seeded(tf.stack([3, number])):
      return mixing.draw_shares(*args)

  maps = tf.data.Dataset.range(count).map(draw_one).batch(count)
  with tf.Session() as session:
    return session.run(tf.data.make_one_shot_iterator(maps).get_next())[..., 0]


def is_mixup(shares):
  """Returns whether all pixels keep the same, and some, but not all."""
  return shares.min() == shares.max() and 0 < shares.min() < 1


def test_mixup_gives_all_pixels_the_same_share():
  maps = draw(500, 4, 5, 1.0, 0.0)
  assert all(is_mixup(shares) for shares in maps)
  values = maps[:, 0, 0]
  # Beta(1, 1) is uniform.
  np.testing.assert_allclose(np.quantile(values, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.07)


def test_cutmix_cuts_a_rectangle_of_the_images_shape():
  maps = draw(500, 30, 60, 0.0, 1.0)
  areas, reaches_edge = [], []
  for shares in maps:
    assert set(np.unique(shares)) <= {0, 1}
    rows, columns = np.nonzero(shares == 0)
    if not rows.size:
      areas.append(0)
      continue
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert rows.size == height * width
    areas.append(rows.size / shares.size)
    is_cut = rows.min() == 0 or rows.max() == 29 or columns.min() == 0 or columns.max() == 59
    reaches_edge.append(is_cut)
    if not is_cut:
      assert abs(width - 2 * height) <= 2
  # Half the area on average, but for what lies outside.
  assert 0.2 < np.mean(areas) < 0.45
  assert 0.3 < np.mean(reaches_edge) < 0.95


def test_both_come_about_equally_often():
  maps = draw(300, 8, 8, 1.0, 1.0)
  assert 0.4 < np.mean([is_mixup(shares) for shares in maps]) < 0.6


def test_examples_are_mixed_with_those_from_the_other_end():
  batch = tf.constant([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
  with tf.Session() as session:
    mixed = session.run(mixing.mix(batch, tf.constant([0.75, 1.0])))
  np.testing.assert_allclose(mixed, [[1.75, 10], [2, 20], [3.25, 40]])
  assert pytest.approx(mixed[:, 0].sum()) == 7
