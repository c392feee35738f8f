"""A survey as text for the console."""

from datasets import image_files, survey

_MAX_CLASSES_SHOWN = 20
_MAX_NAMES_SHOWN = 8
_QUANTITIES = {
  'width': 'width [pixels]',
  'height': 'height [pixels]',
  'aspect_ratio': 'width / height',
  'area': 'area [1000 pixels]',
  'num_bytes': 'file size [kB]',
}


def report(summary: dict) -> str:
  """Returns the tables and lists of what `survey.summarize` returned."""
  blocks = [
    f'{summary["num_images"]:,} images',
    _classes(summary),
    _sizes(summary),
    _losses(summary),
    _kinds(summary),
    _numbers(summary),
    image_files.describe_bits(summary['value_bits'], summary['image_bits']),
    *_warnings(summary),
  ]
  return '\n\n'.join(block for block in blocks if block)


def table(rows: list[list[str]]) -> str:
  """Returns rows of cells as lines: the first column to the left, the others to the right."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    cells = [
      cell.rjust(width) if index else cell.ljust(width)
      for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    lines.append('  '.join(cells).rstrip())
  return '\n'.join(lines)


def _classes(summary):
  splits = summary['splits']
  totals = {}
  for split in splits.values():
    for name, num in split['class_counts'].items():
      totals[name] = totals.get(name, 0) + num
  if not totals:
    rows = [[split or 'all', f'{part["num_images"]:,}'] for split, part in splits.items()]
    return table([['split', 'images'], *rows]) if len(splits) > 1 else ''
  shown = sorted(totals)
  note = ''
  if len(shown) > _MAX_CLASSES_SHOWN:
    by_count = sorted(totals, key=totals.get, reverse=True)
    half = _MAX_CLASSES_SHOWN // 2
    shown = [*by_count[:half], *by_count[-half:]]
    note = f'\nShown are the {half} largest and the {half} smallest of {len(totals)} classes.'
  several = len(splits) > 1
  rows = [['class', *(splits if several else ()), 'all', 'share']]
  for name in shown:
    counts = [f'{split["class_counts"].get(name, 0):,}' for split in splits.values()]
    share = f'{totals[name] / sum(totals.values()):.1%}'
    rows.append([name, *(counts if several else ()), f'{totals[name]:,}', share])
  largest, smallest = max(totals.values()), min(totals.values())
  balance = f'\nThe largest class has {largest / smallest:.1f} times the images of the smallest.'
  return table(rows) + note + balance


def _sizes(summary):
  rows = [['percentile', *map(str, survey.PERCENTILES)]]
  for name, title in _QUANTITIES.items():
    unit = 1000 if name in ('area', 'num_bytes') else 1
    values = [value / unit for value in summary['percentiles'][name].values()]
    digits = 2 if name == 'aspect_ratio' else 1 if unit > 1 else 0
    rows.append([title, *(f'{value:,.{digits}f}' for value in values)])
  return table(rows)


def _losses(summary):
  rows = [['input size', 'images enlarged', 'cropped away', 'pixels shrunk away']]
  for size, loss in summary['losses'].items():
    parts = (loss['enlarged'], loss['cropped_away'], loss['shrunk_away'])
    rows.append([size, *(f'{part:.1%}' for part in parts)])
  return table(rows)


def _kinds(summary):
  return '\n'.join(
    f'{title}: {", ".join(f"{name} {num:,}" for name, num in summary[key].items())}'
    for key, title in (('formats', 'Formats'), ('channels', 'Channels'))
  )


def _numbers(summary):
  means, stds = (
    ','.join(f'{value:.2f}' for value in summary[key]) for key in ('channel_means', 'channel_stds')
  )
  return (
    'Train with --preprocessing_name=simple --channel_means=from_survey'
    f' --channel_stds=from_survey, or with\n--channel_means={means} --channel_stds={stds}'
  )


def _warnings(summary):
  """Yields a block for each kind of fault."""
  unreadable = [f'{image["name"]}: {image["reason"]}' for image in summary['unreadable']]
  yield _listing('Images that cannot be decoded', unreadable)
  left_out = [f'{entry["name"]}: {entry["reason"]}' for entry in summary.get('left_out', [])]
  yield _listing('Left out', left_out)
  yield _listing('Splits that lack classes', list(_missing_classes(summary)))
  yield _listing('Images turned or mirrored by their EXIF data', summary['turned_by_exif'])
  for key, title in (
    ('duplicates', 'Pictures that are there more than once'),
    ('near_duplicates', 'Pictures with nearly equal, turned or mirrored copies'),
  ):
    groups = sorted(
      summary[key], key=lambda group: (not group['across_classes'], not group['across_splits'])
    )
    lines = [
      ' = '.join(group['names'][:4])
      + (f' = {len(group["names"]) - 4} more' if len(group['names']) > 4 else '')
      + ('  IN TWO CLASSES' if group['across_classes'] else '')
      + ('  IN TWO SPLITS' if group['across_splits'] else '')
      for group in groups
    ]
    yield _listing(title, lines)


def _missing_classes(summary):
  splits = summary['splits']
  names = {name for split in splits.values() for name in split['class_counts']}
  for split, found in splits.items():
    missing = sorted(names - found['class_counts'].keys())
    # Images without any class, beside the folders of classes, are a split of their own here.
    if missing and found['class_counts']:
      more = f' and {len(missing) - 5:,} more' if len(missing) > 5 else ''
      yield f'{split or "none"}: no image of {", ".join(missing[:5])}{more}'


def _listing(title, lines):
  if not lines:
    return ''
  more = [f'  and {len(lines) - _MAX_NAMES_SHOWN:,} more'] if len(lines) > _MAX_NAMES_SHOWN else []
  return '\n'.join(
    [
      f'{title}: {len(lines):,}',
      *(f'  {line}' for line in lines[:_MAX_NAMES_SHOWN]),
      *more,
    ]
  )
