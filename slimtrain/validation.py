"""Evaluation in the middle of training: on another split, keeping the best checkpoint.

What was found stands in validation.json in the train_dir: the `metric`, its `value` and the
`global_step` of the checkpoint in the folder best, and the `history`, pairs of a step and the value
there, null if not finite. How long the last gain was ago, and the learning rate of the schedule
plateau, follow from the history up to the step that the run has reached.
"""

import dataclasses
import json
import math
import os
import shutil

from slimcompat import errors, tables, tf
from slimtrain import console, evaluation, files, inputs, metrics, model_facts, models, plateau
from slimtrain import settings as settings_lib

STATE_FILE = 'validation.json'
BEST_DIR = 'best'  # In the train_dir: the checkpoint that was best.


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
    self._evaluation = evaluation.EvaluationSettings(
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
    self._state = _read_state(self._train_dir)
    if self._metric and self._state.get('metric') != self._metric.name:
      self._state = {'metric': self._metric.name}
    self._history = self._state.setdefault('history', [])

  def start(self, session, step):
    """Makes the session of a run that has reached a step as it was there.

    Returns:
      Whether the evaluation at that step is missing, as when the run was killed before its end.
    """
    self._history[:] = [entry for entry in self._history if entry[0] <= step]
    plateau.set_scale(session, self._scale())
    if self._metric is None:
      return False
    last_step = self._history[-1][0] if self._history else 0
    return step // self.interval_steps > last_step // self.interval_steps

  def run(self, checkpoint, session):
    """Evaluates a checkpoint in the train_dir; returns whether training is to stop.

    Args:
      checkpoint: just saved.
      session: of training, whose learning rate may fall.
    """
    for decay in self._decays:
      folder = 'eval' if decay is None else 'eval_moving_averages'
      result = evaluation.evaluate(
        dataclasses.replace(
          self._evaluation,
          checkpoint_path=checkpoint,
          eval_dir=os.path.join(self._train_dir, folder),
          use_moving_averages=decay is not None,
        )
      )
      self._log.add_evaluation(
        result['global_step'],
        self._validation.eval_split,
        'raw' if decay is None else 'averages',
        result,
      )
    return self._metric is not None and self._compare(checkpoint, result, session)

  def _compare(self, checkpoint, result, session):
    """Keeps the checkpoint if it is the best; returns whether none was for too long."""
    value, step = result[f'eval/{self._metric.name}'], result['global_step']
    value = value if math.isfinite(value) else None
    is_lower_better = self._metric.is_lower_better
    scale_before = self._scale()
    self._history.append([step, value])
    if self._scale() != scale_before:
      console.say(
        f'{self._rate.plateau_patience} evaluations without a gain in {self._metric.name}: the'
        f' learning rate falls to {self._scale() / scale_before:.4g} of what it was.'
      )
      plateau.set_scale(session, self._scale())
    if self._validation.keep_best and plateau.is_gain(
      value, self._state.get('value'), is_lower_better
    ):
      _keep(checkpoint, os.path.join(self._train_dir, BEST_DIR))
      self._state.update(value=value, global_step=step)
      console.say(f'The best so far: {self._metric.name} {value:g}, kept in {BEST_DIR}.')
    files.write_json(os.path.join(self._train_dir, STATE_FILE), self._state)
    patience = self._validation.early_stop_patience
    *_, num_without_gain = plateau.waits([value for _, value in self._history], is_lower_better)
    if patience is None or num_without_gain < patience:
      return False
    console.say(
      f'{num_without_gain} evaluations without a gain: training ends. The best,'
      f' {self._metric.name} {self._state.get("value", math.nan):g}, is that of step'
      f' {self._state.get("global_step")}.'
    )
    return True

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


def _read_state(train_dir):
  try:
    with open(os.path.join(train_dir, STATE_FILE), encoding='utf-8') as file:
      state = dict(json.load(file))
      state['history'] = [[int(step), value] for step, value in state.get('history', [])]
      return state
  except FileNotFoundError:
    return {}
  except (ValueError, TypeError) as error:
    raise errors.InputError(
      f'{os.path.join(train_dir, STATE_FILE)} is damaged ({error}). Remove it: what is best is then'
      ' found anew.'
    ) from error


def _keep(checkpoint, folder):
  """Makes a checkpoint the only one in `folder`; until it is, the one before stays."""
  os.makedirs(folder, exist_ok=True)
  old = set(os.listdir(folder))
  name = os.path.basename(checkpoint)
  new = [f for f in os.listdir(os.path.dirname(checkpoint)) if f.startswith(f'{name}.')]
  new.append(model_facts.FILE_NAME)
  for file_name in new:
    temporary = os.path.join(folder, f'.{file_name}.tmp')
    try:
      shutil.copyfile(os.path.join(os.path.dirname(checkpoint), file_name), temporary)
    except OSError:
      os.remove(temporary)
      raise
    os.replace(temporary, os.path.join(folder, file_name))
  prefix = os.path.join(folder, name)
  tf.train.update_checkpoint_state(folder, prefix, [prefix])
  for file_name in old - {*new, 'checkpoint'}:
    os.remove(os.path.join(folder, file_name))
