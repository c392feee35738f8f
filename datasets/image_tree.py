"""The one walk over a folder of images: which files are in it, and what cannot be reached.

What counts as an image: every file, at any depth, whose name ends in one of EXTENSIONS, in either
case. Files and folders whose names start with a dot are hidden, and so are the folders that
operating systems leave behind (SYSTEM_FOLDERS).

Links to files and folders are followed as if copies stood in their places. A link that leads back
to a folder around it ends there; so does one to a folder that the same outer link has shown before.
"""

import contextlib
import os
import re
from typing import NamedTuple

from slimcompat import errors

EXTENSIONS = (
  *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.bmp', '.dib', '.webp', '.tif', '.tiff'),
  *('.ppm', '.pgm', '.pnm', '.tga', '.avif', '.jp2', '.ico'),
)
SYSTEM_FOLDERS = (
  *('__MACOSX', '@eaDir', 'lost+found', '$RECYCLE.BIN', 'System Volume Information'),
  '__pycache__',
)


class Tree(NamedTuple):
  """A folder and all within; paths begin with that of the folder and are sorted."""

  place: str
  images: list[str]  # A broken link named like an image is one, too: reading it fails.
  others: list[str]  # Visible files that are no images.
  hidden: list[str]  # Files that are hidden, or in hidden folders.
  folders: dict[str, tuple[int, int]]  # Visible folders, and which each is on the disk.
  unreached: dict[str, str]  # What could not be looked into, and why.
  repeated: dict[str, str]  # Links to folders that were met before, and what is said of them.

  def left_out(self) -> list[tuple[str, str]]:
    """Returns what was not looked into, relative to the folder, and the reasons."""
    paths = {**self.unreached, **self.repeated}
    return [(os.path.relpath(path, self.place), paths[path]) for path in sorted(paths)]

  def subfolders(self) -> dict[str, list[str]]:
    """Returns the sorted names of the visible folders in each folder."""
    names = {path: [] for path in self.folders}
    for path in sorted(self.folders):
      parent, name = os.path.split(path)
      if path != self.place:
        names[parent].append(name)
    return names

  def with_images(self) -> set[str]:
    """Returns the folders that have images at any depth."""
    found = set()
    for path in self.images:
      folder = os.path.dirname(path)
      while folder not in found and len(folder) >= len(self.place):
        found.add(folder)
        folder = os.path.dirname(folder)
    return found


def walk(folder: str) -> Tree:
  """Looks into `folder` and everything in it.

  Raises:
    InputError: when the folder itself cannot be read.
  """
  # Without a slash at its end; the root of the file system keeps its own.
  place = folder.rstrip(os.sep) or folder
  tree = Tree(place, [], [], [], {}, {}, {})
  # Folders still to be looked into: path, whether it is hidden, the folders around it, and the
  # outermost link on the way.
  pending = [(place, False, _around(place), None)]
  seen_by_link = {}
  while pending:
    path, is_hidden, around, link = pending.pop()
    try:
      identity = _identity(path)
      reason = link and _why_passed_over(path, identity, around, seen_by_link.setdefault(link, {}))
      if reason:
        tree.repeated[path] = reason
        continue
      entries = _list(path)
    except OSError as error:
      reason = error.strerror or str(error)
      if path == place:
        raise errors.InputError(f'The folder {path} cannot be read: {reason}.') from error
      if is_hidden:
        tree.hidden.append(path)
      else:
        tree.unreached[path] = reason
      continue
    if not is_hidden:
      tree.folders[path] = identity
    inside = {**around, identity: path}
    for entry, is_folder in entries:
      hides = is_hidden or _is_hidden(entry.name, is_folder)
      if is_folder and not (hides and entry.is_symlink()):
        outermost = link or (entry.path if entry.is_symlink() else None)
        pending.append((entry.path, hides, inside, outermost))
      else:
        _add_file(tree, entry, hides)
  for paths in (tree.images, tree.others, tree.hidden):
    paths.sort()
  return tree


def expand(pattern: str) -> list[str]:
  """Returns the sorted visible files that match a pattern with `**`, which stands for any folders.

  The rest is as for `glob.glob`, but circles of links end as in `walk`.
  """
  parts = pattern.split(os.sep)
  first = next(index for index, part in enumerate(parts) if re.search(r'[*?[]', part))
  place = os.sep.join(parts[:first]) or (os.sep if first else '.')
  if not os.path.isdir(place):
    return []
  wanted = re.compile(''.join(map(_as_regex, parts[first:-1])) + _as_regex(parts[-1], last=True))
  tree = walk(place)
  prefix = len(os.path.join(tree.place, ''))
  paths = [path for path in [*tree.images, *tree.others] if wanted.fullmatch(path[prefix:])]
  return sorted(path[prefix:] if not first else path for path in paths)


def _as_regex(part, last=False):
  """Returns the regular expression of a part of a pattern, with the slash after it."""
  if part == '**':
    return '(?s:.+)' if last else '(?s:.+/)?'
  pieces = re.findall(r'\[!?\]?[^]]*\]|.', part, re.DOTALL)
  translated = ''
  for piece in pieces:
    if piece in '*?':
      translated += {'*': '[^/]*', '?': '[^/]'}[piece]
    elif len(piece) > 1:
      inner = piece[1:-1].replace('\\', r'\\').replace('[', r'\[')
      inner = f'^{inner[1:]}' if inner.startswith('!') else inner.replace('^', r'\^')
      translated += f'[{inner}]'
    else:
      translated += re.escape(piece)
  return translated if last else f'{translated}/'


def _around(place):
  """Returns the folders that `place` lies in, by identity."""
  around = {}
  path = os.path.dirname(os.path.realpath(place))
  while True:
    # A folder that may not be looked at is not found by a link either.
    with contextlib.suppress(OSError):
      around[_identity(path)] = path
    if path == os.path.dirname(path):
      return around
    path = os.path.dirname(path)


def _identity(path):
  status = os.stat(path)
  return status.st_dev, status.st_ino


def _why_passed_over(path, identity, around, seen):
  """Returns the reason to pass over a folder that was met before, None to look into it.

  That takes a link; `seen` has the folders that the outermost link on the way has shown.
  """
  if identity in around:
    return f'it leads back to {around[identity]}'
  if identity in seen:
    return f'it is the folder {seen[identity]} again'
  seen[identity] = path
  return None


def _list(path):
  """Returns the entries of a folder, and whether each is a folder, also by a link."""
  found = []
  with os.scandir(path) as entries:
    for entry in entries:
      try:
        found.append((entry, entry.is_dir()))
      except OSError:
        found.append((entry, False))  # A link in a circle of links, or one to a forbidden place.
  return found


def _is_hidden(name, is_folder):
  return name.startswith('.') or (is_folder and name in SYSTEM_FOLDERS)


def _add_file(tree, entry, is_hidden):
  if is_hidden:
    tree.hidden.append(entry.path)
  elif entry.name.lower().endswith(EXTENSIONS):
    tree.images.append(entry.path)
  elif entry.is_symlink() and not os.path.exists(entry.path):
    tree.unreached[entry.path] = 'it is a link to nothing'
  else:
    tree.others.append(entry.path)
