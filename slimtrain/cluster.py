"""Several processes that train one net: who is in the cluster, and where variables live."""

import contextlib
import dataclasses
import json
import math
import os
import socket
import sys
import threading
import time

from slimcompat import errors, tf
from slimtrain import settings as settings_lib

JOBS = ('ps', 'worker', 'chief', 'evaluator')
RESOLVE_SECS = 15  # A name server may know a machine only some time after that was started.
_VARIABLE_OPS = ('Variable', 'VariableV2', 'VarHandleOp')


@dataclasses.dataclass(frozen=True)
class ClusterSettings(settings_lib.Settings):
  """Cluster."""

  ps_hosts: str | None = settings_lib.setting(
    None,
    'The parameter servers, host:port separated by commas: each keeps a part of the variables.'
    ' All tasks get the same lists. Where no flag describes a cluster, TF_CONFIG may.',
  )
  worker_hosts: str | None = settings_lib.setting(
    None, 'The workers, host:port separated by commas. The first is the chief, which saves.'
  )
  job_name: str | None = settings_lib.setting(
    None,
    'What this process is: a ps, a worker, the chief (which is worker 0), or an evaluator, which'
    ' only watches --train_dir.',
    choices=JOBS,
  )
  task: int = settings_lib.setting(
    0, 'Number of this process among those of its job, from 0 on.', lower=0
  )
  master: str = settings_lib.setting(
    '',
    'Address, such as grpc://host:port, of a TensorFlow server of your own that this worker runs'
    ' on. The cluster is then made of such servers, of the jobs ps and worker.',
  )
  worker_replicas: int = settings_lib.setting(1, 'Number of workers, with --master.', lower=1)
  num_ps_tasks: int = settings_lib.setting(
    0, 'Number of parameter servers, with --master.', lower=0
  )
  sync_replicas: bool = settings_lib.setting(
    False,
    'Whether the gradients of several workers are averaged for one step. Otherwise each worker'
    ' makes steps of its own.',
  )
  replicas_to_aggregate: int = settings_lib.setting(
    1,
    '--sync_replicas: gradients that are averaged for a step. With fewer than workers, the slowest'
    ' are not waited for.',
    lower=1,
  )
  cluster_timeout_secs: float = settings_lib.setting(
    600.0,
    'Seconds without parameter servers, or without the chief, after which a task gives up.',
    above=0,
  )

  @property
  def is_cluster(self):
    """Whether this process is one of several."""
    return bool(self.master or self.worker_hosts)

  @property
  def is_chief(self):
    """Whether this process saves. One that trains alone does."""
    return self.task == 0

  @property
  def num_averaged(self):
    """How many workers' gradients make a step."""
    return self.replicas_to_aggregate if self.sync_replicas else 1

  @property
  def share(self):
    """(Number of this worker, number of workers)."""
    return self.task, self.worker_replicas

  @property
  def device_filters(self):
    """The devices that this task talks to: it survives that other workers are lost."""
    own = 'ps' if self.job_name == 'ps' else 'worker'
    filters = ['/job:ps'] if self.num_ps_tasks else []
    return [*filters, f'/job:{own}/task:{self.task}']

  def address(self, job, task):
    """Returns host:port of a task, or what to call it with a --master."""
    hosts = settings_lib.split_names(self.ps_hosts if job == 'ps' else self.worker_hosts)
    return hosts[task] if hosts else f'/job:{job}/task:{task}'


def resolve(settings, tf_config=None):
  """Returns ClusterSettings `settings` with all that follows from them filled in.

  The chief becomes worker 0, and both numbers of tasks those of the lists.

  Args:
    settings: ClusterSettings, as given.
    tf_config: the text of TF_CONFIG; None is that of the environment. It counts when no flag
      describes a cluster.

  Raises:
    InputError: when they describe no cluster that can work.
  """
  if settings.job_name == 'evaluator':
    return settings
  if not (settings.worker_hosts or settings.ps_hosts or settings.master or settings.job_name):
    text = os.environ.get('TF_CONFIG', '') if tf_config is None else tf_config
    settings = _from_tf_config(settings, text) if text else settings
    if settings.job_name == 'evaluator':
      return settings
  if settings.master:
    return _check_master(settings)
  if not (settings.worker_hosts or settings.ps_hosts):
    return _check_alone(settings)
  return _check_hosts(settings)


def _from_tf_config(settings, text):
  """Returns the settings with what TF_CONFIG says, if that is of parameter servers."""
  example = (
    '{"cluster": {"ps": ["host:2222"], "chief": ["host:2222"], "worker": ["host:2222"]}, "task":'
    ' {"type": "worker", "index": 0}}'
  )
  try:
    config = json.loads(text)
    hosts = {job: list(config.get('cluster', {}).get(job, [])) for job in ('ps', 'chief', 'worker')}
    task = config.get('task', {})
    job, index = task.get('type'), int(task.get('index', 0))
  except (ValueError, TypeError, AttributeError) as error:
    raise errors.InputError(
      f'The environment variable TF_CONFIG is {text!r}, which cannot be read ({error}). Unset it,'
      f' or write JSON such as {example}.'
    ) from error
  if job == 'evaluator':
    return dataclasses.replace(settings, job_name='evaluator')
  workers = hosts['chief'] + hosts['worker']
  if not hosts['ps'] and len(workers) <= 1:
    return settings  # One machine.
  if job not in JOBS:
    raise errors.InputError(
      f'TF_CONFIG gives this task the type {job!r}, which must be one of {", ".join(JOBS)}.'
    )
  if job == 'worker':
    index += len(hosts['chief'])
  return dataclasses.replace(
    settings,
    ps_hosts=','.join(hosts['ps']),
    worker_hosts=','.join(workers),
    job_name=job,
    task=index,
  )


def _check_alone(settings):
  for name in ('job_name', 'task', 'worker_replicas', 'num_ps_tasks', 'sync_replicas'):
    value = getattr(settings, name)
    if value != getattr(ClusterSettings, name):
      raise errors.InputError(
        f'--{name}={value} is for training on several machines. Say which they are with --ps_hosts'
        ' and --worker_hosts, or --master, or leave the flag out.'
      )
  return settings


def _check_master(settings):
  if settings.ps_hosts or settings.worker_hosts or settings.job_name not in (None, 'worker'):
    raise errors.InputError(
      f'--master={settings.master} is for servers that run already, and --ps_hosts, --worker_hosts'
      ' and --job_name have this process start one. Leave one or the other out.'
    )
  if settings.task >= settings.worker_replicas:
    raise errors.InputError(
      f'--task={settings.task} is not among the --worker_replicas={settings.worker_replicas}'
      f' workers, which count from 0 to {settings.worker_replicas - 1}.'
    )
  if settings.worker_replicas > 1 and not settings.num_ps_tasks:
    raise errors.InputError(
      f'--worker_replicas={settings.worker_replicas} without parameter servers: nothing would be'
      ' shared. Set --num_ps_tasks.'
    )
  if settings.sync_replicas and not settings.num_ps_tasks:
    raise errors.InputError('--sync_replicas needs parameter servers. Set --num_ps_tasks.')
  return dataclasses.replace(settings, job_name='worker')


def _check_hosts(settings):
  hosts = {
    job: settings_lib.split_names(getattr(settings, f'{job}_hosts')) for job in ('ps', 'worker')
  }
  for job, other in (('ps', 'worker'), ('worker', 'ps')):
    if not hosts[job]:
      raise errors.InputError(
        f'--{other}_hosts={",".join(hosts[other])} without --{job}_hosts: a cluster has at least'
        ' one parameter server and one worker. Give both lists, the same to all tasks.'
      )
  everybody = hosts['ps'] + hosts['worker']
  for address in everybody:
    host, _, port = address.rpartition(':')
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
      raise errors.InputError(f'{address!r} is no address. Write host:port, such as 10.0.0.5:2222.')
    if everybody.count(address) > 1:
      raise errors.InputError(
        f'{address} stands in --ps_hosts and --worker_hosts more than once: each task needs an'
        ' address of its own. Use another port for each on the same machine.'
      )
  if settings.job_name is None:
    raise errors.InputError(
      '--ps_hosts and --worker_hosts are given, but not which of them this process is. Set'
      ' --job_name=ps or worker, and --task.'
    )
  if settings.job_name == 'chief' and settings.task:
    raise errors.InputError(
      f'--job_name=chief --task={settings.task}: there is one chief, which is task 0, worker 0.'
    )
  job = 'worker' if settings.job_name == 'chief' else settings.job_name
  if settings.task >= len(hosts[job]):
    raise errors.InputError(
      f'--task={settings.task}: --{job}_hosts names {len(hosts[job])}, which count from 0 to'
      f' {len(hosts[job]) - 1}.'
    )
  for name, count in (('worker_replicas', 'worker'), ('num_ps_tasks', 'ps')):
    value = getattr(settings, name)
    if value not in (getattr(ClusterSettings, name), len(hosts[count])):
      raise errors.InputError(
        f'--{name}={value}, but --{count}_hosts names {len(hosts[count])}. Leave --{name} out.'
      )
  return dataclasses.replace(
    settings, job_name=job, worker_replicas=len(hosts['worker']), num_ps_tasks=len(hosts['ps'])
  )


def check_addresses(settings, resolve_secs=RESOLVE_SECS):
  """Checks that all hosts are known and the own port is free.

  Returns:
    Whether this machine has the address of the task, as far as can be told.

  Raises:
    InputError: when one is not known within `resolve_secs`, or the port is taken.
  """
  deadline_secs = time.monotonic() + resolve_secs
  for job, count in (('ps', settings.num_ps_tasks), ('worker', settings.worker_replicas)):
    for task in range(count):
      _find_host(settings.address(job, task), deadline_secs)
  address = settings.address(settings.job_name, settings.task)
  host, _, port = address.rpartition(':')
  with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind(('', int(port)))
      listener.listen(1)
    except OSError as error:
      raise errors.InputError(
        f'The port of {settings.job_name} {settings.task}, {address}, cannot be used on this'
        f' machine: {error.strerror}. End the process that has it, or choose another one.'
      ) from error
  with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    try:
      probe.bind((socket.gethostbyname(host.strip('[]')), 0))
    except OSError:
      return False
  return True


def _find_host(address, deadline_secs):
  host, _, port = address.rpartition(':')
  while True:
    try:
      socket.getaddrinfo(host.strip('[]'), int(port))
      return
    except (OSError, UnicodeError) as error:
      if time.monotonic() > deadline_secs:
        reason = getattr(error, 'strerror', None) or error
        raise errors.InputError(
          f'The host of {address} is not known here: {reason}. Correct the name in --ps_hosts or'
          ' --worker_hosts, or give its number.'
        ) from error
    time.sleep(1)


def is_reached(address):
  """Returns whether somebody listens at host:port."""
  host, _, port = address.rpartition(':')
  try:
    with socket.create_connection((host.strip('[]'), int(port)), timeout=5):
      return True
  except OSError:
    return False


def start_server(settings, config):
  """Starts TensorFlow's server of this task; returns its address for sessions.

  Args:
    settings: resolved ClusterSettings.
    config: the tf.ConfigProto of its threads and devices.
  """
  server_config = tf.ConfigProto()
  server_config.CopyFrom(config)
  del server_config.device_filters[:]
  server_config.device_filters.extend(settings.device_filters)
  server = tf.train.Server(
    tf.train.ClusterSpec(
      {
        'ps': settings_lib.split_names(settings.ps_hosts),
        'worker': settings_lib.split_names(settings.worker_hosts),
      }
    ),
    job_name=settings.job_name,
    task_index=settings.task,
    config=server_config,
  )
  _SERVERS.append(server)
  return server.target


_SERVERS = []  # A server that is not referred to any more is taken down.


def close_soon(session, secs=2):
  """Closes a session of a cluster, which may take long when a server is lost: that long at most."""

  def close():
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      tf.Session.close(session)

  thread = threading.Thread(target=close, daemon=True)
  thread.start()
  thread.join(secs)


def leave(exit_code):
  """Ends the process, at once if it has a server: to take one down may take forever."""
  if not _SERVERS:
    sys.exit(exit_code)
  with contextlib.suppress(OSError):  # The terminal may be gone.
    sys.stdout.flush()
    sys.stderr.flush()
  os._exit(exit_code)


@contextlib.contextmanager
def placed(settings):
  """Places what is built in the block: variables on parameter servers, all else on this worker.

  Each variable goes to the server with the fewest bytes so far. What an optimizer keeps of it is
  beside it; local variables stay with the worker.

  Args:
    settings: resolved ClusterSettings.
  """
  worker = f'/job:worker/task:{settings.task}'
  if not settings.num_ps_tasks:
    with tf.device(worker if settings.is_cluster else None):
      yield
    return
  choose = tf.train.replica_device_setter(
    ps_tasks=settings.num_ps_tasks,
    worker_device=worker,
    ps_ops=_VARIABLE_OPS,
    ps_strategy=_Emptiest(settings.num_ps_tasks),
  )

  def place(op):
    spec = tf.DeviceSpec.from_string(choose(op))
    if spec.job == 'ps':
      # Gradients come over the network: a GPU would be a detour.
      spec = spec.replace(device_type='CPU', device_index=0)
    return spec.to_string()

  def create(next_creator, **kwargs):
    if tf.GraphKeys.LOCAL_VARIABLES not in (kwargs.get('collections') or ()):
      return next_creator(**kwargs)
    with tf.device(worker):
      return next_creator(**kwargs)

  with tf.device(place), tf.variable_creator_scope(create):
    yield


def beside(settings, variables, make):
  """Returns the op of `make(variables)`, on each parameter server for those that it keeps.

  Args:
    settings: resolved ClusterSettings.
    variables: a list.
    make: a function of a list of variables that returns an op.
  """
  if not settings.num_ps_tasks:
    return make(variables)
  by_device = {}
  for variable in variables:
    by_device.setdefault(variable.device, []).append(variable)
  ops = []
  for device, there in by_device.items():
    with tf.device(device):
      ops.append(make(there))
  return tf.group(*ops)


class _Emptiest:
  """Chooses for each variable the task that has the fewest bytes; the first of several."""

  def __init__(self, num_tasks):
    self._num_bytes = [0] * num_tasks
    self._tasks = {}

  def __call__(self, op):
    if op.name not in self._tasks:
      task = self._num_bytes.index(min(self._num_bytes))
      self._tasks[op.name] = task
      self._num_bytes[task] += _size(op)
    return self._tasks[op.name]


def _size(op):
  """Returns the bytes of the variable of an op; 1 where that is not known, to take turns."""
  shape = tf.TensorShape(op.get_attr('shape'))
  if not shape.is_fully_defined():
    return 1
  return max(1, math.prod(shape.as_list()) * tf.as_dtype(op.get_attr('dtype')).size)
