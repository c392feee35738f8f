"""The console: nothing that is said can fail, harm a terminal, or get lost without a word."""

import errno
import io
import os
import shlex
import subprocess
import sys

import pytest

from datasets import image_folder
from slimtrain import console
from tests import shapes, warm_python
from tests.slimtrain.conftest import ROOT


class Refusing(io.RawIOBase):
  """A file that takes `room` bytes, and then fails with `number`."""

  def __init__(self, number, room=0):
    self.number, self.room, self.taken = number, room, b''

  def writable(self):
    return True

  def write(self, content):
    if len(content) > self.room:
      raise OSError(self.number, os.strerror(self.number))
    self.room -= len(content)
    self.taken += bytes(content)
    return len(content)


@pytest.fixture
def streams(monkeypatch):
  """`streams(stdout, encoding)` starts the console on a raw file; returns the standard error."""

  def start(stdout, encoding='utf-8'):
    made = io.TextIOWrapper(io.BufferedWriter(stdout), encoding=encoding)
    stderr = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, 'stdout', made)
    monkeypatch.setattr(sys, 'stderr', stderr)
    console.start()
    return stderr

  yield start
  monkeypatch.undo()
  console._LOGGER.handlers = []
  console._LOGGER.propagate = True


def read(stream):
  stream.flush()
  return stream.buffer.getvalue().decode()


def test_an_ascii_console_shows_everything(streams):
  stdout = Refusing(0, room=1000)
  stderr = streams(stdout, 'ascii')
  console.say('café 日本 \x1b[31m\u202e caf\udce9 \ud800\nsecond line')
  console.complain('é\x9b')
  sys.stderr.write('written by others: é\n')
  assert console.finish(0) == 0
  shown = 'caf\\xe9 \\u65e5\\u672c \\x1b[31m\\u202e caf\\xe9 \\ud800\nsecond line\n'
  assert stdout.taken.decode() == shown
  assert read(stderr) == '\\xe9\\u009b\nwritten by others: \\xe9\n'


def test_a_gone_reader_is_no_error_but_no_success(streams):
  stderr = streams(Refusing(errno.EPIPE, room=6))
  console.say('first')
  assert console.has_reader()
  for _ in range(3):
    console.say('more')
  assert not console.has_reader()
  assert console.finish(0) == 141
  assert read(stderr) == ''


def test_a_full_output_is_said_once(streams):
  stderr = streams(Refusing(errno.ENOSPC, room=6))
  for _ in range(3):
    console.say('first')
  assert console.finish(0) == 1
  assert read(stderr).count('\n') == 1
  assert 'No space left on device' in read(stderr)


def test_an_exit_code_of_the_work_stays(streams):
  streams(Refusing(errno.EPIPE))
  console.say('first')
  assert console.finish(3) == 3


def test_closed_files_are_no_error(monkeypatch):
  monkeypatch.setattr(sys, 'stdout', None)
  monkeypatch.setattr(sys, 'stderr', None)
  console.start()
  console.say('line')
  console.complain('line')
  assert console.finish(0) == 0
  console._LOGGER.handlers = []
  console._LOGGER.propagate = True


@pytest.fixture(scope='module')
def python_dir(tmp_path_factory):
  """The folder of a `python` that starts at once."""
  folder = tmp_path_factory.mktemp('python')
  with warm_python.start(folder):
    yield folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory, python_dir):
  """Images in a class whose name is not ASCII, their records, and a run."""
  folder = tmp_path_factory.mktemp('console')
  shapes.write(folder / 'images', images_per_class=4, size=32)
  (folder / 'images' / sorted(os.listdir(folder / 'images'))[0]).rename(folder / 'images' / 'café')
  image_folder.convert(str(folder / 'images'), str(folder / 'data'))
  flags = SCRIPTS['train'].replace('--train_dir=run2', '--train_dir=run')
  finished = run(folder, python_dir, flags, '> log')
  assert finished.returncode == 0, finished.stderr
  return folder


_DATA = '--dataset_name=image_folder --dataset_dir=data'
_NET = '--model_name=lenet --train_image_size=28 --batch_size=4'
SCRIPTS = {
  'train': f'train_image_classifier.py {_DATA} {_NET} --max_number_of_steps=2 --train_dir=run2',
  'eval': f'eval_image_classifier.py {_DATA} --dataset_split_name=validation'
  ' --checkpoint_path=run --eval_dir=eval',
  'classify': 'classify_images.py --checkpoint_path=run images',
  'export': 'export_inference_graph.py --checkpoint_path=run --format=frozen --output_file=f.pb'
  ' --overwrite',
  'convert': 'download_and_convert_data.py --image_dir=images --dataset_dir=data2',
  'inspect_checkpoint': 'inspect_checkpoint.py --checkpoint_path=run',
  'inspect_dataset': 'inspect_dataset.py --survey --dataset_dir=data --output_dir=survey',
  'benchmark': 'benchmark_model.py --checkpoint_path=run --batch_sizes=1,2 --seconds=0.01',
  'cluster': 'launch_local_cluster.py --logs_dir=logs --num_workers=1 --'
  f' {ROOT}/inspect_checkpoint.py --help',
  'help': 'train_image_classifier.py --help',
}


def run(folder, python_dir, command, redirection, **env):
  script, _, flags = command.partition(' ')
  line = f'rm -rf run2 data2; {python_dir}/python {ROOT}/{script} {flags} {redirection}'
  return subprocess.run(  # noqa: S603
    ['/bin/bash', '-o', 'pipefail', '-c', line],
    cwd=folder,
    env={**os.environ, **env},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


@pytest.mark.parametrize('name', ['train', 'eval', 'classify', 'inspect_checkpoint', 'help'])
def test_no_room_for_what_is_said(folder, python_dir, name):
  finished = run(folder, python_dir, SCRIPTS[name], '> /dev/full')
  assert finished.returncode == 1
  *_, last = finished.stderr.splitlines()
  assert 'error: The standard output could not be written (No space left on device)' in last
  assert 'Traceback' not in finished.stderr


@pytest.mark.parametrize('name', SCRIPTS)
def test_a_reader_that_leaves(folder, python_dir, name):
  # It leaves before anything is written, as head does after the first line, but without chance.
  finished = run(folder, python_dir, SCRIPTS[name], '| exec true')
  assert finished.returncode == 141
  assert finished.stderr == ''
  made = {'eval': 'eval/eval.json', 'export': 'f.pb', 'convert': 'data2/dataset_info.json'}
  assert (folder / made.get(name, '')).exists()


@pytest.mark.parametrize('name', ['classify', 'convert', 'inspect_dataset'])
def test_names_on_an_ascii_console(folder, python_dir, name):
  finished = run(folder, python_dir, SCRIPTS[name], '', PYTHONIOENCODING='ascii')
  assert finished.returncode == 0
  assert 'Traceback' not in finished.stderr
  assert 'caf\\xe9' in finished.stdout


@pytest.mark.parametrize('closed', ['2>&-', '<&- >&- 2>&-'])
def test_closed_standard_files(folder, closed):
  line = (
    f'{shlex.quote(sys.executable)} {ROOT}/inspect_checkpoint.py --checkpoint_path=run {closed}'
  )
  finished = subprocess.run(  # noqa: S603
    ['/bin/bash', '-c', line], cwd=folder, capture_output=True, text=True, timeout=300, check=False
  )
  assert finished.returncode == 0
  assert finished.stderr == ''
