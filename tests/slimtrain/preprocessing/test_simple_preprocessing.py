"""Which pixels the simple preprocessing takes, and by what it normalizes them."""

import dataclasses
import json

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain.preprocessing import preprocessing_factory, simple_preprocessing

SETTINGS = preprocessing_factory.PreprocessingSettings()
ROW = preprocessing_factory.PREPROCESSINGS['simple']
AS_IT_IS = {'channel_means': (0.0,), 'channel_stds': (1.0,)}


@pytest.mark.parametrize(
  ('source', 'output', 'window'),
  [
    ((40, 40), (20, 20), (0, 40, 0, 40)),
    ((40, 60), (20, 20), (0, 40, 10, 50)),
    ((61, 40), (20, 20), (10, 50, 0, 40)),
    ((40, 60), (10, 30), (10, 30, 0, 60)),
    ((10, 10), (30, 30), (0, 10, 0, 10)),
  ],
  ids=str,
)
def test_the_largest_window_in_the_centre(picture, run, source, output, window):
  image = picture(*source)
  result = run(lambda image: simple_preprocessing.preprocess_image(image, *output), image)
  top, bottom, left, right = window
  part = np.ascontiguousarray(image[top:bottom, left:right])
  expected = run(lambda part: tf.image.resize_images(part, output), part) / 127.5 - 1
  np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_an_image_of_the_right_size_keeps_its_pixels(picture, run):
  image = picture(20, 30)
  result = run(lambda i: simple_preprocessing.preprocess_image(i, 20, 30, **AS_IT_IS), image)
  np.testing.assert_array_equal(result, image)


def test_without_crop_and_flip_training_sees_what_evaluation_sees(picture, draw):
  image = picture(37, 53)
  results = [
    draw(
      lambda image, is_training=is_training: simple_preprocessing.preprocess_image(
        image, 24, 24, is_training, random_crop=False, random_flip=False
      ),
      image,
      count=3,
    )
    for is_training in (True, False)
  ]
  np.testing.assert_array_equal(*results)
  np.testing.assert_array_equal(results[0][0], results[0][2])


def test_positions_are_kept(run):
  """A spot's place, as a part of the image, is what regression learns."""
  image = np.zeros((64, 64, 3), np.uint8)
  image[12:20, 40:56] = 255
  result = run(lambda i: simple_preprocessing.preprocess_image(i, 32, 32, **AS_IT_IS), image)
  rows, columns = np.nonzero(result[..., 0] > 127)
  assert (rows.mean() + 0.5) / 32 == pytest.approx(16 / 64, abs=0.02)
  assert (columns.mean() + 0.5) / 32 == pytest.approx(48 / 64, abs=0.02)


def test_random_crops_lie_anywhere(draw):
  ramps = np.zeros((80, 80, 3), np.uint8)
  ramps[..., 0] = np.arange(80)
  ramps[..., 1] = np.arange(80)[:, None]

  def first_pixel(image):
    image = simple_preprocessing.preprocess_image(
      image, 70, 70, is_training=True, random_flip=False, **AS_IT_IS
    )
    return image[0, 0, :2]

  corners = draw(first_pixel, ramps, count=300)
  # The window of 7/8 has 11 places along each side.
  for side in (0, 1):
    assert sorted(set(corners[:, side].tolist())) == list(range(11))


def test_half_of_the_images_are_mirrored(picture, draw):
  image = picture(20, 20)
  results = draw(
    lambda image: simple_preprocessing.preprocess_image(
      image, 20, 20, is_training=True, random_crop=False, **AS_IT_IS
    ),
    image,
    count=100,
  )
  is_mirrored = [np.array_equal(result, image[:, ::-1]) for result in results]
  is_kept = [np.array_equal(result, image) for result in results]
  assert sum(is_mirrored) + sum(is_kept) == 100
  assert 30 < sum(is_mirrored) < 70


def test_each_channel_has_its_numbers(picture, run):
  settings = preprocessing_factory.PreprocessingSettings(
    channel_means='10, 20,30', channel_stds='2,4,8'
  )
  image = picture(8, 8)
  preprocess = preprocessing_factory.get_preprocessing('simple', settings=settings)
  result = run(lambda image: preprocess(image, 8, 8), image)
  np.testing.assert_allclose(result, (image - np.array([10.0, 20, 30])) / [2, 4, 8], atol=1e-5)


def test_numbers_from_a_survey(tmp_path):
  numbers = {'channel_means': [120.5, 110, 100], 'channel_stds': [50, 51, 52.25]}
  (tmp_path / 'survey.json').write_text(json.dumps(numbers))
  settings = dataclasses.replace(
    SETTINGS, channel_means='from_survey', channel_stds='from_survey', random_flip=False
  )
  assert preprocessing_factory.arguments(ROW, settings, str(tmp_path)) == {
    'channel_means': (120.5, 110, 100),
    'channel_stds': (50, 51, 52.25),
    'random_crop': True,
    'random_flip': False,
  }


def test_other_rows_read_no_settings(tmp_path):
  settings = dataclasses.replace(SETTINGS, channel_means='from_survey')
  for name in ('inception', 'vgg', 'cifarnet', 'lenet'):
    row = preprocessing_factory.PREPROCESSINGS[name]
    assert preprocessing_factory.arguments(row, settings, str(tmp_path)) == {}


@pytest.mark.parametrize(
  ('means', 'stds', 'said'),
  [
    ('1,2', '1', '--channel_means=1,2 gives 2 values'),
    ('', '1', 'gives 0 values'),
    ('a,b,c', '1', 'is no list of numbers'),
    ('nan', '1', 'finite'),
    ('1', '1,0,1', 'the standard deviation 0'),
    ('1', '-1', 'the standard deviation -1'),
    ('from_survey', '1', 'There is no survey .*--survey'),
    ('1', 'from_survey', 'There is no survey'),
  ],
)
def test_refused_numbers(tmp_path, means, stds, said):
  settings = dataclasses.replace(SETTINGS, channel_means=means, channel_stds=stds)
  with pytest.raises(errors.InputError, match=said):
    preprocessing_factory.arguments(ROW, settings, str(tmp_path))


@pytest.mark.parametrize(
  'content', ['', '[]', '{}', '{"channel_means": "x"}', '{"channel_means":1}']
)
def test_damaged_survey(tmp_path, content):
  (tmp_path / 'survey.json').write_text(content)
  settings = dataclasses.replace(SETTINGS, channel_means='from_survey')
  with pytest.raises(errors.InputError, match="has no numbers under 'channel_means'"):
    preprocessing_factory.arguments(ROW, settings, str(tmp_path))


def test_more_numbers_than_channels(picture):
  with pytest.raises(errors.InputError, match='3 numbers, but the images have 1 channels'):
    simple_preprocessing.preprocess_image(
      picture(8, 8), 8, 8, use_grayscale=True, channel_means=(1, 2, 3)
    )
