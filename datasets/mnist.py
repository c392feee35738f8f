"""MNIST: 70,000 handwritten digits of 28x28 pixels, from the files that its authors offer.

Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/, which describes the format.
"""

import gzip
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

from datasets import archives, dataset_info, shards
from slimcompat import errors

URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
# Split -> the files of its images and of their labels, and how many there are. slim's names of the
# splits.
FILES = {
  'train': ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz', 60_000),
  'test': ('t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz', 10_000),
}
# TensorFlow Datasets' checksums.
SHA256 = {
  'train-images-idx3-ubyte.gz': '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609',
  'train-labels-idx1-ubyte.gz': '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c',
  't10k-images-idx3-ubyte.gz': '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6',
  't10k-labels-idx1-ubyte.gz': 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6',
}
CLASS_NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
_IMAGES_MAGIC, _LABELS_MAGIC = 2051, 2049
_MAX_BYTES = 10 * 60_000 * 28 * 28


def convert(settings) -> dataset_info.DatasetInfo:
  """Fetches the files and writes the splits `train` and `test`, a file each, as gray PNG images.

  Args:
    settings: a conversion.ConversionSettings.

  Raises:
    InputError: when a file cannot be fetched, or is none of MNIST's.
  """
  folder = archives.source_dir(settings, 'mnist')
  splits = {}
  for split_name, (images_name, labels_name, _) in FILES.items():
    images, labels = (
      _read(
        archives.find(settings, folder, URL + name, SHA256[name], _MAX_BYTES), magic, num_dimensions
      )
      for name, magic, num_dimensions in (
        (images_name, _IMAGES_MAGIC, 3),
        (labels_name, _LABELS_MAGIC, 1),
      )
    )
    if len(images) != len(labels) or labels.max() > 9:
      raise errors.InputError(
        f'{images_name} in {folder} has {len(images)} images, and {labels_name} {len(labels)}'
        f' labels up to {labels.max()}. Remove both to fetch them again.'
      )
    splits[split_name] = _make_examples(images, labels)
  archives.warn_of_count('mnist', splits, {name: files[2] for name, files in FILES.items()})
  return shards.write(
    settings.dataset_dir, 'mnist', CLASS_NAMES, splits, channels=1, name_files=name_file
  )


def name_file(name: str, split_name: str, num_examples: int, num_shards: int) -> list[str]:
  """Returns the name of slim's only file of a split."""
  del num_examples, num_shards
  return [f'{name}_{split_name}.tfrecord']


def _read(path, magic, num_dimensions):
  """Returns the array in a file of the format idx. Raises InputError."""
  try:
    with gzip.open(path, 'rb') as file:
      data = file.read(_MAX_BYTES)
    numbers = struct.unpack_from(f'>{1 + num_dimensions}I', data)
    if numbers[0] == magic and numbers[1] and numbers[2:] in ((), (28, 28)):
      offset = 4 * (1 + num_dimensions)
      return np.frombuffer(data, np.uint8, offset=offset).reshape(numbers[1:])
  except (OSError, EOFError, zlib.error, struct.error, ValueError):
    pass
  raise errors.InputError(
    f'{path} is not the file {os.path.basename(path)} of MNIST. Remove it to fetch it again.'
  )


def _make_examples(images, labels):
  def load(first, end):
    for pixels, label in zip(images[first:end], labels[first:end], strict=True):
      data = io.BytesIO()
      Image.fromarray(pixels).save(data, 'PNG')
      yield shards.EncodedExample(data.getvalue(), 'png', 28, 28, 1, int(label))

  return shards.Examples(len(images), load)
