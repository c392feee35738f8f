"""One's own images, of a folder or a list, become TFRecords."""

import concurrent.futures
import dataclasses
import fnmatch
import hashlib
import json
import os
import re

import tqdm

from datasets import dataset_info, finished, image_files, image_sources, ordered_loading, shards
from slimcompat import errors

NAME = 'image_folder'
SPLITS = image_sources.SPLITS


def file_pattern(name: str) -> str:
  """Returns the pattern of the files of the dataset `name`; %s is the split."""
  return f'{name}_%s_*.tfrecord'


def convert(
  image_dir: str,
  dataset_dir: str,
  name: str | None = None,
  validation_fraction: float = image_sources.DEFAULT_VALIDATION_FRACTION,
  num_shards: int = shards.DEFAULT_NUM_SHARDS,
  seed: int = 0,
  **kwargs,
) -> dataset_info.DatasetInfo:
  """Writes the images of a folder as records; the arguments are those of the functions it calls.

  `image_sources.read_folder` reads the folder, and `convert_source` writes.
  """
  if not 0 < validation_fraction < 1:
    raise errors.InputError(
      f'validation_fraction is {validation_fraction}; it must lie between 0 and 1, such as 0.1.'
    )
  check_apart(image_dir, dataset_dir)
  source = image_sources.read_folder(image_dir, validation_fraction, seed)
  return convert_source(source, dataset_dir, name, num_shards, **kwargs)


def convert_source(
  source: image_sources.Source,
  dataset_dir: str,
  name: str | None = None,
  num_shards: int = shards.DEFAULT_NUM_SHARDS,
  settings: image_files.ImageSettings | None = None,
  num_workers: int | None = None,
  resume: bool = False,
) -> dataset_info.DatasetInfo:
  """Writes the images of a source as records, those that cannot be decoded to rejects.csv.

  Args:
    source: the images.
    dataset_dir: where the records go.
    name: what the files' names start with; None takes the source's.
    num_shards: how many files a split is spread over.
    settings: how images are stored; None is as they are.
    num_workers: files loaded at the same time; None is one for each core.
    resume: whether to keep the shards that an interrupted conversion of the same has finished.

  Raises:
    InputError: for settings that make no sense, a source without an image that can be decoded, a
      directory that holds a dataset already, and one to resume that is of other images or settings.
  """
  if num_shards < 1:
    raise errors.InputError(f'num_shards is {num_shards}; a split needs 1 file at least.')
  name = _check_name(name) if name else _name_of_source(source.place)
  settings = settings or image_files.ImageSettings()
  made_of = _list_made_of(source, name, num_shards, settings)
  plan = json.dumps(made_of, indent=2, ensure_ascii=False) + '\n'
  _make_room(dataset_dir, name, source.splits, num_shards, plan if resume else None)
  num_files = sum(map(len, source.splits.values()))
  num_workers = num_workers or image_files.default_num_workers()
  class_names = source.class_names if source.task == 'single_label' else None
  with (
    image_files.ImageLoader(settings) as loader,
    concurrent.futures.ThreadPoolExecutor(num_workers) as pool,
    tqdm.tqdm(total=num_files, desc='Converting', unit='image', disable=None) as bar,
  ):

    def load(file, reserve):
      return loader.load(file, class_names[file.label] if class_names else None, reserve)

    def make_examples(files, num_before):
      def load_slice(first, end):
        # What an earlier run has done counts as done.
        bar.update(num_before + first - bar.n)
        return ordered_loading.load_all(files[first:end], load, pool, num_workers, bar.update)

      return shards.Examples(len(files), load_slice)

    splits, num_before = {}, 0
    for split_name, files in source.splits.items():
      splits[split_name] = make_examples(files, num_before)
      num_before += len(files)
    return shards.write(
      dataset_dir,
      name,
      source.class_names,
      splits,
      num_shards,
      source.task,
      channels=None if settings.keep_gray else 3,
      image_bits=settings.image_bits,
      plan=plan,
      made_of=made_of,
      left_out=[shards.Reject(*entry) for entry in source.left_out],
    )


def find_finished(
  source: image_sources.Source,
  dataset_dir: str,
  name: str | None = None,
  num_shards: int = shards.DEFAULT_NUM_SHARDS,
  settings: image_files.ImageSettings | None = None,
) -> dataset_info.DatasetInfo | None:
  """Returns what `convert_source` wrote for the same arguments, None when it is not there, whole.

  Raises:
    InputError: when the directory holds what other images or settings made.
  """
  name = _check_name(name) if name else _name_of_source(source.place)
  info = dataset_info.read(dataset_dir)
  if info is None or info.name != name:
    return None
  defaults = _flag_values(name, shards.DEFAULT_NUM_SHARDS, image_files.ImageSettings(), source.task)
  made_of = _list_made_of(source, name, num_shards, settings or image_files.ImageSettings())
  return info if finished.is_finished(info, made_of, defaults, dataset_dir) else None


def _flag_values(name, num_shards, settings, task):
  fields = [field.name for field in dataclasses.fields(settings)]
  values = {'dataset_name': name, 'num_shards': str(num_shards), 'task_type': task}
  return {**values, **finished.flag_values(settings, fields)}


def _list_made_of(source, name, num_shards, settings):
  """Returns all that the records depend on, as text by name; a change of a file shows."""
  files, division = [], hashlib.sha256()
  for split_name, part in source.splits.items():
    for file in part:
      try:
        state = os.stat(file.path)
        state = (state.st_size, state.st_mtime_ns)
      except OSError:
        state = None
      files.append(repr((file.name, file.label, state)))
      division.update(repr((split_name, file.name)).encode())
  digest = hashlib.sha256(repr(source.class_names).encode())
  for text in sorted(files):
    digest.update(text.encode())
  return {
    **_flag_values(name, num_shards, settings, source.task),
    finished.FILES: digest.hexdigest(),
    finished.NUM_FILES: str(len(files)),
    finished.DIVISION: division.hexdigest(),
  }


def check_apart(image_dir: str, dataset_dir: str):
  """Raises InputError when the dataset would lie within the images."""
  images, dataset = (os.path.realpath(path) for path in (image_dir, dataset_dir))
  if os.path.commonpath([images, dataset]) == images:
    raise errors.InputError(
      f'The dataset cannot go to {dataset_dir}, within the images of {image_dir}, where its folder'
      ' would count as a class. Give dataset_dir another place.'
    )


def _check_name(name):
  if not re.fullmatch(r'[\w.-]+', name):
    raise errors.InputError(
      f'The name {name!r} cannot start the names of files; use letters, digits, ".", "-", "_".'
    )
  return name


def _name_of_source(place):
  base = os.path.basename(os.path.realpath(place))
  if os.path.isfile(place):
    base = os.path.splitext(base)[0]
  return re.sub(r'[^\w.-]+', '_', base) or NAME


def _make_room(dataset_dir, name, splits, num_shards, plan):
  """Removes what interrupted conversions left, but that of `plan`.

  Raises InputError when there is more, or what is left is not of the plan.
  """
  if not os.path.isdir(dataset_dir):
    return
  info = dataset_info.read(dataset_dir)
  if info:
    damage = finished.find_damage(info, dataset_dir)
    raise errors.InputError(
      f'{dataset_dir} already holds the dataset {info.name!r}.{f" {damage}" if damage else ""}'
      ' Remove it, or give another dataset_dir.'
    )
  old_plan = shards.read_plan(dataset_dir)
  if plan and old_plan and old_plan != plan:
    raise errors.InputError(
      f'The conversion that was interrupted in {dataset_dir} was of other images or settings, so it'
      ' cannot be resumed. Leave --resume out to begin anew.'
    )
  new_names = {
    file_name
    for split_name, files in splits.items()
    for file_name in shards.file_names(name, split_name, len(files), num_shards)
  }
  old_names = os.listdir(dataset_dir)
  for split_name in splits:
    shard_names = fnmatch.filter(old_names, file_pattern(name) % split_name)
    foreign = sorted(set(shard_names) - new_names)
    if foreign:
      raise errors.InputError(
        f'{dataset_dir} holds {foreign[0]}, which would be read as part of the new dataset.'
        ' Remove such files, or give another dataset_dir.'
      )
  shards.remove_unfinished(dataset_dir, but_resumable=bool(plan))
