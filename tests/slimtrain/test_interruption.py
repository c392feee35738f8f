"""Runs of the script that a signal ends."""

import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from slimcompat import checkpoint_directory
from slimtrain import checkpoints, interruption

ROOT = pathlib.Path(__file__).resolve().parents[2]
PIPES = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}


@pytest.fixture
def start(start_training):
  """`start(*flags)` is an endless run that has made a few steps."""

  def start_run(*flags):
    process = start_training(*flags)
    for line in process.stdout:
      if line.startswith('global step 3:'):
        return process
    raise AssertionError(process.communicate()[1])

  return start_run


@pytest.mark.parametrize('number', interruption.SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_the_run_with_a_checkpoint(start, tmp_path, number):
  process = start()
  process.send_signal(number)
  output, error = process.communicate(timeout=60)
  assert process.returncode == 128 + number
  assert f'{number.name} ended the run; {tmp_path}/model.ckpt-' in error
  assert 'Traceback' not in error
  steps = [int(line.split()[2][:-1]) for line in output.splitlines() if line.startswith('global')]
  saved = checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path)))
  assert saved == max([3, *steps])


def test_a_terminal_that_closes_ends_the_run_with_a_checkpoint(tmp_path):
  process, terminal = pty.fork()
  if not process:
    flags = ('--dataset_name=digits', '--model_name=lenet', '--log_every_n_steps=1')
    script = [sys.executable, 'train_image_classifier.py', f'--train_dir={tmp_path}', *flags]
    os.chdir(ROOT)
    os.execv(sys.executable, script)  # noqa: S606
  output = b''
  while b'global step 3:' not in output:
    output += os.read(terminal, 1 << 16)
  os.close(terminal)
  _, status = os.waitpid(process, 0)
  assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path))) >= 3


SCRIPT = """
import dataclasses, multiprocessing, os, signal, sys, tempfile, time
from slimtrain import settings

@dataclasses.dataclass(frozen=True)
class Settings(settings.Settings):
  'Run.'

def act(settings):
  with multiprocessing.get_context('fork').Pool(1) as pool:
    pool.apply(os.getpid)  # The pool ends its processes with SIGTERM.
  with tempfile.TemporaryDirectory(dir=sys.argv[0].rpartition('/')[0]):
    print('begun', flush=True)
    time.sleep(100)

settings.run(Settings(), act)
"""


@pytest.mark.parametrize('number', interruption.SIGNALS, ids=lambda number: number.name)
def test_a_script_cleans_up(tmp_path, number):
  path = tmp_path / 'script.py'
  path.write_text(SCRIPT)
  process = subprocess.Popen(  # noqa: S603
    [sys.executable, path], cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)}, **PIPES
  )
  assert process.stdout.readline() == 'begun\n'
  process.send_signal(number)
  _, error = process.communicate(timeout=60)
  assert (process.returncode, os.listdir(tmp_path)) == (128 + number, ['script.py'])
  assert 'Traceback' not in error


def test_what_is_ignored_stays_ignored(tmp_path):
  """As nohup starts it."""
  path = tmp_path / 'script.py'
  path.write_text(
    'import os, signal\n'
    'from slimtrain import interruption\n'
    'with interruption.raised(), interruption.Interruption() as interrupted:\n'
    '  os.kill(os.getpid(), signal.SIGHUP)\n'
    'print(interrupted.signal_number)\n'
  )
  finished = subprocess.run(  # noqa: S603
    ['nohup', sys.executable, path],  # noqa: S607
    cwd=ROOT,
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    **PIPES,
    check=False,
  )
  assert finished.stdout == 'None\n'


@pytest.fixture
def blocked(start, blocking_plugin):
  """A run whose step waits for its input."""
  process = start(*blocking_plugin)
  for line in process.stdout:
    if 'blocked' in line:
      return process
  raise AssertionError(process.communicate()[1])


def test_a_blocked_step_is_left(blocked):
  start_secs = time.monotonic()
  blocked.send_signal(signal.SIGTERM)
  _, error = blocked.communicate(timeout=60)
  assert time.monotonic() - start_secs < 10
  assert blocked.returncode == 128 + signal.SIGTERM
  # The step that runs may have its input already, and end.
  assert re.search('The step did not end within 8 seconds|saved, but its input does not end', error)
  assert 'The newest checkpoint is whole' in error


def test_a_second_signal_ends_at_once(blocked):
  blocked.send_signal(signal.SIGTERM)
  blocked.send_signal(signal.SIGINT)
  _, error = blocked.communicate(timeout=60)
  assert blocked.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)
  assert 'A second signal ends the run at once.' in error


def test_handlers_are_put_back():
  before = [signal.getsignal(number) for number in interruption.SIGNALS]
  with interruption.Interruption() as interrupted:
    assert not interrupted.has_come()
    os.kill(os.getpid(), signal.SIGTERM)
    # Asked for at once, as a step may have ended long before the thread runs.
    while not interrupted.has_come():
      os.sched_yield()
    assert interrupted.signal_number == signal.SIGTERM
  assert [signal.getsignal(number) for number in interruption.SIGNALS] == before
