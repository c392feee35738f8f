"""Whether an export gives what its checkpoint gives: run in a process of its own, and compared."""

import os
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np

import slimtrain
from slimcompat import errors, tf
from slimtrain import export_graphs, exported_models, models, trained_models


class Comparison(NamedTuple):
  """A model beside the checkpoint that it was made from."""

  name: str
  num_bytes: int
  difference: float  # The largest of any logit.
  scale: float  # The largest logit of the checkpoint, at least 1.
  mean_difference: float  # Of the predictions.
  same_class: float | None  # The share of the images that get the same class; None: no classes.
  accuracy: float | None  # None where no labels are known.
  accuracy_loss: float | None  # Of the checkpoint's.
  chance: float | None  # What of that loss these few images may show by chance.


def run_checkpoint(trained, images):
  """Returns the exported_models.Outputs of the checkpoint itself, evaluated as always."""
  with tf.Graph().as_default(), tf.Session() as session:
    batch = tf.placeholder(tf.float32, [None, *images.shape[1:]])
    logits = export_graphs.build(trained, batch).logits
    outputs = exported_models.Outputs(logits, models.predictions(trained.facts.task, logits))
    trained_models.make_restore_fn(trained)(session)
    return exported_models.run_in_batches(lambda part: session.run(outputs, {batch: part}), images)


def run_export(path, images, files=None):
  """Returns the Outputs of the export at `path`, loaded in a fresh process.

  Args:
    path: of the export.
    images: preprocessed.
    files: a list of the bytes of image files, or None.

  Returns:
    Outputs of the images, and of the files or None.

  Raises:
    InputError: when it cannot be loaded or run.
  """
  values = {
    f'file_{index}': np.frombuffer(file, np.uint8) for index, file in enumerate(files or [])
  }
  # Beside the export, so that what a kill leaves is found there.
  with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(path))) as folder:
    given, made = (os.path.join(folder, name) for name in ('inputs.npz', 'outputs.npz'))
    np.savez(given, images=images, **values)
    finished = subprocess.run(  # noqa: S603
      [sys.executable, '-m', exported_models.__name__, os.path.abspath(path), given, made],
      # Where the package lies, for it need not be installed.
      cwd=os.path.dirname(os.path.dirname(slimtrain.__file__)),
      stdin=subprocess.DEVNULL,
      stderr=subprocess.PIPE,
      text=True,
      check=False,
    )
    if finished.returncode:
      lines = finished.stderr.strip().splitlines() or ['no message']
      raise errors.InputError(
        f'What was exported does not run in a process of its own, and was removed: {lines[-1]}'
      )
    outputs = np.load(made)
    names = exported_models.Outputs._fields
    of_images = exported_models.Outputs(*(outputs[name] for name in names))
    if not files:
      return of_images, None
    return of_images, exported_models.Outputs(*(outputs[f'{name}_of_files'] for name in names))


def size_of(path):
  """Returns the bytes of a file, or of all files in a folder."""
  if not os.path.isdir(path):
    return os.path.getsize(path)
  return sum(
    os.path.getsize(os.path.join(folder, name))
    for folder, _, names in os.walk(path)
    for name in names
  )


def compare(name, num_bytes, outputs, expected, task, labels=None):
  """Returns the Comparison of Outputs with those `expected`, of the checkpoint."""
  has_classes = task == 'single_label'
  accuracy = loss = chance = same = None
  if has_classes:
    found, right = (np.argmax(some.logits, axis=1) for some in (outputs, expected))
    same = float(np.mean(found == right))
    if labels is not None:
      is_right, was_right = found == labels, right == labels
      accuracy = float(is_right.mean())
      loss = float(was_right.mean()) - accuracy
      # Two standard deviations of the sum of those that changed, each of which did so by chance.
      chance = 2 * float(np.sqrt(np.sum(is_right != was_right))) / len(labels)
  return Comparison(
    name,
    num_bytes,
    # Not a number is as far off as can be.
    float(np.nan_to_num(np.abs(outputs.logits - expected.logits), nan=np.inf).max()),
    max(1.0, float(np.abs(expected.logits).max())),
    float(np.nan_to_num(np.abs(outputs.predictions - expected.predictions), nan=np.inf).mean()),
    same,
    accuracy,
    loss,
    chance,
  )


def refuse_difference(comparison, max_difference, is_quantized):
  """Raises InputError when a Comparison differs by more than is allowed.

  Args:
    comparison: the Comparison.
    max_difference: of the logits, relative to the largest of them or to 1; of what is quantized,
      of the accuracy, beyond what is chance, or, without labels, of the predictions on the average.
    is_quantized: whether its weights are of 8 bits.
  """
  if not is_quantized:
    found, noun = comparison.difference / comparison.scale, 'its logits differ by'
  elif comparison.accuracy_loss is not None:
    found, noun = comparison.accuracy_loss, 'its accuracy is lower by'
    max_difference += comparison.chance
  else:
    found, noun = comparison.mean_difference, 'its predictions differ, on the average, by'
  if not found <= max_difference:
    raise errors.InputError(
      f'{comparison.name} is not what the checkpoint is, and was removed: {noun} {found:.2g}, and'
      f' {max_difference:.2g} is allowed. Choose another --format or --tflite_type, calibrate with'
      ' more images, or allow more with --max_difference.'
    )


def table(comparisons):
  """Returns the lines that show Comparisons to a person."""
  rows = [('', 'size', 'largest difference', 'same class', 'accuracy')]
  for row in comparisons:
    rows.append(
      (
        row.name,
        _size(row.num_bytes),
        f'{row.difference:.1e} of {row.scale:.1f}',
        _percent(row.same_class),
        _percent(row.accuracy),
      )
    )
  # A column that says nothing is left out.
  columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
  widths = [max(map(len, column)) for column in columns]
  return [
    '  '.join(
      cell.rjust(width) if index else cell.ljust(width)
      for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in zip(*columns, strict=True)
  ]


def _size(num_bytes):
  return f'{num_bytes / 1e6:.1f} MB' if num_bytes >= 1e6 else f'{num_bytes / 1e3:.0f} kB'


def _percent(share):
  return '' if share is None else f'{share:.2%}'
