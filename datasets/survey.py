"""A survey of a set of images: what there is, and what may be wrong with it."""

import collections
import concurrent.futures
import os
import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tqdm

from datasets import duplicates, image_measures, survey_sources
from slimcompat import errors

# Pixels per side that nets take images at.
INPUT_SIZES = (224, 299, 331)
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_NUM_NEIGHBOURS = 5
# The comparison of all with all is quadratic; in larger sets only so many are compared.
_MAX_COMPARED = 8000
_TRAINING_SPLIT = 'train'


class Survey(NamedTuple):
  """What was found; indices are those of `entries`."""

  entries: list[survey_sources.Entry]  # Those that can be decoded.
  measures: list[image_measures.Measure]
  unreadable: list[tuple[survey_sources.Entry, str]]  # The others, with the reasons.
  exact: list[list[int]]  # Groups of equal pictures.
  near: list[list[int]]  # Groups of nearly equal ones, turned or mirrored, too.
  image_bits: int | None = None  # As `make` got it.

  def column(self, name: str) -> np.ndarray:
    """Returns a field of all measures."""
    return np.array([getattr(measure, name) for measure in self.measures])

  def repeated(self) -> list[list[int]]:
    """Returns the groups of equal and nearly equal pictures, those of most concern first."""

    def concern(group):
      return not self.is_contradictory(group), not self.is_across_splits(group), group[0]

    return sorted([*self.exact, *self.near], key=concern)

  def is_contradictory(self, group: list[int]) -> bool:
    """Returns whether the pictures are said to show different classes."""
    return len({self.entries[index].classes for index in group}) > 1

  def is_across_splits(self, group: list[int]) -> bool:
    return len({self.entries[index].split for index in group}) > 1


def make(entries: Iterable[survey_sources.Entry], image_bits: int | None = None) -> Survey:
  """Reads and measures all images.

  Args:
    entries: where they are.
    image_bits: as for `image_decoding.decode`.

  Raises:
    InputError: when none can be decoded.
  """
  found, measures, unreadable = [], [], []
  with warnings.catch_warnings():
    # Of sizes, which are checked, and of odd metadata.
    warnings.simplefilter('ignore')
    for entry, measure in _measure_all(entries, image_bits):
      if isinstance(measure, str):
        unreadable.append((entry, measure))
      else:
        found.append(entry)
        measures.append(measure)
  if not found:
    reason = f': {unreadable[0][0].name}: {unreadable[0][1]}' if unreadable else ''
    raise errors.InputError(f'None of {len(unreadable)} images can be decoded{reason}.')
  exact = duplicates.find_exact([measure.digest for measure in measures])
  # One of each group stands for it among the nearly equal ones.
  others = {index for group in exact for index in group[1:]}
  kept = np.array([index for index in range(len(found)) if index not in others])
  near = duplicates.find_near(np.stack([measures[index].signature for index in kept]))
  near = [kept[group].tolist() for group in near]
  return Survey(found, measures, unreadable, exact, near, image_bits)


def _measure_all(entries, image_bits):
  """Yields each Entry with its Measure, or with the reason why there is none."""
  num_workers = os.cpu_count() or 1
  total = len(entries) if isinstance(entries, list) else None
  with (
    concurrent.futures.ThreadPoolExecutor(num_workers) as pool,
    tqdm.tqdm(total=total, desc='Surveying', unit='image', disable=None) as bar,
  ):
    pending = collections.deque()

    def next_result():
      bar.update()
      entry, future = pending.popleft()
      return entry, future.result()

    try:
      for entry in entries:
        pending.append((entry, pool.submit(_measure, entry, image_bits)))
        if len(pending) > 8 * num_workers:
          yield next_result()
      while pending:
        yield next_result()
    finally:
      pool.shutdown(cancel_futures=True)


def _measure(entry, image_bits):
  try:
    return image_measures.measure(entry.read(), entry.makes_upright, image_bits)
  except OSError as error:
    return error.strerror or str(error)
  except ValueError as error:
    return str(error)


def channel_numbers(survey: Survey) -> tuple[list[float], list[float]]:
  """Returns the means and standard deviations of the channels, in [0, 255], over all pixels.

  They are those of the training images, where these are told apart: 1 of each when all are gray,
  else those of R, G and B.
  """
  is_training = np.array([entry.split == _TRAINING_SPLIT for entry in survey.entries])
  chosen = is_training if is_training.any() else ~is_training
  num_pixels = (survey.column('width') * survey.column('height'))[chosen].sum()
  means = survey.column('channel_sums')[chosen].sum(axis=0) / num_pixels
  squares = survey.column('channel_square_sums')[chosen].sum(axis=0) / num_pixels
  stds = np.sqrt(np.maximum(squares - means**2, 0))
  is_gray = all('gray' in mode or mode == 'black/white' for mode in survey.column('mode'))
  num_channels = 1 if is_gray else 3
  return means[:num_channels].tolist(), stds[:num_channels].tolist()


def least_alike(survey: Survey) -> np.ndarray:
  """Returns how much less each picture is like its class than like another one.

  That is the distance to its 5 nearest neighbours of the class by that to the 5 nearest others;
  NaN for pictures without a class, and for those beyond the first 8000 drawn at random. Above 1
  a picture may be labelled wrongly; it may as well be the only one of its kind.
  """
  oddness = np.full(len(survey.entries), np.nan)
  classes = np.array(['\0'.join(entry.classes) for entry in survey.entries])
  chosen = np.flatnonzero(classes != '')
  if len(chosen) > _MAX_COMPARED:
    chosen = np.random.RandomState(0).permutation(chosen)[:_MAX_COMPARED]
  if len(set(classes[chosen])) < 2:
    return oddness
  features = survey.column('signature')[chosen].reshape(len(chosen), -1).astype(np.float32)
  squares = np.sum(features**2, axis=1)
  classes = classes[chosen]
  for place, index in enumerate(chosen):
    distances = squares + squares[place] - 2 * features @ features[place]
    distances[place] = np.inf
    is_own = classes == classes[place]
    own, others = (
      np.sort(distances[group])[:_NUM_NEIGHBOURS].clip(0) for group in (is_own, ~is_own)
    )
    own = own[np.isfinite(own)]
    if len(own):
      oddness[index] = np.sqrt(own.mean()) / max(np.sqrt(others.mean()), 1.0)
  return oddness


def summarize(survey: Survey) -> dict:
  """Returns the content of survey.json."""
  widths, heights = survey.column('width'), survey.column('height')
  means, stds = channel_numbers(survey)
  names = [entry.name for entry in survey.entries]
  splits = collections.defaultdict(collections.Counter)
  for entry in survey.entries:
    splits[entry.split].update(entry.classes)
  num_by_split = collections.Counter(entry.split for entry in survey.entries)

  def groups(members):
    return [
      {
        'names': [names[index] for index in group],
        'across_splits': survey.is_across_splits(group),
        'across_classes': survey.is_contradictory(group),
      }
      for group in members
    ]

  quantities = {
    'width': widths,
    'height': heights,
    'shorter_side': np.minimum(widths, heights),
    'aspect_ratio': widths / heights,
    'area': widths * heights,
    'num_bytes': survey.column('num_bytes'),
  }
  return {
    'num_images': len(names),
    'splits': {
      split: {'num_images': num, 'class_counts': dict(sorted(splits[split].items()))}
      for split, num in num_by_split.items()
    },
    'percentiles': {
      name: dict(
        zip(map(str, PERCENTILES), np.percentile(values, PERCENTILES).tolist(), strict=True)
      )
      for name, values in quantities.items()
    },
    'losses': {str(size): losses(survey, size) for size in INPUT_SIZES},
    'formats': dict(collections.Counter(survey.column('image_format').tolist()).most_common()),
    'channels': dict(collections.Counter(survey.column('mode').tolist()).most_common()),
    'image_bits': survey.image_bits,
    'value_bits': {
      str(bits): count
      for bits, count in sorted(
        collections.Counter(
          measure.value_bits for measure in survey.measures if measure.value_bits is not None
        ).items()
      )
    },
    'channel_means': means,
    'channel_stds': stds,
    'turned_by_exif': [names[index] for index in np.flatnonzero(survey.column('is_turned'))],
    'duplicates': groups(survey.exact),
    'near_duplicates': groups(survey.near),
    'unreadable': [{'name': entry.name, 'reason': reason} for entry, reason in survey.unreadable],
  }


def losses(survey: Survey, size: int) -> dict[str, float]:
  """Returns what becomes of the images when their centres are resized to a square.

  `enlarged` is the part of the images that have fewer pixels in a direction, `cropped_away` the
  mean part of an image outside of its central square, `shrunk_away` the mean part of that square's
  pixels that there is no room for.
  """
  widths, heights = survey.column('width'), survey.column('height')
  shorter, longer = np.minimum(widths, heights), np.maximum(widths, heights)
  return {
    'enlarged': float(np.mean(shorter < size)),
    'cropped_away': float(np.mean(1 - shorter / longer)),
    'shrunk_away': float(np.mean(np.maximum(0, 1 - (size / shorter) ** 2))),
  }
