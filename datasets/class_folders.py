"""Which folders are splits and which are classes, where a tree of folders can be read in two ways.

| folders in the tree | taken for |
|---|---|
| folders with images, none of them named as a split | classes |
| folders named as splits, each with folders of classes | splits |
| a single folder around either | the folders in it |
| one folder named as a split among others, all with images directly in them | classes |
| other mixtures with folders that look like splits | refused, unless `folders_are` says which |
"""

import os
import re
import unicodedata
from typing import NamedTuple

from datasets import class_names, image_tree
from slimcompat import errors, escapes

# What the outermost folders of an image_dir may be said to be.
MEANINGS = ('classes', 'splits')
# Folders, or values in a list, that name a part of the images, and the split each stands for.
SPLIT_NAMES = {
  **dict.fromkeys(('train', 'training', 'trn', 'trainval'), 'train'),
  **dict.fromkeys(
    ('val', 'valid', 'validation', 'validate', 'eval', 'evaluation', 'dev'), 'validation'
  ),
  **dict.fromkeys(('test', 'testing', 'tst'), 'test'),
}
# Words beside the name of a split that change nothing, as in train_images.
_PLAIN_WORDS = {'data', 'dataset', 'set', 'split', 'folder', 'dir', 'image', 'images', 'img'}
_PLAIN_WORDS |= {'imgs', 'photo', 'photos', 'pic', 'pics', 'picture', 'pictures'}
# Words for other parts of a set of images.
_PART_WORDS = {'fold', 'folds', 'part', 'batch', 'subset', 'split', 'holdout', 'pred', 'extra'}
_WORD = re.compile(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+')
_MAX_NAMED = 5


class Layout(NamedTuple):
  """What the folders of a tree stand for."""

  # Split -> name of a class -> paths of its images, sorted. '' is the split where there are none.
  splits: dict[str, dict[str, list[str]]]
  folders: dict[str, str]  # Split -> the folder that is named so; of '' that of the classes.
  unlabelled: list[str]  # Images that lie in no folder of a class.
  without_images: list[str]  # Folders where those of classes are expected, but without images.
  notes: list[str]  # Sentences on what a person may not expect.

  def is_in_a_split(self, path: str) -> bool:
    """Returns whether `path` lies in the folder of a split; without splits, everything does."""
    return '' in self.folders or any(
      path.startswith(os.path.join(folder, '')) for folder in self.folders.values()
    )

  def class_names(self) -> list[str]:
    """Returns the sorted names of all classes."""
    return sorted({name for classes in self.splits.values() for name in classes})


def split_of(name: str) -> str | None:
  """Returns the split that a folder, or a value in a list, is named after; None for others."""
  split, others = _split_and_words(name)
  return split if set(others) <= _PLAIN_WORDS else None


def read(tree: image_tree.Tree, folders_are: str | None = None) -> Layout:
  """Returns the Layout of a tree.

  Args:
    tree: what `image_tree.walk` found.
    folders_are: one of MEANINGS, what the outermost folders are; None is as they look.

  Raises:
    InputError: when they look like both, and for names of classes that are easily confused.
  """
  looker = _Looker(tree)
  place = looker.inside(folders_are)
  splits = looker.find_splits(place, folders_are)
  folders = _folders_of_splits(place, splits) if splits else {'': place}
  layout = _make_layout(looker, folders, has_notes=folders_are is None)
  class_names.check(layout.class_names(), tree.place)
  return layout


class _Looker:
  """Looks at the folders of a tree."""

  def __init__(self, tree):
    self.tree = tree
    self.folders = tree.subfolders()
    self.full = tree.with_images()
    self._direct = {os.path.dirname(path) for path in tree.images}

  def full_folders(self, place):
    """Returns the names of the folders in `place` that have images at any depth."""
    return [name for name in self.folders[place] if os.path.join(place, name) in self.full]

  def is_nested(self, *parts):
    """Returns whether a folder has images, but in its folders only."""
    path = os.path.join(*parts)
    return path in self.full and path not in self._direct

  def inside(self, folders_are):
    """Returns the folder that holds the outermost folders with a choice among them."""
    place = self.tree.place
    while True:
      names = self.full_folders(place)
      if len(names) != 1 or not self.is_nested(place, names[0]):
        return place
      splits = [name for name in self.folders[place] if split_of(name)]
      if splits and not (folders_are == 'classes' and splits == names):
        return place
      place = os.path.join(place, names[0])

  def find_splits(self, place, folders_are):
    """Returns {folder in `place`: its split}; {} where the folders are classes."""
    if folders_are == 'classes':
      return {}
    full = self.full_folders(place)
    splits = {name: split for name in self.folders[place] if (split := split_of(name))}
    splits = splits or _alike_splits(full)
    others = [name for name in full if name not in splits]
    if folders_are == 'splits':
      if not splits:
        raise errors.InputError(
          f'--folders_are=splits, but {place} has the folders {_listed(others)}. Name them train,'
          ' validation and test, or leave the flag out.'
        )
      return splits
    if not splits:
      self._check_parts(place, others)
    elif others:
      is_nested = any(self.is_nested(place, name) for name in splits)
      if not is_nested and len({splits[name] for name in splits if name in full}) < 2:
        return {}
      raise errors.InputError(
        f'Of the folders in {place}, these look like splits: {_listed(splits)}; and these do not:'
        f' {_listed(others)}. Move or rename what does not belong there; or give'
        f' --folders_are=splits to leave {_listed(others)} out, or --folders_are=classes if all of'
        ' them are classes.'
      )
    return splits

  def _check_parts(self, place, names):
    """Raises InputError where `names`, taken for classes, would mix up splits or other parts."""
    bearing = {_split_and_words(name)[0] for name in names}
    if None not in bearing and len(bearing) > 1:
      raise errors.InputError(
        f'In {place}, the folders {_listed(names)} look like classes and splits in one. Put the'
        ' folders of classes into folders named train, validation and test; or give'
        ' --folders_are=classes if these are the classes.'
      )
    for name in names:
      inner = self.full_folders(os.path.join(place, name))
      if len(inner) > 1 and all(map(split_of, inner)):
        raise errors.InputError(
          f'In {place}, the folder {escapes.for_names(name)} holds the folders {_listed(inner)},'
          ' which look like splits. If it is a whole set, give it as the image_dir; if it is a'
          ' class, move the splits outside, as in train/cat; or give --folders_are=classes to put'
          ' their images together.'
        )
    common = self.common_folders(place, names)
    if len(common) > 1 and any(_PART_WORDS.intersection(_words(name)) for name in names):
      raise errors.InputError(
        f'In {place}, the folders {_listed(names)} look like parts of the images, for all of them'
        f' hold the folders {_listed(common)}. Give one of them as the image_dir, or name them'
        ' train, validation and test; or give --folders_are=classes if they are the classes.'
      )

  def common_folders(self, place, names):
    """Returns the folders that all of the folders `names`, which hold nothing else, have."""
    if len(names) < 2 or not all(self.is_nested(place, name) for name in names):
      return []
    held = [set(self.full_folders(os.path.join(place, name))) for name in names]
    return sorted(set.intersection(*held))


def _words(name):
  """Returns the words of a folder's name: trainImages, train_images and TRAIN IMAGES have two."""
  return [word.lower() for word in _WORD.findall(unicodedata.normalize('NFKC', name))]


def _split_and_words(name):
  """Returns the split that a word of the name stands for, None for none, and the other words."""
  whole = unicodedata.normalize('NFKC', name).strip().lower()
  if whole in SPLIT_NAMES:
    return SPLIT_NAMES[whole], []
  words = _words(name)
  splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
  # A year, as in train2014, changes nothing.
  others = [w for w in words if w not in SPLIT_NAMES and not re.fullmatch(r'(19|20)\d\d', w)]
  return (splits.pop(), others) if len(splits) == 1 else (None, words)


def _alike_splits(names):
  """Returns {folder: its split} of names such as seg_train and seg_test; {} for others."""
  bearing = {name: _split_and_words(name) for name in names}
  bearing = {name: found for name, found in bearing.items() if found[0]}
  num_splits = len({split for split, _ in bearing.values()})
  is_alike = len({tuple(words) for _, words in bearing.values()}) == 1
  return (
    {name: split for name, (split, _) in bearing.items()} if num_splits > 1 and is_alike else {}
  )


def _folders_of_splits(place, splits):
  """Returns {split: its folder}. Raises InputError when two are the same split."""
  if len(set(splits.values())) < len(splits):
    raise errors.InputError(
      f'{place} has the sub-folders {_listed(splits, at_most=None)}, of which several are the same'
      ' split. Put their images together.'
    )
  return {split: os.path.join(place, name) for name, split in splits.items()}


def _inside_splits(looker, folders):
  """Returns {split: the folder that holds its classes}: its own, or one in it."""
  places = dict(folders)
  while True:
    inner = {split: looker.full_folders(path) for split, path in places.items()}
    single = {
      split: os.path.join(places[split], names[0])
      for split, names in inner.items()
      if len(names) == 1 and looker.is_nested(places[split], names[0])
    }
    if len(single) < len(places):
      # A class that is alone in its split looks the same, but has a name of its own.
      single = {split: path for split, path in single.items() if _names_split(path)}
    if not single:
      return places
    places.update(single)


def _names_split(path):
  """Returns whether a folder in that of a split is named like it, or as images in general."""
  words = _words(os.path.basename(path))
  around = _words(os.path.basename(os.path.dirname(path)))
  return bool(words) and set(words) <= {*around, *_PLAIN_WORDS, *SPLIT_NAMES}


def _make_layout(looker, folders, has_notes):
  """Returns the Layout of {split: its folder}."""
  places = folders if '' in folders else _inside_splits(looker, folders)
  order = [split for split in ('', 'train', 'validation', 'test') if split in places]
  splits = {split: {} for split in order}
  by_folder, without_images = {}, []
  for split in order:
    for name in looker.folders[places[split]]:
      path = os.path.join(places[split], name)
      if path in looker.full:
        by_folder[path] = splits[split].setdefault(escapes.for_names(name), [])
      else:
        without_images.append(path)
  unlabelled = []
  for path in looker.tree.images:
    folder = os.path.dirname(path)
    while folder not in by_folder and len(folder) > len(looker.tree.place):
      folder = os.path.dirname(folder)
    by_folder.get(folder, unlabelled).append(path)
  for split in order:
    _check_readable(looker.tree, places[split])
  notes = [*_note_of_links(looker.tree, by_folder)]
  if has_notes:
    notes += _note_of_parts(looker, places)
  return Layout(splits, folders, unlabelled, without_images, notes)


def _check_readable(tree, place):
  """Raises InputError where the folder of a class cannot be read at all."""
  for path, reason in tree.unreached.items():
    if os.path.dirname(path) == place and os.path.isdir(path):
      raise errors.InputError(
        f'The class folder {path} has no images that can be read: {reason}. Mend or remove it.'
      )


def _note_of_parts(looker, places):
  place = places.get('')
  names = looker.full_folders(place) if place is not None else []
  common = looker.common_folders(place, names) if names else []
  if len(common) > 1:
    yield (
      f'All classes hold the folders {_listed(common)}; if these are the classes, give one of'
      f' {_listed(names)} as the image_dir.'
    )


def _note_of_links(tree, by_folder):
  """Yields a sentence on folders that links bring into several classes."""
  classes = {}
  for path in tree.folders:
    owner = path
    while owner not in by_folder and len(owner) > len(tree.place):
      owner = os.path.dirname(owner)
    if owner in by_folder:
      found = classes.setdefault(tree.folders[path], {})
      found.setdefault(os.path.basename(owner), os.path.relpath(path, tree.place))
  shared = [list(found.values()) for found in classes.values() if len(found) > 1]
  if shared:
    yield (
      f'Links bring {len(shared):,} folders into several classes, such as'
      f' {escapes.for_names(" = ".join(shared[0][:2]))}.'
    )


def _listed(names, at_most=_MAX_NAMED):
  """Returns the first of some names as a list to read."""
  names = [escapes.for_console(name, keeps_lines=False) for name in names]
  more = f' and {len(names) - at_most} more' if at_most and len(names) > at_most else ''
  return ', '.join(names[:at_most]) + more
