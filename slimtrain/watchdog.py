"""Steps that hang: seen by a thread, for what is blocked in TensorFlow cannot look at the clock."""

import contextlib
import faulthandler
import os
import sys
import threading
import time

from slimcompat import errors, tf


class Watchdog:
  """Ends a step that takes too long, having shown where every thread of Python was."""

  GRACE_SECS = 5  # For the step to end when its session is closed.

  def __init__(self, timeout_secs):
    """Watches over steps that may take `timeout_secs`; None lets them take forever."""
    self._timeout_secs = timeout_secs
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
        raise errors.InputError(self._complaint()) from error
      raise
    finally:
      self._deadline_secs = float('inf')

  def _complaint(self):
    return (
      f'A step did not end within --step_timeout_secs={self._timeout_secs:g}; where it was is'
      ' written above. The newest checkpoint is whole: mend what is stuck, often the input, or'
      ' raise the flag, and run the same command again.'
    )

  def _wait(self):
    while (left_secs := self._deadline_secs - time.monotonic()) > 0:
      # Steps move the deadline on, so it is looked at once in a while only.
      time.sleep(min(left_secs, self._timeout_secs))
    self._is_late = True
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    self._session.close()
    time.sleep(self.GRACE_SECS)
    if self._deadline_secs < float('inf'):
      sys.stderr.write(f'{os.path.basename(sys.argv[0])}: error: {self._complaint()}\n')
      sys.stderr.flush()
      os._exit(1)
