"""Preprocessed images become pixels again."""

import numpy as np
import pytest

from slimcompat import tf
from slimtrain import inputs, visible_range
from slimtrain.preprocessing import preprocessing_factory

COLORS = (30, 120, 200)


def shown(name, image, **flags):
  """Returns what is shown of an image after the preprocessing `name`."""
  settings = inputs.DataSettings(dataset_name='digits', preprocessing_name=name, **flags)
  preprocess = preprocessing_factory.get_preprocessing(
    name, False, settings.use_grayscale, settings.preprocessing
  )
  images = preprocess(tf.constant(image), 32, 32)[tf.newaxis]
  channels = images.shape.as_list()[-1]
  black_and_white = visible_range.of_preprocessing(settings, 'lenet', 32, channels)
  with tf.Session() as session:
    return session.run(visible_range.to_pixels(images, *black_and_white))[0]


@pytest.mark.parametrize(
  'name', [name for name in preprocessing_factory.PREPROCESSINGS if name != 'cifarnet']
)
def test_colors_are_those_of_the_image(name):
  image = np.full((40, 40, 3), COLORS, np.uint8)
  pixels = shown(name, image)
  assert (pixels.dtype, pixels.shape) == (np.uint8, (32, 32, 3))
  np.testing.assert_array_equal(pixels, np.broadcast_to(np.uint8(COLORS), pixels.shape))


def test_gray():
  image = np.full((40, 40, 3), 100, np.uint8)
  pixels = shown('inception', image, use_grayscale=True)
  np.testing.assert_array_equal(pixels, np.full((32, 32, 1), 100))


def test_images_with_a_range_of_their_own_are_shown_in_all_of_it():
  image = np.zeros((32, 32, 3), np.uint8)
  image[:16] = 40
  image[0, 0] = 80
  pixels = shown('cifarnet', image)
  assert pixels[0, 0].tolist() == [255] * 3
  assert len(np.unique(pixels)) == 3
