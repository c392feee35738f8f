"""What a cluster on this machine costs: throughput of two workers, and what a step sends.

python -m benchmarks.cluster --model_name=lenet

The first comparison has the same threads in all: a process with two, and two workers with one each
besides a parameter server. The second one has a single worker, and so the same work in a step: what
takes longer is the way of weights and gradients through the network, of this machine alone.
"""

import dataclasses
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

from benchmarks import protocol
from slimcompat import errors
from slimtrain import console, local_cluster
from slimtrain import settings as settings_lib

STEP_MS = 'ms/step'
_LINE = re.compile(r'^global step (\d+): .*\((\d+\.\d+) sec/step\)', re.MULTILINE)
_WARM_UP_LINES = 3


@dataclasses.dataclass(frozen=True)
class ClusterBenchmarkSettings(protocol.BenchmarkSettings):
  """Benchmark of a cluster."""

  model_name: str = settings_lib.setting('lenet', 'The net, on the dataset digits.')
  batch_size: int = settings_lib.setting(32, 'Examples in a batch of a worker.', lower=1)
  num_steps: int = settings_lib.setting(400, 'Steps of each run.', lower=100)


def train(num_workers, num_threads, model_name, batch_size, num_steps):
  """Trains with `num_workers` workers and a parameter server, or alone with 0; returns its speed.

  Args:
    num_workers: workers, each of `num_threads` threads that share the work of an op.
    num_threads: see there.
    model_name: the net.
    batch_size: examples in a batch.
    num_steps: steps of the run, the first of which do not count.
  """
  with tempfile.TemporaryDirectory() as folder:
    command = (
      str(protocol.ROOT / 'train_image_classifier.py'),
      '--dataset_name=digits',
      f'--model_name={model_name}',
      f'--batch_size={batch_size}',
      f'--train_dir={folder}/run',
      '--optimizer=sgd',
      '--learning_rate=0.001',
      '--log_every_n_steps=20',
      '--save_summaries_secs=0',
      f'--max_number_of_steps={num_steps}',
      f'--intra_op_threads={num_threads}',
    )
    if num_workers:
      cluster = local_cluster.LocalCluster(
        local_cluster.LocalClusterSettings(
          num_workers=num_workers, logs_dir=f'{folder}/logs', command=command
        )
      )
      cluster.run()
      log = (pathlib.Path(folder) / 'logs' / 'worker_0.log').read_text()
    else:
      log = subprocess.run(  # noqa: S603
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, check=True
      ).stdout
  # A step of any worker counts, so that what is measured is the cluster's.
  secs = [float(found[2]) for found in _LINE.finditer(log)][_WARM_UP_LINES:]
  if not secs:
    raise errors.InputError('No steps were made after the warm-up; give more --num_steps.')
  secs_per_step = statistics.median(secs)
  return {'images/s': batch_size / secs_per_step, STEP_MS: 1000 * secs_per_step}


def main(benchmark):
  work = {name: getattr(benchmark, name) for name in ('model_name', 'batch_size', 'num_steps')}

  def case(name, num_workers, num_threads):
    arguments = {'num_workers': num_workers, 'num_threads': num_threads, **work}
    return protocol.Case(name, 'benchmarks.cluster:train', arguments)

  names = [f'{benchmark.model_name}, {what}' for what in ('1 process', '2 workers')]
  alone = [f'{benchmark.model_name}, 1 thread, {what}' for what in ('1 process', '1 worker')]
  with protocol.Report('cluster', benchmark) as report:
    console.say('Two threads in all, the parameter server not counted:')
    cases = [case(names[0], 0, 2), case(names[1], 2, 1)]
    report.add(protocol.measure(cases, [protocol.Comparison(names[1], names[0])], benchmark))
    console.say('The same step without and with a network:')
    cases = [case(alone[0], 0, 1), case(alone[1], 1, 1)]
    rows = protocol.measure(cases, [protocol.Comparison(alone[1], alone[0])], benchmark)
    report.add(rows)
    step_ms = {row.what: row.median for row in rows if row.unit == STEP_MS}
    sent_ms = step_ms[alone[1]] - step_ms[alone[0]]
    share = sent_ms / step_ms[alone[1]]
    console.say(f'{sent_ms:.1f} ms of a step, {share:.0%}, go to the network.')


if __name__ == '__main__':
  settings_lib.run(ClusterBenchmarkSettings(pairs=3), main)
