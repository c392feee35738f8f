"""metrics.jsonl and metrics.csv: their records, after kills, restarts and on a full disk."""

import csv
import errno
import json
import logging
import math

import numpy as np
import pytest

from slimtrain import run_log, training
from slimtrain import settings as settings_lib


def records(folder):
  return run_log.read(folder / run_log.JSONL_FILE)


def rows(folder):
  """Returns the rows of metrics.csv as dicts of strings, without what is empty."""
  with open(folder / run_log.CSV_FILE, encoding='utf-8', newline='') as file:
    return [{k: v for k, v in row.items() if v != ''} for row in csv.DictReader(file)]


def header(folder):
  return (folder / run_log.CSV_FILE).read_text().splitlines()[0].split(',')


def check_that_both_agree(folder):
  """Checks that the files hold the same records."""
  in_jsonl = [
    {name: 'nan' if value != value else str(value) for name, value in record.items()}
    for record in records(folder)
  ]
  assert rows(folder) == in_jsonl


def make_log(folder, num_steps=3):
  log = run_log.RunLog(folder, 0, steps_per_epoch=2.0)
  for step in range(1, num_steps + 1):
    log.add_step(step, {'loss': np.float32(0.1) * step, 'accuracy': 0.5})
  return log


def test_records(tmp_path):
  log = make_log(tmp_path, 2)
  log.add_step(3, {'loss': math.nan, 'accuracy': math.inf})
  result = {'eval/Accuracy': 0.9, 'examples': 360, 'global_step': 3, 'dataset': 'digits'}
  log.add_evaluation(3, 'test', 'averages', result)
  found = records(tmp_path)
  assert [(r['kind'], r['step'], r['epoch']) for r in found] == [
    ('train', 1, 0.5),
    ('train', 2, 1.0),
    ('train', 3, 1.5),
    ('eval', 3, 1.5),
  ]
  assert found[0]['loss'] == 0.1
  assert math.isnan(found[2]['loss']) and math.isnan(found[2]['accuracy'])
  assert 'NaN' not in (tmp_path / run_log.JSONL_FILE).read_text()
  assert {k: v for k, v in found[3].items() if k not in ('kind', 'step', 'epoch', 'time')} == {
    'split': 'test',
    'weights': 'averages',
    'examples': 360,
    'eval/Accuracy': 0.9,
  }
  check_that_both_agree(tmp_path)


def test_columns_keep_their_places(tmp_path):
  log = make_log(tmp_path)
  before = header(tmp_path)
  log.add_evaluation(3, 'test', 'raw', {'eval/Accuracy': 0.9})
  log.add_step(4, {'accuracy': 0.5, 'losses/aux': 2.0, 'loss': 1.0})
  after = header(tmp_path)
  assert after == [*before, 'split', 'weights', 'eval/Accuracy', 'losses/aux']
  # A restart without evaluations, where all of them are cut off.
  log = run_log.RunLog(tmp_path, 2, steps_per_epoch=2.0)
  log.add_step(3, {'loss': 5.0, 'more': 1.0})
  assert header(tmp_path) == [*after, 'more']
  check_that_both_agree(tmp_path)


@pytest.mark.parametrize('tail', [b'', b'{"kind": "train", "step": 4, "lo', b'\0' * 50])
def test_a_restart_goes_on_after_its_checkpoint(tmp_path, tail):
  make_log(tmp_path, 5)
  for name in (run_log.JSONL_FILE, run_log.CSV_FILE):
    with open(tmp_path / name, 'ab') as file:
      file.write(tail)
  log = run_log.RunLog(tmp_path, 3, steps_per_epoch=2.0)
  check_that_both_agree(tmp_path)
  for step in (4, 5, 6):
    log.add_step(step, {'loss': 7.0})
  assert [(r['step'], r['loss']) for r in records(tmp_path)] == [
    (1, 0.1),
    (2, 0.2),
    (3, 0.3),
    *((step, 7.0) for step in (4, 5, 6)),
  ]
  check_that_both_agree(tmp_path)


def test_half_a_line_is_cut_off(tmp_path):
  make_log(tmp_path)
  path = tmp_path / run_log.JSONL_FILE
  whole = path.read_bytes()
  path.write_bytes(whole + whole[:20])
  run_log.RunLog(tmp_path, 3, steps_per_epoch=2.0)
  assert path.read_bytes() == whole


def test_a_line_that_is_no_record_is_left_out_and_alone(tmp_path):
  make_log(tmp_path)
  path = tmp_path / run_log.JSONL_FILE
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(lines[0] + b'\xff rubbish\n[1]\n{"step": "x"}\n' + lines[1] + lines[2])
  run_log.RunLog(tmp_path, 2, steps_per_epoch=2.0)
  assert [record['step'] for record in records(tmp_path)] == [1, 2]
  assert b'rubbish' in path.read_bytes()


def test_without_a_file_there_are_no_records(tmp_path):
  assert records(tmp_path) == []


def test_a_full_disk_is_said_once_and_leaves_whole_lines(tmp_path, monkeypatch, caplog):
  caplog.set_level(logging.INFO, logger='slimtrain')
  log = make_log(tmp_path)

  def fail(path, text):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(run_log, '_append', fail)
    log.add_step(4, {'loss': 1.0})
    log.add_step(5, {'loss': 1.0})
  log.add_step(6, {'loss': 1.0})
  said = [record.message for record in caplog.records]
  assert said == [
    'metrics.jsonl and metrics.csv cannot be written (No space left on device). Training goes on'
    ' without what belongs there.'
  ]
  assert [record['step'] for record in records(tmp_path)] == [1, 2, 3, 6]
  check_that_both_agree(tmp_path)


def evaluated(folder):
  return [(r['step'], r['kind']) for r in records(folder)]


def test_an_evaluation_that_found_no_room_is_written_later(tmp_path, monkeypatch):
  log = make_log(tmp_path)

  def fail(path, text):
    raise OSError(errno.ENOSPC, 'No space left on device')

  with monkeypatch.context() as patch:
    patch.setattr(run_log, '_append', fail)
    log.add_evaluation(3, 'test', 'raw', {'eval/Accuracy': 0.5})
    log.add_step(4, {'loss': 1.0})
  assert log.find_evaluation(3, 'test', 'raw')['eval/Accuracy'] == 0.5
  log.add_step(5, {'loss': 1.0})
  log.add_step(6, {'loss': 1.0})
  assert evaluated(tmp_path) == [
    *((step, 'train') for step in (1, 2, 3)),
    (3, 'eval'),
    (5, 'train'),
    (6, 'train'),
  ]
  check_that_both_agree(tmp_path)


def test_each_evaluation_stands_there_once(tmp_path):
  log = make_log(tmp_path)
  for value in (0.5, 0.7):
    log.add_evaluation(3, 'test', 'raw', {'eval/Accuracy': value})
  log.add_evaluation(3, 'test', 'averages', {'eval/Accuracy': 0.9})
  found = [r['eval/Accuracy'] for r in records(tmp_path) if r['kind'] == 'eval']
  assert found == [0.7, 0.9]
  # As former versions left them.
  path = tmp_path / run_log.JSONL_FILE
  path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[-1])
  log = run_log.RunLog(tmp_path, 3, steps_per_epoch=2.0)
  assert len(evaluated(tmp_path)) == 5
  assert log.find_evaluation(3, 'test', 'averages')['eval/Accuracy'] == 0.9
  assert log.find_evaluation(3, 'validation', 'averages') is None
  assert (log.last_evaluation('test', 4), log.last_evaluation('test', 3)) == (3, 0)
  check_that_both_agree(tmp_path)


def test_records_of_others_before_a_later_step_stay(tmp_path):
  """An evaluator writes while the chief has gone on."""
  make_log(tmp_path, 5).add_evaluation(2, 'test', 'raw', {'eval/Accuracy': 0.5})
  run_log.RunLog(tmp_path, 3, steps_per_epoch=2.0)
  assert (2, 'eval') in evaluated(tmp_path)
  assert max(evaluated(tmp_path)) == (3, 'train')


def test_files_that_were_removed_begin_anew(tmp_path):
  log = make_log(tmp_path)
  for name in (run_log.JSONL_FILE, run_log.CSV_FILE):
    (tmp_path / name).unlink()
  log.add_step(4, {'loss': 1.0})
  assert evaluated(tmp_path) == [(4, 'train')]
  check_that_both_agree(tmp_path)


def test_a_row_that_failed_is_made_up_for(tmp_path, monkeypatch):
  log = make_log(tmp_path)
  append = run_log._append

  def fail_for_csv(path, text):
    if path.endswith('.csv'):
      raise OSError(errno.ENOSPC, 'No space left on device')
    append(path, text)

  with monkeypatch.context() as patch:
    patch.setattr(run_log, '_append', fail_for_csv)
    log.add_step(4, {'loss': 1.0})
  assert [row['step'] for row in rows(tmp_path)] == ['1', '2', '3']
  log.add_step(5, {'loss': 1.0})
  assert [row['step'] for row in rows(tmp_path)] == ['1', '2', '3', '4', '5']
  check_that_both_agree(tmp_path)


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
  """A run of 12 steps and its evaluations, which was stopped at step 6 and went on from there."""
  folder = tmp_path_factory.mktemp('run')
  flags = {
    'train_dir': str(folder),
    'dataset_name': 'digits',
    'model_name': 'lenet',
    'optimizer': 'momentum',
    'moving_average_decay': 0.9,
    'log_every_n_steps': 2,
    'eval_split': 'test',
    'eval_every_steps': 4,
  }
  for last_step in (6, 12):
    training.train(
      settings_lib.replace(training.TrainingSettings(), max_number_of_steps=last_step, **flags)
    )
  return folder


def test_a_run_in_numbers(run_dir):
  found = records(run_dir)
  of_training = [record for record in found if record['kind'] == run_log.TRAIN]
  assert [record['step'] for record in of_training] == [1, 2, 4, 6, 7, 8, 10, 12]
  for record in of_training:
    assert record['epoch'] == pytest.approx(record['step'] * 32 / 1437, rel=1e-6)
    assert record['loss'] == pytest.approx(
      record['Losses/clone_loss'] + record['Losses/regularization_loss'], rel=1e-5
    )
    assert record['losses/softmax_cross_entropy_loss/value'] == record['Losses/clone_loss']
    assert record['learning_rate'] == 0.01
    assert record['images_per_sec'] == pytest.approx(32 / record['secs_per_step'], rel=1e-5)
    assert 0 <= record['wait_share'] <= 1
    assert 0 <= record['accuracy'] <= 1
  of_evaluation = [record for record in found if record['kind'] == run_log.EVAL]
  assert [(record['step'], record['weights']) for record in of_evaluation] == [
    (step, weights) for step in (4, 6, 8, 12) for weights in ('raw', 'averages')
  ]
  for record in of_evaluation:
    assert (record['split'], record['examples']) == ('test', 360)
  last = json.loads((run_dir / 'eval' / 'eval.json').read_text())
  assert of_evaluation[-2]['eval/Accuracy'] == last['eval/Accuracy']
  check_that_both_agree(run_dir)
