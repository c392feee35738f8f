"""Fine-tuning in two phases: what is frozen stays as it was, and what thaws starts fresh."""

import logging
import shutil

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain import (
  checkpoints,
  deployment,
  gradients,
  inputs,
  learning_rates,
  models,
  optimizers,
  training,
)

HEAD = 'LeNet/fc4'


def train(run_dir, num_steps, steps_per_run=1, num_clones=1, average=None, **settings):
  """Trains LeNet on digits; `settings` are those of fine-tuning, of the optimizer and the like."""
  groups = {
    'fine_tuning': checkpoints.FineTuningSettings,
    'optimizer': optimizers.OptimizerSettings,
    'gradients': gradients.GradientSettings,
  }
  made = {
    name: group(**{key: settings.pop(key) for key in list(settings) if hasattr(group, key)})
    for name, group in groups.items()
  }
  assert not settings
  training.train(
    training.TrainingSettings(
      train_dir=str(run_dir),
      max_number_of_steps=num_steps,
      save_interval_steps=2,
      steps_per_run=steps_per_run,
      moving_average_decay=average,
      seed=3,
      model=models.TrainedModelSettings(model_name='lenet'),
      data=inputs.TrainingDataSettings(
        dataset_name='digits', batch_size=8, deterministic_input=True
      ),
      devices=deployment.DeploymentSettings(num_clones=num_clones, clone_on_cpu=num_clones > 1),
      learning_rate=learning_rates.LearningRateSettings(learning_rate=0.001),
      **made,
    )
  )


def saved(run_dir, step):
  """Returns {name: value} of the checkpoint of a step."""
  reader = tf.train.NewCheckpointReader(f'{run_dir}/model.ckpt-{step}')
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_frozen_alone(before, after, frozen):
  """Asserts that those named `frozen` are the same to the bit, and the others are not."""
  same = {name for name, value in before.items() if np.array_equal(value, after[name])}
  assert same == set(frozen)


@pytest.fixture(autouse=True)
def lines(caplog):
  """The lines that a run says."""
  caplog.set_level(logging.INFO, logger='slimtrain')
  return lambda: [record.message for record in caplog.records if record.name == 'slimtrain']


@pytest.mark.parametrize(
  ('changes', 'num_slots'),
  [
    ({'optimizer': 'adam', 'opt_epsilon': 1e-8, 'steps_per_run': 2}, 2),
    ({'optimizer': 'adamw', 'num_clones': 2}, 2),
    (
      {
        'optimizer': 'momentum',
        'average': 0.9,
        'clip_gradients_by_global_norm': 1.0,
        'learning_rate_multipliers': 'LeNet/fc4:2,LeNet/conv1:0.5',
      },
      1,
    ),
  ],
  ids=['loop', 'clones', 'averages'],
)
def test_what_thaws_later_stays_as_it_was_till_then(tmp_path, changes, num_slots):
  settings = {'trainable_scopes': HEAD, 'unfreeze_at_step': 4, **changes}
  train(tmp_path, 2, **settings)
  first = saved(tmp_path, 2)
  train(tmp_path, 6, **settings)  # Over a restart.
  held, thawed = saved(tmp_path, 4), saved(tmp_path, 6)
  later = {name for name in first if name.startswith('LeNet/') and not name.startswith(HEAD)}
  assert len(later) == 6 * (1 + num_slots + ('average' in changes))
  # What the later optimizer counts begins with it.
  later |= {name for name in first if 'unfreezing/' in name}
  assert_frozen_alone(first, held, later)
  assert_frozen_alone(held, thawed, set())


def test_only_the_given_scopes_thaw(tmp_path):
  train(
    tmp_path,
    4,
    optimizer='sgd',
    trainable_scopes=HEAD,
    unfreeze_at_step=2,
    unfreeze_scopes='LeNet/fc3, LeNet/conv2/biases',
  )
  before, after = saved(tmp_path, 2), saved(tmp_path, 4)
  frozen = {'LeNet/conv1/weights', 'LeNet/conv1/biases', 'LeNet/conv2/weights'}
  assert_frozen_alone(before, after, frozen)


def test_up_to_its_step_a_run_is_that_of_the_narrow_scopes(tmp_path):
  settings = {'optimizer': 'momentum', 'trainable_scopes': HEAD}
  settings['clip_gradients_by_global_norm'] = 0.5
  train(tmp_path / 'narrow', 4, **settings)
  train(tmp_path / 'later', 4, **settings, unfreeze_at_step=4)
  narrow, later = saved(tmp_path / 'narrow', 4), saved(tmp_path / 'later', 4)
  for name, value in narrow.items():
    np.testing.assert_array_equal(later[name], value, err_msg=name)


@pytest.mark.parametrize(('optimizer', 'num_slots'), [('momentum', 1), ('adam', 2)])
def test_a_run_goes_on_with_wider_scopes(tmp_path, lines, optimizer, num_slots):
  train(tmp_path / 'wide', 2, optimizer=optimizer, trainable_scopes=HEAD)
  shutil.copytree(tmp_path / 'wide', tmp_path / 'narrow')
  before = saved(tmp_path / 'wide', 2)
  train(tmp_path / 'wide', 3, optimizer=optimizer, trainable_scopes='LeNet/fc')
  train(tmp_path / 'narrow', 3, optimizer=optimizer, trainable_scopes=HEAD)
  wide, narrow = saved(tmp_path / 'wide', 3), saved(tmp_path / 'narrow', 3)
  fresh = set(wide) - set(before)
  assert {name.rpartition('/')[0] for name in fresh} == {'LeNet/fc3/weights', 'LeNet/fc3/biases'}
  assert len(fresh) == 2 * num_slots
  said = [line for line in lines() if 'newly trained' in line]
  assert len(said) == 1
  assert f'starts fresh: {2 * num_slots} variables, first LeNet/fc3/' in said[0]
  # What was there already went on as it would have.
  changed = {name for name, value in narrow.items() if not np.array_equal(value, wide[name])}
  assert changed == {'LeNet/fc3/weights', 'LeNet/fc3/biases'}


def test_a_run_goes_on_with_what_thaws_later(tmp_path):
  settings = {'optimizer': 'adam', 'trainable_scopes': HEAD}
  train(tmp_path, 2, **settings)
  train(tmp_path, 6, **settings, unfreeze_at_step=4)
  frozen = {f'LeNet/{s}/{k}' for s in ('conv1', 'conv2', 'fc3') for k in ('weights', 'biases')}
  assert_frozen_alone(saved(tmp_path, 2), saved(tmp_path, 4), frozen)
  assert_frozen_alone(saved(tmp_path, 4), saved(tmp_path, 6), set())


@pytest.mark.parametrize(
  ('before', 'after'),
  [
    ({'optimizer': 'sgd'}, {'optimizer': 'momentum'}),
    ({'optimizer': 'sgd'}, {'optimizer': 'adam', 'unfreeze_at_step': 3}),
    ({'optimizer': 'adam'}, {'optimizer': 'adam', 'learning_rate_multipliers': 'LeNet/fc4:2'}),
    ({'optimizer': 'momentum'}, {'optimizer': 'momentum', 'average': 0.9}),
  ],
)
def test_whatever_else_is_missing_is_refused(tmp_path, before, after):
  train(tmp_path, 2, trainable_scopes=HEAD, **before)
  scopes = HEAD if 'unfreeze_at_step' in after else 'LeNet/fc'
  with pytest.raises(errors.InputError, match='cannot be continued: it lacks'):
    train(tmp_path, 4, trainable_scopes=scopes, **after)


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    ({'unfreeze_at_step': 3}, '--unfreeze_at_step=3 needs --trainable_scopes'),
    ({'unfreeze_scopes': 'a'}, '--unfreeze_scopes=a needs --unfreeze_at_step'),
    ({'trainable_scopes': HEAD, 'unfreeze_at_step': 0}, 'must be at least 1'),
    ({'trainable_scopes': 'LeNet', 'unfreeze_at_step': 3}, 'finds nothing to unfreeze'),
    (
      {'trainable_scopes': HEAD, 'unfreeze_at_step': 3, 'unfreeze_scopes': 'LeNet/cov1'},
      "--unfreeze_scopes: There is no scope 'LeNet/cov1'. Did you mean 'LeNet/conv1'",
    ),
  ],
)
def test_refused(tmp_path, settings, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    train(tmp_path, 2, **settings)
