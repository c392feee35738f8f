"""Learning rates over time; `SCHEDULES` is the table."""

import dataclasses
from collections.abc import Callable

from slimcompat import tables, tf
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A way for the learning rate to change."""

  name: str
  # make(settings, global_step, decay_steps) -> a scalar tensor; `decay_steps` is
  # `num_epochs_per_decay` in steps.
  make: Callable
  reads: tuple[str, ...] = ()  # The settings it heeds besides `learning_rate`.


SCHEDULES = tables.Table(
  'learning-rate schedule',
  [
    Schedule(
      'exponential',
      # rate * factor ^ floor(step / decay_steps)
      lambda settings, step, decay_steps: tf.train.exponential_decay(
        settings.learning_rate,
        step,
        decay_steps,
        settings.learning_rate_decay_factor,
        staircase=True,
      ),
      reads=('num_epochs_per_decay', 'learning_rate_decay_factor'),
    ),
    Schedule('fixed', lambda settings, step, decay_steps: tf.constant(settings.learning_rate)),
    Schedule(
      'polynomial',
      # A straight line down to the end rate, then constant.
      lambda settings, step, decay_steps: tf.train.polynomial_decay(
        settings.learning_rate, step, decay_steps, settings.end_learning_rate, power=1.0
      ),
      reads=('num_epochs_per_decay', 'end_learning_rate'),
    ),
  ],
)
register = SCHEDULES.register


@dataclasses.dataclass(frozen=True)
class LearningRateSettings(settings_lib.Settings):
  """Learning rate."""

  learning_rate: float = settings_lib.setting(0.01, 'The initial learning rate.', above=0)
  learning_rate_decay_type: str = settings_lib.setting(
    'exponential', 'How the learning rate changes.', choices=SCHEDULES
  )
  learning_rate_decay_factor: float = settings_lib.setting(
    0.94, 'exponential: the factor of each decay.', above=0
  )
  num_epochs_per_decay: float = settings_lib.setting(
    2.0,
    'Epochs between two decays (exponential), or until the end rate is reached (polynomial).'
    ' An epoch is counted as examples / batch_size steps, however many clones there are.',
    above=0,
  )
  end_learning_rate: float = settings_lib.setting(
    0.0001, 'polynomial: the last learning rate.', lower=0
  )
  warmup_epochs: float = settings_lib.setting(
    0.0, 'Epochs over which the learning rate first rises from 0 in a straight line.', lower=0
  )


def make_learning_rate(settings, global_step, steps_per_epoch):
  """Returns the learning rate as a scalar tensor.

  Args:
    settings: LearningRateSettings.
    global_step: the step counter.
    steps_per_epoch: a float, examples over batch size.
  """
  # A set smaller than a batch would otherwise decay every 0 steps.
  decay_steps = max(1, int(steps_per_epoch * settings.num_epochs_per_decay))
  schedule = SCHEDULES[settings.learning_rate_decay_type]
  learning_rate = schedule.make(settings, global_step, decay_steps)
  if settings.warmup_epochs:
    # As slim has it, the schedule runs from step 0, below the rising line at first.
    rising = settings.learning_rate / (steps_per_epoch * settings.warmup_epochs)
    learning_rate = tf.minimum(rising * tf.cast(global_step, tf.float32), learning_rate)
  return learning_rate
