"""How every benchmark measures, compares and reports; README.md explains why."""

import csv
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import numpy as np

from slimcompat import errors, paths
from slimtrain import console
from slimtrain import settings as settings_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LOAD = 0.2  # Cores busy with other work; above it figures are not to be trusted.
CPU_TIME = 'CPU ms/image'
_COLUMNS = ('what', 'unit', 'median', 'low', 'high', CPU_TIME, 'notes')


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings(settings_lib.Settings):
  """Benchmark."""

  pairs: int = settings_lib.setting(5, 'Runs of each case, in the order A B B A.', lower=1)
  seconds: float = settings_lib.setting(8.0, 'Seconds timed in a run.', above=0)
  check_noise: bool = settings_lib.setting(
    False, 'Whether to measure the first case twice over: the least difference to believe.'
  )
  data_dir: str = settings_lib.setting(
    os.path.join(tempfile.gettempdir(), 'slimtrain_benchmarks'),
    'The directory that generated pictures are kept in.',
    path=paths.local,
  )
  num_pictures: int = settings_lib.setting(512, 'Pictures to generate.', lower=40)
  results_dir: str = settings_lib.setting(
    str(ROOT / 'benchmarks' / 'results'), 'The directory that the CSV goes to.', path=paths.local
  )


class Case(NamedTuple):
  """Something to measure."""

  name: str
  function: str  # 'module:function', called in a process of its own; see `measure`.
  arguments: dict  # For the function; must be fit for JSON.
  num_cores: int | None = None  # None: all.
  notes: str = ''  # What the table says of it.


class Comparison(NamedTuple):
  """Two cases, by name, whose runs are compared pair by pair."""

  case: str
  base: str
  sign: str = '/'  # Or '-', the difference.


class Row(NamedTuple):
  """A line of the table."""

  what: str
  unit: str
  runs: list  # A number for each run or pair.
  low: float
  high: float
  cpu_ms: float | None = None  # The median of the CPU's milliseconds for an image, of all cores.
  notes: str = ''

  @property
  def median(self):
    return statistics.median(self.runs)


def measure(cases, comparisons, settings):
  """Runs all `cases` in turn, as often as BenchmarkSettings say, and returns Rows.

  The function of a case returns a dict from units to numbers, the unit to compare by first;
  CPU_TIME may be among them.
  """
  cases, comparisons = list(cases), list(comparisons)
  if settings.check_noise:
    again = cases[0]._replace(name=f'{cases[0].name} (again)')
    cases.append(again)
    comparisons.append(Comparison(again.name, cases[0].name))
  results = {case.name: [] for case in cases}
  for index in range(settings.pairs):
    for case in reversed(cases) if index % 2 else cases:
      result = call(case.function, case.arguments, case.num_cores)
      results[case.name].append(result)
      shown = ', '.join(f'{value:.4g} {unit}' for unit, value in result.items())
      console.say(f'  run {index + 1} of {settings.pairs}: {case.name}: {shown}')
  rows = []
  for case in cases:
    runs = results[case.name]
    cpu_ms = [run.pop(CPU_TIME) for run in runs if CPU_TIME in run]
    for unit in runs[0]:
      values = [run[unit] for run in runs]
      cpu_median = statistics.median(cpu_ms) if cpu_ms else None
      rows.append(Row(case.name, unit, values, min(values), max(values), cpu_median, case.notes))
  return rows + [_compare(comparison, results) for comparison in comparisons]


def call(function, arguments, num_cores=None):
  """Returns what a function, 'module:function', gives in a process of its own.

  Raises:
    InputError: when the function fails, which says why on the standard error.
  """
  cores = [str(num_cores)] if num_cores else []
  finished = subprocess.run(  # noqa: S603
    [sys.executable, '-m', 'benchmarks.one_run', function, json.dumps(arguments), *cores],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    text=True,
    check=False,
  )
  if finished.returncode:
    raise errors.InputError(
      f'{function} with {json.dumps(arguments)} failed for the reason above. {finished.stdout}'
    )
  return json.loads(finished.stdout.splitlines()[-1])


def _compare(comparison, results):
  unit = next(iter(results[comparison.case][0]))
  pairs = [
    (run[unit], base[unit])
    for run, base in zip(results[comparison.case], results[comparison.base], strict=True)
  ]
  is_ratio = comparison.sign == '/'
  runs = [run / base if is_ratio else run - base for run, base in pairs]
  return Row(
    f'{comparison.case} {comparison.sign} {comparison.base}',
    'ratio, 95%' if is_ratio else f'{unit}, 95%',
    runs,
    *bootstrap_interval(runs),
  )


def bootstrap_interval(values):
  """Returns the 95% interval of the median of `values`, drawn anew 2,000 times."""
  drawn = np.random.RandomState(0).choice(values, (2000, len(values)))
  return tuple(float(q) for q in np.percentile(np.median(drawn, axis=1), [2.5, 97.5]))


class Report:
  """Says what the benchmark runs on, prints its table at the end, and keeps its CSV.

  The CSV is that of the script, the hardware and the versions. It is written after every part, and
  rows of other cases that it has from before stay, so that a benchmark can be run in parts.
  """

  def __init__(self, script, settings):
    self._versions = versions()
    self._path = pathlib.Path(settings.results_dir) / f'{_slug(script, self._versions)}.csv'
    self._rows = []
    os.makedirs(settings.results_dir, exist_ok=True)
    os.makedirs(settings.data_dir, exist_ok=True)

  def __enter__(self):
    load = busy_cores()
    self._facts = {**self._versions, 'load': f'{load:.2f}'}
    console.say(', '.join(f'{name} {value}' for name, value in self._facts.items()))
    if load > MAX_LOAD:
      console.say(f'More than {MAX_LOAD} cores are busy: the figures are not to be trusted.')
    return self

  def add(self, rows):
    """Adds Rows to the table and the CSV."""
    self._rows += rows
    lines = {}
    if self._path.exists():
      with open(self._path, newline='') as opened:
        lines = {(line['what'], line['unit']): line for line in csv.DictReader(opened)}
    for row in rows:
      cells = dict(zip(_COLUMNS, _cells(row, digits=6), strict=True))
      runs = ' '.join(f'{run:.6g}' for run in row.runs)
      lines[row.what, row.unit] = {**cells, 'runs': runs, **self._facts}
    with open(self._path, 'w', newline='') as opened:
      writer = csv.DictWriter(opened, [*_COLUMNS, 'runs', *self._facts], lineterminator='\n')
      writer.writeheader()
      writer.writerows(lines.values())

  def __exit__(self, *unused):
    if not self._rows:
      return
    table = [_COLUMNS, *(_cells(row, digits=4) for row in self._rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
      cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
      console.say('  '.join(cells).rstrip())
    console.say(f'Kept in {self._path}')


def _cells(row, digits):
  numbers = (row.median, row.low, row.high)
  cpu_ms = '' if row.cpu_ms is None else f'{row.cpu_ms:.{digits}g}'
  return row.what, row.unit, *(f'{number:.{digits}g}' for number in numbers), cpu_ms, row.notes


def busy_cores(secs=1):
  """Returns how many cores were busy, on average, during the next `secs`."""
  before = _idle_ticks()
  time.sleep(secs)
  idle_cores = (_idle_ticks() - before) / os.sysconf('SC_CLK_TCK') / secs
  return max(os.cpu_count() - idle_cores, 0)


def _idle_ticks():
  # Of all cores: user, nice, system, idle, waiting for disks, ...
  fields = pathlib.Path('/proc/stat').read_text().splitlines()[0].split()[1:]
  return int(fields[3]) + int(fields[4])


def versions():
  """Returns the versions and the hardware that a figure depends on."""
  tensorflow = next(name for name in ('tensorflow', 'tensorflow-cpu') if _version(name))
  return {
    'cpu': _cpu_model(),
    'cores': len(os.sched_getaffinity(0)),
    'tensorflow': _version(tensorflow),
    'numpy': _version('numpy'),
    'python': platform.python_version(),
  }


def _version(distribution):
  try:
    return importlib.metadata.version(distribution)
  except importlib.metadata.PackageNotFoundError:
    return None


def _cpu_model():
  models = re.findall(r'model name\s*: (.*)', pathlib.Path('/proc/cpuinfo').read_text())
  return models[0].strip() if models else platform.machine()


def _slug(script, facts):
  parts = [script, facts['cpu'], f'{facts["cores"]} cores']
  parts += [f'{name} {facts[name]}' for name in ('tensorflow', 'numpy', 'python')]
  return '-'.join(re.sub(r'[^\w.]+', '_', part.lower()).strip('_') for part in parts)
