"""What the tasks of a cluster tell each other, on a board that parameter server 0 keeps.

Three variables, beside those of the net: the facts of the run, as the chief has them; how it ended;
and a counter of each task, which grows while it lives. Sessions of their own read and write them,
so a step that is stuck does not keep a task from being heard.
"""

import threading
from typing import NamedTuple

from slimcompat import tf
from slimtrain import cluster

BEAT_SECS = 1.0
LEFT = 0  # The counter of a task that is not there.
_TIMEOUT_MS = 5000
_SCOPE = 'slimtrain_bulletin'


class Notice(NamedTuple):
  """What stands on the board."""

  facts: str  # JSON; '' until the chief has come.
  ending: str  # '' while the run goes on; DONE; or why it failed.
  beats: tuple[int, ...]  # Of the workers, then of the parameter servers.


DONE = 'done'


class Board:
  """The board, as one task reads and writes it; usable by several threads."""

  def __init__(self, target, settings, slot):
    """Makes it.

    Args:
      target: the address of the session's server.
      settings: resolved ClusterSettings.
      slot: where the counter of this task stands.
    """
    self._target = target
    self._address = None if settings.master else settings.address('ps', 0)
    self._lock = threading.Lock()
    self._session = None
    filters = {'/job:ps/task:0', *settings.device_filters[-1:]}
    self._config = tf.ConfigProto(
      device_filters=sorted(filters), operation_timeout_in_ms=_TIMEOUT_MS, allow_soft_placement=True
    )
    self._graph = tf.Graph()
    with self._graph.as_default(), tf.device('/job:ps/task:0/device:CPU:0'):
      facts, ending = (_make_variable(name, [], tf.string, '') for name in ('facts', 'ending'))
      num_slots = settings.worker_replicas + settings.num_ps_tasks
      beats = _make_variable('beats', [num_slots], tf.int64, 0)
      variables = [facts, ending, beats]
      self._is_there = tf.reduce_all([tf.is_variable_initialized(v) for v in variables])
      self._initialize = tf.variables_initializer(variables)
      self._notice = [facts.read_value(), ending.read_value(), beats.read_value()]
      self._text = tf.placeholder(tf.string, [])
      self._write_facts = facts.assign(self._text, read_value=False)
      self._write_ending = ending.assign(self._text, read_value=False)
      self._beat = tf.scatter_add(beats, [slot], tf.constant([1], tf.int64)).op
      self._leave = tf.scatter_update(beats, [slot], tf.constant([LEFT], tf.int64)).op

  def read(self):
    """Returns the Notice, or None when there is none, or nobody to be asked."""
    values = self._run(self._notice)
    if values is None:
      return None
    facts, ending, beats = values
    return Notice(facts.decode(), ending.decode(), tuple(int(beat) for beat in beats))

  def set_up(self):
    """Puts up an empty board unless there is one; returns whether there is one now."""
    is_there = self._run(self._is_there)
    if is_there is not None and not is_there:
      self._run(self._initialize)
      is_there = self._run(self._is_there)
    return bool(is_there)

  def write_facts(self, text):
    """Says what the run is."""
    self._run(self._write_facts, {self._text: text})

  def write_ending(self, text):
    """Says that the run has ended, and how."""
    self._run(self._write_ending, {self._text: text})

  def beat(self):
    """Says that this task lives."""
    self._run(self._beat)

  def leave(self):
    """Says that this task is no longer there."""
    self._run(self._leave)

  def _run(self, fetches, feed=None):
    """Returns the values, or None when the server does not answer or has no board."""
    with self._lock:
      try:
        if self._session is None:
          # TensorFlow would wait for it, and then some.
          if self._address and not cluster.is_reached(self._address):
            return None
          self._session = tf.Session(self._target, graph=self._graph, config=self._config)
        values = self._session.run(fetches, feed)
      except (tf.errors.OpError, RuntimeError, UnicodeDecodeError) as error:
        # Without a board the session is good all the same.
        if not isinstance(error, tf.errors.FailedPreconditionError | tf.errors.NotFoundError):
          session, self._session = self._session, None
          cluster.close_soon(session)
        return None
      return True if values is None else values


def _make_variable(name, shape, dtype, value):
  initializer = tf.constant_initializer(value)
  return tf.get_variable(
    f'{_SCOPE}/{name}', shape, dtype, initializer, trainable=False, use_resource=True
  )
