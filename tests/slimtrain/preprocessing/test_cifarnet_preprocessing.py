"""What the cifarnet preprocessing draws, and how often."""

import numpy as np
import pytest

from slimcompat import tf
from slimtrain.preprocessing import cifarnet_preprocessing


def standardized(image):
  return (image - image.mean()) / image.std()


def find_crops(results, image, padding):
  """Returns which crop each result is: its rows (place along y, along x, whether mirrored).

  Standardization undoes brightness and contrast where there is one channel.
  """
  sides = results.shape[1:3]
  padded = np.pad(image.astype(np.float64), [(padding, padding)] * 2 + [(0, 0)])
  places, crops = [], []
  for y in range(padded.shape[0] - sides[0] + 1):
    for x in range(padded.shape[1] - sides[1] + 1):
      crop = padded[y : y + sides[0], x : x + sides[1]]
      places += [(y, x, False), (y, x, True)]
      crops += [standardized(crop), standardized(crop[:, ::-1])]
  distances = np.abs(results[:, None] - np.array(crops)[None]).max(axis=(2, 3, 4))
  assert distances.min(axis=1).max() < 1e-3
  return np.array(places)[distances.argmin(axis=1)]


def test_training_crops(picture, draw):
  image = picture(12, 16)[..., :1]
  results = draw(
    lambda image: cifarnet_preprocessing.preprocess_image(image, 12, 16, is_training=True),
    image,
    count=300,
  )
  y, x, is_mirrored = find_crops(results, image, padding=4).T
  for places in (y, x):
    counts = np.bincount(places, minlength=9)
    assert len(counts) == 9
    assert counts.min() > 15
  assert 110 < is_mirrored.sum() < 190


def test_training_crops_of_a_larger_image(picture, draw):
  image = picture(20, 14)[..., :1]
  results = draw(
    lambda image: cifarnet_preprocessing.preprocess_for_train(image, 8, 10, padding=0),
    image,
    count=300,
  )
  y, x, _ = find_crops(results, image, padding=0).T
  assert set(y) == set(range(13))
  assert set(x) == set(range(5))


def test_an_image_too_small_is_padded_to_the_crop(picture, draw):
  image = picture(4, 10)[..., :1]
  results = draw(
    lambda image: cifarnet_preprocessing.preprocess_for_train(image, 8, 10, padding=0),
    image,
    count=20,
  )
  padded = np.pad(image, [(2, 2), (0, 0), (0, 0)])
  y, x, is_mirrored = find_crops(results, padded, padding=0).T
  assert not y.any()
  assert not x.any()
  assert 0 < is_mirrored.sum() < 20


def test_brightness_and_contrast(draw, monkeypatch):
  """Contrast stretches each channel about its mean, which brightness shifts."""
  monkeypatch.setattr(tf.image, 'per_image_standardization', lambda image: image)
  image = np.zeros((8, 8, 3), np.uint8) + np.array([60, 120, 180], np.uint8)
  image[:, ::2] += 20
  results = draw(
    lambda image: cifarnet_preprocessing.preprocess_for_train(image, 8, 8, padding=0),
    image,
    count=400,
  )
  shift = results.mean(axis=(1, 2)) - [70, 130, 190]
  np.testing.assert_allclose(shift, shift[:, :1].repeat(3, axis=1), atol=1e-3)
  assert -63 < shift.min() < -58
  assert 58 < shift.max() < 63
  assert shift.mean() == pytest.approx(0, abs=6)
  factor = np.ptp(results, axis=(1, 2)) / 20
  np.testing.assert_allclose(factor, factor[:, :1].repeat(3, axis=1), atol=1e-4)
  assert 0.2 < factor.min() < 0.25
  assert 1.75 < factor.max() < 1.8


def test_evaluation_crops_and_pads_the_centre(picture, run):
  image = picture(12, 10)
  result = run(lambda image: cifarnet_preprocessing.preprocess_for_eval(image, 8, 16), image)
  expected = standardized(np.pad(image[2:10].astype(np.float64), [(0, 0), (3, 3), (0, 0)]))
  np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize(
  ('is_training', 'tags'),
  [(True, {'image', 'distorted_image'}), (False, {'image', 'resized_image'})],
  ids=['train', 'eval'],
)
def test_summaries(picture, is_training, tags):
  image = tf.constant(picture(12, 16))
  cifarnet_preprocessing.preprocess_image(image, 8, 8, is_training)
  with tf.Session() as session:
    summary = tf.Summary.FromString(session.run(tf.summary.merge_all()))
  assert {value.tag for value in summary.value} == {f'{tag}/image/0' for tag in tags}


def test_no_summaries(picture):
  for is_training in (True, False):
    cifarnet_preprocessing.preprocess_image(
      picture(12, 16), 8, 8, is_training, add_image_summaries=False
    )
  assert not tf.get_collection(tf.GraphKeys.SUMMARIES)
