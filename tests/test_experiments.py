"""The scripts of experiments: their syntax, their flags, and a few steps of each that has data."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from PIL import Image

from datasets import conversion, digits
from slimcompat import lite, tf
from slimtrain import evaluation_runs, export, exported_models, inputs, training
from slimtrain import settings as settings_lib
from tests import shapes

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = {path.stem: path for path in sorted((ROOT / 'scripts').glob('*_on_*.sh'))}
# Those whose nets take minutes even for a few steps.
LARGE = {name for name in SCRIPTS if name.endswith('_on_flowers')}
PERSONS = 'train_mobilenet_v1_on_person_folder'
SETTINGS = {
  'train_image_classifier.py': training.TrainingSettings(),
  'eval_image_classifier.py': evaluation_runs.EvaluationRunSettings(),
  'download_and_convert_data.py': conversion.ConversionSettings(),
  'export_inference_graph.py': export.ExportSettings(),
}
# Writes its arguments instead of doing anything.
RECORDER = '#!/usr/bin/env bash\nprintf "%s\\n" "$@" "" >> "$COMMANDS"\n'


def run(name, tmp_path, *args, **env):
  """Runs a script from another folder; returns what it printed."""
  finished = subprocess.run(  # noqa: S603
    [str(SCRIPTS[name]), *args],
    cwd=tmp_path,
    env={
      **os.environ,
      'PYTHON': sys.executable,
      'DATA_DIR': str(tmp_path / 'data'),
      'TRAIN_DIR': str(tmp_path / 'run'),
      'IMAGE_DIR': str(tmp_path / 'images'),
      'CHECKPOINT_PATH': str(tmp_path / 'checkpoint'),
      **env,
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  return finished.stdout


@pytest.mark.parametrize(
  'path', sorted([*ROOT.glob('*.sh'), *ROOT.glob('scripts/*.sh')]), ids=lambda path: path.stem
)
def test_syntax(path):
  subprocess.run(['/bin/bash', '-n', str(path)], check=True)  # noqa: S603


def read_settings(script, words):
  """Returns the settings of a script's command line, having checked its flags."""
  values = flags.FlagValues()
  settings_lib.define_flags(SETTINGS[script], values)
  values([script, *words])
  return settings_lib.from_flags(type(SETTINGS[script]), values)


@pytest.mark.parametrize('name', SCRIPTS)
def test_commands_have_flags_that_fit(name, tmp_path):
  """Data is fetched, then each training is evaluated as it was trained; and arguments count."""
  recorder = tmp_path / 'recorder'
  recorder.write_text(RECORDER)
  recorder.chmod(0o755)
  recorded = tmp_path / 'commands.txt'
  run(name, tmp_path, '--log_every_n_steps=7', PYTHON=str(recorder), COMMANDS=str(recorded))
  commands = [command.split('\n') for command in recorded.read_text().strip().split('\n\n')]
  made = [(script, words) for script, *words in commands if script in SETTINGS]
  parsed = [(script, read_settings(script, words)) for script, words in made]
  scripts = [script for script, _ in parsed]
  if 'digits' not in name:
    assert scripts.pop(0) == 'download_and_convert_data.py'
    assert parsed.pop(0)[1].dataset_dir == str(tmp_path / 'data')
  if name == PERSONS:
    assert scripts.pop() == 'export_inference_graph.py'
    assert parsed.pop()[1].checkpoint_path == str(tmp_path / 'run')
  pairs = list(zip(parsed[::2], parsed[1::2], strict=True))
  assert scripts == ['train_image_classifier.py', 'eval_image_classifier.py'] * len(pairs)
  assert len(pairs) == (2 if name in LARGE else 1)
  for (_, trained), (_, evaluated) in pairs:
    assert trained.log_every_n_steps == 7
    assert trained.max_number_of_steps or trained.num_epochs
    assert trained.train_dir.startswith(str(tmp_path / 'run'))
    assert evaluated.checkpoint_path == trained.train_dir
    assert evaluated.data.dataset_split_name != trained.data.dataset_split_name
    assert evaluated.model.model_name == trained.model.model_name
    assert evaluated.eval_image_size == trained.train_image_size
    assert evaluated.moving_average_decay == trained.moving_average_decay
    for field in ('dataset_name', 'dataset_dir', 'preprocessing_name', 'preprocessing'):
      assert getattr(evaluated.data, field) == getattr(trained.data, field), field


def write_records(folder, names, size, mode, num_classes, image_format='PNG'):
  """Writes an example of each class to each file."""
  folder.mkdir()
  image = folder.parent / 'image'
  Image.new(mode, (size, size), 7).save(image, image_format)
  for name in names:
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
      for label in range(num_classes):
        feature = {
          'image/encoded': tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[image.read_bytes()])
          ),
          'image/class/label': tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        }
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        writer.write(example.SerializeToString())


def write_data(name, tmp_path):
  """Writes a little of what the script `name` is about."""
  dataset = name.split('_on_')[1]
  if dataset == 'mnist':
    # Digits of their size, gray like them.
    (tmp_path / 'data').mkdir()
    for split in ('train', 'test'):
      shard = sorted(pathlib.Path(digits.cached_dir()).glob(f'digits_{split}_*'))[0]
      shutil.copy(shard, tmp_path / 'data' / f'mnist_{split}.tfrecord')
  elif dataset == 'cifar10':
    names = [f'cifar10_{split}.tfrecord' for split in ('train', 'test')]
    write_records(tmp_path / 'data', names, 32, 'RGB', 10)
  elif dataset == 'flowers':
    names = [f'flowers_{split}_00000-of-00001.tfrecord' for split in ('train', 'validation')]
    write_records(tmp_path / 'data', names, 64, 'RGB', 5, 'JPEG')
  elif dataset in ('folder', 'person_folder', 'shapes_modern'):
    shapes.write(tmp_path / 'images', images_per_class=10, size=32)
    goldens = ROOT / 'tests' / 'goldens' / 'checkpoints' / 'mobilenet_v1_025_v2'
    shutil.copytree(goldens, tmp_path / 'checkpoint')


@pytest.mark.parametrize('name', sorted(SCRIPTS.keys() - LARGE))
def test_a_few_steps(name, tmp_path):
  write_data(name, tmp_path)
  printed = run(name, tmp_path, '--max_number_of_steps=2', '--batch_size=4')
  assert 'global step 2: loss' in printed
  assert (tmp_path / 'run' / 'eval' / 'eval.json').is_file()
  if name == PERSONS:
    check_person_model(tmp_path / 'run' / 'person_detection.tflite', num_classes=3)


def check_person_model(path, num_classes):
  """Returns the model at `path`, which must fit a microcontroller's 350 kB, and take its bytes."""
  assert path.stat().st_size < 350e3
  interpreter = lite.make_interpreter(path.read_bytes())
  (source,) = interpreter.get_input_details()
  predictions = interpreter.get_output_details()[0]
  assert source['dtype'] == predictions['dtype'] == np.int8
  assert source['shape'].tolist() == [1, 96, 96, 1]
  assert predictions['shape'].tolist() == [1, num_classes]
  return exported_models.load(str(path))


@pytest.mark.slow
def test_persons_are_told_apart_in_eight_bits(tmp_path):
  """Circles stand for persons, on images that a net in training has not seen."""
  shapes.write(tmp_path / 'images', images_per_class=400, size=96)
  shutil.rmtree(tmp_path / 'images' / 'triangle')
  flags = ('--preprocessing_name=simple', '--random_crop=false')
  printed = run(PERSONS, tmp_path, *flags, STEPS='700')
  accuracy = float(re.search(r'eval/Accuracy\[([\d.]+)\]', printed).group(1))
  assert accuracy >= 0.9
  model = check_person_model(tmp_path / 'run' / 'person_detection.tflite', num_classes=2)
  assert model.facts.class_names == ('circle', 'square')
  settings = settings_lib.replace(
    inputs.DataSettings(),
    dataset_name='image_folder',
    dataset_dir=str(tmp_path / 'data'),
    dataset_split_name='validation',
    use_grayscale=True,
  )
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'simple', 96).unbatch().batch(80)
    images, labels, *_ = session.run(tf.data.make_one_shot_iterator(batches).get_next())
  assert len(labels) == 80
  found = model.run(images).predictions.argmax(axis=1)
  assert (found == labels).mean() >= accuracy - 0.02


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(LARGE))
def test_a_few_steps_on_flowers(name, tmp_path):
  """From a checkpoint with other classes, which a step of the same net makes of other data."""
  write_data('finetune_on_flowers', tmp_path)
  net = name.removeprefix('finetune_').removesuffix('_on_flowers')
  finished = subprocess.run(  # noqa: S603
    [
      sys.executable,
      str(ROOT / 'train_image_classifier.py'),
      '--dataset_name=digits',
      f'--model_name={net}',
      f'--train_dir={tmp_path / "checkpoint"}',
      '--preprocessing_name=inception',
      '--max_number_of_steps=1',
      '--batch_size=1',
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  printed = run(name, tmp_path, '--batch_size=1', STEPS='1', STEPS_ALL='2')
  assert 'global step 2: loss' in printed
  for folder in ('run', 'run/all'):
    assert (tmp_path / folder / 'eval' / 'eval.json').is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'accuracy'),
  # A point below the least that its header states.
  [('train_lenet_on_digits_modern', 0.984), ('train_cifarnet_on_shapes_modern', 0.986)],
)
def test_modern_recipes_reach_what_they_state(name, accuracy, tmp_path):
  printed = run(name, tmp_path)
  assert float(re.search(r'eval/Accuracy\[([\d.]+)\]', printed).group(1)) >= accuracy
