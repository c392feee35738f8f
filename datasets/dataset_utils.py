"""What dataset modules written for slim call, by slim's names."""

import os
from collections.abc import Iterable, Mapping

from datasets import label_files
from slimcompat import tf

LABELS_FILENAME = 'labels.txt'


def int64_feature(values: int | Iterable[int]) -> tf.train.Feature:
  """Returns a feature of one integer or several."""
  return tf.train.Feature(int64_list=tf.train.Int64List(value=_as_list(values)))


def float_feature(values: float | Iterable[float]) -> tf.train.Feature:
  """Returns a feature of one float or several, stored as float32."""
  return tf.train.Feature(float_list=tf.train.FloatList(value=_as_list(values)))


def bytes_feature(values: bytes | str | Iterable[bytes | str]) -> tf.train.Feature:
  """Returns a feature of one string or several; str is stored as UTF-8.

  Bytes of file names that are not UTF-8, as `os.fsdecode` gives them, are stored as they are.
  """
  values = [_as_bytes(value) for value in _as_list(values)]
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _as_bytes(value):
  if isinstance(value, str):
    return value.encode('utf-8', 'surrogateescape')
  return tf.compat.as_bytes(value)


def _as_list(values):
  if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
    return [values]
  return list(values)


def image_to_tfexample(
  image_data: bytes, image_format: bytes | str, height: int, width: int, class_id: int
) -> tf.train.Example:
  """Returns the record of one encoded image and its class."""
  feature = {
    'image/encoded': bytes_feature(image_data),
    'image/format': bytes_feature(image_format),
    'image/class/label': int64_feature(class_id),
    'image/height': int64_feature(height),
    'image/width': int64_feature(width),
  }
  return tf.train.Example(features=tf.train.Features(feature=feature))


def has_labels(dataset_dir: str, filename: str = LABELS_FILENAME) -> bool:
  """Returns whether the directory has a file of class names."""
  return tf.io.gfile.exists(os.path.join(dataset_dir, filename))


def write_label_file(
  labels_to_class_names: Mapping[int, str], dataset_dir: str, filename: str = LABELS_FILENAME
):
  """Writes the class names, a line `label:name` each."""
  with tf.io.gfile.GFile(os.path.join(dataset_dir, filename), 'w') as file:
    for label, name in labels_to_class_names.items():
      file.write(f'{label}:{name}\n')


def read_label_file(dataset_dir: str, filename: str = LABELS_FILENAME) -> dict[int, str]:
  """Returns the class names by label, as `write_label_file` or other programs wrote them.

  Raises:
    InputError: when the file cannot be read, or is of none of the forms that `label_files` knows.
  """
  return label_files.read(os.path.join(dataset_dir, filename))
