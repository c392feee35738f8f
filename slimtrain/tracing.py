"""Looking into single steps: where their time and memory go, and the values of tensors."""

import dataclasses
import difflib
import os

import numpy as np

from slimcompat import errors, tf, timelines
from slimtrain import console, files
from slimtrain import settings as settings_lib

TRACE_FILE = 'tf_trace-{step}.json'  # In the train_dir, as slim named it.
_NUM_GUESSES = 3
_NUM_VALUES = 12  # Of a tensor, at most.


@dataclasses.dataclass(frozen=True)
class TracingSettings(settings_lib.Settings):
  """Looking into steps."""

  trace_every_n_steps: int | None = settings_lib.setting(
    None,
    'Steps between two of which the time of each op and its memory are recorded: in'
    ' tf_trace-STEP.json of --train_dir, for chrome://tracing or ui.perfetto.dev, and in the'
    ' summaries, for the graph in TensorBoard.',
    lower=1,
  )
  debug_dump: str | None = settings_lib.setting(
    None,
    'Names of tensors, ops or variables, separated by commas, whose values are shown after each'
    ' line of the log. Variables are shown as the step leaves them.',
  )


class Tracer:
  """Runs steps, some of them with a trace."""

  def __init__(self, settings, train_dir):
    """Makes the tracer of TracingSettings `settings`, which writes into `train_dir`."""
    self._interval_steps = settings.trace_every_n_steps
    self._train_dir = train_dir
    self._traced_steps = set()

  def is_due(self, step_before, step):
    """Returns whether the run from one step to another is to be traced."""
    interval = self._interval_steps
    return bool(interval) and step // interval > step_before // interval

  def run(self, session, fetches, writer):
    """Runs `fetches`, with the number of steps as 'step', in a session; returns the results.

    Writes the trace to the file, and to the summaries' `writer`, if there is one.
    """
    metadata = tf.RunMetadata()
    options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
    results = session.run(fetches, options=options, run_metadata=metadata)
    step = int(results['step'])
    path = os.path.join(self._train_dir, TRACE_FILE.format(step=step))
    try:
      files.write_text(path, timelines.chrome_trace(metadata))
      console.say(f'Wrote {path}')
    except OSError as error:
      console.say(f'{path} cannot be written ({error.strerror}); training goes on without it.')
    # Its name may not come twice, as it would after going back.
    if writer and step not in self._traced_steps:
      writer.add_run_metadata(metadata, f'run_metadata-{step}', step)
    self._traced_steps.add(step)
    return results


def find_tensors(names):
  """Returns {name: tensor} of the tensors, ops and variables that `names` name in the graph.

  Variables are read where this is called; an op stands for its first output.

  Raises:
    InputError: when there is none of such a name, or its value cannot be seen.
  """
  graph = tf.get_default_graph()
  variables = {variable.op.name: variable for variable in tf.global_variables()}
  found = {}
  for name in names:
    if name.removesuffix(':0') in variables:
      found[name] = tf.identity(variables[name.removesuffix(':0')].read_value())
      continue
    try:
      tensor = graph.get_tensor_by_name(name if ':' in name else f'{name}:0')
    except (KeyError, ValueError) as error:
      known = [op.name for op in graph.get_operations() if op.outputs]
      nearest = difflib.get_close_matches(name, known, n=_NUM_GUESSES)
      guess = f' Did you mean {" or ".join(nearest)}?' if nearest else ''
      raise errors.InputError(
        f'--debug_dump={name}: the graph has no such tensor.{guess} TensorBoard shows the graph,'
        ' with all names.'
      ) from error
    if tensor.dtype in (tf.resource, tf.variant) or not graph.is_fetchable(tensor):
      raise errors.InputError(
        f'--debug_dump={name}: its value cannot be seen from outside, as it holds no numbers or is'
        ' in a loop of the graph. Name another tensor, and leave out --steps_per_run and'
        ' --accumulate_steps.'
      )
    found[name] = tensor
  return found


def describe(name, value):
  """Returns what to say of a tensor's `value`, a NumPy array or scalar: its first and last ones."""
  value = np.asarray(value)
  line = f'{name}: {value.dtype} {list(value.shape)}'
  if value.size and np.issubdtype(value.dtype, np.number):
    is_finite = np.isfinite(value)
    if is_finite.any():
      seen = value[is_finite].astype(np.float64)
      line += f', from {seen.min():.4g} to {seen.max():.4g}, mean {seen.mean():.4g}'
    if not is_finite.all():
      line += f', {np.count_nonzero(~is_finite)} not finite'
  values = np.array2string(
    value.ravel(),
    max_line_width=100,
    precision=4,
    threshold=_NUM_VALUES,
    edgeitems=_NUM_VALUES // 2,
  )
  return f'{line}\n  {values}'
