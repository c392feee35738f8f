"""Evaluation in the middle of training: on another split, keeping the best checkpoint."""

import dataclasses
import json
import os
import shutil

from slimcompat import errors, tables, tf
from slimtrain import console, evaluation, files, inputs, metrics, model_facts, models
from slimtrain import settings as settings_lib

STATE_FILE = 'validation.json'  # In the train_dir: the best so far, and how long ago that was.
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
    self._metric = _find_metric(settings.validation.keep_best, data.task)
    steps = settings.validation.eval_every_steps
    epochs = settings.validation.eval_every_epochs or 1
    self.interval_steps = steps or max(1, round(epochs * data.num_examples / batch_size))
    self._state = _read_state(self._train_dir)

  def run(self, checkpoint):
    """Evaluates a checkpoint in the train_dir; returns whether training is to stop."""
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
    return self._metric is not None and self._compare(checkpoint, result)

  def _compare(self, checkpoint, result):
    """Keeps the checkpoint if it is the best; returns whether none was for too long."""
    value = result[f'eval/{self._metric.name}']
    best = self._state.get('value')
    sign = -1 if self._metric.is_lower_better else 1
    # NaN is never better, and always worse.
    if value == value and (best is None or best != best or sign * value > sign * best):
      self._state = {
        'metric': self._metric.name,
        'value': value,
        'global_step': result['global_step'],
        'num_without_gain': 0,
      }
      _keep(checkpoint, os.path.join(self._train_dir, BEST_DIR))
      console.say(f'The best so far: {self._metric.name} {value:g}, kept in {BEST_DIR}.')
    else:
      self._state['num_without_gain'] = self._state.get('num_without_gain', 0) + 1
    files.write_json(os.path.join(self._train_dir, STATE_FILE), self._state)
    patience = self._validation.early_stop_patience
    if patience is None or self._state['num_without_gain'] < patience:
      return False
    console.say(
      f'{self._state["num_without_gain"]} evaluations without a gain: training ends. The best,'
      f' {self._metric.name} {self._state.get("value", float("nan")):g}, is that of step'
      f' {self._state.get("global_step")}.'
    )
    return True


def _find_metric(name, task):
  """Returns the row of METRICS of a name in any case, None for None."""
  if name is None:
    return None
  rows = {row.name.lower(): row for row in metrics.METRICS.values() if row.task == task}
  if name.lower() not in rows:
    known = [row.name for row in rows.values()]
    raise errors.InputError(f'--keep_best: {tables.unknown_name("metric", name, known)}')
  return rows[name.lower()]


def _read_state(train_dir):
  try:
    with open(os.path.join(train_dir, STATE_FILE), encoding='utf-8') as file:
      return dict(json.load(file))
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
