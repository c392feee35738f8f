"""Saving, resuming, and starting from the weights of another run."""

import dataclasses
import os
import re
from typing import NamedTuple

from slimcompat import batch_normalization, errors, slim, tables, tf
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class FineTuningSettings(settings_lib.Settings):
  """Fine-tuning."""

  checkpoint_path: str | None = settings_lib.setting(
    None,
    'A checkpoint, or a directory whose newest one is taken, to start from. What depends on the'
    ' number of classes is left out by itself when that differs.',
  )
  checkpoint_exclude_scopes: str | None = settings_lib.setting(
    None, 'Scopes, separated by commas, of variables that are not restored.'
  )
  trainable_scopes: str | None = settings_lib.setting(
    None, 'Scopes, separated by commas, of the variables to train. Unset: all.'
  )
  freeze_batch_norm: bool = settings_lib.setting(
    False,
    'Whether batch norm normalizes by its moving statistics, as in evaluation, and keeps them as'
    ' they are: outside of --trainable_scopes, or everywhere when all is trained.',
  )
  ignore_missing_vars: bool = settings_lib.setting(
    False, 'Whether variables that the checkpoint lacks keep their initial values.'
  )

  def __post_init__(self):
    super().__post_init__()
    for name in ('checkpoint_exclude_scopes', 'ignore_missing_vars'):
      if getattr(self, name) and not self.checkpoint_path:
        raise errors.InputError(
          f'--{name} is set, but there is no --checkpoint_path to restore from; give one, or'
          f' leave --{name} out.'
        )


class RestorePlan(NamedTuple):
  """What becomes of each variable when a checkpoint is restored."""

  checkpoint: str
  restored: dict  # {name in the checkpoint: variable}
  excluded: list  # Variables in one of the excluded scopes.
  skipped_for_shape: list  # Variables of a classifier for other classes.
  missing: list  # Variables that the checkpoint lacks.
  unused: list  # Names in the checkpoint that the net lacks.


def find(path):
  """Returns the checkpoint at `path`, as the prefix of its files, or the newest in a directory.

  It may have the format V1 or V2; the path of one of its files, such as `.index`, will do.

  Raises:
    InputError: when there is none.
  """
  if os.path.isdir(path):
    checkpoint = newest(path)
    if checkpoint is None:
      raise errors.InputError(
        f'The directory {path} holds no checkpoint. Give the path that a run wrote to, or the'
        ' path of a checkpoint.'
      )
    return checkpoint
  checkpoint = re.sub(r'\.(index|meta|data-\d+-of-\d+)$', '', path)
  if not tf.train.checkpoint_exists(checkpoint):
    raise errors.InputError(
      f'There is no checkpoint {path}. Give a directory with checkpoints, or the path of one.'
    )
  return checkpoint


def newest(directory):
  """Returns the newest checkpoint that `directory` lists, or None."""
  try:
    return tf.train.latest_checkpoint(directory)
  except (ValueError, UnicodeDecodeError) as error:
    raise errors.InputError(
      f'The file {os.path.join(directory, "checkpoint")} is damaged ({error}). Write the line'
      ' model_checkpoint_path: "model.ckpt-N" into it, N being the newest one.'
    ) from error


def listed(directory):
  """Returns the checkpoints that the file `checkpoint` in `directory` lists, the newest last.

  They need not exist. A file that says nothing lists none.
  """
  try:
    state = tf.train.get_checkpoint_state(directory)
  except (ValueError, UnicodeDecodeError):
    return []
  return list(state.all_model_checkpoint_paths) if state else []


def saved_step(checkpoint):
  """Returns the global step that a checkpoint holds, 0 if it holds none."""
  reader = _reader(checkpoint)
  return int(reader.get_tensor('global_step')) if reader.has_tensor('global_step') else 0


def saved_shapes(checkpoint):
  """Returns {variable name: shape as a list} of a checkpoint. Raises InputError if unreadable."""
  return _reader(checkpoint).get_variable_to_shape_map()


def _reader(checkpoint):
  try:
    return tf.train.NewCheckpointReader(checkpoint)
  except (tf.errors.OpError, ValueError) as error:
    raise errors.InputError(
      f'The checkpoint {checkpoint} cannot be read: {first_line(error)} Give another one.'
    ) from error


def plan_restore(checkpoint, variables, exclude_scopes=(), num_classes=None):
  """Returns the RestorePlan for `variables`.

  Args:
    checkpoint: as `find` returned it.
    variables: a list of variables, or a dict {name in the checkpoint: variable}.
    exclude_scopes: scopes whose variables keep their initial values.
    num_classes: an int: variables that differ from the checkpoint only in a last dimension of
      this size belong to the classifier, and are skipped. None: nothing may differ.

  Raises:
    InputError: when a scope matches nothing, any other shape differs, or nothing matches.
  """
  if not isinstance(variables, dict):
    variables = {variable.op.name: variable for variable in variables}
  check_scopes('checkpoint_exclude_scopes', exclude_scopes, variables)
  saved = saved_shapes(checkpoint)
  plan = RestorePlan(checkpoint, {}, [], [], [], sorted(set(saved) - set(variables)))
  differing = []
  for name, variable in variables.items():
    shape = variable.shape.as_list()
    if name.startswith(tuple(exclude_scopes)):
      plan.excluded.append(variable)
    elif name not in saved:
      plan.missing.append(variable)
    elif saved[name] == shape:
      plan.restored[name] = variable
    elif num_classes and shape[-1:] == [num_classes] and saved[name][:-1] == shape[:-1]:
      plan.skipped_for_shape.append(variable)
    else:
      differing.append((name, shape, saved[name]))
  if differing:
    name, shape, saved_shape = differing[0]
    raise errors.InputError(
      f'{checkpoint} is of another net, another width of it or another size of images: {name} is'
      f' {saved_shape} there and {shape} here, and so {len(differing)} variables differ. Choose the'
      ' --model_name and the image size that the checkpoint was made with.'
    )
  names = [variable.op.name for variable in variables.values()]
  if saved.keys().isdisjoint(own := [name for name in names if name != 'global_step']):
    raise errors.InputError(
      f'{checkpoint} is of another net: it has variables such as {_first(plan.unused)}, none of'
      f' those here, such as {_first(own)}. Choose the --model_name that the'
      ' checkpoint was made with.'
    )
  return plan


def plan_start(settings, num_classes):
  """Returns the RestorePlan of FineTuningSettings `settings`, or None without a checkpoint."""
  if not settings.checkpoint_path:
    return None
  plan = plan_restore(
    find(settings.checkpoint_path),
    slim.get_model_variables(),
    settings_lib.split_names(settings.checkpoint_exclude_scopes),
    num_classes,
  )
  if plan.missing and not settings.ignore_missing_vars:
    raise errors.InputError(
      f'{plan.checkpoint} lacks {len(plan.missing)} variables of this net, such as'
      f' {plan.missing[0].op.name}. If they shall keep their initial values, set'
      ' --ignore_missing_vars or name their scopes in --checkpoint_exclude_scopes.'
    )
  return plan


def plan_resume(train_dir):
  """Returns the RestorePlan of all variables from the newest checkpoint in `train_dir`, or None.

  Raises:
    InputError: when that checkpoint lacks a variable, as after another optimizer.
  """
  checkpoint = newest(train_dir)
  if checkpoint is None:
    return None
  plan = plan_restore(checkpoint, tf.global_variables())
  if plan.missing:
    raise errors.InputError(
      f'{checkpoint} cannot be continued: it lacks {len(plan.missing)} variables, such as'
      f' {plan.missing[0].op.name}. Use the flags of the run that wrote it, or another --train_dir'
      ' with this one as --checkpoint_path.'
    )
  return plan


def report(plan):
  """Returns the lines that tell what `plan` restores, the first of each kind named."""
  lines = [f'Restoring from {plan.checkpoint}:']
  for kind, names in (
    ('restored', list(plan.restored)),
    ('excluded', [variable.op.name for variable in plan.excluded]),
    ('skipped for shape', [variable.op.name for variable in plan.skipped_for_shape]),
    ('missing', [variable.op.name for variable in plan.missing]),
    ('unused', plan.unused),
  ):
    lines.append(f'  {len(names):5d} {kind}' + (f', first {names[0]}' if names else ''))
  return lines


def make_restore_fn(plan):
  """Returns a function of a session that restores what `plan` says."""
  saver = tf.train.Saver(plan.restored) if plan.restored else None

  def restore(session):
    if saver is None:
      return
    try:
      saver.restore(session, plan.checkpoint)
    except (tf.errors.OpError, ValueError) as error:
      # A truncated file raises OutOfRangeError, which a Supervisor would take for the end of
      # the input.
      raise errors.InputError(
        f'The checkpoint {plan.checkpoint} is damaged: {first_line(error)} Give another one.'
      ) from error

  return restore


def variables_to_train(trainable_scopes):
  """Returns the trainable variables in any of the comma-separated scopes; all for None.

  Raises:
    InputError: when a scope holds none.
  """
  scopes = settings_lib.split_names(trainable_scopes)
  variables = tf.trainable_variables()
  if not scopes:
    return variables
  check_scopes('trainable_scopes', scopes, [variable.op.name for variable in variables])
  return [variable for variable in variables if variable.op.name.startswith(tuple(scopes))]


def frozen_batch_norm(settings):
  """Returns the context to build a net in under FineTuningSettings `settings`."""
  trainable = tuple(settings_lib.split_names(settings.trainable_scopes))
  return batch_normalization.frozen(
    lambda name: settings.freeze_batch_norm and not (trainable and name.startswith(trainable))
  )


def make_moving_averages(decay, global_step=None):
  """Returns slim's moving averages of model variables; with a step, early ones decay faster."""
  return tf.train.ExponentialMovingAverage(decay, global_step)


def check_scopes(flag, scopes, names):
  """Raises InputError when one of `scopes`, of `--flag`, begins none of the variables' `names`."""
  for scope in scopes:
    if not any(name.startswith(scope) for name in names):
      # What a user may have meant: every scope down to the variables.
      known = sorted({'/'.join(name.split('/')[:n]) for name in names for n in (1, 2, 3)})
      guess = tables.unknown_name('scope', scope, known).split(' Known:')[0]
      raise errors.InputError(
        f'--{flag}: {guess} Scopes here begin with {", ".join(known[:5])}, ...'
      )


def _first(names):
  return names[0] if names else '(none)'


def first_line(error):
  """Returns the first line of what TensorFlow says of an `error`, as a sentence."""
  line = str(getattr(error, 'message', error)).strip().splitlines()[0].rstrip('.')
  return f'{line}.'
