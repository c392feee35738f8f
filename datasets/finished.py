"""Whether a directory already holds, finished, what a conversion is asked for."""

import dataclasses
from collections.abc import Mapping, Sequence

from datasets import dataset_info
from slimcompat import errors

# Keys of DatasetInfo.made_of that are not names of flags; see image_folder.
FILES, NUM_FILES, DIVISION = 'files', 'num_files', 'division'


def flag_values(settings, names: Sequence[str]) -> dict[str, str]:
  """Returns the values of settings, and of the fields of groups of settings, by their flags."""
  values = {}
  for name in names:
    value = getattr(settings, name)
    if dataclasses.is_dataclass(value):
      values.update(flag_values(value, [field.name for field in dataclasses.fields(value)]))
    else:
      values[name] = str(value)
  return values


def is_finished(
  info: dataset_info.DatasetInfo,
  made_of: Mapping[str, str],
  defaults: Mapping[str, str],
  dataset_dir: str,
) -> bool:
  """Returns whether the dataset in a directory is whole.

  Args:
    info: of the dataset.
    made_of: what the records asked for depend on.
    defaults: the values of flags that the directory does not mention.
    dataset_dir: the directory.

  Raises:
    InputError: when the dataset was made of something else.
  """
  changes = _list_changes(info.made_of, made_of, defaults)
  if changes:
    raise errors.InputError(
      f'{dataset_dir} already holds the dataset {info.name!r}, but {", and ".join(changes)}. Remove'
      f' {dataset_dir} to convert again, or give another --dataset_dir.'
    )
  return find_damage(info, dataset_dir) is None


def find_damage(info: dataset_info.DatasetInfo, dataset_dir: str) -> str | None:
  """Returns a sentence on the first shard that is missing or has another size, None if none is."""
  listed = [shard for split in info.splits.values() for shard in split.shards]
  damages = (dataset_info.damage(shard, dataset_dir) for shard in listed)
  return next(filter(None, damages), None)


def _list_changes(made_of, wanted, defaults):
  """Returns what the records in a directory were made of that is not wanted now."""
  if FILES in wanted and FILES not in made_of:
    return ['it does not tell of which images']
  if not made_of:
    return []  # An older version, which did not note it.
  if FILES in made_of and FILES not in wanted:
    return ['it was converted from other files']
  changes = []
  for flag in sorted({*made_of, *wanted} - {FILES, NUM_FILES, DIVISION}):
    old, new = (values.get(flag, defaults.get(flag)) for values in (made_of, wanted))
    if old != new:
      changes.append(f'it was converted with --{flag}={old}, not {new}')
  if made_of.get(FILES) != wanted.get(FILES):
    changes.append(
      f'its images have changed since: it was made of {made_of.get(NUM_FILES)}, and there are'
      f' {wanted[NUM_FILES]} now'
    )
  elif made_of.get(DIVISION) != wanted.get(DIVISION):
    changes.append(
      'its images are divided in another way (by --validation_fraction, --seed or the source)'
    )
  return changes
