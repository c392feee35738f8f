"""Saving, resuming, and starting from the weights of another run."""

import contextlib
import dataclasses
import os
import re
from typing import NamedTuple

from slimcompat import batch_normalization, checkpoint_directory, errors, paths, slim, tf
from slimtrain import foreign_checkpoints, unfreezing, variable_scopes, variants
from slimtrain import settings as settings_lib

# Of the files of a checkpoint of the format V2.
_FILE_ENDING = re.compile(r'\.(index|meta|data-\d+-of-\d+)$')


@dataclasses.dataclass(frozen=True)
class FineTuningSettings(settings_lib.Settings):
  """Fine-tuning."""

  checkpoint_path: str | None = settings_lib.setting(
    None,
    'A checkpoint, or a directory whose newest one is taken, to start from; or imagenet: the one'
    ' that was released for the net, which is fetched once. What depends on the number of classes'
    ' is left out by itself when that differs.',
    path=paths.local,
  )
  checkpoint_mirror: str | None = settings_lib.setting(
    None, 'A URL to fetch the released checkpoint from, in place of all before its file name.'
  )
  checkpoint_exclude_scopes: str | None = settings_lib.setting(
    None, 'Scopes, separated by commas, of variables that are not restored.'
  )
  checkpoint_include_scopes: str | None = settings_lib.setting(
    None, 'Scopes, separated by commas, of the only variables that are restored. Unset: all.'
  )
  checkpoint_name_map: str | None = settings_lib.setting(
    None,
    'How names in the checkpoint begin, and how they begin here, such as'
    ' old_scope=new_scope,encoder/=InceptionV3/. Either may be empty.',
  )
  trainable_scopes: str | None = settings_lib.setting(
    None, 'Scopes, separated by commas, of the variables to train. Unset: all.'
  )
  freeze_batch_norm: bool = settings_lib.setting(
    False,
    'Whether batch norm normalizes by its moving statistics, as in evaluation, and keeps them as'
    ' they are: outside of --trainable_scopes, or everywhere when all is trained.',
  )
  unfreeze_at_step: int | None = settings_lib.setting(
    None,
    'Up to this step only --trainable_scopes train, then those of --unfreeze_scopes as well.',
    lower=1,
  )
  unfreeze_scopes: str | None = settings_lib.setting(
    None, 'Scopes, separated by commas, of what trains after --unfreeze_at_step. Unset: all.'
  )
  ignore_missing_vars: bool = settings_lib.setting(
    False, 'Whether variables that the checkpoint lacks keep their initial values.'
  )

  def __post_init__(self):
    super().__post_init__()
    parse_name_map(self.checkpoint_name_map)
    for name in (
      'checkpoint_exclude_scopes',
      'checkpoint_include_scopes',
      'checkpoint_mirror',
      'checkpoint_name_map',
      'ignore_missing_vars',
    ):
      if getattr(self, name) and not self.checkpoint_path:
        raise errors.InputError(
          f'--{name} is set, but there is no --checkpoint_path to restore from; give one, or'
          f' leave --{name} out.'
        )
    for name, needed in (
      ('unfreeze_at_step', 'trainable_scopes'),
      ('unfreeze_scopes', 'unfreeze_at_step'),
    ):
      if getattr(self, name) and not getattr(self, needed):
        raise errors.InputError(
          f'--{name}={getattr(self, name)} needs --{needed}, as all trains from the first step on'
          ' without it; set both or neither.'
        )


class RestorePlan(NamedTuple):
  """What becomes of each variable when a checkpoint is restored."""

  checkpoint: str
  restored: dict  # {name in the checkpoint: variable}
  excluded: list  # Variables in one of the excluded scopes, or in none of the included ones.
  skipped_for_shape: list  # Variables of a classifier for other classes.
  missing: list  # Variables that the checkpoint lacks.
  unused: list  # Names in the checkpoint that the net lacks.
  renamed: dict  # {name in the checkpoint: name here} of those restored under another name.


def find(path):
  """Returns the checkpoint at `path`, as the prefix of its files, or the newest in a directory.

  It may have the format V1 or V2; the path of one of its files, such as `.index`, will do.

  Raises:
    InputError: when there is none, or it is of another program.
  """
  if os.path.isdir(path):
    checkpoint = checkpoint_directory.newest(path)
    if checkpoint is None:
      raise errors.InputError(
        foreign_checkpoints.describe(path)
        or f'The directory {path} holds no checkpoint{_describe_state(path)}. Give the path that a'
        ' run wrote to, or the path of a checkpoint.'
      )
    return checkpoint
  checkpoint = _FILE_ENDING.sub('', path)
  if not checkpoint_directory.exists(checkpoint):
    raise errors.InputError(
      foreign_checkpoints.describe(path)
      or f'There is no checkpoint {path}. Give a directory with checkpoints, or the path of one.'
    )
  is_v1 = os.path.isfile(checkpoint)
  if is_v1 and not checkpoint_directory.is_table(checkpoint):
    raise errors.InputError(
      foreign_checkpoints.describe(checkpoint)
      or f'{checkpoint} is damaged, or no checkpoint: its end is missing. Give another one, or'
      ' copy it again.'
    )
  return checkpoint


def _describe_state(directory):
  """Returns what to add on the file `checkpoint` of a directory without checkpoints."""
  if not os.path.lexists(os.path.join(directory, checkpoint_directory.STATE_FILE)):
    return ''
  names = checkpoint_directory.read_state(directory)
  if not names:
    return f', and its file {checkpoint_directory.STATE_FILE} is damaged'
  return f', though its file {checkpoint_directory.STATE_FILE} names {names[-1]}'


def is_file_of_checkpoint(path):
  """Returns whether the file `path` is a checkpoint of the format V1, or one of those of V2."""
  return bool(_FILE_ENDING.search(path)) or checkpoint_directory.is_table(path)


def saved_step(checkpoint):
  """Returns the global step that a checkpoint holds, 0 if it holds none."""
  reader = open_reader(checkpoint)
  if not reader.has_tensor('global_step'):
    return 0
  with explained_damage(checkpoint):
    return int(reader.value('global_step'))


def saved_shapes(checkpoint):
  """Returns {variable name: shape as a list} of a checkpoint of named variables.

  Raises:
    InputError: when it cannot be read, or has the names of Python objects.
  """
  shapes = open_reader(checkpoint).shapes()
  if foreign := foreign_checkpoints.describe_object_based(checkpoint, shapes):
    raise errors.InputError(foreign)
  return shapes


def open_reader(checkpoint):
  """Returns the checkpoint_directory.Reader of a checkpoint. Raises InputError if there is none."""
  with explained_damage(checkpoint):
    return checkpoint_directory.Reader(checkpoint)


@contextlib.contextmanager
def explained_damage(checkpoint):
  """Turns what TensorFlow raises for a damaged checkpoint into an InputError."""
  try:
    yield
  # A cut file raises OutOfRangeError, which a Supervisor would take for the end of the input.
  except (tf.errors.OpError, ValueError, IndexError, RuntimeError, TypeError) as error:
    if isinstance(error, errors.InputError):
      raise
    raise errors.InputError(
      f'The checkpoint {checkpoint} is damaged: {damage(checkpoint) or first_line(error)} Give'
      ' another one, such as the one before, or copy it again.'
    ) from error


def parse_name_map(text):
  """Returns the {beginning in the checkpoint: beginning here} of `--checkpoint_name_map`.

  Raises:
    InputError: when a part of it is no pair.
  """
  pairs = {}
  for part in settings_lib.split_names(text):
    old, _, new = part.partition('=')
    if part.count('=') != 1 or old == new or old in pairs:
      raise errors.InputError(
        f'--checkpoint_name_map={text}: {part!r} does not say how names change. Write old=new,'
        ' such as encoder/=InceptionV3/, each old one once.'
      )
    pairs[old] = new
  return pairs


def _rename(saved, name_map, variables):
  """Returns {name here: name in the checkpoint}, of the names `saved` there.

  Raises:
    InputError: when a pair of `name_map` matches nothing, or two names become the same.
  """
  variable_scopes.check('checkpoint_name_map', name_map, saved, 'in the checkpoint')
  variable_scopes.check('checkpoint_name_map', name_map.values(), variables)
  saved_names = {}
  for name in saved:
    # The longest beginning says more than a shorter one.
    old = max((old for old in name_map if name.startswith(old)), key=len, default=None)
    new_name = name if old is None else name_map[old] + name[len(old) :]
    if new_name in saved_names:
      raise errors.InputError(
        f'--checkpoint_name_map makes {new_name} of both {saved_names[new_name]} and {name}. Write'
        ' longer beginnings, which match one of them.'
      )
    saved_names[new_name] = name
  return saved_names


def plan_restore(
  checkpoint, variables, exclude_scopes=(), num_classes=None, include_scopes=(), name_map=None
):
  """Returns the RestorePlan for `variables`.

  Args:
    checkpoint: as `find` returned it.
    variables: a list of variables, or a dict {name in the checkpoint: variable}.
    exclude_scopes: scopes whose variables keep their initial values.
    num_classes: an int: variables that differ from the checkpoint only in a last dimension of
      this size belong to the classifier, and are skipped. None: nothing may differ.
    include_scopes: scopes outside which all variables keep their initial values; none for all.
    name_map: {beginning of names in the checkpoint: beginning of those in `variables`}.

  Raises:
    InputError: when a scope or a beginning matches nothing, any other shape differs, or nothing
      matches.
  """
  if not isinstance(variables, dict):
    variables = {variable.op.name: variable for variable in variables}
  variable_scopes.check('checkpoint_exclude_scopes', exclude_scopes, variables)
  variable_scopes.check('checkpoint_include_scopes', include_scopes, variables)
  saved_shapes_there = saved_shapes(checkpoint)
  saved_names = _rename(saved_shapes_there, name_map or {}, variables)
  saved = {name: saved_shapes_there[saved_name] for name, saved_name in saved_names.items()}
  unused = sorted(saved_names[name] for name in set(saved) - set(variables))
  plan = RestorePlan(checkpoint, {}, [], [], [], unused, {})
  differing = []
  for name, variable in variables.items():
    shape = variable.shape.as_list()
    is_included = not include_scopes or name.startswith(tuple(include_scopes))
    if not is_included or name.startswith(tuple(exclude_scopes)):
      plan.excluded.append(variable)
    elif name not in saved:
      plan.missing.append(variable)
    elif saved[name] == shape:
      plan.restored[saved_names[name]] = variable
      if saved_names[name] != name:
        plan.renamed[saved_names[name]] = name
    elif num_classes and shape[-1:] == [num_classes] and saved[name][:-1] == shape[:-1]:
      plan.skipped_for_shape.append(variable)
    else:
      differing.append((name, shape, saved[name]))
  if differing:
    name, shape, saved_shape = differing[0]
    raise errors.InputError(
      f'{checkpoint} is of another net, another width of it or another size of images: {name} is'
      f' {saved_shape} there and {shape} here, and so {len(differing)} variables differ.'
      f'{_describe_variant(saved)} Choose the --model_name and the image size that the checkpoint'
      ' was made with.'
    )
  names = [variable.op.name for variable in variables.values()]
  if saved.keys().isdisjoint(own := [name for name in names if name != 'global_step']):
    raise errors.InputError(
      f'{checkpoint} is of another net: it has variables such as {_first(plan.unused)}, none of'
      f' those here, such as {_first(own)}.{_describe_variant(saved)} Choose the --model_name that'
      ' the checkpoint was made with, or say with --checkpoint_name_map how names changed.'
    )
  return plan


def _describe_variant(saved):
  """Returns a sentence on the net that `saved`, {name: shape}, looks like; '' if like none."""
  found = variants.find(saved)
  if found is None:
    return ''
  name, num_channels = found
  gray = ' for gray images (--use_grayscale)' if num_channels == 1 else ''
  return f' The checkpoint looks like {name}{gray}.'


def plan_start(settings, num_classes):
  """Returns the RestorePlan of FineTuningSettings `settings`, or None without a checkpoint."""
  if not settings.checkpoint_path:
    return None
  plan = plan_restore(
    find(settings.checkpoint_path),
    slim.get_model_variables(),
    settings_lib.split_names(settings.checkpoint_exclude_scopes),
    num_classes,
    settings_lib.split_names(settings.checkpoint_include_scopes),
    parse_name_map(settings.checkpoint_name_map),
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

  It may lack what the optimizer keeps of variables that did not train; that starts fresh.

  Raises:
    InputError: when that checkpoint lacks another variable, as after another optimizer.
  """
  checkpoint = checkpoint_directory.newest_of_run(train_dir)
  if checkpoint is None:
    return None
  plan = plan_restore(checkpoint, tf.global_variables())
  missing = [variable.op.name for variable in plan.missing]
  fresh = unfreezing.find_fresh(missing, [*plan.restored, *plan.unused], plan.restored)
  lacking = [name for name in missing if name not in fresh]
  if lacking:
    raise errors.InputError(
      f'{checkpoint} cannot be continued: it lacks {len(lacking)} variables, such as'
      f' {lacking[0]}. Use the flags of the run that wrote it, or another --train_dir'
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
  if plan.renamed:
    old, new = next(iter(plan.renamed.items()))
    lines.append(f'  {len(plan.renamed):5d} of those restored renamed, first {old} to {new}')
  return lines


def make_restore_fn(plan):
  """Returns a function of a session that restores what `plan` says."""
  saver = tf.train.Saver(plan.restored) if plan.restored else None

  def restore(session):
    if saver:
      with explained_damage(plan.checkpoint):
        checkpoint_directory.restore(saver, session, plan.checkpoint)

  return restore


def frozen_batch_norm(settings):
  """Returns the context to build a net in under FineTuningSettings `settings`."""
  trainable = tuple(settings_lib.split_names(settings.trainable_scopes))
  return batch_normalization.frozen(
    lambda name: settings.freeze_batch_norm and not (trainable and name.startswith(trainable))
  )


def make_moving_averages(decay, global_step=None):
  """Returns slim's moving averages of model variables; with a step, early ones decay faster."""
  return tf.train.ExponentialMovingAverage(decay, global_step)


def _first(names):
  return names[0] if names else '(none)'


def damage(checkpoint):
  """Returns what is wrong with a checkpoint, None if all of it can be read."""
  names = [os.path.basename(path) for path in checkpoint_directory.list_files(checkpoint)]
  base = os.path.basename(checkpoint)
  if not checkpoint_directory.exists(checkpoint):
    return f'{base}.index is missing, so it was never finished.'
  data = [name for name in names if name.startswith(f'{base}.data-')]
  table = f'{checkpoint}.index' if f'{base}.index' in names else checkpoint
  if os.path.isfile(table) and not checkpoint_directory.is_table(table):
    return f'The end of {os.path.basename(table)} is missing.'
  if table != checkpoint:
    num_parts = int(data[0].rsplit('-', 1)[1]) if data else 1
    if len(data) < num_parts:
      return f'{num_parts - len(data)} of its {num_parts} files .data are missing.'
  try:
    reader = checkpoint_directory.Reader(checkpoint)
    for name in reader.shapes():
      reader.value(name)
  except (tf.errors.OpError, ValueError, IndexError, RuntimeError, TypeError) as error:
    return first_line(error)
  return None


def first_line(error):
  """Returns what TensorFlow says of an `error`, without where in the graph, as a sentence."""
  text = str(getattr(error, 'message', error)).strip()
  if text.startswith('Graph execution error'):
    text = re.split(r"^Node: '.*'$", text, flags=re.MULTILINE)[-1].strip()
  lines = text.splitlines() or [type(error).__name__]
  return f'{lines[0].rstrip(".")}.'
