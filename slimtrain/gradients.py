"""What happens to gradients between their computation and the optimizer."""

import dataclasses

from slimcompat import errors, tf
from slimtrain import settings as settings_lib
from slimtrain import variable_scopes


@dataclasses.dataclass(frozen=True)
class GradientSettings(settings_lib.Settings):
  """Gradients."""

  accumulate_steps: int = settings_lib.setting(
    1,
    'Batches whose gradients are averaged for one step, in which batch norm sees one batch at a'
    ' time. Steps, epochs and the learning rate count updates.',
    lower=1,
  )
  clip_gradients_by_value: float | None = settings_lib.setting(
    None, 'Each element of the gradients is cut to this distance from 0.', above=0
  )
  clip_gradients_by_norm: float | None = settings_lib.setting(
    None, "Each variable's gradient is scaled down to this norm.", above=0
  )
  clip_gradients_by_global_norm: float | None = settings_lib.setting(
    None, 'All gradients together are scaled down to this norm.', above=0
  )
  learning_rate_multipliers: str | None = settings_lib.setting(
    None,
    'Factors of the learning rate by scope, such as vgg_16/fc8:10,vgg_16/fc7:2. The first scope'
    ' that holds a variable counts.',
  )

  def __post_init__(self):
    super().__post_init__()
    parse_multipliers(self.learning_rate_multipliers)


def parse_multipliers(text):
  """Returns the {scope: factor} of `--learning_rate_multipliers`. Raises InputError."""
  factors = {}
  for part in settings_lib.split_names(text):
    scope, _, factor = part.rpartition(':')
    try:
      factors[scope] = float(factor)
    except ValueError:
      factors[scope] = None
    if not scope or factors[scope] is None or factors[scope] < 0:
      raise errors.InputError(
        f'--learning_rate_multipliers={text}: {part!r} is no scope with a factor from 0 on. Write'
        ' scope:factor, such as vgg_16/fc8:10.'
      )
  return factors


def clip(settings, gradients):
  """Returns the (gradient, variable) pairs clipped as GradientSettings `settings` say.

  By value first, then by the norm of each, then by that of all.
  """
  given = [(gradient, variable) for gradient, variable in gradients if gradient is not None]
  values = [gradient for gradient, _ in given]
  if limit := settings.clip_gradients_by_value:
    values = [tf.clip_by_value(gradient, -limit, limit) for gradient in values]
  if limit := settings.clip_gradients_by_norm:
    values = [tf.clip_by_norm(gradient, limit) for gradient in values]
  if limit := settings.clip_gradients_by_global_norm:
    values, _ = tf.clip_by_global_norm(values, limit)
  return list(zip(values, (variable for _, variable in given), strict=True))


def apply(settings, gradients, make_optimizer, learning_rate, global_step, unfreezing=None):
  """Returns the op that updates the variables and counts the step.

  Args:
    settings: GradientSettings.
    gradients: (gradient, variable) pairs.
    make_optimizer: a function of a learning rate that returns a tf.train.Optimizer.
    learning_rate: scalar.
    global_step: the counter.
    unfreezing: the unfreezing.Unfreezing of variables that begin to train later, if any do.

  Raises:
    InputError: when no variable to train is in one of the scopes that have a factor.
  """
  factors = parse_multipliers(settings.learning_rate_multipliers)
  names = [variable.op.name for _, variable in gradients]
  variable_scopes.check('learning_rate_multipliers', factors, names)
  later = {variable.op.name for variable in unfreezing.variables} if unfreezing else set()
  groups = {}
  for name, pair in zip(names, gradients, strict=True):
    factor = next((factors[scope] for scope in factors if name.startswith(scope)), 1.0)
    groups.setdefault((name in later, factor), []).append(pair)
  updates = []
  # In this order what optimizers count keeps its names, whether or not more begins later.
  for (is_later, factor), pairs in sorted(groups.items(), key=lambda group: group[0][0]):
    rate = learning_rate if factor == 1 else factor * learning_rate
    if is_later:
      # Another tensor, for another optimizer.
      updates.append(unfreezing.apply(make_optimizer(tf.identity(rate)), pairs))
    else:
      updates.append(make_optimizer(rate).apply_gradients(pairs))
  with tf.control_dependencies(updates):
    return tf.assign_add(global_step, 1).op
