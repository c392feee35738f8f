"""The digits that come with the package: 1,797 handwritten ones, enlarged from 8x8 to 28x28.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI Machine Learning
Repository, https://doi.org/10.24432/C50P49, CC BY 4.0, as scikit-learn selects them.
"""

import io
import os

import numpy as np
from PIL import Image

from datasets import dataset_info, shards, user_files
from slimcompat import errors

NAME = 'digits'
NUM_TRAIN = 1437  # The first ones of the file; the other 360 are the test split.
SPLIT_SIZES = {'train': NUM_TRAIN, 'test': 360}
IMAGE_SIZE = 28  # Pixels per side, as MNIST's.
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'digits.csv.gz')


def convert(dataset_dir: str) -> dataset_info.DatasetInfo:
  """Writes the splits `train` and `test` as records of gray PNG images.

  A directory that holds them already is left as it is. Processes that convert into the same
  directory at once do no harm, for what they write is the same.

  Raises:
    InputError: when the directory holds another dataset or cannot be written to.
  """
  info = _read_complete(dataset_dir)
  if info:
    return info
  table = np.loadtxt(_FILE, delimiter=',', dtype=np.uint8)
  return shards.write(
    dataset_dir,
    NAME,
    class_names=[str(digit) for digit in range(10)],
    splits={
      split_name: shards.listed([_make_example(row) for row in rows])
      for split_name, rows in (('train', table[:NUM_TRAIN]), ('test', table[NUM_TRAIN:]))
    },
  )


def cached_dir() -> str:
  """Returns the directory in the user's cache that holds the digits, converting them first.

  Raises:
    InputError: when the cache cannot be written to.
  """
  dataset_dir = os.path.join(user_files.cache_dir(), NAME)
  try:
    convert(dataset_dir)
  except errors.InputError as error:
    raise errors.InputError(
      f'{error} The digits go there when no directory is given for them.'
    ) from error
  return dataset_dir


def _read_complete(dataset_dir):
  """Returns the DatasetInfo of digits that are all there, None to have them written."""
  try:
    info = dataset_info.read(dataset_dir)
  except errors.InputError:
    return None
  if info is None:
    return None
  if info.name != NAME:
    raise errors.InputError(
      f'{dataset_dir} holds the dataset {info.name!r}; give another directory for the digits.'
    )
  all_shards = [shard for split in info.splits.values() for shard in split.shards]
  is_complete = not any(dataset_info.damage(shard, dataset_dir) for shard in all_shards)
  return info if is_complete else None


def _make_example(row):
  """Returns the EncodedExample of a digit followed by its 64 pixels in [0, 16]."""
  pixels = (row[1:].reshape(8, 8) * (255 / 16)).astype(np.uint8)
  image = Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
  data = io.BytesIO()
  image.save(data, 'PNG')
  return shards.EncodedExample(data.getvalue(), 'png', IMAGE_SIZE, IMAGE_SIZE, 1, int(row[0]))
