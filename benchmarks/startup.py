"""Seconds from the start of train_image_classifier.py to its help, and to its first step.

python -m benchmarks.startup

Beside them TensorFlow's import alone, which is part of both.
"""

import dataclasses
import subprocess
import sys
import time

from benchmarks import pictures, protocol, slim_runs
from slimtrain import settings

IMPORT = "TensorFlow's import"


@dataclasses.dataclass(frozen=True)
class StartupSettings(protocol.BenchmarkSettings):
  """Benchmark of the start."""

  model_name: str = settings.setting('mobilenet_v1', 'The net to run a first step of.')
  batch_size: int = settings.setting(16, 'Images in its batch.', lower=1)


def time_command(arguments):
  """Returns the seconds that Python takes with `arguments`."""
  start_secs = time.perf_counter()
  finished = subprocess.run(  # noqa: S603
    [sys.executable, *arguments], cwd=protocol.ROOT, capture_output=True, text=True, check=False
  )
  secs = time.perf_counter() - start_secs
  if finished.returncode:
    raise RuntimeError(finished.stderr)
  return {'s': secs}


def time_first_step(values):
  """Returns the seconds from the start of the script to the line on its first step."""
  start_secs = time.perf_counter()
  with slim_runs.script_steps(values) as (_, steps):
    if next(steps, None) is None:
      raise RuntimeError('The training ended before its first step.')
    return {'s': time.perf_counter() - start_secs}


def list_cases(benchmark):
  """Returns the cases and their comparisons."""
  values = {
    'model_name': benchmark.model_name,
    'batch_size': benchmark.batch_size,
    'dataset_dir': pictures.make_dataset(benchmark.data_dir, 'detailed', benchmark.num_pictures),
  }
  name = f'first step of {benchmark.model_name}'
  commands = {
    IMPORT: ['-c', 'import tensorflow.compat.v1'],
    '--help': ['train_image_classifier.py', '--help'],
  }
  cases = [
    protocol.Case(name, 'benchmarks.startup:time_command', {'arguments': arguments})
    for name, arguments in commands.items()
  ]
  cases.append(protocol.Case(name, 'benchmarks.startup:time_first_step', {'values': values}))
  return cases, [protocol.Comparison(case.name, IMPORT, '-') for case in cases[1:]]


def main(benchmark):
  with protocol.Report('startup', benchmark) as report:
    report.add(protocol.measure(*list_cases(benchmark), benchmark))


if __name__ == '__main__':
  settings.run(StartupSettings(), main)
