"""Names of files and folders that are not UTF-8: every script takes them, and gives them back."""

import csv
import io
import json
import os
import sys

import pytest

from datasets import conversion, csv_files
from slimcompat import tf
from slimtrain import classification, console, data_inspection, inputs, training
from slimtrain import settings as settings_lib
from tests import shapes

NAME = b'caf\xe9'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """Images in Latin-1 folders and files, one of them damaged, a list of some, and all converted."""
  root = tmp_path_factory.mktemp('names')
  shapes.write(root / 'images', images_per_class=4, size=32)
  place = os.fsencode(root / 'images')
  first, *_ = sorted(os.listdir(place))
  for number, name in enumerate(sorted(os.listdir(os.path.join(place, first)))):
    path = os.path.join(place, first, name)
    os.rename(path, os.path.join(place, first, NAME + b'%d.jpg' % number))
  with open(os.path.join(place, first, NAME + b'.png'), 'wb') as file:
    file.write(b'no image')
  os.rename(os.path.join(place, first), os.path.join(place, NAME))
  others = sorted(path for path in (root / 'images').glob('*/*.*') if NAME not in os.fsencode(path))
  rows = [NAME + b'/' + NAME + b'%d.jpg,x\n' % number for number in range(4)]
  rows += [os.fsencode(path.relative_to(root / 'images')) + b',y\n' for path in others]
  (root / 'images' / 'list.csv').write_bytes(b'path,label\n' + b''.join(rows))
  for flags, out in (
    ({'image_dir': str(root / 'images')}, 'data'),
    ({'image_list': str(root / 'images' / 'list.csv')}, 'listed'),
  ):
    settings = conversion.ConversionSettings(dataset_dir=str(root / out), num_shards=1, **flags)
    console.say(conversion.report(conversion.convert(settings), settings))
  training.train(
    settings_lib.replace(
      training.TrainingSettings(),
      dataset_name='image_folder',
      dataset_dir=str(root / 'data'),
      input_mode='files',
      image_dir=str(root / 'images'),
      train_dir=str(root / 'run'),
      model_name='lenet',
      train_image_size=28,
      batch_size=4,
      max_number_of_steps=2,
    )
  )
  return root


def stored_names(dataset_dir):
  names = []
  for path in sorted(dataset_dir.glob('*.tfrecord')):
    for record in tf.python_io.tf_record_iterator(str(path)):
      features = tf.train.Example.FromString(record).features.feature
      names += features['image/filename'].bytes_list.value
  return names


@pytest.mark.parametrize('out', ['data', 'listed'])
def test_records_have_the_names_of_the_files(out, root):
  names = stored_names(root / out)
  place = os.fsencode(root / 'images')
  assert all(os.path.exists(os.path.join(place, name)) for name in names)
  assert {name for name in names if NAME in name} == {
    NAME + b'/' + NAME + b'%d.jpg' % number for number in range(4)
  }


def test_classes_and_rejects_are_escaped(root):
  assert '0:caf\\xe9\n' in (root / 'data' / 'labels.txt').read_text('utf-8')
  text = (root / 'data' / 'rejects.csv').read_text('utf-8')
  assert 'caf\\xe9/caf\\xe9.png' in text
  (row,) = list(csv_files.read(io.StringIO(text)))[1:]
  assert os.fsencode(row[0]) == NAME + b'/' + NAME + b'.png'


@pytest.mark.parametrize('source', ['image_dir', 'image_list', 'dataset_dir'])
def test_surveys(source, root, tmp_path):
  pytest.importorskip('matplotlib')
  path = {'image_dir': 'images', 'image_list': 'images/list.csv', 'dataset_dir': 'data'}[source]
  settings = settings_lib.replace(
    data_inspection.InspectionSettings(),
    survey=True,
    output_dir=str(tmp_path),
    **{source: str(root / path)},
  )
  assert data_inspection.inspect(settings)
  summary = json.loads((tmp_path / 'survey.json').read_text('utf-8'))
  if source == 'image_dir':
    assert [image['name'] for image in summary['unreadable']] == ['caf\\xe9/caf\\xe9.png']
    assert summary['left_out'] == [{'name': 'list.csv', 'reason': 'it is no image'}]
  if source != 'image_list':
    assert any('caf\\xe9' in split['class_counts'] for split in summary['splits'].values())


@pytest.mark.parametrize('mode', ['tfrecord', 'files', 'memory'])
def test_input_modes(mode, root):
  settings = settings_lib.replace(
    inputs.DataSettings(),
    dataset_name='image_folder',
    dataset_dir=str(root / 'data'),
    input_mode=mode,
    image_dir=str(root / 'images') if mode == 'files' else None,
    batch_size=100,
  )
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'lenet', 28)
    iterator = tf.data.make_initializable_iterator(batches)
    batch = iterator.get_next()
    session.run([iterator.initializer, tf.tables_initializer()])
    assert len(session.run(batch.images)) == data.num_examples


@pytest.mark.parametrize('words', ['folder', 'pattern', 'standard input'])
def test_classification(words, root, tmp_path, monkeypatch):
  place = root / 'images' / os.fsdecode(NAME)
  images = {'folder': str(place), 'pattern': f'{place}/**/*.jpg', 'standard input': '-'}[words]
  lines = b''.join(os.fsencode(place / os.fsdecode(NAME + b'%d.jpg\n' % n)) for n in range(4))
  monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO(lines), encoding='utf-8'))
  if words == 'folder':
    os.rename(place / os.fsdecode(NAME + b'.png'), root / 'no image')
  path = tmp_path / 'found.csv'
  classification.classify(
    settings_lib.replace(
      classification.ClassificationSettings(),
      images=(images,),
      checkpoint_path=str(root / 'run'),
      output_file=str(path),
    )
  )
  rows = list(csv.DictReader(path.open(encoding='utf-8', errors='surrogateescape', newline='')))
  assert len(rows) == 4
  assert not any(row['error'] for row in rows)
