"""Files become what records hold, as the settings want it, or a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import dataset_factory, image_files, image_folder, image_sources, shards
from slimcompat import tf

# Red at the left, blue at the right, a green stripe on top.
PIXELS = np.zeros((40, 60, 3), np.uint8)
PIXELS[:, :30, 0] = 255
PIXELS[:, 30:, 2] = 255
PIXELS[:8, :, 1] = 255


@pytest.fixture
def load(tmp_path):
  """`load(data, **settings)` is what becomes of a file."""

  def load_file(data, **settings):
    path = tmp_path / 'image'
    path.write_bytes(data)
    with image_files.ImageLoader(image_files.ImageSettings(**settings)) as loader:
      return loader.load(image_sources.LabelledFile(str(path), 'image', 3), 'cat')

  return load_file


def encode(image, image_format, **kwargs):
  data = io.BytesIO()
  image.save(data, image_format, **kwargs)
  return data.getvalue()


def decode(example):
  return np.asarray(Image.open(io.BytesIO(example.data))).astype(int)


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation(load, image_format, orientation):
  """Whatever way the camera was held, the picture is upright."""
  # What the camera stores, so that turned as the orientation says it is PIXELS.
  undo = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
  }[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  stored = Image.fromarray(np.ascontiguousarray(undo(PIXELS)))
  data = encode(
    stored,
    image_format,
    exif=exif,
    **(
      {'lossless': True}
      if image_format == 'WEBP'
      else {'quality': 95}
      if image_format == 'JPEG'
      else {}
    ),
  )
  example = load(data)
  assert (example.height, example.width) == (40, 60)
  assert np.abs(decode(example) - PIXELS).mean() < 8
  is_kept = orientation == 1 and image_format in ('JPEG', 'PNG')
  assert (example.data == data) == is_kept
  assert example.image_format == ('jpeg' if image_format == 'JPEG' else 'png')


@pytest.mark.parametrize(
  ('size', 'expected'),
  [((60, 40), (30, 20)), ((15, 90), (15, 90)), ((20, 50), (20, 50)), ((21, 210), (20, 200))],
)
def test_shorter_side(load, size, expected):
  image = Image.fromarray(PIXELS).resize(size)
  for image_format in ('JPEG', 'PNG'):
    example = load(encode(image, image_format), resize_shorter_side=20)
    assert (example.width, example.height) == expected
    assert decode(example).shape[1::-1] == expected
    assert example.image_format == image_format.lower()


@pytest.mark.parametrize('wanted', image_files.FORMATS)
@pytest.mark.parametrize('stored', ['JPEG', 'PNG', 'BMP'])
def test_wanted_format(load, stored, wanted):
  example = load(encode(Image.fromarray(PIXELS), stored), image_format=wanted)
  assert example.image_format == wanted
  if wanted == 'raw':
    pixels = np.frombuffer(example.data, np.uint8).reshape(40, 60, 3).astype(int)
  else:
    pixels = decode(example)
  assert np.abs(pixels - PIXELS).mean() < 8


@pytest.mark.parametrize('keep_gray', [False, True])
def test_raw_gray(load, keep_gray):
  data = encode(Image.fromarray(PIXELS[..., 0]), 'PNG')
  example = load(data, image_format='raw', keep_gray=keep_gray)
  channels = 1 if keep_gray else 3
  assert example.channels == channels
  assert len(example.data) == 40 * 60 * channels


def test_names(load):
  example = load(encode(Image.fromarray(PIXELS), 'PNG'))
  assert example.more['image/filename'].bytes_list.value == [b'image']
  assert example.more['image/class/text'].bytes_list.value == [b'cat']
  assert example.label == 3


@pytest.mark.parametrize('size', [(1, 1), (20_000, 1), (1, 20_000)])
def test_odd_sizes(load, size):
  example = load(encode(Image.new('RGB', size), 'PNG'))
  assert (example.width, example.height) == size
  example = load(encode(Image.new('RGB', size), 'JPEG'), resize_shorter_side=8)
  assert (example.width, example.height) == size


def test_too_large(load):
  data = encode(Image.new('L', (200, 100)), 'JPEG')
  assert load(data, max_image_pixels=20_000).width == 200
  assert load(data, max_image_pixels=19_999) == shards.Reject(
    'image', 'it has 200x100 pixels, more than 19,999'
  )


def test_raw_records_are_read_back(tmp_path):
  """What training decodes are the pixels, of every size."""
  for label in ('a', 'b'):
    (tmp_path / 'images' / label).mkdir(parents=True)
    for number in range(3):
      pixels = np.roll(PIXELS, number, axis=0)[: 20 + number]
      Image.fromarray(pixels).save(tmp_path / 'images' / label / f'{number}.png')
  settings = image_files.ImageSettings(image_format='raw')
  out = str(tmp_path / 'out')
  image_folder.convert(str(tmp_path / 'images'), out, settings=settings, num_shards=1)
  dataset = dataset_factory.get_dataset('image_folder', 'train', out)
  (path,) = (tmp_path / 'out').glob('*_train_*')
  seen = set()
  with tf.Session() as session:
    for record in tf.python_io.tf_record_iterator(str(path)):
      example = tf.train.Example.FromString(record)
      image = session.run(dataset.decoder.decode(tf.constant(record), ['image'])[0])
      file_name = example.features.feature['image/filename'].bytes_list.value[0].decode()
      expected = np.asarray(Image.open(tmp_path / 'images' / file_name))
      np.testing.assert_array_equal(image, expected)
      seen.add(image.shape)
  assert len(seen) > 1
