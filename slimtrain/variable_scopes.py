"""Names of variables: the scopes that flags name, and what is in them."""

from slimcompat import errors, tables, tf
from slimtrain import settings as settings_lib

MOVING_AVERAGE_SLOT = 'ExponentialMovingAverage'  # After the name of the variable and a slash.


def find_trainable(flag, scopes):
  """Returns the trainable variables in any of the comma-separated `scopes`; all for None.

  Raises:
    InputError: when a scope, of `--flag`, holds none.
  """
  scopes = settings_lib.split_names(scopes)
  variables = tf.trainable_variables()
  if not scopes:
    return variables
  check(flag, scopes, [variable.op.name for variable in variables])
  return [variable for variable in variables if variable.op.name.startswith(tuple(scopes))]


def check(flag, scopes, names, place='here'):
  """Raises InputError when one of `scopes`, of `--flag`, begins none of the variables' `names`."""
  for scope in scopes:
    if not any(name.startswith(scope) for name in names):
      # What a user may have meant: every scope down to the variables.
      known = sorted({'/'.join(name.split('/')[:n]) for name in names for n in (1, 2, 3)})
      guess = tables.unknown_name('scope', scope, known).split(' Known:')[0]
      raise errors.InputError(
        f'--{flag}: {guess} Scopes {place} begin with {", ".join(known[:5])}, ...'
      )
