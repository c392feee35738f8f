"""Files of users: read when regular and of a bounded size, written whole or not at all."""

import os
import socket
import subprocess
import sys

import pytest

from datasets import user_files

# Makes what is at a path -> the reason why it is not read.
_NOT_FILES = {
  'pipe': (os.mkfifo, 'it is a named pipe, not a file'),
  'directory': (os.mkdir, 'it is a directory, not a file'),
  'zeros': (lambda path: os.symlink('/dev/zero', path), 'it is a device, not a file'),
  'terminal': (lambda path: os.symlink('/dev/tty', path), 'it is a device, not a file'),
  'loop': (lambda path: os.symlink(path, path), 'Too many levels of symbolic links'),
  'dangling': (lambda path: os.symlink(f'{path}.gone', path), 'No such file or directory'),
  'nothing': (lambda path: None, 'No such file or directory'),
}


@pytest.mark.parametrize('kind', _NOT_FILES)
@pytest.mark.parametrize('is_linked', [False, True], ids=['itself', 'by_link'])
def test_what_is_no_file_has_a_reason(kind, is_linked, tmp_path):
  make, reason = _NOT_FILES[kind]
  path = str(tmp_path / 'x.jpg')
  make(path)
  if is_linked:
    os.symlink(path, path := str(tmp_path / 'link.jpg'))
  with pytest.raises(OSError) as caught:
    user_files.read_bytes(path, 100)
  assert caught.value.strerror == reason


def test_socket_has_a_reason(tmp_path, monkeypatch):
  # The path of a socket must be short.
  monkeypatch.chdir(tmp_path)
  with socket.socket(socket.AF_UNIX) as bound:
    bound.bind('x.jpg')
    with pytest.raises(OSError, match='it is a socket, not a file'):
      user_files.read_bytes('x.jpg', 100)


def test_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
  path, file = str(tmp_path / 'x.jpg'), tmp_path / 'file'
  os.mkfifo(path)
  file.write_bytes(b'abc')
  state = os.stat(file)
  monkeypatch.setattr(os, 'stat', lambda path: state)
  with pytest.raises(OSError, match='it is a named pipe, not a file'):
    user_files.read_bytes(path, 100)


def test_files_are_read_up_to_the_limit(tmp_path):
  path = str(tmp_path / 'x.jpg')
  for content in (b'', b'abc', bytes(100)):
    with open(path, 'wb') as file:
      file.write(content)
    assert user_files.read_bytes(path, 100) == content
  with open(path, 'ab') as file:
    file.write(b'd')
  with pytest.raises(OSError) as caught:
    user_files.read_bytes(path, 100)
  assert caught.value.strerror == 'it has 101 bytes, more than 100'


def test_large_file_without_content_is_not_read(tmp_path):
  path = str(tmp_path / 'x.jpg')
  with open(path, 'wb') as file:
    file.truncate(10**11)
  with pytest.raises(OSError, match='it has 100,000,000,000 bytes, more than 1,000'):
    user_files.read_bytes(path, 1000)


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='needs /proc')
def test_file_whose_size_the_system_does_not_know_is_bounded():
  assert os.path.getsize('/proc/self/status') == 0
  assert user_files.read_bytes('/proc/self/status', 10**6).startswith(b'Name')
  with pytest.raises(OSError, match='it has 11 bytes, more than 10'):
    user_files.read_bytes('/proc/self/status', 10)


# Writes half of it, and is killed.
KILLED = """
import os, signal, sys
from datasets import user_files
with user_files.{}(*sys.argv[1:]) as made:
  {}
  os.kill(os.getpid(), signal.SIGKILL)
"""
FILE = ('open_atomically', "made.write(b'half'); made.flush()", ())
FOLDER = ('folder_beside', "open(os.path.join(made, 'a'), 'w').close()", ('exporting',))


def leave(function, half, arguments):
  script = KILLED.format(function, half)
  assert subprocess.run([sys.executable, '-c', script, *arguments], check=False).returncode == -9  # noqa: S603


@pytest.mark.parametrize('case', [FILE, FOLDER], ids=lambda case: case[0])
def test_what_a_killed_process_left_goes(tmp_path, case):
  function, half, arguments = case
  tmp_path = tmp_path / 'folder'
  tmp_path.mkdir()
  path = str(tmp_path / 'made [a]*')
  others = {'.made [a]*.backup.tmp', '.other.0123abcd.tmp', '.x.0123abcd', 'y.0123abcd.exporting'}
  for name in others:
    (tmp_path / name).touch()
  leave(function, half, (path, *arguments))
  assert len(os.listdir(tmp_path)) == len(others) + 1
  with getattr(user_files, function)(path, *arguments):
    assert len(os.listdir(tmp_path)) == len(others) + 1
    # What is in use stays.
    with getattr(user_files, function)(path, *arguments):
      assert len(os.listdir(tmp_path)) == len(others) + 2
  assert set(os.listdir(tmp_path)) - {'made [a]*'} == others


def test_an_error_leaves_the_old_file(tmp_path):
  path = tmp_path / 'folder' / 'file'
  path.parent.mkdir()
  path.write_text('old')
  with pytest.raises(ZeroDivisionError), user_files.open_atomically(str(path)) as file:
    file.write(b'new')
    raise ZeroDivisionError
  assert os.listdir(path.parent) == ['file']
  assert path.read_text() == 'old'
