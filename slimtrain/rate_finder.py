"""The range test: which learning rates train a net, found by training with ever higher ones.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks",
https://arxiv.org/abs/1506.01186, section 3.3. As in fastai (J. Howard and S. Gugger,
https://arxiv.org/abs/2002.04688), the rate rises by a factor in each step, the loss is smoothed,
and there are two suggestions.
"""

import contextlib
import dataclasses
import io
import os
from typing import NamedTuple

import numpy as np
import tqdm

from datasets import csv_files, user_files
from slimcompat import errors, garbage, tf
from slimtrain import (
  checkpoints,
  console,
  deployment,
  files,
  finiteness,
  inputs,
  learning_rates,
  releases,
  train_step,
  training,
)
from slimtrain import losses as losses_lib
from slimtrain import settings as settings_lib

CSV_FILE = 'learning_rates.csv'
PLOT_FILE = 'learning_rates.png'
SMOOTHING = 0.9  # Decay of the mean of the losses.
DIVERGED = 4.0  # Times the least smoothed loss so far.
MIN_STEPS = 10  # With fewer, a curve says nothing.


@dataclasses.dataclass(frozen=True)
class RateFinderSettings(settings_lib.Settings):
  """Range test."""

  min_rate: float = settings_lib.setting(1e-7, 'The first learning rate.', above=0)
  max_rate: float = settings_lib.setting(10.0, 'The last learning rate.', above=0)
  num_steps: int = settings_lib.setting(
    100, 'The steps from the first rate to the last.', lower=MIN_STEPS
  )
  run: training.TrainingSettings = settings_lib.group(training.TrainingSettings)

  def __post_init__(self):
    super().__post_init__()
    if self.min_rate >= self.max_rate:
      raise errors.InputError(
        f'--min_rate={self.min_rate} is not below --max_rate={self.max_rate}; the rate rises from'
        ' the one to the other. Give others, or leave them out.'
      )


class Curve(NamedTuple):
  """What the steps of a range test found."""

  rates: np.ndarray  # The learning rate of each step, rising.
  losses: np.ndarray  # Its total loss, of one batch.
  smoothed: np.ndarray  # The mean of the losses so far, the newest counting most.
  has_diverged: bool


class Suggestion(NamedTuple):
  """Learning rates that train well."""

  steepest: float  # Where the smoothed loss falls most.
  valley: float  # In the middle of its longest fall.


def find(settings):
  """Runs the test that RateFinderSettings `settings` say; returns the Curve and the Suggestion.

  The files learning_rates.csv and .png are written into the train_dir; there is no checkpoint.

  Raises:
    InputError: when the settings, the data or a checkpoint are at fault, or nothing was learnt.
  """
  run = settings.run
  files.check_writable('train_dir', run.train_dir)
  fine_tuning = run.fine_tuning
  if releases.is_chosen(fine_tuning.checkpoint_path, fine_tuning.checkpoint_mirror):
    run = releases.fetched(releases.fill_in(run, 'train_image_size'))
  deployment.start_runtime(run.session)
  data = inputs.load_data(run.data)
  losses_lib.find(run.model.loss, data.task)
  curve = _run(_at_rising_rates(settings, run), data, settings.num_steps)
  rows = zip(*curve[:3], strict=True)
  cells = [[f'{x:.7g}' for x in row] for row in rows]
  table = csv_files.to_text([('learning_rate', 'loss', 'smoothed_loss'), *cells])
  csv_path = os.path.join(run.train_dir, CSV_FILE)
  files.write_text(csv_path, table)
  console.say(f'Wrote {csv_path}')
  suggestion = suggest(curve)
  plot_path = os.path.join(run.train_dir, PLOT_FILE)
  if _draw(plot_path, curve, suggestion):
    console.say(f'Wrote {plot_path}')
  else:
    console.say(
      f'{PLOT_FILE} is drawn with matplotlib, which is not installed. For it, install it: pip'
      ' install matplotlib.'
    )
  if curve.has_diverged:
    console.say(f'The loss diverged after the learning rate {curve.rates[-1]:.2g}.')
  console.say(
    f'Suggested: --learning_rate={suggestion.valley:.2g} (half-way down the valley) to'
    f' --learning_rate={suggestion.steepest:.2g} (where the loss falls most steeply).'
  )
  return curve, suggestion


def _at_rising_rates(settings, run):
  """Returns TrainingSettings `run` with the learning rates of RateFinderSettings `settings`."""
  rising = learning_rates.LearningRateSettings(
    learning_rate=settings.min_rate,
    learning_rate_decay_type='exponential',
    learning_rate_decay_factor=settings.max_rate / settings.min_rate,
    learning_rate_staircase=False,
    num_steps_per_decay=settings.num_steps - 1,
  )
  return dataclasses.replace(run, learning_rate=rising, steps_per_run=1)


def _run(run, data, num_steps):
  """Trains as TrainingSettings `run` say until the loss diverges; returns the Curve."""
  rates, losses, has_diverged = [], [], False
  with tf.Graph().as_default():
    if run.seed is not None:
      tf.set_random_seed(run.seed)
    with garbage.not_collected():
      step = train_step.build(run, data, train_step.make_batches(run, data))
    restore = None
    if start := checkpoints.plan_start(run.fine_tuning, data.num_classes):
      for line in checkpoints.report(start):
        console.say(line)
      restore = checkpoints.make_restore_fn(start)
    with tf.Session(config=deployment.session_config(run.session)) as session:
      session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
      session.run(tf.tables_initializer())
      if restore:
        restore(session)
      # The bar shows on a terminal only.
      for number in tqdm.trange(num_steps, desc='range test', unit='step', disable=None):
        try:
          with (
            inputs.explained_errors(data, run.data),
            finiteness.explained(data, run.train_dir),
            step.source.first_step(session) if number == 0 else contextlib.nullcontext(),
          ):
            loss, rate, _ = session.run([step.loss, step.scalars['learning_rate'], step.run_op])
        except finiteness.NotFiniteError:
          if number == 0:
            raise
          has_diverged = True
          break
        rates.append(rate)
        losses.append(loss)
        smoothed = smooth(losses)
        if smoothed[-1] > DIVERGED * smoothed.min():
          has_diverged = True
          break
  return Curve(np.array(rates), np.array(losses), smoothed, has_diverged)


def smooth(losses):
  """Returns the mean of the losses up to each, `[steps]`; older ones count less by SMOOTHING."""
  decay = SMOOTHING ** np.arange(len(losses))
  losses = np.asarray(losses, float)
  return np.array([np.average(losses[: n + 1], weights=decay[n::-1]) for n in range(len(losses))])


def suggest(curve):
  """Returns the Suggestion that a Curve gives.

  Raises:
    InputError: when there are too few steps, or the loss falls nowhere.
  """
  if len(curve.rates) < MIN_STEPS:
    raise errors.InputError(
      f'The loss diverged in {len(curve.rates)} steps already, at the learning rate'
      f' {curve.rates[-1]:.2g}: too few for a curve. Lower --min_rate, or raise --num_steps.'
    )
  first, last = _longest_fall(curve.smoothed)
  until_least = curve.smoothed[: np.argmin(curve.smoothed) + 1]
  # Slopes over a tenth of the steps, without the first ones, of which hardly any mean was made, nor
  # what comes after the least loss.
  width = max(1, len(curve.rates) // 10)
  falls = until_least[width:-width] - until_least[2 * width :]
  if first == last or not falls.size or falls.max() <= 0:
    raise errors.InputError(
      f'The loss falls at no learning rate from {curve.rates[0]:.2g} to {curve.rates[-1]:.2g}.'
      ' Widen the range by --min_rate and --max_rate, or look at the data and the net.'
    )
  steepest = width + int(np.argmax(falls)) + width // 2
  return Suggestion(float(curve.rates[steepest]), float(curve.rates[(first + last) // 2]))


def _longest_fall(values):
  """Returns the first and the last place of the longest falling subsequence of `values`.

  Of several as long, the one that begins last: not on the flat ground before.
  """
  lengths, firsts = [1] * len(values), list(range(len(values)))
  for last, value in enumerate(values):
    for before in range(last):
      if values[before] > value and lengths[before] >= lengths[last] - 1:
        lengths[last], firsts[last] = lengths[before] + 1, firsts[before]
  last = int(np.argmax(lengths))
  return firsts[last], last


def _draw(path, curve, suggestion):
  """Writes the plot of a Curve to `path`; returns False where matplotlib is not installed."""
  try:
    from matplotlib import figure
  except ImportError:
    return False
  plot = figure.Figure(figsize=(9, 5.5), dpi=100, layout='constrained')
  axes = plot.add_subplot(
    xscale='log', xlabel='learning rate', ylabel='loss', title='Loss at rising learning rates'
  )
  axes.plot(curve.rates, curve.losses, color='#bbbbbb', linewidth=1, label='loss of each batch')
  axes.plot(curve.rates, curve.smoothed, color='#1f77b4', linewidth=2, label='smoothed')
  for rate, name, color in (
    (suggestion.valley, 'half-way down the valley', '#2ca02c'),
    (suggestion.steepest, 'steepest', '#ff7f0e'),
  ):
    axes.axvline(rate, color=color, linestyle='--', label=f'{name}: {rate:.2g}')
  # What diverged would flatten the rest.
  first, least = curve.smoothed[0], curve.losses.min()
  axes.set_ylim(least - 0.1 * (first - least), first + 0.5 * (first - least))
  axes.grid(alpha=0.3)
  axes.legend()
  content = io.BytesIO()
  plot.savefig(content, format='png')
  user_files.write_atomically(path, content.getvalue())
  return True
