"""The steady rate of a loop of steps."""

import statistics
import time
from typing import NamedTuple

from benchmarks import protocol

WARM_UP_STEPS = 10
WARM_UP_SECS = 10  # After the first step; ends it for nets of slow steps.
_NUM_WINDOWS = 8


class _Mark(NamedTuple):
  secs: float
  step: int  # Steps done since the loop started.
  cpu_secs: float


class Stopwatch:
  """Takes the time after steps, and knows when warm-up and the timed seconds are over.

  The rate is the median over windows of the timed seconds, not over steps: where batches are
  prefetched, most steps find one waiting and say nothing of how fast batches are made.
  """

  def __init__(self, seconds, warm_up_steps=None):
    """Makes one for `seconds` after warm-up.

    Warm-up is `warm_up_steps`, whatever time they take; None is WARM_UP_STEPS, or WARM_UP_SECS.
    """
    self._seconds = seconds
    self._warm_up_steps = warm_up_steps
    self._marks = []
    self._start = None  # The mark at which the timed seconds begin.

  def mark(self, step, cpu_secs=None):
    """Notes that `step` steps are done, which took the process `cpu_secs` of all cores."""
    mark = _Mark(time.perf_counter(), step, cpu_secs or time.process_time())
    self._marks.append(mark)
    if self._start is None and self._is_warm(mark):
      self._start = len(self._marks) - 1

  def _is_warm(self, mark):
    if self._warm_up_steps is not None:
      return mark.step >= self._warm_up_steps
    return mark.step >= WARM_UP_STEPS or mark.secs - self._marks[0].secs >= WARM_UP_SECS

  @property
  def is_done(self):
    """Whether there were 3 steps at least, and the seconds asked for."""
    if self._start is None:
      return False
    num_timed = len(self._marks) - 1 - self._start
    return num_timed >= 3 and self._marks[-1].secs - self._marks[self._start].secs >= self._seconds

  def result(self, images_per_step, unit='images/s'):
    """Returns the median rate in `unit`, 'images/s' or 'steps/s', and the CPU's time per image."""
    per_step = images_per_step if unit == 'images/s' else 1
    timed = self._marks[self._start :]
    rates, begin = [], timed[0]
    for mark in timed[1:]:
      if mark.secs - begin.secs >= self._seconds / _NUM_WINDOWS:
        rates.append((mark.step - begin.step) * per_step / (mark.secs - begin.secs))
        begin = mark
    num_images = (timed[-1].step - timed[0].step) * images_per_step
    cpu_secs = timed[-1].cpu_secs - timed[0].cpu_secs
    return {
      unit: statistics.median(rates),
      protocol.CPU_TIME: 1000 * cpu_secs / num_images,
    }


def time_loop(run_step, seconds, steps_per_run=1, warm_up_steps=None):
  """Calls `run_step` until `seconds` were timed; returns the Stopwatch."""
  watch = Stopwatch(seconds, warm_up_steps)
  step = 0
  while not watch.is_done:
    run_step()
    step += steps_per_run
    watch.mark(step)
  return watch
