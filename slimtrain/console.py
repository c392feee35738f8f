"""What a person reads while a script runs: plain lines on the standard output.

Everything that scripts say passes through here. Names and other text from data are escaped, so
that neither an ASCII console nor a control character in a name does harm. A console that is gone or
full never ends the work: `finish` tells at the end, by the exit code, that lines were lost.
"""

import contextlib
import errno
import logging
import os
import signal
import sys
import warnings

from slimcompat import escapes

_LOGGER = logging.getLogger('slimtrain')
_LOGGER.addHandler(logging.NullHandler())


def start():
  """Sends the lines of `say` to the standard output, and only warnings of TensorFlow after them.

  Without this, as in a notebook, they go to the logger 'slimtrain', where nobody has to look.
  """
  for name in ('stdout', 'stderr'):
    stream = getattr(sys, name)
    if stream is None:  # It was closed before Python started.
      setattr(sys, name, open(os.devnull, 'w', encoding='utf-8'))  # noqa: SIM115
    elif hasattr(stream, 'reconfigure'):
      # Also for what others write: logs, bars, tracebacks.
      with contextlib.suppress(OSError):
        stream.reconfigure(errors='backslashreplace')
  handler = _Handler(sys.stdout)
  handler.setFormatter(_Formatter('%(message)s'))
  _LOGGER.handlers = [handler]
  _LOGGER.setLevel(logging.INFO)
  _LOGGER.propagate = False
  logging.getLogger('tensorflow').setLevel(logging.WARNING)
  # slim.learning closes its writer while a thread still counts steps with it; nothing is lost.
  warnings.filterwarnings('ignore', message='Attempting to use a closed FileWriter')


def say(line: str):
  """Writes one line, or several."""
  # Here, not where it is written: whoever else listens to the logger gets valid text as well.
  _LOGGER.info('%s', escapes.for_console(str(line)))


def complain(text: str):
  """Writes a line on the standard error after those that were said, if there is anybody to read."""
  with contextlib.suppress(OSError, ValueError, AttributeError):
    sys.stdout.flush()
  with contextlib.suppress(OSError, ValueError, AttributeError):
    sys.stderr.write(f'{escapes.for_console(text)}\n')
  with contextlib.suppress(OSError, ValueError, AttributeError):
    sys.stderr.flush()


def has_reader() -> bool:
  """Returns whether lines can still arrive: False when the program they were piped to has ended."""
  return not any(handler.is_closed for handler in _handlers())


def finish(exit_code: int, error: OSError | None = None) -> int:
  """Returns the exit code of a script whose work gave `exit_code`; nothing can be said after it.

  An exit code of 0 becomes 141 when the program that read the output ended before it had all of
  it, as shells have it, and 1, after a sentence, when the output could not be written.

  Args:
    exit_code: of the work.
    error: with which the standard output could not be written other than by `say`.
  """
  lost = error or next((handler.error for handler in _handlers() if handler.error), None)
  lost = _flush(sys.stdout) or lost
  if lost and not exit_code:
    exit_code = 128 + signal.SIGPIPE if isinstance(lost, BrokenPipeError) else 1
    if exit_code == 1:
      complain(
        f'{os.path.basename(sys.argv[0])}: error: The standard output could not be written'
        f' ({lost.strerror or lost}), so lines of it are lost. Give it room, or send it to another'
        ' file.'
      )
  _flush(sys.stderr)
  return exit_code


def _flush(stream):
  """Returns the OSError with which a stream cannot be flushed, and drops what is in it."""
  try:
    stream.flush()
  except OSError as error:
    with contextlib.suppress(OSError, ValueError):
      # Python flushes again when it ends, and would complain.
      nowhere = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nowhere, stream.fileno())
      os.close(nowhere)
    return error
  except (ValueError, AttributeError):  # It is closed.
    return None
  return None


def _handlers():
  return [handler for handler in _LOGGER.handlers if isinstance(handler, _Handler)]


class _Formatter(logging.Formatter):
  def format(self, record):
    return escapes.for_console(super().format(record))


class _Handler(logging.StreamHandler):
  """Writes to a stream that may be gone or full."""

  def __init__(self, stream):
    super().__init__(stream)
    self.error = None  # The last OSError.
    self.is_closed = False

  def emit(self, record):
    if not self.is_closed:
      super().emit(record)

  def handleError(self, record):  # noqa: N802  The name is logging's.
    error = sys.exc_info()[1]
    if not isinstance(error, OSError):
      super().handleError(record)
      return
    self.error = error
    # A full disk may get room again, a pipe no reader.
    self.is_closed = isinstance(error, BrokenPipeError) or error.errno == errno.EBADF
