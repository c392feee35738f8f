"""Keeps TensorFlow's start-up messages off the console."""

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings

# A line of TensorFlow's C++ log below the level ERROR, in the formats of 2.16 to 2.21, and the
# lines that go with one.
_NOISE = re.compile(
  rb'(WARNING: All log messages before absl::InitializeLog'
  rb'|[IW]0000 00:00:'
  rb'|[-\d]+ [\d:.]+: [IW] '
  rb'|E0000 .*Unable to register cu|[-\d]+ [\d:.]+: E .*Unable to register cu'
  rb'|To enable the following instructions)'
)
# Where Linux shows NVIDIA's, AMD's and WSL's graphics processors.
_GPU_FILES = ('/dev/nvidiactl', '/dev/kfd', '/dev/dxg')
_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'


@contextlib.contextmanager
def imports():
  """Silences the notes on oneDNN, CPU features, CUDA and deprecations while TensorFlow loads.

  Whatever else is written to the standard error appears when the block ends; everything does
  when it ends with an exception. `TF_CPP_MIN_LOG_LEVEL=0` shows everything at once, and any
  other level that the user set stays.
  """
  _fill_standard_files()
  if os.environ.get(_LEVEL) == '0':
    yield
    return
  with contextlib.ExitStack() as stack:
    # Too late once TensorFlow is loaded: it has read the level and written its notes.
    if 'tensorflow' not in sys.modules:
      stack.enter_context(_cpp_log_level())
      stack.enter_context(_filtered_stderr())
    stack.enter_context(_python_log_level())
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter('ignore')
    yield


def deprecations():
  """Silences, for good, that TensorFlow calls its own compat.v1 names and layers deprecated."""
  from tensorflow.python.util import deprecation

  deprecation._PRINT_DEPRECATION_WARNINGS = False
  warnings.filterwarnings('ignore', message=r'`(layer|tf\.layers)\.\w+` is deprecated')


@contextlib.contextmanager
def conversions():
  """Silences what converters write to the standard error and warn of; what they raise tells all."""
  with _filtered_stderr(noise=re.compile(b''), shows_failures=False), warnings.catch_warnings():
    warnings.simplefilter('ignore')
    yield


def _fill_standard_files():
  """Opens nothing in place of standard files that are closed.

  The next file opened would get the number of one, and with it what is meant for the console.
  """
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # The lowest free number, which is this one.


@contextlib.contextmanager
def _cpp_log_level():
  """Sets the level that the C++ runtime reads once, when it loads; children don't inherit it."""
  if _LEVEL in os.environ:
    yield
    return
  # 2 shows errors; without a GPU the first session would report the missing CUDA driver as one,
  # so there only 3, fatal errors.
  has_gpu = any(os.path.exists(path) for path in _GPU_FILES)
  os.environ[_LEVEL] = '2' if has_gpu else '3'
  try:
    yield
  finally:
    del os.environ[_LEVEL]


@contextlib.contextmanager
def _python_log_level():
  """Lets only errors through TensorFlow's Python log."""
  logger = logging.getLogger('tensorflow')

  def is_error(record):
    return record.levelno >= logging.ERROR

  # A filter, because TensorFlow sets the logger's level itself when it loads.
  logger.addFilter(is_error)
  try:
    yield
  finally:
    logger.removeFilter(is_error)


@contextlib.contextmanager
def _filtered_stderr(noise=_NOISE, shows_failures=True):
  """Holds back what is written to file descriptor 2, then lets through what is not noise.

  Args:
    noise: matches the beginnings of the lines, as bytes, that are.
    shows_failures: whether everything is let through after an exception.
  """
  with contextlib.ExitStack() as stack:
    try:
      held_back = stack.enter_context(tempfile.TemporaryFile())
      original = os.dup(2)
    except OSError:  # A closed stderr, or no folder to write to: nothing to filter, or no means.
      yield
      return
    stack.callback(os.close, original)
    _flush_stderr()
    os.dup2(held_back.fileno(), 2)
    failed = shows_failures
    try:
      yield
      failed = False
    finally:
      _flush_stderr()
      os.dup2(original, 2)
      held_back.seek(0)
      for line in held_back:
        if failed or not noise.match(line):
          os.write(2, line)


def _flush_stderr():
  if sys.stderr is not None:  # As under pythonw.
    sys.stderr.flush()
