"""The report on an evaluation: the files of its figures.

Beside predictions.csv and logits.npy (see slimtrain.predictions) there are

    per_class.csv   a row for each class, or target: label, name, and its figures
    confusion.csv   a row for each class: its name, and of its examples how many were given each
                    class; of several labels per image, a row for each label: its name,
                    true_negatives, false_positives, false_negatives, true_positives
"""

import csv
import io
import math
import os

from slimtrain import assessment as assessment_lib
from slimtrain import files, predictions

PER_CLASS_FILE = 'per_class.csv'
CONFUSION_FILE = 'confusion.csv'


def write(settings, result, predicted):
  """Writes the report into `settings.eval_dir`; returns `result` with what goes into eval.json.

  Args:
    settings: EvaluationSettings.
    result: a dict, as evaluation.evaluate makes it.
    predicted: the Predictions.
  """
  assessment = assessment_lib.assess(predicted, settings.scoring)
  directory = settings.eval_dir
  predictions.write(directory, predicted, settings.scoring.decision_threshold)
  _write_csv(os.path.join(directory, PER_CLASS_FILE), _class_rows(predicted, assessment))
  if assessment.confusion is not None:
    _write_csv(os.path.join(directory, CONFUSION_FILE), _confusion_rows(predicted, assessment))
  return {
    **result,
    'intervals': {
      tag: [_rounded(low), _rounded(high)] for tag, (low, high) in assessment.intervals.items()
    },
    'figures': {name: _rounded(value) for name, value in assessment.scalars.items()},
    **(
      {
        'slice_key': settings.slice_key,
        'slices': [
          {name: _rounded(value) for name, value in row.items()} for row in assessment.slices
        ],
      }
      if settings.slice_key
      else {}
    ),
  }


def _rounded(value):
  """Returns a value as JSON has it: of a float 7 digits, and null for one that is not finite."""
  if not isinstance(value, float):
    return value
  return float(f'{value:.7g}') if math.isfinite(value) else None


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
  else:
    yield 'class', *predicted.class_names
    counts = assessment.confusion
  for name, row in zip(predicted.class_names, counts.tolist(), strict=True):
    yield name, *row


def _write_csv(path, rows):
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  files.write_text(path, text.getvalue())
