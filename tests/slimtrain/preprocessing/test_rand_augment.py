"""RandAugment's operations against Pillow's, and their choice."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from slimcompat import errors, tf
from slimtrain.preprocessing import rand_augment, randomness

GRAY = (128,) * 3


def affine(x, y):
  return lambda image: image.transform(
    image.size,
    Image.Transform.AFFINE,
    (*x, *y),
    Image.Resampling.NEAREST,
    fillcolor=GRAY if image.mode == 'RGB' else GRAY[0],
  )


def rotated(radians):
  """Of an image of 61 x 40 pixels, around (30.5, 20)."""
  cos, sin = np.cos(radians), np.sin(radians)
  return affine((cos, sin, 30.5 - 30.5 * cos - 20 * sin), (-sin, cos, 20 + 30.5 * sin - 20 * cos))


# Name -> ours, Pillow's.
EQUAL = {
  'autocontrast': (rand_augment.autocontrast, ImageOps.autocontrast),
  'equalize': (rand_augment.equalize, ImageOps.equalize),
  'invert': (rand_augment.invert, ImageOps.invert),
  **{
    f'posterize {bits}': (
      lambda image, bits=bits: rand_augment.posterize(image, tf.constant(bits)),
      lambda image, bits=bits: ImageOps.posterize(image, bits),
    )
    for bits in (1, 4, 7, 8)
  },
  **{
    f'solarize {threshold}': (
      lambda image, threshold=threshold: rand_augment.solarize(image, threshold),
      lambda image, threshold=threshold: ImageOps.solarize(image, threshold),
    )
    for threshold in (0, 26, 128, 256)
  },
  **{
    f'{name} {factor}': (
      lambda image, ours=ours, factor=factor: ours(image, tf.constant(factor)),
      lambda image, pillows=pillows, factor=factor: pillows(image).enhance(factor),
    )
    for name, ours, pillows in (
      ('brightness', rand_augment.brightness, ImageEnhance.Brightness),
      ('color', rand_augment.color, ImageEnhance.Color),
      ('contrast', rand_augment.contrast, ImageEnhance.Contrast),
      ('sharpness', rand_augment.sharpness, ImageEnhance.Sharpness),
    )
    for factor in (0.0, 0.1, 0.55, 1.0, 1.45, 1.9)
  },
  **{
    f'{name} {amount}': (
      lambda image, ours=ours, amount=amount: ours(image, tf.constant(amount)),
      transform(amount),
    )
    for name, ours, transform in (
      ('shear_x', rand_augment.shear_x, lambda v: affine((1, v, 0), (0, 1, 0))),
      ('shear_y', rand_augment.shear_y, lambda v: affine((1, 0, 0), (v, 1, 0))),
      ('translate_x', rand_augment.translate_x, lambda v: affine((1, 0, 61 * v), (0, 1, 0))),
      ('translate_y', rand_augment.translate_y, lambda v: affine((1, 0, 0), (0, 1, 40 * v))),
      ('rotate', rand_augment.rotate, rotated),
    )
    for amount in (-0.29, 0.0, 0.17)
  },
}


@pytest.fixture(params=['RGB', 'L'])
def image(request, picture):
  """A picture of 40 rows and 61 columns, and one of gray values, neither of full contrast."""
  pixels = (picture(40, 61) // 2 + 30).astype('uint8')
  pixels[5:9, 7:13] = 200
  return Image.fromarray(pixels).convert(request.param)


@pytest.mark.parametrize('name', EQUAL)
def test_operations_equal_pillows(image, run, name):
  ours, pillows = EQUAL[name]
  pixels = np.asarray(image).reshape(40, 61, -1)
  expected = np.asarray(pillows(image)).reshape(pixels.shape)
  actual = run(ours, pixels)
  assert actual.dtype == np.uint8
  np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize('value', [0, 77, 255])
@pytest.mark.parametrize('name', ['autocontrast', 'equalize'])
def test_an_image_of_one_value_stays(run, name, value):
  pixels = np.full((5, 7, 3), value, 'uint8')
  np.testing.assert_array_equal(run(EQUAL[name][0], pixels), pixels)


@pytest.mark.parametrize('shape', [(1, 1, 3), (1, 9, 1), (2, 2, 3), (3, 3, 1)])
@pytest.mark.parametrize('row', rand_augment.OPERATIONS.values(), ids=lambda row: row.name)
def test_tiny_images(run, row, shape):
  pixels = np.arange(np.prod(shape), dtype='uint8').reshape(shape)
  result = run(lambda image: row.apply(image, row.to_strength(tf.constant(-0.9))), pixels)
  assert result.shape == shape
  assert result.dtype == np.uint8


@pytest.mark.parametrize('row', rand_augment.OPERATIONS.values(), ids=lambda row: row.name)
def test_strengths(run, picture, row):
  """At the magnitude 0, nothing changes, but of what has no strength; more changes more."""
  pixels = picture(40, 61)
  results = [
    run(lambda image, part=part: row.apply(image, row.to_strength(tf.constant(part))), pixels)
    for part in (0.0, 0.3, 1.0)
  ]
  changes = [np.abs(result - pixels.astype(float)).mean() for result in results]
  if row.name in ('autocontrast', 'equalize', 'invert'):
    assert changes[0] == changes[1] == changes[2] > 0
  elif row.name == 'identity':
    assert changes == [0, 0, 0]
  else:
    assert changes[0] == 0
    assert changes[2] > changes[1] > 0


def test_the_greatest_strengths_are_the_papers():
  with tf.Session() as session:
    strengths = session.run(
      {
        row.name: [row.to_strength(tf.constant(part)) for part in (-1.0, 1.0)]
        for row in rand_augment.OPERATIONS.values()
      }
    )
  assert strengths['rotate'] == pytest.approx([-np.pi / 6, np.pi / 6])
  assert strengths['shear_x'] == strengths['shear_y'] == pytest.approx([-0.3, 0.3])
  assert strengths['translate_x'] == pytest.approx([-150 / 331, 150 / 331])
  for name in ('brightness', 'color', 'contrast', 'sharpness'):
    assert strengths[name] == pytest.approx([0.1, 1.9])
  assert strengths['posterize'] == [4, 4]
  assert strengths['solarize'] == [0, 0]


def test_all_operations_come_about_equally_often(picture, draw):
  """Told apart by what they make of a picture, of either sign."""
  pixels = picture(20, 20)
  magnitude = 9
  with tf.Graph().as_default(), tf.Session() as session:
    made = session.run(
      {
        row.name: [
          row.apply(tf.constant(pixels), row.to_strength(tf.constant(sign * 0.9)))
          for sign in (-1.0, 1.0)
        ]
        for row in rand_augment.OPERATIONS.values()
      }
    )
  names = {result.tobytes(): name for name, results in made.items() for result in results}
  assert len(set(names.values())) == len(rand_augment.OPERATIONS)
  drawn = draw(lambda image: rand_augment.distort(image, 1, magnitude), pixels, 1500)
  counts = dict.fromkeys(rand_augment.OPERATIONS, 0)
  for result in drawn:
    counts[names[result.tobytes()]] += 1
  assert all(60 < count < 145 for count in counts.values()), counts
  # Of what can go two ways, both come.
  distinct = {result.tobytes() for result in drawn}
  assert {result.tobytes() for results in made.values() for result in results} == distinct


@pytest.mark.parametrize('num_layers', [0, 3])
def test_layers_follow_each_other_and_the_seed(picture, num_layers):
  image = tf.constant(picture(20, 20))

  def distort(number):
    with randomness.seeded(tf.stack([5, number])):
      return rand_augment.distort(image, num_layers, 9.0)

  batch = tf.data.Dataset.range(8).map(distort).batch(8)
  with tf.Session() as session:
    first, again = (session.run(tf.data.make_one_shot_iterator(batch).get_next()) for _ in range(2))
  np.testing.assert_array_equal(first, again)
  distinct = {result.tobytes() for result in first}
  if num_layers:
    assert len(distinct) >= 7
  else:
    assert distinct == {picture(20, 20).tobytes()}


def test_a_shape_known_only_to_the_data(picture):
  image = tf.placeholder(tf.uint8, [None, None, 3])
  results = [
    row.apply(image, row.to_strength(tf.constant(0.5))) for row in rand_augment.OPERATIONS.values()
  ]
  with tf.Session() as session:
    for result in session.run(results, {image: picture(9, 7)}):
      assert result.shape == (9, 7, 3)


def test_floats_are_refused():
  image = tf.zeros([4, 4, 3])
  assert rand_augment.distort(image, 0, 9.0) is image
  with pytest.raises(errors.InputError, match=r'for images of uint8, .* gives float32'):
    rand_augment.distort(image, 1, 9.0)
