"""A whole cluster on this machine: its tasks are started, watched, started again, and ended."""

import contextlib
import dataclasses
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from slimcompat import errors, paths
from slimtrain import console, files, interruption
from slimtrain import settings as settings_lib

_POLL_SECS = 0.2
_END_SECS = 40  # For the tasks to end by themselves after the chief has.
_SAVE_SECS = 30  # For the chief to save after a signal.
_KILL_SECS = 12  # For the others to end after a signal.
_PORTS = range(20000, 30000)
_ISOLATED = 'SLIMTRAIN_IS_ISOLATED'  # In the environment of a launcher in its own namespace.
_SET_INTERFACE_FLAGS, _INTERFACE_IS_UP = 0x8914, 0x1  # SIOCSIFFLAGS and IFF_UP of Linux.
_STEP = re.compile(r'global step (\d+):')


@dataclasses.dataclass(frozen=True)
class LocalClusterSettings(settings_lib.Settings):
  """Local cluster."""

  num_ps: int = settings_lib.setting(1, 'Parameter servers.', lower=1)
  num_workers: int = settings_lib.setting(2, 'Workers, the chief being one of them.', lower=1)
  logs_dir: str | None = settings_lib.setting(
    None,
    "The directory for what each task writes. Unset: a new one among the system's temporary.",
    path=paths.local,
  )
  command: tuple[str, ...] = settings_lib.setting(
    (), 'The command that trains. It is better written behind --, after the flags.'
  )
  max_restarts: int = settings_lib.setting(
    20, 'How often tasks that were killed are started again, all together.', lower=0
  )
  isolate: bool = settings_lib.setting(
    False,
    'Run the cluster in a network namespace of its own (Linux), where nobody else reaches its ports'
    ' and it reaches no network.',
  )


class FailedClusterError(errors.InputError):
  """A cluster that did not come to a good end. `exit_code` is that of the launcher."""

  def __init__(self, message, exit_code=1):
    super().__init__(message)
    self.exit_code = exit_code


class Task:
  """One process of the cluster, of one start after the other."""

  def __init__(self, job, number, command, log_dir):
    self.job, self.number = job, number
    self.name = f'{job} {number}'
    self.num_restarts = 0
    self.log_path = os.path.join(log_dir, f'{job}_{number}.log')
    self._command = [*command, f'--job_name={job}', f'--task={number}']
    self._process = None
    open(self.log_path, 'wb').close()

  def start(self):
    """Starts the process; its log goes on."""
    with open(self.log_path, 'ab') as log:
      self._process = subprocess.Popen(  # noqa: S603
        self._command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # Ctrl-C on the terminal is for the launcher, which ends the tasks in order.
        start_new_session=True,
      )

  @property
  def pid(self):
    """Of the process that was started last."""
    return self._process.pid

  @property
  def exit_code(self):
    """Of the process that was started last; None while it runs, negative if a signal ended it."""
    return self._process.poll() if self._process else None

  def send(self, signal_number):
    """Sends a signal, unless the process has ended."""
    if self._process and self._process.poll() is None:
      with contextlib.suppress(ProcessLookupError):
        self._process.send_signal(signal_number)

  def last_line(self):
    """Returns the last line of the log, without what is around it."""
    with open(self.log_path, encoding='utf-8', errors='replace') as log:
      lines = log.read().splitlines()
    return lines[-1].strip() if lines else ''


class Signals:
  """Counts SIGINT, SIGTERM and SIGHUP in its block."""

  def __init__(self):
    self.number = None  # Of the first one.
    self.count = 0

  def __enter__(self):
    self._old = {
      number: signal.signal(number, self._heed) for number in interruption.heeded_signals()
    }
    return self

  def __exit__(self, *unused):
    for number, handler in self._old.items():
      signal.signal(number, handler)

  def _heed(self, number, frame):
    del frame
    self.number = self.number or number
    self.count += 1


class LocalCluster:
  """The tasks, and what is done when one ends."""

  def __init__(self, settings):
    """Chooses ports and makes the tasks, without starting them.

    Args:
      settings: LocalClusterSettings; a command that is a file that ends in .py is run by Python.

    Raises:
      InputError: when the command does not exist, or says what the launcher says.
    """
    self._settings = settings
    command = _complete(settings.command)
    if settings.logs_dir:
      files.check_writable('logs_dir', settings.logs_dir)
    self.log_dir = settings.logs_dir or tempfile.mkdtemp(prefix='slimtrain_cluster_')
    addresses = [
      f'127.0.0.1:{port}' for port in _free_ports(settings.num_ps + settings.num_workers)
    ]
    self.ps_hosts = addresses[: settings.num_ps]
    self.worker_hosts = addresses[settings.num_ps :]
    command += [
      f'--ps_hosts={",".join(self.ps_hosts)}',
      f'--worker_hosts={",".join(self.worker_hosts)}',
    ]
    self.tasks = [
      Task(job, number, command, self.log_dir)
      for job, count in (('ps', settings.num_ps), ('worker', settings.num_workers))
      for number in range(count)
    ]
    self._chief = self.tasks[settings.num_ps]
    self._num_shown = 0  # Bytes of the chief's log.
    self._step = None
    self._start_secs = time.monotonic()

  def run(self):
    """Runs the cluster to its end.

    Raises:
      FailedClusterError: when a task failed, or a signal came.
    """
    console.say(
      f'{self._settings.num_ps} parameter servers at {", ".join(self.ps_hosts)},'
      f' {self._settings.num_workers} workers at {", ".join(self.worker_hosts)}. Logs:'
      f' {self.log_dir}. These are the lines of the chief:'
    )
    if not self._settings.isolate:
      console.say(
        "TensorFlow's servers listen on every interface of this machine, not only on 127.0.0.1, and"
        ' ask for no password. On a network that is not private, use --isolate.'
      )
    with Signals() as signals:
      try:
        for task in self.tasks:
          task.start()
        failed = self._watch(signals)
        if signals.number is not None:
          self._end_in_order(signals)
      finally:
        self._kill()
    self._show()
    summary = self._summarize()
    if signals.number is not None:
      name = signal.Signals(signals.number).name
      raise FailedClusterError(f'{name} ended the cluster. {summary}', 128 + signals.number)
    if failed:
      raise FailedClusterError(
        f'{failed.name} ended with the exit code {failed.exit_code}: {failed.last_line()}'
        f' See {failed.log_path}. {summary}'
      )
    console.say(summary)

  def _watch(self, signals):
    """Starts again what was killed, until the chief has ended; returns the task that failed."""
    deadline_secs = None
    while signals.number is None:
      self._show()
      running = []
      for task in self.tasks:
        code = task.exit_code
        if code is None:
          running.append(task)
        elif code > 0:
          return task
        elif code < 0 and deadline_secs is None:
          if not self._restart(task, code):
            return task
          running.append(task)
      if not running:
        return None
      if self._chief.exit_code == 0:
        deadline_secs = deadline_secs or time.monotonic() + _END_SECS
        if time.monotonic() > deadline_secs:
          return running[0]
      time.sleep(_POLL_SECS)
    return None

  def _restart(self, task, code):
    """Starts a task again; returns False when that was done often enough."""
    name = signal.Signals(-code).name
    num_restarts = sum(other.num_restarts for other in self.tasks)
    if num_restarts == self._settings.max_restarts:
      return False
    task.num_restarts += 1
    console.say(
      f'{task.name} was ended by {name}; it is started again ({num_restarts + 1} of at most'
      f' {self._settings.max_restarts} times).'
    )
    task.start()
    return True

  def _end_in_order(self, signals):
    """Ends the chief, so that it saves while the others are there, and then these."""
    for tasks, secs in (([self._chief], _SAVE_SECS), (self.tasks, _KILL_SECS)):
      for task in tasks:
        task.send(signal.SIGTERM)
      deadline_secs = time.monotonic() + secs
      while any(task.exit_code is None for task in tasks):
        if time.monotonic() > deadline_secs or signals.count > 1:
          break
        self._show()
        time.sleep(_POLL_SECS)

  def _kill(self):
    """Ends what runs still: after a failure first those that may want to save."""
    for signal_number, secs in ((signal.SIGTERM, _KILL_SECS), (signal.SIGKILL, _KILL_SECS)):
      running = [task for task in self.tasks if task.exit_code is None and task._process]
      for task in running:
        task.send(signal_number)
      deadline_secs = time.monotonic() + secs
      while any(task.exit_code is None for task in running) and time.monotonic() < deadline_secs:
        time.sleep(_POLL_SECS)

  def _show(self):
    """Says what the chief has written since."""
    with open(self._chief.log_path, 'rb') as log:
      log.seek(self._num_shown)
      lines = log.read()
    whole = lines[: lines.rfind(b'\n') + 1]
    self._num_shown += len(whole)
    for line in whole.decode('utf-8', 'replace').splitlines():
      console.say(line)
      if step := _STEP.match(line):
        self._step = int(step[1])

  def _summarize(self):
    secs = time.monotonic() - self._start_secs
    restarts = ', '.join(
      f'{task.name} {task.num_restarts} times' for task in self.tasks if task.num_restarts
    )
    return (
      f'Cluster of {self._settings.num_ps} ps and {self._settings.num_workers} workers: step'
      f' {self._step or 0}, {secs:.0f} seconds, started again: {restarts or "none"}, exit codes'
      f' {" ".join(str(task.exit_code) for task in self.tasks)}, logs in {self.log_dir}.'
    )


def launch(settings):
  """Runs the cluster of LocalClusterSettings `settings`.

  Raises:
    InputError: when the command is at fault.
    FailedClusterError: when a task failed, or a signal came.
  """
  _complete(settings.command)  # A mistake there is said first.
  if settings.isolate:
    if os.environ.pop(_ISOLATED, None) is None:
      _enter_namespace()
    _start_loopback()
  LocalCluster(settings).run()


def _enter_namespace():
  """Begins this process anew in a network namespace of its own. Raises InputError."""
  why = 'there is no program unshare, which Linux has'
  for options in (['--net', '--map-root-user'], ['--net']):
    try:
      tried = subprocess.run(  # noqa: S603
        ['unshare', *options, 'true'],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
      )
    except OSError:
      break
    if tried.returncode == 0:
      sys.stdout.flush()
      command = ['unshare', *options, sys.executable, *sys.orig_argv[1:]]
      os.execvpe(command[0], command, {**os.environ, _ISOLATED: '1'})  # noqa: S606
    why = tried.stderr.strip()
  raise errors.InputError(
    f'--isolate: this system does not allow a network namespace ({why}). Leave the flag out on a'
    ' private network, or run this in a container.'
  )


def _start_loopback():
  """Starts the network interface that a new namespace has, by which tasks reach each other."""
  import fcntl  # Not everywhere.

  interface = struct.pack('16sh14x', b'lo', _INTERFACE_IS_UP)
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
    fcntl.ioctl(opened, _SET_INTERFACE_FLAGS, interface)


def _complete(command):
  example = 'launch_local_cluster.py --num_workers=2 -- train_image_classifier.py --train_dir=DIR'
  if not command:
    raise errors.InputError(f'There is no command to run. Write it after --, as in {example}.')
  for word in command:
    name = word.lstrip('-').partition('=')[0]
    if word.startswith('-') and name in ('ps_hosts', 'worker_hosts', 'job_name', 'task', 'master'):
      raise errors.InputError(f'{word} is what the launcher says to each task. Leave it out.')
  if command[0].endswith('.py'):
    if not os.path.exists(command[0]):
      raise errors.InputError(f'There is no file {command[0]}. Write the command as in {example}.')
    return [sys.executable, '-u', *command]
  if shutil.which(command[0]) is None:
    raise errors.InputError(f'There is no program {command[0]}. Write the command as in {example}.')
  return list(command)


def _free_ports(count):
  """Returns ports that nobody listens on, as far as can be told without keeping them.

  They lie below those that systems give to connections, so that none has one while its task is
  started again.
  """
  ports = []
  for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
    with socket.socket() as opened, contextlib.suppress(OSError):
      opened.bind(('', port))
      ports.append(port)
    if len(ports) == count:
      return ports
  raise errors.InputError(f'There are no {count} free ports from {_PORTS[0]} to {_PORTS[-1]}.')
