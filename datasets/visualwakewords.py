"""Visual Wake Words: whether a person, or another object, is in a photograph of COCO.

A. Chowdhery et al., "Visual Wake Words Dataset", 2019, https://arxiv.org/abs/1906.05721. The
records have the keys and file names of slim's converter.
"""

import hashlib
import json
import os
import zipfile

import numpy as np

from datasets import (
  archives,
  dataset_info,
  dataset_utils,
  downloads,
  image_decoding,
  image_files,
  shards,
  user_files,
)
from slimcompat import errors, escapes

# Split -> COCO's photographs, a folder or an archive of it, and their annotations, likewise.
SOURCES = {'train': 'train2014', 'val': 'val2014'}
URL = 'https://images.cocodataset.org/zips/'
ANNOTATIONS_URL = 'https://images.cocodataset.org/annotations/annotations_trainval2014.zip'
# TensorFlow Datasets' checksums, by the end of the address.
SHA256 = {
  'train2014.zip': 'ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775',
  'val2014.zip': 'fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0',
  'annotations_trainval2014.zip': (
    '031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009'
  ),
}
NUM_IMAGES = {'train': 82_783, 'val': 40_504}
NUM_SHARDS = {'train': 100, 'val': 10}
_SEED = 0
_MAX_ANNOTATIONS_BYTES = 1 << 31


def convert(settings) -> dataset_info.DatasetInfo:
  """Writes the splits `train` and `val`: label 1 where an object of the class is large enough.

  Args:
    settings: a conversion.ConversionSettings: `foreground_class_of_interest` is one of COCO's
      categories, and `small_object_area_threshold` the part of the image that it must exceed.

  Raises:
    InputError: when a file cannot be had, or is not COCO's, or has no such category.
  """
  folder = archives.source_dir(settings, 'visualwakewords')
  random = np.random.RandomState(_SEED)
  foreground = settings.foreground_class_of_interest
  with image_files.ImageLoader(settings.images) as loader:
    splits = {}
    for split_name, source in SOURCES.items():
      annotations = _read_annotations(settings, folder, f'instances_{source}.json')
      try:
        images = _label(annotations, foreground, settings.small_object_area_threshold)
      except (KeyError, TypeError, AttributeError) as error:
        raise errors.InputError(
          f'instances_{source}.json is not a file of COCO annotations'
          f' ({type(error).__name__}: {error}). Remove it to fetch it again.'
        ) from error
      images = [images[index] for index in random.permutation(len(images))]
      read = _open_images(settings, folder, source)
      splits[split_name] = _make_examples(images, read, loader)
    return shards.write(
      settings.dataset_dir,
      'visualwakewords',
      ['background', foreground],
      splits,
      channels=3,
      name_files=name_files,
    )


def name_files(name: str, split_name: str, num_examples: int, num_shards: int) -> list[str]:
  """Returns slim's names, such as train.record-00000-of-00100."""
  del name, num_shards
  num_shards = min(NUM_SHARDS[split_name], num_examples)
  return [f'{split_name}.record-{shard:05d}-of-{num_shards:05d}' for shard in range(num_shards)]


def _read_annotations(settings, folder, name):
  path = os.path.join(folder, 'annotations', name)
  try:
    if os.path.exists(path):
      with open(path, encoding='utf-8') as file:
        return json.load(file)
    path = _find(settings, folder, ANNOTATIONS_URL)
    with zipfile.ZipFile(path) as archive:
      member = f'annotations/{name}'
      return json.loads(downloads.read_zip_member(archive, member, _MAX_ANNOTATIONS_BYTES))
  except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
    raise errors.InputError(
      f'{path} is damaged, or has no annotations {name} of COCO ({error}). Remove it to fetch it'
      ' again.'
    ) from error


def _open_images(settings, folder, source):
  """Returns a function from an image's file name to its bytes."""
  if os.path.isdir(os.path.join(folder, source)):

    def read(name):
      return user_files.read_bytes(os.path.join(folder, source, name), image_decoding.max_bytes())

    return read
  path = _find(settings, folder, f'{URL}{source}.zip')
  try:
    archive = zipfile.ZipFile(path)
  except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
    raise errors.InputError(
      f'{path} is no archive of COCO ({error}). Remove it to fetch it again.'
    ) from error
  max_bytes = image_decoding.max_bytes()
  return lambda name: downloads.read_zip_member(archive, f'{source}/{name}', max_bytes)


def _find(settings, folder, url):
  return archives.find(settings, folder, url, SHA256[url.rsplit('/', 1)[1]])


def _label(annotations, foreground, least_area):
  """Returns (image, its objects of the class that are large enough) of COCO's annotations."""
  categories = {category['name']: category['id'] for category in annotations['categories']}
  if foreground not in categories:
    raise errors.InputError(
      f'--foreground_class_of_interest={foreground} is no category of COCO. Choose one of'
      f' {", ".join(sorted(categories))}.'
    )
  escapes.check_name(foreground, '--foreground_class_of_interest')
  images = {image['id']: (image, []) for image in annotations['images']}
  for entry in annotations['annotations']:
    image, objects = images[entry['image_id']]
    is_large = entry['area'] > least_area * image['height'] * image['width']
    if entry['category_id'] == categories[foreground] and is_large:
      objects.append(entry)
  return [images[key] for key in sorted(images)]


def _make_examples(images, read, loader):
  def load(first, end):
    for image, objects in images[first:end]:
      name = image['file_name']
      try:
        data = read(name)
      except (OSError, ValueError) as error:
        yield shards.Reject(name, str(error))
        continue
      yield loader.encode(name, data, int(bool(objects)), _features(image, objects, data))

  return shards.Examples(len(images), load)


def _features(image, objects, data):
  """Returns what slim's converter writes besides the image, its size and its label."""
  boxes = np.array([entry['bbox'] for entry in objects], float).reshape(-1, 4)
  x, y, width, height = (boxes / ([image['width'], image['height']] * 2)).T
  features = {
    'image/filename': dataset_utils.bytes_feature(image['file_name']),
    'image/source_id': dataset_utils.bytes_feature(str(image['id'])),
    'image/key/sha256': dataset_utils.bytes_feature(hashlib.sha256(data).hexdigest()),
    'image/object/area': dataset_utils.float_feature([entry['area'] for entry in objects]),
    'image/object/class/label': dataset_utils.int64_feature([1] * len(objects)),
  }
  sides = {'xmin': x, 'ymin': y, 'xmax': x + width, 'ymax': y + height}
  for side, values in sides.items():
    features[f'image/object/bbox/{side}'] = dataset_utils.float_feature(values.tolist())
  return features
