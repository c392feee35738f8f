"""The scripts as a user runs them: whole runs on small real data, and hostile input."""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from datasets import image_folder
from slimcompat import tf
from tests import shapes

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(script, *args, cwd=ROOT, **env):
  """Runs a script of this checkout; returns the finished process."""
  return subprocess.run(  # noqa: S603
    [sys.executable, str(ROOT / script), *args],
    cwd=cwd,
    env={**os.environ, **env},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """What hostile input is made of: converted shapes, a trained net, and damaged copies."""
  root = tmp_path_factory.mktemp('hostile')
  shapes.write(root / 'images', images_per_class=4, size=32)
  image_folder.convert(str(root / 'images'), str(root / 'shapes'))
  image_folder.convert(str(root / 'images'), str(root / 'cut'))
  shard = sorted((root / 'cut').glob('*_train_*'))[0]
  shard.write_bytes(shard.read_bytes()[:-5])

  def write(name, records):
    (root / name).mkdir()
    with tf.io.TFRecordWriter(str(root / name / 'mnist_train.tfrecord')) as writer:
      for record in records:
        writer.write(record)

  def example(label, encoded=None):
    if encoded is None:
      encoded = (root / 'digit.png').read_bytes()
    feature = {
      'image/encoded': tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
      'image/format': tf.train.Feature(bytes_list=tf.train.BytesList(value=[b'png'])),
      'image/class/label': tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

  shapes.draw(np.random.RandomState(0), 3, 28).convert('L').save(root / 'digit.png')
  write('no_records', [])
  write('label_outside', [example(3), example(10)])
  write('not_an_image', [example(3)] * 3 + [example(3, b'this is no PNG')])
  cut = [example(3)] * 3
  write('cut_mnist', cut)
  path = root / 'cut_mnist' / 'mnist_train.tfrecord'
  path.write_bytes(path.read_bytes()[:-7])
  (root / 'html').mkdir()
  (root / 'html' / 'mnist_train.tfrecord').write_text('<html>Not found</html>' * 10)
  (root / 'empty').mkdir()
  for name in ('cat/cat', 'cat/other', 'dog/dog', 'dog/other'):
    path = root / 'image_of_text' / f'{name}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('this is no PNG')
  for name, net in (('lenet', 'lenet'), ('mobilenet', 'mobilenet_v1_025')):
    finished = run(
      'train_image_classifier.py',
      '--dataset_name=digits',
      f'--model_name={net}',
      '--train_image_size=32',
      '--use_grayscale',
      '--batch_size=4',
      '--max_number_of_steps=1',
      f'--train_dir={root / name}',
    )
    assert finished.returncode == 0, finished.stderr
  return root


TRAIN = ('train_image_classifier.py', '--model_name=lenet', '--train_dir={0}/run_{1}')
DIGITS = (*TRAIN, '--dataset_name=digits')
MNIST = (*TRAIN, '--dataset_name=mnist')
MOBILENET = (*DIGITS, '--model_name=mobilenet_v1_025', '--use_grayscale')
EVALUATE = ('eval_image_classifier.py', '--model_name=lenet', '--eval_dir={0}/run')
CLASSIFY = ('classify_images.py', '--checkpoint_path={0}/lenet')
CONVERT = ('download_and_convert_data.py', '--dataset_dir={0}/converted')
EXPORT = ('export_inference_graph.py', '--checkpoint_path={0}/lenet', '--output_file={0}/new')
HOSTILE = {
  'no dataset_dir': ((*TRAIN, '--dataset_name=mnist'), '--dataset_dir'),
  'missing dataset_dir': ((*MNIST, '--dataset_dir={0}/nowhere'), 'no directory {0}/nowhere'),
  'empty dataset_dir': ((*MNIST, '--dataset_dir={0}/empty'), 'directory {0}/empty is empty'),
  'wrong split': ((*DIGITS, '--dataset_split_name=tset'), "Did you mean 'test'"),
  'unknown net': ((*DIGITS, '--model_name=lenett'), "Did you mean 'lenet'"),
  'unknown dataset': ((*TRAIN, '--dataset_name=digit'), "Did you mean 'digits'"),
  'unknown preprocessing': ((*DIGITS, '--preprocessing_name=vg'), "Did you mean 'vgg'"),
  'unknown optimizer': ((*DIGITS, '--optimizer=adm'), "Did you mean 'adam'"),
  'unknown flag': ((*DIGITS, '--model_nam=lenet'), 'model_nam'),
  'not a flag': ((*DIGITS, 'lenet'), "'lenet' is not a flag"),
  'number that is none': ((*DIGITS, '--batch_size=many'), 'many'),
  'batch of nothing': ((*DIGITS, '--batch_size=0'), '--batch_size=0'),
  'no files': ((*TRAIN, '--dataset_name=flowers', '--dataset_dir={0}/html'), 'No file matches'),
  'shard without records': ((*MNIST, '--dataset_dir={0}/no_records'), 'no records'),
  'cut shard': ((*MNIST, '--dataset_dir={0}/cut_mnist'), 'Record 2 .*mnist_train.tfrecord'),
  'cut listed shard': (
    (*TRAIN, '--dataset_name=image_folder', '--dataset_dir={0}/cut'),
    'images_train_00000-of-00005.tfrecord',
  ),
  'web page as shard': ((*MNIST, '--dataset_dir={0}/html'), 'mnist_train.tfrecord'),
  'label outside': (
    (*MNIST, '--dataset_dir={0}/label_outside'),
    'Record 1 .*label_outside/mnist_train.tfrecord has the label 10',
  ),
  'labels_offset too high': ((*DIGITS, '--labels_offset=9'), '--labels_offset=9'),
  'missing checkpoint': (
    (*DIGITS, '--checkpoint_path={0}/nowhere/model.ckpt-1'),
    'no checkpoint {0}/nowhere/model.ckpt-1',
  ),
  'empty checkpoint directory': (
    (*DIGITS, '--checkpoint_path={0}/empty'),
    '{0}/empty holds no checkpoint',
  ),
  'checkpoint of another net': ((*DIGITS, '--checkpoint_path={0}/mobilenet'), 'another net'),
  'checkpoint of another width': (
    (*MOBILENET, '--model_name=mobilenet_v1_050', '--checkpoint_path={0}/mobilenet'),
    'another width',
  ),
  'evaluating another net': (
    (*EVALUATE, '--dataset_name=digits', '--checkpoint_path={0}/mobilenet'),
    '--model_name=lenet contradicts .* --model_name=mobilenet_v1_025',
  ),
  'evaluating averages that are not there': (
    (
      *EVALUATE,
      '--dataset_name=digits',
      '--checkpoint_path={0}/lenet',
      '--moving_average_decay=0.9',
    ),
    'leave --moving_average_decay and --use_moving_averages out',
  ),
  'export of no checkpoint': (
    (*EXPORT, '--format=frozen', '--checkpoint_path={0}/empty'),
    '{0}/empty holds no checkpoint',
  ),
  'export of another net': (
    (*EXPORT, '--format=frozen', '--model_name=cifarnet'),
    '--model_name=cifarnet contradicts .* --model_name=lenet',
  ),
  'export into a folder': (
    (*EXPORT, '--format=saved_model', '--output_file={0}/images'),
    '--output_file={0}/images exists. .*--overwrite',
  ),
  'train_dir that cannot be written': ((*DIGITS, '--train_dir=/dev/null/run'), '/dev/null/run'),
  'quantization': ((*DIGITS, '--quantize_delay=100'), '--quantize_delay=100 is not supported'),
  'cluster': (
    (*DIGITS, '--num_ps_tasks=1'),
    '--num_ps_tasks=1 is for training on several machines',
  ),
  'contradiction': ((*DIGITS, '--ignore_missing_vars'), 'no --checkpoint_path'),
  'scope of nothing': ((*DIGITS, '--trainable_scopes=LeNet/fc9'), "no scope 'LeNet/fc9'"),
  'plugin that is not there': ((*DIGITS, '--plugin={0}/none.py'), 'no such file'),
  'classifying without a checkpoint': (
    ('classify_images.py', '{0}/digit.png', '--checkpoint_path={0}/empty'),
    '{0}/empty holds no checkpoint',
  ),
  'classifying what is not there': ((*CLASSIFY, '{0}/cat.jpg'), 'no file or folder {0}/cat.jpg'),
  'classifying text': (
    (*CLASSIFY, '{0}/image_of_text', '--top_k=1'),
    '4 of 4 images cannot be read, first {0}/image_of_text/cat/cat.png: it is no image',
  ),
  'images that are none': ((*CONVERT, '--image_dir={0}/image_of_text'), 'None of the images'),
  'no image_dir': ((*CONVERT, '--image_dir={0}/nowhere'), '{0}/nowhere'),
}


@pytest.fixture(scope='module')
def hostile(folder):
  """The finished process of every hostile command, run two at a time."""
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    futures = {
      name: pool.submit(
        run, *(word.replace('{0}', str(folder)).replace('{1}', str(number)) for word in command)
      )
      for number, (name, (command, _)) in enumerate(HOSTILE.items())
    }
    return {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_input_gets_one_sentence(hostile, folder, name):
  command, sentence = HOSTILE[name]
  finished = hostile[name]
  assert finished.returncode == 1, finished.stdout + finished.stderr
  lines = finished.stderr.strip().splitlines()
  assert len(lines) == 1, finished.stderr
  assert lines[0].startswith(f'{command[0]}: error: ')
  assert re.search(sentence.replace('{0}', re.escape(str(folder))), lines[0])
  assert 'global step' not in finished.stdout
  assert not list(folder.glob('run*/*ckpt*'))
  assert not (folder / 'converted' / 'dataset_info.json').exists()


def test_an_undecodable_image_stops_training_and_evaluation(folder):
  data = ('--dataset_name=mnist', f'--dataset_dir={folder}/not_an_image')
  for script, *args in (
    ('train_image_classifier.py', f'--train_dir={folder}/bad_run', '--batch_size=4'),
    (
      'eval_image_classifier.py',
      f'--checkpoint_path={folder}/lenet',
      f'--eval_dir={folder}/bad_run',
      '--dataset_split_name=train',
      '--eval_image_size=32',
    ),
  ):
    finished = run(script, '--model_name=lenet', *data, *args)
    assert finished.returncode == 1
    (line,) = finished.stderr.strip().splitlines()
    assert re.search(r'Record 3 \(counted from 0\) of .*not_an_image/mnist_train.tfrecord', line)


def test_input_that_hangs_ends_the_run(folder, tmp_path):
  plugin = tmp_path / 'stuck_preprocessing.py'
  plugin.write_text(
    'import time\n'
    'from slimcompat import tf\n'
    'from slimtrain.preprocessing import preprocessing_factory\n'
    'def preprocess_image(image, height, width, **unused):\n'
    '  stuck = tf.py_func(lambda x: time.sleep(100) or x, [tf.cast(image, tf.float32)], '
    'tf.float32)\n'
    '  stuck.set_shape([height, width, 1])\n'
    '  return stuck\n'
    'preprocessing_factory.register(\n'
    '    preprocessing_factory.Preprocessing("stuck", preprocess_image))\n'
  )
  finished = run(
    *(word.replace('{0}', str(tmp_path)) for word in DIGITS),
    f'--plugin={plugin}',
    '--preprocessing_name=stuck',
    '--input_timeout_secs=1',
  )
  assert finished.returncode == 1
  assert 'The input gave no batch within 1 seconds' in finished.stderr


@pytest.mark.parametrize(
  'script',
  [
    'train_image_classifier.py',
    'eval_image_classifier.py',
    'export_inference_graph.py',
    'download_and_convert_data.py',
  ],
)
def test_help_shows_all_flags_with_their_choices(script):
  finished = run(script, '--help')
  assert finished.returncode == 0
  assert not finished.stderr
  references = ROOT / 'tests' / 'goldens' / 'flags' / f'{pathlib.Path(script).stem}.json'
  for name in json.loads(references.read_text()):
    assert re.search(rf'--(\[no\])?{name}:', finished.stdout), name
  if '--model_name:' in finished.stdout:
    assert 'resnet_v1_200' in finished.stdout


def test_convert_train_evaluate_and_fine_tune_a_folder(tmp_path, shapes_dir):
  """Exercises the README's way, from an elsewhere folder, without PYTHONPATH."""
  data = ('--dataset_name=image_folder', f'--dataset_dir={tmp_path}/data')
  net = ('--model_name=mobilenet_v1_025', '--batch_size=8')

  finished = run(
    'download_and_convert_data.py',
    f'--image_dir={shapes_dir}',
    f'--dataset_dir={tmp_path}/data',
    '--validation_fraction=0.2',
    cwd=tmp_path,
  )
  assert finished.returncode == 0, finished.stderr
  info = json.loads((tmp_path / 'data' / 'dataset_info.json').read_text())
  assert info['class_names'] == list(shapes.CLASSES)
  assert (tmp_path / 'data' / 'labels.txt').read_text() == '0:circle\n1:square\n2:triangle\n'

  for train_dir, more in (('first', ()), ('second', (f'--checkpoint_path={tmp_path}/first',))):
    finished = run(
      'train_image_classifier.py',
      *data,
      *net,
      *more,
      '--train_image_size=32',
      '--max_number_of_steps=3',
      f'--train_dir={tmp_path}/{train_dir}',
      cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    assert not finished.stderr
    assert re.search(r'^global step 3: loss = \d', finished.stdout, re.MULTILINE)
  assert '    137 restored' in finished.stdout

  finished = run(
    'eval_image_classifier.py',
    *data,
    *net,
    '--eval_image_size=32',
    '--dataset_split_name=validation',
    f'--checkpoint_path={tmp_path}/second',
    f'--eval_dir={tmp_path}/eval',
    cwd=tmp_path,
  )
  assert finished.returncode == 0, finished.stderr
  assert re.search(r'^eval/Accuracy\[[\d.]+\]$', finished.stdout, re.MULTILINE)
  # With 3 classes the 5 likeliest are all.
  assert 'Recall_5' not in finished.stdout
  assert json.loads((tmp_path / 'eval' / 'eval.json').read_text())['examples'] == 12


def test_a_users_plugin_trains(tmp_path):
  plugin = tmp_path / 'my_net.py'
  plugin.write_text(
    'import tf_slim as slim\n'
    'from nets import nets_factory\n'
    'def my_net(images, num_classes=10, is_training=False, reuse=None, scope="my_net"):\n'
    '  logits = slim.fully_connected(\n'
    '      slim.flatten(images), num_classes, activation_fn=None, scope=scope)\n'
    '  return logits, {"Logits": logits}\n'
    'def my_arg_scope(weight_decay=0.0):\n'
    '  return slim.current_arg_scope()\n'
    'my_net.default_image_size = 28\n'
    'nets_factory.register(nets_factory.Network(\n'
    '    "my_net", my_net, my_arg_scope, preprocessing="lenet"))\n'
  )
  finished = run(
    'train_image_classifier.py',
    f'--plugin={plugin}',
    '--dataset_name=digits',
    '--model_name=my_net',
    '--max_number_of_steps=2',
    f'--train_dir={tmp_path}/run',
  )
  assert finished.returncode == 0, finished.stderr
  assert 'global step 2' in finished.stdout
  shown = run('train_image_classifier.py', f'--plugin={plugin}', '--help')
  assert 'my_net' in shown.stdout
