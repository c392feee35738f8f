"""SIGTERM, SIGINT (Ctrl-C), and SIGHUP (a closed terminal): scripts end in order, or else soon.

A training run ends after its step, with a checkpoint. Under nohup SIGHUP stays ignored.
"""

import contextlib
import os
import signal
import sys
import threading

from slimcompat import errors

SIGNALS = (signal.SIGTERM, signal.SIGINT)
if hasattr(signal, 'SIGHUP'):  # Windows has none.
  SIGNALS = (*SIGNALS, signal.SIGHUP)
GRACE_SECS = 8  # For a step to end; one that takes longer is left behind.


class InterruptedRunError(errors.InputError):
  """A run that a signal ended; everything is saved. `exit_code` is what shells expect."""

  def __init__(self, signal_number, message):
    super().__init__(message)
    self.exit_code = 128 + signal_number


class EndedError(KeyboardInterrupt):
  """A signal that ends a script; what the script has open is closed and removed on the way out."""

  def __init__(self, signal_number):
    super().__init__()
    self.signal_number = signal_number
    self.exit_code = 128 + signal_number


def heeded_signals():
  """Returns those of SIGNALS that this process heeds: nohup starts it with SIGHUP ignored."""
  return [
    number
    for number in SIGNALS
    if number in (signal.SIGTERM, signal.SIGINT) or signal.getsignal(number) != signal.SIG_IGN
  ]


@contextlib.contextmanager
def raised():
  """Raises EndedError in the block, a script's work, when SIGTERM or SIGHUP comes.

  Without this, such a signal ends the process on the spot, and temporary files stay. What is
  blocked outside of Python is left behind after GRACE_SECS. Ctrl-C is as in any Python program.
  """
  numbers = [number for number in heeded_signals() if number != signal.SIGINT]
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  is_over = threading.Event()

  def end(number, frame):
    del frame
    for other in numbers:
      signal.signal(other, signal.SIG_IGN)
    raise EndedError(number)

  def watch(reader):
    with open(reader, 'rb', buffering=0) as found:
      for number in iter(lambda: found.read(1), b''):
        if number[0] in numbers:
          if not is_over.wait(GRACE_SECS):
            os._exit(128 + number[0])
          return

  def forget():
    # In a child of multiprocessing, whose signals are not its parent's.
    if not is_over.is_set():
      signal.set_wakeup_fd(-1)
      for number in numbers:
        signal.signal(number, signal.SIG_DFL)

  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  old_writer = signal.set_wakeup_fd(writer)
  old_handlers = {number: signal.signal(number, end) for number in numbers}
  if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=forget)
  threading.Thread(target=watch, args=[reader], daemon=True).start()
  try:
    yield
  finally:
    is_over.set()
    for number, handler in old_handlers.items():
      signal.signal(number, handler)
    signal.set_wakeup_fd(old_writer)
    os.close(writer)


class Interruption(contextlib.AbstractContextManager):
  """Listens for signals within its block, which must be in the main thread to hear any.

  Python runs a handler only between two steps of the interpreter: not while a step of TensorFlow
  is blocked. So a thread reads the signals' numbers from a pipe.
  """

  def __init__(self):
    self.signal_number = None  # Of the first one that came.
    self._is_heeded = threading.Event()
    self._is_saved = threading.Event()
    self._is_over = threading.Event()

  def __enter__(self):
    self._is_listening = threading.current_thread() is threading.main_thread()
    if self._is_listening:
      self._reader, writer = os.pipe()
      os.set_blocking(writer, False)
      self._old_writer = signal.set_wakeup_fd(writer)
      self._writer = writer
      self._old_handlers = {number: signal.signal(number, _ignore) for number in heeded_signals()}
      threading.Thread(target=self._listen, daemon=True).start()
    return self

  def __exit__(self, *unused):
    if self._is_listening:
      for event in (self._is_heeded, self._is_saved, self._is_over):
        event.set()
      for number, handler in self._old_handlers.items():
        signal.signal(number, handler)
      signal.set_wakeup_fd(self._old_writer)
      os.close(self._writer)

  def has_come(self):
    """Returns whether to save and end now. Saving may take its time; see `saved`."""
    if self.signal_number is None:
      return False
    self._is_heeded.set()
    return True

  def saved(self):
    """Says that all is saved: what is left to end must do so soon."""
    self._is_saved.set()

  def _listen(self):
    with open(self._reader, 'rb', buffering=0) as numbers:
      for number in iter(lambda: numbers.read(1), b''):
        if number[0] not in SIGNALS:
          continue
        if self.signal_number is not None:
          _leave(number[0], 'A second signal ends the run at once.')
        self.signal_number = number[0]
        threading.Thread(target=self._watch, daemon=True).start()

  def _watch(self):
    if not self._is_heeded.wait(GRACE_SECS):
      _leave(self.signal_number, f'The step did not end within {GRACE_SECS} seconds.')
    self._is_saved.wait()
    if not self._is_over.wait(GRACE_SECS):
      _leave(self.signal_number, 'The run is saved, but its input does not end.')


def _ignore(number, frame):
  """Keeps the process alive; the number is in the pipe already."""
  del number, frame


def _leave(signal_number, why):
  """Ends the process without waiting for anything; checkpoints are whole as they are."""
  script = os.path.basename(sys.argv[0])
  with contextlib.suppress(OSError, ValueError):  # The terminal may be gone.
    sys.stderr.write(
      f'{script}: error: {why} The newest checkpoint is whole; run the same again.\n'
    )
    sys.stderr.flush()
    sys.stdout.flush()
  os._exit(128 + signal_number)
