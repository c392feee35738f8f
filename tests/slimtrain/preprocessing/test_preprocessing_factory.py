"""Every row of PREPROCESSINGS: its references, and what all of them promise."""

import itertools
import math

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, tf
from slimtrain.preprocessing import preprocessing_factory

# As they stand before any test registers one of its own.
NAMES = tuple(preprocessing_factory.PREPROCESSINGS)
# Shares of the result's range; TensorFlow 1.15's own ops give the same to about 1e-6.
TOLERANCE = 1e-5
# Rows of the goldens: the preprocessing, the picture's sides, the result's, whether it is gray.
GOLDEN_ROWS = [
  (name, golden_name, sides, size, color)
  for (name, golden_name), sides, size, color in itertools.product(
    (
      ('inception', 'inception_v3'),
      ('vgg', 'vgg_16'),
      ('cifarnet', 'cifarnet'),
      ('lenet', 'lenet'),
    ),
    ((75, 100), (48, 48)),
    (32,),
    ('rgb', 'gray'),
  )
  if (name, color) != ('vgg', 'gray')  # The original could not.
]
# The least and the greatest value, RGB and gray; gray is luma, whose weights sum to 0.9999.
RANGES = {
  'inception': ((-1, 1), (-1, 1)),
  'vgg': ((-123.68, 151.06), (-117.37, 137.61)),
  'cifarnet': ((-math.inf, math.inf), (-math.inf, math.inf)),
  'lenet': ((-1, 127 / 128), (-1, 127 / 128)),
  'simple': ((-1, 1), (-1, 1)),
}
KEEPS_CHANNELS = {
  'inception': False,
  'vgg': False,
  'cifarnet': True,
  'lenet': True,
  'simple': True,
}
# Odd, square, a single pixel, strips, and larger than every output.
SOURCE_SIDES = ((37, 53), (32, 32), (1, 1), (1, 300), (300, 1), (150, 410))
OUTPUT_SIDES = ((29, 41), (64, 17), (1, 1))

names = pytest.mark.parametrize('name', NAMES)
modes = pytest.mark.parametrize('is_training', [True, False], ids=['train', 'eval'])
colors = pytest.mark.parametrize('use_grayscale', [True, False], ids=['to_gray', 'as_it_is'])
sources = pytest.mark.parametrize('channels', [1, 3], ids=['from_gray', 'from_rgb'])


def expected_channels(name, channels, use_grayscale):
  if use_grayscale:
    return 1
  return channels if KEEPS_CHANNELS[name] else 3


def check_image(name, image, sides, num_channels, use_grayscale):
  assert image.shape == (*sides, num_channels)
  assert image.dtype == np.float32
  least, greatest = RANGES[name][use_grayscale]
  assert least - 0.01 <= image.min()
  assert image.max() <= greatest + 0.01
  if name == 'cifarnet':
    assert image.mean() == pytest.approx(0, abs=1e-3)
    assert image.std() == pytest.approx(1, abs=1e-3) or np.ptp(image) == 0


def test_goldens_are_all_used(goldens):
  keys = {
    f'{golden_name}__{sides[0]}x{sides[1]}__{size}__{color}'
    for _, golden_name, sides, size, color in GOLDEN_ROWS
  }
  assert set(np.load(goldens / 'preprocessing_eval.npz')) == keys


@pytest.mark.parametrize(
  ('name', 'golden_name', 'sides', 'size', 'color'),
  GOLDEN_ROWS,
  ids=[f'{name}-{h}x{w}-{color}' for name, _, (h, w), _, color in GOLDEN_ROWS],
)
def test_evaluation_equals_tensorflow_1_15(
  goldens, picture, run, name, golden_name, sides, size, color
):
  key = f'{golden_name}__{sides[0]}x{sides[1]}__{size}__{color}'
  golden = np.load(goldens / 'preprocessing_eval.npz')[key]
  preprocess = preprocessing_factory.get_preprocessing(name, use_grayscale=color == 'gray')
  image = run(lambda image: preprocess(image, size, size), picture(*sides))
  np.testing.assert_allclose(image, golden, rtol=0, atol=TOLERANCE * np.ptp(golden))


@names
@modes
@colors
@sources
def test_any_image_to_any_size(picture, name, is_training, use_grayscale, channels):
  preprocess = preprocessing_factory.get_preprocessing(name, is_training, use_grayscale)
  image = tf.placeholder(tf.uint8, [None, None, channels])
  outputs = [preprocess(image, *sides) for sides in OUTPUT_SIDES]
  num_channels = expected_channels(name, channels, use_grayscale)
  for output, sides in zip(outputs, OUTPUT_SIDES, strict=True):
    assert output.shape.as_list() == [*sides, num_channels]
    assert output.dtype == tf.float32
  with tf.Session() as session:
    for source_sides in SOURCE_SIDES:
      results = session.run(outputs, {image: picture(*source_sides)[..., :channels]})
      for result, sides in zip(results, OUTPUT_SIDES, strict=True):
        check_image(name, result, sides, num_channels, use_grayscale)


@names
@modes
@colors
@sources
def test_in_a_dataset(picture, name, is_training, use_grayscale, channels):
  """Decoded and preprocessed in one map, as training does it."""
  preprocess = preprocessing_factory.get_preprocessing(name, is_training, use_grayscale)
  num_channels = expected_channels(name, channels, use_grayscale)
  with tf.Session() as session:
    pngs = [
      session.run(tf.image.encode_png(picture(*sides)[..., :channels])) for sides in SOURCE_SIDES
    ]
    dataset = tf.data.Dataset.from_tensor_slices(pngs)
    dataset = dataset.map(
      lambda png: preprocess(tf.image.decode_png(png, channels), 29, 41), num_parallel_calls=2
    )
    output = tf.data.make_one_shot_iterator(dataset).get_next()
    assert output.shape.as_list() == [29, 41, num_channels]
    for _ in pngs:
      check_image(name, session.run(output), (29, 41), num_channels, use_grayscale)
  assert not tf.get_collection(tf.GraphKeys.SUMMARIES)


@names
@colors
@sources
@pytest.mark.parametrize('shape', [[None, None, None], None], ids=['channels', 'rank'])
def test_what_only_the_data_show(picture, run, name, use_grayscale, channels, shape):
  preprocess = preprocessing_factory.get_preprocessing(name, use_grayscale=use_grayscale)
  source = picture(37, 53)[..., :channels]
  image = tf.placeholder(tf.uint8, shape)
  output = preprocess(image, 29, 41)
  is_known = use_grayscale or not KEEPS_CHANNELS[name]
  num_channels = expected_channels(name, channels, use_grayscale)
  assert output.shape.as_list() == [29, 41, num_channels if is_known else None]
  with tf.Session() as session:
    result = session.run(output, {image: source})
    if is_known:
      with pytest.raises(tf.errors.InvalidArgumentError):
        session.run(output, {image: np.zeros((8, 8, 4), np.uint8)})
  expected = run(lambda image: preprocess(image, 29, 41), source)
  np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE * np.ptp(expected))


@names
@modes
def test_training_with_unknown_channels(picture, name, is_training):
  preprocess = preprocessing_factory.get_preprocessing(name, is_training)
  image = tf.placeholder(tf.uint8, [None, None, None])
  output = preprocess(image, 29, 41)
  with tf.Session() as session:
    for channels in (1, 3):
      result = session.run(output, {image: picture(37, 53)[..., :channels]})
      num_channels = expected_channels(name, channels, use_grayscale=False)
      check_image(name, result, (29, 41), num_channels, use_grayscale=False)


@names
def test_gray_becomes_three_equal_channels(picture, run, name):
  gray = picture(37, 53)[..., :1]
  preprocess = preprocessing_factory.get_preprocessing(name)
  from_gray = run(lambda image: preprocess(image, 29, 41), gray)
  from_rgb = run(lambda image: preprocess(image, 29, 41), gray.repeat(3, axis=2))
  if KEEPS_CHANNELS[name]:
    from_gray = from_gray.repeat(3, axis=2)
  np.testing.assert_allclose(from_gray, from_rgb, rtol=0, atol=1e-5)


@names
@modes
@pytest.mark.parametrize(
  ('shape', 'said'),
  [
    ([8, 8], 'map a batch'),
    ([2, 8, 8, 3], 'map a batch'),
    ([], 'Decode it first'),
    ([8, 8, 2], '2 channels'),
    ([None, None, 4], '4 channels'),
  ],
  ids=str,
)
def test_refused_images(name, is_training, shape, said):
  preprocess = preprocessing_factory.get_preprocessing(name, is_training)
  with pytest.raises(errors.InputError, match=said):
    preprocess(tf.placeholder(tf.uint8, shape), 8, 8)


@names
@modes
@pytest.mark.parametrize('sides', [(-1, 8), (8, -1)], ids=str)
def test_refused_sizes(picture, name, is_training, sides):
  preprocess = preprocessing_factory.get_preprocessing(name, is_training)
  with pytest.raises(errors.InputError, match='1 at least'):
    preprocess(picture(8, 8), *sides)


@names
def test_the_graph_seed_repeats_the_distortions(picture, draw, name):
  preprocess = preprocessing_factory.get_preprocessing(name, is_training=True)
  kwargs = {'fast_mode': False} if name == 'inception' else {}
  image = picture(37, 53)
  results = [
    draw(lambda image: preprocess(image, 29, 41, **kwargs), image, count=4, seed=seed)
    for seed in (5, 5, 6)
  ]
  np.testing.assert_array_equal(results[0], results[1])
  is_random = name != 'lenet'
  assert (results[0] != results[2]).any() == is_random
  assert (results[0][0] != results[0][1]).any() == is_random


@pytest.mark.parametrize('name', tuple(nets_factory.NETWORKS))
def test_a_net_stands_for_its_preprocessing(picture, run, name):
  row = nets_factory.NETWORKS[name].preprocessing
  preprocess, expected = (preprocessing_factory.get_preprocessing(either) for either in (name, row))
  np.testing.assert_array_equal(
    run(lambda image: preprocess(image, 20, 30), picture(37, 53)),
    run(lambda image: expected(image, 20, 30), picture(37, 53)),
  )


@pytest.mark.parametrize(('name', 'meant'), [('incepton', 'inception'), ('lenett', 'lenet')])
def test_unknown_name(name, meant):
  with pytest.raises(errors.InputError, match=f'Did you mean {meant!r}') as caught:
    preprocessing_factory.get_preprocessing(name)
  assert all(known in str(caught.value) for known in nets_factory.NETWORKS)


def test_known_names():
  known = preprocessing_factory.known_names()
  assert set(known) == {*NAMES, *nets_factory.NETWORKS}
  assert len(known) == len(set(known))


@names
def test_rows_explain_themselves(name):
  row = preprocessing_factory.PREPROCESSINGS[name]
  assert row.help
  assert 'https://' in row.source


def test_register(monkeypatch):
  table = preprocessing_factory.PREPROCESSINGS
  monkeypatch.setattr(table, '_rows', dict(table))
  received = []

  def preprocess_image(*args, **kwargs):
    received.append((args, kwargs))
    return 'image'

  row = preprocessing_factory.Preprocessing('mine', preprocess_image)
  assert preprocessing_factory.register(row) is row
  preprocess = preprocessing_factory.get_preprocessing('mine', is_training=True)
  assert preprocess('source', 3, 4, angle=5) == 'image'
  expected_kwargs = {'is_training': True, 'use_grayscale': False, 'angle': 5}
  assert received == [(('source', 3, 4), expected_kwargs)]
  with pytest.raises(errors.InputError, match='already registered'):
    preprocessing_factory.register(row)
