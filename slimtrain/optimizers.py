"""Optimizers by name; `OPTIMIZERS` is the table."""

import dataclasses
from collections.abc import Callable

from slimcompat import tables, tf
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """A rule that turns gradients into updates."""

  name: str
  make: Callable  # make(settings, learning_rate) -> tf.train.Optimizer.
  reads: tuple[str, ...] = ()  # The settings it heeds.


OPTIMIZERS = tables.Table(
  'optimizer',
  [
    Optimizer(
      'adadelta',
      lambda settings, rate: tf.train.AdadeltaOptimizer(
        rate, rho=settings.adadelta_rho, epsilon=settings.opt_epsilon
      ),
      reads=('adadelta_rho', 'opt_epsilon'),
    ),
    Optimizer(
      'adagrad',
      lambda settings, rate: tf.train.AdagradOptimizer(
        rate, initial_accumulator_value=settings.adagrad_initial_accumulator_value
      ),
      reads=('adagrad_initial_accumulator_value',),
    ),
    Optimizer(
      'adam',
      lambda settings, rate: tf.train.AdamOptimizer(
        rate,
        beta1=settings.adam_beta1,
        beta2=settings.adam_beta2,
        epsilon=settings.opt_epsilon,
      ),
      reads=('adam_beta1', 'adam_beta2', 'opt_epsilon'),
    ),
    Optimizer(
      'ftrl',
      lambda settings, rate: tf.train.FtrlOptimizer(
        rate,
        learning_rate_power=settings.ftrl_learning_rate_power,
        initial_accumulator_value=settings.ftrl_initial_accumulator_value,
        l1_regularization_strength=settings.ftrl_l1,
        l2_regularization_strength=settings.ftrl_l2,
      ),
      reads=('ftrl_learning_rate_power', 'ftrl_initial_accumulator_value', 'ftrl_l1', 'ftrl_l2'),
    ),
    Optimizer(
      'momentum',
      lambda settings, rate: tf.train.MomentumOptimizer(rate, momentum=settings.momentum),
      reads=('momentum',),
    ),
    Optimizer(
      'rmsprop',
      lambda settings, rate: tf.train.RMSPropOptimizer(
        rate,
        decay=settings.rmsprop_decay,
        momentum=settings.rmsprop_momentum,
        epsilon=settings.opt_epsilon,
      ),
      reads=('rmsprop_decay', 'rmsprop_momentum', 'opt_epsilon'),
    ),
    Optimizer('sgd', lambda settings, rate: tf.train.GradientDescentOptimizer(rate)),
  ],
)
register = OPTIMIZERS.register


@dataclasses.dataclass(frozen=True)
class OptimizerSettings(settings_lib.Settings):
  """Optimizer."""

  optimizer: str = settings_lib.setting(
    'rmsprop', 'How gradients become updates.', choices=OPTIMIZERS
  )
  opt_epsilon: float = settings_lib.setting(
    1.0,
    "adadelta, adam, rmsprop: keeps the divisor from 0. The default 1.0 is slim's and large:"
    ' adam is usually run with 1e-8.',
    above=0,
  )
  momentum: float = settings_lib.setting(0.9, 'momentum: its decay.', lower=0, below=1)
  rmsprop_momentum: float = settings_lib.setting(0.9, 'rmsprop: momentum.', lower=0, below=1)
  rmsprop_decay: float = settings_lib.setting(
    0.9, 'rmsprop: decay of the squared gradients.', lower=0, below=1
  )
  adam_beta1: float = settings_lib.setting(0.9, 'adam: decay of the gradients.', lower=0, below=1)
  adam_beta2: float = settings_lib.setting(
    0.999, 'adam: decay of the squared gradients.', lower=0, below=1
  )
  adadelta_rho: float = settings_lib.setting(0.95, 'adadelta: its decay.', lower=0, below=1)
  adagrad_initial_accumulator_value: float = settings_lib.setting(
    0.1, 'adagrad: where the sums of squares start.', above=0
  )
  ftrl_learning_rate_power: float = settings_lib.setting(
    -0.5, 'ftrl: the power of the learning rate.', upper=0
  )
  ftrl_initial_accumulator_value: float = settings_lib.setting(
    0.1, 'ftrl: where the sums of squares start.', lower=0
  )
  ftrl_l1: float = settings_lib.setting(0.0, 'ftrl: strength of L1 regularization.', lower=0)
  ftrl_l2: float = settings_lib.setting(0.0, 'ftrl: strength of L2 regularization.', lower=0)


def make_optimizer(settings, learning_rate):
  """Returns the tf.train.Optimizer of OptimizerSettings `settings` at `learning_rate`."""
  return OPTIMIZERS[settings.optimizer].make(settings, learning_rate)
