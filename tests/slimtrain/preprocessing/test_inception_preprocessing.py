"""What the inception preprocessing draws, and how often."""

import colorsys
import re

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain.preprocessing import inception_preprocessing

WHOLE = [[[0.0, 0.0, 1.0, 1.0]]]


def uniform(color, sides=(8, 8)):
  return np.full((*sides, 3), color, np.uint8)


@pytest.mark.parametrize(
  ('kwargs', 'least_area'), [({}, 0.10), ({'min_object_covered': 0.0}, 0.05)], ids=str
)
def test_crops(draw, kwargs, least_area):
  """Of all areas and shapes in the ranges; of the box around all 10% must be covered."""
  sides = 300, 400

  def crop_box(image):
    crop, bbox = inception_preprocessing.distorted_bounding_box_crop(image, WHOLE, **kwargs)
    return tf.concat([tf.cast(tf.shape(crop)[:2], tf.float32), bbox[0, 0]], axis=0)

  boxes = draw(crop_box, np.zeros((*sides, 3), np.uint8), count=1000)
  height, width, top, left, bottom, right = boxes.T
  np.testing.assert_allclose((bottom - top) * sides[0], height, atol=1e-3)
  np.testing.assert_allclose((right - left) * sides[1], width, atol=1e-3)
  area = height * width / (sides[0] * sides[1])
  assert least_area - 0.002 < area.min() < least_area + 0.02
  assert 0.80 < area.max() <= 1
  aspect = width / height
  assert 0.74 < aspect.min() < 0.78
  assert 1.30 < aspect.max() < 1.35
  # Placed anywhere they fit.
  has_room = width < 0.8 * sides[1]
  place = (left / (1 - (right - left)))[has_room]
  assert place.mean() == pytest.approx(0.5, abs=0.05)
  assert place.std() == pytest.approx(12**-0.5, abs=0.03)


def test_crop_covers_part_of_an_object(draw):
  """A crop that need cover all of the bottom right quarter contains it."""

  def crop_box(image):
    return inception_preprocessing.distorted_bounding_box_crop(
      image, [[[0.5, 0.5, 1.0, 1.0]]], min_object_covered=1.0
    )[1][0, 0]

  top, left, bottom, right = draw(crop_box, np.zeros((200, 200, 3), np.uint8), count=200).T
  assert (np.maximum(top, left) <= 0.5).all()
  assert (np.minimum(bottom, right) == 1).all()
  assert top.min() < 0.1


@pytest.mark.parametrize('random_crop', [True, False])
def test_the_crop_is_resized(draw, random_crop):
  """Stripes tell how much of the width the result shows."""
  stripes = np.zeros((256, 256, 3), np.uint8)
  stripes[:, np.arange(256) // 4 % 2 == 1] = 255  # 32 pairs.

  def count_stripes(image):
    image = inception_preprocessing.preprocess_for_train(
      image, 16, 512, bbox=None, random_crop=random_crop
    )
    is_white = tf.cast(image[0, :, 0] > 0, tf.int32)
    return tf.reduce_sum(tf.abs(is_white[1:] - is_white[:-1]))

  counts = draw(count_stripes, stripes, count=300)
  if not random_crop:
    assert (counts == 63).all()
  else:
    # The narrowest crop has 10% of the area and is 0.75 times as wide as high.
    assert (0.10 * 0.75) ** 0.5 * 64 - 2 <= counts.min() <= 25
    assert 57 <= counts.max() <= 63


def test_bounding_boxes_are_heeded(draw):
  """With a box in the black quarter, of which most must be seen, some black is in every result."""
  image = uniform(255, (64, 64))
  image[40:, 40:] = 0
  result = draw(
    lambda image: inception_preprocessing.preprocess_image(
      image, 64, 64, is_training=True, bbox=tf.constant([[[0.75, 0.75, 1.0, 1.0]]])
    ),
    image,
    count=200,
  )
  assert (result.min(axis=(1, 2, 3)) < -0.7).all()


def test_half_is_mirrored(draw):
  image = uniform(50)
  image[:, 4:] = 200
  results = draw(
    lambda image: inception_preprocessing.preprocess_for_train(
      image, 8, 8, None, random_crop=False
    ),
    image,
    count=400,
  )
  mirrored = results[:, 0, 0, 0] > results[:, 0, -1, 0]
  assert 150 < mirrored.sum() < 250


@pytest.mark.parametrize('fast_mode', [True, False], ids=['fast', 'full'])
def test_brightness(draw, fast_mode):
  """All that changes gray of one value."""
  results = draw(
    lambda image: inception_preprocessing.preprocess_for_train(image, 8, 8, None, fast_mode),
    uniform(128),
    count=400,
  )
  assert np.ptp(results, axis=(1, 2, 3)).max() < 1e-4
  change = results[:, 0, 0, 0] / 2 + 0.5 - 128 / 255
  assert -32 / 255 - 1e-4 < change.min() < -30 / 255
  assert 30 / 255 < change.max() < 32 / 255 + 1e-4
  assert change.mean() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize('fast_mode', [True, False], ids=['fast', 'full'])
def test_saturation_and_hue(draw, fast_mode):
  color = np.array([0.6, 0.5, 0.45])
  results = draw(
    lambda image: inception_preprocessing.preprocess_for_train(image, 4, 4, None, fast_mode),
    uniform(np.rint(color * 255)),
    count=400,
  )
  hues, _, _ = np.transpose([colorsys.rgb_to_hsv(*(pixel / 2 + 0.5)) for pixel in results[:, 0, 0]])
  turn = (hues - colorsys.rgb_to_hsv(*color)[0] + 0.5) % 1 - 0.5
  if fast_mode:
    assert np.abs(turn).max() < 0.02
  else:
    assert -0.22 < turn.min() < -0.18
    assert 0.18 < turn.max() < 0.22
  # The spread of the channels is that of the colour times a factor: saturation scales it, and
  # brightness, drawn before it or after, changes the factor by as much as 0.73 to 1.27.
  factor = np.ptp(results[:, 0, 0], axis=1) / 2 / np.ptp(color)
  assert 0.4 < factor.min() < 0.6
  assert 1.4 < factor.max() < 1.7


@pytest.mark.parametrize('fast_mode', [True, False], ids=['fast', 'full'])
def test_contrast(draw, fast_mode):
  image = uniform(110)
  image[:, 4:] = 145
  results = draw(
    lambda image: inception_preprocessing.preprocess_for_train(
      image, 8, 8, None, fast_mode, random_crop=False
    ),
    image,
    count=400,
  )
  factor = np.ptp(results, axis=(1, 2, 3)) / 2 / (35 / 255)
  if fast_mode:
    np.testing.assert_allclose(factor, 1, atol=1e-3)
  else:
    assert 0.49 < factor.min() < 0.53
    assert 1.47 < factor.max() < 1.51


@pytest.mark.parametrize('brightness', [-0.12, 0.0, 0.12])
@pytest.mark.parametrize('saturation', [0.5, 1.0, 1.5])
def test_fast_colors_are_those_of_tensorflows_ops(picture, run, brightness, saturation):
  image = np.concatenate([picture(16, 24), np.zeros([1, 24, 3]), np.full([1, 24, 3], 255)])
  image = (image / 255).astype(np.float32)

  def adjust(image):
    image = tf.image.adjust_saturation(tf.image.adjust_brightness(image, brightness), saturation)
    return tf.clip_by_value(image, 0.0, 1.0) * 2 - 1

  for is_mirrored in (False, True):
    distorted = run(
      lambda image, is_mirrored=is_mirrored: inception_preprocessing._distort_pixels(
        image, is_mirrored, brightness, saturation, use_grayscale=False
      ),
      image,
    )
    expected = run(adjust, image[:, ::-1] if is_mirrored else image)
    np.testing.assert_allclose(distorted, expected, atol=1e-5)


def test_ways_to_resize(draw):
  """Each of the four is drawn about as often."""
  gray = np.array([[0, 1, 0], [1, 0, 1], [0, 0, 0]]) * 40 + 110
  image = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)  # Flipping changes nothing.

  def normalized(images):
    least = images.min(axis=(1, 2, 3), keepdims=True)
    return (images - least) / np.ptp(images, axis=(1, 2, 3), keepdims=True)

  with tf.Session() as session:
    candidates = session.run([tf.image.resize_images(image, [8, 8], method) for method in range(4)])
  candidates = np.array(candidates, np.float32)
  # Legacy resizing is not symmetric, so results may be mirrored.
  candidates = np.concatenate([candidates, candidates[:, :, ::-1]])
  results = draw(
    lambda image: inception_preprocessing.preprocess_for_train(
      image, 8, 8, None, fast_mode=False, random_crop=False
    ),
    image,
    count=400,
  )
  # Brightness and contrast change what is normalized away; gray has no hue.
  distances = np.abs(normalized(results)[:, None] - normalized(candidates)[None]).max(
    axis=(2, 3, 4)
  )
  assert distances.min(axis=1).max() < 0.01
  counts = np.bincount(distances.argmin(axis=1) % 4, minlength=4)
  assert counts.min() > 65


@pytest.mark.parametrize('fast_mode', [True, False], ids=['fast', 'full'])
@pytest.mark.parametrize('ordering', range(4))
def test_color_orderings(picture, graph, ordering, fast_mode):
  image = tf.image.convert_image_dtype(picture(8, 8), tf.float32)
  inception_preprocessing.distort_color(image, ordering, fast_mode)
  adjusted = [re.search(r'distort_color/adjust_(\w+)/', op.name) for op in graph.get_operations()]
  order = ''.join(name[0] for name in dict.fromkeys(match.group(1) for match in adjusted if match))
  if fast_mode:
    assert order == ('bs' if ordering == 0 else 'sb')
  else:
    assert order == ('bshc', 'sbch', 'chbs', 'hscb')[ordering]


@pytest.mark.parametrize('ordering', range(4))
def test_each_ordering_is_drawn(draw, monkeypatch, ordering):
  """An ordering that alone changes gray does so in about a quarter of the results."""
  orderings = [()] * 4
  orderings[ordering] = ('brightness',)
  monkeypatch.setattr(inception_preprocessing, 'COLOR_ORDERINGS', orderings)
  results = draw(
    lambda image: inception_preprocessing.preprocess_for_train(image, 4, 4, None, fast_mode=False),
    uniform(128),
    count=400,
  )
  unchanged = (128 / 255 - 0.5) * 2
  is_changed = np.abs(results[:, 0, 0, 0] - unchanged) > 1e-5
  assert 65 < is_changed.sum() < 140


def test_distorted_colors_stay_in_range(draw):
  image = uniform([255, 0, 128])
  results = draw(
    lambda image: inception_preprocessing.distort_color(
      tf.image.convert_image_dtype(image, tf.float32), 3, fast_mode=False
    ),
    image,
    count=50,
  )
  assert results.min() == 0
  assert results.max() == 1


def test_unknown_ordering(picture):
  with pytest.raises(errors.InputError, match=r'\[0, 3\]'):
    inception_preprocessing.distort_color(picture(8, 8), 4)


def test_random_selector():
  tf.set_random_seed(1)
  ran = tf.Variable(tf.zeros([4], tf.int32), trainable=False, use_resource=True)

  def func(x, case):
    with tf.control_dependencies([tf.scatter_add(ran, case, 1)]):
      return x + case

  output = inception_preprocessing.apply_with_random_selector(tf.constant(10), func, 4)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    outputs = [session.run(output) for _ in range(400)]
    counts = session.run(ran)
  # One case a time, all about as often.
  np.testing.assert_array_equal(np.bincount(outputs)[10:], counts)
  assert counts.sum() == 400
  assert counts.min() > 65


def test_evaluation_without_crop_or_size(picture, run):
  image = picture(16, 24)
  whole = run(
    lambda image: inception_preprocessing.preprocess_for_eval(
      image, None, None, central_crop=False
    ),
    image,
  )
  np.testing.assert_allclose(whole, image / 127.5 - 1, atol=1e-6)
  centre = run(
    lambda image: inception_preprocessing.preprocess_for_eval(image, 0, 0, central_fraction=0.5),
    image,
  )
  np.testing.assert_allclose(centre, image[4:12, 6:18] / 127.5 - 1, atol=1e-6)
  uncropped = run(
    lambda image: inception_preprocessing.preprocess_image(image, 16, 24, crop_image=False), image
  )
  np.testing.assert_array_equal(uncropped, whole)


@pytest.mark.parametrize('is_training', [True, False], ids=['train', 'eval'])
def test_float_images(picture, draw, is_training):
  """float32 is taken to lie in [0, 1]."""
  image = picture(16, 24)
  from_bytes, from_floats = (
    draw(
      lambda image: inception_preprocessing.preprocess_image(image, 8, 8, is_training), source, 3
    )
    for source in (image, (image / 255).astype(np.float32))
  )
  np.testing.assert_allclose(from_bytes, from_floats, atol=1e-5)


@pytest.mark.parametrize('crop_image', [True, False], ids=['crop', 'whole'])
def test_summaries(picture, crop_image):
  image = tf.constant(picture(16, 24))
  inception_preprocessing.preprocess_image(image, 8, 8, is_training=True, crop_image=crop_image)
  with tf.Session() as session:
    summary = tf.Summary.FromString(session.run(tf.summary.merge_all()))
  tags = {value.tag for value in summary.value}
  expected = {'image_with_bounding_boxes', 'final_distorted_image'}
  if crop_image:
    expected |= {'images_with_distorted_bounding_box', 'cropped_resized_image'}
  else:
    expected |= {'resized_image'}
  assert tags == {f'distort_image/{tag}/image/0' for tag in expected}


def test_no_summaries(picture):
  inception_preprocessing.preprocess_image(
    picture(16, 24), 8, 8, is_training=True, add_image_summaries=False
  )
  assert not tf.get_collection(tf.GraphKeys.SUMMARIES)
