"""A run whose disk is full goes on, and its checkpoints stay whole."""

import pathlib
import shutil
import subprocess
import sys

import pytest

from slimcompat import checkpoint_directory, tf
from slimtrain import checkpoints, saving

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAIN = (
  f'{sys.executable} train_image_classifier.py --dataset_name=digits --model_name=lenet'
  ' --batch_size=8 --optimizer=sgd --save_interval_steps=2 --log_every_n_steps=2'
)
# Commands in a name space of their own, where anybody may mount.
SMALL_DISK = ('unshare', '--map-root-user', '--mount', 'bash', '-euc')


def _can_mount():
  if not shutil.which('unshare'):
    return False
  command = [*SMALL_DISK, 'mount -t tmpfs -o size=1m none /mnt']
  return subprocess.run(command, capture_output=True).returncode == 0  # noqa: S603


needs_small_disk = pytest.mark.skipif(not _can_mount(), reason='no file system can be mounted here')


def run_on_small_disk(folder, commands):
  """Runs shell `commands` with a disk of 32 MB at `folder`; LeNet's checkpoint takes 13 MB."""
  script = f'mount -t tmpfs -o size=32m none {folder}\n{commands}'
  return subprocess.run(  # noqa: S603
    [*SMALL_DISK, script], capture_output=True, text=True, cwd=ROOT, timeout=300
  )


@needs_small_disk
def test_a_full_disk_does_not_end_the_run(tmp_path):
  run = run_on_small_disk(
    tmp_path,
    f"""
    {TRAIN} --train_dir={tmp_path}/run --max_number_of_steps=10 || echo "exit $?"
    ls {tmp_path}/run
    {TRAIN} --train_dir={tmp_path}/run --max_number_of_steps=4
    """,
  )
  assert 'global step 10:' in run.stdout
  assert f'The disk of {tmp_path}/run is full, so the checkpoint was not saved' in run.stdout
  assert 'exit 1' in run.stdout
  assert 'model.ckpt-4.index' in run.stdout
  assert 'tempstate' not in run.stdout
  assert 'is full: the end of the run is not saved' in run.stderr
  assert 'Make room and run the same command again.' in run.stderr
  assert 'Traceback' not in run.stderr
  # What is there can be continued.
  assert f'Continuing {tmp_path}/run/model.ckpt-4 at step 4' in run.stdout


@needs_small_disk
@pytest.mark.parametrize(
  ('harm', 'why'),
  [
    ('head -c 40000000 /dev/zero > {}/other || true', 'No space left on device'),
    ('mount -o remount,ro {}', 'Read-only file system'),
  ],
  ids=['full', 'read-only'],
)
def test_a_disk_that_takes_nothing_is_refused(tmp_path, harm, why):
  run = run_on_small_disk(
    tmp_path, f'{harm.format(tmp_path)}\n{TRAIN} --train_dir={tmp_path}/run || echo "exit $?"'
  )
  assert run.stdout == 'exit 1\n'
  assert f'--train_dir={tmp_path}/run cannot be written to ({why})' in run.stderr
  assert 'Traceback' not in run.stderr


@needs_small_disk
def test_room_again(tmp_path):
  run = run_on_small_disk(
    tmp_path,
    f"""
    head -c 12000000 /dev/zero > {tmp_path}/other
    {TRAIN} --train_dir={tmp_path}/run --max_number_of_steps=400 |
      while read -r line; do
        echo "$line"
        case "$line" in *'was not saved'*) rm -f {tmp_path}/other; esac
      done
    """,
  )
  assert 'There is room again:' in run.stdout


def test_a_limit_on_the_size_of_files(tmp_path):
  """As with a quota, there is no room for the checkpoint alone."""
  script = (
    'import resource, sys\n'
    'from slimcompat import tf\n'
    'from slimtrain import saving\n'
    "tf.get_variable('x', [1_000_000])\n"
    'saver = saving.make_saver(sys.argv[1])\n'
    'with tf.Session() as session:\n'
    '  session.run(tf.global_variables_initializer())\n'
    '  prefix = sys.argv[1]\n'
    "  print('first', saver.save(session, prefix, 1))\n"
    '  resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))\n'
    "  print('second', saver.save(session, prefix, 2))\n"
    '  resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n'
    "  print('third', saver.save(session, prefix, 3))\n"
  )
  prefix = tmp_path / 'model.ckpt'
  run = subprocess.run(  # noqa: S603
    [sys.executable, '-c', script, str(prefix)], capture_output=True, text=True, cwd=ROOT
  )
  assert run.returncode == 0, run.stderr
  results = dict(line.split() for line in run.stdout.splitlines() if len(line.split()) == 2)
  assert results == {'first': f'{prefix}-1', 'second': 'None', 'third': f'{prefix}-3'}
  assert not list(tmp_path.glob('*tempstate*'))
  assert checkpoint_directory.newest(str(tmp_path)) == f'{prefix}-3'


def test_other_errors_are_not_forgiven(tmp_path):
  tf.get_variable('x', [1])
  saver = saving.make_saver(str(tmp_path))
  with tf.Session() as session, pytest.raises(tf.errors.FailedPreconditionError):
    saver.save(session, str(tmp_path / 'model.ckpt'))


def test_the_newest_checkpoints_are_kept(tmp_path):
  tf.get_variable('x', [1])
  definition = saving.make_saver(str(tmp_path)).as_saver_def()
  assert definition.max_to_keep == 5
  assert definition.keep_checkpoint_every_n_hours == 1.0
  assert definition.version == tf.train.SaverDef.V2


def test_restarts_keep_no_more(tmp_path):
  prefix = str(tmp_path / 'model.ckpt')
  with tf.Session() as session:
    tf.get_variable('x', [1])
    session.run(tf.global_variables_initializer())
    for first in (0, 4, 8):  # Three runs of four checkpoints.
      saver = saving.make_saver(str(tmp_path))
      for step in range(first, first + 4):
        saver.save(session, prefix, step)
  kept = sorted(int(path.stem.split('-')[1]) for path in tmp_path.glob('*.index'))
  assert kept == [7, 8, 9, 10, 11]


@needs_small_disk
def test_the_best_finds_no_room(tmp_path):
  run = run_on_small_disk(
    tmp_path,
    f"""
    head -c 8000000 /dev/zero > {tmp_path}/other
    {TRAIN} --train_dir={tmp_path}/run --max_number_of_steps=4 --save_interval_steps=100 \\
      --eval_split=test --eval_every_steps=2 --keep_best=accuracy || echo "exit $?"
    ls -A {tmp_path}/run/best
    """,
  )
  assert '.tmp' not in run.stdout
  assert 'The disk is full, so the evaluation of' in run.stdout
  assert 'global step 4:' in run.stdout
  assert 'Traceback' not in run.stderr


def test_a_folder_that_was_removed_is_made_again(tmp_path):
  with tf.Graph().as_default(), tf.Session() as session:
    step = tf.train.get_or_create_global_step()
    session.run(tf.global_variables_initializer())
    folder = tmp_path / 'gone' / 'run'
    saver = saving.make_saver(str(folder))
    saved = saver.save(session, str(folder / 'model.ckpt'), step)
  assert checkpoints.saved_step(saved) == 0
