"""Every row of DATASETS reads records with slim's names and keys; users' modules read their own."""

import importlib.util
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from datasets import (
  dataset_factory,
  dataset_info,
  dataset_utils,
  digits,
  image_files,
  image_folder,
  verification,
)
from slimcompat import errors, slim, tables, tf

# As slim's scripts wrote them: (splits, files of the first split, size and channels, classes).
SLIM_RECORDS = {
  'digits': (
    ('train', 'test'),
    ['digits_train_00000-of-00002.tfrecord', 'digits_train_00001-of-00002.tfrecord'],
    (28, 28, 1),
    10,
  ),
  'mnist': (('train', 'test'), ['mnist_train.tfrecord'], (28, 28, 1), 10),
  'cifar10': (('train', 'test'), ['cifar10_train.tfrecord'], (32, 32, 3), 10),
  'flowers': (
    ('train', 'validation'),
    ['flowers_train_00000-of-00002.tfrecord', 'flowers_train_00001-of-00002.tfrecord'],
    (6, 5, 3),
    5,
  ),
  'imagenet': (
    ('train', 'validation'),
    ['train-00000-of-00002', 'train-00001-of-00002'],
    (6, 5, 3),
    1001,
  ),
  'visualwakewords': (
    ('train', 'val'),
    ['train.record-00000-of-00002', 'train.record-00001-of-00002'],
    (6, 5, 3),
    2,
  ),
}


def test_every_row_is_tested():
  others = {image_folder.NAME, dataset_factory.ANY_RECORDS}
  assert {*SLIM_RECORDS, *others} == set(dataset_factory.DATASETS)


@pytest.fixture(params=SLIM_RECORDS)
def name(request):
  return request.param


def test_row_reads_slims_records(name, tmp_path, pictures):
  splits, files, shape, num_classes = SLIM_RECORDS[name]
  last = num_classes - 1
  for file, labels in zip(files, [[0, last, 2], [1]], strict=False):
    pictures.write_records(tmp_path / file, labels, shape[:2], shape[2])
  dataset_utils.write_label_file({0: 'first', last: 'last'}, str(tmp_path))
  dataset = dataset_factory.get_dataset(name, splits[0], str(tmp_path))

  assert isinstance(dataset, slim.dataset.Dataset)
  assert dataset.num_classes == num_classes
  assert dataset.labels_to_names == {0: 'first', last: 'last'}
  assert dataset.reader is tf.TFRecordReader
  assert {'image', 'label'} <= dataset.items_to_descriptions.keys()
  assert set(dataset.items_to_descriptions) == set(dataset.decoder.list_items())
  examples = pictures.read_all(dataset)
  assert [label for _, label in examples] == [0, last, 2, 1][: dataset.num_samples]
  assert len(examples) == dataset.num_samples == 3 + (len(files) == 2)
  for number, (image, label) in enumerate(examples):
    assert image.dtype == np.uint8
    assert label.dtype == np.int64
    assert label.shape == ()
    expected = pictures.make_pixels(*shape, seed=number % 3).reshape(shape)
    np.testing.assert_array_equal(image, expected)


def test_row_decodes_jpeg_as_slim_does(name, tmp_path, pictures):
  splits, files, shape, _ = SLIM_RECORDS[name]
  pictures.write_records(tmp_path / files[0], [0], shape[:2], shape[2], 'JPEG')
  dataset = dataset_factory.get_dataset(name, splits[0], str(tmp_path))
  image, _ = pictures.read_all(dataset)[0]
  data = pictures.encode(pictures.make_pixels(*shape), 'JPEG')
  with tf.Session() as session:
    expected = session.run(tf.io.decode_jpeg(data, channels=shape[2]))
  assert image.shape == shape
  np.testing.assert_array_equal(image, expected)


def test_row_names_its_splits(name, tmp_path):
  splits = SLIM_RECORDS[name][0]
  with pytest.raises(errors.InputError, match=f'{name} .*Known: {", ".join(splits)}') as caught:
    dataset_factory.get_dataset(name, 'vaildation', str(tmp_path))
  assert ("Did you mean 'validation'?" in str(caught.value)) == ('validation' in splits)


def test_row_without_directory_gives_the_classes(name):
  """slim's export script asks for them without any data."""
  splits, _, _, num_classes = SLIM_RECORDS[name]
  assert dataset_factory.get_dataset(name, splits[0], '').num_classes == num_classes


def test_row_says_what_it_is(name):
  row = dataset_factory.DATASETS[name]
  assert row.description
  assert 'http' in row.source
  assert row.how_to_get
  assert row.channels == SLIM_RECORDS[name][2][2]
  keys = {key for item in row.items for key in item.features}
  assert {'image/encoded', 'image/class/label'} <= keys


def test_imagenet_boxes_and_text(tmp_path, pictures):
  more = {
    'image/class/text': dataset_utils.bytes_feature('goldfish'),
    'image/object/class/label': dataset_utils.int64_feature([2, 2]),
    'image/object/bbox/xmin': dataset_utils.float_feature([0.1, 0.2]),
    'image/object/bbox/ymin': dataset_utils.float_feature([0.3, 0.4]),
    'image/object/bbox/xmax': dataset_utils.float_feature([0.5, 0.6]),
    'image/object/bbox/ymax': dataset_utils.float_feature([0.7, 0.8]),
  }
  pictures.write_records(tmp_path / 'train-00000-of-00001', [2], more=more)
  dataset = dataset_factory.get_dataset('imagenet', 'train', str(tmp_path))
  items = ['label_text', 'object/bbox', 'object/label']
  text, boxes, labels = pictures.read_all(dataset, items)[0]
  assert text == b'goldfish'
  np.testing.assert_allclose(boxes, [[0.3, 0.1, 0.7, 0.5], [0.4, 0.2, 0.8, 0.6]], rtol=1e-6)
  np.testing.assert_array_equal(labels, [2, 2])


def test_slims_data_provider_reads_it(tmp_path, pictures):
  pictures.write_records(tmp_path / 'mnist_test.tfrecord', [7], (28, 28), 1)
  dataset = dataset_factory.get_dataset('mnist', 'test', str(tmp_path))
  provider = slim.dataset_data_provider.DatasetDataProvider(dataset, shuffle=False, num_epochs=1)
  image, label = provider.get(['image', 'label'])
  with tf.Session() as session:
    session.run(tf.local_variables_initializer())
    with slim.queues.QueueRunners(session):
      pixels, number = session.run([image, label])
  np.testing.assert_array_equal(pixels[..., 0], pictures.make_pixels(28, 28, 1))
  assert number == 7


def test_file_pattern_and_reader(tmp_path, pictures):
  pictures.write_records(tmp_path / 'mine-train-1', [1, 2])
  pictures.write_records(tmp_path / 'mine-train-2', [3])
  dataset = dataset_factory.get_dataset(
    'flowers', 'train', str(tmp_path), 'mine-%s-*', tf.TFRecordReader
  )
  assert dataset.num_samples == 3
  one = dataset_factory.get_dataset('flowers', 'train', str(tmp_path), file_pattern='mine-train-2')
  assert one.num_samples == 1


def test_gray_image_where_colour_is_expected(tmp_path, pictures):
  pictures.write_records(tmp_path / 'flowers_train_1.tfrecord', [0], channels=1)
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  image, _ = pictures.read_all(dataset)[0]
  gray = pictures.make_pixels(6, 5, 1)
  np.testing.assert_array_equal(image, np.stack([gray] * 3, axis=-1))


def test_animation_gives_its_first_frame(tmp_path, pictures):
  frames = [Image.fromarray(np.full((5, 4, 3), value, np.uint8)) for value in (50, 200)]
  gif = tmp_path / 'animation.gif'
  frames[0].save(gif, save_all=True, append_images=frames[1:])
  with tf.io.TFRecordWriter(str(tmp_path / 'flowers_train_1.tfrecord')) as writer:
    record = dataset_utils.image_to_tfexample(gif.read_bytes(), 'gif', 5, 4, 1)
    writer.write(record.SerializeToString())
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  image, _ = pictures.read_all(dataset)[0]
  np.testing.assert_array_equal(image, np.full((5, 4, 3), 50, np.uint8))


def test_image_of_another_size_is_no_digit(tmp_path, pictures):
  pictures.write_records(tmp_path / 'mnist_train.tfrecord', [0, 1], (27, 28), 1)
  dataset = dataset_factory.get_dataset('mnist', 'train', str(tmp_path))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'\[28,28,1\]'):
    pictures.read_all(dataset)


@pytest.mark.parametrize('channels', [1, 3])
def test_image_folder(channels, tmp_path, pictures):
  for label in ('a', 'b'):
    (tmp_path / 'shapes' / label).mkdir(parents=True)
    for number in range(2):
      data = pictures.encode(pictures.make_pixels(4, 7, channels, number))
      (tmp_path / 'shapes' / label / f'{number}.png').write_bytes(data)
  out = str(tmp_path / 'out')
  image_folder.convert(
    str(tmp_path / 'shapes'),
    out,
    validation_fraction=0.5,
    settings=image_files.ImageSettings(keep_gray=True),
  )
  for split_name in ('train', 'validation'):
    dataset = dataset_factory.get_dataset('image_folder', split_name, out)
    assert dataset.num_samples == 2
    assert dataset.num_classes == 2
    assert dataset.labels_to_names == {0: 'a', 1: 'b'}
    examples = pictures.read_all(dataset)
    assert sorted(label for _, label in examples) == [0, 1]
    assert {image.shape for image, _ in examples} == {(4, 7, channels)}
    assert {image.dtype for image, _ in examples} == {np.dtype(np.uint8)}


def test_folder_converted_as_flowers(image_dir, tmp_path, pictures):
  """Then slim's own name for the dataset works, with the classes that are there."""
  out = str(tmp_path / 'out')
  image_folder.convert(str(image_dir), out, name='flowers')
  dataset = dataset_factory.get_dataset('flowers', 'validation', out)
  assert dataset.num_classes == 3
  assert dataset.num_samples == len(pictures.read_all(dataset)) == 3
  os.remove(os.path.join(out, 'labels.txt'))
  dataset = dataset_factory.get_dataset('flowers', 'validation', out)
  assert dataset.labels_to_names == {0: 'cat', 1: 'dog', 2: 'emu'}


def test_image_folder_needs_a_finished_conversion(tmp_path):
  with pytest.raises(errors.InputError, match=r'no dataset_info\.json.*flowers'):
    dataset_factory.get_dataset('image_folder', 'train', str(tmp_path))
  with pytest.raises(errors.InputError, match=r'There is no directory .*/none'):
    dataset_factory.get_dataset('image_folder', 'train', str(tmp_path / 'none'))
  with pytest.raises(errors.InputError, match='needs the directory'):
    dataset_factory.get_dataset('image_folder', 'train', '')


def test_info_of_another_dataset_is_not_used(image_dir, tmp_path):
  out = str(tmp_path / 'out')
  image_folder.convert(str(image_dir), out)
  assert dataset_factory.get_dataset('flowers', 'train', out).num_classes == 5


def test_no_directory():
  with pytest.raises(errors.InputError, match="'mnist' needs the directory"):
    dataset_factory.get_dataset('mnist', 'train', None)


def test_default_dir():
  assert dataset_factory.default_dir('digits') == digits.cached_dir()
  with pytest.raises(errors.InputError, match="'flowers' needs --dataset_dir"):
    dataset_factory.default_dir('flowers')


def test_unknown_name():
  with pytest.raises(tables.UnknownNameError, match="Did you mean 'flowers'"):
    dataset_factory.get_dataset('flower', 'train', 'anywhere')


def test_lookup_touches_nothing(monkeypatch):
  monkeypatch.setattr(os, 'makedirs', None)
  monkeypatch.setattr(dataset_info, 'read', None)
  assert 'digits' in dataset_factory.DATASETS
  assert dataset_factory.DATASETS['digits'].num_classes == 10


@pytest.fixture
def user_pets():
  """A module in a file of the user's, which knows nothing of the table."""
  path = pathlib.Path(__file__).with_name('user_pets.py')
  spec = importlib.util.spec_from_file_location('user_pets', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def write_pets(path, pictures, pets):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for pet in pets:
      data = pictures.encode(pictures.make_pixels(6, 5, 3, pet))
      # The label of slim's key is wrong here: only the user's decoder reads the right one.
      record = dataset_utils.image_to_tfexample(data, b'png', 6, 5, 99)
      record.features.feature['pet'].int64_list.value.append(pet)
      writer.write(record.SerializeToString())


@pytest.mark.parametrize('kind', ['module', 'function'])
def test_users_module_reads_through_its_own_decoder(kind, user_pets, tmp_path, pictures):
  row = dataset_factory.register('pets', user_pets if kind == 'module' else user_pets.get_split)
  assert row is dataset_factory.DATASETS['pets']
  assert row.description.split()[0] in ('Pets', 'Returns')
  write_pets(tmp_path / 'pets_train_0.tfrecord', pictures, [2, 0])
  write_pets(tmp_path / 'pets_train_1.tfrecord', pictures, [1, 1])
  dataset_utils.write_label_file({0: 'cat', 1: 'dog', 2: 'emu'}, str(tmp_path))

  dataset = dataset_factory.get_dataset('pets', 'train', str(tmp_path))
  assert (dataset.num_samples, dataset.num_classes) == (4, 3)
  assert dataset.labels_to_names[2] == 'emu'
  counts = verification.check_records(dataset, dataset.num_classes)
  assert list(counts.values()) == [2, 2]
  examples = pictures.read_all(dataset)
  assert [label for _, label in examples] == [2, 0, 1, 1]
  for image, label in examples:
    np.testing.assert_array_equal(image, pictures.make_pixels(6, 5, 3, label))


def test_users_module_refuses_a_split(user_pets, tmp_path):
  dataset_factory.register('pets', user_pets)
  with pytest.raises(errors.InputError, match="'pets' was not opened: test is not among"):
    dataset_factory.get_dataset('pets', 'test', str(tmp_path))


def test_name_taken(user_pets):
  with pytest.raises(errors.InputError, match="'flowers' is already registered"):
    dataset_factory.register('flowers', user_pets)


def test_register_without_get_split():
  with pytest.raises(errors.InputError, match='neither a function nor has a function get_split'):
    dataset_factory.register('nothing', os)


def test_users_dataset_without_classes(user_pets, tmp_path):
  def get_split(*arguments):
    dataset = user_pets.get_split(*arguments)
    del dataset.num_classes
    return dataset

  dataset_factory.register('pets', get_split)
  with pytest.raises(errors.InputError, match="'pets' has no num_classes"):
    dataset_factory.get_dataset('pets', 'train', str(tmp_path))


def test_users_decoder_without_label(user_pets, tmp_path):
  def get_split(*arguments):
    dataset = user_pets.get_split(*arguments)
    handlers = {'image': slim.tfexample_decoder.Image(), 'id': slim.tfexample_decoder.Tensor('id')}
    dataset.decoder = slim.tfexample_decoder.TFExampleDecoder({}, handlers)
    return dataset

  dataset_factory.register('pets', get_split)
  with pytest.raises(errors.InputError, match="'pets' gives no label, only image, id"):
    dataset_factory.get_dataset('pets', 'train', str(tmp_path))
