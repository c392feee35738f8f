"""CIFAR-10: 60,000 photographs of 32x32 pixels, from its authors' binary version.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html, which describes the format.
"""

import io

import numpy as np
from PIL import Image

from datasets import archives, dataset_info, downloads, mnist, shards
from slimcompat import errors

URL = 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz'
# TensorFlow Datasets' checksum.
SHA256 = 'c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd'
# Split -> the archive's members, and how many images they have.
MEMBERS = {
  'train': (tuple(f'data_batch_{number}.bin' for number in range(1, 6)), 50_000),
  'test': (('test_batch.bin',), 10_000),
}
CLASS_NAMES = (
  *('airplane', 'automobile', 'bird', 'cat', 'deer'),
  *('dog', 'frog', 'horse', 'ship', 'truck'),
)
_SIDE = 32  # Pixels.
_RECORD_BYTES = 1 + 3 * _SIDE**2  # The label, then all red, all green and all blue values.
_MAX_MEMBER_BYTES = 10 * 10_000 * _RECORD_BYTES


def convert(settings) -> dataset_info.DatasetInfo:
  """Fetches the archive and writes the splits `train` and `test`, a file each, as PNG images.

  Args:
    settings: a conversion.ConversionSettings.

  Raises:
    InputError: when the archive cannot be fetched, or is none of CIFAR-10's.
  """
  folder = archives.source_dir(settings, 'cifar10')
  path = archives.find(settings, folder, URL, SHA256, _MAX_MEMBER_BYTES)
  splits = {}
  for split_name, (members, _) in MEMBERS.items():
    records = np.concatenate([_read(path, member) for member in members])
    splits[split_name] = _make_examples(records)
  archives.warn_of_count('cifar10', splits, {name: row[1] for name, row in MEMBERS.items()})
  return shards.write(
    settings.dataset_dir, 'cifar10', CLASS_NAMES, splits, name_files=mnist.name_file
  )


def _read(path, member):
  """Returns the records in a member of the archive, uint8 `[images, 3073]`. Raises InputError."""
  try:
    data = downloads.read_tar_member(path, f'cifar-10-batches-bin/{member}', _MAX_MEMBER_BYTES)
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD_BYTES)
    if len(records) and records[:, 0].max() < len(CLASS_NAMES):
      return records
  except ValueError:
    pass
  raise errors.InputError(
    f'{path} is not the binary version of CIFAR-10: {member} is missing in it or damaged. Remove it'
    ' to fetch it again.'
  )


def _make_examples(records):
  def load(first, end):
    for record in records[first:end]:
      pixels = record[1:].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
      data = io.BytesIO()
      Image.fromarray(np.ascontiguousarray(pixels)).save(data, 'PNG')
      yield shards.EncodedExample(data.getvalue(), 'png', _SIDE, _SIDE, 3, int(record[0]))

  return shards.Examples(len(records), load)
