"""survey.json: what a survey found, for people and for the preprocessing."""

import json
import os
import typing

from datasets import state_files, user_files
from slimcompat import errors

_MAX_BYTES = 1 << 28
NAME = 'survey.json'


def write(content: dict, folder: str):
  """Writes the `content` of a survey into `folder`, atomically."""
  text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
  user_files.write_atomically(os.path.join(folder, NAME), text + '\n')


def read_numbers(folder: str | None, key: str) -> list[float]:
  """Returns the numbers under `key` of the survey in `folder`.

  Raises:
    InputError: when there is no survey, or no such numbers in it.
  """
  path = os.path.join(folder or '', NAME)
  remedy = f'Run inspect_dataset.py --survey --dataset_dir={folder or "DIRECTORY"} first.'
  if not folder or not os.path.isfile(path):
    raise errors.InputError(f'There is no survey {path} to take {key} from. {remedy}')
  try:
    content = state_files.loads(user_files.read_bytes(path, _MAX_BYTES), dict[str, typing.Any])
    return state_files.parse(list[float], content[key], key)
  except (OSError, state_files.FormatError, KeyError) as error:
    raise errors.InputError(f'{path} has no numbers under {key!r}. {remedy}') from error
