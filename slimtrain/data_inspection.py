"""Looking into data before training with it: the parts of inspect_dataset.py."""

import contextlib
import dataclasses
import itertools
import os

import numpy as np

from datasets import (
  class_folders,
  dataset_factory,
  extraction,
  image_files,
  image_measures,
  integrity,
  record_sets,
  records,
  repair,
  survey,
  survey_file,
  survey_report,
  survey_sources,
)
from slimcompat import errors, paths
from slimtrain import console, files, preview, survey_page
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory

# Records among which the examples of a preview are chosen.
_NUM_CANDIDATES = 500


@dataclasses.dataclass(frozen=True)
class PreviewSettings(settings_lib.Settings):
  """Preview."""

  preprocessing_name: str | None = settings_lib.setting(
    None,
    'What the preview shows. Unset: every preprocessing.',
    choices=lambda: preprocessing_factory.known_names(),
  )
  preview_image_size: int = settings_lib.setting(
    224, 'Pixels per side after preprocessing.', lower=1
  )
  preview_seed: int = settings_lib.setting(0, 'Chooses the images and their distortions.')
  use_grayscale: bool = settings_lib.setting(False, 'Whether images are made gray, 1 channel.')
  preprocessing: preprocessing_factory.PreprocessingSettings = settings_lib.group(
    preprocessing_factory.PreprocessingSettings
  )


@dataclasses.dataclass(frozen=True)
class InspectionSettings(settings_lib.Settings):
  """Inspection."""

  dataset_dir: str | None = settings_lib.setting(
    None, 'A directory of TFRecord files to look into.', path=paths.data
  )
  dataset_name: str | None = settings_lib.setting(
    None,
    'The dataset that the records are of. Unset: as dataset_info.json says.',
    choices=dataset_factory.DATASETS,
  )
  dataset_split_name: str | None = settings_lib.setting(None, 'The only split. Unset: all.')
  image_dir: str | None = settings_lib.setting(
    None,
    'A folder of images to look into, rather than records: --survey, --preview_augmentation.',
    path=paths.image,
  )
  folders_are: str | None = settings_lib.setting(
    None,
    'What the folders in --image_dir are, where they could be either. Unset: as they look.',
    choices=class_folders.MEANINGS,
  )
  image_list: str | None = settings_lib.setting(
    None,
    'A CSV or JSONL list of images to look into, as converting takes it; see --task_type.',
    path=paths.image,
  )
  image_suffix: str | None = settings_lib.setting(
    None, 'What the names in --image_list lack at their ends, such as .jpg. Unset: found.'
  )
  image_bits: int | None = settings_lib.setting(
    None,
    'Bits that hold every value of image files of 16 bits per value, as for converting. Unset: 16.',
    lower=9,
    upper=16,
  )
  output_dir: str | None = settings_lib.setting(
    None,
    'Where files go. Unset: those of a survey and a preview go to --dataset_dir.',
    path=paths.local,
  )
  survey: bool = settings_lib.setting(
    False,
    'Counts, sizes, formats, duplicates, means: on the console, in survey.json and survey.png.',
  )
  verify: bool = settings_lib.setting(
    False,
    'Reads every record and names all that are bad; the exit code is 1 when there are any.',
  )
  repair: bool = settings_lib.setting(False, 'Copies the good records to --output_dir.')
  extract: int | None = settings_lib.setting(
    None,
    'How many images of each split to take out of the records, into --output_dir/CLASS; 0: all.',
    lower=0,
  )
  preview_augmentation: bool = settings_lib.setting(
    False, 'Draws preview.png: some images as training sees them.'
  )
  layout: records.RecordSettings = settings_lib.group(records.RecordSettings)
  preview: PreviewSettings = settings_lib.group(PreviewSettings)


def inspect(settings):
  """Does what InspectionSettings say, and says what it found.

  Returns:
    whether everything that was looked for was all right.

  Raises:
    InputError: when settings are missing or contradict each other, or there is nothing to look at.
  """
  _check(settings)
  record_set = None
  if not (settings.image_dir or settings.image_list):
    record_set = record_sets.find(
      settings.dataset_dir, settings.dataset_name, settings.dataset_split_name, settings.layout
    )
    if record_set.ignored_files():
      console.say(record_set.ignored_files())
  is_right = True
  if settings.verify:
    findings = integrity.verify(record_set)
    console.say(integrity.report(record_set, findings))
    is_right = not findings.problems
  if settings.repair:
    repaired = repair.repair(record_set, settings.output_dir)
    console.say(repair.report(repaired, settings.output_dir))
  if settings.extract is not None:
    num_images = extraction.extract(record_set, settings.output_dir, settings.extract)
    for split_name in record_set.files:
      for path, complaint in record_set.unreadable_files(split_name).items():
        console.say(f'{path} {complaint}')
    console.say(f'{num_images:,} images were written to {settings.output_dir}.')
  if settings.survey:
    _survey(settings, record_set)
  if settings.preview_augmentation:
    _preview(settings, record_set)
  return is_right


def _check(settings):
  """Raises InputError unless the settings fit together, before any work is done."""
  of_records = [
    f'--{name}'
    for name, is_set in (
      ('verify', settings.verify),
      ('repair', settings.repair),
      ('extract', settings.extract is not None),
    )
    if is_set
  ]
  if not (of_records or settings.survey or settings.preview_augmentation):
    raise errors.InputError(
      'Nothing to do: give --survey, --verify, --repair, --extract=N or --preview_augmentation.'
    )
  sources = [
    f'--{name}={value}'
    for name in ('image_dir', 'image_list', 'dataset_dir')
    if (value := getattr(settings, name))
  ]
  if len(sources) > 1:
    raise errors.InputError(f'Give only one of {" and ".join(sources)}.')
  if of_records and (settings.image_dir or settings.image_list):
    raise errors.InputError(
      f'{of_records[0]} looks into records, but {sources[0]} stands for images. Give --dataset_dir.'
    )
  if settings.image_bits and not (settings.image_dir or settings.image_list):
    raise errors.InputError(
      f'--image_bits={settings.image_bits} is for image files; records hold what converting made of'
      ' them. Leave it out, or give --image_dir or --image_list.'
    )
  writes_copies = settings.repair or settings.extract is not None
  draws = settings.survey or settings.preview_augmentation
  has_folder = settings.dataset_dir and not paths.is_url(settings.dataset_dir)
  if not settings.output_dir and (writes_copies or (draws and not has_folder)):
    raise errors.InputError('Give --output_dir, the directory that files are written to.')
  if settings.survey:
    survey_page.check_can_plot()
  if settings.repair:
    repair.refuse_to_overwrite(settings.output_dir)


def _entries(settings, record_set):
  if settings.image_dir:
    return survey_sources.list_folder(settings.image_dir, settings.folders_are)
  if settings.image_list:
    return survey_sources.read_list(
      settings.image_list, settings.layout.task_type, settings.image_suffix
    )
  return survey_sources.read_records(record_set)


def _output_dir(settings):
  output_dir = settings.output_dir or settings.dataset_dir
  files.check_writable('output_dir', output_dir)
  return output_dir


def _survey(settings, record_set):
  output_dir = _output_dir(settings)
  found = survey.make(_entries(settings, record_set), settings.image_bits)
  summary = survey.summarize(found)
  if settings.image_dir:
    left_out = survey_sources.list_left_out(settings.image_dir, settings.folders_are)
    summary['left_out'] = [{'name': name, 'reason': reason} for name, reason in left_out]
  survey_file.write(summary, output_dir)
  console.say(survey_report.report(summary))
  info = record_set.info if record_set else None
  if info and (warning := image_files.describe_bits(info.value_bits, info.image_bits)):
    console.say(warning)
  path = survey_page.write(found, output_dir)
  console.say(f'\nWritten: {path} and {os.path.join(output_dir, survey_file.NAME)}.')


def _preview(settings, record_set):
  output_dir = _output_dir(settings)
  pictures = _examples(
    _entries(settings, record_set), settings.preview.preview_seed, settings.image_bits
  )
  name = settings.preview.preprocessing_name
  path = preview.write(
    pictures,
    [name] if name else list(preprocessing_factory.PREPROCESSINGS),
    settings.preview,
    settings.dataset_dir,
    output_dir,
  )
  console.say(f'Written: {path}.')


def _examples(entries, seed, image_bits=None):
  """Returns some images, of as many classes as there are."""
  if not isinstance(entries, list):
    entries = list(itertools.islice(entries, _NUM_CANDIDATES))
  shuffled = [entries[index] for index in np.random.RandomState(seed).permutation(len(entries))]
  seen = {}
  for entry in shuffled:
    # The first of each class come before the second of any.
    seen.setdefault(entry.classes, []).append(entry)
  by_turns = [entry for turn in itertools.zip_longest(*seen.values()) for entry in turn if entry]
  pictures = []
  for entry in by_turns:
    with contextlib.suppress(ValueError, OSError):
      picture, *_ = image_measures.decode(entry.read(), entry.makes_upright, image_bits)
      pictures.append(picture)
    if len(pictures) == preview.NUM_EXAMPLES:
      break
  if not pictures:
    raise errors.InputError(f'None of {len(entries)} images can be decoded. Run --survey.')
  return pictures
