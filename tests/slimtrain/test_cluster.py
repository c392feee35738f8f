"""Who is in a cluster, where variables live, whose examples are whose, and equal maths."""

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import (
  bulletin,
  cluster,
  deployment,
  examples,
  inputs,
  membership,
  run_facts,
  sync_replicas,
  tasks,
  training,
)
from slimtrain import settings as settings_lib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = {'ps_hosts': '127.0.0.1:2001', 'worker_hosts': '127.0.0.1:2002,127.0.0.1:2003'}
# A net without dropout or batch norm, that begins the same each time.
PLAIN = """
from nets import nets_factory
from slimcompat import slim, tf

def plain(images, num_classes=10, is_training=False, scope='plain', **unused):
  init = tf.truncated_normal_initializer(stddev=0.1, seed=1)
  with tf.variable_scope(scope, 'plain', [images]):
    net = slim.conv2d(images, 8, 5, stride=2, weights_initializer=init, scope='conv')
    net = slim.flatten(net)
    net = slim.fully_connected(
      net, num_classes, activation_fn=None, weights_initializer=init, scope='logits')
    return net, {'Logits': net, 'Predictions': slim.softmax(net)}

plain.default_image_size = 28

def arg_scope(weight_decay=0.0):
  with slim.arg_scope([slim.conv2d, slim.fully_connected],
                      weights_regularizer=slim.l2_regularizer(weight_decay)) as scope:
    return scope

nets_factory.register(nets_factory.Network(
  'plain', plain, arg_scope, image_size=28, preprocessing='lenet'))
"""


def resolve(tf_config='', **changes):
  return cluster.resolve(cluster.ClusterSettings(**changes), tf_config)


def free_ports(count):
  with_ports = [socket.socket() for _ in range(count)]
  for opened in with_ports:
    opened.bind(('127.0.0.1', 0))
  ports = [opened.getsockname()[1] for opened in with_ports]
  for opened in with_ports:
    opened.close()
  return ports


def test_a_process_is_alone_unless_told_otherwise():
  settings = resolve()
  assert not settings.is_cluster
  assert settings.is_chief
  assert settings.share == (0, 1)
  assert settings.num_averaged == 1


def test_the_chief_is_worker_0():
  settings = resolve(**HOSTS, job_name='chief')
  assert (settings.job_name, settings.task, settings.is_chief) == ('worker', 0, True)
  assert (settings.num_ps_tasks, settings.worker_replicas) == (1, 2)
  assert settings.address('worker', 1) == '127.0.0.1:2003'


@pytest.mark.parametrize(
  ('job', 'task', 'filters'),
  [
    ('worker', 1, ['/job:ps', '/job:worker/task:1']),
    ('ps', 0, ['/job:ps', '/job:ps/task:0']),
  ],
)
def test_a_task_does_not_depend_on_other_workers(job, task, filters):
  assert resolve(**HOSTS, job_name=job, task=task).device_filters == filters


@pytest.mark.parametrize(
  ('job', 'index', 'expected'),
  [('chief', 0, ('worker', 0)), ('worker', 1, ('worker', 2)), ('ps', 0, ('ps', 0))],
)
def test_tf_config(job, index, expected):
  config = {
    'cluster': {'ps': ['a:1'], 'chief': ['b:1'], 'worker': ['c:1', 'd:1']},
    'task': {'type': job, 'index': index},
  }
  settings = resolve(json.dumps(config))
  assert (settings.job_name, settings.task) == expected
  assert settings.worker_hosts == 'b:1,c:1,d:1'


def test_tf_config_without_a_chief_has_worker_0_be_it():
  config = {'cluster': {'ps': ['a:1'], 'worker': ['c:1']}, 'task': {'type': 'worker', 'index': 0}}
  assert resolve(json.dumps(config)).is_chief


def test_tf_config_of_one_machine_and_flags_of_a_cluster():
  alone = json.dumps({'cluster': {'worker': ['a:1']}, 'task': {'type': 'worker', 'index': 0}})
  assert not resolve(alone).is_cluster
  # Flags count.
  assert resolve('rubbish', **HOSTS, job_name='ps').worker_replicas == 2


def test_slims_flags_keep_their_meaning_with_a_master():
  settings = resolve(master='grpc://a:1', worker_replicas=3, num_ps_tasks=2, task=1)
  assert settings.is_cluster
  assert not settings.is_chief
  assert settings.share == (1, 3)
  assert settings.device_filters == ['/job:ps', '/job:worker/task:1']


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'num_ps_tasks': 1}, '--num_ps_tasks=1 is for training on several machines'),
    ({'worker_replicas': 2}, '--worker_replicas=2 is for'),
    ({'sync_replicas': True}, '--sync_replicas=True is for'),
    ({'task': 1}, '--task=1 is for'),
    ({'job_name': 'worker'}, '--job_name=worker is for'),
    ({**HOSTS}, 'not which of them this process is'),
    ({**HOSTS, 'job_name': 'worker', 'task': 2}, '--worker_hosts names 2, which count from 0 to 1'),
    ({**HOSTS, 'job_name': 'ps', 'task': 1}, '--ps_hosts names 1'),
    ({**HOSTS, 'job_name': 'chief', 'task': 1}, 'there is one chief'),
    ({**HOSTS, 'ps_hosts': '', 'job_name': 'worker'}, 'without --ps_hosts'),
    ({**HOSTS, 'ps_hosts': 'somewhere', 'job_name': 'ps'}, "'somewhere' is no address"),
    ({**HOSTS, 'ps_hosts': 'a:70000', 'job_name': 'ps'}, "'a:70000' is no address"),
    ({**HOSTS, 'ps_hosts': '127.0.0.1:2003', 'job_name': 'ps'}, 'more than once'),
    ({**HOSTS, 'job_name': 'ps', 'worker_replicas': 5}, '--worker_hosts names 2'),
    ({'master': 'grpc://a:1', **HOSTS}, 'Leave one or the other out'),
    ({'master': 'grpc://a:1', 'task': 1}, '--task=1 is not among the --worker_replicas=1'),
    ({'master': 'grpc://a:1', 'worker_replicas': 2}, 'Set --num_ps_tasks'),
  ],
  ids=str,
)
def test_wrong_clusters_are_refused(changes, sentence):
  with pytest.raises(errors.InputError) as error:
    resolve(**changes)
  assert sentence in str(error.value)


@pytest.mark.parametrize('text', ['{', '[]', '{"cluster": 1}', '{"task": {"index": "x"}}'])
def test_a_tf_config_that_cannot_be_read_is_refused(text):
  with pytest.raises(errors.InputError, match='TF_CONFIG'):
    resolve(text)


def test_a_port_in_use_is_refused():
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen(1)
    hosts = {**HOSTS, 'ps_hosts': f'127.0.0.1:{taken.getsockname()[1]}'}
    with pytest.raises(errors.InputError, match=r'ps 0, 127.0.0.1:\d+, cannot be used'):
      cluster.check_addresses(resolve(**hosts, job_name='ps'))


def test_an_unknown_host_is_refused():
  hosts = {**HOSTS, 'ps_hosts': 'no-such-host.invalid:2001'}
  with pytest.raises(errors.InputError, match=r'host of no-such-host.invalid:2001 is not known'):
    cluster.check_addresses(resolve(**hosts, job_name='worker'), resolve_secs=0)


@pytest.mark.parametrize(
  ('num_averaged', 'size', 'addition'),
  [
    (1, '8', ' It has the gradients of the first 1 of 2 workers; for those of all, --rep'),
    (2, '16 images (2 workers x 8)', ''),
  ],
)
def test_a_synchronous_run_says_whose_gradients_make_a_step(num_averaged, size, addition):
  settings = settings_lib.replace(training.TrainingSettings(), batch_size=8)
  settings = dataclasses.replace(
    settings,
    cluster=resolve(
      **HOSTS, job_name='worker', sync_replicas=True, replicas_to_aggregate=num_averaged
    ),
  )
  data = types.SimpleNamespace(num_examples=160)
  step = types.SimpleNamespace(batch_size=settings.images_per_step)
  line = training.describe_steps(settings, data, step)
  assert line.startswith(f'A step takes {size}')
  assert line.partition(' steps.')[2].startswith(addition)
  assert bool(addition) == ('gradients' in line)


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'steps_per_run': 2}, '--steps_per_run=2 does not work in a cluster'),
    ({'xla': True}, '--xla=True does not work'),
    ({'mixed_precision': 'float16'}, '--mixed_precision=float16 does not work'),
    ({'on_nan': 'rollback'}, '--on_nan=rollback does not work'),
    ({'input_mode': 'memory', 'master': 'grpc://a:1'}, '--input_mode=memory does not work'),
  ],
)
def test_what_a_cluster_cannot_do_is_refused(changes, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    tasks.check(settings_lib.replace(training.TrainingSettings(), **changes))


def test_variables_go_to_the_emptiest_server():
  settings = resolve(
    ps_hosts='127.0.0.1:1,127.0.0.1:2', worker_hosts='127.0.0.1:3', job_name='worker'
  )
  with cluster.placed(settings):
    big = tf.get_variable('big', [100])
    with tf.device('/device:GPU:0'):
      small = [tf.get_variable(f'small_{n}', [10], use_resource=n % 2) for n in range(4)]
    local = tf.get_variable('local', [], collections=[tf.GraphKeys.LOCAL_VARIABLES])
    with tf.device(big.device):
      beside = tf.get_variable('beside', [], collections=[tf.GraphKeys.LOCAL_VARIABLES])
    step = tf.train.MomentumOptimizer(0.1, 0.9).minimize(big[0] + small[0][0])
    total = big + 1
  assert big.device == '/job:ps/task:0/device:CPU:0'
  assert {variable.device for variable in small} == {'/job:ps/task:1/device:CPU:0'}
  for op in (local, beside, total, step):
    assert op.device.startswith('/job:worker/task:0')
  slots = [v for v in tf.global_variables() if v.op.name.endswith('/Momentum')]
  assert [slot.device for slot in slots] == [big.device, small[0].device]


def digits(num_files):
  """Returns the Data of digits as if its examples stood in `num_files` files."""
  data = inputs.load_data(
    inputs.TrainingDataSettings(dataset_name='digits', dataset_split_name='train')
  )
  files = data.files[:num_files]
  counts = data.counts[:num_files]
  return data._replace(files=files, counts=counts, num_examples=sum(counts))


def take(dataset, count):
  iterator = tf.data.make_initializable_iterator(dataset)
  following = iterator.get_next()
  with tf.Session() as session:
    session.run([iterator.initializer, tf.tables_initializer()])
    return [session.run(following) for _ in range(count)]


@pytest.mark.parametrize('changes', [{}, {'cache': 'records'}], ids=str)
@pytest.mark.parametrize(('num_files', 'num_workers'), [(5, 2), (5, 3), (1, 2), (3, 7)])
def test_an_epoch_of_all_shares_is_every_example_once(num_files, num_workers, changes):
  data = digits(num_files)
  settings = inputs.TrainingDataSettings(dataset_name='digits', **changes)
  numbers, sources = [], collections.Counter()
  for worker in range(num_workers):
    size = len(range(worker, data.num_examples, num_workers))
    share = examples.in_epochs(data, settings, None, None, 7, size, (worker, num_workers))
    # The second epoch, and the first example of the third.
    taken = take(share.map(lambda number, example: (number, example[0])), size)
    numbers += [int(number) for number, _ in taken]
    sources.update(tuple(map(int, source)) for _, source in taken)
  assert len(sources) == data.num_examples
  assert set(sources.values()) == {1}
  assert max(numbers) < 2 * -(-data.num_examples // num_workers)


@pytest.mark.parametrize('deterministic_input', [False, True])
def test_batches_of_all_workers_are_every_example_once(deterministic_input):
  data = digits(5)
  settings = inputs.TrainingDataSettings(
    dataset_name='digits', batch_size=1, deterministic_input=deterministic_input
  )
  sources = collections.Counter()
  for worker in range(2):
    size = len(range(worker, data.num_examples, 2))
    batches = inputs.make_training_batches(
      data, settings, 'lenet', 28, seed=3, num_seen=tf.constant(0, tf.int64), share=(worker, 2)
    )
    sources.update(
      tuple(map(int, source[0])) for source in take(batches.map(lambda batch: batch.records), size)
    )
  assert len(sources) == data.num_examples
  assert set(sources.values()) == {1}


@pytest.mark.parametrize(
  ('changes', 'what'),
  [({'batch_size': 7}, 'batch_size is 32 there and 7'), ({'seed': 1}, 'seed is None there and 1')],
)
def test_differing_flags_are_named(changes, what):
  data = digits(5)
  chief = run_facts.shared(training.TrainingSettings(train_dir='/chief'), data)
  own = settings_lib.replace(training.TrainingSettings(train_dir='/own'), task=1, **changes)
  with pytest.raises(errors.InputError, match=f'the chief differ: {what} here'):
    membership.compare(json.loads(json.dumps(chief)), run_facts.shared(own, data), False)


def test_differing_data_are_named_but_not_folders_or_logs():
  settings = training.TrainingSettings()
  chief = run_facts.shared(settings, digits(5))
  own = settings_lib.replace(settings, dataset_dir='/own', log_every_n_steps=1, train_dir='/own')
  membership.compare(chief, run_facts.shared(own, digits(5)), False)
  with pytest.raises(errors.InputError, match='number of examples is 1437 there and 287 here'):
    membership.compare(chief, run_facts.shared(own, digits(1)), False)
  # The chief of another run.
  with pytest.raises(errors.InputError, match='run that the parameter servers hold differ: train_'):
    membership.compare(chief, run_facts.shared(own, digits(5)), True)


class Clock:
  secs = 0.0

  def __call__(self):
    return self.secs


def test_the_chief_says_who_comes_and_who_is_missing(caplog):
  caplog.set_level('INFO', 'slimtrain')
  settings = resolve(**HOSTS, job_name='chief', sync_replicas=True, replicas_to_aggregate=2)
  clock = Clock()
  watch = membership.Watch(settings, True, 0, clock)

  def heed(secs, *beats):
    clock.secs = secs
    return watch.heed(bulletin.Notice('{}', '', beats))

  heed(1, 1, 0, 1)
  assert caplog.messages == []
  heed(31, 31, 0, 31)
  heed(32, 32, 0, 32)
  assert caplog.messages == [
    'Worker 1 at 127.0.0.1:2003 has not been heard of for 30 seconds. Training may wait for it.'
  ]
  heed(40, 40, 1, 40)
  assert caplog.messages[-1] == 'Worker 1 at 127.0.0.1:2003 is back.'
  heed(80, 80, 1, 80)
  assert 'not been heard of' in caplog.messages[-1]


def test_the_others_give_up_without_a_chief_or_a_board():
  clock = Clock()
  settings = resolve(**HOSTS, job_name='worker', task=1, cluster_timeout_secs=50)
  watch = membership.Watch(settings, False, 1, clock)
  assert watch.heed(bulletin.Notice('{}', '', (1, 1, 1))) is None
  clock.secs = 51
  assert 'chief' in watch.heed(bulletin.Notice('{}', '', (1, 50, 50)))
  clock.secs = 102
  assert 'parameter server 0' in watch.heed(None)
  assert watch.heed(bulletin.Notice('{}', 'done', (1, 50, 50))) == 'done'


def test_a_server_knows_when_all_others_have_left():
  hosts = {'ps_hosts': '127.0.0.1:1,127.0.0.1:2', 'worker_hosts': '127.0.0.1:3,127.0.0.1:4'}
  watch = membership.Watch(resolve(**hosts, job_name='ps'), False, 2)
  for ending, beats, have_left in (
    ('', (5, 0, 5, 0), False),
    # Worker 1 never came; server 1 must hear of the end.
    ('done', (0, 0, 6, 0), False),
    ('done', (0, 0, 7, 1), False),
    ('done', (0, 0, 0, 0), True),
  ):
    watch.heed(bulletin.Notice('{}', ending, beats))
    assert watch.have_left() == have_left


def test_a_worker_that_rejoins_begins_at_the_step_of_the_run(graph):
  settings = resolve(
    **HOSTS, job_name='worker', task=1, sync_replicas=True, replicas_to_aggregate=2
  )
  step = tf.train.get_or_create_global_step()
  weight = tf.get_variable('weight', [], initializer=tf.zeros_initializer())
  sync = sync_replicas.SyncReplicas(settings, lambda gradients: step.assign_add(1).op)
  sync.apply_gradients([(tf.constant(1.0), weight)], step)
  with tf.Session() as session:
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    assert not session.run(sync.ready_for_local_init_op).size
    session.run(step.assign(7))
    session.run(sync.local_step_init_op)
    session.run(tf.local_variables_initializer())  # slim runs them at the same time.
    assert session.run('sync_rep_local_step:0') == 7


def values(train_dir):
  reader = tf.train.NewCheckpointReader(checkpoint_directory.newest(str(train_dir)))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def check_equal(found, expected):
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, err_msg=name)


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
  """(Flags of five steps of a plain net on 32 digits, the result with one worker)."""
  folder = tmp_path_factory.mktemp('plain')
  (folder / 'plain.py').write_text(PLAIN)
  data = digits(1)
  with tf.Graph().as_default():
    records = take(tf.data.TFRecordDataset(data.files), 32)
  with tf.io.TFRecordWriter(str(folder / 'mnist_train.tfrecord')) as writer:
    for record in records:
      writer.write(record)
  flags = (
    f'--plugin={folder / "plain.py"}',
    '--model_name=plain',
    '--dataset_name=mnist',
    f'--dataset_dir={folder}',
    '--optimizer=momentum',
    '--learning_rate=0.05',
    '--weight_decay=0.01',
    '--moving_average_decay=0.9',
    '--clip_gradients_by_global_norm=2',
    '--max_number_of_steps=5',
    '--log_every_n_steps=1',
  )
  train_dir = folder / 'single'
  run('train_image_classifier.py', *flags, '--batch_size=32', f'--train_dir={train_dir}')
  return flags, values(train_dir)


def run(script, *args):
  finished = subprocess.run(  # noqa: S603
    [sys.executable, script, *args],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert finished.returncode == 0, finished.stdout + finished.stderr
  return finished.stdout


class CountingBoard:
  """A board on which the counter of worker 0 is one further each time it is read."""

  def __init__(self):
    self._count = 1

  def read(self):
    self._count += 1
    return bulletin.Notice('{}', '', (self._count, 0))


@pytest.mark.parametrize(('slot', 'is_taken'), [(0, True), (1, False)])
def test_two_processes_that_are_the_same_task(monkeypatch, slot, is_taken):
  monkeypatch.setattr(membership, '_WATCH_SECS', 0.05)
  member = membership.Member.__new__(membership.Member)
  member.slot, member.board, member._name = slot, CountingBoard(), f'worker {slot}'
  member._first_notice, member._first_secs = member.board.read(), time.monotonic()
  with (
    pytest.raises(errors.InputError, match='Another process is worker 0 already')
    if is_taken
    else contextlib.nullcontext()
  ):
    member._check_that_alone(member.board.read())


@pytest.fixture(scope='module')
def synchronous(plain, tmp_path_factory):
  """(What the launcher said, the folder) of the same steps by two workers with half the batch."""
  folder = tmp_path_factory.mktemp('synchronous')
  output = run(
    'launch_local_cluster.py',
    '--num_ps=2',
    f'--logs_dir={folder / "logs"}',
    '--',
    'train_image_classifier.py',
    *plain[0],
    '--batch_size=16',
    '--sync_replicas',
    '--replicas_to_aggregate=2',
    f'--train_dir={folder / "run"}',
  )
  return output, folder


def test_two_workers_equal_one_with_the_whole_batch(plain, synchronous):
  check_equal(values(synchronous[1] / 'run'), plain[1])


def test_the_launcher_ends_with_a_summary(synchronous):
  output, folder = synchronous
  assert 'ask for no password' in output
  assert 'A step takes 32 images (2 workers x 16), an epoch 1.0 steps.' in output
  last = output.strip().splitlines()[-1]
  assert last.startswith('Cluster of 2 ps and 2 workers: step 5,')
  assert 'started again: none, exit codes 0 0 0 0' in last
  assert sorted(os.listdir(folder / 'logs')) == [
    'ps_0.log',
    'ps_1.log',
    'worker_0.log',
    'worker_1.log',
  ]
  worker = (folder / 'logs' / 'worker_1.log').read_text()
  assert 'global step 5:' in worker


def test_the_chief_alone_writes(synchronous):
  names = set(os.listdir(synchronous[1] / 'run'))
  assert {'flags.txt', 'model.json', 'run.json', 'metrics.jsonl', 'model.ckpt-5.index'} <= names
  assert len([name for name in names if 'tfevents' in name]) == 1
  runs = json.loads((synchronous[1] / 'run' / 'run.json').read_text())
  assert len(runs) == 1


def test_two_clones_on_two_devices_equal_one_with_the_whole_batch(plain, tmp_path):
  """In a process of its own, for its devices."""
  program = tmp_path / 'clones.py'
  program.write_text(
    f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from slimcompat import tf
from slimtrain import deployment, settings, training
original = deployment.session_config

def session_config(settings):
  config = original(settings)
  config.device_count['CPU'] = 2
  return config

def place(op):
  is_second = op.name.startswith('clone_1/')
  return '/device:CPU:1' if is_second else (op.device or '/device:CPU:0')

build = training.build

def build_on_two(*args):
  with tf.device(place):
    step = build(*args)
  devices = {{op.device for op in tf.get_default_graph().get_operations()}}
  assert '/device:CPU:1' in devices, devices
  return step

deployment.session_config, training.build = session_config, build_on_two
settings.run(training.TrainingSettings(), training.train)
"""
  )
  run(
    str(program),
    *plain[0],
    '--batch_size=16',
    '--num_clones=2',
    '--clone_on_cpu',
    f'--train_dir={tmp_path / "run"}',
  )
  check_equal(values(tmp_path / 'run'), plain[1])


@pytest.mark.skipif(not deployment.has_avx512(), reason='needs a processor with AVX-512')
def test_bfloat16_trains_in_a_cluster(plain, tmp_path):
  output = run(
    'launch_local_cluster.py',
    '--num_workers=1',
    f'--logs_dir={tmp_path / "logs"}',
    '--',
    'train_image_classifier.py',
    *plain[0],
    '--mixed_precision=bfloat16',
    f'--train_dir={tmp_path / "run"}',
  )
  assert 'Cluster of 1 ps and 1 workers: step 5,' in output


def start(folder, name, *flags):
  log = open(folder / f'{name}.log', 'wb')  # noqa: SIM115
  return subprocess.Popen(  # noqa: S603
    [sys.executable, 'train_image_classifier.py', *flags],
    cwd=ROOT,
    stdout=log,
    stderr=subprocess.STDOUT,
  )


def test_tasks_that_do_not_fit_name_the_reason_and_disturb_nobody(plain, tmp_path):
  """One cluster at work, and beside it another chief, a worker with other flags, a wrong one."""
  ports = free_ports(3)
  hosts = (
    f'--ps_hosts=127.0.0.1:{ports[0]}',
    f'--worker_hosts=127.0.0.1:{ports[1]},127.0.0.1:{ports[2]}',
  )
  flags = (*plain[0], '--batch_size=16', *hosts, f'--train_dir={tmp_path / "run"}')
  endless = '--max_number_of_steps=1000000'
  running = [
    start(tmp_path, 'ps', *flags, endless, '--job_name=ps'),
    start(tmp_path, 'chief', *flags, endless, '--job_name=chief'),
  ]
  try:
    while 'global step' not in (tmp_path / 'chief.log').read_text():
      assert all(process.poll() is None for process in running)
      time.sleep(0.2)
    began_secs = time.monotonic()
    (other_port,) = free_ports(1)
    wrong = {
      'flags': (*flags, endless, '--job_name=worker', '--task=1', '--learning_rate=0.5'),
      # On a machine of its own, which says it is at the same address.
      'chief2': (
        *flags[:-3],
        f'--ps_hosts=127.0.0.1:{ports[0]}',
        f'--worker_hosts=127.0.0.1:{other_port},127.0.0.1:{ports[2]}',
        f'--train_dir={tmp_path / "other"}',
        endless,
        '--job_name=chief',
      ),
      'port': (*flags, endless, '--job_name=ps'),
    }
    processes = {name: start(tmp_path, name, *args) for name, args in wrong.items()}
    codes = {name: process.wait(timeout=60) for name, process in processes.items()}
    assert time.monotonic() - began_secs < 30
    assert set(codes.values()) == {1}
    logs = {name: (tmp_path / f'{name}.log').read_text() for name in wrong}
    assert 'the chief differ: learning_rate is 0.05 there and 0.5 here.' in logs['flags']
    assert 'differ' in logs['chief2'] or 'Another process is worker 0' in logs['chief2']
    assert 'cannot be used on this machine: Address already in use' in logs['port']
    assert all(process.poll() is None for process in running)
  finally:
    for process in running:
      process.kill()
      process.wait()
