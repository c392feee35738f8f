"""The datasets that can be picked by name, one row each.

    dataset = dataset_factory.get_dataset('flowers', 'train', '/data/flowers')
    image, label = dataset.decoder.decode(serialized_example, ['image', 'label'])

A dataset module of one's own, written as for slim, joins with one call:

    dataset_factory.register('my_pets', my_pets)
"""

import dataclasses
import functools
import os
import types
from collections.abc import Callable, Mapping

from datasets import (
  cifar10,
  dataset_info,
  digits,
  flowers,
  image_files,
  image_folder,
  imagenet,
  label_files,
  mnist,
  records,
  verification,
  visualwakewords,
)
from slimcompat import errors, slim, tables, tf


@dataclasses.dataclass(frozen=True)
class KnownDataset:
  """A dataset and what goes with it."""

  name: str
  splits: tuple[str, ...] = ()  # Empty: the directory or the user's module says.
  # Of the files, %s being the split. Empty: dataset_info.json has the name they start with.
  file_pattern: str = ''
  num_classes: int | None = None  # None: the directory or the user's module says.
  # [height, width, channels] of every image; None is a side that varies.
  image_shape: tuple[int | None, int | None, int] = (None, None, 3)
  # What a record gives besides its image and label.
  more_items: tuple[records.Item, ...] = ()
  description: str = ''
  source: str = ''  # Who made it, its licence, its URL.
  how_to_get: str = ''
  split_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)  # Images by split.
  # The settings of its conversion that the records depend on.
  conversion_settings: tuple[str, ...] = ()
  # convert(conversion.ConversionSettings) -> DatasetInfo; None: there is no converter of this one.
  convert: Callable | None = None
  # default_dir() -> the directory that holds it when none is given.
  default_dir: Callable | None = None
  # get_split(split_name, dataset_dir, file_pattern, reader) -> Dataset; None: slim's records.
  get_split: Callable | None = None

  @property
  def items(self) -> tuple[records.Item, ...]:
    """What a record gives, with the keys it is read from."""
    return (records.image_item(self.image_shape), records.label_item(), *self.more_items)

  @property
  def channels(self) -> int:
    """Of the images: 1 or 3."""
    return self.image_shape[-1]


ANY_RECORDS = 'tfrecord'
_MADE_BY_SLIM = "Directories made by slim's download_and_convert_data.py are read as they are."

_DOWNLOADED = f'download_and_convert_data.py fetches and converts it. {_MADE_BY_SLIM}'

DATASETS = tables.Table(
  'dataset',
  [
    KnownDataset(
      'digits',
      splits=('train', 'test'),
      file_pattern='digits_%s_*.tfrecord',
      num_classes=10,
      image_shape=(digits.IMAGE_SIZE, digits.IMAGE_SIZE, 1),
      description='1,797 handwritten digits, gray, enlarged from 8x8 to 28x28.',
      source='E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998, UCI'
      ' Machine Learning Repository, CC BY 4.0, https://doi.org/10.24432/C50P49, in'
      " scikit-learn's selection",
      how_to_get='Comes with the package.',
      split_sizes=digits.SPLIT_SIZES,
      convert=lambda settings: digits.convert(settings.dataset_dir),
      default_dir=digits.cached_dir,
    ),
    KnownDataset(
      'mnist',
      splits=('train', 'test'),
      file_pattern='mnist_%s.tfrecord',
      num_classes=10,
      image_shape=(28, 28, 1),
      description='70,000 handwritten digits, gray, 28x28.',
      source='Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/',
      how_to_get=_DOWNLOADED,
      split_sizes={name: files[2] for name, files in mnist.FILES.items()},
      convert=mnist.convert,
    ),
    KnownDataset(
      'cifar10',
      splits=('train', 'test'),
      file_pattern='cifar10_%s.tfrecord',
      num_classes=10,
      image_shape=(32, 32, 3),
      description='60,000 photographs of 10 kinds of animals and vehicles, 32x32.',
      source='A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html',
      how_to_get=_DOWNLOADED,
      split_sizes={name: members[1] for name, members in cifar10.MEMBERS.items()},
      convert=cifar10.convert,
    ),
    KnownDataset(
      'flowers',
      splits=('train', 'validation'),
      file_pattern='flowers_%s_*.tfrecord',
      num_classes=5,
      description='3,670 photographs of 5 kinds of flowers.',
      source='The TensorFlow Team, 2019, CC BY 2.0,'
      ' http://download.tensorflow.org/example_images/flower_photos.tgz',
      how_to_get=_DOWNLOADED,
      split_sizes=flowers.SPLIT_SIZES,
      conversion_settings=('num_shards', 'images'),
      convert=flowers.convert,
    ),
    KnownDataset(
      'imagenet',
      splits=('train', 'validation'),
      file_pattern='%s-*',
      num_classes=1001,
      more_items=(records.LABEL_TEXT, records.OBJECT_BOXES, records.OBJECT_LABELS),
      description='ILSVRC 2012: 1.3 million photographs of 1,000 classes; label 0 is background.',
      source='O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", 2015,'
      ' https://arxiv.org/abs/1409.0575; for research, https://image-net.org/download',
      how_to_get=f'Give the folder of its archives by --source_dir. {_MADE_BY_SLIM}',
      split_sizes=imagenet.NUM_IMAGES,
      conversion_settings=('images',),
      convert=imagenet.convert,
    ),
    KnownDataset(
      'visualwakewords',
      splits=('train', 'val'),
      file_pattern='%s.record-*',
      num_classes=2,
      more_items=(records.OBJECT_BOXES, records.OBJECT_LABELS),
      description='Photographs of COCO 2014 with a person, or without one that is large enough.',
      source='A. Chowdhery et al., "Visual Wake Words Dataset", 2019,'
      ' https://arxiv.org/abs/1906.05721; COCO: T.-Y. Lin et al., https://cocodataset.org',
      how_to_get=_DOWNLOADED,
      split_sizes=visualwakewords.NUM_IMAGES,
      conversion_settings=(
        *('images', 'small_object_area_threshold', 'foreground_class_of_interest'),
      ),
      convert=visualwakewords.convert,
    ),
    KnownDataset(
      image_folder.NAME,
      description="One's own images, converted from a folder with a sub-folder per class.",
      how_to_get='Convert the folder: --image_dir=FOLDER --dataset_dir=DIRECTORY.',
    ),
    KnownDataset(
      ANY_RECORDS,
      file_pattern='*%s*',
      description='TFRecords that other programs wrote, by keys that the --record_ flags name.',
      how_to_get='Put them, and labels.txt if there is one, into a directory.',
    ),
  ],
)


def register(name: str, module_or_get_split: types.ModuleType | Callable) -> KnownDataset:
  """Adds a user's dataset to the table and returns its row.

  Args:
    name: the name to pick it by.
    module_or_get_split: a dataset module written for slim, or its function
      `get_split(split_name, dataset_dir, file_pattern=None, reader=None)`, which returns a
      `slim.dataset.Dataset` with `num_classes` and a decoder of the items `image` (uint8
      `[height, width, channels]`) and `label` (an integer).

  Raises:
    InputError: when the name is taken, or there is no such function.
  """
  get_split = getattr(module_or_get_split, 'get_split', module_or_get_split)
  if not callable(get_split):
    raise errors.InputError(
      f'The dataset {name!r} cannot be registered: {module_or_get_split!r} is neither a function'
      ' nor has a function get_split(split_name, dataset_dir, file_pattern, reader).'
    )
  summary = (module_or_get_split.__doc__ or '').strip().partition('\n')[0]
  return DATASETS.register(KnownDataset(name, description=summary, get_split=get_split))


def get_dataset(
  name: str,
  split_name: str,
  dataset_dir: str,
  file_pattern: str | None = None,
  reader: type | None = None,
  settings: records.RecordSettings | None = None,
  image_dir: str | None = None,
) -> slim.dataset.Dataset:
  """Returns a split of the dataset that lies in `dataset_dir`.

  The result has `data_sources`, `reader`, `decoder`, `num_samples`, `items_to_descriptions`,
  `num_classes`, `labels_to_names`, a dict or None, and `task`, one of dataset_info.TASKS. Its
  decoder gives `image`, uint8 `[height, width, channels]` in [0, 255] with the dataset's own 1 or 3
  channels, and `label`, as `labels` has it for the task; for regression, `num_classes` is the
  number of targets. `num_samples` comes from dataset_info.json; where there is none, the records
  are counted when it is first asked for.

  Args:
    name: a row of DATASETS.
    split_name: one of its splits, such as 'train'.
    dataset_dir: the directory of its TFRecord files.
    file_pattern: of the files, where it differs from the row's; `%s` stands for the split.
    reader: the class of reader that `slim.dataset_data_provider` uses; None is
      `tf.TFRecordReader`.
    settings: the task and the keys, where dataset_info.json does not tell or there are others;
      None is the task that it says, and slim's keys.
    image_dir: the folder with the image files that the records name, from which the decoder then
      reads; None takes the images from the records.

  Raises:
    InputError: for an unknown dataset or split, no directory, a damaged dataset_info.json, and
      settings that contradict it.
  """
  row = DATASETS[name]
  settings = settings or records.RecordSettings()
  file_pattern = file_pattern or settings.record_file_pattern
  get_split = row.get_split or functools.partial(_get_split, row, settings, image_dir)
  if row.get_split:
    _check_own_decoder(name, settings, image_dir)
  try:
    dataset = get_split(split_name, dataset_dir, file_pattern, reader)
  except errors.InputError:
    raise
  except ValueError as error:  # What slim's modules raise for an unknown split.
    raise errors.InputError(f'The dataset {name!r} was not opened: {error}') from error
  _check_usable(name, dataset)
  if row.get_split:
    dataset.task = settings.task_type or getattr(dataset, 'task', dataset_info.TASKS[0])
  return dataset


def check_no_other_dataset(name: str, dataset_dir: str):
  """Raises InputError when a converted dataset that is not `name` is in the directory."""
  info = dataset_info.read(dataset_dir)
  if info and info.name != name:
    raise errors.InputError(
      f'{dataset_dir} already holds the dataset {info.name!r}. Give another dataset_dir.'
    )


def default_dir(name: str) -> str:
  """Returns the directory that holds the dataset when the user gives none.

  Raises:
    InputError: for an unknown dataset, and for one that has no such directory.
  """
  row = DATASETS[name]
  if row.default_dir is None:
    raise errors.InputError(
      f'The dataset {name!r} needs --dataset_dir, the directory of its TFRecord files.'
      f' {row.how_to_get}'.rstrip()
    )
  return row.default_dir()


class _CountedDataset(slim.dataset.Dataset):
  """A Dataset whose records are counted when `num_samples` is first asked for."""

  def __init__(self, **kwargs):
    super().__init__(num_samples=None, **kwargs)
    del self.num_samples

  @functools.cached_property
  def num_samples(self):
    return sum(verification.check_records(self).values())


def _get_split(row, settings, image_dir, split_name, dataset_dir, file_pattern, reader):
  """Returns a split of a dataset in records, described by `row`, dataset_info.json, `settings`."""
  # '', slim's default for exporting, serves where only the number of classes is wanted.
  if dataset_dir is None or (dataset_dir == '' and row.num_classes is None):
    raise errors.InputError(
      f'The dataset {row.name!r} needs the directory of its TFRecord files. {row.how_to_get}'
    )
  info = dataset_info.read(dataset_dir)
  if not row.file_pattern:
    if info is None:
      raise errors.InputError(_without_info(dataset_dir))
    row = dataclasses.replace(row, file_pattern=image_folder.file_pattern(info.name))
  elif info and info.name != row.name:
    info = None  # Of another dataset in the same directory.
  if info:
    row = dataclasses.replace(
      row,
      splits=tuple(info.splits),
      num_classes=info.num_classes,
      image_shape=(*row.image_shape[:2], info.channels),
    )
  if row.splits and split_name not in row.splits:
    noun = f'split of {info.name if info else row.name}'
    raise errors.InputError(tables.unknown_name(noun, split_name, row.splits))
  labels_to_names = None
  labels_path = label_files.find(dataset_dir, settings.record_label_key)
  if labels_path:
    labels_to_names = label_files.read(labels_path)
  elif info:
    labels_to_names = dict(enumerate(info.class_names))
  task = _agreed('task_type', settings.task_type, info and info.task) or dataset_info.TASKS[0]
  num_classes = _agreed('num_classes', settings.num_classes, row.num_classes)
  if num_classes is None:
    if not labels_to_names:
      raise errors.InputError(
        f'How many classes {dataset_dir} has is not known: it has no {dataset_info.FILE_NAME} and'
        ' no labels.txt. Give --num_classes.'
      )
    num_classes = max(labels_to_names) + 1
  items = (
    _image_item(row, settings, info, image_dir),
    records.label_item(task, num_classes, settings.record_label_key),
    *row.more_items,
  )
  fields = {
    'data_sources': os.path.join(
      dataset_dir, (file_pattern or row.file_pattern).replace('%s', split_name)
    ),
    'reader': reader or tf.TFRecordReader,
    'decoder': records.Decoder(items),
    'items_to_descriptions': {item.name: item.description for item in items},
    'num_classes': num_classes,
    'labels_to_names': labels_to_names,
    'task': task,
  }
  if info is None or file_pattern:
    return _CountedDataset(**fields)
  return slim.dataset.Dataset(num_samples=info.splits[split_name].num_examples, **fields)


def _agreed(flag, given, known):
  """Returns what was `given` by a flag or is `known`; refuses what contradicts."""
  if given is not None and known is not None and given != known:
    raise errors.InputError(
      f'--{flag}={given} contradicts the dataset, whose {flag} is {known}. Leave the flag out.'
    )
  return known if given is None else given


def _image_item(row, settings, info, image_dir):
  """Returns the item `image` of the records of a dataset."""
  raw_shape = settings.raw_shape
  shape = row.image_shape
  if image_dir and info and records.FILENAME_KEY not in info.keys:
    raise errors.InputError(
      f'--input_mode=files needs records that name their images by {records.FILENAME_KEY}, which'
      ' these do not. Convert the images again, or use another --input_mode.'
    )
  if raw_shape:
    shape = (*raw_shape[:2], 1 if raw_shape[2] == 1 else 3)
  may_be_raw = (
    records.RAW_FORMAT in info.image_formats if info else row.name == ANY_RECORDS
  ) or settings.record_shape_key != records.SHAPE_KEY
  return records.image_item(
    shape,
    key=settings.record_image_key,
    shape_keys=_names(settings.record_shape_key) if may_be_raw and not raw_shape else (),
    raw_shape=raw_shape,
    image_dir=image_dir,
    convert_file=image_files.make_converter(info.image_bits if info else None),
  )


def _names(keys):
  return tuple(key.strip() for key in keys.split(',') if key.strip())


def _check_own_decoder(name, settings, image_dir):
  """Raises InputError when `settings` are for records that a user's own decoder reads."""
  if image_dir:
    raise errors.InputError(
      f'--input_mode=files cannot be used with the dataset {name!r}, whose own decoder reads its'
      ' records. Use another --input_mode.'
    )
  for field in dataclasses.fields(settings):
    value = getattr(settings, field.name)
    if field.name not in ('task_type', 'record_file_pattern') and value != field.default:
      raise errors.InputError(
        f'--{field.name}={value} cannot be used with the dataset {name!r}, whose own decoder reads'
        ' its records. Leave the flag out.'
      )


def _without_info(dataset_dir):
  if not tf.io.gfile.isdir(dataset_dir):
    return f'There is no directory {dataset_dir}. Convert a folder of images into it first.'
  what = f'no {dataset_info.FILE_NAME}'
  if dataset_info.is_of_others(dataset_dir):
    what = f'a {dataset_info.FILE_NAME} of another program'
  return (
    f'{dataset_dir} has {what}, so it is not a finished conversion of a'
    ' folder of images. Convert the folder first, or name the dataset that made its records:'
    f' {", ".join(name for name in DATASETS if name != image_folder.NAME)}.'
  )


def _check_usable(name, dataset):
  """Raises InputError when a user's dataset lacks what everything else relies on."""
  missing = [
    field
    for field in ('data_sources', 'decoder', 'num_classes')
    if getattr(dataset, field, None) is None
  ]
  if missing:
    raise errors.InputError(
      f'The dataset {name!r} has no {" and no ".join(missing)}; its get_split must return a'
      ' slim.dataset.Dataset with them.'
    )
  missing = {'image', 'label'} - set(dataset.decoder.list_items())
  if missing:
    raise errors.InputError(
      f'The decoder of the dataset {name!r} gives no {" and no ".join(sorted(missing))}, only'
      f' {", ".join(dataset.decoder.list_items())}.'
    )
