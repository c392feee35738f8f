"""Evaluations of more than one checkpoint: averaged, compared, listed, or awaited.

`checkpoints.csv` in the eval_dir has a row for each checkpoint that --all_checkpoints or --watch
evaluated: what it is, when it was saved, on what it was evaluated and how, and the metrics. What
has its row there is not evaluated again.
"""

import csv
import dataclasses
import datetime
import hashlib
import io
import os
import time
from typing import NamedTuple

import numpy as np

from datasets import csv_files, user_files
from slimcompat import checkpoint_directory, errors, paths
from slimtrain import (
  assessment,
  checkpoints,
  console,
  evaluation,
  figures,
  files,
  inputs,
  predictions,
  run_facts,
)
from slimtrain import settings as settings_lib

TABLE_FILE = 'checkpoints.csv'
_MAX_TABLE_BYTES = 1 << 28
COMPARISON_FILE = 'compare.json'
DIFFERENCES_FILE = 'compare.csv'
# Flags by whose values a row is known, beside its checkpoint.
_SETTINGS_COLUMNS = (
  'dataset_name',
  'dataset_dir',
  'dataset_split_name',
  'use_moving_averages',
  'eval_image_size',
  'eval_crops',
  'max_num_batches',
)


@dataclasses.dataclass(frozen=True)
class EvaluationRunSettings(evaluation.EvaluationSettings):
  """Run."""

  checkpoint_path: str = settings_lib.setting(
    evaluation.EvaluationSettings.checkpoint_path,
    'A checkpoint, or a directory whose newest one is evaluated; several, separated by commas,'
    ' whose probabilities are averaged; or imagenet: the one that was released for the net, which'
    ' is fetched once.',
    path=paths.local_list,
  )
  all_checkpoints: bool = settings_lib.setting(
    False,
    f'Whether all checkpoints in --checkpoint_path are evaluated, a row each in {TABLE_FILE};'
    ' those that have theirs are left out.',
  )
  watch: bool = settings_lib.setting(
    False,
    'Whether to wait for further checkpoints, and evaluate each once, up to the last step of the'
    ' training that writes them.',
  )
  watch_interval_secs: float = settings_lib.setting(
    5.0, 'watch: the seconds between two looks for checkpoints.', above=0
  )
  watch_timeout_secs: float | None = settings_lib.setting(
    None, 'watch: the seconds without a new checkpoint after which it ends. Unset: any.', above=0
  )
  compare: str | None = settings_lib.setting(
    None,
    'Two checkpoints, or directories, separated by a comma, in place of --checkpoint_path: on which'
    ' examples they differ, and whether that may be chance.',
    path=paths.local_list,
  )

  def __post_init__(self):
    super().__post_init__()
    several = [flag for flag in ('all_checkpoints', 'watch', 'compare') if getattr(self, flag)]
    if len(several) > 1:
      raise errors.InputError(
        f'--{several[0]} and --{several[1]} exclude each other. Leave one of them out.'
      )
    if self.compare and len(paths.split(self.compare)) != 2:
      raise errors.InputError(
        f'--compare={self.compare} must be two checkpoints, or directories, separated by a comma.'
      )
    if (self.watch or self.all_checkpoints) and len(paths.split(self.checkpoint_path)) > 1:
      raise errors.InputError(
        f'--{several[0]} needs one directory, but --checkpoint_path={self.checkpoint_path} are'
        ' several.'
      )
    if self.watch_timeout_secs and not self.watch:
      raise errors.InputError('--watch_timeout_secs needs --watch.')


class _RowSettings(EvaluationRunSettings):
  """Those of a row of the table, which an evaluation that was cut off does not leave twice."""

  @property
  def summaries_name(self) -> str:
    """What the files of summaries are called, by all that tells rows of a step apart."""
    return f'row-{hashlib.sha256(repr(_how(self)).encode()).hexdigest()[:8]}.'


class Task(NamedTuple):
  """What the script is to do."""

  settings: EvaluationRunSettings
  given: set  # The names of the flags that the user gave.

  def complete(self, checkpoint_path):
    """Returns the settings for one checkpoint, or directory. Raises InputError."""
    one = dataclasses.replace(self.settings, checkpoint_path=checkpoint_path)
    return evaluation.complete(one, self.given)


def run(task):
  """Does a Task. Raises InputError."""
  settings = task.settings
  files.check_writable('eval_dir', settings.eval_dir)
  if settings.compare:
    if 'checkpoint_path' in task.given:
      raise errors.InputError(
        '--compare names the checkpoints; leave --checkpoint_path out, or --compare.'
      )
    compare(*map(task.complete, paths.split(settings.compare)))
  elif settings.watch:
    _watch(task)
  elif settings.all_checkpoints:
    _evaluate_all(task)
  else:
    first, *others = map(task.complete, paths.split(settings.checkpoint_path) or [''])
    evaluation.evaluate(first, others)


def compare(first, second):
  """Evaluates two models on the same examples; returns what it writes to compare.json, a dict.

  Args:
    first: EvaluationSettings; its eval_dir gets the files.
    second: EvaluationSettings.

  Raises:
    InputError: when the task knows no right and wrong, or the models differ in their classes.
  """
  task = inputs.load_data(first.data).task
  if task == 'regression':
    raise errors.InputError(
      'The task of the dataset is regression, and --compare counts what is right and what is wrong.'
      ' Evaluate both models, and compare eval.json.'
    )
  passes = evaluation.run_passes(
    [first, second], keeps_predictions=True, keeps_logits=task == 'multi_label'
  )
  both = [one.predictions for one in passes]
  predictions.check_same_examples(both)
  right = [assessment.is_right(one, first.scoring) for one in both]
  only_first, only_second = right[0] & ~right[1], right[1] & ~right[0]
  low, high = figures.bootstrap_interval(right[1].astype(int) - right[0])
  result = {
    'checkpoints': [one.checkpoint for one in passes],
    'weights': [one.weights for one in passes],
    'dataset': first.data.dataset_name,
    'split': first.data.dataset_split_name,
    'examples': passes[0].num_examples,
    'right': [int(one.sum()) for one in right],
    'only_first_right': int(only_first.sum()),
    'only_second_right': int(only_second.sum()),
    'difference': float(right[1].mean() - right[0].mean()),
    'difference_interval': [low, high],
    'p_value': figures.mcnemar(*right),
    'metrics': [{tag: float(value) for tag, value in one.values.items()} for one in passes],
  }
  for number, one in enumerate(passes):
    share = result['right'][number] / one.num_examples
    console.say(f'{"AB"[number]}  {share:.4%} right  {one.checkpoint}')
  console.say(
    f'Only A is right on {result["only_first_right"]} examples, only B on'
    f' {result["only_second_right"]}. B less A: {result["difference"]:+.4%}, in 95% of the draws of'
    f' the bootstrap {low:+.4%} to {high:+.4%}.'
  )
  meaning = 'that is hardly chance.' if result['p_value'] < 0.05 else 'that may be chance.'
  console.say(
    f'Models that are equally good differ so much with the probability {result["p_value"]:.3g}'
    f" (McNemar's test): {meaning}"
  )
  directory = first.eval_dir
  path = os.path.join(directory, COMPARISON_FILE)
  files.write_json(path, result)
  files.write_text(
    os.path.join(directory, DIFFERENCES_FILE),
    csv_files.to_text(
      csv_files.to_rows(
        _differences(both, only_first, only_second, first.scoring.decision_threshold)
      )
    ),
  )
  console.say(f'{path} has the figures, {DIFFERENCES_FILE} the examples of which one is right.')
  return result


def _differences(both, only_first, only_second, threshold):
  """Returns the rows on the examples of which one is right, as dicts."""
  chosen = only_first | only_second
  columns = [predictions.columns(one.choose(chosen), threshold) for one in both]
  names = [name for name in columns[0] if not name.startswith('probability_')]
  rows = []
  for index, is_first in enumerate(only_first[chosen]):
    row = {'right': 'A' if is_first else 'B'}
    for name in names:
      values = [part[name][index] for part in columns]
      if name in predictions.OF_EXAMPLE:
        row[name] = values[0]
      else:
        row.update({f'{name}_{letter}': value for letter, value in zip('AB', values, strict=True)})
    rows.append(row)
  return rows


def _evaluate_all(task):
  settings = task.settings
  directory = settings.checkpoint_path
  found = _list_checkpoints(directory, set())
  if not found:
    checkpoints.find(directory)  # Says what is missing.
    raise errors.InputError(f'--all_checkpoints: {directory} is no directory with checkpoints.')
  rows = _read_table(settings)
  pending = [path for path in found if not _find_row(rows, settings, path)]
  console.say(f'{len(found)} checkpoints, {len(found) - len(pending)} of them evaluated before.')
  for path in pending:
    # The page would be overwritten by the next one.
    _evaluate_one(task, path, settings.report and path == pending[-1])
  rows = _read_table(settings)
  _show(settings, filter(None, (_find_row(rows, settings, path) for path in found)))


def _watch(task):
  settings = task.settings
  directory = settings.checkpoint_path
  if not os.path.isdir(directory):
    raise errors.InputError(
      f'--watch: there is no directory {directory}. Give that which training writes to.'
    )
  console.say(f'Watching {directory}.')
  gone, damaged = set(), set()
  last_time = time.monotonic()
  while True:
    is_over = _is_over(directory)  # Before looking: what is written then is seen.
    found = _list_checkpoints(directory, damaged)
    rows = _read_table(settings)
    pending = [path for path in found if path not in gone and not _find_row(rows, settings, path)]
    for path in pending:
      if not _evaluate_one(task, path, settings.report):
        gone.add(path)
    if pending:
      last_time = time.monotonic()
      continue
    timeout_secs = settings.watch_timeout_secs
    if is_over:
      console.say('Training has ended.')
      break
    if timeout_secs and time.monotonic() - last_time > timeout_secs:
      console.say(f'No new checkpoint for {timeout_secs:g} seconds.')
      break
    time.sleep(settings.watch_interval_secs)
  # Also those that are gone by now.
  how = _how(settings).items()
  _show(settings, (row for row in rows if how <= row.items()))


def _is_over(directory):
  """Returns whether the training that writes to `directory` has made its last step."""
  runs = run_facts.read_runs(os.path.join(directory, run_facts.RUN_FILE))
  last_step = runs[-1].get('last_step') if runs else None
  newest = checkpoint_directory.newest(directory)
  return bool(last_step and newest) and checkpoints.saved_step(newest) >= last_step


def _list_checkpoints(directory, damaged):
  """Returns the checkpoints in a directory by their steps.

  Those that cannot be read are left out, and added to the set `damaged` when that has been said.
  """
  steps = {}
  for path in checkpoint_directory.list_all(directory):
    try:
      steps[path] = checkpoints.saved_step(path)
    except errors.InputError:
      if checkpoint_directory.exists(path) and path not in damaged:
        console.say(f'{path} is damaged, and left out.')
        damaged.add(path)
  return sorted(steps, key=lambda path: (steps[path], path))


def _saved(checkpoint):
  """Returns when a checkpoint was written, in UTC, '' when it is gone."""
  for path in (f'{checkpoint}.index', checkpoint):
    if os.path.exists(path):
      moment = datetime.datetime.fromtimestamp(os.path.getmtime(path), datetime.timezone.utc)
      return moment.isoformat(timespec='milliseconds')
  return ''


def _evaluate_one(task, checkpoint, has_report):
  """Evaluates a checkpoint and adds its row; returns whether that was possible."""
  saved = _saved(checkpoint)
  unwritten = None
  try:
    settings = dataclasses.replace(task.complete(checkpoint), report=has_report)
    settings = _RowSettings(
      **{field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    )
    result = evaluation.evaluate(settings)
  except files.UnwrittenError as error:
    unwritten, result = error, error.result
  except errors.InputError:
    if checkpoint_directory.exists(checkpoint):
      raise
    console.say(f'{checkpoint} is gone: training keeps only the newest ones.')
    return False
  metrics = {tag: value for tag, value in result.items() if tag.startswith('eval/')}
  row = {
    **_identity(task.settings, checkpoint, saved),
    'global_step': result['global_step'],
    'weights': result['weights'],
    'examples': result['examples'],
    **metrics,
  }
  rows = [*_read_table(task.settings), row]
  files.write_text(
    os.path.join(settings.eval_dir, TABLE_FILE), csv_files.to_text(csv_files.to_rows(rows))
  )
  if unwritten:
    raise unwritten
  return True


def _identity(settings, checkpoint, saved):
  """Returns the columns, all text, by which a row is known."""
  return {'checkpoint': os.path.basename(checkpoint), 'saved': saved, **_how(settings)}


def _how(settings):
  """Returns the columns that say on what and how a checkpoint was evaluated."""
  values = {name: settings_lib.find(settings, name) for name in _SETTINGS_COLUMNS}
  return {name: '' if value is None else str(value) for name, value in values.items()}


def _find_row(rows, settings, checkpoint):
  """Returns the row of a checkpoint under these settings, or None."""
  identity = _identity(settings, checkpoint, _saved(checkpoint))
  return next((row for row in rows if identity.items() <= row.items()), None)


def _read_table(settings):
  path = os.path.join(settings.eval_dir, TABLE_FILE)
  try:
    content = user_files.read_bytes(path, _MAX_TABLE_BYTES).decode()
    rows = csv_files.read_records(io.StringIO(content, newline=''))
    for row in rows:
      int(row['global_step']), row['checkpoint']
    return rows
  except FileNotFoundError:
    return []
  except (OSError, ValueError, KeyError, csv.Error) as error:
    raise errors.InputError(
      f'{path} is damaged ({error}). Remove it: the checkpoints are then evaluated again.'
    ) from error


def _show(settings, shown):
  """Prints rows, in the order of their steps."""
  shown = sorted(shown, key=lambda row: int(row['global_step']))
  tags = list(dict.fromkeys(tag for row in shown for tag in row if tag.startswith('eval/')))
  heads = ['step', 'weights', 'examples', *(tag.removeprefix('eval/') for tag in tags)]
  names = ['global_step', 'weights', 'examples', *tags]
  lines = [heads, *([row.get(name) or '' for name in names] for row in shown)]
  widths = np.max([[len(cell) for cell in line] for line in lines], axis=0)
  for line in lines:
    console.say('  '.join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
  console.say(f'Rows: {os.path.join(settings.eval_dir, TABLE_FILE)}')
