"""Which pixels the lenet preprocessing takes."""

import numpy as np
import pytest

from slimtrain.preprocessing import lenet_preprocessing


@pytest.mark.parametrize('is_training', [True, False], ids=['train', 'eval'])
def test_crops_and_pads_the_centre(picture, run, is_training):
  image = picture(12, 10)
  result = run(lambda image: lenet_preprocessing.preprocess_image(image, 8, 16, is_training), image)
  expected = (np.pad(image[2:10].astype(np.float32), [(0, 0), (3, 3), (0, 0)]) - 128) / 128
  np.testing.assert_array_equal(result, expected)
