"""Steps that hang: seen by a thread, for what is blocked in TensorFlow cannot look at the clock."""

import contextlib
import faulthandler
import os
import sys
import threading

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
    self._is_late = False

  @contextlib.contextmanager
  def watch(self, session):
    """Watches over the block, a step of `session`. Raises InputError when it is late."""
    if self._timeout_secs is None:
      yield
      return
    is_over = threading.Event()
    threading.Thread(target=self._wait, args=[session, is_over], daemon=True).start()
    try:
      yield
    except (tf.errors.OpError, RuntimeError) as error:
      if self._is_late:
        raise errors.InputError(self._complaint) from error
      raise
    finally:
      is_over.set()

  def _wait(self, session, is_over):
    if is_over.wait(self._timeout_secs):
      return
    if self._may_go_on:
      with contextlib.suppress(tf.errors.OpError, RuntimeError):
        if self._may_go_on(session):
          return
    self._is_late = True
    if self._shows_threads:
      faulthandler.dump_traceback(sys.stderr, all_threads=True)
    session.close()
    if not is_over.wait(self.GRACE_SECS):
      sys.stderr.write(f'{os.path.basename(sys.argv[0])}: error: {self._complaint}\n')
      sys.stderr.flush()
      os._exit(1)
