import io
import logging
import os
import sys
import tempfile
import warnings

import pytest

from slimcompat import quiet

_NOTES = (
  b'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n'
  b'I0000 00:00:1795243733.660480    4903 port.cc:153] oneDNN custom operations are on.\n'
  b'2024-11-21 07:34:50.143307: I tensorflow/core/util/port.cc:113] oneDNN is on.\n'
  b'2024-11-21 07:34:50.143307: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:479]'
  b' Unable to register cuFFT factory: one has already been registered\n'
  b'To enable the following instructions: AVX2 FMA, rebuild TensorFlow.\n'
)
_ERROR = b'E0000 00:00:1795246628.921141   26503 loader.cc:52] the library is broken\n'


@pytest.fixture
def first_import(monkeypatch):
  """As if TensorFlow was not loaded yet, and no level set."""
  monkeypatch.delitem(sys.modules, 'tensorflow')
  monkeypatch.delenv('TF_CPP_MIN_LOG_LEVEL', raising=False)


def _write(message):
  os.write(2, message)


def _stderr(capfd):
  return capfd.readouterr().err.encode()


def test_notes_are_held_back_and_errors_shown(first_import, capfd, monkeypatch):
  with open(2, 'w', closefd=False) as stderr:
    monkeypatch.setattr(sys, 'stderr', stderr)
    sys.stderr.write('before\n')
    with quiet.imports():
      assert _stderr(capfd) == b'before\n'
      _write(_NOTES + _ERROR)
      sys.stderr.write('what Python wrote\n')
    assert _stderr(capfd) == _ERROR + b'what Python wrote\n'
  _write(_NOTES)
  assert _stderr(capfd) == _NOTES


def test_a_failed_import_shows_everything(first_import, capfd):
  with pytest.raises(ImportError, match='no libcudart'), quiet.imports():
    _write(_NOTES)
    raise ImportError('no libcudart')
  assert _stderr(capfd) == _NOTES
  assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ


@pytest.mark.parametrize(('gpu_files', 'level'), [((), '3'), (('/dev/null',), '2')])
def test_level_is_set_for_the_block_only(first_import, monkeypatch, gpu_files, level):
  monkeypatch.setattr(quiet, '_GPU_FILES', gpu_files)
  with quiet.imports():
    assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == level
  assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ


def test_level_0_shows_everything_at_once(first_import, monkeypatch, capfd):
  monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', '0')
  with quiet.imports():
    _write(_NOTES)
    assert _stderr(capfd) == _NOTES


def test_another_level_stays(first_import, monkeypatch, capfd):
  monkeypatch.setenv('TF_CPP_MIN_LOG_LEVEL', '1')
  with quiet.imports():
    assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '1'
    _write(_NOTES)
  assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '1'
  assert _stderr(capfd) == b''


def test_tensorflow_loaded_before_keeps_its_stderr(monkeypatch, capfd):
  monkeypatch.delenv('TF_CPP_MIN_LOG_LEVEL', raising=False)
  with quiet.imports():
    assert 'TF_CPP_MIN_LOG_LEVEL' not in os.environ
    _write(_NOTES)
    assert _stderr(capfd) == _NOTES


def test_python_log_and_warnings():
  logger = logging.getLogger('tensorflow')
  shown = io.StringIO()
  handler = logging.StreamHandler(shown)
  logger.addHandler(handler)
  level = logger.level
  try:
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter('always')
      with quiet.imports():
        logger.warning('a module moved')
        logger.error('a module is gone')
        warnings.warn('old')
      logger.warning('after')
      warnings.warn('new')
  finally:
    logger.removeHandler(handler)
  assert shown.getvalue() == 'a module is gone\nafter\n'
  assert [str(warning.message) for warning in caught] == ['new']
  assert logger.level == level


def _fail(*args, **kwargs):
  raise OSError('not here')


@pytest.mark.parametrize('broken', [(os, 'dup'), (tempfile, 'TemporaryFile')], ids=lambda b: b[1])
def test_without_the_means_to_filter(first_import, monkeypatch, capfd, broken):
  with monkeypatch.context() as patch:
    patch.setattr(*broken, _fail)
    with quiet.imports():
      _write(_NOTES)
  assert _stderr(capfd) == _NOTES


def test_without_a_stderr_object(first_import, monkeypatch, capfd):
  with monkeypatch.context() as patch:
    patch.setattr(sys, 'stderr', None)
    with quiet.imports():
      _write(_NOTES + _ERROR)
  assert _stderr(capfd) == _ERROR
