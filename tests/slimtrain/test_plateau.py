"""The schedule plateau: its rule, and the rate of whole runs at each step."""

import numpy as np
import pytest

from slimcompat import checkpoint_directory, tf
from slimtrain import checkpoints, evaluation, plateau, run_log, training
from slimtrain import settings as settings_lib

FACTOR, PATIENCE, RATE, INTERVAL = 0.5, 2, 0.01, 2
# Of the evaluations at steps 2, 4, ... 18: none is a gain over 0.5 but the sixth.
SCORES = [0.5, 0.4, 0.5, float('nan'), 0.3, 0.6, 0.6, 0.6, 0.1]


def reference(values, factor, patience):
  """Returns the factor after each evaluation, as Keras's ReduceLROnPlateau has it."""
  best, wait, scale, scales = -np.inf, 0, 1.0, []
  for value in values:
    if value > best:
      best, wait = value, 0
    else:
      wait += 1
      if wait >= patience:
        scale, wait = scale * factor, 0
    scales.append(scale)
  return np.array(scales)


@pytest.mark.parametrize('patience', [1, 2, 3])
def test_the_rule(patience):
  values = np.random.RandomState(patience).randint(0, 30, 40) / 30
  expected = reference(values, 0.3, patience)
  assert expected[-1] < 0.1  # There is something to see.
  found = [plateau.scale_after(values[:n], 0.3, patience) for n in range(1, 41)]
  np.testing.assert_allclose(found, expected, rtol=1e-12)
  found = [plateau.scale_after(-values[:n], 0.3, patience, True) for n in range(1, 41)]
  np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_what_is_not_finite_is_no_gain():
  values = [0.1, float('inf'), float('nan'), None, 0.2]
  assert list(plateau.waits(values)) == [0, 1, 2, 3, 0]


def expected_rates(last_step=20):
  """Returns {step: rate}: an evaluation changes the rates of the steps after it."""
  scales = [1.0, *reference(SCORES, FACTOR, PATIENCE)]
  return {step: RATE * scales[(step - 1) // INTERVAL] for step in range(1, last_step + 1)}


def test_the_expected_rates_fall():
  assert len(set(expected_rates().values())) == 4


@pytest.fixture
def scripted(monkeypatch):
  """Makes evaluations give SCORES; those at the steps that are put into the list are killed."""
  killed_at = []

  def evaluate(settings):
    step = checkpoints.saved_step(settings.checkpoint_path)
    if step in killed_at:
      killed_at.remove(step)
      raise KeyboardInterrupt
    return {'global_step': step, 'eval/Accuracy': [*SCORES, 0.0][step // INTERVAL - 1]}

  monkeypatch.setattr(evaluation, 'evaluate', evaluate)
  return killed_at


def make_settings(train_dir, **flags):
  return settings_lib.replace(
    training.TrainingSettings(),
    **{
      'train_dir': str(train_dir),
      'dataset_name': 'digits',
      'model_name': 'lenet',
      'batch_size': 8,
      'optimizer': 'momentum',
      'learning_rate': RATE,
      'learning_rate_decay_type': 'plateau',
      'learning_rate_decay_factor': FACTOR,
      'plateau_patience': PATIENCE,
      'eval_split': 'test',
      'eval_every_steps': INTERVAL,
      'log_every_n_steps': 1,
      'max_number_of_steps': 20,
      'seed': 1,
      'deterministic_input': True,
      **flags,
    },
  )


def rates(train_dir):
  found = run_log.read(train_dir / run_log.JSONL_FILE)
  return {r['step']: r['learning_rate'] for r in found if r['kind'] == run_log.TRAIN}


def values(train_dir):
  reader = tf.train.NewCheckpointReader(checkpoint_directory.newest(str(train_dir)))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_weights(folder, other):
  found, expected = values(folder), values(other)
  assert found.keys() == expected.keys()
  for name in found:
    np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.fixture
def straight(tmp_path, scripted):
  """The train_dir of a run that nothing disturbed."""
  training.train(make_settings(tmp_path / 'straight'))
  return tmp_path / 'straight'


def test_the_rates_of_a_run(straight):
  assert rates(straight) == pytest.approx(expected_rates(), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize(
  ('killed_at', 'lost'),
  [(8, []), (12, [12, 10])],
  ids=['before its evaluation', 'with evaluations to forget'],
)
def test_a_killed_run_has_the_rates_and_weights_of_a_straight_one(
  tmp_path, straight, scripted, killed_at, lost
):
  folder = tmp_path / 'killed'
  scripted.append(killed_at)
  with pytest.raises(KeyboardInterrupt):
    training.train(make_settings(folder))
  for step in lost:
    (folder / f'model.ckpt-{step}.index').write_bytes(b'')
  training.train(make_settings(folder))
  assert rates(folder) == pytest.approx(rates(straight), rel=1e-6)
  assert_same_weights(folder, straight)


def test_steps_in_one_run(tmp_path, straight):
  training.train(make_settings(tmp_path / 'several', steps_per_run=2))
  expected = {step: rate for step, rate in expected_rates().items() if step % 2 == 0}
  assert rates(tmp_path / 'several') == pytest.approx(expected, rel=1e-6)
  assert_same_weights(tmp_path / 'several', straight)


def test_accumulation(tmp_path, scripted):
  training.train(make_settings(tmp_path, accumulate_steps=2))
  assert rates(tmp_path) == pytest.approx(expected_rates(), rel=1e-6)


def test_the_rate_does_not_fall_below_the_end(tmp_path, scripted):
  training.train(make_settings(tmp_path, end_learning_rate=0.004))
  expected = {step: max(rate, 0.004) for step, rate in expected_rates().items()}
  assert rates(tmp_path) == pytest.approx(expected, rel=1e-6)


def test_a_run_may_go_on_with_another_schedule(tmp_path, scripted):
  for schedule, last_step in (('fixed', 4), ('plateau', 8), ('fixed', 10)):
    training.train(
      make_settings(tmp_path, learning_rate_decay_type=schedule, max_number_of_steps=last_step)
    )
  assert list(rates(tmp_path)) == list(range(1, 11))
  assert values(tmp_path)['global_step'] == 10
