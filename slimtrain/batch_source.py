"""How a graph takes its batches from tf.data, and what waiting for them costs."""

import os
import sys
from concurrent import futures

from slimcompat import tf
from slimtrain import watchdog

_NICENESS = 10  # Of the input's threads, more than the step's.


class BatchSource:
  """Takes batches into a graph, and watches over how long that takes."""

  def __init__(self, batches, timeout_secs, device=None, described='examples'):
    """Adds to the graph an iterator over `batches`, which starts with the session's tables.

    Args:
      batches: a tf.data.Dataset of inputs.Batch.
      timeout_secs: how long the process may do nothing before there is a first batch.
      device: where batches are copied to ahead of the step; None leaves them in the CPU's memory.
      described: what the batches are of, for people.
    """
    self._device = device or '/cpu:0'
    if device:
      batches = batches.apply(tf.data.experimental.prefetch_to_device(device))
    self._watchdog = watchdog.of_input(
      timeout_secs,
      f'the first batch of {described}',
      may_go_on=lambda session: session.run(self._num_batches_now) > 0,
    )
    self._previous = []
    with tf.device(self._device):
      self._iterator = tf.data.Iterator.from_structure(
        tf.data.get_output_types(batches),
        tf.data.get_output_shapes(batches),
        output_classes=tf.data.get_output_classes(batches),
      )
      begin_op = self._iterator.make_initializer(batches)
      # A second op, for one keeps the thread that it ran in first.
      self._begin_anew_op = self._iterator.make_initializer(batches)
    with tf.device('/cpu:0'):
      tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, begin_op)
      self._num_batches = _make_counter('num_batches_read', tf.int64)
      self._wait_secs = _make_counter('input_wait_secs', tf.float64)
      self._num_batches_now = self._num_batches.read_value()

  def next_batch(self):
    """Adds to the graph the taking of a Batch; each call takes another one, in this order."""
    with tf.device('/cpu:0'), tf.control_dependencies(self._previous):
      start_secs = tf.timestamp()
      with tf.control_dependencies([start_secs]), tf.device(self._device):
        batch = self._iterator.get_next()
      with tf.control_dependencies(tf.nest.flatten(batch)):
        counts = [
          self._num_batches.assign_add(1, read_value=False),
          self._wait_secs.assign_add(tf.timestamp() - start_secs, read_value=False),
        ]
      with tf.control_dependencies(counts), tf.device(self._device):
        batch = tf.nest.map_structure(tf.identity, batch)
    self._previous = tf.nest.flatten(batch)
    return batch

  def read_wait_secs(self):
    """Adds to the graph the reading of the seconds that batches were waited for, and returns it."""
    return self._wait_secs.read_value()

  def first_step(self, session):
    """Returns a context in which `session` runs its first step. Raises InputError there."""
    self._yield_to_steps(session)
    return self._watchdog.watch(session)

  def _yield_to_steps(self, session):
    """Has batches made ahead when the step leaves a core idle, or waits for them."""
    # Only Linux has priorities of threads, and a server its own threads.
    if sys.platform != 'linux' or session.sess_str:
      return

    def begin_anew():
      # Threads are as nice as those that start them, here this one.
      os.nice(_NICENESS)
      session.run(self._begin_anew_op, options=tf.RunOptions(inter_op_thread_pool=-1))

    with futures.ThreadPoolExecutor(1) as thread:
      thread.submit(begin_anew).result()


def _make_counter(name, dtype):
  return tf.get_variable(
    name,
    [],
    dtype,
    tf.zeros_initializer(),
    trainable=False,
    collections=[tf.GraphKeys.LOCAL_VARIABLES],
    use_resource=True,
  )
