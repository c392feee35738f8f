"""Batches for training: their order, their distortions, and what is kept of them."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import image_folder, records
from slimcompat import errors, tf
from slimtrain import inputs
from slimtrain.preprocessing import preprocessing_factory

SETTINGS = inputs.TrainingDataSettings(
  dataset_name='digits', batch_size=100, shuffle_buffer_size=50, deterministic_input=True
)


@pytest.fixture(scope='module')
def photos_dir(tmp_path_factory):
  """A dataset of JPEGs, of several sizes and kinds, and PNGs."""
  folder = tmp_path_factory.mktemp('photos')
  rng = np.random.RandomState(0)
  for name in ('a', 'b'):
    os.makedirs(folder / 'images' / name)
    for index in range(12):
      size = rng.randint(40, 90, 2)
      coarse = rng.randint(0, 256, (6, 6, 3), dtype='uint8')
      picture = Image.fromarray(coarse).resize(tuple(int(side) for side in size))
      kind = ({'format': 'PNG'}, {'format': 'JPEG', 'subsampling': index % 3})[index % 4 > 0]
      picture.save(folder / 'images' / name / f'{index}.{kind["format"].lower()}', **kind)
  image_folder.convert(str(folder / 'images'), str(folder / 'records'), validation_fraction=0.1)
  return str(folder / 'records')


def take(settings, count, model_name='lenet', image_size=28, **kwargs):
  """Returns (images, labels) of the first `count` batches for training, as arrays."""
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_training_batches(data, settings, model_name, image_size, **kwargs)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    taken = [session.run(batch)[:2] for _ in range(count)]
  return tuple(np.concatenate(part) for part in zip(*taken, strict=True))


def photos(photos_dir, **changes):
  return dataclasses.replace(
    SETTINGS, dataset_name='image_folder', dataset_dir=photos_dir, batch_size=7, **changes
  )


@pytest.mark.parametrize('cache', ['none', 'records', 'decoded'])
def test_each_epoch_holds_every_example_once_in_another_order(cache):
  settings = dataclasses.replace(SETTINGS, cache=cache, batch_size=479)  # A third of an epoch.
  images, labels = take(settings, 6, seed=1)
  epochs = [images[:1437].reshape(1437, -1), images[1437:].reshape(1437, -1)]
  assert np.any(labels[:1437] != labels[1437:])
  sorted_epochs = [np.sort([row.tobytes() for row in epoch]) for epoch in epochs]
  assert np.array_equal(*sorted_epochs)


@pytest.mark.parametrize('cache', ['none', 'records', 'decoded'])
@pytest.mark.parametrize('model_name', ['inception_v1', 'vgg_16', 'cifarnet', 'lenet'])
def test_deterministic_batches_follow_from_the_seed_and_go_on(photos_dir, model_name, cache):
  settings = photos(photos_dir, cache=cache)
  whole = take(settings, 8, model_name, 24, seed=5)
  again = take(settings, 8, model_name, 24, seed=5)
  # 35 of 56 examples, and 22 make an epoch.
  rest = take(settings, 3, model_name, 24, seed=5, num_seen=35)
  other = take(settings, 8, model_name, 24, seed=6)
  for index in range(2):
    np.testing.assert_array_equal(whole[index], again[index])
    np.testing.assert_array_equal(whole[index][35:], rest[index])
    assert np.any(whole[index] != other[index])


def test_without_a_seed_runs_differ():
  settings = dataclasses.replace(SETTINGS, deterministic_input=False)
  assert np.any(take(settings, 1)[1] != take(settings, 1)[1])


def test_distortions_of_an_image_differ_between_epochs(photos_dir):
  images, labels = take(photos(photos_dir, shuffle_buffer_size=1), 7, 'inception_v1', 24, seed=2)
  distinct = {image.tobytes() for image in images}
  assert len(distinct) == len(labels)


@pytest.mark.parametrize('cache', ['records', 'decoded'])
def test_a_cache_needs_the_files_only_once(photos_dir, tmp_path, cache):
  shutil.copytree(photos_dir, tmp_path / 'records')
  settings = photos(str(tmp_path / 'records'), cache=cache, num_readers=1)
  data = inputs.load_data(settings)
  batches = inputs.make_training_batches(data, settings, 'lenet', 28, seed=1)
  batch = tf.data.make_one_shot_iterator(batches).get_next()
  with tf.Session() as session:
    for _ in range(4):
      session.run(batch)
    for path in data.files:
      os.remove(path)
    for _ in range(30):
      session.run(batch)


def test_only_windows_are_decoded(photos_dir, monkeypatch):
  """The window path gives the crops of the whole image, whatever the file's kind."""
  settings = photos(photos_dir)
  windowed = take(settings, 4, 'inception_v1', 24, seed=3)

  def decode_whole(self, record, choose_window, fast_size):
    image, label = self.decode(record, ['image', 'label'])
    corner, size, *_ = choose_window(tf.shape(image))
    return tf.slice(image, corner, size), label

  monkeypatch.setattr(records.Decoder, 'decode_window', decode_whole)
  whole = take(settings, 4, 'inception_v1', 24, seed=3)
  np.testing.assert_array_equal(windowed[1], whole[1])
  np.testing.assert_allclose(windowed[0], whole[0], atol=1e-6)


def test_vgg_decodes_windows_only_where_that_may_be_inexact(photos_dir, monkeypatch):
  settings = photos(photos_dir)
  monkeypatch.setattr(records, '_decode_jpeg_window', None)  # Nothing calls it.
  exact = take(settings, 3, 'vgg_16', 24, seed=3)
  fast = take(dataclasses.replace(settings, fast_jpeg=True), 3, 'vgg_16', 24, seed=3)
  np.testing.assert_array_equal(fast[1], exact[1])
  # Other crops of the same pictures.
  assert fast[0].std() == pytest.approx(exact[0].std(), rel=0.1)
  assert abs(fast[0].mean() - exact[0].mean()) < 0.1 * exact[0].std()
  assert np.any(fast[0] != exact[0])


@pytest.mark.parametrize('image_size', [64, 24])
def test_fast_jpegs_differ_little(photos_dir, image_size):
  settings = photos(photos_dir)
  exact = take(settings, 4, 'inception_v1', image_size, seed=3)
  fast = take(dataclasses.replace(settings, fast_jpeg=True), 4, 'inception_v1', image_size, seed=3)
  np.testing.assert_array_equal(exact[1], fast[1])
  difference = np.abs(fast[0] - exact[0])
  assert difference.max() > 0
  assert difference.mean() < 0.02


def test_a_distortion_without_a_seed_is_refused(monkeypatch):
  table = preprocessing_factory.PREPROCESSINGS
  monkeypatch.setattr(table, '_rows', dict(table))

  def preprocess(image, height, width, is_training, use_grayscale):
    return tf.cast(tf.ensure_shape(image, [height, width, 1]), tf.float32) + tf.random_uniform([])

  preprocessing_factory.register(preprocessing_factory.Preprocessing('noisy', preprocess))
  settings = dataclasses.replace(SETTINGS, preprocessing_name='noisy')
  with pytest.raises(errors.InputError, match=r"'noisy' draws random numbers with RandomUniform"):
    take(settings, 1, seed=1)


def test_training_and_evaluation_heed_the_same_preprocessing_settings():
  settings = dataclasses.replace(
    SETTINGS,
    preprocessing_name='simple',
    preprocessing=preprocessing_factory.PreprocessingSettings(
      channel_means='64', channel_stds='2', random_crop=False, random_flip=False
    ),
    batch_size=1437,
  )
  trained_on, _ = take(settings, 1, seed=1)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(inputs.load_data(settings), settings, 'lenet', 28)
    evaluated = session.run(tf.data.make_one_shot_iterator(batches).get_next()).images
  in_order = [np.sort([image.tobytes() for image in images]) for images in (trained_on, evaluated)]
  np.testing.assert_array_equal(*in_order)
  assert (evaluated.min(), evaluated.max()) == ((0 - 64) / 2, (255 - 64) / 2)
