"""A directory of records as a whole: its splits, their files, and what is stored in each record."""

import io
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from datasets import (
  dataset_factory,
  dataset_info,
  image_folder,
  record_files,
  records,
  verification,
)
from slimcompat import errors, slim, tf

_ENDINGS = {
  'JPEG': 'jpg',
  'MPO': 'jpg',
  'PNG': 'png',
  'GIF': 'gif',
  'BMP': 'bmp',
  'WEBP': 'webp',
  'TIFF': 'tif',
}


class RecordSet(NamedTuple):
  """The splits of a dataset that lie in one directory."""

  name: str
  dataset_dir: str
  info: dataset_info.DatasetInfo | None  # None where there is no dataset_info.json.
  datasets: dict[str, slim.dataset.Dataset]  # By the split's name.
  files: dict[str, list[str]]  # Sorted paths by split, of those that should be there as well.

  @property
  def task(self) -> str:
    return self.info.task if self.info else dataset_info.TASKS[0]

  def class_name(self, split_name: str, label: int) -> str:
    """Returns the name of a class, or its number where it has none."""
    names = getattr(self.datasets[split_name], 'labels_to_names', None) or {}
    return names.get(label, str(label))


class StoredImage(NamedTuple):
  """What a record holds."""

  data: bytes  # An image file; pixels stored bare come as PNG.
  labels: tuple[int, ...]
  targets: tuple[float, ...]


def find(dataset_dir: str | None, name: str | None = None, split_name: str | None = None):
  """Returns the RecordSet in a directory.

  Args:
    dataset_dir: the directory; None where the dataset `name` has one of its own.
    name: a row of DATASETS; None takes what dataset_info.json says.
    split_name: the only split wanted; None takes all.

  Raises:
    InputError: when there are no records, or it takes a name to know which.
  """
  info = dataset_info.read(dataset_dir) if dataset_dir else None
  if name is None:
    if info is None:
      where = f'{dataset_dir} has no {dataset_info.FILE_NAME}' if dataset_dir else 'No data given'
      raise errors.InputError(
        f'{where}: name the dataset whose records they are by --dataset_name, one of'
        f' {", ".join(dataset_factory.DATASETS)}, and give their directory by --dataset_dir.'
      )
    name = info.name if info.name in dataset_factory.DATASETS else image_folder.NAME
  if dataset_dir is None:
    dataset_dir = dataset_factory.default_dir(name)
    info = dataset_info.read(dataset_dir)
  split_names = [split_name] if split_name else _split_names(name, info)
  datasets = {split: dataset_factory.get_dataset(name, split, dataset_dir) for split in split_names}
  files = {}
  for split, dataset in datasets.items():
    shards = info.splits[split].shards if info and split in info.splits else ()
    listed = {os.path.join(dataset_dir, shard.file_name) for shard in shards}
    try:
      listed.update(verification.list_files(dataset.data_sources))
    except errors.InputError:
      if split_name and not listed:
        raise
    if listed:
      files[split] = sorted(listed)
  if not files:
    verification.list_files(datasets[split_names[0]].data_sources)  # Says what is there instead.
  return RecordSet(name, dataset_dir, info, {split: datasets[split] for split in files}, files)


def _split_names(name, info):
  row = dataset_factory.DATASETS[name]
  split_names = row.splits or (tuple(info.splits) if info else ())
  if row.splits and info and info.name == name:
    split_names = tuple(info.splits)
  if not split_names:
    raise errors.InputError(
      f'The dataset {name!r} does not say which splits it has. Give one by --dataset_split_name.'
    )
  return split_names


def stored_image(payload: bytes) -> StoredImage:
  """Returns what is in the tf.train.Example `payload`.

  Raises:
    ValueError: when it is none, or has no image.
  """
  try:
    features = tf.train.Example.FromString(payload).features.feature
  except Exception as error:  # Of protobuf, whose class is not public.
    raise ValueError('it is no tf.train.Example') from error
  if not features[records.IMAGE_KEY].bytes_list.value:
    raise ValueError(f'it has no {records.IMAGE_KEY}')
  data = features[records.IMAGE_KEY].bytes_list.value[0]
  if features['image/format'].bytes_list.value[:1] == [b'raw']:
    data = _as_png(data, features['image/shape'].int64_list.value)
  return StoredImage(
    data,
    tuple(features[records.LABEL_KEY].int64_list.value),
    tuple(features[records.TARGETS_KEY].float_list.value),
  )


def _as_png(data, shape):
  """Returns the PNG of uint8 pixels of `shape` [height, width, channels]."""
  pixels = np.frombuffer(data, np.uint8).reshape(tuple(shape))
  encoded = io.BytesIO()
  Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(encoded, 'PNG')
  return encoded.getvalue()


def ending(data: bytes) -> str:
  """Returns the ending of the name of an image file, 'bin' for what is none."""
  try:
    with Image.open(io.BytesIO(data)) as image:
      return _ENDINGS.get(image.format, image.format.lower())
  except Exception:  # Pillow raises whatever its parsers run into.
    return 'bin'


def sound_payloads(path: str) -> Iterator[tuple[int, int, bytes]]:
  """Yields the number, the offset and the payload of each record of a file that is as written."""
  for number, frame in enumerate(record_files.read_frames(path)):
    if frame.payload is not None:
      yield number, frame.offset, frame.payload
