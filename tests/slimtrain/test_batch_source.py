"""Batches are taken in order, and what waiting for them takes is counted."""

import contextlib
import os
import sys

import pytest

from slimcompat import tf
from slimtrain import batch_source, inputs


def test_waiting_for_input_is_counted():
  zeros = tf.zeros([2], tf.int64)
  examples = inputs.Batch(tf.zeros([2, 3]), zeros, zeros)
  source = batch_source.BatchSource(
    tf.data.Dataset.from_tensors(examples).repeat(), timeout_secs=60
  )
  wait_secs = source.read_wait_secs()
  first, second = source.next_batch(), source.next_batch()
  with tf.Session() as session:
    session.run([tf.local_variables_initializer(), tf.tables_initializer()])
    assert session.run(wait_secs) == 0
    session.run([first, second])
    assert 0 < session.run(wait_secs) < 60


def test_clones_take_batches_in_order():
  numbers = tf.data.Dataset.range(1000).map(lambda n: inputs.Batch(tf.cast(n, tf.float32), n, n))
  source = batch_source.BatchSource(numbers, timeout_secs=60)
  labels = [source.next_batch().labels for _ in range(3)]
  with tf.Session() as session:
    session.run([tf.local_variables_initializer(), tf.tables_initializer()])
    for step in range(20):
      assert session.run(labels) == [3 * step, 3 * step + 1, 3 * step + 2]


def test_batches_are_copied_to_a_device_ahead_of_the_step():
  """A second CPU stands for the GPU."""
  numbers = tf.data.Dataset.range(9).map(lambda n: inputs.Batch(tf.cast(n, tf.float32), n, n))
  source = batch_source.BatchSource(numbers, timeout_secs=60, device='/device:CPU:1')
  batch = source.next_batch()
  assert batch.images.device == '/device:CPU:1'
  with tf.Session(config=tf.ConfigProto(device_count={'CPU': 2})) as session:
    session.run([tf.local_variables_initializer(), tf.tables_initializer()])
    for number in range(9):
      assert session.run(batch[:3]) == (number, number, number)
    with pytest.raises(tf.errors.OutOfRangeError):
      session.run(batch)


def niceness():
  """Returns that of each thread of the process, by its number."""
  found = {}
  for thread in map(int, os.listdir('/proc/self/task')):
    with contextlib.suppress(ProcessLookupError):  # It has ended.
      found[thread] = os.getpriority(os.PRIO_PROCESS, thread)
  return found


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux has priorities of threads')
def test_threads_of_the_input_leave_the_cores_to_the_step():
  options = tf.data.Options()
  options.threading.private_threadpool_size = 3
  numbers = tf.data.Dataset.range(9).map(lambda n: inputs.Batch(tf.cast(n, tf.float32), n, n))
  source = batch_source.BatchSource(numbers.with_options(options), timeout_secs=60)
  batch = source.next_batch()
  with tf.Session() as session:
    session.run([tf.local_variables_initializer(), tf.tables_initializer()])
    before = niceness()
    with source.first_step(session):
      assert session.run(batch.labels) == 0
    assert session.run(batch.labels) == 1
    after = niceness()
  # No other thread became nicer, and threads that began are.
  assert {thread: after[thread] for thread in before if thread in after}.items() <= before.items()
  assert sum(nice > os.getpriority(os.PRIO_PROCESS, 0) for nice in after.values()) >= 3


def test_an_input_that_cannot_begin_ends_the_first_step():
  numbers = tf.data.Dataset.range(9).map(lambda n: inputs.Batch(tf.cast(n, tf.float32), n, n))
  source = batch_source.BatchSource(numbers.shard(2, tf.placeholder(tf.int64)), timeout_secs=60)
  with tf.Session() as session, pytest.raises(tf.errors.InvalidArgumentError):
    source.first_step(session)
