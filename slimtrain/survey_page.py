"""survey.png: a survey as histograms, and a mosaic of each class."""

import io
import os
import warnings

import numpy as np

from datasets import image_decoding, image_measures, survey
from slimcompat import errors
from slimtrain import mosaics, report_plots

FILE_NAME = 'survey.png'
_TILE_ROWS = 40  # Of all classes together, about.
_MAX_ROWS_PER_CLASS = 5
_MAX_CLASSES = 40
_MAX_BARS = 25
_MAX_GROUPS = 20
_MAX_GROUP_SIZE = 4
_MAX_TURNED = 15
_CONTRADICTION, _ODD, _REPEATED = '#d62728', '#ff9d00', '#1f77b4'
# Of survey.least_alike, and by the middle one of the class: where classes are many and small, most
# images are more like another class.
_ODD_ABOVE = 1.0
_ODD_ABOVE_MEDIAN = 1.3
_DPI = 100
_COLORS = ('#4c78a8', '#f2a14b', '#59a14f', '#b07aa1', '#9c755f')


def check_can_plot():
  """Raises InputError unless matplotlib is installed."""
  try:
    import matplotlib  # noqa: F401
  except ImportError as error:
    raise errors.InputError(
      'survey.png is drawn with matplotlib, which is not installed. Install it:'
      " pip install 'slimtrain[plots]', or pip install matplotlib."
    ) from error


def write(found, output_dir):
  """Draws a survey.Survey into `output_dir`; returns the path."""
  path = os.path.join(output_dir, FILE_NAME)
  blocks = [
    mosaics.Block(f'Survey of {len(found.entries):,} images', _findings(found)),
    mosaics.Block('', image=_histograms(found)),
    *_repeated(found),
    *_turned(found),
    *_classes(found),
  ]
  mosaics.write(path, blocks)
  return path


def _findings(found):
  """Returns the lines that say what to look at first."""
  repeated = found.repeated()
  num_across = sum(map(found.is_across_splits, repeated))
  num_contradictory = sum(map(found.is_contradictory, repeated))
  lines = (
    ('Images that cannot be decoded', len(found.unreadable), ': survey.json says why'),
    ('Images turned or mirrored by their EXIF data', int(found.column('is_turned').sum()), ''),
    ('Pictures that are there more than once', len(found.exact), ''),
    ('Pictures with nearly equal, turned or mirrored copies', len(found.near), ''),
    ('Of these, in two classes', num_contradictory, ': at least one label is wrong'),
    ('Of these, in two splits', num_across, ': what is tested was trained on'),
  )
  return tuple(f'{words}: {num:,}{more}' for words, num, more in lines if num) or (
    'All can be decoded, and none is there twice.',
  )


def _histograms(found):
  import matplotlib
  from matplotlib import figure

  width = mosaics.PAGE_WIDTH - 2 * mosaics.MARGIN
  # Names of classes are no formulas.
  with matplotlib.rc_context({'text.parse_math': False}), warnings.catch_warnings():
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    plot = figure.Figure((width / _DPI, 8.0), dpi=_DPI, layout='constrained')
    axes = plot.subplots(2, 3)
    for axis in axes.flat:
      axis.spines[['top', 'right']].set_visible(False)
    _draw_classes(axes[0, 0], found)
    widths, heights = found.column('width'), found.column('height')
    _draw_sides(axes[0, 1], widths, heights)
    _draw_shorter_sides(axes[0, 2], np.minimum(widths, heights))
    _draw_ratios(axes[1, 0], widths / heights)
    _draw_channels(axes[1, 1], found)
    _draw_kinds(axes[1, 2], found)
    drawn = io.BytesIO()
    plot.savefig(drawn, format='png')
  with image_decoding.open_image(drawn.getvalue()) as image:
    return image.convert('RGB')


def _class_counts(found):
  """Returns the number of images by class and split."""
  counts = {}
  for entry in found.entries:
    for name in entry.classes:
      by_split = counts.setdefault(name, {})
      by_split[entry.split] = by_split.get(entry.split, 0) + 1
  return counts


def _draw_classes(axis, found):
  counts = _class_counts(found)
  splits = list(dict.fromkeys(entry.split for entry in found.entries))
  if not counts:
    axis.set(title='No classes', xticks=[], yticks=[])
    return
  if len(counts) > _MAX_BARS:
    totals = sorted((sum(by_split.values()) for by_split in counts.values()), reverse=True)
    axis.fill_between(range(1, len(totals) + 1), totals, step='mid', color=_COLORS[0])
    axis.set(xlabel='classes, largest first', ylabel='images', ylim=(0, None))
  else:
    names = sorted(counts, reverse=True)
    left = np.zeros(len(names))
    for split, color in zip(splits, _COLORS, strict=False):
      lengths = np.array([counts[name].get(split, 0) for name in names])
      axis.barh(range(len(names)), lengths, left=left, color=color, label=split)
      left += lengths
    labels = [report_plots.short(name, 18) for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.set(xlabel='images')
    if len(splits) > 1:
      # Above the bars, which may reach anywhere.
      axis.legend(
        frameon=False, ncols=len(splits), loc='lower right', bbox_to_anchor=(1, 0.98), borderpad=0
      )
  axis.set_title('Images by class', loc='left' if len(splits) > 1 else 'center')


def _draw_sides(axis, widths, heights):
  bins = _bins(np.concatenate([widths, heights]))
  axis.hist(widths, bins, histtype='stepfilled', alpha=0.55, color=_COLORS[0], label='width')
  axis.hist(heights, bins, histtype='step', linewidth=2, color=_COLORS[1], label='height')
  axis.set(title='Widths and heights', xlabel='pixels', ylabel='images')
  axis.legend(frameon=False)


def _draw_shorter_sides(axis, sides):
  axis.hist(sides, _bins(sides), color=_COLORS[0])
  # The words stand above the bars.
  top = 1.35 * axis.get_ylim()[1]
  for number, size in enumerate(survey.INPUT_SIZES):
    axis.axvline(size, color=_CONTRADICTION, linewidth=1, linestyle='--')
    axis.text(
      size,
      top * (0.99 - 0.08 * number),
      f' {size}: {np.mean(sides < size):.0%} enlarged',
      color=_CONTRADICTION,
      va='top',
      bbox={'color': 'white', 'pad': 1},
    )
  axis.set(xlim=(0, max(axis.get_xlim()[1], 1.7 * size)), ylim=(0, top))
  axis.set(title='Shorter sides, and input sizes of nets', xlabel='pixels', ylabel='images')


def _draw_ratios(axis, ratios):
  limit = max(2.0, ratios.max(), 1 / ratios.min())
  axis.hist(ratios, np.geomspace(1 / limit, limit, 41), color=_COLORS[0])
  axis.set_xscale('log')
  # Those between 0.5 and 2 have room only where the axis is short.
  all_ticks = (0.5, 0.75, 1, 1.33, 2) if limit < 4 else (0.01, 0.1, 0.25, 1, 4, 10, 100)
  ticks = [tick for tick in all_ticks if 1 / limit <= tick <= limit]
  axis.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
  axis.minorticks_off()
  axis.axvline(1, color=mosaics.PALE_INK, linewidth=1, linestyle='--')
  axis.set(title='Aspect ratios', xlabel='width / height', ylabel='images')


def _draw_channels(axis, found):
  means, stds = survey.channel_numbers(found)
  names = ('R', 'G', 'B') if len(means) == 3 else ('gray',)
  colors = ('#d9605b', '#6aa84f', '#5b8bd9') if len(means) == 3 else ('#888888',)
  axis.bar(names, means, yerr=stds, color=colors, capsize=6, width=0.5)
  axis.set(title='Mean and standard deviation', ylabel='value, of 0 to 255', ylim=(0, 255))
  axis.set_xlim(-0.8, len(names) - 0.2)


def _draw_kinds(axis, found):
  kinds = [f'{measure.image_format}, {measure.mode}' for measure in found.measures] + [
    'not decoded'
  ] * len(found.unreadable)
  names, counts = np.unique(kinds, return_counts=True)
  order = np.argsort(counts)[-10:]
  colors = [_CONTRADICTION if names[index] == 'not decoded' else _COLORS[0] for index in order]
  bars = axis.barh(names[order], counts[order], color=colors)
  axis.bar_label(bars, padding=3, fmt='{:,.0f}')
  axis.margins(x=0.15)
  # A bar or two do not fill the height.
  axis.set(title='Formats and channels', xlabel='images', ylim=(-0.8, max(len(order), 4) - 0.2))


def _bins(values):
  """Returns the borders of 40 bins, from 0 to the largest value but the rarest."""
  return np.linspace(0, np.percentile(values, 99.5) * 1.025 + 1, 41)


def _repeated(found):
  """Yields the block of what is there more than once."""
  groups = found.repeated()
  if not groups:
    return
  clusters = []
  for group in groups[:_MAX_GROUPS]:
    color = _CONTRADICTION if found.is_contradictory(group) else _REPEATED
    cluster = []
    for index in group[:_MAX_GROUP_SIZE]:
      entry = found.entries[index]
      caption = f'{", ".join(entry.classes)}\n{entry.split}'.strip()
      cluster.append(_tile(entry, found.image_bits, color, caption))
    clusters.append(cluster)
  rows = [[]]
  for cluster in clusters:
    if len(rows[-1]) + 1 + len(cluster) > mosaics.num_columns():
      rows.append([])
    if rows[-1]:
      rows[-1].append(_blank())
    rows[-1] += cluster
  text = ['Each group is one picture. Red: in two classes. Blue: in the same class.']
  if len(groups) > _MAX_GROUPS:
    text.append(f'{len(groups) - _MAX_GROUPS:,} more groups are in survey.json.')
  yield mosaics.Block('The same picture more than once', tuple(text), tuple(map(tuple, rows)))


def _turned(found):
  turned = np.flatnonzero(found.column('is_turned'))
  if not len(turned):
    return
  tiles = [_tile(found.entries[index], found.image_bits) for index in turned[:_MAX_TURNED]]
  if found.entries[turned[0]].makes_upright:
    text = 'Shown upright, as converting makes them.'
  else:
    text = 'Shown as they are stored, for so training sees them: convert the images again.'
  yield mosaics.Block(
    f'Turned or mirrored by their EXIF data ({len(turned):,})', (text,), mosaics.in_rows(tiles)
  )


def _classes(found):
  """Yields a block for each class."""
  counts = _class_counts(found)
  names = sorted(counts)[:_MAX_CLASSES] or ['']
  rows_per_class = min(max(_TILE_ROWS // len(names), 1), _MAX_ROWS_PER_CLASS)
  num_tiles = rows_per_class * mosaics.num_columns()
  oddness = np.nan_to_num(survey.least_alike(found))
  contradictory = {
    index for group in found.repeated() if found.is_contradictory(group) for index in group
  }
  random = np.random.RandomState(0)
  for name in names:
    members = [
      index for index, entry in enumerate(found.entries) if not name or name in entry.classes
    ]
    limit = max(_ODD_ABOVE, _ODD_ABOVE_MEDIAN * np.median(oddness[members]))
    odd = [i for i in members if i in contradictory or oddness[i] > limit]
    odd = sorted(odd, key=lambda i: (i not in contradictory, -oddness[i]))[: num_tiles // 3 + 1]
    others = sorted(set(members) - set(odd))
    random.shuffle(others)
    shown = [*odd, *sorted(others[: num_tiles - len(odd)])]
    tiles = [
      _tile(
        found.entries[i],
        found.image_bits,
        _CONTRADICTION if i in contradictory else _ODD if i in odd else None,
      )
      for i in shown
    ]
    title = f'{name or "Images"}: {len(members):,} images'
    if len(shown) < len(members):
      title += f', of which {len(shown)} are shown'
    text = ()
    if odd:
      text = ('Framed orange: more like another class. Framed red: in another class, too.',)
    yield mosaics.Block(title, text, mosaics.in_rows(tiles))
  if len(counts) > len(names):
    yield mosaics.Block(f'and {len(counts) - len(names):,} more classes')


def _tile(entry, image_bits, frame=None, caption=''):
  picture, *_ = image_measures.decode(entry.read(), entry.makes_upright, image_bits)
  picture.thumbnail((2 * mosaics.TILE_SIDE, 2 * mosaics.TILE_SIDE))
  return mosaics.Tile(picture, frame, caption)


def _blank():
  return mosaics.Tile(None)
