"""Resident memory and graph of a training run: early on, and at its end.

python -m benchmarks.memory
"""

import dataclasses
import logging
import pathlib
import re
import tempfile

from benchmarks import protocol, slim_runs
from slimcompat import tf
from slimtrain import settings, training


@dataclasses.dataclass(frozen=True)
class MemorySettings(protocol.BenchmarkSettings):
  """Benchmark of memory."""

  steps: int = settings.setting(3000, 'Steps of the run.', lower=2)
  early_step: int = settings.setting(300, 'The step to compare the last one with.', lower=1)
  dataset_name: str = settings.setting('digits', 'The dataset.')
  dataset_dir: str | None = settings.setting(None, 'The directory with its TFRecord files.')
  model_name: str = settings.setting('lenet', 'The net.')
  batch_size: int = settings.setting(32, 'Images in a batch.', lower=1)


class _Probe(logging.Handler):
  """Looks at the process and the graph whenever the training logs a step that is asked for."""

  def __init__(self, steps):
    super().__init__()
    self._steps = steps
    self.found = {}  # Step -> (resident MB, ops of the graph).

  def emit(self, record):
    match = re.match(r'global step (\d+): ', record.getMessage())
    if match and int(match[1]) in self._steps:
      # The line is written by the thread that the graph is the default of.
      num_ops = len(tf.get_default_graph().get_operations())
      self.found[int(match[1])] = (_resident_megabytes(), num_ops)


def _resident_megabytes():
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(r'VmRSS:\s*(\d+) kB', status)[1]) / 1000


def measure_run(values, early_step, steps):
  """Trains for `steps` and returns what memory and graph were at `early_step` and at the end."""
  probe = _Probe((early_step, steps))
  logging.getLogger('slimtrain').addHandler(probe)
  with tempfile.TemporaryDirectory() as train_dir:
    more = {'train_dir': train_dir, 'max_number_of_steps': steps}
    training.train(slim_runs.make_settings({**values, **more}))
  (early_mb, early_ops), (last_mb, last_ops) = probe.found[early_step], probe.found[steps]
  return {
    'end / early': last_mb / early_mb,
    f'MB at step {early_step}': early_mb,
    f'MB at step {steps}': last_mb,
    f'ops at step {early_step}': early_ops,
    f'ops at step {steps}': last_ops,
  }


def main(benchmark):
  names = ('dataset_name', 'dataset_dir', 'model_name', 'batch_size')
  values = {name: getattr(benchmark, name) for name in names}
  # A line for each of the two steps.
  values['log_every_n_steps'] = benchmark.early_step
  case = protocol.Case(
    f'{benchmark.model_name} on {benchmark.dataset_name}',
    'benchmarks.memory:measure_run',
    {'values': values, 'early_step': benchmark.early_step, 'steps': benchmark.steps},
  )
  with protocol.Report('memory', benchmark) as report:
    report.add(protocol.measure([case], [], benchmark))


if __name__ == '__main__':
  settings.run(MemorySettings(pairs=1), main)
