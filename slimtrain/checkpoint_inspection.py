"""What is in checkpoints: names, values, differences; and checkpoints made of others."""

import dataclasses
import re
import sys
from typing import NamedTuple

import numpy as np
import tqdm

from slimcompat import errors, paths, tables, tf
from slimtrain import checkpoint_files, console, variable_scopes
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class InspectionSettings(settings_lib.Settings):
  """Inspection."""

  checkpoint_path: str | None = settings_lib.setting(
    None, 'A checkpoint, or a directory whose newest one is taken.', path=paths.local
  )
  filter: str | None = settings_lib.setting(
    None, 'A regular expression; only names in which it is found are listed or compared.'
  )
  statistics: bool = settings_lib.setting(
    False, 'Whether the list has the mean, deviation, range and zeros of each tensor.'
  )
  tensor_name: str | None = settings_lib.setting(
    None, 'The tensor whose values to print, all of them.'
  )
  precision: int = settings_lib.setting(
    8, 'Digits after the point, of the values of --tensor_name.', lower=0, upper=17
  )
  compare_with: str | None = settings_lib.setting(
    None, 'Another checkpoint, or directory, to print the differences to.', path=paths.local
  )
  weights: str | None = settings_lib.setting(
    None,
    'Writes a checkpoint of the variables of the net alone to --output: as they are, or their'
    ' moving averages under the plain names.',
    choices=('raw', 'moving_averages'),
  )
  average: str | None = settings_lib.setting(
    None,
    'Checkpoints of one run, separated by commas, in place of --checkpoint_path: writes their mean'
    ' to --output. What is not float32, such as the step, is that of the newest.',
    path=paths.local_list,
  )
  output: str | None = settings_lib.setting(
    None, 'The checkpoint to write: its path, or a directory without others.', path=paths.local
  )

  def __post_init__(self):
    super().__post_init__()
    chosen = [
      f'--{name}'
      for name in ('statistics', 'tensor_name', 'compare_with', 'weights', 'average')
      if getattr(self, name)
    ]
    if len(chosen) > 1:
      raise errors.InputError(f'{" and ".join(chosen)} exclude each other. Leave all out but one.')
    if bool(self.output) != bool(self.weights or self.average):
      raise errors.InputError(
        '--output says where --weights or --average write to; set it with one of them, and only'
        ' then.'
      )
    if self.checkpoint_path and self.average:
      raise errors.InputError(
        '--average names the checkpoints itself; leave --checkpoint_path out.'
      )
    if self.filter and chosen not in ([], ['--statistics'], ['--compare_with']):
      raise errors.InputError(
        f'--filter and {chosen[0]} exclude each other. Leave one of them out.'
      )
    try:
      re.compile(self.filter or '')
    except re.error as error:
      raise errors.InputError(
        f'--filter={self.filter} is no regular expression ({error}). A part of a name will do.'
      ) from error


class Statistics(NamedTuple):
  """What the values of a tensor are like; NaN where there are none that are finite."""

  mean: float
  std: float
  min: float
  max: float
  zeros: float  # Their share of all values.
  num_not_finite: int


class Comparison(NamedTuple):
  """Two checkpoints side by side, by the names of tensors."""

  only_first: list
  only_second: list
  other_shapes: list  # Those whose shapes or types differ.
  equal: list
  differences: dict  # {name: the largest absolute difference}, of the rest, largest first.


def inspect(settings):
  """Prints or writes what InspectionSettings `settings` say.

  Raises:
    InputError: when a checkpoint cannot be read or written, or nothing has the name.
  """
  if not settings.checkpoint_path and not settings.average:
    raise errors.InputError(
      '--checkpoint_path is missing; give a checkpoint, or a directory whose newest one to inspect.'
    )
  if settings.average:
    given = paths.split(settings.average)
    _average([checkpoint_files.CheckpointFile(path) for path in given], settings.output)
    return
  checkpoint = checkpoint_files.CheckpointFile(settings.checkpoint_path)
  if settings.weights:
    _extract(checkpoint, settings.weights == 'moving_averages', settings.output)
    return
  if settings.tensor_name:
    lines = _print_values(checkpoint, settings.tensor_name, settings.precision)
  elif settings.compare_with:
    other = checkpoint_files.CheckpointFile(settings.compare_with)
    lines = _print_comparison(checkpoint, other, settings.filter)
  else:
    lines = _print_tensors(checkpoint, settings.filter, settings.statistics)
  for line in lines:
    console.say(line)


def measure(values):
  """Returns the Statistics of a NumPy array of numbers; of the finite ones, but for zeros."""
  is_finite = np.isfinite(values)
  num_finite = np.count_nonzero(is_finite)
  # A float64 copy, so that sums of many values are right.
  finite = values[is_finite].astype(np.float64) if num_finite else np.array([np.nan])
  return Statistics(
    float(finite.mean()),
    float(finite.std()),
    float(finite.min()),
    float(finite.max()),
    1 - np.count_nonzero(values) / values.size if values.size else np.nan,
    values.size - num_finite,
  )


def compare(first, second, pattern=None):
  """Returns the Comparison of two CheckpointFiles, of names in which `pattern` is found."""
  names, other_names = _matching(first, pattern), _matching(second, pattern)
  both = [name for name in names if name in second.shapes]
  other_shapes, equal, differences = [], [], {}
  for name in _shown(both):
    if (first.shapes[name], first.dtypes[name]) != (second.shapes[name], second.dtypes[name]):
      other_shapes.append(name)
      continue
    value, other = first.value(name), second.value(name)
    if value.tobytes() == other.tobytes() and value.dtype != object:
      equal.append(name)
    elif value.dtype == object or value.dtype == bool:
      is_equal = np.array_equal(value, other)
      equal.append(name) if is_equal else differences.update({name: np.nan})
    else:
      difference = np.abs(value.astype(np.float64) - other.astype(np.float64))
      differences[name] = float(difference.max())
  # What is not finite comes first.
  ranked = sorted(differences, key=lambda name: -np.nan_to_num(differences[name], nan=np.inf))
  return Comparison(
    [name for name in names if name not in second.shapes],
    [name for name in other_names if name not in first.shapes],
    other_shapes,
    equal,
    {name: differences[name] for name in ranked},
  )


def _matching(checkpoint, pattern):
  return [name for name in checkpoint.shapes if re.search(pattern or '', name)]


def _shown(names):
  # The bar shows on a terminal only.
  return tqdm.tqdm(names, desc='reading', unit='tensor', disable=None, leave=False)


def _has_numbers(dtype):
  return dtype.is_floating or dtype.is_integer


def _print_tensors(checkpoint, pattern, has_statistics):
  """Returns the lines of a table of the tensors."""
  names = _matching(checkpoint, pattern)
  if not names:
    raise errors.InputError(
      f'--filter={pattern} is found in none of the {len(checkpoint.shapes)} names of'
      f' {checkpoint.path}, such as {next(iter(checkpoint.shapes))}.'
    )
  header = ['name', 'shape', 'dtype', 'values']
  if has_statistics:
    header += ['mean', 'std', 'min', 'max', 'zeros', 'not finite']
  rows, num_values, num_bytes = [header], 0, 0
  for name in _shown(names) if has_statistics else names:
    shape, dtype = checkpoint.shapes[name], checkpoint.dtypes[name]
    size = int(np.prod(shape, dtype=np.int64))
    num_values += size
    num_bytes += size * dtype.size
    row = [name, _describe_shape(shape), dtype.name, f'{size:,}']
    if has_statistics and _has_numbers(dtype):
      statistics = measure(checkpoint.value(name))
      row += [f'{value:.4g}' for value in statistics[:4]]
      row += [f'{statistics.zeros:.1%}', str(statistics.num_not_finite)]
    elif has_statistics:
      row += ['-'] * 6
    rows.append(row)
  return [
    f'{checkpoint.path}, step {checkpoint.step}:',
    '',
    *_align(rows),
    '',
    f'{len(names)} tensors, {num_values:,} values, {num_bytes / 1e6:.1f} MB',
  ]


def _describe_shape(shape):
  return 'x'.join(map(str, shape)) or 'scalar'


def _align(rows):
  """Returns a line for each row of words, the first column to the left and the others right."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  return [
    '  '.join(
      [row[0].ljust(widths[0])]
      + [word.rjust(width) for word, width in zip(row[1:], widths[1:], strict=True)]
    )
    for row in rows
  ]


def _print_values(checkpoint, name, precision):
  """Returns the lines of all values of a tensor."""
  if name not in checkpoint.shapes:
    sentence = tables.unknown_name('tensor', name, checkpoint.shapes).split(' Known:')[0]
    raise errors.InputError(
      f'{checkpoint.path}: {sentence} Leave --tensor_name out for a list of all.'
    )
  text = np.array2string(checkpoint.value(name), precision=precision, threshold=sys.maxsize)
  shape = _describe_shape(checkpoint.shapes[name])
  return [f'{name}, {shape}, {checkpoint.dtypes[name].name}:', *text.splitlines()]


def _print_comparison(first, second, pattern):
  """Returns the lines that tell how two checkpoints differ."""
  found = compare(first, second, pattern)
  lines = [
    f'First:  {first.path}, step {first.step}',
    f'Second: {second.path}, step {second.step}',
  ]

  def add(title, rows):
    lines.append(f'{len(rows):5d} {title}' + (':' if rows else ''))
    lines.extend(f'        {line}' for line in (_align(rows) if rows else []))

  add('only in the first', [[name, _describe_shape(first.shapes[name])] for name in found[0]])
  add('only in the second', [[name, _describe_shape(second.shapes[name])] for name in found[1]])
  add(
    'of other shapes or types',
    [
      [name]
      + [
        f'{_describe_shape(file.shapes[name])} {file.dtypes[name].name}' for file in (first, second)
      ]
      for name in found.other_shapes
    ],
  )
  add(
    'with other values, and the largest absolute difference',
    [[name, f'{difference:.4g}'] for name, difference in found.differences.items()],
  )
  lines.append(f'{len(found.equal):5d} equal to the bit')
  return lines


def _average(checkpoints, output):
  """Writes the mean of CheckpointFiles of one run."""
  if len(checkpoints) < 2:
    raise errors.InputError(
      f'--average names {len(checkpoints)} checkpoint; give at least two, separated by commas.'
    )
  newest = max(checkpoints, key=lambda checkpoint: checkpoint.step)
  for checkpoint in checkpoints:
    differing = [
      name
      for name in sorted({*checkpoint.shapes, *newest.shapes})
      if checkpoint.shapes.get(name) != newest.shapes.get(name)
      or checkpoint.dtypes.get(name) != newest.dtypes.get(name)
    ]
    if differing:
      raise errors.InputError(
        f'{checkpoint.path} and {newest.path} are not of one run: {len(differing)} variables differ'
        f' in shape or type, or are in one alone, such as {differing[0]}. --compare_with lists all.'
      )
  prefix = checkpoint_files.output_prefix(output, newest.step)
  values = {}
  for name in _shown(newest.shapes):
    values[name] = newest.value(name)
    if newest.dtypes[name] == tf.float32:
      total = sum(checkpoint.value(name).astype(np.float64) for checkpoint in checkpoints)
      values[name] = np.asarray(total / len(checkpoints), np.float32)
  checkpoint_files.write(prefix, values, newest.dtypes)
  steps = ', '.join(str(step) for step in sorted(checkpoint.step for checkpoint in checkpoints))
  console.say(f'Wrote {prefix}, the mean of the steps {steps}, as step {newest.step}.')


def _extract(checkpoint, is_averaged, output):
  """Writes the variables of the net, and the step, to a checkpoint of their own."""
  sources = {name: name for name in checkpoint.model_variables()}
  if is_averaged:
    averaged = {
      name: source
      for name in sources
      if (source := f'{name}/{variable_scopes.MOVING_AVERAGE_SLOT}') in checkpoint.shapes
    }
    if not averaged:
      raise errors.InputError(
        f'{checkpoint.path} holds no moving averages: it was trained without'
        ' --moving_average_decay. Use --weights=raw.'
      )
    sources.update(averaged)
  if not sources:
    raise errors.InputError(f'{checkpoint.path} holds no variables of a net.')
  if 'global_step' in checkpoint.shapes:
    sources['global_step'] = 'global_step'
  prefix = checkpoint_files.output_prefix(output, checkpoint.step)
  values = {name: checkpoint.value(source) for name, source in _shown(sources.items())}
  checkpoint_files.write(prefix, values, checkpoint.dtypes)
  kinds = f'{len(averaged)} moving averages' if is_averaged else 'raw values'
  console.say(f'Wrote {prefix}: {len(values)} tensors of {len(checkpoint.shapes)}, {kinds}.')
