"""The report on an evaluation: report.html and the files of its figures.

Beside predictions.csv and logits.npy (see slimtrain.predictions) there are

    per_class.csv   a row for each class, or target: label, name, and its figures; nothing where one
                    is not defined
    confusion.csv   a row for each class: its name, and of its examples how many were given each
                    class. Of more than 2,000 classes, a row for each class and prediction that
                    occur together: label, label_name, prediction, prediction_name, count. Of
                    several labels per image, a row for each label: its name, true_negatives,
                    false_positives, false_negatives, true_positives
"""

import math
import os

import numpy as np

from datasets import csv_files
from slimtrain import assessment as assessment_lib
from slimtrain import (
  console,
  files,
  model_facts,
  predictions,
  record_pictures,
  report_page,
  report_plots,
  run_facts,
  run_log,
)

RESULT_FILE = 'eval.json'
REPORT_FILE = 'report.html'
PER_CLASS_FILE = 'per_class.csv'
CONFUSION_FILE = 'confusion.csv'
_NUM_PICTURES = 24
_MAX_MATRIX_CLASSES = 2000  # Of which confusion.csv is a matrix.
_NO_PLOTS = (
  'There are no plots, for matplotlib is not installed. Install it: pip install'
  " 'slimtrain[plots]', or pip install matplotlib."
)


def write(settings, result, predicted, data, checkpoint, attempts):
  """Writes the report into `settings.eval_dir`; returns `result` with what goes into eval.json.

  Args:
    settings: EvaluationSettings.
    result: a dict, as evaluation.evaluate makes it.
    predicted: the Predictions.
    data: the inputs.Data.
    checkpoint: that beside which the run is told of.
    attempts: files.Attempts in that directory; the smallest files come first.
  """
  assessment = assessment_lib.assess(predicted, settings.scoring)
  result = _completed(settings, result, assessment)
  with attempts.writing(RESULT_FILE) as path:
    files.write_json(path, result)
  with attempts.writing(PER_CLASS_FILE) as path:
    _write_csv(path, _class_rows(predicted, assessment))
  if assessment.confusion is not None:
    with attempts.writing(CONFUSION_FILE) as path:
      _write_csv(path, _confusion_rows(predicted, assessment))
  notes = _notes(predicted)
  page = report_page.make(
    _content(settings, result, predicted, assessment, data, checkpoint, notes)
  )
  with attempts.writing(REPORT_FILE) as path:
    files.write_text(path, page)
    console.say(' '.join([f'Report: {path}.', *notes]) if notes else f'Report: {path}')
  with attempts.writing(predictions.CSV_FILE) as path:
    predictions.write_csv(path, predicted, settings.scoring.decision_threshold)
  with attempts.writing(predictions.LOGITS_FILE) as path:
    predictions.write_logits(path, predicted)
  return result


def _completed(settings, result, assessment):
  """Returns `result` with the figures of an Assessment."""
  result = {
    **result,
    'intervals': {tag: list(map(_rounded, ends)) for tag, ends in assessment.intervals.items()},
    'figures': {name: _rounded(value) for name, value in assessment.scalars.items()},
  }
  if settings.slice_key:
    result['slice_key'] = settings.slice_key
    result['slices'] = [
      {name: _rounded(value) for name, value in row.items()} for row in assessment.slices
    ]
  return result


def _notes(predicted):
  """Returns sentences on what the report lacks."""
  notes = [] if report_plots.is_possible() else [_NO_PLOTS]
  if predicted.logits is None:
    notes.append(
      f'There are no curves, no areas below them and no {predictions.LOGITS_FILE}, because'
      f' {len(predicted):,} examples of {len(predicted.class_names):,} classes have too many logits'
      ' to keep.'
    )
  return notes


def _content(settings, result, predicted, assessment, data, checkpoint, notes):
  """Returns the report_page.Content."""
  heading, pictures = _worst(settings, predicted, assessment, data)
  train_dir = _train_dir(checkpoint)
  records = run_log.read(os.path.join(train_dir, run_log.JSONL_FILE))
  can_plot = report_plots.is_possible()
  return report_page.Content(
    f'{settings.model.model_name} on {settings.data.dataset_name},'
    f' {settings.data.dataset_split_name}',
    f'The {result["weights"]} of {result["checkpoint"]}, step {result["global_step"]:,}, evaluated'
    f' {report_page.now()}.',
    result,
    predicted,
    assessment,
    _plots(predicted, assessment, records) if can_plot else {},
    pictures,
    heading,
    _facts(settings, result, checkpoint, train_dir),
    ' '.join(notes),
  )


def _rounded(value):
  """Returns a value as JSON has it: of a float 10 digits, and null for one that is not finite."""
  if not isinstance(value, float):
    return value
  return float(f'{value:.10g}') if math.isfinite(value) else None


def _class_rows(predicted, assessment):
  yield 'label', 'name', *assessment.classes
  columns = assessment.classes.values()
  for number, name in enumerate(predicted.class_names):
    values = [column[number].item() for column in columns]
    texts = ['' if value != value else f'{value:.9g}' for value in values]
    yield number + predicted.labels_offset, name, *texts


def _confusion_rows(predicted, assessment):
  if predicted.task == 'multi_label':
    yield 'name', 'true_negatives', 'false_positives', 'false_negatives', 'true_positives'
    counts = assessment.confusion.reshape(-1, 4)
  elif len(predicted.class_names) > _MAX_MATRIX_CLASSES:
    yield from _confusion_cells(predicted, assessment.confusion)
    return
  else:
    yield 'class', *predicted.class_names
    counts = np.array(assessment.confusion)
  for name, row in zip(predicted.class_names, counts.tolist(), strict=True):
    yield name, *row


def _confusion_cells(predicted, confusion):
  """Yields a row for each pair of a class and a prediction that occurs."""
  yield 'label', 'label_name', 'prediction', 'prediction_name', 'count'
  names, offset = predicted.class_names, predicted.labels_offset
  for label, guess, count in zip(*map(np.ndarray.tolist, confusion[1:]), strict=True):
    yield label + offset, names[label], guess + offset, names[guess], count


def _write_csv(path, rows):
  files.write_text(path, csv_files.to_text(rows))


def _plots(predicted, assessment, records):
  """Returns the {heading: Plots} of the sections."""
  names = predicted.class_names
  plots = {}
  if predicted.task == 'regression':
    plots['Predicted and true'] = report_plots.draw_targets(
      predicted.logits, predicted.labels, names
    )
  else:
    if predicted.task == 'single_label':
      plots['Confusion'] = report_plots.draw_confusion(assessment.confusion, names)
    plots['Curves'] = [
      *report_plots.draw_curves(predicted, assessment),
      report_plots.draw_calibration(assessment.calibration),
    ]
  plots['Training'] = report_plots.draw_training(records)
  return {heading: tuple(drawn) for heading, drawn in plots.items()}


def _worst(settings, predicted, assessment, data):
  """Returns a heading, and report_page.Pictures of the examples that are the most wrong."""
  order = np.argsort(-assessment.losses, kind='stable')
  right = assessment_lib.is_right(predicted, settings.scoring)
  heading = 'The largest errors'
  if right is not None:
    wrong = order[~right[order]]
    heading = 'The worst mistakes' if len(wrong) else 'Right, and the least sure'
    order = wrong if len(wrong) else order
  chosen = order[:_NUM_PICTURES]
  if right is not None and len(chosen) < len(wrong):
    heading += f': {len(chosen)} of {len(wrong):,}'
  images = record_pictures.read(data, settings.data, predicted.records[chosen])
  pictures = []
  names = predicted.file_names()
  for index in chosen:
    file, record = predicted.records[index].tolist()
    source = names[index] or f'{predicted.record_files[file]}, record {record}'
    lines = _describe(settings, predicted.choose([index]))
    pictures.append(report_page.Picture(images.get((file, record)), lines, source))
  return heading, tuple(pictures)


def _describe(settings, one):
  """Returns the lines on Predictions of one example."""
  names = one.class_names
  if one.task == 'regression':
    pairs = zip(names, one.logits[0], one.labels[0], strict=True)
    return tuple(f'{name}: {guess:.4g}, not {true:.4g}' for name, guess, true in list(pairs)[:6])
  if one.task == 'single_label':
    guess, label, summary = one.summary.guesses[0], one.labels[0], one.summary
    shares = [np.exp(logit - summary.log_sums)[0] for logit in (summary.best, summary.own)]
    return f'{names[guess]} ({shares[0]:.1%})', f'is {names[label]} ({shares[1]:.1%})'
  probabilities = one.probabilities()[0]
  predicted, present = probabilities >= settings.scoring.decision_threshold, one.labels[0] > 0
  lines = []
  for words, chosen in (('wrong', predicted & ~present), ('missed', present & ~predicted)):
    if chosen.any():
      listed = ', '.join(
        f'{names[number]} ({probabilities[number]:.0%})' for number in np.flatnonzero(chosen)[:6]
      )
      lines.append(f'{words}: {listed}')
  right = ', '.join(names[number] for number in np.flatnonzero(predicted & present)[:6])
  return (*lines, f'right: {right or "nothing"}')


def _train_dir(checkpoint):
  """Returns the directory with what a run left, for a checkpoint in it or in a folder of it."""
  folder = os.path.dirname(checkpoint)
  parent = os.path.dirname(folder)
  is_in_parent = os.path.exists(os.path.join(parent, run_log.JSONL_FILE))
  has_none = not os.path.exists(os.path.join(folder, run_log.JSONL_FILE))
  return parent if has_none and is_in_parent else folder


def _facts(settings, result, checkpoint, train_dir):
  """Returns what is known of the run and of this evaluation, {name: text}."""
  facts = {
    'checkpoint': result['checkpoint'],
    'evaluated': result['weights'],
    'data': f'{result["dataset"]}, {result["split"]}: {result["examples"]:,} examples',
    'records': settings.data.dataset_dir or '',
  }
  if result.get('skipped'):
    facts['bad records left out'] = f'{result["skipped"]:,}'
  if settings.eval_crops > 1:
    facts['crops of each image'] = settings.eval_crops
  model = model_facts.read(checkpoint)
  if model:
    facts['net'] = f'{model.model_name}, {model.num_classes:,} outputs'
    facts['image size'] = f'{settings.eval_image_size or model.image_size} pixels a side'
    facts['preprocessing'] = model.preprocessing_name
  runs = run_facts.read_runs(os.path.join(train_dir, run_facts.RUN_FILE))
  if runs:
    last = runs[-1]
    facts['trained'] = f'from {runs[0].get("started", "")}, in {len(runs)} runs'
    facts['command'] = report_page.command(map(str, last.get('command', [])))
    facts['parameters'] = f'{last.get("trained_parameters", 0):,} trained'
    facts['versions'] = _listed(last.get('versions'))
    facts['machine'] = _listed(last.get('machine'))
    facts['commit'] = (last.get('git') or {}).get('commit', '')
  return facts


def _listed(values):
  values = values or {}
  return ', '.join(f'{name} {value}' for name, value in values.items() if value)
