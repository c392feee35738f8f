"""Checkpoints averaged, compared, listed and awaited, of a run of training and of records."""

import csv
import json
import os
import shutil
import time
import types

import numpy as np
import pytest

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import (
  evaluation_runs,
  figures,
  predictions,
  run_facts,
  training,
)
from slimtrain import settings as settings_lib

STEPS = (4, 8, 12)


@pytest.fixture(scope='module')
def train_dir(tmp_path_factory):
  """Three checkpoints of a LeNet on digits."""
  folder = tmp_path_factory.mktemp('run')
  flags = {
    'dataset_name': 'digits',
    'model_name': 'lenet',
    'batch_size': 32,
    'optimizer': 'momentum',
    'learning_rate': 0.01,
    'max_number_of_steps': 12,
    'save_interval_steps': 4,
    'log_every_n_steps': 4,
    'seed': 1,
  }
  settings = settings_lib.replace(training.TrainingSettings(), train_dir=str(folder), **flags)
  with tf.Graph().as_default():
    training.train(settings)
  return folder


def run(eval_dir, **flags):
  values = {'dataset_name': 'digits', 'eval_dir': str(eval_dir), 'report': False, **flags}
  settings = settings_lib.replace(evaluation_runs.EvaluationRunSettings(), **values)
  evaluation_runs.run(evaluation_runs.Task(settings, set(flags)))


def read_json(path):
  return json.loads(path.read_text())


def read_csv(path):
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def logits(folder):
  return np.load(folder / predictions.LOGITS_FILE).astype(float)


def softmax(values):
  exponentials = np.exp(values)
  return exponentials / exponentials.sum(axis=1, keepdims=True)


def copy_checkpoint(train_dir, folder, step):
  for name in os.listdir(train_dir):
    if name.startswith(f'model.ckpt-{step}.'):
      shutil.copy(train_dir / name, folder)
  prefixes = [str(folder / f'model.ckpt-{n}') for n in STEPS if n <= step]
  tf.train.update_checkpoint_state(str(folder), prefixes[-1], prefixes)


def test_models_are_averaged(tmp_path, train_dir):
  paths = [str(train_dir / f'model.ckpt-{step}') for step in (4, 12)]
  for index, path in enumerate(paths):
    run(tmp_path / str(index), checkpoint_path=path, report=True)
  run(tmp_path / 'both', checkpoint_path=','.join(paths), report=True)
  both = logits(tmp_path / 'both')
  mean = np.mean([softmax(logits(tmp_path / name)) for name in '01'], axis=0)
  np.testing.assert_allclose(softmax(both), mean, atol=1e-6)
  labels = [int(row['label']) for row in read_csv(tmp_path / 'both' / predictions.CSV_FILE)]
  result = read_json(tmp_path / 'both' / 'eval.json')
  assert result['eval/Accuracy'] == pytest.approx(np.mean(mean.argmax(axis=1) == labels), abs=1e-6)
  assert result['checkpoint'] == ','.join(paths)
  assert result['examples'] == 360


def test_each_checkpoint_has_its_row_once(tmp_path, train_dir, monkeypatch):
  shutil.copytree(train_dir, tmp_path / 'run')
  flags = {'checkpoint_path': str(tmp_path / 'run'), 'all_checkpoints': True}
  copies = tmp_path / 'copies'
  copies.mkdir()
  run(tmp_path / 'eval', **flags)
  rows = read_csv(tmp_path / 'eval' / evaluation_runs.TABLE_FILE)
  assert [int(row['global_step']) for row in rows] == list(STEPS)
  assert all(float(row['eval/Accuracy']) > 0 for row in rows)
  assert len({row['eval/Accuracy'] for row in rows}) > 1

  evaluated = []
  evaluate = evaluation_runs.evaluation.evaluate

  def count(settings, *others):
    evaluated.append(settings.checkpoint_path)
    return evaluate(settings, *others)

  monkeypatch.setattr(evaluation_runs.evaluation, 'evaluate', count)
  run(tmp_path / 'eval', **flags)
  assert evaluated == []
  # A run begun anew may write under the same name.
  os.utime(tmp_path / 'run' / 'model.ckpt-8.index', (1, 1))
  (tmp_path / 'run' / 'model.ckpt-9.index').write_text('damaged')
  run(tmp_path / 'eval', **flags)
  assert evaluated == [str(tmp_path / 'run' / 'model.ckpt-8')]
  # Other settings are other rows.
  run(tmp_path / 'eval', **flags, max_num_batches=1)
  rows = read_csv(tmp_path / 'eval' / evaluation_runs.TABLE_FILE)
  assert [row['examples'] for row in rows] == ['360'] * 4 + ['100'] * 3
  for row in rows[:3]:
    assert (
      row.items() >= {'dataset_name': 'digits', 'max_num_batches': '', 'eval_crops': '1'}.items()
    )


def test_watching_ends_at_the_last_step(tmp_path, train_dir, monkeypatch):
  folder = tmp_path / 'run'
  folder.mkdir()
  waiting = iter(STEPS)
  seen = []

  def sleep(secs):
    """Training goes on while nobody looks."""
    assert secs == 0.5
    step = next(waiting)
    copy_checkpoint(train_dir, folder, step)
    shutil.copy(train_dir / 'model.json', folder)
    if step == STEPS[0]:
      (folder / run_facts.RUN_FILE).write_text(json.dumps([{'last_step': 12}]))
    else:
      seen.append(len(read_csv(tmp_path / 'eval' / evaluation_runs.TABLE_FILE)))

  clock = types.SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
  monkeypatch.setattr(evaluation_runs, 'time', clock)
  run(tmp_path / 'eval', checkpoint_path=str(folder), watch=True, watch_interval_secs=0.5)
  assert seen == [1, 2]
  rows = read_csv(tmp_path / 'eval' / evaluation_runs.TABLE_FILE)
  assert [int(row['global_step']) for row in rows] == list(STEPS)
  # Restarted, it has nothing left to do.
  run(tmp_path / 'eval', checkpoint_path=str(folder), watch=True, watch_interval_secs=0.5)
  assert read_csv(tmp_path / 'eval' / evaluation_runs.TABLE_FILE) == rows


def test_watching_ends_when_nothing_comes(tmp_path):
  run(
    tmp_path / 'eval',
    checkpoint_path=str(tmp_path),
    watch=True,
    watch_interval_secs=0.01,
    watch_timeout_secs=0.05,
  )
  assert not (tmp_path / 'eval' / evaluation_runs.TABLE_FILE).exists()


def test_training_says_where_it_ended(train_dir):
  (entry,) = run_facts.read_runs(str(train_dir / run_facts.RUN_FILE))
  assert entry['last_step'] == 12
  assert entry['finished'] >= entry['started']


def test_comparing(tmp_path, train_dir):
  paths = [str(train_dir / f'model.ckpt-{step}') for step in (4, 12)]
  for name, path in zip('AB', paths, strict=True):
    run(tmp_path / name, checkpoint_path=path, report=True)
  run(tmp_path / 'both', compare=','.join(paths))
  result = read_json(tmp_path / 'both' / evaluation_runs.COMPARISON_FILE)
  rows = {name: read_csv(tmp_path / name / predictions.CSV_FILE) for name in 'AB'}
  right = {name: np.array([row['is_right'] == '1' for row in rows[name]]) for name in 'AB'}
  assert result['right'] == [right['A'].sum(), right['B'].sum()]
  assert result['only_first_right'] == (right['A'] & ~right['B']).sum()
  assert result['only_second_right'] == (right['B'] & ~right['A']).sum() > 0
  assert result['p_value'] == pytest.approx(figures.mcnemar(right['A'], right['B']))
  assert result['difference'] == pytest.approx(right['B'].mean() - right['A'].mean())
  low, high = result['difference_interval']
  assert low <= result['difference'] <= high
  differing = read_csv(tmp_path / 'both' / evaluation_runs.DIFFERENCES_FILE)
  assert len(differing) == (right['A'] != right['B']).sum()
  first = next(index for index in range(360) if right['A'][index] != right['B'][index])
  assert differing[0]['right'] == ('A' if right['A'][first] else 'B')
  for name in 'AB':
    assert differing[0][f'prediction_{name}'] == rows[name][first]['prediction']
  assert differing[0]['label'] == rows['A'][first]['label']


def test_the_newest_of_a_directory_is_compared(tmp_path, train_dir):
  run(tmp_path, compare=f'{train_dir},{train_dir}', max_num_batches=1)
  result = read_json(tmp_path / evaluation_runs.COMPARISON_FILE)
  assert result['checkpoints'] == [checkpoint_directory.newest(str(train_dir))] * 2
  assert (result['p_value'], result['examples']) == (1.0, 100)
  assert read_csv(tmp_path / evaluation_runs.DIFFERENCES_FILE) == []


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    ({'watch': True, 'all_checkpoints': True}, '--all_checkpoints and --watch exclude each other'),
    ({'compare': 'a'}, '--compare=a must be two checkpoints'),
    ({'compare': 'a,b', 'checkpoint_path': 'c'}, 'leave --checkpoint_path out'),
    ({'compare': 'a,b'}, 'There is no checkpoint a'),
    ({'watch': True, 'checkpoint_path': 'a,b'}, '--watch needs one directory'),
    ({'watch': True, 'checkpoint_path': 'nowhere'}, 'no directory nowhere'),
    ({'all_checkpoints': True, 'checkpoint_path': 'nowhere'}, 'There is no checkpoint nowhere'),
    ({'watch_timeout_secs': 1.0}, '--watch_timeout_secs needs --watch'),
    ({'eval_crops': 3}, "no value of --eval_crops '?3'?. Known: 1, 5, 10"),
    ({'top_k': '3,x'}, '--top_k=3,x is no list of numbers'),
  ],
)
def test_refused(tmp_path, flags, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    run(tmp_path, **flags)


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    ({'top_k': '10'}, '--top_k=10 says nothing: the dataset has 10 classes'),
    (
      {'slice_key': 'camera', 'report': True},
      '--slice_key=camera: no record .* They have the keys',
    ),
    ({'slice_key': 'camera'}, '--slice_key=camera needs --report'),
  ],
)
def test_refused_by_the_data(tmp_path, train_dir, flags, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    run(tmp_path, checkpoint_path=str(train_dir), **flags)
