"""Optimizers by name; `OPTIMIZERS` is the table."""

import dataclasses
from collections.abc import Callable

from slimcompat import tables, tf
from slimtrain import settings as settings_lib
from slimtrain import update_rules


@dataclasses.dataclass(frozen=True)
class Optimizer:
  """A rule that turns gradients into updates."""

  name: str
  make: Callable  # make(settings, learning_rate) -> tf.train.Optimizer.
  reads: tuple[str, ...] = ()  # The settings it heeds.


_DECAY_SETTINGS = ('decoupled_weight_decay', 'no_decay_on_bn_and_bias')
_ADAM_SETTINGS = ('adam_beta1', 'adam_beta2', 'adamw_epsilon', *_DECAY_SETTINGS)


def _rule_optimizer(name, slots, make_rule):
  """Returns the `make` of an optimizer whose rule is `make_rule(settings)`."""
  return lambda settings, rate: update_rules.RuleOptimizer(
    name,
    rate,
    slots,
    make_rule(settings),
    decay=settings.decoupled_weight_decay,
    spares_vectors=settings.no_decay_on_bn_and_bias,
  )


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
      'adagrad_da',
      lambda settings, rate: tf.train.AdagradDAOptimizer(
        rate,
        tf.train.get_or_create_global_step(),
        initial_gradient_squared_accumulator_value=settings.adagrad_initial_accumulator_value,
        l1_regularization_strength=settings.proximal_l1,
        l2_regularization_strength=settings.proximal_l2,
      ),
      reads=('adagrad_initial_accumulator_value', 'proximal_l1', 'proximal_l2'),
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
      'adamw',
      _rule_optimizer(
        'AdamW',
        ('m', 'v'),
        lambda settings: update_rules.adamw(
          settings.adam_beta1, settings.adam_beta2, settings.adamw_epsilon
        ),
      ),
      reads=_ADAM_SETTINGS,
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
      'lamb',
      _rule_optimizer(
        'Lamb',
        ('m', 'v'),
        lambda settings: update_rules.lamb(
          settings.adam_beta1, settings.adam_beta2, settings.adamw_epsilon
        ),
      ),
      reads=_ADAM_SETTINGS,
    ),
    Optimizer(
      'lars',
      _rule_optimizer(
        'Lars',
        ('momentum',),
        lambda settings: update_rules.lars(settings.momentum, settings.lars_trust),
      ),
      reads=('momentum', 'lars_trust', *_DECAY_SETTINGS),
    ),
    Optimizer(
      'lion',
      _rule_optimizer(
        'Lion',
        ('m',),
        lambda settings: update_rules.lion(settings.lion_beta1, settings.lion_beta2),
      ),
      reads=('lion_beta1', 'lion_beta2', *_DECAY_SETTINGS),
    ),
    Optimizer(
      'momentum',
      lambda settings, rate: tf.train.MomentumOptimizer(
        rate, momentum=settings.momentum, use_nesterov=settings.nesterov
      ),
      reads=('momentum', 'nesterov'),
    ),
    Optimizer(
      'proximal_adagrad',
      lambda settings, rate: tf.train.ProximalAdagradOptimizer(
        rate,
        initial_accumulator_value=settings.adagrad_initial_accumulator_value,
        l1_regularization_strength=settings.proximal_l1,
        l2_regularization_strength=settings.proximal_l2,
      ),
      reads=('adagrad_initial_accumulator_value', 'proximal_l1', 'proximal_l2'),
    ),
    Optimizer(
      'proximal_sgd',
      lambda settings, rate: tf.train.ProximalGradientDescentOptimizer(
        rate,
        l1_regularization_strength=settings.proximal_l1,
        l2_regularization_strength=settings.proximal_l2,
      ),
      reads=('proximal_l1', 'proximal_l2'),
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
  momentum: float = settings_lib.setting(0.9, 'momentum, lars: its decay.', lower=0, below=1)
  nesterov: bool = settings_lib.setting(False, "momentum: whether it is Nesterov's.")
  decoupled_weight_decay: float = settings_lib.setting(
    0.01,
    'adamw, lamb, lars, lion: what they take off the weights in a step, as a part of them, times'
    ' the learning rate. It comes on top of --weight_decay, which is then best set to 0.',
    lower=0,
  )
  no_decay_on_bn_and_bias: bool = settings_lib.setting(
    False,
    'adamw, lamb, lars, lion: whether biases and the parameters of batch norm are not decayed, nor'
    ' their updates scaled by norms.',
  )
  adamw_epsilon: float = settings_lib.setting(
    1e-8, 'adamw, lamb: keeps the divisor from 0.', above=0
  )
  lars_trust: float = settings_lib.setting(
    0.001, "lars: a layer's step, as a part of its weights, at the learning rate 1.", above=0
  )
  lion_beta1: float = settings_lib.setting(
    0.9, 'lion: share of the mean in the direction.', lower=0, below=1
  )
  lion_beta2: float = settings_lib.setting(
    0.99, 'lion: decay of the mean of the gradients.', lower=0, below=1
  )
  proximal_l1: float = settings_lib.setting(
    0.0, 'adagrad_da, proximal_adagrad, proximal_sgd: strength of L1 regularization.', lower=0
  )
  proximal_l2: float = settings_lib.setting(
    0.0, 'adagrad_da, proximal_adagrad, proximal_sgd: strength of L2 regularization.', lower=0
  )
  rmsprop_momentum: float = settings_lib.setting(0.9, 'rmsprop: momentum.', lower=0, below=1)
  rmsprop_decay: float = settings_lib.setting(
    0.9, 'rmsprop: decay of the squared gradients.', lower=0, below=1
  )
  adam_beta1: float = settings_lib.setting(
    0.9, 'adam, adamw, lamb: decay of the gradients.', lower=0, below=1
  )
  adam_beta2: float = settings_lib.setting(
    0.999, 'adam, adamw, lamb: decay of the squared gradients.', lower=0, below=1
  )
  adadelta_rho: float = settings_lib.setting(0.95, 'adadelta: its decay.', lower=0, below=1)
  adagrad_initial_accumulator_value: float = settings_lib.setting(
    0.1, 'adagrad, adagrad_da, proximal_adagrad: where the sums of squares start.', above=0
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
