"""The known datasets, from small files in the authors' formats that a server offers."""

import dataclasses
import functools
import gzip
import http.server
import io
import json
import os
import shutil
import struct
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from datasets import (
  cifar10,
  conversion,
  dataset_factory,
  flowers,
  imagenet,
  mnist,
  visualwakewords,
)
from slimcompat import errors, tf


@pytest.fixture
def server(tmp_path, monkeypatch):
  """The folder of a server on localhost, and its address."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  folder = tmp_path / 'server'
  folder.mkdir()
  handler = functools.partial(QuietHandler, directory=str(folder))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{running.server_port}/'
    running.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *unused):
    pass


def pixels(count, side, channels, seed):
  shape = (count, side, side, channels) if channels > 1 else (count, side, side)
  return np.random.RandomState(seed).randint(0, 256, shape, np.uint8)


def idx(array):
  """Returns the gzip of an array in the format idx."""
  header = struct.pack(f'>{1 + array.ndim}I', 2048 + array.ndim, *array.shape)
  return gzip.compress(header + array.tobytes())


def offer_mnist(folder):
  expected = {}
  for split_name, (images_name, labels_name, _) in mnist.FILES.items():
    images = pixels(25, 28, 1, len(split_name))
    labels = np.arange(25, dtype=np.uint8) % 10
    (folder / images_name).write_bytes(idx(images))
    (folder / labels_name).write_bytes(idx(labels))
    expected[split_name] = [
      (image[..., np.newaxis], label) for image, label in zip(images, labels, strict=True)
    ]
  return expected


def add_to_tar(archive, name, data):
  member = tarfile.TarInfo(name)
  member.size = len(data)
  archive.addfile(member, io.BytesIO(data))


def offer_cifar10(folder):
  expected = {}
  with tarfile.open(folder / os.path.basename(cifar10.URL), 'w:gz') as archive:
    for split_name, (members, _) in cifar10.MEMBERS.items():
      expected[split_name] = []
      for number, member in enumerate(members):
        images = pixels(4, 32, 3, number)
        labels = np.arange(4) + number
        expected[split_name] += zip(images, labels, strict=True)
        data = b''.join(
          bytes([label]) + image.transpose(2, 0, 1).tobytes()
          for image, label in zip(images, labels, strict=True)
        )
        add_to_tar(archive, f'cifar-10-batches-bin/{member}', data)
  return expected


def offer_flowers(folder):
  names = ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
  with tarfile.open(folder / os.path.basename(flowers.URL), 'w:gz') as archive:
    add_to_tar(archive, 'flower_photos/LICENSE.txt', b'CC BY 2.0')
    for label, name in enumerate(names):
      for number in range(6):
        data = io.BytesIO()
        Image.fromarray(pixels(1, 20, 3, 10 * label + number)[0]).save(data, 'JPEG')
        add_to_tar(archive, f'flower_photos/{name}/{number}.jpg', data.getvalue())
  return {'train': 15, 'validation': 15}


def jpeg(seed):
  data = io.BytesIO()
  Image.fromarray(pixels(1, 24, 3, seed)[0]).save(data, 'JPEG')
  return data.getvalue()


def tar_of(files, mode='w'):
  data = io.BytesIO()
  with tarfile.open(fileobj=data, mode=mode) as archive:
    for name, content in files.items():
      add_to_tar(archive, name, content)
  return data.getvalue()


def boxes_xml(synset, *sides):
  box = ''.join(
    f'<{name}>{value}</{name}>'
    for name, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), sides, strict=True)
  )
  return (
    '<annotation><size><width>100</width>\n<height>200</height></size>'
    f'<object><name>{synset}</name><bndbox>{box}</bndbox></object></annotation>'
  ).encode()


OFFERS = {'mnist': offer_mnist, 'cifar10': offer_cifar10, 'flowers': offer_flowers}
SYNSETS = ('n01440764', 'n01443537', 'n02105855')


@pytest.fixture
def imagenet_dir(tmp_path):
  """Archives as ImageNet's, of three classes."""
  folder = tmp_path / 'imagenet'
  folder.mkdir()
  inner = {
    f'{synset}.tar': tar_of({f'{synset}_{n}.JPEG': jpeg(10 * k + n) for n in range(4)})
    for k, synset in enumerate(SYNSETS)
  }
  (folder / imagenet.TRAIN_ARCHIVE).write_bytes(tar_of(inner))
  names = [f'ILSVRC2012_val_{number:08d}' for number in range(1, 6)]
  (folder / imagenet.VALIDATION_ARCHIVE).write_bytes(
    tar_of({f'{name}.JPEG': jpeg(100 + n) for n, name in enumerate(names)})
  )
  (folder / imagenet.VALIDATION_BOXES).write_bytes(
    tar_of(
      {
        f'val/{name}.xml': boxes_xml(SYNSETS[n % 3], 10, 20, 50, 220)
        for n, name in enumerate(names)
      },
      'w:gz',
    )
  )
  (folder / imagenet.WORDS).write_text('n01440764 tench, Tinca tinca\nn01443537 goldfish\n')
  return folder


def test_imagenet(imagenet_dir, tmp_path, pictures):
  info = convert('imagenet', tmp_path, None, source_dir=str(imagenet_dir))
  out = tmp_path / 'out'
  assert info.splits['train'].class_counts == (0, 4, 4, 4)
  assert info.splits['validation'].class_counts == (0, 2, 2, 1)
  assert (out / 'labels.txt').read_text().splitlines() == [
    *('0:background', '1:tench, Tinca tinca', '2:goldfish', '3:n02105855'),
  ]
  assert (out / 'train-00000-of-00012').exists()
  record = next(tf.python_io.tf_record_iterator(str(out / 'validation-00000-of-00005')))
  features = tf.train.Example.FromString(record).features.feature
  assert features['image/class/synset'].bytes_list.value == [SYNSETS[0].encode()]
  assert features['image/object/bbox/xmin'].float_list.value == pytest.approx([0.1])
  assert features['image/object/bbox/ymax'].float_list.value == pytest.approx([1.0])
  assert features['image/object/bbox/label'].int64_list.value == [1]
  dataset = dataset_factory.get_dataset('imagenet', 'validation', str(out))
  decoded = dataset.decoder.decode(tf.constant(record), ['label', 'label_text', 'object/bbox'])
  with tf.Session() as session:
    label, text, box = session.run(decoded)
  assert (label, text) == (1, b'tench, Tinca tinca')
  np.testing.assert_allclose(box, [[0.1, 0.1, 1.0, 0.5]], rtol=1e-6)
  # The bytes are the archive's.
  assert features['image/encoded'].bytes_list.value == [jpeg(100)]


def test_imagenet_without_its_archives(tmp_path):
  with pytest.raises(errors.InputError, match=r'ILSVRC2012_img_train\.tar is missing'):
    convert('imagenet', tmp_path, None, source_dir=str(tmp_path))


def offer_coco(folder):
  """COCO's archives, in which every other photograph has a person, of growing size."""
  annotations = {}
  for source, count in (('train2014', 8), ('val2014', 4)):
    images, entries = [], []
    with zipfile.ZipFile(folder / f'{source}.zip', 'w') as archive:
      for number in range(count):
        name = f'COCO_{source}_{number:012d}.jpg'
        archive.writestr(f'{source}/{name}', jpeg(number))
        images.append({'id': number, 'file_name': name, 'height': 24, 'width': 24})
        category = 1 if number % 2 else 18
        entries.append(
          {'image_id': number, 'category_id': category, 'area': number * 5.0, 'bbox': [6, 0, 12, 6]}
        )
    annotations[f'annotations/instances_{source}.json'] = {
      'images': images,
      'annotations': entries,
      'categories': [{'id': 1, 'name': 'person'}, {'id': 18, 'name': 'dog'}],
    }
  path = folder / os.path.basename(visualwakewords.ANNOTATIONS_URL)
  with zipfile.ZipFile(path, 'w') as archive:
    for name, content in annotations.items():
      archive.writestr(name, json.dumps(content))


def test_visual_wake_words(server, tmp_path):
  folder, mirror = server
  offer_coco(folder)
  info = convert('visualwakewords', tmp_path, mirror)
  out = tmp_path / 'out'
  # 1, 3, 5 and 7 have a person, of 5, 15, 25 and 35 of 576 pixels.
  assert info.splits['train'].class_counts == (4, 4)
  assert info.splits['val'].class_counts == (2, 2)
  assert (out / 'labels.txt').read_text() == '0:background\n1:person\n'
  assert (out / 'train.record-00000-of-00008').exists()
  dataset = dataset_factory.get_dataset('visualwakewords', 'val', str(out))
  assert (dataset.num_samples, dataset.num_classes) == (4, 2)


def test_visual_wake_words_of_large_dogs(server, tmp_path):
  folder, mirror = server
  offer_coco(folder)
  info = convert(
    'visualwakewords',
    tmp_path,
    mirror,
    foreground_class_of_interest='dog',
    small_object_area_threshold=0.02,  # 11.52 pixels.
  )
  assert info.class_names == ('background', 'dog')
  assert info.splits['train'].class_counts == (6, 2)  # 4 and 6, with 20 and 30 pixels.


def test_no_such_category(server, tmp_path):
  folder, mirror = server
  offer_coco(folder)
  with pytest.raises(errors.InputError, match='unicorn is no category of COCO'):
    convert('visualwakewords', tmp_path, mirror, foreground_class_of_interest='unicorn')


def convert(name, tmp_path, mirror, **settings):
  return conversion.convert(
    conversion.ConversionSettings(
      dataset_name=name, dataset_dir=str(tmp_path / 'out'), mirror=mirror, **settings
    )
  )


@pytest.mark.parametrize(
  ('name', 'offer', 'labels'),
  [('mnist', offer_mnist, '0:zero\n1:one\n'), ('cifar10', offer_cifar10, '0:airplane\n1:auto')],
  ids=['mnist', 'cifar10'],
)
def test_images_and_labels(name, offer, labels, server, tmp_path, pictures, capsys):
  folder, mirror = server
  expected = offer(folder)
  info = convert(name, tmp_path, mirror)
  out = tmp_path / 'out'
  assert (out / 'labels.txt').read_text().startswith(labels)
  assert sorted(out.glob('*.tfrecord')) == [
    out / f'{name}_{split}.tfrecord' for split in ('test', 'train')
  ]
  assert f'{name} has ' in capsys.readouterr().err
  for split_name, examples in expected.items():
    assert info.splits[split_name].num_examples == len(examples)
    dataset = dataset_factory.get_dataset(name, split_name, str(out))
    for (image, label), (stored, stored_label) in zip(
      examples, pictures.read_all(dataset), strict=True
    ):
      np.testing.assert_array_equal(image, stored)
      assert label == stored_label


def test_flowers(server, tmp_path):
  folder, mirror = server
  expected = offer_flowers(folder)
  info = convert('flowers', tmp_path, mirror)
  assert {name: split.num_examples for name, split in info.splits.items()} == expected
  assert info.class_names == ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
  names = sorted(path.name for path in (tmp_path / 'out').glob('flowers_train_*'))
  assert names == [f'flowers_train_{shard:05d}-of-00005.tfrecord' for shard in range(5)]
  dataset = dataset_factory.get_dataset('flowers', 'validation', str(tmp_path / 'out'))
  assert dataset.num_samples == 15


def test_files_that_are_there_are_not_fetched(server, tmp_path):
  folder, _ = server
  offer_mnist(folder)
  info = convert('mnist', tmp_path, 'http://127.0.0.1:9/', source_dir=str(folder))
  assert info.splits['test'].num_examples == 25


@pytest.mark.parametrize('name', ['mnist', 'cifar10', 'flowers'])
def test_nothing_to_fetch(name, server, tmp_path):
  with pytest.raises(errors.InputError, match='cannot be fetched: the server says 404'):
    convert(name, tmp_path, server[1])
  assert not (tmp_path / 'out' / 'dataset_info.json').exists()


@pytest.mark.parametrize('name', ['mnist', 'cifar10', 'flowers'])
def test_a_page_instead_of_a_file(name, server, tmp_path):
  folder, mirror = server
  OFFERS[name](folder)
  for path in folder.iterdir():
    path.write_text('<html>')
  with pytest.raises(errors.InputError, match=r"not a \.t?gz file: it begins b'<html>'"):
    convert(name, tmp_path, mirror)
  assert not list((tmp_path / 'cache').rglob('*gz*'))


@pytest.mark.parametrize('name', ['mnist', 'cifar10', 'flowers'])
def test_other_archives_are_refused(name, server, tmp_path):
  """Of the right kind, but neither the dataset's nor whole."""
  folder, mirror = server
  OFFERS[name](folder)
  for path in folder.iterdir():
    path.write_bytes(gzip.compress(bytes(5000)))
  with pytest.raises(errors.InputError, match=r'Remove (it|the archive) to fetch it again'):
    convert(name, tmp_path, mirror)
  # Advice that helps.
  for path in (tmp_path / 'cache').rglob('*gz'):
    path.unlink()
  for path in folder.iterdir():
    path.unlink()
  OFFERS[name](folder)
  convert(name, tmp_path, mirror)


@pytest.mark.parametrize('name', ['mnist', 'cifar10', 'flowers'])
def test_files_that_are_not_the_published_ones_are_told(name, server, tmp_path, capsys):
  folder, mirror = server
  OFFERS[name](folder)
  convert(name, tmp_path, mirror)
  assert 'is not the published file: its SHA-256 is' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['mnist', 'cifar10', 'flowers', 'visualwakewords'])
def test_the_same_again(name, server, tmp_path):
  folder, mirror = server
  {**OFFERS, 'visualwakewords': offer_coco}[name](folder)
  info = convert(name, tmp_path, mirror)
  out = tmp_path / 'out'
  before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
  shutil.rmtree(tmp_path / 'cache')
  settings = conversion.ConversionSettings(dataset_name=name, dataset_dir=str(out))
  settings = dataclasses.replace(settings, mirror='http://127.0.0.1:9/')
  assert conversion.find_or_convert(settings) == (info, True)
  assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
  if name == 'flowers':
    with pytest.raises(errors.InputError, match='converted with --num_shards=5, not 2'):
      conversion.convert(dataclasses.replace(settings, num_shards=2))
  if name == 'visualwakewords':
    with pytest.raises(errors.InputError, match='--foreground_class_of_interest=person, not dog'):
      conversion.convert(dataclasses.replace(settings, foreground_class_of_interest='dog'))


def test_flowers_without_flowers(server, tmp_path):
  folder, mirror = server
  path = folder / os.path.basename(flowers.URL)
  path.write_bytes(tar_of({'flower_photos/LICENSE.txt': b''}, 'w:gz'))
  with pytest.raises(
    errors.InputError, match=r'flower_photos\.tgz\. Remove \S+/flowers to fetch them again'
  ):
    convert('flowers', tmp_path, mirror)


def test_annotations_of_another_kind(server, tmp_path):
  folder, mirror = server
  offer_coco(folder)
  (tmp_path / 'source' / 'annotations').mkdir(parents=True)
  (tmp_path / 'source' / 'annotations' / 'instances_train2014.json').write_text('{"images": 5}')
  with pytest.raises(errors.InputError, match='is not a file of COCO annotations'):
    convert('visualwakewords', tmp_path, mirror, source_dir=str(tmp_path / 'source'))


def test_another_dataset_is_not_mixed_in(server, tmp_path):
  folder, mirror = server
  offer_mnist(folder)
  offer_cifar10(folder)
  convert('mnist', tmp_path, mirror)
  with pytest.raises(errors.InputError, match="already holds the dataset 'mnist'"):
    convert('cifar10', tmp_path, mirror)


def test_lenet_reads_mnist(server, tmp_path):
  folder, mirror = server
  offer_mnist(folder)
  convert('mnist', tmp_path, mirror)
  dataset = dataset_factory.get_dataset('mnist', 'train', str(tmp_path / 'out'))
  record = next(tf.python_io.tf_record_iterator(str(tmp_path / 'out' / 'mnist_train.tfrecord')))
  image, label = dataset.decoder.decode(tf.constant(record), ['image', 'label'])
  assert (image.shape, label.dtype) == ([28, 28, 1], tf.int64)
