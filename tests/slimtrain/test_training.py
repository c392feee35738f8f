"""Whole runs of training on the digits, small enough to take seconds."""

import logging
import os
import re

import numpy as np
import pytest
from absl import flags

from slimcompat import errors, slim, tf
from slimtrain import (
  checkpoints,
  deployment,
  inputs,
  learning_rates,
  losses,
  models,
  optimizers,
  run_log,
  train_step,
  training,
)
from slimtrain import settings as settings_lib
from tests import scenes


def make_settings(run_dir, **changes):
  """Returns settings for LeNet on digits; `changes` go to the group that has the field."""
  settings = training.TrainingSettings(
    train_dir=str(run_dir),
    max_number_of_steps=4,
    log_every_n_steps=2,
    model=models.TrainedModelSettings(model_name='lenet'),
    data=inputs.TrainingDataSettings(dataset_name='digits', batch_size=20),
    optimizer=optimizers.OptimizerSettings(optimizer='momentum'),
  )
  return settings_lib.replace(settings, **changes)


def train(run_dir, **changes):
  return training.train(make_settings(run_dir, **changes))


def saved(train_dir):
  """Returns {name: value} of the newest checkpoint."""
  reader = tf.train.NewCheckpointReader(checkpoints.find(str(train_dir)))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def summaries(train_dir):
  """Returns {tag: last value} of all event files, histograms as None."""
  values = {}
  for name in sorted(os.listdir(train_dir)):
    if 'tfevents' in name:
      for event in tf.train.summary_iterator(os.path.join(train_dir, name)):
        for value in event.summary.value:
          values[value.tag] = value.simple_value if value.HasField('simple_value') else None
  return values


@pytest.fixture(autouse=True)
def lines(caplog):
  """The lines that a run says."""
  caplog.set_level(logging.INFO, logger='slimtrain')
  return lambda: [record.message for record in caplog.records if record.name == 'slimtrain']


def test_a_run_trains_logs_saves_and_resumes(tmp_path, lines):
  loss = train(tmp_path)
  assert np.isfinite(loss)
  steps = [line for line in lines() if line.startswith('global step')]
  assert [int(line.split()[2].rstrip(':')) for line in steps] == [1, 2, 4]
  for line in steps:
    assert re.match(r'global step \d+: loss = \d+\.\d{4} \(\d+\.\d{3} sec/step\)', line)
  assert saved(tmp_path)['global_step'] == 4
  assert lines()[-1] == f'Finished: {tmp_path}/model.ckpt-4'

  before = saved(tmp_path)
  train(tmp_path, max_number_of_steps=6)
  after = saved(tmp_path)
  assert after['global_step'] == 6
  assert set(after) == set(before)
  assert f'Continuing {tmp_path}/model.ckpt-4 at step 4.' in lines()

  assert train(tmp_path, max_number_of_steps=6) is None
  assert 'nothing is left to do' in lines()[-1]


def test_the_loss_falls(tmp_path, lines):
  train(tmp_path, max_number_of_steps=60, log_every_n_steps=10)
  losses = [float(line.split('loss = ')[1].split()[0]) for line in lines() if 'loss = ' in line]
  assert losses[-1] < losses[0] / 4


def test_summaries_have_slims_tags(tmp_path):
  train(tmp_path, max_number_of_steps=1)
  values = summaries(tmp_path)
  assert {
    'losses/softmax_cross_entropy_loss/value',
    'Losses/clone_loss',
    'Losses/regularization_loss',
    'total_loss',
    'learning_rate',
    'accuracy',
    'images_per_sec',
  } == set(values) - {'global_step/sec'}
  assert 0 <= values['accuracy'] <= 1
  assert values['learning_rate'] == pytest.approx(0.01)
  assert values['images_per_sec'] > 0


def test_histograms_on_request(tmp_path):
  train(tmp_path, max_number_of_steps=1, summarize_activations=True, summarize_weights=True)
  tags = set(summaries(tmp_path))
  # TensorFlow numbers the second use of a name, as it did for slim.
  assert {'activations/conv1', 'sparsity/conv1', 'LeNet/conv1/weights_1'} <= tags


def build(settings):
  data = inputs.load_data(settings.data)
  return train_step.build(settings, data, train_step.make_batches(settings, data))


def loss_lines(lines):
  """Returns {step: loss as printed} and forgets the lines."""
  printed = dict(re.findall(r'global step (\d+): loss = (\S+)', '\n'.join(lines())))
  return {int(step): loss for step, loss in printed.items()}


REPRODUCIBLE = {'seed': 3, 'deterministic_input': True, 'log_every_n_steps': 1}


@pytest.mark.parametrize(
  'changes',
  [{}, {'model_name': 'cifarnet'}, {'moving_average_decay': 0.9}],
  ids=['lenet', 'cifarnet', 'averages'],
)
def test_a_deterministic_run_repeats_and_resumes_to_the_last_digit(tmp_path, changes):
  changes = {**REPRODUCIBLE, **changes}
  for name, stops in (('whole', [6]), ('again', [6]), ('halves', [3, 6])):
    for stop in stops:
      train(tmp_path / name, max_number_of_steps=stop, **changes)
  whole = saved(tmp_path / 'whole')
  for name in ('again', 'halves'):
    other = saved(tmp_path / name)
    assert other.keys() == whole.keys()
    for variable, value in whole.items():
      np.testing.assert_array_equal(other[variable], value, err_msg=f'{name} {variable}')


@pytest.mark.parametrize(
  'changes',
  [
    {'model_name': 'lenet'},
    {'model_name': 'mobilenet_v1_025', 'train_image_size': 32, 'batch_norm_decay': 0.9},
  ],
  ids=lambda changes: changes['model_name'],
)
def test_steps_in_one_run_equal_steps_in_several(tmp_path, lines, caplog, changes):
  changes = {**REPRODUCIBLE, **changes, 'max_number_of_steps': 7, 'moving_average_decay': 0.9}
  train(tmp_path / 'single', **changes)
  single = loss_lines(lines)
  caplog.clear()
  train(tmp_path / 'several', steps_per_run=3, **changes)
  assert loss_lines(lines) == {step: single[step] for step in (3, 6, 7)}
  one, other = saved(tmp_path / 'single'), saved(tmp_path / 'several')
  assert one.keys() == other.keys()
  assert other['global_step'] == 7
  for name, value in one.items():
    np.testing.assert_array_equal(other[name], value, err_msg=name)


def test_the_loss_is_fetched_only_for_lines(tmp_path, monkeypatch):
  fetched = []
  original = tf.Session.run

  def run(self, fetches, *args, **kwargs):
    if isinstance(fetches, dict) and 'loss' in fetches:
      fetched.append(fetches)
    return original(self, fetches, *args, **kwargs)

  monkeypatch.setattr(tf.Session, 'run', run)
  train(tmp_path, max_number_of_steps=20, log_every_n_steps=10, save_summaries_secs=0)
  assert len(fetched) == 3  # Steps 1, 10 and 20.


def test_lines_tell_the_rate_the_wait_and_the_time_left(tmp_path, lines):
  train(tmp_path)
  assert 'A step takes 20 images, an epoch 71.8 steps.' in lines()
  last = [line for line in lines() if line.startswith('global step')][-1]
  assert re.search(r'\d+ images/s, \d+% waiting for input, 0:00:00 left$', last)


def test_clones_are_told_apart_from_the_batch(tmp_path, lines):
  train(tmp_path, num_clones=2, batch_size=10, max_number_of_steps=1)
  line = next(line for line in lines() if line.startswith('A step takes'))
  assert line == 'A step takes 20 images (2 clones x 10), an epoch 71.8 steps.'


@pytest.mark.parametrize(('legacy_clone_decay', 'images'), [(False, 120), (True, 60)])
def test_the_learning_rate_counts_examples_or_those_of_a_clone(
  tmp_path, legacy_clone_decay, images
):
  settings = make_settings(
    tmp_path,
    num_clones=2,
    accumulate_steps=3,
    legacy_clone_decay=legacy_clone_decay,
  )
  assert settings.images_per_decay_step == images
  assert settings.images_per_step == 120


def test_the_loss_is_scaled_in_float16(tmp_path, monkeypatch):
  """On a CPU nothing is rewritten to float16, but the loss is scaled and unscaled."""
  monkeypatch.setattr(deployment, '_check_precision', lambda precision: None)
  assert np.isfinite(train(tmp_path, mixed_precision='float16', max_number_of_steps=3))
  assert saved(tmp_path)['current_loss_scale'] > 1


def test_epochs_become_steps(tmp_path):
  train(tmp_path, max_number_of_steps=None, num_epochs=0.05)
  assert saved(tmp_path)['global_step'] == 4  # 3.6 of 20 images.


@pytest.mark.parametrize('steps_per_run', [1, 2])
def test_checkpoints_by_steps(tmp_path, steps_per_run):
  train(tmp_path, save_interval_steps=3, max_number_of_steps=8, steps_per_run=steps_per_run)
  indices = sorted(path.stem for path in tmp_path.glob('model.ckpt-*.index'))
  # slim's first comes from before the first step.
  expected = {1: [3, 6, 8], 2: [4, 6, 8]}[steps_per_run]
  assert [f'model.ckpt-{step}' for step in expected] == [i for i in indices if i[-1] != '0']


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
  with pytest.raises(errors.InputError) as error:
    train(tmp_path, optimizer='sgd', learning_rate=1e30, max_number_of_steps=50)
  assert re.match(
    r'The loss is (nan|inf|-nan) at step \d+, with the learning rate 1', str(error.value)
  )
  assert 'Lower --learning_rate' in str(error.value)


def test_a_run_keeps_its_flags(tmp_path):
  settings = make_settings(tmp_path, moving_average_decay=0.9, nesterov=True)
  training.train(settings)
  values = flags.FlagValues()
  flags.DEFINE_string('flagfile', None, '', flag_values=values)
  settings_lib.define_flags(training.TrainingSettings(), values)
  values(['script', f'--flagfile={tmp_path / training.FLAGS_FILE}'])
  assert settings_lib.from_flags(training.TrainingSettings, values) == settings


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'num_epochs': 2.0}, '--num_epochs=2.0 and --max_number_of_steps=4 exclude each other'),
    ({'deterministic_input': True}, 'needs --seed'),
    (
      {'mixed_precision': 'float16', 'learning_rate_multipliers': 'LeNet:2'},
      'the scale of the loss belongs to one optimizer',
    ),
    ({'steps_per_run': 2, 'summarize_activations': True}, 'exclude each other'),
    ({'learning_rate_decay_type': 'plateau'}, 'plateau needs --eval_split'),
  ],
  ids=['epochs', 'seed', 'multipliers', 'activations', 'plateau'],
)
def test_contradicting_settings(tmp_path, changes, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    make_settings(tmp_path, **changes)


def test_no_queue_runner_in_the_graph(tmp_path):
  build(make_settings(tmp_path))
  assert not tf.get_collection(tf.GraphKeys.QUEUE_RUNNERS)


@pytest.mark.parametrize(
  ('loss', 'task'),
  [(row.name, task) for row in losses.LOSSES.values() for task in row.adds],
)
def test_every_loss_trains(tmp_path, loss, task):
  changes = {'loss': loss, 'max_number_of_steps': 2}
  if task != 'regression':
    changes['class_weights'] = 'auto'
  if task != 'single_label':
    scenes.write(tmp_path / 'records', task, {'train': 30}, size=28)
    changes.update(dataset_name='image_folder', dataset_dir=str(tmp_path / 'records'))
  assert np.isfinite(train(tmp_path / 'run', **changes))
  score = 'mean_absolute_error' if task == 'regression' else 'accuracy'
  assert score in summaries(tmp_path / 'run')


# Where slim's defaults, a rate of 0.01 and an epsilon of 1, are not for 20 steps of LeNet.
FOR_OPTIMIZERS = {
  'adadelta': {'learning_rate': 30.0, 'opt_epsilon': 1e-8},
  'adam': {'learning_rate': 0.001, 'opt_epsilon': 1e-8},
  'adamw': {'learning_rate': 0.001},
  'ftrl': {'learning_rate': 0.1},
  'lars': {'lars_trust': 0.3},
  'lion': {'learning_rate': 0.0003},
  'rmsprop': {'learning_rate': 0.0003, 'opt_epsilon': 1e-8},
}


@pytest.mark.parametrize('optimizer', optimizers.OPTIMIZERS)
def test_every_optimizer_trains(tmp_path, optimizer):
  train(
    tmp_path,
    **{'optimizer': optimizer, **FOR_OPTIMIZERS.get(optimizer, {})},
    seed=1,
    max_number_of_steps=20,
    log_every_n_steps=1,
  )
  losses = [record['loss'] for record in run_log.read(tmp_path / run_log.JSONL_FILE)]
  assert np.mean(losses[-5:]) < losses[0] / 2


def test_clipping_and_multipliers_reach_the_step(tmp_path):
  train(
    tmp_path,
    clip_gradients_by_value=1e-6,
    learning_rate_multipliers='LeNet/fc3:0,LeNet/fc4:1e6',
    optimizer='sgd',
    max_number_of_steps=1,
  )
  first = saved(tmp_path)
  train(
    tmp_path,
    clip_gradients_by_value=1e-6,
    learning_rate_multipliers='LeNet/fc3:0,LeNet/fc4:1e6',
    optimizer='sgd',
    max_number_of_steps=2,
  )
  second = saved(tmp_path)
  change = {name: np.abs(second[name] - first[name]).max() for name in first if 'LeNet' in name}
  assert change['LeNet/fc3/weights'] == 0
  assert 0 < change['LeNet/conv1/biases'] <= 1.1e-8
  assert 1e-3 < change['LeNet/fc4/biases'] <= 1.1e-2


@pytest.mark.parametrize('schedule', learning_rates.SCHEDULES)
def test_every_schedule_trains(tmp_path, schedule):
  train(
    tmp_path,
    learning_rate_boundary_steps='15',
    learning_rate_values='0.01,0.001',
    learning_rate_decay_type=schedule,
    num_steps_per_decay=10,
    warmup_steps=5,
    seed=1,
    deterministic_input=True,
    max_number_of_steps=20,
    log_every_n_steps=1,
    eval_split='test' if schedule == 'plateau' else None,
  )
  records = run_log.read(tmp_path / run_log.JSONL_FILE)
  records = [record for record in records if record['kind'] == run_log.TRAIN]
  losses, rates = ([record[name] for record in records] for name in ('loss', 'learning_rate'))
  assert np.mean(losses[-5:]) < losses[0] / 2
  # The line of the warm-up is below all of them at first.
  assert rates[:3] == pytest.approx([0, 0.002, 0.004], rel=1e-5)
  assert (rates[-1] < 0.01) == (schedule not in ('fixed', 'plateau'))


def test_moving_averages_are_kept_and_lag_behind(tmp_path):
  train(tmp_path, moving_average_decay=0.9, max_number_of_steps=5)
  values = saved(tmp_path)
  averages = [name for name in values if name.endswith('/ExponentialMovingAverage')]
  assert len(averages) == 8
  for name in averages:
    raw = values[name.removesuffix('/ExponentialMovingAverage')]
    assert values[name].shape == raw.shape
    assert np.any(values[name] != raw)


def test_moving_averages_follow_the_updated_weights(tmp_path):
  # The decay at step n is at most (1 + n) / (10 + n), after the step was counted.
  train(tmp_path, moving_average_decay=0.9, max_number_of_steps=1)
  first = saved(tmp_path)
  train(tmp_path, moving_average_decay=0.9, max_number_of_steps=2)
  second = saved(tmp_path)
  name = 'LeNet/fc4/biases'
  average = f'{name}/ExponentialMovingAverage'
  decay = min(0.9, 3 / 12)
  expected = decay * first[average] + (1 - decay) * second[name]
  np.testing.assert_allclose(second[average], expected, rtol=1e-5, atol=1e-8)


def test_only_the_trainable_scopes_change(tmp_path):
  train(tmp_path / 'whole', max_number_of_steps=1)
  train(
    tmp_path / 'part',
    checkpoint_path=str(tmp_path / 'whole'),
    trainable_scopes='LeNet/fc4',
    max_number_of_steps=2,
  )
  whole, part = saved(tmp_path / 'whole'), saved(tmp_path / 'part')
  for name in (name for name in whole if name.startswith('LeNet') and 'Momentum' not in name):
    assert np.array_equal(whole[name], part[name]) == (not name.startswith('LeNet/fc4')), name


def test_fine_tuning_starts_from_the_weights_at_step_0(tmp_path, lines):
  train(tmp_path / 'first', max_number_of_steps=3)
  train(
    tmp_path / 'second',
    checkpoint_path=str(tmp_path / 'first'),
    learning_rate=1e-12,
    max_number_of_steps=1,
  )
  first, second = saved(tmp_path / 'first'), saved(tmp_path / 'second')
  assert second['global_step'] == 1
  np.testing.assert_allclose(
    second['LeNet/fc3/weights'], first['LeNet/fc3/weights'], atol=1e-6, rtol=0
  )
  assert '      8 restored, first LeNet/conv1/weights' in lines()


def test_batch_norm_is_updated_with_the_step(tmp_path, shapes_dir):
  settings = make_settings(
    tmp_path, model_name='mobilenet_v1_025', train_image_size=32, batch_norm_decay=0.5
  )
  training.train(settings)
  means = [value for name, value in saved(tmp_path).items() if name.endswith('moving_mean')]
  assert len(means) == 27
  assert all(np.any(mean != 0) for mean in means)


def test_several_clones_train_on_a_machine_without_gpus(tmp_path):
  assert np.isfinite(train(tmp_path, num_clones=2))
  # The names in the checkpoint are those of a run with one clone.
  train(tmp_path, num_clones=1, max_number_of_steps=5)
  assert saved(tmp_path)['global_step'] == 5


def test_first_clone_takes_batches_like_the_others(tmp_path):
  settings = make_settings(tmp_path, num_clones=2, batch_size=10)
  assert build(settings).batch_size == 20


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'train_dir': '/dev/null/run'}, '--train_dir=/dev/null/run cannot be written to'),
    ({'dataset_split_name': 'tset'}, 'test'),
    ({'labels_offset': 9}, '--labels_offset=9 leaves 1 of the 10 classes'),
    ({'labels_offset': 1}, 'has the label 0'),
    ({'checkpoint_path': '/nowhere/model.ckpt-1'}, 'no checkpoint /nowhere/model.ckpt-1'),
    ({'trainable_scopes': 'LeNet/fc5'}, 'no scope'),
  ],
  ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_refuses_before_a_session_starts(tmp_path, monkeypatch, changes, sentence):
  def no_session(*args, **kwargs):
    raise AssertionError('a session was started')

  monkeypatch.setattr(slim.learning, 'train', no_session)
  with pytest.raises(errors.InputError) as error:
    train(tmp_path, **changes)
  assert sentence in str(error.value)


@pytest.mark.parametrize(
  'scopes', ['MobilenetV1/Logits', 'MobilenetV1/Conv2d_2_,MobilenetV1/Logits']
)
def test_what_is_frozen_stays_bit_by_bit(tmp_path, scopes):
  net = {'model_name': 'mobilenet_v1_025', 'train_image_size': 32, 'batch_size': 4}
  # Statistics of the data, for gradients to get through what is frozen.
  train(tmp_path / 'start', max_number_of_steps=5, batch_norm_decay=0.3, **net)
  train(
    tmp_path / 'run',
    checkpoint_path=str(tmp_path / 'start'),
    trainable_scopes=scopes,
    freeze_batch_norm=True,
    max_number_of_steps=100,
    **net,
  )
  before, after = saved(tmp_path / 'start'), saved(tmp_path / 'run')
  changed = {name for name in after if not np.array_equal(after[name], before.get(name))}
  expected = {
    name for name in after if name.startswith(tuple(scopes.split(','))) or name == 'global_step'
  }
  # The trained layers' batch norm goes on.
  assert changed == expected
  assert any('moving_mean' in name for name in changed) == ('Conv2d_2_' in scopes)


def test_batch_norm_frozen_everywhere(tmp_path):
  net = {'model_name': 'mobilenet_v1_025', 'train_image_size': 32, 'batch_size': 4}
  train(tmp_path, max_number_of_steps=2, **net)
  before = saved(tmp_path)
  train(tmp_path, max_number_of_steps=5, freeze_batch_norm=True, **net)
  after = saved(tmp_path)
  changed = {name.rpartition('/')[2] for name in after if np.any(after[name] != before[name])}
  assert {'weights', 'beta'} < changed
  assert not {'moving_mean', 'moving_variance'} & changed


def test_a_run_of_another_net_is_not_continued(tmp_path):
  train(tmp_path)
  with pytest.raises(errors.InputError, match=r'of another net: .*LeNet/.*CifarNet/'):
    train(tmp_path, model_name='cifarnet', max_number_of_steps=9)


def test_a_run_with_another_optimizer_is_not_continued(tmp_path):
  train(tmp_path)
  with pytest.raises(errors.InputError, match='cannot be continued: it lacks'):
    train(tmp_path, optimizer='adam', max_number_of_steps=9)


def test_session_config_reaches_the_session(tmp_path, monkeypatch):
  seen = []
  original = slim.learning.train

  def spy(*args, **kwargs):
    seen.append(kwargs['session_config'])
    return original(*args, **kwargs)

  monkeypatch.setattr(slim.learning, 'train', spy)
  train(tmp_path, gpu_memory_fraction=0.5)
  assert seen == [deployment.session_config(deployment.SessionSettings(gpu_memory_fraction=0.5))]
