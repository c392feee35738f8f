"""The Supervisor of a task of a cluster: it makes a session again whenever others were lost."""

import contextlib
import time

from slimcompat import errors, tf
from slimtrain import console

# How it shows that a task was lost, or has begun anew with nothing in its memory.
_LOST = (
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.UnavailableError,
  # TensorFlow's message on a task that another process took the place of is no text.
  UnicodeDecodeError,
)
MAX_VAIN_ATTEMPTS = 20  # Sessions one after the other in which no step was made.
_WAIT_SECS = 1
_STOP_GRACE_SECS = 20


class EndedError(Exception):
  """The run has ended elsewhere, well or not."""


class Supervisor(tf.train.Supervisor):
  """TensorFlow's, with what it lacks for a cluster that loses tasks.

  slim.learning.train makes a session again after AbortedError alone: other signs of a loss become
  that. A chief that begins anew takes the variables as the parameter servers have them, if these
  are alive, and the last checkpoint if not. A step that waits for what is lost is ended.
  """

  def __init__(self, member, **kwargs):
    """Makes it for a membership.Member; the rest is as TensorFlow has it."""
    super().__init__(recovery_wait_secs=_WAIT_SECS, stop_grace_secs=_STOP_GRACE_SECS, **kwargs)
    self._begin_op = kwargs['local_init_op']
    self._member = member
    self._num_sessions = 0

  @contextlib.contextmanager
  def managed_session(self, *args, **kwargs):
    """Gives a session. Raises AbortedError when it is to be made again, EndedError at the end."""
    try:
      with super().managed_session(*args, **kwargs) as session:
        yield session
    except (*_LOST, RuntimeError) as error:
      if self._member.ending:
        raise EndedError(self._member.ending) from error
      if not isinstance(error, _LOST) and 'closed Session' not in str(error):
        raise
      self._member.num_in_vain += 1
      if self._member.num_in_vain > MAX_VAIN_ATTEMPTS:
        raise errors.InputError(
          f'No step could be made in {MAX_VAIN_ATTEMPTS} attempts; the last one ended with:'
          f' {_first_line(error)}'
        ) from error
      console.say(f'A task was lost ({type(error).__name__}); waiting to go on with the others.')
      time.sleep(_WAIT_SECS)
      raise tf.errors.AbortedError(None, None, str(error)) from error

  def prepare_or_wait_for_session(self, master='', config=None, **kwargs):
    """Returns a session when the net is ready to be trained."""
    member = self._member
    member.wait_for_servers()
    if member.is_chief:
      session = self._attach(master, config)
      if session is None:
        session = super().prepare_or_wait_for_session(master, config, **kwargs)
      if member.sync and (self._num_sessions or member.was_running):
        session.run(member.sync.wake_op)
    else:
      self._wait_until_ready(master, config)
      session = super().prepare_or_wait_for_session(master, config, **kwargs)
    self._num_sessions += 1
    member.hold(session)
    # A step that waits for a thread that has failed would wait forever.
    self.loop(None, self._close_when_failed)
    return session

  def stop(self, *args, **kwargs):
    """Stops the threads, whatever they wait for."""
    self._coord.request_stop()
    self._member.close_session()
    super().stop(*args, **kwargs)

  def _is_ready(self, session):
    return session.run(self.ready_op).size == 0

  def _attach(self, master, config):
    """Returns a session on the variables as they are; None when one of them is not initialized."""
    self._coord.clear_stop()
    session = tf.Session(master, graph=self._graph, config=config)
    if not self._is_ready(session):
      session.close()
      return None
    if self._summary_writer:
      self._summary_writer.reopen()
    session.run(self._begin_op)
    console.say('The parameter servers hold the run: it goes on where they are.')
    return session

  def _wait_until_ready(self, master, config):
    """Waits for the chief, without beginning with the input each time."""
    while True:
      self._member.check_going_on()
      with contextlib.closing(tf.Session(master, graph=self._graph, config=config)) as session:
        if self._is_ready(session):
          return
      time.sleep(_WAIT_SECS)

  def _close_when_failed(self):
    if self._coord.wait_for_stop(_WAIT_SECS) and not self._member.is_finishing:
      self._member.close_session()


def _first_line(error):
  return str(error).strip().splitlines()[0]
