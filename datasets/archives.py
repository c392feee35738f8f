"""The files that known datasets are converted from: those the user has, or the authors offer."""

import os
import shutil
import sys

from datasets import downloads, user_files
from slimcompat import errors

_MAX_BYTES = 10**9  # Of an archive that is unpacked.


def source_dir(settings, name: str) -> str:
  """Returns the folder of the archives of the dataset `name`, which is made if need be.

  Args:
    settings: a conversion.ConversionSettings.
    name: the dataset's.

  Raises:
    InputError: when it cannot be made.
  """
  folder = settings.source_dir or os.path.join(user_files.cache_dir(), 'downloads', name)
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise errors.InputError(
      f'{folder} cannot be made ({error.strerror}), where the files of {name} go. Give'
      ' --source_dir.'
    ) from error
  return folder


def find(
  settings,
  folder: str,
  url: str,
  sha256: str | None = None,
  max_bytes: int = downloads.LIMITS.max_bytes,
) -> str:
  """Returns the path of a file in `folder`, fetched from `url` if it is not there.

  Args:
    settings: a conversion.ConversionSettings.
    folder: the folder.
    url: where the authors offer the file.
    sha256: the digest that was published for it.
    max_bytes: more than it has.

  Raises:
    InputError: as for `downloads.fetch`.
  """
  path = os.path.join(folder, url.rsplit('/', 1)[1])
  downloads.obtain(url, path, sha256, settings.mirror, max_bytes=max_bytes)
  return path


def unpacked(settings, folder: str, url: str, name: str, sha256: str | None = None) -> str:
  """Returns the folder `name` of the archive at `url`, unpacked into `folder` if it is not there.

  Raises:
    InputError: when it cannot be fetched or unpacked, or holds no such folder.
  """
  if os.path.isdir(os.path.join(folder, name)):
    return os.path.join(folder, name)
  archive = os.path.join(folder, url.rsplit('/', 1)[1])
  content = f'{archive}.unpacked'
  if os.path.isfile(archive) or not os.path.isdir(content):
    find(settings, folder, url, sha256, _MAX_BYTES)  # Says so when it is not the published one.
  if not os.path.isdir(content):
    downloads.unpack(archive, content)
  inner = os.path.join(content, name)
  if not os.path.isdir(inner):
    shutil.rmtree(content)
    raise errors.InputError(
      f'{archive} holds no folder {name}: it is another archive. Remove it to fetch it again.'
    )
  return inner


def warn_of_count(name, splits, expected):
  """Says so on the standard error when the shards.Examples of a split are not as many as known."""
  for split_name, examples in splits.items():
    if examples.num_examples != expected[split_name]:
      sys.stderr.write(
        f'{name} has {expected[split_name]:,} images for {split_name}, but these files have'
        f' {examples.num_examples:,}.\n'
      )
