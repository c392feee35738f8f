"""What a path that a user gives means: `~`, `file://` and other URLs, and names as they are.

A path is a name, never a pattern: `[`, `]`, `*` and `?` stand for themselves. TensorFlow reads some
of its paths as patterns, so `as_pattern` and `alias` exist for the few that have to be given to it.
"""

import contextlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator

from slimcompat import errors

# RFC 3986, section 3.1; TensorFlow tells a URL from a path in the same way.
_URL = re.compile(r'([A-Za-z][A-Za-z0-9+.-]*)://')
_FILE_URL = re.compile(r'file://(?:localhost)?(?=/)', re.IGNORECASE)

# A function of a path and the name to call it by in messages; returns the path to use.
Kind = Callable[[str, str], str]


def image(path: str, name: str) -> str:
  """Returns the path on this machine that `path` means: of images, whose names may be any bytes.

  `~` and `~user` become a home folder, and `file:///a/b` becomes `/a/b`; as in TensorFlow, `%` has
  no special meaning in a URL.

  Args:
    path: what the user gave.
    name: what to call it in messages, such as `--train_dir`.

  Raises:
    InputError: for any other URL, and for an unknown user.
  """
  if path in ('', '-'):
    return path
  if match := _FILE_URL.match(path):
    return path[match.end() :]
  if match := _URL.match(path):
    raise errors.InputError(
      f'{name}={path} is a URL ({match[1]}), but must be a path on this machine: mount what it'
      ' names, or copy it here.'
    )
  expanded = os.path.expanduser(path)
  if path.startswith('~') and expanded == path:
    user = path.split('/', 1)[0]
    raise errors.InputError(
      f'{name}={path}: no home folder is known for {user}. Give the whole path; ./{user} is the'
      ' folder of that name.'
    )
  return expanded


def local(path: str, name: str) -> str:
  """Returns the path on this machine that `path` means, as TensorFlow can take it: see `image`.

  Raises:
    InputError: as `image` does, and for control characters and a name that is not UTF-8.
  """
  if any(unicodedata.category(character) == 'Cc' for character in path):
    raise errors.InputError(
      f'{name}={path!r} holds a control character, such as the end of a line. Give a path without.'
    )
  path = image(path, name)
  try:
    path.encode()
  except UnicodeEncodeError as error:
    raise errors.InputError(
      f'{name}={os.fsencode(path)!r} is not UTF-8, as TensorFlow needs its paths. Rename it.'
    ) from error
  return path


def local_list(paths: str, name: str) -> str:
  """Returns comma-separated paths, each as `local` returns it."""
  return ','.join(local(path, name) for path in split(paths))


def split(paths: str | None) -> list[str]:
  """Returns the parts of comma-separated paths, without blanks; none for None.

  A comma belongs to a path where only the longer path exists, as a file, a folder or a checkpoint.
  """
  parts = (paths or '').split(',')
  found = []
  while parts:
    for length in range(len(parts), 1, -1):
      joined = ','.join(parts[:length]).strip()
      if _exists(joined) and not _exists(parts[0].strip()):
        break
    else:
      length, joined = 1, parts[0].strip()
    if joined:
      found.append(joined)
    parts = parts[length:]
  return found


def _exists(path):
  path = os.path.expanduser(_FILE_URL.sub('', path))
  return os.path.lexists(path) or os.path.lexists(f'{path}.index')


def as_pattern(path: str) -> str:
  """Returns the pattern that only `path` matches, for TensorFlow's functions that take patterns."""
  return re.sub(r'([\\*?\[])', r'\\\1', path)


@contextlib.contextmanager
def alias(path: str) -> Iterator[str]:
  """Gives another path of the file or folder `path`, in which nothing looks like a pattern."""
  with tempfile.TemporaryDirectory() as folder:
    link = os.path.join(folder, 'link')
    os.symlink(os.path.abspath(path), link)
    yield link


def data(path: str, name: str) -> str:
  """Returns `path` as `local` does; a URL of a file system that TensorFlow serves stays as it is.

  Raises:
    InputError: as `local` does, and for URLs that TensorFlow cannot read.
  """
  match = _URL.match(path)
  if not match or _FILE_URL.match(path):
    return local(path, name)
  from slimcompat import tf  # Loading it takes seconds, and only URLs need it.

  schemes = sorted({_as_text(scheme) for scheme in tf.io.gfile.get_registered_schemes()} - {''})
  if match[1] not in schemes:
    raise errors.InputError(
      f'{name}={path}: TensorFlow cannot read URLs that begin with {match[1]}://, but those of'
      f' {", ".join(schemes)}. Copy the files to this machine, or mount them.'
    )
  return path


def _as_text(scheme):
  return scheme.decode() if isinstance(scheme, bytes) else scheme


def is_url(path: str) -> bool:
  """Returns whether `path` names a file system of TensorFlow's rather than one of the machine's."""
  return bool(_URL.match(path))
