"""Random erasing: how often, how much, where, and with what."""

import numpy as np
import pytest

from slimtrain.preprocessing import random_erasing

# No two pixels alike, so that each erased one shows.
IMAGE = np.linspace(-3, 5, 30 * 40 * 3).reshape(30, 40, 3).astype('float32')


def erased_boxes(results):
  """Returns (top, left, height, width) of what is changed in each, having checked that it is a box.

  None where nothing is.
  """
  boxes = []
  for result in results:
    rows, columns = np.nonzero(np.any(result != IMAGE, axis=-1))
    if not rows.size:
      boxes.append(None)
      continue
    box = rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1
    assert rows.size == box[2] * box[3]
    boxes.append(box)
  return boxes


@pytest.fixture
def results(draw):
  return draw(lambda image: random_erasing.erase(image, 1.0), IMAGE, 400)


def test_rectangles_are_those_of_the_paper(results):
  boxes = erased_boxes(results)
  # Ten attempts hardly ever fail.
  assert boxes.count(None) <= 2
  tops, lefts, heights, widths = np.array([box for box in boxes if box]).T
  areas, ratios = heights * widths / 1200, heights / widths
  # Of the area in [0.02, 0.4] and the ratio in [0.3, 3.3], but for whole pixels.
  assert 0.01 < areas.min() < 0.04 < 0.33 < areas.max() < 0.43
  assert 0.25 < ratios.min() < 0.5 < 2 < ratios.max() < 4
  # Everywhere, up to the edges.
  assert tops.min() == lefts.min() == 0
  assert (tops + heights).max() == 30
  assert (lefts + widths).max() == 40


def test_noise_is_drawn_for_each_value_from_the_images_range(results):
  noise = results[results != IMAGE]
  assert -3 <= noise.min() < -2.9 < 4.9 < noise.max() <= 5
  assert abs(noise.mean() - 1) < 0.05
  assert len(np.unique(noise[:1000])) > 990


@pytest.mark.parametrize(('probability', 'share'), [(0.0, 0), (0.25, 0.25)])
def test_probability(draw, probability, share):
  results = draw(lambda image: random_erasing.erase(image, probability), IMAGE, 400)
  erased = [box is not None for box in erased_boxes(results)]
  assert abs(np.mean(erased) - share) < 0.07 * (share > 0) + 1e-9


@pytest.mark.parametrize('shape', [(1, 1, 1), (2, 3, 1), (1, 40, 3)])
def test_tiny_images(draw, shape):
  image = np.arange(np.prod(shape), dtype='float32').reshape(shape)
  results = draw(lambda image: random_erasing.erase(image, 1.0), image, 20)
  assert results.shape == (20, *shape)
  assert np.isfinite(results).all()
