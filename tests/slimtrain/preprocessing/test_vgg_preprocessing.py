"""What the vgg preprocessing draws, and which pixels it takes."""

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain.preprocessing import vgg_preprocessing

MEANS = np.array([123.68, 116.78, 103.94], np.float32)


def preprocess_window(image, height, width):
  """As training does that decodes windows only."""
  corner, size = vgg_preprocessing.choose_window(tf.shape(image), height, width)
  window = tf.ensure_shape(tf.slice(image, corner, size), [None, None, 3])
  return vgg_preprocessing.preprocess_window(window, height, width)


@pytest.mark.parametrize(
  ('preprocess', 'rounding'),
  [(vgg_preprocessing.preprocess_for_train, 0), (preprocess_window, 0.5)],
  ids=['whole', 'window'],
)
def test_training_crops(draw, preprocess, rounding):
  """Ramps tell how large the image was made, which part was taken, and whether it is mirrored."""
  height, width = 640, 960
  ramps = np.zeros((height, width, 3), np.float32)
  ramps[..., 0] = np.arange(width)
  ramps[..., 1] = np.arange(height)[:, None]

  def corners(image):
    image = preprocess(image, 160, 224) + MEANS
    return tf.stack([image[0, 0], image[0, -17], image[-17, 0], image[-1, -1], image[0, 16]])

  # Away from the far edges, where the last pixel is stretched.
  first, right, below, _, _ = np.moveaxis(draw(corners, ramps, count=400), 1, 0)
  column_step = (right - first)[:, 0] / (224 - 17)
  row_step = (below - first)[:, 1] / (160 - 17)
  is_mirrored = column_step < 0
  assert 150 < is_mirrored.sum() < 250
  side = height / row_step
  is_inside = (below[:, 1] < height - 1) & ~is_mirrored & (right[:, 0] < width - 1)
  side, column_step = side[is_inside], column_step[is_inside]
  assert len(side) > 100
  assert 255.5 - rounding < side.min() < 275
  assert 490 < side.max() < 512.5 + 2 * rounding
  assert side.mean() == pytest.approx(384, abs=25)
  # The window's sides are `rounding` pixels longer or shorter at most.
  relative = rounding / (160 * row_step[is_inside]) + rounding / (224 * column_step)
  np.testing.assert_array_less(np.abs(width / column_step / (side * 1.5) - 1), relative + 0.002)
  # The crop lies anywhere.
  place = first[is_inside, 1] * side / height / (side - 160)
  assert place.min() < 0.05
  assert place.max() > 0.9
  assert place.mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
  ('sides', 'output'),
  [((7, 5), (224, 224)), ((100, 640), (224, 224)), ((1, 9000), (32, 48)), ((600, 400), (800, 800))],
  ids=str,
)
def test_windows_lie_in_the_image(draw, sides, output):
  windows = draw(
    lambda image: tf.concat(vgg_preprocessing.choose_window(tf.shape(image), *output), axis=0),
    np.zeros((*sides, 3), np.uint8),
    count=50,
  )
  corner, size = windows[:, :2], windows[:, 3:5]
  assert corner.min() >= 0
  assert size.min() >= 1
  assert np.all(corner + size <= sides)


@pytest.mark.parametrize(
  ('source', 'output', 'resized'),
  [
    ((75, 100), (224, 224), (256, 341)),
    ((100, 75), (224, 224), (341, 256)),
    ((512, 300), (224, 160), (437, 256)),
    # Above the side of 256, just large enough.
    ((75, 100), (299, 299), (299, 399)),
    ((75, 100), (100, 400), (300, 400)),
    ((100, 75), (400, 100), (400, 300)),
  ],
  ids=str,
)
def test_evaluation_is_the_centre_of_the_resized_image(picture, run, source, output, resized):
  image = picture(*source)
  result = run(lambda image: vgg_preprocessing.preprocess_image(image, *output), image)
  whole = run(lambda image: tf.image.resize_bilinear(tf.expand_dims(image, 0), resized)[0], image)
  top, left = ((a - b) // 2 for a, b in zip(resized, output, strict=True))
  expected = whole[top : top + output[0], left : left + output[1]] - MEANS
  np.testing.assert_allclose(result, expected, rtol=0, atol=1e-4)


def test_resize_sides_can_be_chosen(picture, draw):
  image = picture(20, 30)
  resized = draw(
    lambda image: vgg_preprocessing.preprocess_image(
      image, 20, 30, is_training=True, resize_side_min=20, resize_side_max=20
    ),
    image,
    count=10,
  )
  for result in resized + MEANS:
    assert np.abs(result - image).max() < 1e-3 or np.abs(result - image[:, ::-1]).max() < 1e-3


def test_gray_is_the_luma_of_the_rgb_result(picture, run):
  image = picture(40, 60)
  gray, rgb = (
    run(
      lambda image, use_grayscale=use_grayscale: vgg_preprocessing.preprocess_image(
        image, 224, 224, use_grayscale=use_grayscale
      ),
      image,
    )
    for use_grayscale in (True, False)
  )
  np.testing.assert_allclose(gray[..., 0], rgb @ [0.2989, 0.587, 0.114], atol=1e-3)


@pytest.mark.parametrize('is_training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('sides', [(1, 100000), (100000, 1)], ids=str)
def test_strips_fit_into_memory(draw, sides, is_training):
  """Resized as a whole this one would take 75 GB."""
  along = np.linspace(0, 255, 100000).astype(np.uint8).reshape(*sides, 1)
  results = draw(
    lambda image: vgg_preprocessing.preprocess_image(image, 32, 32, is_training),
    along.repeat(3, axis=2),
    count=20,
  )
  values = results.mean(axis=(1, 2))[:, 0] + MEANS[0]
  if is_training:  # Any part of it.
    assert np.ptp(values) > 150
  else:  # The centre.
    np.testing.assert_allclose(values, 127, atol=1)


@pytest.mark.parametrize('sides', [(300, 299), (0, 10), (-1, 10)], ids=str)
def test_refused_resize_sides(picture, sides):
  with pytest.raises(errors.InputError, match='resize_side_min'):
    vgg_preprocessing.preprocess_for_train(picture(8, 8), 8, 8, *sides)
  with pytest.raises(errors.InputError, match='resize_side_min'):
    vgg_preprocessing.choose_window([8, 8, 3], 8, 8, *sides)
