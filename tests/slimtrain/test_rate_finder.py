"""The range test of learning rates: its curve, its suggestions, and runs of it."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from slimcompat import errors
from slimtrain import inputs, models, optimizers, rate_finder, training
from slimtrain import settings as settings_lib


def find(train_dir, **changes):
  settings = rate_finder.RateFinderSettings(
    num_steps=30,
    run=training.TrainingSettings(
      train_dir=str(train_dir),
      seed=2,
      model=models.TrainedModelSettings(model_name='lenet'),
      data=inputs.TrainingDataSettings(
        dataset_name='digits', batch_size=20, deterministic_input=True
      ),
      optimizer=optimizers.OptimizerSettings(optimizer='sgd'),
    ),
  )
  return rate_finder.find(settings_lib.replace(settings, **changes))


def make_curve(losses, has_diverged=False):
  losses = np.array(losses, float)
  rates = np.geomspace(1e-6, 1, len(losses))
  return rate_finder.Curve(rates, losses, losses, has_diverged)


def test_a_run_leaves_a_table_and_a_plot_and_nothing_else(tmp_path):
  curve, suggestion = find(tmp_path, min_rate=1e-5, max_rate=100.0)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    rate_finder.CSV_FILE,
    rate_finder.PLOT_FILE,
  ]
  with open(tmp_path / rate_finder.CSV_FILE) as file:
    rows = list(csv.DictReader(file))
  for name, values in zip(('learning_rate', 'loss', 'smoothed_loss'), curve, strict=False):
    np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-6)
  assert Image.open(tmp_path / rate_finder.PLOT_FILE).size == (900, 550)
  # A rate of 100 is far too high for LeNet.
  assert curve.has_diverged
  assert len(curve.rates) < 30
  expected = np.geomspace(1e-5, 100, 30)[: len(curve.rates)]
  np.testing.assert_allclose(curve.rates, expected, rtol=1e-4)
  assert 1e-4 < suggestion.valley < 1
  assert 1e-4 < suggestion.steepest < 1


@pytest.mark.parametrize('changes', [{}, {'accumulate_steps': 3}, {'steps_per_run': 4}], ids=str)
def test_the_last_step_has_the_last_rate(tmp_path, changes):
  curve, _ = find(tmp_path, min_rate=1e-5, max_rate=1e-2, num_steps=12, **changes)
  assert not curve.has_diverged
  np.testing.assert_allclose(curve.rates, np.geomspace(1e-5, 1e-2, 12), rtol=1e-4)


def test_from_a_checkpoint_and_beside_a_run(tmp_path):
  """The run in the train_dir is left as it is, and not continued."""
  scratch, _ = find(tmp_path / 'scratch', num_steps=10, min_rate=1e-4, max_rate=0.1)
  training.train(
    training.TrainingSettings(
      train_dir=str(tmp_path / 'run'),
      max_number_of_steps=40,
      model=models.TrainedModelSettings(model_name='lenet'),
      data=inputs.TrainingDataSettings(dataset_name='digits', batch_size=20),
      optimizer=optimizers.OptimizerSettings(optimizer='momentum'),
    )
  )
  before = {path.name: path.read_bytes() for path in (tmp_path / 'run').iterdir()}
  changes = {'num_steps': 10, 'min_rate': 1e-5, 'max_rate': 1.0}
  beside, _ = find(tmp_path / 'run', num_steps=10, min_rate=1e-4, max_rate=0.1)
  np.testing.assert_array_equal(beside.losses, scratch.losses)
  after = {path.name: path.read_bytes() for path in (tmp_path / 'run').iterdir()}
  assert after.items() >= before.items()
  # The loss of a trained net has little left to fall.
  try:
    tuned, _ = find(tmp_path / 'tuned', checkpoint_path=str(tmp_path / 'run'), **changes)
    first = tuned.losses[0]
  except errors.InputError as error:
    assert 'falls at no learning rate' in str(error)
    first = float((tmp_path / 'tuned' / rate_finder.CSV_FILE).read_text().split()[1].split(',')[1])
  assert first < scratch.losses[0] / 3


def test_without_matplotlib(tmp_path, monkeypatch, caplog):
  caplog.set_level('INFO', logger='slimtrain')
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  find(tmp_path, num_steps=10, min_rate=1e-4, max_rate=0.1)
  assert [path.name for path in tmp_path.iterdir()] == [rate_finder.CSV_FILE]
  assert any('pip install matplotlib' in record.message for record in caplog.records)


def test_a_first_loss_that_is_not_finite_is_the_runs_fault(tmp_path):
  with pytest.raises(errors.InputError, match=r'The loss is (-?nan|inf) at step 1,'):
    find(tmp_path, class_weights=','.join(['1e38'] * 10))


def test_smoothing_weighs_the_newest_most():
  losses = [5.0, 1.0, 2.0]
  expected = [5, (1 + 0.9 * 5) / 1.9, (2 + 0.9 * 1 + 0.81 * 5) / 2.71]
  np.testing.assert_allclose(rate_finder.smooth(losses), expected)


def test_suggestions():
  """Flat for 20 steps, down over 40, half of it within 10 of them, and up again."""
  losses = [8.0] * 20 + [
    *np.linspace(8, 7, 15),
    *np.linspace(6.7, 3.7, 10),
    *np.linspace(3.5, 3, 15),
  ]
  losses += [*np.linspace(3.5, 12, 20)]
  curve = make_curve(losses, has_diverged=True)
  suggestion = rate_finder.suggest(curve)
  place = {rate: index for index, rate in enumerate(curve.rates)}
  assert 34 <= place[suggestion.steepest] <= 45
  assert 37 <= place[suggestion.valley] <= 41


def test_a_steeper_fall_after_the_least_loss_does_not_count():
  losses = [*np.linspace(4, 1, 20), 50.0, 40.0, 20.0]
  assert rate_finder.suggest(make_curve(losses)).steepest <= make_curve(losses).rates[19]


@pytest.mark.parametrize(
  ('losses', 'sentence'),
  [
    ([3.0, 5.0, 90.0], 'The loss diverged in 3 steps already'),
    (np.linspace(1, 2, 20), 'The loss falls at no learning rate from 1e-06 to 1'),
    ([2.0] * 20, 'The loss falls at no learning rate'),
  ],
  ids=['early', 'rising', 'flat'],
)
def test_no_suggestion(losses, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    rate_finder.suggest(make_curve(losses))


def test_rates_the_wrong_way_round():
  with pytest.raises(errors.InputError, match=r'--min_rate=1\.0 is not below --max_rate=0.1'):
    rate_finder.RateFinderSettings(min_rate=1.0, max_rate=0.1)
