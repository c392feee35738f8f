"""Exported models give what evaluation gives, wherever they are to run."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from datasets import image_folder
from slimcompat import errors, tf
from slimtrain import (
  export,
  export_check,
  export_formats,
  exported_models,
  inputs,
  model_facts,
  training,
)
from slimtrain import settings as settings_lib

CHOICES = {
  'frozen': {'format': 'frozen'},
  'saved_model': {'format': 'saved_model'},
  'onnx': {'format': 'onnx'},
  **{name: {'format': 'tflite', 'tflite_type': name} for name in export_formats.TFLITE_TYPES},
}
# Of the logits, by the greatest of them.
DIFFERENCES = {
  'frozen': 1e-5,
  'saved_model': 1e-5,
  'onnx': 1e-4,
  'float32': 1e-4,
  'float16': 1e-2,
}
NUM_CLASSES = 10


@pytest.fixture(scope='module')
def train_dir(tmp_path_factory):
  """A LeNet that knows the digits."""
  folder = tmp_path_factory.mktemp('digits')
  with tf.Graph().as_default():
    training.train(
      settings_lib.replace(
        training.TrainingSettings(),
        train_dir=str(folder),
        dataset_name='digits',
        model_name='lenet',
        max_number_of_steps=60,
        optimizer='adam',
        opt_epsilon=1e-8,
        learning_rate=0.001,
        seed=1,
        deterministic_input=True,
      )
    )
  return folder


def make_settings(train_dir, output_file, **changes):
  settings = settings_lib.replace(
    export.ExportSettings(),
    checkpoint_path=str(train_dir),
    output_file=str(output_file),
    dataset_name='digits',
    num_check_images=50,
    **changes,
  )
  return export.complete(settings, {'checkpoint_path', 'dataset_name'})


@pytest.fixture(scope='module')
def exports(train_dir, tmp_path_factory):
  """exports(name) is the path of what one of CHOICES gives."""
  folder = tmp_path_factory.mktemp('exports')
  paths = {}

  def find(name):
    if name not in paths:
      paths[name] = str(folder / name)
      export.export_inference_graph(make_settings(train_dir, paths[name], **CHOICES[name]))
    return paths[name]

  return find


@pytest.fixture(scope='module')
def evaluated(train_dir):
  """Of the whole test split: what evaluation sees, the records' bytes, labels, and the logits."""
  trained = export._find(make_settings(train_dir, ''))
  settings = inputs.DataSettings(dataset_name='digits', dataset_split_name='test', num_readers=1)
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'lenet', 28)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    images, labels = [], []
    while sum(map(len, labels)) < data.num_examples:
      some, of_them, *_ = session.run(batch)
      images.append(some)
      labels.append(of_them)
  images, labels = np.concatenate(images), np.concatenate(labels)
  files = [
    tf.train.Example.FromString(record).features.feature['image/encoded'].bytes_list.value[0]
    for path in data.files
    for record in tf.python_io.tf_record_iterator(path)
  ]
  return images, files, labels, export_check.run_checkpoint(trained, images)


def difference(outputs, expected):
  return np.abs(outputs.logits - expected.logits).max() / np.abs(expected.logits).max()


def accuracy(outputs, labels):
  return np.mean(outputs.logits.argmax(axis=1) == labels)


@pytest.mark.parametrize('name', CHOICES)
def test_an_export_agrees_with_evaluation_on_every_image(exports, evaluated, name):
  images, _, labels, expected = evaluated
  assert len(images) == 360
  assert accuracy(expected, labels) > 0.9
  model = exported_models.load(exports(name))
  assert model.format == CHOICES[name]['format']
  assert model.facts.model_name == 'lenet'
  assert model.facts.class_names == tuple('0123456789')
  assert model.input_shape == (1 if model.format == 'tflite' else None, 28, 28, 1)
  outputs = exported_models.run_in_batches(model.run, images)
  assert outputs.logits.shape == outputs.predictions.shape == (360, NUM_CLASSES)
  assert np.abs(outputs.predictions - expected.predictions).max() < 0.1
  assert abs(accuracy(outputs, labels) - accuracy(expected, labels)) <= 0.02
  if name in DIFFERENCES:
    assert difference(outputs, expected) <= DIFFERENCES[name]
  else:
    # Eight bits show.
    assert difference(outputs, expected) > 1e-4


def test_a_saved_model_takes_the_bytes_of_files(exports, evaluated):
  _, files, _, expected = evaluated
  model = exported_models.load(exports('saved_model'))
  assert difference(exported_models.run_in_batches(model.run_files, files), expected) <= 1e-5


def test_tflite_gets_smaller(exports):
  sizes = {name: os.path.getsize(exports(name)) for name in export_formats.TFLITE_TYPES}
  assert sizes['float16'] < 0.51 * sizes['float32']
  assert sizes['dynamic'] < 0.26 * sizes['float32']
  assert sizes['int8'] < 0.26 * sizes['float32']


# Runs where only TensorFlow 2 is known, as it comes.
PLAIN = """
import sys
import numpy as np
import tensorflow as tf

saved_model, frozen, images, files, results = sys.argv[1:]
images = np.load(images)
files = [bytes(file) for file in np.load(files)['files']]
loaded = tf.saved_model.load(saved_model)
signatures = loaded.signatures
by_images = signatures['images'](images=tf.constant(images))
by_bytes = signatures['image_bytes'](image_bytes=tf.constant(files))
default = signatures['serving_default'](image_bytes=tf.constant(files))
graph_def = tf.compat.v1.GraphDef()
with open(frozen, 'rb') as file:
  graph_def.ParseFromString(file.read())
with tf.Graph().as_default() as graph:
  tf.import_graph_def(graph_def, name='')
with tf.compat.v1.Session(graph=graph) as session:
  logits, predictions, names = session.run(
    ['logits:0', 'predictions:0', 'class_names:0'], {'input:0': images})
assert tf.executing_eagerly()
assert not {'tf_slim', 'slimtrain', 'slimcompat', 'nets'} & set(sys.modules)
np.savez(
  results,
  images=by_images['logits'],
  bytes=by_bytes['logits'],
  default=default['logits'],
  classes=by_images['classes'].numpy().astype('U'),
  scores=by_images['scores'],
  frozen=logits,
  frozen_predictions=predictions,
  names=names.astype('U'),
)
"""


def test_plain_tensorflow_2_runs_them(exports, evaluated, tmp_path):
  images, files, _, expected = evaluated
  np.save(tmp_path / 'images.npy', images[:20])
  files = files[:20]
  np.savez(tmp_path / 'files.npz', files=np.array(files, 'S'))
  assert [bytes(file) for file in np.array(files, 'S')] == files  # No zeros were cut off.
  finished = subprocess.run(  # noqa: S603
    [
      sys.executable,
      '-c',
      PLAIN,
      exports('saved_model'),
      exports('frozen'),
      *(str(tmp_path / name) for name in ('images.npy', 'files.npz', 'results.npz')),
    ],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  # That references to variables cannot be trained.
  assert 'Unable to create a python object' not in finished.stderr
  results = np.load(tmp_path / 'results.npz')
  logits = expected.logits[:20]
  for name in ('images', 'bytes', 'default', 'frozen'):
    np.testing.assert_allclose(results[name], logits, rtol=0, atol=1e-5 * np.abs(logits).max())
  assert results['names'].tolist() == list('0123456789')
  order = np.argsort(-logits, axis=1)[:, :5]
  np.testing.assert_array_equal(results['classes'].astype(int), order)
  best = np.take_along_axis(expected.predictions[:20], order, axis=1)
  np.testing.assert_allclose(results['scores'], best, atol=1e-5)
  np.testing.assert_allclose(results['frozen_predictions'], expected.predictions[:20], atol=1e-5)


def test_saved_model_cli_runs_it(exports, evaluated, tmp_path):
  images, _, _, expected = evaluated
  np.save(tmp_path / 'images.npy', images[:3])
  finished = subprocess.run(  # noqa: S603
    [
      str(pathlib.Path(sys.executable).parent / 'saved_model_cli'),
      'run',
      f'--dir={exports("saved_model")}',
      '--tag_set=serve',
      '--signature_def=images',
      f'--inputs=images={tmp_path}/images.npy',
      f'--outdir={tmp_path}',
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  np.testing.assert_allclose(
    np.load(tmp_path / 'logits.npy'), expected.logits[:3], atol=1e-4, rtol=0
  )


@pytest.mark.parametrize('name', export_formats.TFLITE_TYPES)
def test_litert_runs_it(exports, evaluated, name):
  from ai_edge_litert import interpreter as litert

  images, _, _, expected = evaluated
  interpreter = litert.Interpreter(exports(name))
  interpreter.allocate_tensors()
  (source,) = interpreter.get_input_details()
  result, logits = interpreter.get_output_details()
  assert source['name'] == 'input'
  assert (result['name'], logits['name']) == ('predictions', 'logits')
  assert source['dtype'] == result['dtype'] == (np.int8 if name == 'int8' else np.float32)
  for index in range(10):
    image = images[index : index + 1]
    if name == 'int8':
      scale, zero = source['quantization']
      image = np.clip(np.rint(image / scale + zero), -128, 127).astype(np.int8)
    interpreter.set_tensor(source['index'], image)
    interpreter.invoke()
    found = interpreter.get_tensor(result['index'])
    if name == 'int8':
      scale, zero = result['quantization']
      found = (found.astype(np.float32) - zero) * scale
    np.testing.assert_allclose(found[0], expected.predictions[index], atol=0.05)


def test_a_tflite_file_says_what_it_is(exports):
  with zipfile.ZipFile(exports('int8')) as archive:
    assert archive.read('labels.txt').decode().splitlines() == list('0123456789')
    facts = model_facts.from_json(archive.read('model.json'))
  assert facts.preprocessing_name == 'lenet'


def test_onnx_has_plain_names(exports):
  import onnxruntime

  session = onnxruntime.InferenceSession(exports('onnx'), providers=['CPUExecutionProvider'])
  (source,) = session.get_inputs()
  assert source.name == 'input'
  assert source.shape[1:] == [28, 28, 1]
  assert [output.name for output in session.get_outputs()] == ['predictions', 'logits']
  names = session.get_modelmeta().custom_metadata_map['class_names']
  assert names.splitlines() == list('0123456789')


def test_a_saved_model_holds_the_names_of_its_classes(exports):
  folder = pathlib.Path(exports('saved_model'))
  assert (folder / 'assets' / 'labels.txt').read_text().splitlines() == list('0123456789')
  facts = json.loads((folder / 'assets.extra' / 'model.json').read_text())
  assert facts['image_size'] == 28


def test_files_are_preprocessed_as_in_evaluation(tmp_path, shapes_dir):
  """JPEGs in colour, made gray, cut and resized."""
  image_folder.convert(str(shapes_dir), str(tmp_path / 'data'))
  data_flags = {'dataset_name': 'image_folder', 'dataset_dir': str(tmp_path / 'data')}
  training.train(
    settings_lib.replace(
      training.TrainingSettings(),
      train_dir=str(tmp_path / 'run'),
      model_name='cifarnet',
      preprocessing_name='inception',
      use_grayscale=True,
      max_number_of_steps=2,
      moving_average_decay=0.9,
      **data_flags,
    )
  )
  settings = settings_lib.replace(
    make_settings(tmp_path / 'run', tmp_path / 'model', format='saved_model'), **data_flags
  )
  export.export_inference_graph(settings)
  model = exported_models.load(str(tmp_path / 'model'))
  assert model.facts.class_names == ('circle', 'square', 'triangle')
  assert model.input_shape == (None, 32, 32, 1)
  data_settings = settings_lib.replace(
    inputs.DataSettings(), use_grayscale=True, num_readers=1, **data_flags
  )
  data = inputs.load_data(data_settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, data_settings, 'inception', 32)
    images = session.run(tf.data.make_one_shot_iterator(batches.take(1)).get_next()).images
  files = [
    tf.train.Example.FromString(record).features.feature['image/encoded'].bytes_list.value[0]
    for path in data.files
    for record in tf.python_io.tf_record_iterator(path)
  ][: len(images)]
  assert files[0].startswith(b'\xff\xd8')
  expected = export_check.run_checkpoint(export._find(settings), images)
  assert np.ptp(expected.logits, axis=0).max() > 1e-3
  assert difference(exported_models.run_in_batches(model.run_files, files), expected) <= 1e-5


def test_a_few_images_do_not_fill_a_batch(train_dir, exports, tmp_path, evaluated):
  images, _, _, expected = evaluated
  settings = make_settings(train_dir, tmp_path / 'model', **CHOICES['frozen'], batch_size=8)
  export.export_inference_graph(settings)
  model = exported_models.load(str(tmp_path / 'model'))
  assert model.input_shape == (8, 28, 28, 1)
  outputs = model.run(images[:11])
  assert len(outputs.logits) == 11
  expected = exported_models.Outputs(*(values[:11] for values in expected))
  assert difference(outputs, expected) <= 1e-5


def test_what_was_not_exported_here_is_refused(tmp_path):
  (tmp_path / 'text').write_text('no model')
  (tmp_path / 'graph.pb').write_bytes(tf.Graph().as_graph_def().SerializeToString())
  for name in ('text', 'graph.pb', 'nowhere', ''):
    with pytest.raises(errors.InputError, match='cannot be used as an exported model'):
      exported_models.load(str(tmp_path / name))
