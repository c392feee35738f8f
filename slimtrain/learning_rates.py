"""Learning rates over time; `SCHEDULES` is the table."""

import dataclasses
import itertools
import math
from collections.abc import Callable

from slimcompat import errors, tables, tf
from slimtrain import plateau
from slimtrain import settings as settings_lib

# one_cycle starts at this part of the learning rate, and reaches it after this part of the cycle.
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_PEAK = 0.3


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A way for the learning rate to change."""

  name: str
  # make(settings, global_step, decay_steps) -> a scalar tensor; `decay_steps` is
  # `num_epochs_per_decay` in steps, and the settings have no other epochs than that.
  make: Callable
  reads: tuple[str, ...] = ()  # The settings it heeds besides `learning_rate`.


def _decay_by_factor(decay):
  """Returns the `make` of one of TensorFlow's decays that have a factor."""
  return lambda settings, step, decay_steps: decay(
    settings.learning_rate,
    step,
    decay_steps,
    settings.learning_rate_decay_factor,
    staircase=settings.learning_rate_staircase,
  )


_LENGTHS = ('num_epochs_per_decay', 'num_steps_per_decay')
_FACTOR_SETTINGS = (*_LENGTHS, 'learning_rate_decay_factor', 'learning_rate_staircase')


def _end_share(settings):
  return settings.end_learning_rate / settings.learning_rate


def _piecewise(settings, step, decay_steps):
  """The rates that the settings list, one after the other."""
  boundaries = [int(n) for n in settings_lib.split_numbers(settings.learning_rate_boundary_steps)]
  rates = settings_lib.split_numbers(settings.learning_rate_values)
  return tf.train.piecewise_constant(tf.cast(step, tf.int64), boundaries, rates)


def _plateau(settings, step, decay_steps):
  """The rate falls by a factor, between evaluations: see the module plateau."""
  least = min(settings.learning_rate, settings.end_learning_rate)
  return tf.maximum(settings.learning_rate * plateau.make_scale(), least)


def _one_cycle(settings, step, decay_steps):
  """L. N. Smith and N. Topin, "Super-Convergence", https://arxiv.org/abs/1708.07120.

  The rate rises and falls as half a cosine, as in fastai, where the paper has straight lines.
  """
  progress = tf.minimum(tf.cast(step, tf.float32) / decay_steps, 1.0)
  rise = tf.minimum(progress / ONE_CYCLE_PEAK, 1.0)
  fall = tf.maximum(progress - ONE_CYCLE_PEAK, 0.0) / (1 - ONE_CYCLE_PEAK)
  peak = settings.learning_rate
  low = tf.where(progress < ONE_CYCLE_PEAK, peak * ONE_CYCLE_START, settings.end_learning_rate)
  height = (1 - tf.cos(math.pi * rise)) / 2 * (1 + tf.cos(math.pi * fall)) / 2
  return low + (peak - low) * height


SCHEDULES = tables.Table(
  'learning-rate schedule',
  [
    Schedule(
      'cosine',
      # Half a cosine down to the end rate, then constant: https://arxiv.org/abs/1608.03983
      lambda settings, step, decay_steps: tf.train.cosine_decay(
        settings.learning_rate, step, decay_steps, alpha=_end_share(settings)
      ),
      reads=(*_LENGTHS, 'end_learning_rate'),
    ),
    Schedule(
      'cosine_restarts',
      # The same, again and again, each time over twice as many epochs.
      lambda settings, step, decay_steps: tf.train.cosine_decay_restarts(
        settings.learning_rate, step, decay_steps, alpha=_end_share(settings)
      ),
      reads=(*_LENGTHS, 'end_learning_rate'),
    ),
    Schedule(
      'exponential',
      # rate * factor ^ floor(step / decay_steps)
      _decay_by_factor(tf.train.exponential_decay),
      reads=_FACTOR_SETTINGS,
    ),
    Schedule('fixed', lambda settings, step, decay_steps: tf.constant(settings.learning_rate)),
    Schedule(
      'inverse_time',
      # rate / (1 + factor * floor(step / decay_steps))
      _decay_by_factor(tf.train.inverse_time_decay),
      reads=_FACTOR_SETTINGS,
    ),
    Schedule(
      'natural_exp',
      # rate * e ^ (-factor * floor(step / decay_steps))
      _decay_by_factor(tf.train.natural_exp_decay),
      reads=_FACTOR_SETTINGS,
    ),
    Schedule('one_cycle', _one_cycle, reads=(*_LENGTHS, 'end_learning_rate')),
    Schedule(
      'piecewise',
      _piecewise,
      reads=('learning_rate_boundaries', 'learning_rate_boundary_steps', 'learning_rate_values'),
    ),
    Schedule(
      'plateau',
      _plateau,
      reads=('learning_rate_decay_factor', 'plateau_patience', 'end_learning_rate'),
    ),
    Schedule(
      'polynomial',
      # With the power 1 a straight line down to the end rate, then constant.
      lambda settings, step, decay_steps: tf.train.polynomial_decay(
        settings.learning_rate,
        step,
        decay_steps,
        settings.end_learning_rate,
        power=settings.learning_rate_power,
        cycle=settings.learning_rate_cycle,
      ),
      reads=(*_LENGTHS, 'end_learning_rate', 'learning_rate_power', 'learning_rate_cycle'),
    ),
  ],
)
register = SCHEDULES.register


@dataclasses.dataclass(frozen=True)
class LearningRateSettings(settings_lib.Settings):
  """Learning rate."""

  learning_rate: float = settings_lib.setting(
    0.01, 'The initial learning rate; of one_cycle, the greatest.', above=0
  )
  learning_rate_decay_type: str = settings_lib.setting(
    'exponential', 'How the learning rate changes.', choices=SCHEDULES
  )
  learning_rate_decay_factor: float = settings_lib.setting(
    0.94, 'exponential, inverse_time, natural_exp, plateau: the factor of each decay.', above=0
  )
  learning_rate_staircase: bool = settings_lib.setting(
    True,
    'exponential, inverse_time, natural_exp: whether the rate changes only once in'
    ' --num_epochs_per_decay, and not with each step.',
  )
  num_epochs_per_decay: float = settings_lib.setting(
    2.0,
    'Epochs between two decays (exponential, inverse_time, natural_exp), or until the end rate is'
    ' reached (cosine, cosine_restarts the first time, one_cycle, polynomial). An epoch is counted'
    ' as examples / batch_size steps, however many clones there are.',
    above=0,
  )
  num_steps_per_decay: int | None = settings_lib.setting(
    None, 'The same in steps, in place of --num_epochs_per_decay.', lower=1
  )
  end_learning_rate: float = settings_lib.setting(
    0.0001,
    'cosine, cosine_restarts, one_cycle, polynomial: the last learning rate; plateau: the least.',
    lower=0,
  )
  plateau_patience: int = settings_lib.setting(
    3,
    'plateau: evaluations without a gain, after which the rate falls, again and again. The metric'
    ' is that of --keep_best, or else the first that evaluation lists.',
    lower=1,
  )
  learning_rate_power: float = settings_lib.setting(
    1.0, 'polynomial: the power; 1 is a straight line.', above=0
  )
  learning_rate_cycle: bool = settings_lib.setting(
    False, 'polynomial: whether it rises again at the end, to fall over as many epochs more.'
  )
  learning_rate_boundaries: str | None = settings_lib.setting(
    None, 'piecewise: the epochs at which the rate changes, separated by commas.'
  )
  learning_rate_boundary_steps: str | None = settings_lib.setting(
    None, 'piecewise: the same in steps, in place of --learning_rate_boundaries.'
  )
  learning_rate_values: str | None = settings_lib.setting(
    None, 'piecewise: the rates, separated by commas, one more than boundaries.'
  )
  warmup_epochs: float = settings_lib.setting(
    0.0, 'Epochs over which the learning rate first rises from 0 in a straight line.', lower=0
  )

  warmup_steps: int | None = settings_lib.setting(
    None, 'The same in steps, in place of --warmup_epochs.', lower=0
  )

  def __post_init__(self):
    super().__post_init__()
    for in_epochs, in_steps in (
      ('learning_rate_boundaries', 'learning_rate_boundary_steps'),
      ('warmup_epochs', 'warmup_steps'),
    ):
      if getattr(self, in_epochs) and getattr(self, in_steps):
        raise errors.InputError(
          f'--{in_epochs}={getattr(self, in_epochs)} and --{in_steps}={getattr(self, in_steps)}'
          ' exclude each other. Leave one of them out.'
        )
    if any(n % 1 for n in settings_lib.split_numbers(self.learning_rate_boundary_steps)):
      raise errors.InputError(
        f'--learning_rate_boundary_steps={self.learning_rate_boundary_steps} are not all whole'
        ' numbers. Give whole steps, or epochs in --learning_rate_boundaries.'
      )
    if self.learning_rate_decay_type == 'plateau' and self.learning_rate_decay_factor >= 1:
      raise errors.InputError(
        f'--learning_rate_decay_factor={self.learning_rate_decay_factor} does not make the rate of'
        ' --learning_rate_decay_type=plateau fall; it must be less than 1, such as 0.1.'
      )
    if self.learning_rate_decay_type == 'piecewise':
      boundaries = settings_lib.split_numbers(
        self.learning_rate_boundaries or self.learning_rate_boundary_steps
      )
      rates = settings_lib.split_numbers(self.learning_rate_values)
      is_rising = all(a < b for a, b in itertools.pairwise([0, *boundaries]))
      if not boundaries or not is_rising or len(rates) != len(boundaries) + 1:
        raise errors.InputError(
          f'--learning_rate_decay_type=piecewise got the boundaries {boundaries} and the rates'
          f' {rates}. Give rising epochs, or steps, above 0, and one rate more than those, such as'
          ' --learning_rate_boundaries=30,60 --learning_rate_values=0.1,0.01,0.001.'
        )


def make_learning_rate(settings, global_step, steps_per_epoch):
  """Returns the learning rate as a scalar tensor.

  Args:
    settings: LearningRateSettings.
    global_step: the step counter.
    steps_per_epoch: a float, examples over batch size.
  """
  # A set smaller than a batch would otherwise decay every 0 steps.
  decay_steps = settings.num_steps_per_decay or max(
    1, int(steps_per_epoch * settings.num_epochs_per_decay)
  )
  if settings.learning_rate_boundaries:
    epochs = settings_lib.split_numbers(settings.learning_rate_boundaries)
    steps = ','.join(str(max(1, round(n * steps_per_epoch))) for n in epochs)
    settings = dataclasses.replace(
      settings, learning_rate_boundaries=None, learning_rate_boundary_steps=steps
    )
  schedule = SCHEDULES[settings.learning_rate_decay_type]
  learning_rate = schedule.make(settings, global_step, decay_steps)
  if num_steps := settings.warmup_steps or steps_per_epoch * settings.warmup_epochs:
    # As slim has it, the schedule runs from step 0, below the rising line at first.
    rising = settings.learning_rate / num_steps
    learning_rate = tf.minimum(rising * tf.cast(global_step, tf.float32), learning_rate)
  return learning_rate
