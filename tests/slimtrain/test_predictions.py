"""Predictions: in the order of the records, with the digits they have, in files that agree."""

import csv
import types

import numpy as np
import pytest

from slimcompat import errors
from slimtrain import inputs, predictions

NUM = 12


def make(task='single_label', num_classes=4, seed=0, texts=('image/filename', 'camera')):
  """Returns Predictions that a Collector gathered in batches of 5, in another order."""
  rng = np.random.RandomState(seed)
  logits = rng.normal(size=(NUM, num_classes)).astype(np.float32)
  labels = {
    'single_label': rng.randint(num_classes, size=NUM),
    'multi_label': rng.randint(2, size=(NUM, num_classes)).astype(np.float32),
    'regression': rng.normal(size=(NUM, num_classes)).astype(np.float32),
  }[task]
  sources = np.array([(number % 2, number // 2) for number in range(NUM)])
  dataset = types.SimpleNamespace(labels_to_names={1: 'one', 2: 'two, or 2', 3: 'thrée', 4: 'four'})
  data = inputs.Data(dataset, ['/a/x-0', '/a/x-1'], NUM + 3, num_classes, task=task)
  collector = predictions.Collector(data, 1, texts, texts[1] if len(texts) > 1 else None)
  names = np.array([[f'{number}.jpg'.encode(), b'AB'[number % 2 :][:1]] for number in range(NUM)])
  for start in range(0, NUM, 5):
    rows = slice(start, start + 5)
    collector.add(logits[rows], labels[rows], sources[rows], names[rows] if texts else ())
  return collector.finish(), logits, labels


def read(folder):
  with open(folder / predictions.CSV_FILE, encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def column(rows, name):
  return np.array([float(row[name]) for row in rows])


def test_examples_are_in_the_order_of_the_records():
  made, logits, labels = make()
  order = [*range(0, NUM, 2), *range(1, NUM, 2)]
  np.testing.assert_array_equal(made.records, [(n % 2, n // 2) for n in order])
  np.testing.assert_array_equal(made.logits, logits[order])
  np.testing.assert_array_equal(made.labels, labels[order])
  assert made.file_names() == [f'{number}.jpg' for number in order]
  assert made.slices() == ['A'] * 6 + ['B'] * 6
  chosen = made.choose([7, 0])
  assert chosen.file_names() == ['3.jpg', '0.jpg']
  np.testing.assert_array_equal(chosen.logits, made.logits[[7, 0]])


def test_files_of_one_label(tmp_path):
  made, _, _ = make()
  predictions.write(tmp_path, made, 0.5)
  rows = read(tmp_path)
  assert list(rows[0])[:4] == ['file', 'record_file', 'record', 'slice']
  assert (rows[6]['file'], rows[6]['record_file'], rows[6]['record']) == ('1.jpg', 'x-1', '0')
  logits = np.load(tmp_path / predictions.LOGITS_FILE)
  np.testing.assert_array_equal(logits, made.logits)
  # The data number classes from 1.
  np.testing.assert_array_equal(column(rows, 'label'), made.labels + 1)
  np.testing.assert_array_equal(column(rows, 'prediction'), logits.argmax(axis=1) + 1)
  assert rows[0]['label_name'] == made.class_names[made.labels[0]]
  exact = np.exp(logits.astype(float))
  exact /= exact.sum(axis=1, keepdims=True)
  own = exact[np.arange(NUM), made.labels]
  np.testing.assert_allclose(column(rows, 'probability'), exact.max(axis=1), rtol=1e-8)
  np.testing.assert_allclose(column(rows, 'label_probability'), own, rtol=1e-8)
  for number in range(4):
    np.testing.assert_allclose(column(rows, f'probability_{number + 1}'), exact[:, number], 1e-8)
  np.testing.assert_array_equal(column(rows, 'place'), 1 + (exact > own[:, None]).sum(axis=1))
  np.testing.assert_array_equal(column(rows, 'is_right'), logits.argmax(axis=1) == made.labels)


def test_files_of_several_labels(tmp_path):
  made, _, _ = make('multi_label')
  predictions.write(tmp_path, made, 0.6)
  rows = read(tmp_path)
  exact = 1 / (1 + np.exp(-made.logits.astype(float)))
  for index, row in enumerate(rows):
    for name, chosen in (('labels', made.labels > 0), ('predictions', exact >= 0.6)):
      names = [made.class_names[number] for number in np.flatnonzero(chosen[index])]
      assert row[name] == ';'.join(names)
    assert int(row['is_right']) == np.array_equal(made.labels[index] > 0, exact[index] >= 0.6)
  losses = -np.log(np.where(made.labels > 0, exact, 1 - exact)).mean(axis=1)
  np.testing.assert_allclose(column(rows, 'log_loss'), losses, rtol=1e-8)
  np.testing.assert_allclose(column(rows, 'probability_3'), exact[:, 2], rtol=1e-8)


def test_files_of_numbers(tmp_path):
  made, _, _ = make('regression')
  predictions.write(tmp_path, made, 0.5)
  rows = read(tmp_path)
  np.testing.assert_array_equal(column(rows, 'target/four').astype('f4'), made.labels[:, 3])
  np.testing.assert_array_equal(column(rows, 'prediction/one').astype('f4'), made.logits[:, 0])


def test_many_classes_and_records_that_say_nothing(tmp_path):
  made, _, _ = make(num_classes=101, texts=())
  predictions.write(tmp_path, made, 0.5)
  (first, *_) = read(tmp_path)
  assert first['file'] == ''
  assert not {'slice', 'probability_1'} & set(first)
  assert first['label_name'] == made.class_names[made.labels[0]]


def test_large_logits_overflow_nothing(tmp_path):
  made, _, _ = make()
  made.logits[0] = [1000, -1000, 0, 999]
  with np.errstate(all='raise', under='ignore'):
    probabilities = made.probabilities()
  np.testing.assert_allclose(probabilities[0, [0, 3]], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])
  np.testing.assert_allclose(made.probabilities(3), probabilities[:, 3])


def test_models_of_other_classes_are_refused():
  first, other = make()[0], make(num_classes=3)[0]
  with pytest.raises(errors.InputError, match='one has 4, such as one, another 3'):
    predictions.check_same_examples([first, other])
