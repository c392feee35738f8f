"""Folders of images become records: the same bytes, every image once, or one clear sentence."""

import collections
import csv
import io
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import (
  dataset_factory,
  dataset_info,
  image_files,
  image_folder,
  image_sources,
  shards,
  verification,
)
from slimcompat import errors, tf

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def convert(image_dir, dataset_dir, **settings):
  return image_folder.convert(str(image_dir), str(dataset_dir), **settings)


def read_records(path):
  """Returns the tf.train.Examples of a file."""
  with tf.Graph().as_default(), tf.Session() as session:
    following = tf.data.make_one_shot_iterator(tf.data.TFRecordDataset(str(path))).get_next()
    records = []
    while True:
      try:
        records.append(tf.train.Example.FromString(session.run(following)))
      except tf.errors.OutOfRangeError:
        return records


def value(record, key):
  feature = record.features.feature[key]
  return getattr(feature, feature.WhichOneof('kind')).value[0]


def read_split(dataset_dir, split_name):
  paths = sorted(pathlib.Path(dataset_dir).glob(f'*_{split_name}_*.tfrecord'))
  return [record for path in paths for record in read_records(path)]


def test_conversion(image_dir, tmp_path):
  out = tmp_path / 'out'
  info = convert(image_dir, out)

  assert dataset_info.read(str(out)) == info
  assert (info.name, info.channels) == ('my_pets', 3)
  assert info.class_names == ('cat', 'dog', 'emu')
  assert info.image_formats == ('jpeg', 'png')
  assert info.keys == tuple(
    f'image/{key}'
    for key in ('class/label', 'class/text', 'encoded', 'filename', 'format', 'height', 'width')
  )
  # A tenth of each class, but one at least.
  assert info.splits['train'].class_counts == (9, 5, 1)
  assert info.splits['validation'].class_counts == (1, 1, 1)
  assert (out / 'labels.txt').read_text() == '0:cat\n1:dog\n2:emu\n'
  assert sorted(os.listdir(out)) == sorted(
    [
      'dataset_info.json',
      'labels.txt',
      *(f'my_pets_train_{shard:05d}-of-00005.tfrecord' for shard in range(5)),
      # No more files than there are images.
      *(f'my_pets_validation_{shard:05d}-of-00003.tfrecord' for shard in range(3)),
    ]
  )
  for split in info.splits.values():
    for shard in split.shards:
      assert len(read_records(out / shard.file_name)) == shard.num_records
      assert (out / shard.file_name).stat().st_size == shard.num_bytes

  # Every file's bytes, once.
  stored = collections.Counter(
    (value(record, 'image/encoded'), value(record, 'image/class/label'))
    for split_name in image_folder.SPLITS
    for record in read_split(out, split_name)
  )
  files = collections.Counter(
    (path.read_bytes(), info.class_names.index(path.parent.name)) for path in image_dir.glob('*/*')
  )
  assert stored == files
  for record in read_split(out, 'train'):
    is_png = value(record, 'image/encoded').startswith(b'\x89PNG')
    assert value(record, 'image/format') == (b'png' if is_png else b'jpeg')
    assert (value(record, 'image/height'), value(record, 'image/width')) == (8, 12)


def test_mixed_with_gray_reads_as_colour(image_dir, tmp_path, pictures):
  out = tmp_path / 'out'
  convert(image_dir, out)
  dataset = dataset_factory.get_dataset('image_folder', 'train', str(out))
  examples = pictures.read_all(dataset)
  assert {image.shape for image, _ in examples} == {(8, 12, 3)}
  emu = next(image for image, label in examples if label == 2)
  np.testing.assert_array_equal(emu[..., 0], emu[..., 2])


def test_order_depends_on_the_seed_alone(image_dir, tmp_path):
  orders = {}
  for name, seed in (('a', 0), ('b', 0), ('c', 1)):
    convert(image_dir, tmp_path / name, seed=seed)
    files = sorted((tmp_path / name).glob('*.tfrecord'))
    orders[name] = [path.read_bytes() for path in files]
  assert orders['a'] == orders['b']
  assert orders['a'] != orders['c']


def test_classes_are_mixed(tmp_path, pictures):
  """slim's users met shards sorted by class."""
  for label in 'abcde':
    (tmp_path / 'images' / label).mkdir(parents=True)
    for number in range(40):
      data = pictures.encode(pictures.make_pixels(2, 2, 1, number))
      (tmp_path / 'images' / label / f'{number}.png').write_bytes(data)
  convert(tmp_path / 'images', tmp_path / 'out')
  labels = [value(record, 'image/class/label') for record in read_split(tmp_path / 'out', 'train')]
  assert len(labels) == 180
  assert set(labels[:36]) == set(range(5))


@pytest.mark.parametrize(
  ('count', 'fraction', 'num_validation'),
  [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2), (10, 0.96, 9)],
)
def test_division_of_a_class(count, fraction, num_validation, tmp_path, pictures):
  for label, images in (('a', count), ('b', 2)):
    (tmp_path / 'images' / label).mkdir(parents=True)
    for number in range(images):
      data = pictures.encode(pictures.make_pixels(2, 2, 1, number))
      (tmp_path / 'images' / label / f'{number}.png').write_bytes(data)
  info = convert(tmp_path / 'images', tmp_path / 'out', validation_fraction=fraction)
  assert info.splits['validation'].class_counts == (num_validation, 1)
  assert info.splits['train'].class_counts == (count - num_validation, 1)


def saved(image, image_format, **options):
  encoded = io.BytesIO()
  image.save(encoded, image_format, **options)
  return encoded.getvalue()


RGB = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
GRAY = RGB[..., 1]
WIDE = GRAY.astype(np.uint16) * 257 + 3
ALPHA = np.concatenate([RGB, np.full((4, 6, 1), 7, np.uint8)], axis=-1)


def rgb_image():
  return Image.fromarray(RGB)


def make_png(width, height, bit_depth, colour_type, rows):
  """Returns a PNG of any header; Pillow writes neither 16-bit colour nor lies."""

  def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', check)

  header = struct.pack('>IIBBBBB', width, height, bit_depth, colour_type, 0, 0, 0)
  return (
    b'\x89PNG\r\n\x1a\n'
    + chunk(b'IHDR', header)
    + chunk(b'IDAT', zlib.compress(rows))
    + chunk(b'IEND', b'')
  )


def make_16_bit_rgb_png():
  wide = RGB.astype('>u2') * 256 + 5
  return make_png(6, 4, 16, 2, b''.join(b'\0' + row.astype('>u2').tobytes() for row in wide))


# The file's bytes, what it must decode to (None: what TensorFlow makes of the file itself), and
# whether the bytes are kept.
FORMATS = {
  'rgb.png': (lambda: saved(rgb_image(), 'PNG'), RGB, True),
  'gray.png': (lambda: saved(Image.fromarray(GRAY), 'PNG'), GRAY, True),
  'rgb.jpg': (lambda: saved(rgb_image(), 'JPEG'), None, True),
  'gray.jpg': (lambda: saved(Image.fromarray(GRAY), 'JPEG'), None, True),
  'progressive.jpeg': (lambda: saved(rgb_image(), 'JPEG', progressive=True), None, True),
  'upper case.JPG': (lambda: saved(rgb_image(), 'JPEG'), None, True),
  'really a png.jpg': (lambda: saved(rgb_image(), 'PNG'), RGB, True),
  'alpha.png': (lambda: saved(Image.fromarray(ALPHA), 'PNG'), RGB, False),
  'gray with alpha.png': (
    lambda: saved(Image.fromarray(np.stack([GRAY, GRAY // 2], axis=-1), 'LA'), 'PNG'),
    GRAY,
    False,
  ),
  'transparent colour.png': (
    lambda: saved(rgb_image(), 'PNG', transparency=tuple(int(v) for v in RGB[0, 0])),
    RGB,
    False,
  ),
  'palette.png': (lambda: saved(rgb_image().quantize(256), 'PNG'), RGB, False),
  'palette with transparency.png': (
    lambda: saved(rgb_image().quantize(256), 'PNG', transparency=b'\x00\x80'),
    RGB,
    False,
  ),
  '1 bit.png': (
    lambda: saved(Image.fromarray(GRAY > 100), 'PNG'),
    np.where(GRAY > 100, 255, 0).astype(np.uint8),
    False,
  ),
  '16 bit gray.png': (lambda: saved(Image.fromarray(WIDE), 'PNG'), GRAY, False),
  '16 bit rgb.png': (make_16_bit_rgb_png, RGB, False),
  '16 bit gray.tiff': (lambda: saved(Image.fromarray(WIDE), 'TIFF'), GRAY, False),
  'rgb.tif': (lambda: saved(rgb_image(), 'TIFF'), RGB, False),
  'rgb.bmp': (lambda: saved(rgb_image(), 'BMP'), RGB, False),
  'lossless.webp': (lambda: saved(rgb_image(), 'WEBP', lossless=True), RGB, False),
  'still.gif': (lambda: saved(rgb_image().quantize(256), 'GIF'), RGB, False),
  # A GIF's colours are a palette, even where all are gray.
  'gray.gif': (
    lambda: saved(Image.fromarray(GRAY), 'GIF'),
    np.stack([GRAY] * 3, axis=-1),
    False,
  ),
  'moving.gif': (
    lambda: saved(
      rgb_image().quantize(256),
      'GIF',
      save_all=True,
      append_images=[Image.fromarray(RGB[::-1]).quantize(256)],
    ),
    RGB,
    False,
  ),
}


@pytest.mark.parametrize('name', FORMATS)
def test_format(name, tmp_path, pictures):
  make, expected, is_kept = FORMATS[name]
  data = make()
  for label in ('a', 'b'):
    (tmp_path / 'images' / label).mkdir(parents=True)
    (tmp_path / 'images' / label / name).write_bytes(data)
  (tmp_path / 'images' / 'b' / f'second {name}').write_bytes(data)
  out = tmp_path / 'out'
  info = convert(tmp_path / 'images', out, settings=image_files.ImageSettings(keep_gray=True))

  if expected is None:
    with tf.Session() as session:
      expected = session.run(tf.io.decode_image(data)).squeeze()
  channels = 1 if expected.ndim == 2 else 3
  assert info.channels == channels
  for record in read_split(out, 'train'):
    assert (value(record, 'image/encoded') == data) == is_kept
    assert value(record, 'image/format') in (b'png', b'jpeg')
  dataset = dataset_factory.get_dataset('image_folder', 'train', str(out))
  for image, _ in pictures.read_all(dataset):
    np.testing.assert_array_equal(image, expected.reshape(4, 6, channels))


def test_cmyk(tmp_path):
  """Its colours are Pillow's; a person sees green stay green."""
  green = Image.new('RGB', (6, 4), (20, 200, 40)).convert('CMYK')
  for label in ('a', 'b'):
    (tmp_path / 'images' / label).mkdir(parents=True)
    for number in range(2):
      (tmp_path / 'images' / label / f'{number}.jpg').write_bytes(saved(green, 'JPEG', quality=95))
  convert(tmp_path / 'images', tmp_path / 'out')
  record = read_split(tmp_path / 'out', 'train')[0]
  assert value(record, 'image/format') == b'png'
  pixels = np.asarray(Image.open(io.BytesIO(value(record, 'image/encoded')))).astype(int)
  assert pixels.shape == (4, 6, 3)
  assert np.abs(pixels - [20, 200, 40]).max() <= 3


# An image file that cannot be used, and what is said of it.
BAD_FILES = {
  'text.jpg': (b'hello, world', 'it is no image that is known; it begins'),
  'not.png': (b'\x89PNG\r\n\x1a\n and then something else', ''),
  'empty.png': (b'', 'it is empty'),
  'page.gif': (b'<!DOCTYPE html>', 'it is no image that is known; it begins'),
  'cut.png': (lambda: saved(rgb_image(), 'PNG')[:-30], ''),
  'cut.jpg': (lambda: saved(rgb_image(), 'JPEG')[:-20], 'Invalid JPEG data'),
  'cut in the header.jpg': (lambda: saved(rgb_image(), 'JPEG')[:-200], 'Truncated File Read'),
  'cut.bmp': (lambda: saved(rgb_image(), 'BMP')[:-40], 'truncated'),
  'cut.webp': (lambda: saved(rgb_image(), 'WEBP')[:-40], ''),
  'bomb.png': (
    lambda: make_png(13_000, 13_000, 8, 2, b''),
    'it has 13000x13000 pixels, more than 50,000,000',
  ),
  'float.tiff': (
    lambda: saved(Image.fromarray(GRAY.astype(np.float32)), 'TIFF'),
    'its pixels have no known range (mode F); save it with 8 bits',
  ),
}


@pytest.mark.parametrize('name', BAD_FILES)
def test_bad_image_is_left_out(name, image_dir, tmp_path):
  make, reason = BAD_FILES[name]
  (image_dir / 'dog' / name).write_bytes(make if isinstance(make, bytes) else make())
  out = tmp_path / 'out'
  info = convert(image_dir, out)
  assert sum(split.num_examples for split in info.splits.values()) == 18
  (header, row) = csv.reader((out / 'rejects.csv').open(newline=''))
  assert header == ['image', 'reason']
  assert row[0] == f'dog/{name}'
  assert reason in row[1]


def test_dangling_link(image_dir, tmp_path):
  (image_dir / 'cat' / 'gone.jpg').symlink_to(tmp_path / 'nowhere')
  convert(image_dir, tmp_path / 'out')
  assert (tmp_path / 'out' / 'rejects.csv').read_text() == (
    'image,reason\ncat/gone.jpg,No such file or directory\n'
  )


def test_nothing_but_bad_images(image_dir, tmp_path):
  for path in image_dir.glob('*/*'):
    path.write_text('no image')
  out = tmp_path / 'out'
  with pytest.raises(
    errors.InputError, match=r'None of the images for train can be used; .*it is no image'
  ):
    convert(image_dir, out)
  assert os.listdir(out) == []


def test_what_is_no_image_is_ignored(image_dir, tmp_path):
  ignored = [
    image_dir / 'cat' / 'Thumbs.db',
    image_dir / 'cat' / '.DS_Store',
    image_dir / 'cat' / '._0.jpeg',
    image_dir / 'cat' / '.cache' / 'a.jpeg',
    image_dir / 'dog' / 'notes.txt',
    image_dir / 'LICENSE.txt',
    image_dir / 'outside.png',
    image_dir / '.git' / 'b.png',
  ]
  for path in ignored:
    path.parent.mkdir(exist_ok=True)
    path.write_text('no image')
  info = convert(image_dir, tmp_path / 'out')
  assert info.class_names == ('cat', 'dog', 'emu')
  assert sum(split.num_examples for split in info.splits.values()) == 18
  assert image_sources.list_ignored(str(image_dir)) == sorted(map(str, ignored))


def test_images_in_deeper_folders_belong_to_the_class(image_dir, tmp_path):
  (image_dir / 'emu' / 'zoo' / 'left').mkdir(parents=True)
  shutil.copy(image_dir / 'emu' / '0.jpeg', image_dir / 'emu' / 'zoo' / 'left' / 'x.jpeg')
  info = convert(image_dir, tmp_path / 'out')
  assert sum(split.class_counts[2] for split in info.splits.values()) == 3


def test_linked_class_folder(image_dir, tmp_path):
  (image_dir / 'emu').rename(tmp_path / 'elsewhere')
  (image_dir / 'emu').symlink_to(tmp_path / 'elsewhere')
  info = convert(image_dir, tmp_path / 'out')
  assert info.class_names == ('cat', 'dog', 'emu')


def refuse_missing(image_dir, out):
  shutil.rmtree(image_dir)
  return {}, f'There is no folder {image_dir}'


def refuse_file(image_dir, out):
  shutil.rmtree(image_dir)
  image_dir.write_text('')
  return {}, f'There is no folder {image_dir}'


def refuse_flat(image_dir, out):
  for folder in image_dir.iterdir():
    shutil.rmtree(folder)
  return {}, f'{image_dir} has no sub-folders'


def refuse_one_class(image_dir, out):
  for name in ('cat', 'emu'):
    shutil.rmtree(image_dir / name)
  return {}, f"{image_dir} has only the sub-folder 'dog'"


def refuse_empty_class(image_dir, out):
  (image_dir / 'ant').mkdir()
  (image_dir / 'ant' / 'readme.txt').write_text('')
  return {}, f'The class folder {image_dir}/ant has no images'


def refuse_unprintable_class(image_dir, out):
  (image_dir / 'cat').rename(image_dir / 'cat\n')
  return {}, f'{image_dir} gives a class the name "cat\\x0a"'


def refuse_single_images(image_dir, out):
  for path in image_dir.glob('*/*'):
    if not path.name.startswith('0.'):
      path.unlink()
  return {}, f'Every class in {image_dir} has a single image'


def refuse_fraction(image_dir, out):
  return {'validation_fraction': 1.0}, 'validation_fraction is 1.0; it must lie between 0 and 1'


def refuse_zero_fraction(image_dir, out):
  return {'validation_fraction': 0.0}, 'validation_fraction is 0.0; it must lie between 0 and 1'


def refuse_no_shards(image_dir, out):
  return {'num_shards': 0}, 'num_shards is 0; a split needs 1 file at least'


def refuse_name(image_dir, out):
  return {'name': 'a/b'}, "The name 'a/b' cannot start the names of files"


def refuse_finished(image_dir, out):
  convert(image_dir, out)
  return {}, f"{out} already holds the dataset 'my_pets'. Remove it, or give another"


def refuse_foreign_shards(image_dir, out):
  out.mkdir()
  (out / 'my_pets_train_00000-of-00009.tfrecord').write_text('')
  return {}, f'{out} holds my_pets_train_00000-of-00009.tfrecord, which would be read as part'


def refuse_unwritable(image_dir, out):
  out.write_text('a file where the directory should be')
  return {}, f'Cannot write the dataset to {out}'


REFUSALS = [
  *(refuse_missing, refuse_file, refuse_flat, refuse_one_class),
  *(refuse_empty_class, refuse_unprintable_class, refuse_single_images),
  *(refuse_fraction, refuse_zero_fraction, refuse_no_shards, refuse_name),
  *(refuse_finished, refuse_foreign_shards, refuse_unwritable),
]


@pytest.mark.parametrize('refuse', REFUSALS, ids=lambda refuse: refuse.__name__)
def test_refusal(refuse, image_dir, tmp_path):
  out = tmp_path / 'out'
  settings, sentence = refuse(image_dir, out)
  with pytest.raises(errors.InputError, match='^' + re.escape(sentence)):
    convert(image_dir, out, **settings)


@pytest.mark.parametrize('place', ['.', 'records', 'cat/records', '../my pets/x'])
def test_dataset_within_the_images(place, image_dir):
  with pytest.raises(errors.InputError, match=r'^The dataset cannot go to .*Give dataset_dir'):
    convert(image_dir, image_dir / place)
  assert not (image_dir / 'records').exists()


def test_images_within_the_dataset_directory(image_dir, tmp_path):
  """As slim's own scripts left them after unpacking."""
  convert(image_dir, tmp_path)
  dataset = dataset_factory.get_dataset('image_folder', 'train', str(tmp_path))
  assert sum(verification.check_records(dataset, 3).values()) == 15


@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize('moment', range(9))
def test_interrupted_while_moving_shards(moment, resume, image_dir, tmp_path, monkeypatch):
  """8 shards move to their places, then the counts: whatever is missing, it shows."""
  moves = []

  out = tmp_path / 'out'

  def replace(source, target, original=os.replace):
    if os.path.dirname(target) == str(out):
      if len(moves) == moment:
        raise KeyboardInterrupt
      moves.append(target)
    original(source, target)

  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', replace)
    with pytest.raises(KeyboardInterrupt):
      convert(image_dir, out)
  assert len(moves) == moment
  with pytest.raises(errors.InputError, match=r'no dataset_info\.json'):
    dataset_factory.get_dataset('image_folder', 'train', str(out))
  convert(image_dir, out, resume=resume)
  assert not [name for name in os.listdir(out) if name.startswith('.')]
  dataset = dataset_factory.get_dataset('image_folder', 'train', str(out))
  assert sum(verification.check_records(dataset, 3).values()) == 15


def read_all_bytes(out):
  return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def start_conversion(image_dir, out, more=''):
  code = (
    'from datasets import image_folder;'
    f' image_folder.convert({str(image_dir)!r}, {str(out)!r}, num_shards=12{more})'
  )
  return subprocess.Popen([sys.executable, '-c', code], cwd=ROOT)  # noqa: S603


def check_kills(image_dir, tmp_path, num_kills):
  """Kills and resumes a conversion, and compares its end with that of an undisturbed one."""
  for number in range(3000):
    os.link(image_dir / 'cat' / '0.jpeg', image_dir / 'cat' / f'more {number}.jpeg')
  (image_dir / 'emu' / 'no image.png').write_text('no image')
  convert(image_dir, tmp_path / 'undisturbed', num_shards=12)
  out = tmp_path / 'out'
  rng = np.random.RandomState(0)
  num_interrupted = 0
  for _ in range(num_kills):
    process = start_conversion(image_dir, out, ', resume=True')
    while not list(out.glob(f'{shards.UNFINISHED_PREFIX}*/*.tfrecord*')):
      assert process.poll() is None
      time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.5))
    process.kill()
    process.wait()
    if dataset_info.read(str(out)):
      break
    num_interrupted += 1
  assert num_interrupted
  if not dataset_info.read(str(out)):
    convert(image_dir, out, num_shards=12, resume=True)
  assert read_all_bytes(out) == read_all_bytes(tmp_path / 'undisturbed')
  assert not [name for name in os.listdir(out) if name.startswith('.')]


def test_resumed_after_a_kill(image_dir, tmp_path):
  check_kills(image_dir, tmp_path, 1)


@pytest.mark.slow
def test_resumed_after_ten_kills(image_dir, tmp_path):
  check_kills(image_dir, tmp_path, 10)


def test_whole_shards_are_kept(image_dir, tmp_path, monkeypatch):
  convert(image_dir, tmp_path / 'undisturbed')
  out = tmp_path / 'out'
  loaded = []

  def load(self, file, *args, original=image_files.ImageLoader.load):
    loaded.append(file.name)
    if len(loaded) == stop_at:
      raise KeyboardInterrupt
    return original(self, file, *args)

  monkeypatch.setattr(image_files.ImageLoader, 'load', load)
  stop_at = 10  # In the fourth of the five shards for training, of 3 images each.
  with pytest.raises(KeyboardInterrupt):
    convert(image_dir, out, num_workers=1)
  loaded, stop_at = [], None
  convert(image_dir, out, resume=True)
  assert len(loaded) < 18
  assert read_all_bytes(out) == read_all_bytes(tmp_path / 'undisturbed')


@pytest.mark.parametrize('change', ['image', 'seed', 'settings', 'num_shards'])
def test_another_conversion_is_not_resumed(change, image_dir, tmp_path, monkeypatch):
  def interrupt(*unused):
    raise KeyboardInterrupt

  out = tmp_path / 'out'
  with monkeypatch.context() as patch:
    patch.setattr(image_files.ImageLoader, 'load', interrupt)
    with pytest.raises(KeyboardInterrupt):
      convert(image_dir, out)
  changes = {
    'image': {},
    'seed': {'seed': 1},
    'settings': {'settings': image_files.ImageSettings(resize_shorter_side=5)},
    'num_shards': {'num_shards': 4},
  }[change]
  if change == 'image':
    (image_dir / 'cat' / '0.jpeg').write_bytes((image_dir / 'cat' / '1.jpeg').read_bytes() + b'1')
  with pytest.raises(errors.InputError, match='was of other images or settings'):
    convert(image_dir, out, resume=True, **changes)
  convert(image_dir, out, **changes)


def test_full_disk(image_dir, tmp_path, monkeypatch):
  def fail(*unused):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(shards.user_files, 'flush_to_disk', fail)
  with pytest.raises(errors.InputError, match=r'No space left on device\. Make room'):
    convert(image_dir, tmp_path / 'out')
  assert all(name.startswith('.') for name in os.listdir(tmp_path / 'out'))


def test_killed(image_dir, tmp_path):
  """What a killed conversion leaves is not taken for a dataset, and goes with the next one."""
  for number in range(3000):
    os.link(image_dir / 'cat' / '0.jpeg', image_dir / 'cat' / f'more {number}.jpeg')
  out = tmp_path / 'out'
  code = (
    f'from datasets import image_folder; image_folder.convert({str(image_dir)!r}, {str(out)!r})'
  )
  process = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT)  # noqa: S603
  while not list(out.glob(f'{shards.UNFINISHED_PREFIX}*/*')):
    assert process.poll() is None
    time.sleep(0.001)
  process.send_signal(signal.SIGKILL)
  process.wait()
  assert [name[: len(shards.UNFINISHED_PREFIX)] for name in os.listdir(out)] == [
    shards.UNFINISHED_PREFIX
  ]
  convert(image_dir, out)
  assert not [name for name in os.listdir(out) if name.startswith('.')]
  dataset = dataset_factory.get_dataset('image_folder', 'train', str(out))
  assert sum(verification.check_records(dataset, 3).values()) == dataset.num_samples == 2715


def awkward_files():
  """Returns {name: bytes} of 40 files or more that are no plain photographs."""
  files = {name: make() for name, (make, _, _) in FORMATS.items()}
  for name, (content, _) in BAD_FILES.items():
    files[name] = content if isinstance(content, bytes) else content()
  for orientation in (3, 6, 8):
    exif = Image.Exif()
    exif[0x0112] = orientation
    files[f'turned {orientation}.jpg'] = saved(rgb_image(), 'JPEG', exif=exif)
  files |= {
    '1x1.png': saved(Image.new('RGB', (1, 1)), 'PNG'),
    '20000x1.png': saved(Image.new('RGB', (20_000, 1)), 'PNG'),
    '1x20000.jpg': saved(Image.new('RGB', (1, 20_000)), 'JPEG'),
    'cmyk.jpg': saved(rgb_image().convert('CMYK'), 'JPEG'),
    'lab.tif': saved(rgb_image().convert('LAB'), 'TIFF'),
    'large.gif': b'GIF89a' + struct.pack('<HHBBB', 13_000, 13_000, 128, 0, 0) + bytes(600),
  }
  return files


def test_awkward_images_in_one_conversion(tmp_path):
  files = awkward_files()
  assert len(files) >= 40
  for label in ('a', 'b'):
    (tmp_path / 'images' / label).mkdir(parents=True)
    for name, data in files.items():
      (tmp_path / 'images' / label / name).write_bytes(data)
  out = tmp_path / 'out'
  # Not by getrusage, whose maximum is handed down by the process that starts this one.
  code = (
    'from datasets import image_folder;'
    f' image_folder.convert({str(tmp_path / "images")!r}, {str(out)!r});'
    'print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])'
  )
  run = subprocess.run(  # noqa: S603
    [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=120
  )
  assert run.returncode == 0, run.stderr
  assert int(run.stdout.split()[-1]) < 1_000_000  # kB.
  info = dataset_info.read(str(out))
  rejected = [row[0] for row in csv.reader((out / 'rejects.csv').open(newline=''))][1:]
  num_converted = sum(split.num_examples for split in info.splits.values())
  assert num_converted + len(rejected) == 2 * len(files)
  assert {os.path.basename(name) for name in rejected} == {*BAD_FILES, 'large.gif'}
