"""How far an export may be from its checkpoint, and the table that shows it."""

import contextlib

import numpy as np
import pytest

from slimcompat import errors
from slimtrain import export_check, exported_models


def compare(logits, expected, labels=None, task='single_label'):
  made = (
    exported_models.Outputs(np.array(values, np.float32), np.array(values, np.float32))
    for values in (logits, expected)
  )
  return export_check.compare('it', 1, *made, task, labels)


@pytest.mark.parametrize(
  ('logits', 'is_allowed'),
  [(4.00001, True), (4.0001, False), (float('nan'), False)],
)
def test_logits_may_differ_by_rounding_alone(logits, is_allowed):
  comparison = compare([[1, logits]], [[1, 4]])
  with contextlib.nullcontext() if is_allowed else pytest.raises(errors.InputError):
    export_check.refuse_difference(comparison, 1e-5, False)


@pytest.mark.parametrize(('num_wrong', 'is_allowed'), [(0, True), (2, True), (30, False)])
def test_accuracy_may_fall_a_little(num_wrong, is_allowed):
  expected = np.tile([[1, 0]], [100, 1])
  logits = expected.copy()
  logits[:num_wrong] = [[0, 1]]
  comparison = compare(logits, expected, np.zeros(100))
  assert comparison.same_class == comparison.accuracy == 1 - num_wrong / 100
  with contextlib.nullcontext() if is_allowed else pytest.raises(errors.InputError):
    export_check.refuse_difference(comparison, 0.02, True)


def test_the_table_is_readable():
  rows = [compare([[1, 4]], [[1, 4]], np.ones(1))]
  rows.append(rows[0]._replace(name='longer', num_bytes=2500000))
  assert export_check.table(rows) == [
    '          size  largest difference  same class  accuracy',
    'it        0 kB      0.0e+00 of 4.0     100.00%   100.00%',
    'longer  2.5 MB      0.0e+00 of 4.0     100.00%   100.00%',
  ]
