"""Steps that hang: seen by a thread, for what is blocked in TensorFlow cannot look at the clock."""

import contextlib
import faulthandler
import os
import re
import sys
import threading
import time
from collections.abc import Callable

from slimcompat import errors, tf


class Watchdog:
  """Ends steps that take too long, by closing their session.

  What ignores even that, such as Python code in the input, is left behind by ending the process.
  """

  GRACE_SECS = 5  # For the step to end when its session is closed.

  def __init__(
    self, timeout_secs, complaint, may_go_on=None, shows_threads=False, counts_idle_time=False
  ):
    """Makes a watchdog.

    Args:
      timeout_secs: what a step may take; None is forever.
      complaint: what to say of a step that took longer.
      may_go_on: a function of the session that says whether such a step is well all the same, and
        so are those that follow.
      shows_threads: whether it is first shown where every thread of Python is.
      counts_idle_time: whether only time counts in which the process makes no Progress.
    """
    self._counts_idle_time = counts_idle_time
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
    if self._is_in_time(is_over):
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

  def _is_in_time(self, is_over):
    """Returns True once the step is over, or False when it is late."""
    if not self._counts_idle_time:
      return is_over.wait(self._timeout_secs)
    has_progress = Progress(self._timeout_secs)
    slice_secs = min(1.0, self._timeout_secs / 4)
    waited_secs = 0.0
    while waited_secs < self._timeout_secs:
      if is_over.wait(slice_secs):
        return True
      # Not by the clock, which goes on while the process is stopped.
      waited_secs = 0.0 if has_progress() else waited_secs + slice_secs
    return False


def of_input(
  timeout_secs: float,
  awaited: str,
  may_go_on: Callable[[tf.Session], bool] | None = None,
) -> Watchdog:
  """Returns a Watchdog over an input, which is stuck when nothing is read or decoded any more.

  Args:
    timeout_secs: how long that may be so.
    awaited: what is waited for, for people.
    may_go_on: as Watchdog has it.
  """
  return Watchdog(
    timeout_secs,
    f'The input gave no batch within {timeout_secs:g} seconds in which nothing was read or decoded.'
    f' It was waited for {awaited}. See whether that can be read: a named pipe, or the files of a'
    ' server that is gone, cannot. If it is only slow, raise --input_timeout_secs.',
    may_go_on,
    counts_idle_time=True,
  )


class Progress:
  """Says whether this process has read or computed anything since it last said so.

  A process that waits for a pipe or a file server does neither; one that is slow, or has to share
  its cores with many others, does both, if little.
  """

  # More than threads take and read that only wait, also for the other tasks of a cluster.
  _MIN_CPU_SHARE = 0.004
  _MIN_BYTES = 1 << 16

  def __init__(self, timeout_secs: float):
    """Begins.

    Args:
      timeout_secs: the time in which a process that only waits must not seem to make progress.
    """
    self._min_cpu_secs = self._MIN_CPU_SHARE * timeout_secs
    self._own_bytes = 0
    self._cpu_secs, self._bytes = time.process_time(), self._read_bytes()

  def __call__(self) -> bool:
    """Returns whether there was progress."""
    cpu_secs, num_bytes = time.process_time(), self._read_bytes()
    is_progress = (
      cpu_secs - self._cpu_secs >= self._min_cpu_secs or num_bytes - self._bytes >= self._MIN_BYTES
    )
    if is_progress:
      self._cpu_secs, self._bytes = cpu_secs, num_bytes
    return is_progress

  def _read_bytes(self):
    """Returns the bytes that this process has read, but for those read here; 0 if unknown."""
    try:
      with open('/proc/self/io', 'rb') as file:
        content = file.read()
    except OSError:
      return 0  # Not Linux.
    num_bytes = int(re.search(rb'rchar: (\d+)', content)[1]) - self._own_bytes
    self._own_bytes += len(content)
    return num_bytes
