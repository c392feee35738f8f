"""Steps that hang: seen by a thread, for what is blocked in TensorFlow cannot look at the clock."""

import contextlib
import faulthandler
import os
import sys
import threading
import time

from slimcompat import errors, tf


class Watchdog:
  """Ends steps that take too long, by closing their session.

  What ignores even that, such as Python code in the input, is left behind by ending the process.
  """

  GRACE_SECS = 5  # For the step to end when its session is closed.

  def __init__(self, timeout_secs, complaint, may_go_on=None, shows_threads=False):
    """Makes a watchdog.

    Args:
      timeout_secs: what a step may take; None is forever.
      complaint: what to say of a step that took longer.
      may_go_on: a function of the session that says whether such a step is well all the same, and
        so are those that follow.
      shows_threads: whether it is first shown where every thread of Python is.
    """
    self._timeout_secs = timeout_secs
    self._complaint = complaint
    self._may_go_on = may_go_on
    self._shows_threads = shows_threads
    self._session = None
    self._deadline_secs = float('inf')
    self._is_late = False
    self._thread = None

  @contextlib.contextmanager
  def watch(self, session):
    """Watches over the block, a step of `session`. Raises InputError when it is late."""
    if self._timeout_secs is None:
      yield
      return
    self._session = session
    self._deadline_secs = time.monotonic() + self._timeout_secs
    if self._thread is None:
      self._thread = threading.Thread(target=self._wait, daemon=True)
      self._thread.start()
    try:
      yield
    except (tf.errors.OpError, RuntimeError) as error:
      if self._is_late:
        raise errors.InputError(self._complaint) from error
      raise
    finally:
      self._deadline_secs = float('inf')

  def _wait(self):
    while (left_secs := self._deadline_secs - time.monotonic()) > 0:
      # Steps move the deadline on, so it is looked at once in a while only.
      time.sleep(min(left_secs, self._timeout_secs))
    if self._may_go_on:
      with contextlib.suppress(tf.errors.OpError, RuntimeError):
        if self._may_go_on(self._session):
          return
    self._is_late = True
    if self._shows_threads:
      faulthandler.dump_traceback(sys.stderr, all_threads=True)
    self._session.close()
    time.sleep(self.GRACE_SECS)
    if self._deadline_secs < float('inf'):
      sys.stderr.write(f'{os.path.basename(sys.argv[0])}: error: {self._complaint}\n')
      sys.stderr.flush()
      os._exit(1)
