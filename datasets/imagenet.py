"""ImageNet's 1,000 classes (ILSVRC 2012), from the archives that its authors give to researchers.

O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015,
https://arxiv.org/abs/1409.0575. The records have the keys, labels and file names of TensorFlow's
own converter, which slim's is: https://github.com/tensorflow/models/tree/master/research/slim.
"""

import os
import re
import tarfile
from typing import NamedTuple

import numpy as np
import tqdm

from datasets import archives, dataset_info, dataset_utils, image_files, label_files, shards
from slimcompat import errors, escapes

TRAIN_ARCHIVE = 'ILSVRC2012_img_train.tar'  # Holds an archive per class.
VALIDATION_ARCHIVE = 'ILSVRC2012_img_val.tar'
# Of XML files; those of validation tell the classes as well.
TRAIN_BOXES = 'ILSVRC2012_bbox_train_v2.tar.gz'
VALIDATION_BOXES = 'ILSVRC2012_bbox_val_v3.tgz'
WORDS = 'synset_words.txt'  # Lines such as `n01440764 tench, Tinca tinca`.
NUM_IMAGES = {'train': 1_281_167, 'validation': 50_000}
NUM_SHARDS = {'train': 1024, 'validation': 128}
_SEED = 12345
_BOX = re.compile(
  r'<object>.*?<name>(\w+)</name>.*?<xmin>(-?\d+)</xmin>\s*<ymin>(-?\d+)</ymin>\s*'
  r'<xmax>(-?\d+)</xmax>\s*<ymax>(-?\d+)</ymax>.*?</object>',
  re.DOTALL,
)
_SIZE = re.compile(r'<width>(\d+)</width>\s*<height>(\d+)</height>')


class _Image(NamedTuple):
  """An image in an archive."""

  name: str
  synset: str
  offset: int  # Of its bytes in the file of the archive.
  num_bytes: int


def convert(settings) -> dataset_info.DatasetInfo:
  """Writes the splits `train` and `validation`; label 0 is background, that no image has.

  Args:
    settings: a conversion.ConversionSettings; its source_dir holds the archives. The boxes of
      train and the words may be missing.

  Raises:
    InputError: when an archive is missing or is another one.
  """
  folder = archives.source_dir(settings, 'imagenet')
  train_path, validation_path, validation_boxes_path = (
    _find(folder, name) for name in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE, VALIDATION_BOXES)
  )
  boxes = _read_boxes(validation_boxes_path)
  train = _list_train(train_path)
  synsets = sorted({image.synset for image in train})
  labels = {synset: label for label, synset in enumerate(synsets, start=1)}
  validation = _list_validation(validation_path, boxes, labels)
  if os.path.exists(os.path.join(folder, TRAIN_BOXES)):
    boxes.update(_read_boxes(os.path.join(folder, TRAIN_BOXES)))
  words = _read_words(os.path.join(folder, WORDS))
  order = np.random.RandomState(_SEED).permutation(len(train))
  with image_files.ImageLoader(settings.images) as loader:

    def make_examples(path, images):
      def load(first, end):
        with open(path, 'rb') as file:
          for image in images[first:end]:
            file.seek(image.offset)
            data = file.read(image.num_bytes)
            more = _features(image, boxes.get(image.name), labels, words)
            yield loader.encode(image.name, data, labels[image.synset], more)

      return shards.Examples(len(images), load)

    splits = {
      'train': make_examples(train_path, [train[index] for index in order]),
      'validation': make_examples(validation_path, validation),
    }
    archives.warn_of_count('imagenet', splits, NUM_IMAGES)
    class_names = ['background', *(words.get(synset, synset) for synset in synsets)]
    return shards.write(
      settings.dataset_dir, 'imagenet', class_names, splits, channels=3, name_files=name_files
    )


def name_files(name: str, split_name: str, num_examples: int, num_shards: int) -> list[str]:
  """Returns the names of TensorFlow's converter, such as train-00000-of-01024."""
  del name, num_shards
  num_shards = min(NUM_SHARDS[split_name], num_examples)
  return [f'{split_name}-{shard:05d}-of-{num_shards:05d}' for shard in range(num_shards)]


def _find(folder, name):
  path = os.path.join(folder, name)
  if not os.path.exists(path):
    raise errors.InputError(
      f'{path} is missing. Get the archives of ILSVRC 2012 from https://image-net.org/download and'
      f' give their folder by --source_dir: {TRAIN_ARCHIVE}, {VALIDATION_ARCHIVE},'
      f' {VALIDATION_BOXES}, and perhaps {TRAIN_BOXES} and {WORDS}.'
    )
  return path


def _list_train(path):
  """Returns the _Images of the archive of archives."""
  images = []
  try:
    with tarfile.open(path, 'r:') as outer:
      members = [member for member in outer if member.isfile()]
      for member in tqdm.tqdm(members, desc='Listing classes', unit='class', disable=None):
        synset = os.path.splitext(os.path.basename(member.name))[0]
        with tarfile.open(fileobj=outer.extractfile(member), mode='r:') as inner:
          # Not compressed, so that an image is where it says in the outer archive's file.
          images += [
            _Image(inside.name, synset, member.offset_data + inside.offset_data, inside.size)
            for inside in inner
            if inside.isfile()
          ]
  except (tarfile.TarError, OSError) as error:
    raise _is_damaged(path, error) from error
  return images


def _list_validation(path, boxes, labels):
  images = []
  try:
    with tarfile.open(path, 'r:') as archive:
      for member in archive:
        if not member.isfile():
          continue
        name = os.path.basename(member.name)
        if name not in boxes or not boxes[name] or boxes[name][0][0] not in labels:
          raise errors.InputError(
            f'{VALIDATION_BOXES} does not tell the class of {name} in {path}. Get it again.'
          )
        images.append(_Image(name, boxes[name][0][0], member.offset_data, member.size))
  except (tarfile.TarError, OSError) as error:
    raise _is_damaged(path, error) from error
  return sorted(images)


def _is_damaged(path, error):
  return errors.InputError(f'{path} is damaged or another archive: {error}. Get it again.')


def _read_boxes(path):
  """Returns {file name of an image: [(synset, xmin, ymin, xmax, ymax)]}, in [0, 1]."""
  boxes = {}
  try:
    with tarfile.open(path) as archive:
      for member in tqdm.tqdm(archive, desc='Reading boxes', unit='file', disable=None):
        if not member.isfile() or not member.name.endswith('.xml'):
          continue
        text = archive.extractfile(member).read().decode(errors='replace')
        size = _SIZE.search(text)
        if not size:
          continue
        width, height = map(int, size.groups())
        name = os.path.splitext(os.path.basename(member.name))[0] + '.JPEG'
        boxes[name] = [
          (synset, *np.clip(np.divide(list(map(int, sides)), (width, height) * 2), 0, 1))
          for synset, *sides in _BOX.findall(text)
        ]
  except (tarfile.TarError, OSError, EOFError) as error:
    raise _is_damaged(path, error) from error
  return boxes


def _read_words(path):
  if not os.path.exists(path):
    return {}
  lines = label_files.read_text(path).splitlines()
  words = dict(line.strip().split(maxsplit=1) for line in lines if len(line.split()) > 1)
  for name in words.values():
    escapes.check_name(name, path)
  return words


def _features(image, boxes, labels, words):
  """Returns what TensorFlow's converter writes besides the image, its size and its label."""
  boxes = [box for box in boxes or [] if box[1] < box[3] and box[2] < box[4]]
  box_labels = [labels.get(box[0], labels[image.synset]) for box in boxes]
  features = {
    'image/colorspace': dataset_utils.bytes_feature('RGB'),
    'image/channels': dataset_utils.int64_feature(3),
    'image/filename': dataset_utils.bytes_feature(image.name),
    'image/class/synset': dataset_utils.bytes_feature(image.synset),
    'image/class/text': dataset_utils.bytes_feature(words.get(image.synset, image.synset)),
    'image/object/bbox/label': dataset_utils.int64_feature(box_labels),
    'image/object/class/label': dataset_utils.int64_feature(box_labels),
  }
  for place, side in enumerate(('xmin', 'ymin', 'xmax', 'ymax'), start=1):
    values = [float(box[place]) for box in boxes]
    features[f'image/object/bbox/{side}'] = dataset_utils.float_feature(values)
  return features
