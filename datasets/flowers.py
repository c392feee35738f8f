"""Flowers: 3,670 photographs of 5 kinds, from TensorFlow's archive, divided as slim does.

The TensorFlow Team, 2019, CC BY 2.0.
"""

import os
import random

from datasets import archives, dataset_info, image_folder, image_sources, shards
from slimcompat import errors

URL = 'https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz'
SHA256 = '4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c'  # TFDS's tf_flowers.
NUM_VALIDATION = 350  # Images, as in slim.
NUM_IMAGES = 3_670
SPLIT_SIZES = {'train': NUM_IMAGES - NUM_VALIDATION, 'validation': NUM_VALIDATION}
_SEED = 0  # slim's.


def convert(settings) -> dataset_info.DatasetInfo:
  """Fetches the photographs and writes the splits `train` and `validation`.

  Args:
    settings: a conversion.ConversionSettings.

  Raises:
    InputError: when the archive cannot be fetched or unpacked.
  """
  folder = archives.source_dir(settings, 'flowers')
  image_dir = archives.unpacked(settings, folder, URL, 'flower_photos', SHA256)
  try:
    source = image_sources.read_folder(image_dir)
  except errors.InputError as error:
    advice = '' if settings.source_dir else f' Remove {folder} to fetch them again.'
    raise errors.InputError(f'{error} It should hold the photographs of {URL}.{advice}') from error
  files = sorted(
    (file for part in source.splits.values() for file in part),
    key=lambda file: (file.label, os.path.basename(file.name)),
  )
  # slim shuffles by Python's generator, which gives the same numbers in every version.
  random.Random(_SEED).shuffle(files)  # noqa: S311  Nothing is secret.
  num_validation = min(NUM_VALIDATION, len(files) // 2)
  splits = {'train': files[num_validation:], 'validation': files[:num_validation]}
  archives.warn_of_count(
    'flowers',
    {name: shards.listed(part) for name, part in splits.items()},
    SPLIT_SIZES,
  )
  return image_folder.convert_source(
    source._replace(splits=splits),
    settings.dataset_dir,
    'flowers',
    settings.num_shards,
    settings.images,
    settings.num_workers,
    settings.resume,
  )
