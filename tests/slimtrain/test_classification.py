"""classify_images.py: what evaluation says of each image, of files of every kind, for each task."""

import csv
import dataclasses
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from datasets import image_folder, record_files
from slimcompat import errors, tf
from slimtrain import (
  batch_source,
  classification,
  evaluation,
  export,
  exported_models,
  inference,
  inputs,
  model_facts,
  models,
  trained_models,
  training,
)
from slimtrain import settings as settings_lib
from tests import scenes, shapes

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = 28
NET = 'lenet'


def train(dataset_dir, train_dir, **flags):
  """Trains as many steps as it takes for images to have different probabilities."""
  training.train(
    settings_lib.replace(
      training.TrainingSettings(),
      dataset_name='image_folder',
      dataset_dir=str(dataset_dir),
      train_dir=str(train_dir),
      model_name=NET,
      train_image_size=SIZE,
      batch_size=8,
      max_number_of_steps=30,
      optimizer='adam',
      opt_epsilon=1e-8,
      learning_rate=0.003,
      seed=1,
      deterministic_input=True,
      **flags,
    )
  )


def write_odd_files(folder):
  """Writes the same kind of picture as files of every sort that converting takes."""
  os.makedirs(folder)
  rng = np.random.RandomState(3)
  picture = shapes.draw(rng, 4, 64).crop((0, 0, 64, 48))
  turned = Image.Exif()
  turned[0x0112] = 6
  picture.save(folder / 'turned.jpg', exif=turned)
  picture.save(folder / 'turned.png', exif=turned)
  picture.save(folder / 'plain.png')
  picture.save(folder / 'plain.bmp')
  picture.save(folder / 'plain.gif')
  picture.save(folder / 'plain.webp')
  picture.save(folder / 'upper.JPG', 'JPEG')
  picture.convert('L').save(folder / 'gray.jpg')
  picture.convert('CMYK').save(folder / 'cmyk.jpg')
  picture.convert('P').save(folder / 'palette.png')
  with_alpha = picture.convert('RGBA')
  with_alpha.putalpha(Image.fromarray(rng.randint(0, 255, (48, 64), np.uint8)))
  with_alpha.save(folder / 'alpha.png')
  deep = rng.randint(0, 65535, (48, 64)).astype(np.uint16)
  Image.fromarray(deep).save(folder / 'deep.png')
  pictures = [picture, picture.rotate(90)]
  pictures[0].save(folder / 'animated.gif', save_all=True, append_images=pictures[1:])


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """Shapes and odd files, converted, and a net trained on them with moving averages."""
  root = tmp_path_factory.mktemp('classification')
  shapes.write(root / 'images', images_per_class=8, size=64)
  write_odd_files(root / 'images' / 'odd')
  image_folder.convert(
    str(root / 'images'), str(root / 'data'), validation_fraction=0.5, num_shards=2
  )
  train(root / 'data', root / 'run', preprocessing_name='cifarnet', moving_average_decay=0.9)
  return root


def settings(root, *images, run='run', **flags):
  flags = {'checkpoint_path': str(root / run), **flags}
  return settings_lib.replace(
    classification.ClassificationSettings(), images=tuple(map(str, images)), **flags
  )


def classify(root, tmp_path, *images, **flags):
  """Returns the rows of the CSV that classifying `images` writes, in their order."""
  path = tmp_path / 'found.csv'
  classification.classify(settings(root, *images, output_file=str(path), overwrite=True, **flags))
  with open(path, newline='') as file:
    return list(csv.DictReader(file))


def evaluated_probabilities(dataset_dir, run):
  """Returns {name of the image file: probabilities or numbers} as evaluation has them."""
  trained = trained_models.find(str(run))
  facts = trained.facts
  data_settings = inputs.DataSettings(
    dataset_name='image_folder',
    dataset_dir=str(dataset_dir),
    dataset_split_name='validation',
    batch_size=7,
    preprocessing_name=facts.preprocessing_name,
    use_grayscale=facts.use_grayscale,
  )
  data = inputs.load_data(data_settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, data_settings, NET, facts.image_size)
    batch = batch_source.BatchSource(batches, 60).next_batch()
    logits = models.build_model(models.ModelSettings(NET), batch.images, data.num_classes).logits
    result = {'multi_label': tf.sigmoid, 'single_label': tf.nn.softmax}.get(facts.task, tf.identity)
    result = result(logits)
    restore = trained_models.make_restore_fn(trained)
    session.run([tf.local_variables_initializer(), tf.tables_initializer()])
    restore(session)
    found = {}
    while len(found) < data.num_examples:
      records, values = session.run([batch.records, result])
      found.update(zip(map(tuple, records), values, strict=True))
  by_name = {}
  for index, path in enumerate(data.files):
    for number, frame in enumerate(record_files.read_frames(path)):
      features = tf.train.Example.FromString(frame.payload).features.feature
      names = features['image/filename'].bytes_list.value
      name = names[0].decode() if names else f'{path}:{number}'
      by_name[name] = found[index, number]
  return by_name


def assert_ranked(row, expected, class_names):
  order = np.argsort(-expected, kind='stable')
  for rank, number in enumerate(order, start=1):
    assert row[f'class_{rank}'] == class_names[number]
    assert float(row[f'probability_{rank}']) == pytest.approx(expected[number], abs=1e-5)


def test_says_of_every_file_what_evaluation_says_of_its_record(root, tmp_path):
  expected = evaluated_probabilities(root / 'data', root / 'run')
  names = sorted(expected)
  # All sorts of files are in the split, the odd ones at least by the other half's names.
  rows = classify(root, tmp_path, *(root / 'images' / name for name in names))
  class_names = (*sorted((*shapes.CLASSES, 'odd')),)
  assert len(rows) == len(names) >= 18
  # Otherwise all that follows would say little.
  assert np.std([expected[name] for name in names], axis=0).max() > 0.02
  for name, row in zip(names, rows, strict=True):
    assert row['path'] == str(root / 'images' / name)
    assert_ranked(row, expected[name], class_names)
  result = evaluation.evaluate(
    settings_lib.replace(
      evaluation.EvaluationSettings(),
      checkpoint_path=str(root / 'run'),
      eval_dir=str(tmp_path),
      dataset_name='image_folder',
      dataset_dir=str(root / 'data'),
      dataset_split_name='validation',
      model_name=NET,
      eval_image_size=SIZE,
      preprocessing_name='cifarnet',
    )
  )
  right = [row['class_1'] == name.split('/')[0] for name, row in zip(names, rows, strict=True)]
  assert result['eval/Accuracy'] == pytest.approx(np.mean(right), abs=1e-7)


def test_every_sort_of_file_gives_the_pixels_of_its_record(root, tmp_path):
  """Both splits, by way of the records: the same numbers as by way of the files."""
  shards = sorted((root / 'data').glob('*.tfrecord'))
  by_record = classify(root, tmp_path, *shards)
  names = []
  for shard in shards:
    for frame in record_files.read_frames(str(shard)):
      features = tf.train.Example.FromString(frame.payload).features.feature
      names.append(features['image/filename'].bytes_list.value[0].decode())
  assert {f'odd/{name}' for name in os.listdir(root / 'images' / 'odd')} <= set(names)
  by_file = classify(root, tmp_path, *(root / 'images' / name for name in names))
  for name, record, file in zip(names, by_record, by_file, strict=True):
    record.pop('path'), file.pop('path')
    assert record == file, name


def test_a_turned_photograph_is_turned(root, tmp_path):
  """The upright pixels and the turned file are alike, but for coding them again."""
  image = Image.open(root / 'images' / 'odd' / 'turned.png')
  pixels = np.asarray(image)
  Image.fromarray(np.rot90(pixels, -1)).save(tmp_path / 'upright.png')
  Image.fromarray(pixels).save(tmp_path / 'lying.png')
  turned, upright, lying = classify(
    root,
    tmp_path,
    root / 'images' / 'odd' / 'turned.png',
    tmp_path / 'upright.png',
    tmp_path / 'lying.png',
  )
  assert turned['probability_1'] == upright['probability_1'] != lying['probability_1']


@pytest.mark.parametrize('task', ['multi_label', 'regression'])
def test_other_tasks_agree_with_evaluation(tmp_path, task):
  scenes.write(tmp_path / 'data', task, {'train': 16, 'validation': 11})
  train(tmp_path / 'data', tmp_path / 'run', use_grayscale=True)
  expected = evaluated_probabilities(tmp_path / 'data', tmp_path / 'run')
  files = sorted((tmp_path / 'data').glob('*validation*.tfrecord'))
  rows = classify(tmp_path, tmp_path, *files, decision_threshold=0.45)
  assert [row['path'] for row in rows] == list(expected)
  names = scenes.SHAPES if task == 'multi_label' else scenes.TARGETS
  seen = set()
  for row, values in zip(rows, expected.values(), strict=True):
    if task == 'regression':
      found = [float(row[name]) for name in names]
      np.testing.assert_allclose(found, values, atol=1e-5)
    else:
      classes = row['classes'].split(';') if row['classes'] else []
      assert set(classes) == {names[i] for i in np.flatnonzero(values >= 0.45)}
      for name, share in zip(classes, row['probabilities'].split(';'), strict=bool(classes)):
        assert float(share) == pytest.approx(values[names.index(name)], abs=1e-5)
      seen.update(classes)
  assert task == 'regression' or seen


def test_what_cannot_be_read_is_a_row_with_its_reason(root, tmp_path, caplog):
  good = root / 'images' / 'circle' / '0000.jpg'
  (tmp_path / 'text.jpg').write_text('this is no JPEG')
  (tmp_path / 'empty.png').write_bytes(b'')
  (tmp_path / 'cut.jpg').write_bytes(good.read_bytes()[:200])
  encoded = io.BytesIO()
  Image.new('L', (3, 3)).save(encoded, 'PNG')
  damaged = bytearray(encoded.getvalue())
  damaged[-30] ^= 0xFF
  (tmp_path / 'damaged.png').write_bytes(damaged)
  (tmp_path / 'folder.jpg').symlink_to(tmp_path / 'nowhere')
  shard = sorted((root / 'data').glob('*.tfrecord'))[0]
  (tmp_path / 'cut.tfrecord').write_bytes(shard.read_bytes()[:-7])
  names = ['text.jpg', 'empty.png', 'cut.jpg', 'damaged.png', 'folder.jpg']
  with pytest.raises(errors.InputError, match=r'6 of \d+ images cannot be read, first .*text.jpg'):
    classify(
      root,
      tmp_path,
      *(tmp_path / name for name in names),
      good,
      tmp_path / 'cut.tfrecord',
      features='fc3',
      batch_size=3,
    )
  with open(tmp_path / 'found.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  num_records = sum(1 for _ in record_files.read_frames(str(shard)))
  assert len(rows) == 6 + num_records
  reasons = [row['error'] for row in rows]
  assert 'no image that is known' in reasons[0]
  assert reasons[1] == 'it is empty'
  assert all(reasons[2:4])
  assert reasons[4] == 'No such file or directory'
  assert 'cut short' in reasons[-1]
  assert not any(reasons[5:-1])
  features = np.load(tmp_path / 'found.npy')
  assert features.shape == (len(rows), 1024)
  assert [np.isnan(row).all() for row in features] == [bool(reason) for reason in reasons]
  (alone,) = classify(root, tmp_path, good, features='fc3')
  assert float(alone['probability_1']) == pytest.approx(float(rows[5]['probability_1']), abs=1e-6)
  np.testing.assert_allclose(np.load(tmp_path / 'found.npy')[0], features[5], rtol=1e-4, atol=1e-5)


def test_features_are_the_end_point_and_lines_are_aligned(root, tmp_path):
  folder = root / 'images' / 'square'
  classification.classify(
    settings(root, folder, output_file=str(tmp_path / 'a.jsonl'), features='Predictions', top_k=2)
  )
  lines = [json.loads(line) for line in (tmp_path / 'a.jsonl').read_text().splitlines()]
  features = np.load(tmp_path / 'a.npy')
  assert [line['path'] for line in lines] == [str(path) for path in sorted(folder.iterdir())]
  for line, row in zip(lines, features, strict=True):
    assert len(line['classes']) == 2
    assert line['classes'][0]['probability'] == pytest.approx(row.max(), abs=1e-6)


def test_copies_are_sorted_by_class_and_replace_nothing(root, tmp_path):
  twice = [root / 'images' / name / '0001.jpg' for name in shapes.CLASSES]
  shard = sorted((root / 'data').glob('*.tfrecord'))[0]
  rows = classify(root, tmp_path, *twice, shard, sort_into=str(tmp_path / 'sorted'))
  copies = [path for path in (tmp_path / 'sorted').rglob('*') if path.is_file()]
  assert len(copies) == len(rows)
  for row in rows:
    folder = tmp_path / 'sorted' / row['class_1']
    if ':' not in row['path']:
      content = pathlib.Path(row['path']).read_bytes()
      assert content in [path.read_bytes() for path in folder.iterdir()]
  assert all(path.suffix in ('.jpg', '.png') for path in copies)
  with pytest.raises(errors.InputError, match='nothing in it is overwritten'):
    classify(root, tmp_path, *twice, sort_into=str(tmp_path / 'sorted'))


def test_explanations_are_pictures(root, tmp_path):
  classification.classify(
    settings(root, root / 'images' / 'circle', explain=str(tmp_path / 'explained'))
  )
  names = sorted(os.listdir(tmp_path / 'explained'))
  assert names == [f'{number:06d}_{number:04d}.jpg.png' for number in range(8)]
  with Image.open(tmp_path / 'explained' / names[0]) as picture:
    assert picture.width >= 1000
    assert len(picture.getcolors(1 << 24)) > 300


def test_names_and_patterns(root, tmp_path, monkeypatch):
  (tmp_path / 'names.txt').write_text('3:c\n0:x\n1:y\n2:z\n')
  monkeypatch.setattr(sys, 'stdin', io.StringIO(f'{root}/images/odd/gray.jpg\n\nnowhere.jpg\n'))
  with pytest.raises(errors.InputError, match='1 of 10 images cannot be read'):
    classify(
      root,
      tmp_path,
      f'{root}/images/**/000[02].jpg',
      '-',
      f'{root}/images/odd/plain.bmp',
      f'{root}/images/odd/plain.png',
      labels_file=str(tmp_path / 'names.txt'),
    )
  with open(tmp_path / 'found.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [pathlib.Path(row['path']).name for row in rows[-4:]] == [
    'gray.jpg',
    'nowhere.jpg',
    'plain.bmp',
    'plain.png',
  ]
  assert rows[0]['class_1'] in ('c', 'x', 'y', 'z')
  assert rows[-2]['probability_1'] == rows[-1]['probability_1']


def test_a_checkpoint_without_model_json(root, tmp_path):
  for path in (root / 'run').glob('model.ckpt-30.*'):
    (tmp_path / path.name).write_bytes(path.read_bytes())
  image = root / 'images' / 'odd' / 'plain.png'
  flags = {'preprocessing_name': 'cifarnet', 'eval_image_size': SIZE, 'labels_offset': 1}
  (row,) = classify(tmp_path, tmp_path, image, run='model.ckpt-30', **flags)
  (same,) = classify(root, tmp_path, image)
  assert row['probability_1'] == same['probability_1']
  assert row['class_1'] in '1234'


def test_an_exported_model_says_the_same(root, tmp_path):
  path = tmp_path / 'exported.pb'
  export.export_inference_graph(
    settings_lib.replace(
      export.ExportSettings(),
      checkpoint_path=str(root / 'run'),
      format='frozen',
      model_name=NET,
      output_file=str(path),
    )
  )
  images = root / 'images' / 'odd', root / 'images' / 'circle'
  by_export = classify(root, tmp_path, *images, checkpoint_path=str(path), batch_size=5)
  by_checkpoint = classify(root, tmp_path, *images)
  for exported, row in zip(by_export, by_checkpoint, strict=True):
    assert exported['class_1'] == row['class_1']
    assert float(exported['probability_1']) == pytest.approx(float(row['probability_1']), abs=1e-5)
  for flags, sentence in (
    ({'explain': str(tmp_path / 'explained')}, '--explain=.* needs a checkpoint'),
    ({'eval_image_size': 64}, '--eval_image_size=64 contradicts'),
    ({'model_name': 'cifarnet'}, '--model_name=cifarnet contradicts'),
  ):
    with pytest.raises(errors.InputError, match=sentence):
      classify(root, tmp_path, *images, checkpoint_path=str(path), **flags)


def test_a_checkpoint_of_the_format_v1_is_no_export(goldens):
  path = goldens / 'checkpoints' / 'mobilenet_v1_025_v1' / 'model.ckpt-12345'
  assert path.is_file()
  assert not exported_models.is_exported(str(path))


REFUSALS = {
  'no checkpoint': ({'checkpoint_path': None}, '--checkpoint_path is missing'),
  'checkpoint that is not there': ({'run': 'none'}, 'no checkpoint'),
  'another net': ({'model_name': 'cifarnet'}, '--model_name=cifarnet contradicts'),
  'another preprocessing': ({'preprocessing_name': 'vgg'}, '--preprocessing_name=vgg contradicts'),
  'output of no format': ({'output_file': 'found.txt'}, r'must end in one of .csv, .jsonl'),
  'output that is there': ({'output_file': '{0}/there.csv'}, 'there.csv is there already'),
  'output nowhere': ({'output_file': '{0}/nowhere/a.csv'}, 'cannot be written'),
  'features without a file': ({'features': 'fc3'}, 'needs --output_file'),
  'no such features': (
    {'features': 'fc', 'output_file': '{0}/a.csv'},
    "no end point 'fc'. Did you mean 'fc3'",
  ),
  'folder that is there': ({'explain': '{0}/full'}, 'nothing in it is overwritten'),
  'label file of another length': ({'labels_file': '{0}/two.txt'}, 'has 2 class names, but'),
}


@pytest.mark.parametrize('name', REFUSALS)
def test_refuses_in_a_sentence_and_writes_nothing(root, tmp_path, name):
  flags, sentence = REFUSALS[name]
  (tmp_path / 'there.csv').write_text('mine')
  (tmp_path / 'two.txt').write_text('a\nb\n')
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'mine').write_text('mine')
  flags = {
    key: value.replace('{0}', str(tmp_path)) if isinstance(value, str) else value
    for key, value in flags.items()
  }
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(errors.InputError, match=sentence):
    classification.classify(settings(root, root / 'images' / 'circle' / '0000.jpg', **flags))
  assert sorted(tmp_path.rglob('*')) == before
  assert (tmp_path / 'there.csv').read_text() == 'mine'


@pytest.mark.parametrize(
  ('words', 'sentence'),
  [
    ((), 'no images to classify'),
    (('{0}/none.jpg',), 'no file or folder .*/none.jpg'),
    (('{0}/*.none',), r'No file matches .*/\*.none'),
    (('{0}/data/../empty',), 'has neither TFRecords nor images'),
  ],
)
def test_refuses_images_that_are_not_there(root, words, sentence):
  (root / 'empty').mkdir(exist_ok=True)
  with pytest.raises(errors.InputError, match=sentence):
    classification.classify(settings(root, *(word.replace('{0}', str(root)) for word in words)))


def test_a_failure_leaves_the_old_file(root, tmp_path, monkeypatch):
  (tmp_path / 'found.csv').write_text('old')

  def fail(*unused):
    raise KeyboardInterrupt

  monkeypatch.setattr(classification, 'describe', fail)
  with pytest.raises(KeyboardInterrupt):
    classify(root, tmp_path, root / 'images' / 'circle')
  assert (tmp_path / 'found.csv').read_text() == 'old'


def test_the_script_takes_words_anywhere_and_exits_with_1(root, tmp_path):
  finished = subprocess.run(  # noqa: S603
    [
      sys.executable,
      str(ROOT / 'classify_images.py'),
      str(root / 'images' / 'odd' / 'gray.jpg'),
      f'--checkpoint_path={root}/run',
      '-',
      '--top_k=1',
    ],
    input=f'{root}/images/odd/plain.gif\nnowhere.png\n',
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 1
  lines = finished.stdout.splitlines()
  assert lines[0].startswith('Classifying 3 images by the moving averages of ')
  assert f'{root}/images/odd/gray.jpg: ' in lines[1]
  assert lines[2].count('%') == 1
  assert lines[3] == 'nowhere.png: cannot be read: No such file or directory'
  assert finished.stderr == (
    'classify_images.py: error: 1 of 3 images cannot be read, first nowhere.png: No such file or'
    ' directory. The others are classified.\n'
  )


def test_equal_classes_come_in_their_order(root):
  facts = dataclasses.replace(
    model_facts.read(str(root / 'run' / 'model.ckpt-30')), class_names=('a', 'b', 'c')
  )
  values = np.array([1, 2, 2])
  predicted = inference.Prediction(None, values, values)
  assert [name for name, _ in classification.rank(facts, predicted, 3, 0.5)] == ['b', 'c', 'a']


def test_values_of_12_bits_are_taken_as_the_training_images_were(root, tmp_path, caplog):
  caplog.set_level('INFO', 'slimtrain')
  values = np.random.RandomState(5).randint(0, 4096, (48, 64)).astype(np.uint16)
  Image.fromarray(values).save(tmp_path / 'deep.png')
  Image.fromarray((values >> 4).astype(np.uint8)).save(tmp_path / 'plain.png')
  shutil.copytree(root / 'run', tmp_path / 'run')
  run = os.path.join('run', 'model.ckpt-30')

  def logits(*images, **flags):
    chosen = settings(tmp_path, *images, run=run, **flags)
    trained = classification.find_model(chosen)
    images = classification.find_images(chosen)
    return [found.logits for found in inference.predict(images, trained, chosen.batches)]

  (dark,) = logits(tmp_path / 'deep.png')
  assert '1 of 1 images from files with 16 bits' in caplog.text
  assert 'give --image_bits=12' in caplog.text
  caplog.clear()
  scaled, plain = logits(tmp_path / 'deep.png', tmp_path / 'plain.png', image_bits=12)
  np.testing.assert_array_equal(scaled, plain)
  assert np.abs(scaled - dark).max() > 1e-3
  facts = dataclasses.replace(model_facts.read(str(tmp_path / run)), image_bits=12)
  model_facts.write(str(tmp_path / 'run'), facts)
  (known,) = logits(tmp_path / 'deep.png')
  np.testing.assert_allclose(known, scaled, rtol=1e-5, atol=1e-5)
  assert 'WARNING' not in caplog.text
  with pytest.raises(errors.InputError, match='--image_bits=14 contradicts the model'):
    logits(tmp_path / 'deep.png', image_bits=14)
