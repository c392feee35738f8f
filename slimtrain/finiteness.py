"""The check that a step's loss and gradients are finite, before anything of it is written."""

import contextlib
import re

import numpy as np

from slimcompat import checkpoint_directory, errors, tf

_MARK = 'Not finite:'
_NUM_LISTED = 5
_FIELDS = ('loss', 'step', 'learning_rate', 'names', 'norms', 'files', 'numbers')


class NotFiniteError(errors.InputError):
  """A loss or gradients that are not finite; the weights are still those of the step before."""


def check(loss, gradients, step, learning_rate, records):
  """Returns an op that fails when `loss` or one of `gradients` is not finite.

  The norms of the gradients are computed for it, each step: TensorFlow makes them once where
  gradients are clipped by norm, too.

  Args:
    loss: scalar.
    gradients: (gradient or None, variable) pairs; none leaves them unchecked.
    step: scalar, the number of the step.
    learning_rate: scalar.
    records: int64 `[batch, 2]`, of inputs.Batches.
  """
  gradients = [(grad, variable) for grad, variable in gradients if grad is not None]
  names = tf.constant([variable.op.name for _, variable in gradients], tf.string)
  norms = [tf.sqrt(2 * tf.nn.l2_loss(_values(grad))) for grad, _ in gradients]
  norms = tf.stack(norms) if norms else tf.zeros([0])
  is_finite = tf.logical_and(tf.is_finite(loss), tf.reduce_all(tf.is_finite(norms)))
  files, numbers = tf.unstack(records, axis=1)
  data = [_MARK, loss, step, learning_rate, names, norms, files, numbers]
  return tf.debugging.Assert(is_finite, data, summarize=1 << 20)


def _values(gradient):
  return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


@contextlib.contextmanager
def explained(data, train_dir):
  """Turns the error of `check` into a NotFiniteError.

  Args:
    data: the inputs.Data.
    train_dir: where the run's checkpoints are.
  """
  try:
    yield
  except tf.errors.InvalidArgumentError as error:
    fields = _parse(error.message)
    if fields is None:
      raise
    raise NotFiniteError(
      f'{_describe(fields, data)} {_last_good(train_dir)}. Lower --learning_rate, or'
      ' limit the gradients, for instance with --clip_gradients_by_global_norm=1.'
    ) from error


def _parse(message):
  """Returns what `check` put into the error's `message` by name, None if it is not of `check`."""
  _, is_ours, rest = message.partition(f'[{_MARK}]')
  if not is_ours:
    return None
  parts = re.findall(r'\[([^\]]*)\]', rest)[: len(_FIELDS)]
  return {name: part.split() for name, part in zip(_FIELDS, parts, strict=True)}


def _describe(fields, data):
  names, norms = fields['names'], np.array(fields['norms'], float)
  is_loss = not np.isfinite(float(fields['loss'][0]))
  what = 'The loss is' if is_loss else 'The loss is finite but not the gradients: it is'
  sentences = [
    f'{what} {fields["loss"][0]} at step {fields["step"][0]}, with the learning rate'
    f' {float(fields["learning_rate"][0]):.4g}.'
  ]
  if norms.size:
    # Those that are not finite first, then by size.
    order = sorted(range(norms.size), key=lambda i: (np.isfinite(norms[i]), -norms[i]))
    listed = [f'{names[i]} {norms[i]:.3g}' for i in order[:_NUM_LISTED]]
    sentences.append(f'The largest gradients, by norm: {", ".join(listed)}.')
  records = {}
  for file, number in zip(fields['files'], fields['numbers'], strict=True):
    records.setdefault(int(file), []).append(number)
  listed = [f'{", ".join(records[file])} of {data.files[file]}' for file in sorted(records)]
  sentences.append(f'The batch held the records (counted from 0) {"; ".join(listed)}.')
  return ' '.join(sentences)


def _last_good(train_dir):
  newest = checkpoint_directory.newest_of_run(train_dir)
  return f'{newest} is the last good checkpoint' if newest else 'There is no checkpoint yet'
