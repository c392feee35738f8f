"""Converting what a user asks for: a dataset known by name, or a folder of images."""

import dataclasses
import os

from datasets import dataset_factory, dataset_info, image_folder
from slimcompat import errors

_NO_WAKE_WORDS = 'It belongs to visualwakewords, which is not converted here; leave the flag out.'


@dataclasses.dataclass(frozen=True)
class ConversionSettings:
  """Conversion."""

  dataset_name: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'The dataset to convert. With --image_dir it may stay unset.',
      'choices': dataset_factory.DATASETS,
    },
  )
  dataset_dir: str | None = dataclasses.field(
    default=None,
    metadata={'help': 'The directory that the TFRecord files, labels.txt and counts go to.'},
  )
  image_dir: str | None = dataclasses.field(
    default=None,
    metadata={'help': 'A folder of images to convert, with a sub-folder per class.'},
  )
  validation_fraction: float = dataclasses.field(
    default=image_folder.DEFAULT_VALIDATION_FRACTION,
    metadata={
      'help': 'The part of the images in --image_dir that goes to the split validation.',
      'above': 0,
      'below': 1,
    },
  )
  small_object_area_threshold: float = dataclasses.field(
    default=0.005,
    metadata={
      'help': 'The least part of an image that an object takes up to count.',
      'refused': _NO_WAKE_WORDS,
    },
  )
  foreground_class_of_interest: str = dataclasses.field(
    default='person',
    metadata={'help': 'The object to look for.', 'refused': _NO_WAKE_WORDS},
  )


def convert(settings: ConversionSettings) -> dataset_info.DatasetInfo:
  """Converts what the settings say, and returns what was written.

  Raises:
    InputError: when settings are missing or contradict each other, or the images are at fault.
  """
  for field in dataclasses.fields(settings):
    value = getattr(settings, field.name)
    if 'refused' in field.metadata and value != field.default:
      raise errors.InputError(
        f'--{field.name}={value} is not supported. {field.metadata["refused"]}'
      )
  if not settings.dataset_dir:
    raise errors.InputError(
      'Converting needs --dataset_dir, the directory to write the records to.'
    )
  name = settings.dataset_name
  if settings.image_dir:
    return image_folder.convert(
      settings.image_dir,
      settings.dataset_dir,
      _name_in_files(name),
      settings.validation_fraction,
    )
  if not name:
    convertible = [row.name for row in dataset_factory.DATASETS.values() if row.convert]
    raise errors.InputError(
      'Nothing to convert: give --image_dir, a folder of images, or'
      f' --dataset_name={"|".join(convertible)}.'
    )
  row = dataset_factory.DATASETS[name]
  if row.convert is None:
    raise errors.InputError(f'{name} is not converted without --image_dir. {row.how_to_get}')
  return row.convert(settings.dataset_dir)


def _name_in_files(dataset_name):
  """Returns the name to give to a folder's records, None for the folder's own."""
  if dataset_name in (None, image_folder.NAME):
    return None
  row = dataset_factory.DATASETS[dataset_name]
  reads = (row.file_pattern, row.splits)
  if reads != (image_folder.file_pattern(dataset_name), image_folder.SPLITS):
    raise errors.InputError(
      f'--image_dir cannot be converted with --dataset_name={dataset_name}, which is read from'
      f' other files. Leave the name out, and train with --dataset_name={image_folder.NAME}.'
    )
  return dataset_name


def report(info: dataset_info.DatasetInfo, settings: ConversionSettings) -> str:
  """Returns a paragraph on what `convert` wrote, and what it left out."""
  parts = [
    f'{split.num_examples:,} images for {split_name} in {len(split.shards)} files'
    for split_name, split in info.splits.items()
  ]
  sentences = [
    f'{settings.dataset_dir} holds {info.name}: {", ".join(parts)}, of {info.num_classes} classes'
    f' ({_listing(info.class_names)}).'
  ]
  ignored = image_folder.list_ignored(settings.image_dir) if settings.image_dir else []
  if ignored:
    names = [os.path.relpath(path, settings.image_dir) for path in ignored]
    sentences.append(f'Left out, not being images of a class: {_listing(names)}.')
  sentences.append(
    f'Train with --dataset_name={settings.dataset_name or image_folder.NAME}'
    f' --dataset_dir={settings.dataset_dir}.'
  )
  return ' '.join(sentences)


def _listing(names, at_most=5):
  more = f' and {len(names) - at_most} more' if len(names) > at_most else ''
  return ', '.join(names[:at_most]) + more
