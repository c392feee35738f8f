"""Converting what a user asks for: a dataset known by name, or a folder of images."""

import dataclasses
import os

from datasets import (
  class_folders,
  csv_files,
  dataset_factory,
  dataset_info,
  finished,
  finished_known,
  image_files,
  image_folder,
  image_sources,
  image_tree,
  shards,
)
from slimcompat import errors, escapes, paths


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
    metadata={
      'help': 'The directory that the TFRecord files, labels.txt and counts go to.',
      'path': paths.local,
    },
  )
  image_dir: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'A folder of images to convert, with a sub-folder per class; or with the sub-folders'
      ' train, validation and perhaps test that have one per class.',
      'path': paths.image,
    },
  )
  folders_are: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'What the folders in --image_dir are, where they could be either. Unset: as they'
      ' look.',
      'choices': class_folders.MEANINGS,
    },
  )
  image_list: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'A CSV or JSONL file that lists images to convert: path,label or path,label1;label2'
      ' or path,number[,number...] in a row, the paths relative to it. A header may name these'
      ' columns, and one called split.',
      'path': paths.image,
    },
  )
  image_suffix: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'What the names in --image_list lack at their ends, such as .jpg. Unset: found where'
      ' the files leave no choice.'
    },
  )
  task_type: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'What --image_list tells of an image: its class, the classes that apply, or numbers.'
      ' Unset: single_label.',
      'choices': dataset_info.TASKS,
    },
  )
  validation_fraction: float = dataclasses.field(
    default=image_sources.DEFAULT_VALIDATION_FRACTION,
    metadata={
      'help': 'The part of the images that goes to the split validation, of each class alike, where'
      ' they are not divided already.',
      'above': 0,
      'below': 1,
    },
  )
  seed: int = dataclasses.field(
    default=0, metadata={'help': 'Of the division and the order of the images.', 'lower': 0}
  )
  num_shards: int = dataclasses.field(
    default=shards.DEFAULT_NUM_SHARDS,
    metadata={'help': 'Files that a split is spread over.', 'lower': 1},
  )
  num_workers: int | None = dataclasses.field(
    default=None,
    metadata={'help': 'Images loaded at the same time. Unset: as many as cores.', 'lower': 1},
  )
  resume: bool = dataclasses.field(
    default=False,
    metadata={
      'help': 'Whether to go on with a conversion that was interrupted, keeping the files that it'
      ' has finished. Otherwise it begins anew.'
    },
  )
  source_dir: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'A known dataset: the folder where its files are, or are fetched to. Unset: one in'
      " the user's cache.",
      'path': paths.image,
    },
  )
  mirror: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'A known dataset: the address of a folder that its files are fetched from in place of'
      ' their own.'
    },
  )
  images: image_files.ImageSettings = dataclasses.field(default_factory=image_files.ImageSettings)
  small_object_area_threshold: float = dataclasses.field(
    default=0.005,
    metadata={
      'help': 'visualwakewords: the part of an image that an object must exceed to count.',
      'lower': 0,
      'below': 1,
    },
  )
  foreground_class_of_interest: str = dataclasses.field(
    default='person', metadata={'help': "visualwakewords: the object to look for, one of COCO's."}
  )


def convert(settings: ConversionSettings) -> dataset_info.DatasetInfo:
  """Converts what the settings say unless it is there already, and returns what is there.

  Raises:
    InputError: when settings are missing or contradict each other, the images are at fault, or the
      directory holds another dataset.
  """
  info, _ = find_or_convert(settings)
  return info


def find_or_convert(settings: ConversionSettings) -> tuple[dataset_info.DatasetInfo, bool]:
  """Returns what `convert` does, and whether it was there already."""
  for flag in ('small_object_area_threshold', 'foreground_class_of_interest'):
    value = getattr(settings, flag)
    is_given = value != ConversionSettings.__dataclass_fields__[flag].default
    if is_given and settings.dataset_name != 'visualwakewords':
      raise errors.InputError(
        f'--{flag}={value} belongs to --dataset_name=visualwakewords; leave the flag out.'
      )
  if not settings.dataset_dir:
    raise errors.InputError(
      'Converting needs --dataset_dir, the directory to write the records to.'
    )
  name = settings.dataset_name
  if settings.image_dir and settings.image_list:
    raise errors.InputError('--image_dir and --image_list exclude each other. Leave one out.')
  for flag, source in (('folders_are', 'image_dir'), ('image_suffix', 'image_list')):
    value = getattr(settings, flag)
    if value and not getattr(settings, source):
      raise errors.InputError(f'--{flag}={value} belongs to --{source}; leave the flag out.')
  if settings.task_type not in (None, dataset_info.TASKS[0]) and not settings.image_list:
    raise errors.InputError(
      f'--task_type={settings.task_type} needs --image_list: a folder tells one class per image.'
    )
  if settings.image_dir or settings.image_list:
    name = _name_in_files(name)
    written = (_read_source(settings), settings.dataset_dir, name, settings.num_shards)
    info = image_folder.find_finished(*written, settings.images)
    if info:
      return info, True
    info = image_folder.convert_source(
      *written, settings.images, settings.num_workers, settings.resume
    )
    return info, False
  if not name:
    convertible = [row.name for row in dataset_factory.DATASETS.values() if row.convert]
    raise errors.InputError(
      'Nothing to convert: give --image_dir, a folder of images, --image_list, or'
      f' --dataset_name={"|".join(convertible)}.'
    )
  row = dataset_factory.DATASETS[name]
  if row.convert is None:
    raise errors.InputError(f'{name} is not converted without --image_dir. {row.how_to_get}')
  dataset_factory.check_no_other_dataset(name, settings.dataset_dir)
  made_of, defaults = (
    finished.flag_values(values, row.conversion_settings)
    for values in (settings, ConversionSettings())
  )
  info = finished_known.find(row, settings.dataset_dir, made_of, defaults)
  if info:
    return info, True
  info = dataclasses.replace(row.convert(settings), made_of=made_of)
  dataset_info.write(info, settings.dataset_dir)
  return info, False


def _read_source(settings):
  division = (settings.validation_fraction, settings.seed)
  if settings.image_list:
    task = settings.task_type or dataset_info.TASKS[0]
    return image_sources.read_list(settings.image_list, task, *division, settings.image_suffix)
  image_folder.check_apart(settings.image_dir, settings.dataset_dir)
  return image_sources.read_folder(settings.image_dir, *division, settings.folders_are)


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
  noun = 'numbers' if info.task == 'regression' else 'classes'
  sentences = [
    f'{settings.dataset_dir} holds {info.name}: {", ".join(parts)}, of {info.num_classes} {noun}'
    f' ({_listing(info.class_names)}).'
  ]
  rejects = _read_rejects(settings.dataset_dir)
  if rejects:
    name, reason = rejects[0]
    path = os.path.join(settings.dataset_dir, shards.REJECTS_FILE)
    sentences.append(
      f'{len(rejects):,} files could not be used and are listed in {path}, first {name}: {reason}.'
    )
  if settings.image_dir or settings.image_list:
    sentences += _missing_classes(info)
  if settings.image_dir:
    sentences += _report_on_folder(settings)
  bits_sentence = image_files.describe_bits(info.value_bits, info.image_bits)
  if bits_sentence:
    sentences.append(bits_sentence)
  sentences.append(
    f'Train with --dataset_name={settings.dataset_name or image_folder.NAME}'
    f' --dataset_dir={settings.dataset_dir}.'
  )
  return ' '.join(sentences)


def _missing_classes(info):
  """Yields a sentence on each split that lacks images of a class."""
  for split_name, split in info.splits.items():
    missing = [
      name
      for name, count in zip(info.class_names, split.class_counts, strict=False)
      if not count and info.task != 'regression'
    ]
    if missing:
      noun = 'the class' if len(missing) == 1 else f'{len(missing):,} of the classes:'
      yield f'WARNING: {split_name} has no image of {noun} {_listing(missing)}.'


def _report_on_folder(settings):
  """Yields sentences on what a person may not expect, and on what was left out."""
  tree = image_tree.walk(settings.image_dir)
  layout = class_folders.read(tree, settings.folders_are)
  yield from layout.notes
  ignored = sorted([*layout.unlabelled, *tree.others, *tree.hidden])
  if ignored:
    yield f'Left out, not being images of a class: {_listing(_relative(ignored, settings))}.'
  if layout.without_images:
    yield f'Folders without images: {_listing(_relative(layout.without_images, settings))}.'
  left_out = [f'{escapes.for_names(name)} ({reason})' for name, reason in tree.left_out()]
  if left_out:
    yield f'Not looked into: {_listing(left_out)}.'


def _relative(paths, settings):
  return [escapes.for_names(os.path.relpath(path, settings.image_dir)) for path in paths]


def _read_rejects(dataset_dir):
  """Returns the (name, reason) of each image that was left out."""
  path = os.path.join(dataset_dir, shards.REJECTS_FILE)
  if not os.path.exists(path):
    return []
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv_files.read(file))[1:]


def _listing(names, at_most=5):
  more = f' and {len(names) - at_most} more' if len(names) > at_most else ''
  return ', '.join(names[:at_most]) + more
