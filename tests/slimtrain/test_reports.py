"""The report: alike at any batch size; a page that needs nothing else; files that agree."""

import builtins
import csv
import errno
import functools
import html.parser
import io
import json
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sklearn_metrics

from datasets import records, user_files
from nets import nets_factory
from slimcompat import tf
from slimtrain import (
  assessment,
  evaluation,
  files,
  inputs,
  metrics,
  models,
  predictions,
  report_page,
  report_plots,
  reports,
)
from tests import scenes

NUM = 350


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """350 digits with a camera each, in 3 files, and a LeNet with random weights."""
  folder = tmp_path_factory.mktemp('digits')
  with tf.Graph().as_default():
    data = inputs.load_data(inputs.DataSettings(dataset_name='digits', dataset_split_name='test'))
  found = [record for path in data.files for record in tf.python_io.tf_record_iterator(path)][:NUM]
  for file in range(3):
    with tf.io.TFRecordWriter(str(folder / f'digits_test_{file}.tfrecord')) as writer:
      for number in range(file, NUM, 3):
        example = tf.train.Example.FromString(found[number])
        feature = example.features.feature
        feature[records.FILENAME_KEY].bytes_list.value.append(f'<{number}>.png'.encode())
        if number % 5:
          feature['camera'].int64_list.value.append(number % 2)
        writer.write(example.SerializeToString())
  save_lenet(folder, 10)
  return folder


def save_lenet(folder, num_classes):
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(3)
    nets_factory.get_network_fn('lenet', num_classes)(tf.zeros([1, 28, 28, 1]))
    session.run(tf.global_variables_initializer())
    session.run(tf.train.get_or_create_global_step().initializer)
    tf.train.Saver().save(session, str(folder / 'model.ckpt'), write_meta_graph=False)


def evaluate(folder, eval_dir, batch_size=100, **changes):
  data = inputs.DataSettings(
    dataset_name='tfrecord',
    dataset_split_name='test',
    dataset_dir=str(folder),
    batch_size=batch_size,
    use_grayscale=True,
    layout=records.RecordSettings(num_classes=10),
  )
  settings = evaluation.EvaluationSettings(
    checkpoint_path=str(folder / 'model.ckpt'),
    eval_dir=str(eval_dir),
    model=models.ModelSettings('lenet'),
    data=changes.pop('data', data),
    **changes,
  )
  with tf.Graph().as_default():
    return evaluation.evaluate(settings)


@pytest.fixture(scope='module')
def whole(folder, tmp_path_factory):
  """The eval_dir of the evaluation in one batch."""
  eval_dir = tmp_path_factory.mktemp('whole')
  evaluate(folder, eval_dir, batch_size=NUM, slice_key='camera')
  return eval_dir


def read_csv(path):
  with open(path, encoding='utf-8', newline='') as file:
    return list(csv.DictReader(file))


def flatten(value, path=''):
  """Yields (path, number) of all numbers in what JSON holds."""
  if isinstance(value, dict):
    for key, part in value.items():
      yield from flatten(part, f'{path}/{key}')
  elif isinstance(value, list):
    for index, part in enumerate(value):
      yield from flatten(part, f'{path}/{index}')
  elif isinstance(value, (int, float)):
    yield path, value


@pytest.mark.parametrize('batch_size', [1, 7, 100])
def test_the_batch_size_changes_nothing(folder, whole, tmp_path, batch_size):
  result = evaluate(folder, tmp_path, batch_size, slice_key='camera')
  expected = json.loads((whole / 'eval.json').read_text())
  assert result['examples'] == expected['examples'] == NUM
  assert dict(flatten(result)) == pytest.approx(dict(flatten(expected)), abs=1e-6)
  assert len(dict(flatten(result))) > 25
  # 360 images would be 10 more; random weights must not get all of them wrong.
  assert 0 < result['eval/Accuracy'] < 1
  confusion = (whole / reports.CONFUSION_FILE).read_text()
  assert (tmp_path / reports.CONFUSION_FILE).read_text() == confusion
  for ours, theirs in zip(
    read_csv(tmp_path / reports.PER_CLASS_FILE),
    read_csv(whole / reports.PER_CLASS_FILE),
    strict=True,
  ):
    assert ours.keys() == theirs.keys()
    for name in ours:
      assert float(ours[name]) == pytest.approx(float(theirs[name]), abs=1e-6), name


def test_files_agree_with_each_other_and_scikit_learn(whole):
  rows = read_csv(whole / predictions.CSV_FILE)
  result = json.loads((whole / 'eval.json').read_text())
  assert len(rows) == NUM
  labels, guesses = ([int(row[name]) for row in rows] for name in ('label', 'prediction'))
  assert result['eval/Accuracy'] == pytest.approx(
    sklearn_metrics.accuracy_score(labels, guesses), abs=1e-6
  )
  confusion = list(csv.reader((whole / reports.CONFUSION_FILE).open()))
  np.testing.assert_array_equal(
    np.array(confusion[1:])[:, 1:].astype(int), sklearn_metrics.confusion_matrix(labels, guesses)
  )
  probabilities = np.array([[float(row[f'probability_{n}']) for n in range(10)] for row in rows])
  areas = [float(row['roc_auc']) for row in read_csv(whole / reports.PER_CLASS_FILE)]
  for number in range(10):
    theirs = sklearn_metrics.roc_auc_score(np.array(labels) == number, probabilities[:, number])
    assert areas[number] == pytest.approx(theirs, abs=1e-6)
  logits = np.load(whole / predictions.LOGITS_FILE)
  np.testing.assert_array_equal(logits.argmax(axis=1), guesses)
  # Each row is of the record that it names.
  order = [(row['record_file'], int(row['record'])) for row in rows]
  assert order == sorted(order)
  for row in rows:
    number = 3 * int(row['record']) + int(row['record_file'].split('.')[0][-1])
    assert row['file'] == f'<{number}>.png'
    assert row['slice'] == (str(number % 2) if number % 5 else '')
  slices = {row['slice']: row['examples'] for row in result['slices']}
  assert slices == {'': 70, '0': 140, '1': 140}


class _Page(html.parser.HTMLParser):
  """What a page holds."""

  def __init__(self):
    super().__init__()
    self.tags, self.sources, self.pixels = [], [], 0
    self.texts = []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    attrs = dict(attrs)
    self.sources += [attrs[name] for name in ('src', 'href', 'srcset') if name in attrs]
    self.pixels += attrs.get('class') == 'pixels'

  def handle_data(self, data):
    self.texts.append(data)


def parse(path):
  page = _Page()
  page.feed(path.read_text(encoding='utf-8'))
  return page, ' '.join(page.texts)


def test_the_page_needs_nothing_else(whole):
  page, text = parse(whole / reports.REPORT_FILE)
  assert page.sources
  assert all(source.startswith('data:image/') for source in page.sources)
  assert not {'script', 'link', 'iframe', 'object', 'base', 'form'} & set(page.tags)
  content = (whole / reports.REPORT_FILE).read_text(encoding='utf-8')
  assert 'url(' not in content
  assert '@import' not in content
  assert "default-src 'none'" in content
  # The digits that are the most wrong are there, and their names are no tags.
  assert page.pixels == 24
  assert '.png' in text
  for words in ('Confusion matrix', 'ROC', 'Reliability', 'The worst mistakes', 'By camera'):
    assert words in text, words


def test_the_worst_mistakes_are_the_worst(folder, whole):
  rows = read_csv(whole / predictions.CSV_FILE)
  wrong = [row for row in rows if row['is_right'] == '0']
  worst = sorted(wrong, key=lambda row: float(row['label_probability']))[:24]
  _, text = parse(whole / reports.REPORT_FILE)
  places = [text.index(row['file']) for row in worst]
  assert places == sorted(places)
  assert sum(row['file'] in text for row in rows) == 24


def test_without_matplotlib_the_page_says_so(folder, tmp_path, monkeypatch):
  real = builtins.__import__

  def refuse(name, *args, **kwargs):
    if name.split('.')[0] == 'matplotlib':
      raise ImportError(name)
    return real(name, *args, **kwargs)

  monkeypatch.setattr(builtins, '__import__', refuse)
  evaluate(folder, tmp_path)
  page, text = parse(tmp_path / reports.REPORT_FILE)
  assert 'matplotlib is not installed' in text
  assert len(page.sources) == 24


def test_without_a_report_nothing_is_kept(folder, tmp_path):
  result = evaluate(folder, tmp_path, report=False)
  assert not {'figures', 'intervals'} & set(result)
  names = {path.name for path in tmp_path.iterdir()}
  assert {name for name in names if 'tfevents' not in name} == {'eval.json'}


def test_crops_are_the_mean_of_views(folder, tmp_path):
  """Each view evaluated alone, by a preprocessing that makes just it."""
  evaluate(folder, tmp_path / 'ten', eval_crops=10, max_num_batches=3)
  several = np.load(tmp_path / 'ten' / predictions.LOGITS_FILE)
  assert len(several) == 30  # A batch of 100 crops is of 10 examples.
  rows = read_csv(tmp_path / 'ten' / predictions.CSV_FILE)
  images = []
  for row in rows:
    files = list(tf.python_io.tf_record_iterator(str(folder / row['record_file'])))
    feature = tf.train.Example.FromString(files[int(row['record'])]).features.feature
    image = np.array(Image.open(io.BytesIO(feature['image/encoded'].bytes_list.value[0])))
    # 28 / 0.875 = 32 pixels, of which lenet's preprocessing pads the border with 0.
    images.append(np.pad(image, 2))
  images = np.repeat(np.array(images, np.float32)[..., None], 3, axis=3)
  with tf.Graph().as_default(), tf.Session() as session:
    batch = tf.placeholder(tf.float32, [None, 28, 28, 3])
    gray = (tf.image.rgb_to_grayscale(batch) - 128) / 128
    logits, _ = nets_factory.get_network_fn('lenet', 10)(gray)
    tf.train.Saver().restore(session, str(folder / 'model.ckpt'))
    total = 0
    for top, left in ((2, 2), (0, 0), (0, 4), (4, 0), (4, 4)):
      crop = images[:, top : top + 28, left : left + 28]
      for view in (crop, crop[:, :, ::-1]):
        exponentials = np.exp(session.run(logits, {batch: view}).astype(float))
        total = total + exponentials / exponentials.sum(axis=1, keepdims=True)
  ours = np.exp(several) / np.exp(several).sum(axis=1, keepdims=True)
  np.testing.assert_allclose(ours, total / 10, atol=1e-6)


@pytest.mark.parametrize('task', ['multi_label', 'regression'])
def test_other_tasks(tmp_path, task):
  names = {'multi_label': scenes.SHAPES, 'regression': scenes.TARGETS}[task]
  scenes.write(tmp_path / 'records', task, {'train': 5, 'test': 40}, size=28)
  save_lenet(tmp_path, len(names))
  data = inputs.DataSettings(
    dataset_name='image_folder',
    dataset_split_name='test',
    dataset_dir=str(tmp_path / 'records'),
    batch_size=16,
  )
  result = evaluate(tmp_path, tmp_path / 'eval', data=data)
  rows = read_csv(tmp_path / 'eval' / reports.PER_CLASS_FILE)
  assert [row['name'] for row in rows] == list(names)
  page, text = parse(tmp_path / 'eval' / reports.REPORT_FILE)
  assert page.pixels == 24
  if task == 'multi_label':
    assert np.mean([float(row['average_precision']) for row in rows]) == pytest.approx(
      result['eval/mAP'], abs=1e-6
    )
    assert 'missed: ' in text
  else:
    for row in rows:
      assert float(row['mae']) == pytest.approx(result[f'eval/MAE/{row["name"]}'], rel=1e-5)
    assert not (tmp_path / 'eval' / reports.CONFUSION_FILE).exists()


def test_many_classes_stay_readable(tmp_path):
  num_classes = 300
  rng = np.random.RandomState(0)
  labels = rng.randint(num_classes, size=900)
  logits = rng.normal(size=(900, num_classes)).astype(np.float32)
  logits[np.arange(900), labels] += 3
  made = predictions.Predictions(
    'single_label',
    tuple(f'$class_{number}$ & <more>' for number in range(num_classes)),
    0,
    ('x',),
    logits,
    labels,
    np.stack([np.zeros(900, int), np.arange(900)], axis=1),
  )
  assessed = assessment.assess(made, metrics.MetricSettings())
  whole, part = report_plots.draw_confusion(assessed.confusion, made.class_names)
  assert '12 classes' in part.title
  for plot in (whole, part, *report_plots.draw_curves(made, assessed)):
    width, height = Image.open(io.BytesIO(plot.png)).size
    assert width == 792
    assert 500 < height < 1000
  content = report_page.Content(
    'a', 'b', {'examples': 900, 'figures': {}}, made, assessed, {}, (), '', {}
  )
  page = _Page()
  page.feed(report_page.make(content))
  assert page.tags.count('tr') < 100


@pytest.mark.parametrize(
  'lost',
  [
    ['report.html'],
    ['predictions.csv', 'logits.npy'],
    ['per_class.csv', 'confusion.csv', 'report.html', 'predictions.csv', 'logits.npy'],
  ],
)
def test_what_finds_no_room_is_named_and_all_else_kept(folder, tmp_path, monkeypatch, lost):
  write = user_files.open_atomically

  def fail(path):
    if pathlib.Path(path).name in lost:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    return write(path)

  monkeypatch.setattr(user_files, 'open_atomically', fail)
  with pytest.raises(files.UnwrittenError) as caught:
    evaluate(folder, tmp_path)
  assert str(caught.value).startswith(f'{", ".join(lost)} in {tmp_path} could not be written (No')
  everything = {'eval.json', 'per_class.csv', 'confusion.csv', 'report.html', 'predictions.csv'}
  made = {path.name for path in tmp_path.iterdir() if not path.name.startswith('events')}
  assert made == (everything | {'logits.npy'}) - set(lost)
  assert json.loads((tmp_path / 'eval.json').read_text()) == caught.value.result
  assert len(list(tmp_path.glob('events*'))) == 1


def test_the_metrics_stay_when_there_is_room_for_nothing_else(folder, tmp_path, monkeypatch):
  names, write = [], user_files.open_atomically

  def fail_after_the_first(path):
    names.append(path)
    if len(names) > 1:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    return write(path)

  monkeypatch.setattr(user_files, 'open_atomically', fail_after_the_first)
  with pytest.raises(files.UnwrittenError, match='per_class'):
    evaluate(folder, tmp_path)
  assert json.loads((tmp_path / 'eval.json').read_text())['eval/Accuracy'] > 0


def test_a_size_limit_is_a_sentence(folder, tmp_path):
  command = [
    sys.executable,
    'eval_image_classifier.py',
    '--dataset_name=tfrecord',
    '--dataset_split_name=test',
    f'--dataset_dir={folder}',
    '--num_classes=10',
    '--use_grayscale',
    '--model_name=lenet',
    f'--checkpoint_path={folder}/model.ckpt',
    f'--eval_dir={tmp_path}',
  ]
  limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (70_000, 70_000))
  finished = subprocess.run(  # noqa: S603
    command,
    cwd=pathlib.Path(__file__).parents[2],
    capture_output=True,
    text=True,
    check=False,
    preexec_fn=limit,
  )
  assert finished.returncode == 1
  assert 'eval/Accuracy' in finished.stdout
  assert (tmp_path / 'eval.json').exists()
  (line,) = finished.stderr.splitlines()
  assert 'report.html, predictions.csv in' in line
  assert 'could not be written (File too large)' in line


@pytest.fixture
def small_limits(monkeypatch):
  """As if the 350 digits of 10 classes were very many."""
  monkeypatch.setattr(predictions, '_MAX_LOGITS', 100)
  monkeypatch.setattr(predictions, '_MAX_PROBABILITIES', 9)
  monkeypatch.setattr(reports, '_MAX_MATRIX_CLASSES', 9)


def test_without_logits_all_other_figures_are_the_same(folder, whole, tmp_path, small_limits):
  kept = whole
  (tmp_path / predictions.LOGITS_FILE).write_bytes(b'of an earlier evaluation')
  result = evaluate(folder, tmp_path)
  assert not (tmp_path / predictions.LOGITS_FILE).exists()
  _, text = parse(tmp_path / reports.REPORT_FILE)
  assert '350 examples of 10 classes have too many logits to keep' in text
  before = json.loads((kept / 'eval.json').read_text())
  for tag, ends in before['intervals'].items():
    assert result['intervals'][tag] == pytest.approx(ends)
  for name, value in before['figures'].items():
    is_area = name in ('mean_roc_auc', 'mean_average_precision')
    assert result['figures'][name] == (None if is_area else pytest.approx(value, rel=1e-6)), name
  for name in (predictions.CSV_FILE, reports.PER_CLASS_FILE):
    for row, row_before in zip(read_csv(tmp_path / name), read_csv(kept / name), strict=True):
      for column, cell in row.items():
        if column in ('roc_auc', 'average_precision'):
          assert cell == ''
        elif 'probability' in column:
          assert float(cell) == pytest.approx(float(row_before[column]), rel=1e-5)
        else:
          assert cell == row_before[column], column


def test_confusions_of_many_classes_are_those_that_occur(folder, whole, tmp_path, small_limits):
  kept = whole
  evaluate(folder, tmp_path)
  matrix = np.zeros((10, 10), int)
  rows = read_csv(tmp_path / reports.CONFUSION_FILE)
  for row in rows:
    matrix[int(row['label']), int(row['prediction'])] = row['count']
  assert all(int(row['count']) for row in rows)
  assert all(row['label_name'] == row['label'] for row in rows)
  with open(kept / reports.CONFUSION_FILE, newline='') as file:
    before = np.array(list(csv.reader(file))[1:])[:, 1:].astype(int)
  np.testing.assert_array_equal(matrix, before)
