"""Copies of images in folders by what they show."""

import os

from datasets import extraction, record_sets
from slimcompat import errors

NO_CLASS = 'no_class'


def check(flag, directory):
  """Raises InputError unless `directory`, the value of `flag`, is empty or not there."""
  if os.path.isdir(directory) and not os.listdir(directory):
    return
  if os.path.lexists(directory):
    raise errors.InputError(
      f'--{flag}={directory} is there already, and nothing in it is overwritten. Give a new or'
      ' an empty folder.'
    )


def copy(image, class_names, directory):
  """Copies an image into a folder in `directory`, under a name of its own; returns the path.

  Args:
    image: the UnlabelledImage.
    class_names: those that name the folder, such as `cat+dog`; none for NO_CLASS.
    directory: where the folders are made.

  Raises:
    InputError: when it cannot be written.
  """
  folder = os.path.join(directory, extraction.folder_name(class_names or [NO_CLASS]))
  data = image.read()
  stem, ending = os.path.splitext(os.path.basename(image.name))
  if image.is_record:
    stem = f'{stem}{ending}'.replace(':', '_')
    ending = f'.{record_sets.ending(data)}'
  try:
    os.makedirs(folder, exist_ok=True)
    path, number = os.path.join(folder, f'{stem}{ending}'), 1
    while os.path.lexists(path):
      number += 1
      path = os.path.join(folder, f'{stem}-{number}{ending}')
    with open(path, 'xb') as file:
      file.write(data)
  except OSError as error:
    raise errors.InputError(
      f'{folder} cannot be written to ({error.strerror}). Make room, or give another --sort_into.'
    ) from error
  return path
