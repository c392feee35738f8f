"""Variables that begin to train in the middle of a run, and what is fresh when a run is widened."""

from typing import NamedTuple

from slimcompat import errors, tf
from slimtrain import variable_scopes

# The graph's collection of the names of what may be missing in a checkpoint that is continued: what
# the later optimizers keep.
LATER_STATE = 'later_state'
_MOVING_AVERAGE = variable_scopes.MOVING_AVERAGE_SLOT


class Unfreezing(NamedTuple):
  """What trains later than the rest."""

  variables: list  # Which begin to train.
  has_begun: tf.Tensor  # Bool scalar: whether they train in this step.

  def hold(self, gradients):
    """Returns the (gradient, variable) pairs with 0 for what does not train yet."""
    later = {variable.op.name for variable in self.variables}
    return [
      (
        # Not a product: what does not train may have a gradient that is not finite.
        tf.where(self.has_begun, gradient, tf.zeros_like(gradient))
        if gradient is not None and variable.op.name in later
        else gradient,
        variable,
      )
      for gradient, variable in gradients
    ]

  def apply(self, optimizer, gradients):
    """Returns the op that updates variables with their gradients, once they train.

    Args:
      optimizer: a tf.train.Optimizer of their own: what it counts begins with them.
      gradients: (gradient, variable) pairs.
    """
    update = tf.cond(
      self.has_begun, lambda: optimizer.apply_gradients(gradients), tf.no_op, name='unfreezing'
    )
    for variable in optimizer.variables():
      tf.add_to_collection(LATER_STATE, variable.op.name)
    return update


def plan(settings, early, global_step):
  """Returns the Unfreezing of FineTuningSettings `settings`, or None.

  Args:
    settings: `unfreeze_at_step` N and `unfreeze_scopes`: steps up to N train only the `early`
      variables.
    early: a list of variables.
    global_step: int scalar, the steps before this one.

  Raises:
    InputError: when no further variable is left, or a scope holds none.
  """
  if settings.unfreeze_at_step is None:
    return None
  names = {variable.op.name for variable in early}
  later = variable_scopes.find_trainable('unfreeze_scopes', settings.unfreeze_scopes)
  later = [variable for variable in later if variable.op.name not in names]
  if not later:
    raise errors.InputError(
      f'--unfreeze_at_step={settings.unfreeze_at_step} finds nothing to unfreeze: all'
      f' {len(early)} variables are in --trainable_scopes from the first step on. Narrow those, or'
      ' leave --unfreeze_at_step out.'
    )
  return Unfreezing(later, global_step >= settings.unfreeze_at_step)


def find_fresh(missing_names, saved_names, restored_names):
  """Returns those variables a checkpoint lacks because it did not train something yet.

  That is what the optimizer keeps of a trainable variable, of which the checkpoint keeps nothing,
  while it has the same of others; and what optimizers count that begin later.

  Args:
    missing_names: of all variables that it lacks.
    saved_names: of all that it has.
    restored_names: of those that this run has, too.
  """
  trainable = {variable.op.name for variable in tf.trainable_variables()}
  counted_later = set(tf.get_collection(LATER_STATE))
  trained_owners = {owner for owner, slot in map(_split, saved_names) if slot != _MOVING_AVERAGE}
  restored_slots = {slot for owner, slot in map(_split, restored_names) if owner in trainable}
  fresh = set()
  for name in missing_names:
    owner, slot = _split(name)
    if owner in trainable:
      # Of another optimizer, none of the slots would be there.
      is_fresh = owner not in trained_owners and slot in restored_slots - {_MOVING_AVERAGE}
    else:
      is_fresh = name in counted_later
    if is_fresh:
      fresh.add(name)
  return fresh


def _split(name):
  owner, _, slot = name.rpartition('/')
  return owner, slot
