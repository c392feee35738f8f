"""A `python` for shell scripts that has TensorFlow loaded already: its commands start at once.

`start(folder)` starts a server that forks for each command, and writes `folder/python`, a program
that hands its command line, folder, environment, standard files and exit code through. A script of
the checkout put behind it sees what it would see behind Python itself, which runs all others.
"""

import array
import contextlib
import io
import json
import os
import pathlib
import runpy
import signal
import socket
import subprocess
import sys
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
_CLIENT = """#!{python} -IS
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
  server.connect({address!r})
  request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
  fds = array.array('i', [0, 1, 2])
  server.sendmsg([len(request).to_bytes(4, 'big')], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
  server.sendall(request)
  answer = server.recv(4)
os._exit(int.from_bytes(answer, 'big') if answer else 1)
"""


@contextlib.contextmanager
def start(folder):
  """Runs the server while the context lasts; `folder`, which exists, then has a `python`."""
  address = str(pathlib.Path(folder) / 'socket')
  client = pathlib.Path(folder) / 'python'
  client.write_text(_CLIENT.format(python=sys.executable, address=address))
  client.chmod(0o755)
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(address)
    listener.listen()
    process = subprocess.Popen(  # noqa: S603
      [sys.executable, '-m', 'tests.warm_python', str(listener.fileno())],
      cwd=ROOT,
      pass_fds=[listener.fileno()],
    )
  try:
    yield
  finally:
    process.terminate()
    process.wait()


def _serve(listener):
  # Whatever the scripts import, they then find it loaded.
  import slimtrain.classification
  import slimtrain.data_inspection
  import slimtrain.export
  import slimtrain.training  # noqa: F401

  signal.signal(signal.SIGCHLD, signal.SIG_IGN)
  while True:
    connection, _ = listener.accept()
    # A process that waits for the command's, as the client does for its answer.
    if os.fork():
      connection.close()
      continue
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = _receive(connection)
    child = os.fork()
    if not child:
      connection.close()
      _run(*command)
    _, status = os.waitpid(child, 0)
    connection.sendall((os.waitstatus_to_exitcode(status) & 0xFF).to_bytes(4, 'big'))
    os._exit(0)


def _receive(connection):
  """Returns (arguments, folder, environment, standard files) of a command."""
  fds = array.array('i')
  size, ancillary, _, _ = connection.recvmsg(4, socket.CMSG_LEN(3 * fds.itemsize))
  fds.frombytes(ancillary[0][2])
  length, request = int.from_bytes(size, 'big'), b''
  while len(request) < length:
    request += connection.recv(length - len(request))
  return (*json.loads(request), list(fds))


def _run(arguments, folder, environment, fds):
  """Runs a Python command line, and exits as it does."""
  for number, fd in enumerate(fds):
    os.dup2(fd, number)
  os.chdir(folder)
  os.environ.clear()
  os.environ.update(environment)
  # As Python makes them at its start, for these files.
  encoding, _, errors = environment.get('PYTHONIOENCODING', 'utf-8').partition(':')
  for name, number in (('stdout', 1), ('stderr', 2)):
    usual = 'strict' if name == 'stdout' else 'backslashreplace'
    made = io.FileIO(number, 'w', closefd=False)
    setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(made), encoding, errors or usual))
  code = 0
  try:
    if arguments[0] in ('-c', '-m'):
      kind, what, *rest = arguments
      sys.argv = [kind, *rest]
      if kind == '-c':
        exec(compile(what, '<string>', 'exec'), {'__name__': '__main__'})  # noqa: S102
      else:
        runpy.run_module(what, run_name='__main__', alter_sys=True)
    elif ROOT not in pathlib.Path(arguments[0]).resolve().parents:
      # A program of the user's, which may want TensorFlow 2 as it comes, or no TensorFlow.
      os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
    else:
      sys.argv = arguments
      sys.path[0] = str(pathlib.Path(arguments[0]).resolve().parent)
      runpy.run_path(arguments[0], run_name='__main__')
  except SystemExit as error:
    code = error.code if isinstance(error.code, int) else int(error.code is not None)
  except BaseException:
    traceback.print_exc()
    code = 1
  try:
    sys.stdout.flush()
    sys.stderr.flush()
  except OSError:
    code = 120  # As Python ends then.
  os._exit(code)


if __name__ == '__main__':
  _serve(socket.socket(fileno=int(sys.argv[1])))
