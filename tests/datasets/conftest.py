"""A cache folder of the test's own, small folders of images, and records of every row."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import dataset_factory, dataset_utils
from slimcompat import tf


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
  """The user's cache folder during the test."""
  folder = tmp_path / 'cache_home'
  monkeypatch.setenv('XDG_CACHE_HOME', str(folder))
  return folder


@pytest.fixture(autouse=True)
def _own_table(monkeypatch):
  """Forgets at the test's end what it registered."""
  monkeypatch.setattr(dataset_factory.DATASETS, '_rows', dict(dataset_factory.DATASETS._rows))


def make_pixels(height, width, channels, seed=0):
  """Returns a smooth random picture, uint8 [height, width, channels], or rank 2 when gray."""
  shape = (2, 2) if channels == 1 else (2, 2, channels)
  corners = np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)
  return np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


def encode(pixels, image_format='PNG'):
  """Returns the encoded bytes of uint8 pixels."""
  encoded = io.BytesIO()
  Image.fromarray(pixels).save(encoded, image_format)
  return encoded.getvalue()


def write_records(path, labels, size=(6, 5), channels=3, image_format='PNG', more=None):
  """Writes a record with slim's keys per label, pictured by `make_pixels` of its number."""
  with tf.io.TFRecordWriter(str(path)) as writer:
    for number, label in enumerate(labels):
      data = encode(make_pixels(*size, channels, number), image_format)
      record = dataset_utils.image_to_tfexample(data, image_format.lower(), *size, label)
      for key, feature in (more or {}).items():
        record.features.feature[key].CopyFrom(feature)
      writer.write(record.SerializeToString())


def read_all(dataset, items=('image', 'label')):
  """Returns, per record, the items that the decoder gives within tf.data."""
  paths = sorted(tf.io.gfile.glob(dataset.data_sources))
  with tf.Graph().as_default(), tf.Session() as session:
    records = tf.data.TFRecordDataset(paths)
    decoded = records.map(lambda record: dataset.decoder.decode(record, list(items)))
    following = tf.data.make_one_shot_iterator(decoded).get_next()
    values = []
    while True:
      try:
        values.append(session.run(following))
      except tf.errors.OutOfRangeError:
        return values


@pytest.fixture
def pictures():
  """The functions above, for the tests in this folder."""

  class Pictures:
    pass

  for function in (make_pixels, encode, write_records, read_all):
    setattr(Pictures, function.__name__, staticmethod(function))
  return Pictures


@pytest.fixture
def image_dir(tmp_path):
  """A folder of 3 classes: 10 cats in RGB JPEG, 6 dogs in RGB PNG, 2 emus in gray JPEG."""
  folder = tmp_path / 'my pets'
  for label, (name, count, channels, image_format) in enumerate(
    (('cat', 10, 3, 'jpeg'), ('dog', 6, 3, 'png'), ('emu', 2, 1, 'jpeg'))
  ):
    (folder / name).mkdir(parents=True)
    for number in range(count):
      pixels = make_pixels(8, 12, channels, seed=100 * label + number)
      (folder / name / f'{number}.{image_format}').write_bytes(encode(pixels, image_format))
  return folder
