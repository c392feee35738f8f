"""Runs that are killed at named moments record each evaluation that is due exactly once."""

import collections
import csv
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

from slimcompat import checkpoint_directory, tf
from slimtrain import run_log, validation
from tests import warm_python

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLER = pathlib.Path(__file__).with_name('killer.py')
FLAGS = (
  '--dataset_name=digits',
  '--model_name=lenet',
  '--batch_size=32',
  '--optimizer=momentum',
  '--learning_rate=0.01',
  '--moving_average_decay=0.5',
  '--seed=1',
  '--deterministic_input',
  '--max_number_of_steps=10',
  '--log_every_n_steps=3',
  '--eval_split=test',
  '--eval_every_steps=4',
  '--keep_best=accuracy',
)
KILLED = (-9) & 0xFF  # As warm_python says it.


@pytest.fixture(scope='module')
def python(tmp_path_factory):
  """A Python that starts at once."""
  folder = tmp_path_factory.mktemp('python')
  with warm_python.start(folder):
    yield folder / 'python'


@pytest.fixture(scope='module')
def train(python):
  """`train(train_dir, moment, *flags)` runs the script, killed at a moment; returns its outcome."""

  def run(train_dir, moment='', *flags):
    return subprocess.run(  # noqa: S603
      [
        python,
        'train_image_classifier.py',
        f'--plugin={KILLER}',
        f'--train_dir={train_dir}',
        *FLAGS,
        *flags,
      ],
      cwd=ROOT,
      env={**os.environ, 'KILL_AT': moment},
      capture_output=True,
      text=True,
      check=False,
    )

  return run


@pytest.fixture(scope='module')
def undisturbed(train, tmp_path_factory):
  folder = tmp_path_factory.mktemp('undisturbed') / 'run'
  finished = train(folder)
  assert finished.returncode == 0, finished.stderr
  return folder


def evaluations(train_dir):
  """Returns those of metrics.jsonl, without their times."""
  records = run_log.read(train_dir / run_log.JSONL_FILE)
  return [{**record, 'time': None} for record in records if record['kind'] == run_log.EVAL]


def summaries(folder):
  """Returns how often each step of each tag is there."""
  counts = collections.Counter()
  for path in folder.glob('*tfevents*'):
    for event in tf.train.summary_iterator(str(path)):
      counts.update((value.tag, event.step) for value in event.summary.value)
  return counts


def values(checkpoint):
  reader = tf.train.NewCheckpointReader(checkpoint)
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def check_same(train_dir, other):
  """Checks that a run left what another one did."""
  assert evaluations(train_dir) == evaluations(other)
  with open(train_dir / run_log.CSV_FILE, encoding='utf-8', newline='') as file:
    steps = [(row['kind'], int(row['step'])) for row in csv.DictReader(file)]
  assert steps == [(r['kind'], r['step']) for r in run_log.read(train_dir / run_log.JSONL_FILE)]
  for name in ('eval', 'eval_moving_averages'):
    assert summaries(train_dir / name) == summaries(other / name)
    states = [json.loads((one / name / 'eval.json').read_text()) for one in (train_dir, other)]
    assert states[0]['global_step'] == states[1]['global_step']
  assert json.loads((train_dir / validation.STATE_FILE).read_text()) == json.loads(
    (other / validation.STATE_FILE).read_text()
  )
  best = [one / validation.BEST_DIR for one in (train_dir, other)]
  assert sorted(os.listdir(best[0])) == sorted(os.listdir(best[1]))
  for folders in ((train_dir, other), best):
    found, expected = (values(checkpoint_directory.newest(str(folder))) for folder in folders)
    assert found.keys() == expected.keys()
    for name in found:
      np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
  left = [path for path in train_dir.rglob('.*') if path.name != '.lock']
  assert left == []


def check_best(train_dir):
  """Checks that, once there was a best checkpoint, there is one that can be read."""
  if os.path.exists(train_dir / validation.STATE_FILE):
    assert values(checkpoint_directory.newest(str(train_dir / validation.BEST_DIR)))


def check_kills(train, train_dir, undisturbed, moments):
  for moment in moments:
    killed = train(train_dir, moment)
    assert killed.returncode == KILLED, (moment, killed.stdout, killed.stderr)
    check_best(train_dir)
  finished = train(train_dir)
  assert finished.returncode == 0, finished.stderr
  check_same(train_dir, undisturbed)
  # Once more, and nothing is done again.
  finished = train(train_dir)
  assert finished.returncode == 0, finished.stderr
  assert 'Evaluating' not in finished.stdout
  check_same(train_dir, undisturbed)


DATA = 'data-00000-of-00001'


def test_kills(train, tmp_path, undisturbed):
  """During a copy to the folder best, and during the last evaluation."""
  moments = (f'amid copy best/.model.ckpt-8.{DATA}.tmp 1', 'before evaluate 2')
  check_kills(train, tmp_path / 'run', undisturbed, moments)


@pytest.mark.slow
@pytest.mark.parametrize(
  'moments',
  [
    ('before evaluate 1', 'amid append run/metrics.jsonl 6'),
    ('before remove best/model.ckpt-4.meta 1', 'before evaluate 1', 'before evaluate 2'),
    ('before replace eval/eval.json 1',),
    ('after evaluate 1', 'after evaluate 1'),
    ('before append run/metrics.jsonl 4',),
    ('amid append run/metrics.jsonl 4', 'amid append run/metrics.jsonl 1'),
    ('after append run/metrics.jsonl 4',),
    ('after replace run/metrics.csv 1', 'before evaluate 2'),
    ('after evaluate 2',),
    ('after append run/metrics.jsonl 5', 'before replace run/validation.json 1'),
    (f'before copy best/.model.ckpt-4.{DATA}.tmp 1',),
    ('amid copy best/.model.ckpt-4.index.tmp 1', 'amid copy best/.model.ckpt-4.meta.tmp 1'),
    ('after replace best/model.ckpt-4.index 1', 'after replace best/model.ckpt-4.index 1'),
    ('before replace run/validation.json 1',),
    ('after replace run/validation.json 1',),
    ('after evaluate 3', 'after evaluate 2'),
    (f'after copy best/.model.ckpt-8.{DATA}.tmp 1',),
    ('before replace best/model.ckpt-8.index 1', 'after remove best/model.ckpt-4.index 1'),
    ('after remove best/model.ckpt-4.index 1',),
    ('before replace run/validation.json 2', 'before replace run/validation.json 2'),
    ('after save 4',),
    ('before evaluate 5', 'after evaluate 1', 'after evaluate 1'),
    ('amid append run/metrics.jsonl 11',),
    ('before replace eval_moving_averages/eval.json 3',),
    ('amid append run/metrics.csv 9',),
    ('amid copy best/.model.json.tmp 3',),
    ('before remove best/model.ckpt-8.index 1', 'before replace run/validation.json 1'),
    ('before replace run/validation.json 3',),
    ('after replace run/validation.json 3',),
    ('before save 5', 'before replace run/run.json 1'),
    ('before replace run/run.json 2',),
    ('before replace run/flags.txt 1', 'before replace run/model.json 1'),
  ],
  ids=' + '.join,
)
def test_kills_at_every_moment(train, tmp_path, undisturbed, moments):
  check_kills(train, tmp_path / 'run', undisturbed, moments)
