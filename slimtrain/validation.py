"""Evaluation in the middle of training: on another split, keeping the best checkpoint.

What was found stands in validation.json in the train_dir: the `metric`, its `value` and the
`global_step` of the checkpoint in the folder best, and the `history`, pairs of a step and the value
there, null if not finite. How long the last gain was ago, and the learning rate of the schedule
plateau, follow from the history up to the step that the run has reached.

An evaluation leaves its summaries, its record in metrics.jsonl, the copy in the folder best, and
its entry in the history, in this order. A run that was killed in between makes what is missing when
it is started again, and nothing twice.
"""

import contextlib
import dataclasses
import math
import os
import re
import shutil

from datasets import state_files, user_files
from slimcompat import checkpoint_directory, errors, tables, tf
from slimtrain import (
  checkpoints,
  console,
  evaluation,
  files,
  inputs,
  metrics,
  model_facts,
  models,
  plateau,
  saving,
)
from slimtrain import settings as settings_lib

STATE_FILE = 'validation.json'
BEST_DIR = 'best'  # In the train_dir: the checkpoint that was best.
_FILE = re.compile(r'model\.ckpt-\d+\.(index|meta|data-\d+-of-\d+)')


@dataclasses.dataclass(frozen=True)
class ValidationSettings(settings_lib.Settings):
  """Validation."""

  eval_split: str | None = settings_lib.setting(
    None, 'The split to evaluate on while training, and at its end. Unset: none.'
  )
  eval_every_epochs: float | None = settings_lib.setting(
    None, 'Epochs between two evaluations. Unset: 1, or --eval_every_steps.', above=0
  )
  eval_every_steps: int | None = settings_lib.setting(
    None, 'Steps between two evaluations, in place of epochs.', lower=1
  )
  keep_best: str | None = settings_lib.setting(
    None,
    'The metric, such as accuracy, by which the best checkpoint is kept in the folder best of'
    ' --train_dir. Moving averages count where they are kept.',
  )
  early_stop_patience: int | None = settings_lib.setting(
    None, 'Evaluations without a gain in --keep_best after which the run ends.', lower=1
  )

  def __post_init__(self):
    super().__post_init__()
    for flag in ('eval_every_epochs', 'eval_every_steps', 'keep_best'):
      if getattr(self, flag) is not None and not self.eval_split:
        raise errors.InputError(
          f'--{flag}={getattr(self, flag)} needs --eval_split, such as validation.'
        )
    if self.eval_every_epochs and self.eval_every_steps:
      raise errors.InputError(
        '--eval_every_epochs and --eval_every_steps exclude each other. Leave one of them out.'
      )
    if self.early_stop_patience and not self.keep_best:
      raise errors.InputError(
        '--early_stop_patience needs --keep_best, the metric whose gains count.'
      )


class _Evaluation(evaluation.EvaluationSettings):
  """One made while training, whose summaries may lie beside those of the script."""

  summaries_name = 'while_training.'


class Validation:
  """The evaluations of a run, each of a checkpoint that was just saved."""

  def __init__(self, settings, data, batch_size, log):
    """Makes them.

    Args:
      settings: TrainingSettings with an `eval_split`.
      data: the inputs.Data that is trained on.
      batch_size: examples in a step.
      log: the run_log.RunLog.

    Raises:
      InputError: when there is no such split or metric.
    """
    self._train_dir = settings.train_dir
    self._validation = settings.validation
    self._log = log
    self._decays = [None]
    if settings.moving_average_decay:
      self._decays.append(settings.moving_average_decay)
    of_data = {
      field.name: getattr(settings.data, field.name)
      for field in dataclasses.fields(inputs.DataSettings)
    }
    of_data['dataset_split_name'] = settings.validation.eval_split
    self._evaluation = _Evaluation(
      report=False,  # Training shall not wait for it.
      eval_image_size=settings.train_image_size,
      model=models.ModelSettings(settings.model.model_name),
      data=inputs.DataSettings(**of_data),
      session=settings.session,
    )
    inputs.load_data(self._evaluation.data)
    self._rate = settings.learning_rate
    self._has_plateau = self._rate.learning_rate_decay_type == 'plateau'
    self._metric = _find_metric(settings.validation.keep_best, data.task, self._has_plateau)
    steps = settings.validation.eval_every_steps
    epochs = settings.validation.eval_every_epochs or 1
    self.interval_steps = steps or max(1, round(epochs * data.num_examples / batch_size))
    self._stride = settings.steps_per_run
    self._is_last = lambda step: step >= (settings.max_number_of_steps or math.inf)
    self._unfinished = []  # Checkpoints whose evaluations found no room.
    self._best_dir = os.path.join(self._train_dir, BEST_DIR)
    self._state = _read_state(self._train_dir)
    if self._metric and self._state.get('metric') != self._metric.name:
      self._state = {'metric': self._metric.name}
    self._history = self._state.setdefault('history', [])

  def start(self, session: tf.Session | None, step: int) -> bool:
    """Makes up for what a kill cut off, and sets the learning rate of a run that goes on at a step.

    Args:
      session: of training; None before there is one.
      step: what the run has reached.

    Returns:
      Whether training is to stop.
    """
    self._history[:] = [entry for entry in self._history if entry[0] <= step]
    for folder, _, _ in self._variants():
      _remove_later_summaries(folder, step)
    with self._kept_going('the best checkpoint'):
      self._check_best()
    self._run_due(self._find_missed(step), session)
    self._set_scale(session)
    return self._is_hopeless()

  def run(self, checkpoint: str, session: tf.Session | None) -> bool:
    """Evaluates a checkpoint in the train_dir; returns whether training is to stop.

    What of it is recorded already is left alone. A disk without room does not end the run: the
    evaluation is then made up for.

    Args:
      checkpoint: just saved.
      session: of training, whose learning rate may fall.
    """
    self._run_due([*self._unfinished, checkpoint], session)
    return self._is_hopeless()

  def _run_due(self, due, session):
    self._unfinished = []
    for path in filter(checkpoint_directory.exists, due):
      with self._kept_going(f'the evaluation of {path}'):
        self._unfinished.append(path)
        self._run(path, session)
        self._unfinished.pop()

  @contextlib.contextmanager
  def _kept_going(self, what):
    """Says that something cannot be written, in place of ending training."""
    try:
      yield
    except (OSError, RuntimeError, tf.errors.OpError) as error:
      is_full = saving.is_full(error)
      if not is_full and not isinstance(error, OSError):
        raise
      why = 'The disk is full' if is_full else f'{error}'.rstrip('.')
      console.say(f'{why}, so {what} is not kept. Make room; it is made up for later.')

  def _run(self, checkpoint, session):
    """Does what is not done yet of the evaluation of a checkpoint."""
    step = checkpoints.saved_step(checkpoint)
    for _, weights, settings in self._variants():
      result = self._find(step, weights)
      if result is None:
        result = evaluation.evaluate(dataclasses.replace(settings, checkpoint_path=checkpoint))
        self._log.add_evaluation(step, self._validation.eval_split, weights, result)
    if self._metric:
      self._compare(checkpoint, step, result.get(f'eval/{self._metric.name}'), session)

  def _variants(self):
    """Returns (folder, name, settings) of each evaluation of a step; the last one is compared."""
    found = []
    for decay in self._decays:
      folder = os.path.join(self._train_dir, 'eval' if decay is None else 'eval_moving_averages')
      settings = dataclasses.replace(
        self._evaluation, eval_dir=folder, use_moving_averages=decay is not None
      )
      found.append((folder, 'raw' if decay is None else 'averages', settings))
    return found

  def _find(self, step, weights):
    """Returns the record of an evaluation, None if there is none with the metric."""
    record = self._log.find_evaluation(step, self._validation.eval_split, weights)
    has_metric = record and (self._metric is None or f'eval/{self._metric.name}' in record)
    return record if has_metric else None

  def _is_recorded(self, step):
    is_compared = self._metric is None or step in [done for done, _ in self._history]
    return is_compared and all(self._find(step, weights) for _, weights, _ in self._variants())

  def _find_missed(self, step):
    """Returns the checkpoints, up to that of a step, whose evaluations are due and not recorded."""
    if self._metric:
      last_step = max((done for done, _ in self._history if done < step), default=0)
    else:
      last_step = self._log.last_evaluation(self._validation.eval_split, step)
    saved = {}
    for path in checkpoint_directory.list_of_run(self._train_dir):
      with contextlib.suppress(errors.InputError):  # A damaged one.
        saved[checkpoints.saved_step(path)] = path
    interval, missed = self.interval_steps, []
    newest = max((number for number in saved if number <= step), default=0)
    for number in sorted(number for number in saved if number <= step):
      since = last_step if number == newest else max(0, number - self._stride)
      is_due = number // interval > since // interval
      if number == newest:
        is_due |= self._is_last(number)
      elif not last_step:
        is_due = False  # It was saved before anything was evaluated.
      if is_due and not self._is_recorded(number):
        missed.append(saved[number])
    return missed

  def _compare(self, checkpoint, step, value, session):
    """Keeps the checkpoint if it is the best, and adds it to the history."""
    value = value if value is not None and math.isfinite(value) else None
    if step not in [done for done, _ in self._history]:
      if self._validation.keep_best and plateau.is_gain(
        value, self._state.get('value'), self._metric.is_lower_better
      ):
        _keep(checkpoint, self._best_dir)
        self._state.update(value=value, global_step=step)
        console.say(f'The best so far: {self._metric.name} {value:g}, kept in {BEST_DIR}.')
      scale_before = self._scale()
      self._history.append([step, value])
      self._history.sort(key=lambda entry: entry[0])
      if self._scale() != scale_before:
        console.say(
          f'{self._rate.plateau_patience} evaluations without a gain in {self._metric.name}: the'
          f' learning rate falls to {self._scale() / scale_before:.4g} of what it was.'
        )
        self._set_scale(session)
    files.write_json(os.path.join(self._train_dir, STATE_FILE), self._state)

  def _is_hopeless(self):
    """Returns whether there was no gain for too long."""
    patience = self._validation.early_stop_patience
    if patience is None or not self._history:
      return False
    values = [value for _, value in self._history]
    *_, num_without_gain = plateau.waits(values, self._metric.is_lower_better)
    if num_without_gain < patience:
      return False
    console.say(
      f'{num_without_gain} evaluations without a gain: training ends. The best,'
      f' {self._metric.name} {self._state.get("value", math.nan):g}, is that of step'
      f' {self._state.get("global_step")}. To go on, raise --early_stop_patience={patience}.'
    )
    return True

  def _check_best(self):
    """Copies the best checkpoint again, or forgets it, when somebody removed the copy."""
    step = self._state.get('global_step')
    if step is None or not self._validation.keep_best:
      return
    prefix = f'model.ckpt-{step}'
    if checkpoint_directory.exists(os.path.join(self._best_dir, prefix)):
      return
    original = os.path.join(self._train_dir, prefix)
    if checkpoint_directory.exists(original):
      _keep(original, self._best_dir)
      return
    console.say(
      f'{self._best_dir} holds the checkpoint of step {step} no longer: the best is found anew'
      ' among those to come.'
    )
    for name in ('global_step', 'value'):
      self._state.pop(name, None)

  def _set_scale(self, session):
    if session is not None:
      plateau.set_scale(session, self._scale())

  def _scale(self):
    """Returns the factor of the learning rate that follows from the history."""
    if not self._has_plateau:
      return 1.0
    return plateau.scale_after(
      [value for _, value in self._history],
      self._rate.learning_rate_decay_factor,
      self._rate.plateau_patience,
      self._metric.is_lower_better,
    )


def _find_metric(name, task, is_needed):
  """Returns the row of METRICS of a name in any case; for None, the task's first if needed."""
  rows = {row.name.lower(): row for row in metrics.METRICS.values() if row.task == task}
  if name is None:
    return next(iter(rows.values())) if is_needed else None
  if name.lower() not in rows:
    known = [row.name for row in rows.values()]
    raise errors.InputError(f'--keep_best: {tables.unknown_name("metric", name, known)}')
  return rows[name.lower()]


@dataclasses.dataclass(frozen=True)
class _State:
  """What validation.json holds; what is None is left out there."""

  metric: str | None = None
  value: float | None = None
  global_step: int | None = None
  history: list[tuple[int, float | None]] = dataclasses.field(default_factory=list)


def _read_state(train_dir):
  state = state_files.read_json(
    os.path.join(train_dir, STATE_FILE),
    _State,
    f'Remove it, and the folder {BEST_DIR} as well: what is best is then found anew.',
  )
  values = {} if state is None else vars(state)
  return {name: value for name, value in values.items() if value is not None}


def _remove_later_summaries(folder, step):
  """Removes the summaries of evaluations after a step, which are to be made again."""
  marker = f'.{_Evaluation.summaries_name}'
  for name in os.listdir(folder) if os.path.isdir(folder) else ():
    _, is_own, number = name.partition(marker)
    if is_own and number.isdigit() and int(number) > step:
      evaluation.remove_summaries(folder, f'{marker}{number}')


def _keep(checkpoint, folder):
  """Makes a checkpoint the only one in `folder`.

  Until the last of its files is there, a reader finds the one before.
  """
  os.makedirs(folder, exist_ok=True)
  source, name = os.path.split(checkpoint)
  new = [one for one in os.listdir(source) if _FILE.fullmatch(one) and one.startswith(f'{name}.')]
  if os.path.exists(os.path.join(source, model_facts.FILE_NAME)):
    new.append(model_facts.FILE_NAME)
  # A checkpoint is there when its index is.
  for file_name in sorted(new, key=lambda one: one.endswith('.index')):
    temporary = os.path.join(folder, f'.{file_name}.tmp')
    try:
      shutil.copyfile(os.path.join(source, file_name), temporary)
      user_files.flush_to_disk(temporary)
      os.replace(temporary, os.path.join(folder, file_name))
    except OSError:
      with contextlib.suppress(OSError):
        os.remove(temporary)
      raise
  prefix = os.path.join(folder, name)
  checkpoint_directory.write_state(folder, [prefix])
  left_over = [one for one in os.listdir(folder) if _is_left_over(one) and one not in new]
  for file_name in sorted(left_over, key=lambda one: not one.endswith('.index')):
    with contextlib.suppress(FileNotFoundError):
      os.remove(os.path.join(folder, file_name))


def _is_left_over(file_name):
  """Returns whether a file in the folder best is of a checkpoint, or what a kill left of a copy."""
  name = file_name.removeprefix('.').removesuffix('.tmp')
  return bool(_FILE.fullmatch(name)) or file_name == f'.{model_facts.FILE_NAME}.tmp'
