"""One run of a benchmark in a process of its own: calls a function, prints its result as JSON.

python -m benchmarks.one_run benchmarks.startup:time_import '{}'

A third argument limits the process to the first so many of its cores, from before TensorFlow is
loaded, which counts them for its thread pools.
"""

import importlib
import json
import os
import sys


def main(function_name, arguments, num_cores=None):
  if num_cores:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(num_cores)])
  from slimtrain import console  # Loads TensorFlow.

  console.start()
  module_name, _, name = function_name.partition(':')
  function = getattr(importlib.import_module(module_name), name)
  result = function(**json.loads(arguments))
  # On a line of its own, the last one: the function may have printed more.
  sys.stdout.write(f'\n{json.dumps(result)}\n')


if __name__ == '__main__':
  main(*sys.argv[1:])
