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


@contextlib.contextmanager
def imports():
  """Silences the notes on oneDNN, CPU features, CUDA and deprecations while TensorFlow loads.

  Whatever else is written to the standard error appears when the block ends; everything does
  when it ends with an exception. Whoever set `TF_CPP_MIN_LOG_LEVEL` or imported TensorFlow
  before keeps their choice.
  """
  if 'tensorflow' in sys.modules or 'TF_CPP_MIN_LOG_LEVEL' in os.environ:
    yield
    return
  # The C++ runtime reads the level once, when it loads. 2 shows errors; without a GPU its first
  # session would report the missing CUDA driver as one, so there only 3, fatal errors.
  has_gpu = any(os.path.exists(path) for path in _GPU_FILES)
  os.environ['TF_CPP_MIN_LOG_LEVEL'] = '2' if has_gpu else '3'
  logger = logging.getLogger('tensorflow')
  level = logger.level
  logger.setLevel(logging.ERROR)
  try:
    with _filtered_stderr(), warnings.catch_warnings():
      warnings.simplefilter('ignore')
      yield
  finally:
    logger.setLevel(level)
  # `tf_slim` calls `layer.apply` in every layer.
  warnings.filterwarnings('ignore', message='`layer.apply` is deprecated')


@contextlib.contextmanager
def _filtered_stderr():
  """Holds back what is written to file descriptor 2, then lets through what is not noise."""
  sys.stderr.flush()
  original = os.dup(2)
  failed = False
  with tempfile.TemporaryFile() as held_back:
    os.dup2(held_back.fileno(), 2)
    try:
      yield
    except BaseException:
      failed = True
      raise
    finally:
      sys.stderr.flush()
      os.dup2(original, 2)
      os.close(original)
      held_back.seek(0)
      for line in held_back:
        if failed or not _NOISE.match(line):
          os.write(2, line)
