"""The learning rate that falls when evaluations no longer gain; `scale_after` is the rule.

The graph multiplies the rate by a variable, which is set between steps. What it is to be follows
from the evaluations up to a step alone, so a run that is continued, or goes back, has the rate it
had there.
"""

from slimcompat import tf
from slimtrain import unfreezing

_SCALES = 'learning_rate_scales'  # The graph's collection of the variable.


def make_scale():
  """Adds to the graph the factor of the learning rate, a float scalar, 1 at first; returns it."""
  scale = tf.get_variable(
    'learning_rate_scale', [], initializer=tf.ones_initializer(), trainable=False
  )
  tf.add_to_collection(_SCALES, scale)
  # A run may go on with another schedule than it had.
  tf.add_to_collection(unfreezing.LATER_STATE, scale.op.name)
  return scale.read_value()


def set_scale(session, value):
  """Sets the factor of the learning rate in a session's graph, if the graph has one."""
  for scale in session.graph.get_collection(_SCALES):
    initial_value = scale.initializer.inputs[1]
    session.run(scale.initializer, {initial_value: value})


def waits(values, is_lower_better=False):
  """Yields after each value of a metric how many of the last ones were no gain, 0 for a gain.

  A gain is a value better than all before; one that is not finite, or None, never is.
  """
  best, num_without_gain = None, 0
  for value in values:
    if is_gain(value, best, is_lower_better):
      best, num_without_gain = value, 0
    else:
      num_without_gain += 1
    yield num_without_gain


def is_gain(value, best, is_lower_better=False):
  """Returns whether a metric's `value` is better than the `best` so far; None is no value."""
  if value is None or value != value or abs(value) == float('inf'):
    return False
  return best is None or (value < best if is_lower_better else value > best)


def scale_after(values, factor, patience, is_lower_better=False):
  """Returns the factor of the learning rate after the evaluations that gave `values`.

  As in Keras's ReduceLROnPlateau: multiplied by `factor` after each `patience` evaluations in a
  row without a gain.
  """
  num_falls = sum(num > 0 and num % patience == 0 for num in waits(values, is_lower_better))
  return factor**num_falls
