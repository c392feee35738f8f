"""A step that hangs is shown and ended."""

import threading
import time

import pytest

from slimcompat import errors, tf
from slimtrain import watchdog


def test_a_blocked_op_is_cancelled(capfd):
  dog = watchdog.Watchdog(0.5, 'It is late.', shows_threads=True)
  queue = tf.FIFOQueue(1, [tf.float32])
  with tf.Session() as session:
    with dog.watch(session):
      session.run(queue.enqueue([1.0]))
    with dog.watch(session):
      session.run(queue.dequeue())
    with (
      pytest.raises(errors.InputError, match='It is late'),
      dog.watch(session),
    ):
      session.run(queue.dequeue())
  assert 'test_a_blocked_op_is_cancelled' in capfd.readouterr().err


def test_steps_in_time_are_left_alone():
  dog = watchdog.Watchdog(1.0, 'It is late.')
  with tf.Session() as session:
    for _ in range(15):
      with dog.watch(session):
        time.sleep(0.1)
    time.sleep(1.2)  # No step is running.
    assert session.run(tf.constant(3)) == 3


def test_no_thread_outlives_its_step():
  """One that did would keep the session, and with it the graph."""
  dog = watchdog.Watchdog(60, 'It is late.')
  before = set(threading.enumerate())
  with dog.watch(None):
    pass
  for thread in set(threading.enumerate()) - before:
    thread.join(10)
    assert not thread.is_alive()


def test_some_may_take_longer():
  asked = []
  dog = watchdog.Watchdog(0.2, 'It is late.', may_go_on=lambda session: asked.append(session) or 1)
  with tf.Session() as session:
    with dog.watch(session):
      time.sleep(0.6)
    assert session.run(tf.constant(3)) == 3
  assert asked == [session]


def spin(number):
  end_secs = time.process_time() + 2.5
  while time.process_time() < end_secs:
    pass
  return number


def read_slowly(number):
  for _ in range(12):
    time.sleep(0.2)
    with open('/dev/zero', 'rb', buffering=0) as file:
      file.read(1 << 17)
  return number


@pytest.mark.parametrize('work', [spin, read_slowly], ids=lambda work: work.__name__)
def test_a_slow_input_is_not_stuck(work):
  dog = watchdog.of_input(1.0, 'work')
  with tf.Session() as session, dog.watch(session):
    assert session.run(tf.py_func(work, [tf.constant(3)], tf.int32)) == 3


def test_an_input_that_waits_is_stuck():
  queue = tf.FIFOQueue(1, [tf.float32])
  complaint = r'gave no batch within 1 seconds .* It was waited for the queue\.'
  with (
    tf.Session() as session,
    pytest.raises(errors.InputError, match=complaint),
    watchdog.of_input(1.0, 'the queue').watch(session),
  ):
    session.run(queue.dequeue())


def test_other_errors_pass_through():
  with pytest.raises(RuntimeError, match='mine'), watchdog.Watchdog(60, 'It is late.').watch(None):
    raise RuntimeError('mine')


def test_a_hung_input_ends_the_run(start_training, blocking_plugin):
  """What blocks is Python code, which TensorFlow cannot cancel."""
  process = start_training(*blocking_plugin, '--step_timeout_secs=2')
  _, error = process.communicate(timeout=120)
  assert process.returncode == 1
  assert 'did not end within --step_timeout_secs=2' in error
  assert 'in block' in error
