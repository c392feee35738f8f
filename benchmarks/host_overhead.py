"""Steps a second of LeNet on digits: slim's loop against a bare loop of session.run.

python -m benchmarks.host_overhead

The same graph and input; and with 10 steps inside each session.run.
"""

from benchmarks import protocol
from slimtrain import settings

VALUES = {'dataset_name': 'digits', 'model_name': 'lenet', 'batch_size': 32}
BARE = 'bare session.run'


def list_cases(benchmark):
  """Returns the cases and their comparisons."""
  timing = {'seconds': benchmark.seconds, 'unit': 'steps/s'}
  many = {**VALUES, 'steps_per_run': 10}
  cases = [
    protocol.Case(
      BARE,
      'benchmarks.slim_runs:time_step',
      {'values': VALUES, 'is_synthetic': False, **timing},
      notes='batch 32',
    ),
    *(
      protocol.Case(
        name,
        'benchmarks.slim_runs:time_script',
        # The default of 10 steps between two lines.
        {'values': values, 'warm_up_steps': 200, **timing},
        notes='batch 32',
      )
      for name, values in (('the script', VALUES), ('the script, --steps_per_run=10', many))
    ),
  ]
  return cases, [protocol.Comparison(case.name, BARE) for case in cases[1:]]


def main(benchmark):
  with protocol.Report('host_overhead', benchmark) as report:
    report.add(protocol.measure(*list_cases(benchmark), benchmark))


if __name__ == '__main__':
  settings.run(protocol.BenchmarkSettings(), main)
