"""Evaluation while training: its numbers, the best checkpoint, and training left alone."""

import errno
import json
import logging
import os
import shutil

import numpy as np
import pytest

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import (
  checkpoint_inspection,
  checkpoints,
  evaluation,
  export,
  inputs,
  model_facts,
  models,
  run_facts,
  run_log,
  training,
  validation,
)
from slimtrain import settings as settings_lib

FLAGS = {
  'dataset_name': 'digits',
  'model_name': 'lenet',
  'batch_size': 32,
  'optimizer': 'momentum',
  'learning_rate': 0.01,
  'max_number_of_steps': 12,
}


def train(train_dir, **flags):
  settings = settings_lib.replace(
    training.TrainingSettings(), train_dir=str(train_dir), **{**FLAGS, **flags}
  )
  return training.train(settings)


def values(checkpoint):
  reader = tf.train.NewCheckpointReader(checkpoint)
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def summaries(folder, tag):
  """Returns the values of a scalar by step."""
  found = {}
  for name in os.listdir(folder):
    if 'tfevents' in name:
      for event in tf.train.summary_iterator(os.path.join(folder, name)):
        for value in event.summary.value:
          if value.tag == tag:
            found[event.step] = value.simple_value
  return dict(sorted(found.items()))


@pytest.mark.parametrize('steps_per_run', [1, 2])
def test_evaluations_equal_the_script_and_change_nothing(tmp_path, steps_per_run):
  flags = {'seed': 1, 'deterministic_input': True, 'steps_per_run': steps_per_run}
  flags['moving_average_decay'] = 0.5
  train(tmp_path / 'plain', **flags)
  train(tmp_path / 'run', eval_split='test', eval_every_steps=4, **flags)

  plain, evaluated = (
    values(checkpoint_directory.newest(str(tmp_path / name))) for name in ('plain', 'run')
  )
  assert plain.keys() == evaluated.keys()
  for name in plain:
    np.testing.assert_array_equal(plain[name], evaluated[name], err_msg=name)

  for folder, is_average in (('eval', False), ('eval_moving_averages', True)):
    seen = summaries(tmp_path / 'run' / folder, 'eval/Accuracy')
    assert list(seen) == [4, 8, 12]
    alone = evaluation.evaluate(
      evaluation.EvaluationSettings(
        checkpoint_path=str(tmp_path / 'run' / 'model.ckpt-8'),
        eval_dir=str(tmp_path / 'alone'),
        use_moving_averages=is_average,
        model=models.ModelSettings('lenet'),
        data=inputs.DataSettings(dataset_name='digits', dataset_split_name='test'),
      )
    )
    assert alone['eval/Accuracy'] == pytest.approx(seen[8], abs=1e-6)
    assert alone['examples'] == 360


def test_the_best_is_kept(tmp_path, monkeypatch):
  scores = iter([0.5, 0.8, float('nan'), 0.7, 0.9])
  seen = []

  def evaluate(settings):
    score = next(scores)
    seen.append(settings.checkpoint_path)
    return {'global_step': checkpoints.saved_step(settings.checkpoint_path), 'eval/Accuracy': score}

  monkeypatch.setattr(evaluation, 'evaluate', evaluate)
  flags = {'eval_split': 'test', 'eval_every_steps': 3, 'keep_best': 'accuracy'}
  train(tmp_path, **flags)
  assert [path.rsplit('-', 1)[1] for path in seen] == ['3', '6', '9', '12']
  best = tmp_path / validation.BEST_DIR
  assert checkpoints.saved_step(checkpoint_directory.newest(str(best))) == 6
  assert {name.split('.')[1] for name in os.listdir(best) if name.startswith('model.ckpt')} == {
    'ckpt-6'
  }
  assert model_facts.read(str(best / 'model.ckpt-6')).model_name == 'lenet'
  state = json.loads((tmp_path / validation.STATE_FILE).read_text())
  history = [[3, 0.5], [6, 0.8], [9, None], [12, 0.7]]
  assert state == {'metric': 'Accuracy', 'value': 0.8, 'global_step': 6, 'history': history}
  # After a restart the score to beat is the same.
  train(tmp_path, **{**flags, 'max_number_of_steps': 14})
  assert checkpoints.saved_step(checkpoint_directory.newest(str(best))) == 14


def test_the_best_serves_every_script(tmp_path):
  flags = {'eval_split': 'test', 'eval_every_steps': 6, 'keep_best': 'accuracy'}
  train(tmp_path / 'run', **flags, moving_average_decay=0.5)
  best = str(tmp_path / 'run' / validation.BEST_DIR)
  state = json.loads((tmp_path / 'run' / validation.STATE_FILE).read_text())

  given = {'checkpoint_path': best, 'dataset_name': 'digits', 'dataset_split_name': 'test'}
  settings = settings_lib.replace(
    evaluation.EvaluationSettings(), eval_dir=str(tmp_path / 'alone'), **given
  )
  alone = evaluation.evaluate(evaluation.complete(settings, set(given)))
  assert alone['weights'] == 'moving averages'
  assert alone['global_step'] == state['global_step']
  assert alone['eval/Accuracy'] == pytest.approx(state['value'], abs=1e-6)

  given = {'checkpoint_path': best, 'output_file': str(tmp_path / 'net.pb'), 'format': 'frozen'}
  settings = settings_lib.replace(export.ExportSettings(), **given)
  export.export_inference_graph(export.complete(settings, set(given)))
  assert (tmp_path / 'net.pb').stat().st_size > 1e6

  checkpoint_inspection.inspect(
    checkpoint_inspection.InspectionSettings(
      checkpoint_path=best, weights='moving_averages', output=str(tmp_path / 'copy' / 'net.ckpt')
    )
  )
  train(tmp_path / 'tuned', checkpoint_path=best, max_number_of_steps=1)
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path / 'tuned'))) == 1


def test_patience(tmp_path, monkeypatch):
  scores = iter([0.5, 0.6, 0.6, 0.4, 0.9])
  monkeypatch.setattr(
    evaluation,
    'evaluate',
    lambda settings: {
      'global_step': checkpoints.saved_step(settings.checkpoint_path),
      'eval/Accuracy': next(scores),
    },
  )
  train(
    tmp_path,
    eval_split='test',
    eval_every_steps=2,
    keep_best='Accuracy',
    early_stop_patience=2,
    max_number_of_steps=100,
  )
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path))) == 8
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path / 'best'))) == 4


def test_an_evaluation_that_a_kill_cut_off_is_made_up_for(tmp_path, monkeypatch):
  def evaluate(settings):
    seen.append(checkpoints.saved_step(settings.checkpoint_path))
    if killed_at in seen:
      raise KeyboardInterrupt
    return {'global_step': seen[-1], 'eval/Accuracy': 1 / seen[-1]}

  monkeypatch.setattr(evaluation, 'evaluate', evaluate)
  flags = {'eval_split': 'test', 'eval_every_steps': 4, 'keep_best': 'accuracy'}
  seen, killed_at = [], 8
  with pytest.raises(KeyboardInterrupt):
    train(tmp_path, **flags)
  seen, killed_at = [], None
  train(tmp_path, **flags)
  assert seen == [8, 12]
  state = json.loads((tmp_path / validation.STATE_FILE).read_text())
  assert state['history'] == [[step, 1 / step] for step in (4, 8, 12)]


def scored(monkeypatch, scores):
  """Has evaluations give `scores` by step; returns the list that grows with the steps evaluated."""
  seen = []

  def evaluate(settings):
    seen.append(checkpoints.saved_step(settings.checkpoint_path))
    return {'global_step': seen[-1], 'eval/Accuracy': scores[seen[-1]]}

  monkeypatch.setattr(evaluation, 'evaluate', evaluate)
  return seen


def test_an_early_end_stays_the_end(tmp_path, monkeypatch):
  seen = scored(monkeypatch, {2: 0.5, 4: 0.4, 6: 0.9})
  flags = {'eval_split': 'test', 'eval_every_steps': 2, 'keep_best': 'accuracy'}
  flags |= {'max_number_of_steps': 6}
  train(tmp_path, **flags, early_stop_patience=1)
  # As after a kill between the last evaluation and the end.
  (tmp_path / run_facts.RUN_FILE).write_text(json.dumps([{'last_step': 6}]))
  train(tmp_path, **flags, early_stop_patience=1)
  assert seen == [2, 4]
  assert run_facts.read_runs(tmp_path / run_facts.RUN_FILE)[-1]['last_step'] == 4
  train(tmp_path, **flags, early_stop_patience=2)
  assert seen == [2, 4, 6]


def test_evaluations_without_a_metric_are_made_up_for(tmp_path, monkeypatch):
  seen = scored(monkeypatch, dict.fromkeys((4, 8, 12), 0.5))
  flags = {'eval_split': 'test', 'eval_every_steps': 4}
  with monkeypatch.context() as patch:
    add = run_log.RunLog.add_evaluation
    patch.setattr(run_log.RunLog, 'add_evaluation', lambda *of: 1 / (seen[-1] < 12) and add(*of))
    with pytest.raises(ZeroDivisionError):
      train(tmp_path, **flags)
  train(tmp_path, **flags)
  assert seen == [4, 8, 12, 12]
  train(tmp_path, **flags)
  assert len(seen) == 4


def full(*unused, **also_unused):
  raise OSError(errno.ENOSPC, 'No space left on device')


def test_an_evaluation_that_found_no_room_is_made_up_for(tmp_path, monkeypatch, caplog):
  caplog.set_level(logging.INFO, logger='slimtrain')
  seen = scored(monkeypatch, {4: 0.9, 8: 0.5, 12: 0.7})
  copy = shutil.copyfile
  monkeypatch.setattr(shutil, 'copyfile', lambda *paths: full() if len(seen) < 2 else copy(*paths))
  flags = {'eval_split': 'test', 'eval_every_steps': 4, 'keep_best': 'accuracy'}
  train(tmp_path, **flags)
  assert any(
    'The disk is full, so the evaluation of' in record.message for record in caplog.records
  )
  # The evaluation itself is recorded already.
  assert seen == [4, 8, 12]
  state = json.loads((tmp_path / validation.STATE_FILE).read_text())
  assert state['history'] == [[4, 0.9], [8, 0.5], [12, 0.7]]
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path / 'best'))) == 4


def test_only_checkpoints_leave_the_folder_of_the_best(tmp_path, monkeypatch):
  scored(monkeypatch, {4: 0.5, 8: 0.7, 12: 0.6})
  (tmp_path / 'best' / 'eval').mkdir(parents=True)
  (tmp_path / 'best' / 'notes.txt').touch()
  (tmp_path / 'best' / '.model.ckpt-8.index.tmp').touch()
  train(tmp_path, eval_split='test', eval_every_steps=4, keep_best='accuracy')
  names = os.listdir(tmp_path / 'best')
  assert {name for name in names if 'model.ckpt-8' not in name} == {
    'checkpoint',
    'eval',
    'model.json',
    'notes.txt',
  }
  assert not [name for name in names if name.startswith('.')]


@pytest.mark.parametrize(('is_original_left', 'best'), [(True, 4), (False, 12)])
def test_a_removed_best_is_found_again(tmp_path, monkeypatch, is_original_left, best):
  scored(monkeypatch, {4: 0.9, 8: 0.5, 12: 0.7})
  flags = {'eval_split': 'test', 'eval_every_steps': 4, 'keep_best': 'accuracy'}
  train(tmp_path, **flags, max_number_of_steps=8)
  shutil.rmtree(tmp_path / 'best')
  if not is_original_left:
    for path in tmp_path.glob('model.ckpt-4.*'):
      path.unlink()
  train(tmp_path, **flags)
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path / 'best'))) == best


def test_a_best_that_cannot_be_written_does_not_end_training(tmp_path, monkeypatch, caplog):
  caplog.set_level(logging.INFO, logger='slimtrain')
  scored(monkeypatch, {12: 0.9})
  (tmp_path / 'best').touch()
  train(tmp_path, eval_split='test', eval_every_steps=100, keep_best='accuracy')
  assert any('is not kept' in record.message for record in caplog.records)
  (tmp_path / 'best').unlink()
  train(tmp_path, eval_split='test', eval_every_steps=100, keep_best='accuracy')
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path / 'best'))) == 12


def test_another_metric_begins_anew(tmp_path, monkeypatch):
  monkeypatch.setattr(
    evaluation,
    'evaluate',
    lambda settings: {
      'global_step': checkpoints.saved_step(settings.checkpoint_path),
      'eval/Accuracy': 0.9,
      'eval/Recall_5': 0.1,
    },
  )
  flags = {'eval_split': 'test', 'eval_every_steps': 100}
  train(tmp_path, **flags, keep_best='accuracy', max_number_of_steps=2)
  train(tmp_path, **flags, keep_best='recall_5', max_number_of_steps=3)
  state = json.loads((tmp_path / validation.STATE_FILE).read_text())
  assert state == {'metric': 'Recall_5', 'value': 0.1, 'global_step': 3, 'history': [[3, 0.1]]}
  assert checkpoints.saved_step(checkpoint_directory.newest(str(tmp_path / 'best'))) == 3


@pytest.mark.parametrize('content', ['{', '[1]', '{"history": [1]}', '{"history": [["x", 1]]}'])
def test_a_damaged_state_is_named(tmp_path, content):
  (tmp_path / validation.STATE_FILE).write_text(content)
  with pytest.raises(errors.InputError, match=r'validation\.json is damaged'):
    train(tmp_path, eval_split='test', keep_best='accuracy')


def test_epochs(tmp_path):
  # 1437 images in batches of 300: an epoch has 5 steps, about.
  train(tmp_path, eval_split='test', eval_every_epochs=1, batch_size=300, max_number_of_steps=11)
  assert list(summaries(tmp_path / 'eval', 'eval/Accuracy')) == [5, 10, 11]


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    ({'keep_best': 'accuracy'}, '--keep_best=accuracy needs --eval_split'),
    ({'eval_every_steps': 3}, '--eval_every_steps=3 needs --eval_split'),
    (
      {'eval_split': 'test', 'eval_every_steps': 3, 'eval_every_epochs': 1.0},
      'exclude each other',
    ),
    ({'eval_split': 'test', 'early_stop_patience': 3}, '--early_stop_patience needs --keep_best'),
    ({'eval_split': 'tset'}, "Did you mean 'test'"),
    ({'eval_split': 'test', 'keep_best': 'acuracy'}, "Did you mean 'Accuracy'"),
    ({'eval_split': 'test', 'keep_best': 'mae'}, "no metric 'mae'"),
  ],
)
def test_refused(tmp_path, flags, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    train(tmp_path, **flags)
