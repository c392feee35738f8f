"""A directory of records as a whole: its splits, their files, and what is stored in each record."""

import contextlib
import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from datasets import (
  dataset_factory,
  dataset_info,
  image_decoding,
  image_folder,
  record_files,
  records,
  verification,
)
from slimcompat import errors, escapes, slim, tf

_FILE_NAME_KEY = 'image/filename'
_ENDINGS = {
  'JPEG': 'jpg',
  'MPO': 'jpg',
  'PNG': 'png',
  'GIF': 'gif',
  'BMP': 'bmp',
  'WEBP': 'webp',
  'TIFF': 'tif',
}


class StoredImage(NamedTuple):
  """What a record holds."""

  name: str  # Of the file it was made from; '' where that is not known.
  data: bytes  # An image file; pixels stored bare come as PNG.
  labels: tuple[int, ...]
  targets: tuple[float, ...]


class RecordSet(NamedTuple):
  """The splits of a dataset that lie in one directory."""

  dataset_dir: str
  info: dataset_info.DatasetInfo | None  # None where there is no dataset_info.json.
  datasets: dict[str, slim.dataset.Dataset]  # By the split's name.
  files: dict[str, list[str]]  # Sorted paths by split, of those that should be there as well.
  layout: records.RecordSettings

  def present_files(self, split_name: str) -> list[str]:
    """Returns the paths of a split's files that can be read."""
    return [path for path in self.files[split_name] if not record_files.why_unreadable(path)]

  def unreadable_files(self, split_name: str) -> dict[str, str]:
    """Returns why the other files of a split cannot, as the end of a sentence, by path."""
    complaints = {path: record_files.why_unreadable(path) for path in self.files[split_name]}
    return {path: complaint for path, complaint in complaints.items() if complaint}

  def ignored_files(self) -> str:
    """Returns a sentence on files of other programs beside the records, '' without any."""
    sentences = {
      verification.describe_ignored(dataset.data_sources) for dataset in self.datasets.values()
    }
    return ' '.join(sorted(sentences - {''}))

  def class_name(self, split_name: str, label: int) -> str:
    """Returns the name of a class, or its number where it has none."""
    names = getattr(self.datasets[split_name], 'labels_to_names', None) or {}
    return names.get(label, str(label))

  def stored_image(self, payload: bytes) -> StoredImage:
    """Returns what is in the tf.train.Example `payload`.

    Raises:
      ValueError: when it is none, or has no image.
    """
    try:
      features = tf.train.Example.FromString(payload).features.feature
    except Exception as error:  # Of protobuf, whose class is not public.
      raise ValueError('it is no tf.train.Example') from error
    encoded = features[self.layout.record_image_key].bytes_list.value
    if not encoded:
      raise ValueError(f'it has no {self.layout.record_image_key}')
    label_key = self.layout.record_label_key
    names = features[_FILE_NAME_KEY].bytes_list.value
    return StoredImage(
      escapes.for_names(os.fsdecode(names[0])) if names else '',
      self._as_file(encoded[0], features),
      tuple(features[label_key or records.LABEL_KEY].int64_list.value),
      tuple(features[label_key or records.TARGETS_KEY].float_list.value),
    )

  def _as_file(self, data, features):
    """Returns the bytes of an image file; `data` may be bare pixels instead."""
    shape = self.layout.raw_shape
    if shape is None:
      keys = self.layout.record_shape_key.split(',')
      stored = [side for key in keys for side in features[key.strip()].int64_list.value]
      image_format = b''.join(features[records.FORMAT_KEY].bytes_list.value).lower()
      if image_format == records.RAW_FORMAT.encode() or (stored and not image_format):
        shape = stored
    return data if shape is None else _as_png(data, shape)


def _as_png(data, shape):
  """Returns the PNG of uint8 pixels of `shape` [height, width, channels]. Raises ValueError."""
  height, width, channels = (*shape, 1)[:3]
  pixels = np.frombuffer(data, np.uint8).reshape(height, width, channels)
  encoded = io.BytesIO()
  Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(encoded, 'PNG')
  return encoded.getvalue()


def find(
  dataset_dir: str | None,
  name: str | None = None,
  split_name: str | None = None,
  layout: records.RecordSettings | None = None,
) -> RecordSet:
  """Returns the RecordSet in a directory.

  Args:
    dataset_dir: the directory; None where the dataset `name` has one of its own.
    name: a row of DATASETS; None takes what dataset_info.json says.
    split_name: the only split wanted; None takes all.
    layout: the task, the files and the keys of the records, where they are not slim's.

  Raises:
    InputError: when there are no records, or it takes a name to know which.
  """
  layout = layout or records.RecordSettings()
  info = dataset_info.read(dataset_dir) if dataset_dir else None
  if name is None:
    name = _name_in(info, dataset_dir)
  row = dataset_factory.DATASETS[name]
  if dataset_dir is None:
    dataset_dir = dataset_factory.default_dir(name)
    info = dataset_info.read(dataset_dir)
  if info and row.file_pattern and info.name != name:
    info = None  # Of another dataset in the same directory.
  splits = info.splits if info else dict.fromkeys(row.splits)
  if not (split_name or splits):
    raise errors.InputError(
      f'The dataset {name!r} does not say which splits it has. Give one by --dataset_split_name.'
    )
  datasets, files = {}, {}
  for split in [split_name] if split_name else splits:
    dataset = dataset_factory.get_dataset(name, split, dataset_dir, settings=layout)
    is_listed = info and not layout.record_file_pattern
    shards = info.splits[split].shards if is_listed else ()
    paths = {os.path.join(dataset_dir, shard.file_name) for shard in shards}
    # A split that is not there at all is no fault, but where all are missing there is nothing.
    with contextlib.suppress(errors.InputError):
      paths.update(verification.list_files(dataset.data_sources))
    if paths:
      datasets[split], files[split] = dataset, sorted(paths)
  if not files:
    verification.list_files(dataset.data_sources)  # Says what is there instead.
  return RecordSet(dataset_dir, info, datasets, files, layout)


def _name_in(info, dataset_dir):
  """Returns the name of the dataset that `info`, of a directory, is about."""
  if info is None:
    where = f'{dataset_dir} has no {dataset_info.FILE_NAME}' if dataset_dir else 'No data given'
    raise errors.InputError(
      f'{where}: name the dataset whose records they are by --dataset_name, one of'
      f' {", ".join(dataset_factory.DATASETS)}, and give their directory by --dataset_dir.'
    )
  return info.name if info.name in dataset_factory.DATASETS else image_folder.NAME


def ending(data: bytes) -> str:
  """Returns the ending of the name of an image file, 'bin' for what is none."""
  try:
    # It is not decoded, so its size does no harm.
    with image_decoding.open_image(data, max_pixels=2**62) as image:
      return _ENDINGS.get(image.format, image.format.lower())
  except ValueError:
    return 'bin'
