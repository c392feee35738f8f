"""A folder of images, with a sub-folder per class, becomes TFRecords.

What counts as an image: every file, at any depth within a class's folder, whose name ends in one
of EXTENSIONS, in either case. Other files, and files and folders whose names start with a dot,
are ignored and counted.
"""

import collections
import concurrent.futures
import contextlib
import fnmatch
import io
import os
import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tqdm
from PIL import Image

from datasets import dataset_info, records, shards
from slimcompat import errors, tf

NAME = 'image_folder'
EXTENSIONS = (
  *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.bmp', '.dib', '.webp', '.tif', '.tiff'),
  *('.ppm', '.pgm', '.pnm', '.tga', '.avif', '.jp2', '.ico'),
)
SPLITS = ('train', 'validation')
DEFAULT_VALIDATION_FRACTION = 0.1
# Folders of these names hold the parts of an image set, not classes.
_SPLIT_LIKE_NAMES = {'train', 'training', 'val', 'valid', 'validation', 'eval', 'test', 'testing'}
# Pillow's modes without colour, with or without transparency.
_GRAY_MODES = ('1', 'L', 'LA', 'La')
# 32 bits, whole or floating-point.
_UNBOUNDED_MODES = ('I', 'F')


class _LabelledFile(NamedTuple):
  path: str
  label: int


def file_pattern(name: str) -> str:
  """Returns the pattern of the files of the dataset `name`; %s is the split."""
  return f'{name}_%s_*.tfrecord'


def convert(
  image_dir: str,
  dataset_dir: str,
  name: str | None = None,
  validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
  num_shards: int = shards.DEFAULT_NUM_SHARDS,
  seed: int = 0,
) -> dataset_info.DatasetInfo:
  """Writes the images as the splits `train` and `validation`, shuffled.

  JPEG and PNG files that TensorFlow reads as 1 or 3 channels of 8 bits are stored byte by byte.
  All others become PNG of such: the first frame of an animation, without transparency, 16 bits
  cut to their upper 8, CMYK as RGB.

  Args:
    image_dir: the folder with a sub-folder per class; the names of these, sorted, are the classes.
    dataset_dir: where the records go.
    name: what the files' names start with; None takes the folder's.
    validation_fraction: the part of each class that goes to `validation`, in (0, 1). A class of
      two images or more has at least one in each split; a single image is for training.
    num_shards: how many files a split is spread over.
    seed: of the shuffling. The same folder and seed give the same records.

  Raises:
    InputError: for settings that make no sense, a class without images, a file that cannot be
      decoded, and a directory that holds a dataset already.
  """
  _check_settings(image_dir, dataset_dir, validation_fraction, num_shards)
  name = _check_name(name) if name else _name_of_folder(image_dir)
  class_names = _list_classes(image_dir)
  files_by_class = [
    [_LabelledFile(path, label) for path in _list_images(os.path.join(image_dir, class_name))]
    for label, class_name in enumerate(class_names)
  ]
  files_by_split = _split(files_by_class, validation_fraction, seed)
  if not files_by_split['validation']:
    raise errors.InputError(
      f'Every class in {image_dir} has a single image, so none is left for validation. Add images.'
    )
  _make_room(dataset_dir, name, files_by_split, num_shards)
  num_files = sum(map(len, files_by_class))
  with (
    _ImageLoader() as loader,
    tqdm.tqdm(total=num_files, desc='Converting', unit='image', disable=None) as bar,
  ):
    splits = {
      split_name: shards.Examples(len(files), loader.load_all(files, bar.update))
      for split_name, files in files_by_split.items()
    }
    return shards.write(dataset_dir, name, class_names, splits, num_shards)


def list_ignored(image_dir: str) -> list[str]:
  """Returns the sorted paths of the files that `convert` does not take for images."""
  images = {
    path
    for class_name in _subfolders(image_dir)
    for path in _list_images(os.path.join(image_dir, class_name), must_have=False)
  }
  everything = {
    os.path.join(folder, name) for folder, _, names in os.walk(image_dir) for name in names
  }
  return sorted(everything - images)


def _check_settings(image_dir, dataset_dir, validation_fraction, num_shards):
  if not 0 < validation_fraction < 1:
    raise errors.InputError(
      f'validation_fraction is {validation_fraction}; it must lie between 0 and 1, such as 0.1.'
    )
  if num_shards < 1:
    raise errors.InputError(f'num_shards is {num_shards}; a split needs 1 file at least.')
  if not os.path.isdir(image_dir):
    raise errors.InputError(
      f'There is no folder {image_dir}. image_dir must be a folder with a sub-folder of images per'
      ' class.'
    )
  images, dataset = (os.path.realpath(path) for path in (image_dir, dataset_dir))
  if os.path.commonpath([images, dataset]) == images:
    raise errors.InputError(
      f'The dataset cannot go to {dataset_dir}, within the images of {image_dir}, where its folder'
      ' would count as a class. Give dataset_dir another place.'
    )


def _check_name(name):
  if not re.fullmatch(r'[\w.-]+', name):
    raise errors.InputError(
      f'The name {name!r} cannot start the names of files; use letters, digits, ".", "-", "_".'
    )
  return name


def _name_of_folder(image_dir):
  return re.sub(r'[^\w.-]+', '_', os.path.basename(os.path.realpath(image_dir))) or NAME


def _subfolders(image_dir):
  with os.scandir(image_dir) as entries:
    return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != '.')


def _list_classes(image_dir):
  """Returns the names of the classes in the folder, sorted."""
  class_names = _subfolders(image_dir)
  if len(class_names) < 2:
    found = f'only the sub-folder {class_names[0]!r}' if class_names else 'no sub-folders'
    raise errors.InputError(
      f'{image_dir} has {found}; a classifier needs two or more, one per class, with the images'
      ' of the class in it.'
    )
  if {name.lower() for name in class_names} <= _SPLIT_LIKE_NAMES:
    raise errors.InputError(
      f'{image_dir} has the sub-folders {", ".join(class_names)}, which look like splits rather'
      f' than classes. Give the folder of the classes, such as {image_dir}/{class_names[0]}.'
    )
  for name in class_names:
    if not name.isprintable():
      raise errors.InputError(
        f'The class name {name!r} in {image_dir} has characters that cannot be printed; rename'
        ' the folder.'
      )
  return class_names


def _list_images(class_dir, must_have=True):
  """Returns the sorted paths of the images at any depth within `class_dir`."""
  paths = []
  for folder, subfolders, names in os.walk(class_dir):
    subfolders[:] = [name for name in subfolders if not name.startswith('.')]
    paths += [
      os.path.join(folder, name)
      for name in names
      if not name.startswith('.') and name.lower().endswith(EXTENSIONS)
    ]
  if must_have and not paths:
    raise errors.InputError(
      f'The class folder {class_dir} has no images. Add some or remove the folder; images are'
      f' files that end in {", ".join(EXTENSIONS)}.'
    )
  return sorted(paths)


def _split(files_by_class, validation_fraction, seed):
  """Returns the shuffled files of each split, each class divided alike."""
  # This generator gives the same numbers in every version of NumPy.
  random = np.random.RandomState(seed)

  def shuffled(files):
    return [files[index] for index in random.permutation(len(files))]

  train, validation = [], []
  for files in map(shuffled, files_by_class):
    # At least 1 of 2 or more, and never all of them.
    num_validation = round(len(files) * validation_fraction)
    num_validation = min(max(num_validation, 1), len(files) - 1)
    validation += files[:num_validation]
    train += files[num_validation:]
  return dict(zip(SPLITS, (shuffled(train), shuffled(validation)), strict=True))


def _make_room(dataset_dir, name, files_by_split, num_shards):
  """Removes what interrupted conversions left; raises InputError when there is more."""
  if not os.path.isdir(dataset_dir):
    return
  info = dataset_info.read(dataset_dir)
  if info:
    raise errors.InputError(
      f'{dataset_dir} already holds the dataset {info.name!r}. Remove it, or give another'
      ' dataset_dir.'
    )
  new_names = {
    file_name
    for split_name, files in files_by_split.items()
    for file_name in shards.file_names(name, split_name, len(files), num_shards)
  }
  old_names = os.listdir(dataset_dir)
  for split_name in files_by_split:
    shard_names = fnmatch.filter(old_names, file_pattern(name) % split_name)
    foreign = sorted(set(shard_names) - new_names)
    if foreign:
      raise errors.InputError(
        f'{dataset_dir} holds {foreign[0]}, which would be read as part of the new dataset.'
        ' Remove such files, or give another dataset_dir.'
      )
  for old_name in old_names:
    if old_name.startswith(shards.UNFINISHED_PREFIX):
      shutil.rmtree(os.path.join(dataset_dir, old_name), ignore_errors=True)


class _ImageLoader(contextlib.AbstractContextManager):
  """Loads image files in parallel, decoding each with TensorFlow to make sure that it can be."""

  def __init__(self):
    self._num_workers = os.cpu_count() or 1
    self._pool = concurrent.futures.ThreadPoolExecutor(self._num_workers)
    with tf.Graph().as_default() as graph, tf.device('/cpu:0'):
      encoded = tf.placeholder(tf.string, [])
      shape = tf.shape(tf.io.decode_image(encoded, expand_animations=False))
    self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0}))
    self._decoded_shape = self._session.make_callable(shape, [encoded])

  def __exit__(self, *unused):
    self._pool.shutdown(cancel_futures=True)
    self._session.close()

  def load_all(self, files, update) -> Iterator[shards.EncodedExample]:
    """Yields the examples of `files` in their order; calls `update()` after each."""
    pending = collections.deque()
    for file in files:
      pending.append(self._pool.submit(self._load, file))
      # Enough for the workers never to wait, and little enough to fit in memory.
      if len(pending) > 8 * self._num_workers:
        yield pending.popleft().result()
        update()
    while pending:
      yield pending.popleft().result()
      update()

  def _load(self, file):
    """Returns the EncodedExample of a _LabelledFile. Raises InputError."""
    try:
      with open(file.path, 'rb') as opened:
        data = opened.read()
      with Image.open(io.BytesIO(data)) as image:
        image_format = _format_to_keep(image, data)
        if not image_format:
          return _reencode(image, file.label)
      height, width, channels = self._decoded_shape(data)
    except tf.errors.OpError as error:
      raise _undecodable(file.path, records.reason(error)) from error
    except Exception as error:  # On a damaged file Pillow raises whatever its decoders run into.
      is_empty = isinstance(error, Image.UnidentifiedImageError) and not data
      raise _undecodable(file.path, 'it is empty' if is_empty else str(error)) from error
    return shards.EncodedExample(
      data, image_format, int(height), int(width), int(channels), file.label
    )


def _undecodable(path, why):
  return errors.InputError(
    f'The image {path} cannot be decoded: {why}. Mend or remove the file, then convert again;'
    ' nothing was written.'
  )


def _format_to_keep(image, data):
  """Returns 'jpeg' or 'png' when TensorFlow reads `data` as 1 or 3 channels of 8 bits, or None."""
  if image.format in ('JPEG', 'MPO') and image.mode in ('L', 'RGB'):
    return 'jpeg'
  # The header's bit depth and colour type, which Pillow's mode hides: 8 bits, gray or RGB.
  if image.format == 'PNG' and data[24:26] in (b'\x08\x00', b'\x08\x02'):
    return None if 'transparency' in image.info else 'png'
  return None


def _reencode(image, label):
  """Returns the EncodedExample of a Pillow image as a gray or an RGB PNG."""
  if image.mode in _UNBOUNDED_MODES:
    raise ValueError(f'its pixels have no known range (mode {image.mode}); save it with 8 bits')
  if image.mode.startswith('I;16'):
    pixels = (np.asarray(image) >> 8).astype(np.uint8)
  elif image.mode in _GRAY_MODES:
    pixels = np.asarray(image.convert('L'))
  else:
    # By way of RGBA a palette's colours stay as they are, even of transparent pixels.
    pixels = np.asarray((image.convert('RGBA') if image.mode == 'P' else image).convert('RGB'))
  # From bare pixels, for what else the file held, such as transparency, would be saved as well.
  encoded = io.BytesIO()
  Image.fromarray(pixels).save(encoded, 'PNG')
  height, width = pixels.shape[:2]
  channels = 1 if pixels.ndim == 2 else 3
  return shards.EncodedExample(encoded.getvalue(), 'png', height, width, channels, label)
