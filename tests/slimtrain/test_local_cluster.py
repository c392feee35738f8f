"""A cluster on this machine: its tasks are started, watched, started again, and ended."""

import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from slimcompat import checkpoint_directory, errors
from slimtrain import checkpoints, local_cluster

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Stands for training: the worker 0 counts steps until a file says that is enough.
TASK = """
import os, sys, time
flags = dict(word.lstrip('-').split('=', 1) for word in sys.argv[2:])
folder, name = sys.argv[1], flags['job_name'] + flags['task']
print(name, flags['ps_hosts'], flags['worker_hosts'], flush=True)
for step in range(1, 1000):
  if name == 'worker0':
    print(f'global step {step}: loss = 1.0000', flush=True)
  for ending in ('exit0', 'exit1', 'kill9'):
    if os.path.exists(f'{folder}/{name}.{ending}'):
      if ending == 'kill9':
        os.remove(f'{folder}/{name}.{ending}')
        os.kill(os.getpid(), 9)
      print(f'{name} ends', flush=True)
      sys.exit(int(ending[-1]))
  time.sleep(0.05)
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
  """`make(**settings)` is a cluster of stand-ins, whose ends are files in `tmp_path`."""
  (tmp_path / 'task.py').write_text(TASK)
  for name in ('_END_SECS', '_SAVE_SECS', '_KILL_SECS'):
    monkeypatch.setattr(local_cluster, name, 2)

  def make_cluster(**changes):
    settings = local_cluster.LocalClusterSettings(
      logs_dir=str(tmp_path / 'logs'),
      command=(str(tmp_path / 'task.py'), str(tmp_path)),
      **changes,
    )
    return local_cluster.LocalCluster(settings)

  return make_cluster


def run_and(cluster, act):
  """Runs the cluster, and `act()` in a thread when the chief has counted."""
  thread = threading.Thread(target=lambda: (wait_for_steps(cluster, 1), act()))
  thread.start()
  try:
    cluster.run()
  finally:
    thread.join()


def steps(cluster):
  text = pathlib.Path(chief(cluster).log_path).read_text(errors='replace')
  return [int(step) for step in re.findall(r'^global step (\d+):', text, re.MULTILINE)]


def chief(cluster):
  return next(task for task in cluster.tasks if task.name == 'worker 0')


def wait_for_steps(cluster, count, secs=90):
  deadline_secs = time.monotonic() + secs
  while len(steps(cluster)) < count:
    assert time.monotonic() < deadline_secs, f'{len(steps(cluster))} lines, not {count}'
    time.sleep(0.05)


def end(tmp_path, *names):
  for name in names:
    (tmp_path / name).touch()


ALL_END = ('ps0.exit0', 'worker0.exit0', 'worker1.exit0')


def test_a_good_end(make, tmp_path, caplog):
  caplog.set_level('INFO', 'slimtrain')
  cluster = make()
  run_and(cluster, lambda: end(tmp_path, *ALL_END))
  assert re.match(
    r'Cluster of 1 ps and 2 workers: step \d+, \d+ seconds, started again: none, exit codes 0 0 0',
    caplog.messages[-1],
  )
  assert any(message.startswith('global step 1:') for message in caplog.messages)
  hosts = ','.join(cluster.worker_hosts)
  for task in cluster.tasks:
    name = task.name.replace(' ', '')
    assert f'{name} {cluster.ps_hosts[0]} {hosts}' in pathlib.Path(task.log_path).read_text()


def test_killed_tasks_are_started_again(make, tmp_path, caplog):
  caplog.set_level('INFO', 'slimtrain')
  cluster = make()

  def act():
    end(tmp_path, 'ps0.kill9', 'worker1.kill9')
    while sum(task.num_restarts for task in cluster.tasks) < 2:
      time.sleep(0.05)
    end(tmp_path, *ALL_END)

  run_and(cluster, act)
  assert 'started again: ps 0 1 times, worker 1 1 times, exit codes 0 0 0' in caplog.messages[-1]
  assert any('ps 0 was ended by SIGKILL; it is started again' in m for m in caplog.messages)


def test_not_more_often_than_allowed(make, tmp_path):
  cluster = make(max_restarts=0)
  with pytest.raises(
    local_cluster.FailedClusterError, match='worker 1 ended with the exit code -9'
  ):
    run_and(cluster, lambda: end(tmp_path, 'worker1.kill9'))
  assert all(task.exit_code is not None for task in cluster.tasks)


def test_a_task_that_fails_ends_all(make, tmp_path):
  cluster = make()
  with pytest.raises(local_cluster.FailedClusterError) as error:
    run_and(cluster, lambda: end(tmp_path, 'worker1.exit1'))
  assert 'worker 1 ended with the exit code 1: worker1 ends' in str(error.value)
  assert error.value.exit_code == 1
  assert all(task.exit_code is not None for task in cluster.tasks)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all(make, number):
  cluster = make()
  with pytest.raises(local_cluster.FailedClusterError) as error:
    run_and(cluster, lambda: os.kill(os.getpid(), number))
  assert error.value.exit_code == 128 + number
  assert [task.exit_code for task in cluster.tasks] == [-15, -15, -15]


def test_a_task_that_stays_behind_is_ended(make, tmp_path):
  cluster = make()
  with pytest.raises(local_cluster.FailedClusterError, match='ps 0 ended with the exit code -15'):
    run_and(cluster, lambda: end(tmp_path, *ALL_END[1:]))


@pytest.mark.parametrize(
  ('command', 'sentence'),
  [
    ((), 'There is no command to run'),
    (('nowhere.py',), 'There is no file nowhere.py'),
    (('no-such-program',), 'There is no program no-such-program'),
    (('train_image_classifier.py', '--task=1'), '--task=1 is what the launcher says'),
  ],
)
def test_a_wrong_command_is_refused(command, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    local_cluster.LocalCluster(local_cluster.LocalClusterSettings(command=command))


def digits(folder, *flags):
  """Returns the command of a run on digits."""
  return (
    str(ROOT / 'train_image_classifier.py'),
    '--dataset_name=digits',
    '--model_name=lenet',
    f'--train_dir={folder}',
    '--intra_op_threads=1',
    *flags,
  )


# Listens on every interface, as TensorFlow does, until the chief has looked at all ports.
LISTENING = """
import os, socket, sys, time
flags = dict(word.lstrip('-').split('=', 1) for word in sys.argv[2:])
hosts = flags['ps_hosts' if flags['job_name'] == 'ps' else 'worker_hosts'].split(',')
with socket.create_server(('', int(hosts[int(flags['task'])].split(':')[1]))):
  print('interfaces', [name for _, name in socket.if_nameindex()], flush=True)
  for address in (flags['ps_hosts'] + ',' + flags['worker_hosts']).split(','):
    host, port = address.split(':')
    while flags['job_name'] == 'worker':
      with socket.socket() as probe:
        if probe.connect_ex((host, int(port))) == 0:
          break
      time.sleep(0.1)
  print('global step 1: all reached', flush=True)
  while not os.path.exists(sys.argv[1]):
    time.sleep(0.1)
"""


def launch(tmp_path, *flags, **environment):
  (tmp_path / 'task.py').write_text(LISTENING)
  return subprocess.Popen(  # noqa: S603
    [
      *(sys.executable, '-u', ROOT / 'launch_local_cluster.py', '--num_workers=1', *flags),
      *(f'--logs_dir={tmp_path}/logs', '--', tmp_path / 'task.py', tmp_path / 'end'),
    ],
    env={**os.environ, **environment},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def is_allowed():
  try:
    command = ['unshare', '--net', '--map-root-user', 'true']
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
  except OSError:
    return False


@pytest.mark.parametrize('is_isolated', [False, True], ids=['open', 'isolated'])
def test_nobody_reaches_an_isolated_cluster(tmp_path, is_isolated):
  if is_isolated and not is_allowed():
    pytest.skip('the system allows no network namespaces')
  process = launch(tmp_path, *['--isolate'] * is_isolated)
  lines = []
  for line in process.stdout:
    lines.append(line)
    if 'all reached' in line:
      break
  addresses = re.findall(r'127\.0\.0\.1:\d+', lines[0])
  assert len(addresses) == 2
  assert [is_listening(address) for address in addresses] == [not is_isolated] * 2
  assert ('listen on every interface' in ''.join(lines)) == (not is_isolated)
  (tmp_path / 'end').touch()
  _, error = process.communicate(timeout=60)
  assert (process.returncode, error) == (0, '')


def test_a_system_without_namespaces_is_said(tmp_path):
  process = launch(tmp_path, '--isolate', PATH=str(tmp_path))
  _, error = process.communicate(timeout=60)
  assert process.returncode == 1
  assert 'does not allow a network namespace (there is no program unshare' in error


def is_listening(address):
  host, port = address.split(':')
  with socket.socket() as probe:
    return probe.connect_ex((host, int(port))) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
  ('num_ps', 'flags'),
  [(1, ()), (2, ('--sync_replicas', '--replicas_to_aggregate=2'))],
  ids=['asynchronous', 'synchronous'],
)
def test_a_run_of_2000_steps_survives_20_kills(tmp_path, num_ps, flags):
  num_kills = 20
  folder = tmp_path / 'run'
  cluster = local_cluster.LocalCluster(
    local_cluster.LocalClusterSettings(
      num_ps=num_ps,
      logs_dir=str(tmp_path / 'logs'),
      max_restarts=num_kills,
      command=digits(
        folder,
        '--batch_size=8',
        '--optimizer=sgd',
        '--log_every_n_steps=5',
        '--save_interval_secs=2',
        '--max_number_of_steps=2000',
        *flags,
      ),
    )
  )
  rng = random.Random(0)  # noqa: S311
  recoveries = []

  def kill_again_and_again():
    for number in range(num_kills):
      # So that the last one falls into the run.
      while steps(cluster)[-1] < 90 * number:
        time.sleep(0.1)
      time.sleep(rng.uniform(0, 1))
      task = rng.choice(cluster.tasks)
      newest = int(checkpoint_directory.newest(str(folder)).rsplit('-', 1)[1])
      start_secs, num_lines = time.monotonic(), len(steps(cluster))
      os.kill(task.pid, signal.SIGKILL)
      # The first line may be of a step that was under way.
      wait_for_steps(cluster, num_lines + 2)
      recoveries.append((task.name, newest, steps(cluster)[num_lines + 1], start_secs))
      recoveries[-1] = (*recoveries[-1][:3], time.monotonic() - start_secs)

  run_and(cluster, kill_again_and_again)
  assert len(recoveries) == num_kills
  for name, newest, step, secs in recoveries:
    assert step >= newest, name
    assert secs < 30, name
  assert checkpoints.saved_step(checkpoint_directory.newest(str(folder))) in (2000, 2001)
  assert [task.exit_code for task in cluster.tasks] == [0] * len(cluster.tasks)
  assert not any(map(is_listening, cluster.ps_hosts + cluster.worker_hosts))


def evaluate(folder):
  finished = subprocess.run(  # noqa: S603
    [
      sys.executable,
      'eval_image_classifier.py',
      f'--checkpoint_path={folder}',
      f'--eval_dir={folder}/eval',
      '--dataset_name=digits',
      '--model_name=lenet',
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  return json.loads((folder / 'eval' / 'eval.json').read_text())['eval/Accuracy']


@pytest.mark.slow
def test_digits_are_learnt_as_well_as_on_one_machine(tmp_path):
  # As scripts/train_lenet_on_digits.sh: its rate falls to next to nothing, so that accuracies are
  # those of runs that have settled.
  flags = (
    '--optimizer=adam',
    '--opt_epsilon=1e-8',
    '--learning_rate=0.001',
    '--learning_rate_decay_type=polynomial',
    '--num_epochs_per_decay=35',
    '--max_number_of_steps=1000',
    '--log_every_n_steps=100',
  )
  runs = {
    'single': ('--batch_size=50',),
    'asynchronous': ('--batch_size=50',),
    'synchronous': ('--batch_size=25', '--sync_replicas', '--replicas_to_aggregate=2'),
  }
  accuracies = {name: [] for name in runs}
  # Several of each: two of the 360 images are half a point, and on one machine, too, a run is good
  # for that much more or less.
  for seed in range(3):
    for name, changes in runs.items():
      folder = tmp_path / f'{name}_{seed}'
      command = digits(folder, *flags, *changes, f'--seed={seed}')
      if name == 'single':
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)  # noqa: S603
      else:
        local_cluster.launch(local_cluster.LocalClusterSettings(command=command))
      accuracies[name].append(evaluate(folder))
  means = {name: sum(values) / len(values) for name, values in accuracies.items()}
  for name in ('asynchronous', 'synchronous'):
    assert means[name] >= means['single'] - 0.005, accuracies
