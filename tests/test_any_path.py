"""Every script with folders of a name that is hard to take for a name, and after a move."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from tests import warm_python

ROOT = pathlib.Path(__file__).resolve().parent.parent
STRANGE = 'a [b]*?~ %s {x} é😀'
NET = ('--model_name=lenet', '--train_image_size=28', '--batch_size=4')
FORMATS = {'graph_def': 'pb', 'frozen': 'pb', 'saved_model': '', 'tflite': 'tflite', 'onnx': 'onnx'}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A function that runs a script, whose working directory is the first argument."""
  folder = tmp_path_factory.mktemp('python')

  def run_script(place, script, *args, fails_with=None):
    finished = subprocess.run(  # noqa: S603
      [folder / 'python', str(ROOT / script), *args],
      capture_output=True,
      text=True,
      check=False,
      cwd=place,
      env={**os.environ, 'HOME': str(place)},
    )
    printed = finished.stdout + finished.stderr
    assert 'Traceback' not in printed
    assert finished.returncode == int(fails_with is not None), printed
    if fails_with is not None:
      assert fails_with in printed
    return printed

  with warm_python.start(folder):
    yield run_script


def data(folder):
  return ('--dataset_name=image_folder', f'--dataset_dir={folder}/data')


def train(run, folder, num_steps, *more):
  return run(
    folder.parent,
    'train_image_classifier.py',
    *data(folder),
    *NET,
    f'--max_number_of_steps={num_steps}',
    f'--train_dir={folder}/run',
    *more,
  )


def evaluate(run, folder, checkpoint, eval_dir):
  run(
    folder.parent,
    'eval_image_classifier.py',
    *data(folder),
    '--dataset_split_name=validation',
    f'--checkpoint_path={folder}/{checkpoint}',
    f'--eval_dir={folder}/{eval_dir}',
  )
  result = json.loads((folder / eval_dir / 'eval.json').read_text())
  return {name: value for name, value in result.items() if name.startswith('eval/')}


def classify(run, folder, checkpoint):
  output = folder / 'classified.csv'
  run(
    folder.parent,
    'classify_images.py',
    f'--checkpoint_path={folder}/{checkpoint}',
    f'--output_file={output}',
    '--overwrite',
    f'{folder}/images/circle' if (folder / 'images' / 'circle').exists() else f'{folder}/images',
  )
  with open(output, encoding='utf-8', newline='') as file:
    rows = list(csv.reader(file))
  return [row[1:] for row in rows]


@pytest.fixture(scope='module')
def work(run, tmp_path_factory, shapes_dir):
  """A folder with images, data and a run that was continued, all below a strange name."""
  folder = tmp_path_factory.mktemp('work') / STRANGE
  shutil.copytree(shapes_dir, folder / 'images')
  run(
    folder.parent,
    'download_and_convert_data.py',
    f'--image_dir={folder}/images',
    f'--dataset_dir={folder}/data',
  )
  train(run, folder, 3, '--eval_split=validation', '--eval_every_steps=3', '--keep_best=accuracy')
  printed = train(run, folder, 6)
  assert 'model.ckpt-3 at step 3.' in printed
  names = {path.name for path in (folder / 'run').iterdir()}
  assert not any('damaged' in name for name in names)
  assert {'model.ckpt-3.index', 'model.ckpt-6.index'} <= names
  return folder


def test_a_move_changes_nothing(run, work, tmp_path):
  """Also evaluation while training, the folder best, and exports of each format."""
  expected = evaluate(run, work, 'run', 'eval'), classify(run, work, 'run')
  best = classify(run, work, 'run/best')
  shutil.copytree(work, tmp_path / 'kept' / STRANGE)
  moved = tmp_path / f'moved {STRANGE}'
  shutil.move(work, moved)
  try:
    assert (evaluate(run, moved, 'run', 'eval2'), classify(run, moved, 'run')) == expected
    assert classify(run, moved, 'run/best') == best
    assert classify(run, moved, 'run/model.ckpt-6') == expected[1]
    assert 'model.ckpt-6 at step 6' in train(run, moved, 7)
    # A copy is not the original, which has gone on.
    assert evaluate(run, tmp_path / 'kept' / STRANGE, 'run', 'eval') == expected[0]
  finally:
    shutil.move(tmp_path / 'kept' / STRANGE, work)


@pytest.mark.parametrize('kind', FORMATS)
def test_exports(run, work, kind):
  if kind == 'onnx':
    pytest.importorskip('tf2onnx')
  output = f'exported.{FORMATS[kind]}' if FORMATS[kind] else 'saved [0]'
  given = [f'--checkpoint_path={work}/run'] if kind != 'graph_def' else ['--model_name=lenet']
  run(
    work.parent,
    'export_inference_graph.py',
    f'--format={kind}',
    f'--output_file={work}/{kind}/{output}',
    *given,
  )
  if kind != 'graph_def':
    assert len(classify(run, work, f'{kind}/{output}')) > 1


def test_the_other_scripts(run, work):
  there = work.parent
  listed = run(there, 'inspect_checkpoint.py', f'--checkpoint_path={work}/run')
  assert 'LeNet/conv1/weights' in listed
  run(
    there,
    'inspect_checkpoint.py',
    f'--average={work}/run/model.ckpt-3,{work}/run/model.ckpt-6',
    f'--output={work}/mean/',
  )
  assert len(classify(run, work, 'mean')) > 1
  for flags in (
    ['--survey'],
    ['--verify'],
    ['--extract=2', f'--output_dir={work}/taken'],
    ['--preview_augmentation', f'--output_dir={work}/seen', '--preview_image_size=32'],
  ):
    run(there, 'inspect_dataset.py', f'--dataset_dir={work}/data', *flags)
  run(
    there,
    'benchmark_model.py',
    f'--checkpoint_path={work}/run',
    '--batch_sizes=1',
    '--seconds=0.1',
    f'--output_file={work}/speed.json',
  )
  assert (work / 'speed.json').exists()
  run(
    there,
    'find_learning_rate.py',
    '--dataset_name=digits',
    *NET,
    '--seed=1',
    '--num_steps=40',
    f'--train_dir={work}/rates',
  )
  assert (work / 'rates' / 'learning_rates.csv').exists()


def test_comparison_and_tables(run, work):
  flags = (*data(work), '--dataset_split_name=validation')
  both = f'{work}/run/model.ckpt-3,{work}/run/model.ckpt-6'
  for name, flag in (
    ('all', [f'--checkpoint_path={work}/run', '--all_checkpoints']),
    ('compare', [f'--compare={both}']),
    ('ensemble', [f'--checkpoint_path={both}']),
  ):
    run(work.parent, 'eval_image_classifier.py', *flags, *flag, f'--eval_dir={work}/{name}')
  with open(work / 'all' / 'checkpoints.csv', encoding='utf-8') as file:
    assert len(list(csv.DictReader(file))) >= 2


def test_home_and_urls(run, tmp_path, shapes_dir):
  flags = ('--dataset_name=digits', *NET, '--max_number_of_steps=1')
  run(tmp_path, 'train_image_classifier.py', *flags, '--train_dir=~/run')
  assert (tmp_path / 'run' / 'model.ckpt-1.index').exists()
  run(tmp_path, 'train_image_classifier.py', *flags, f'--train_dir=file://{tmp_path}/other')
  expected = {path.name for path in (tmp_path / 'run').iterdir() if 'events' not in path.name}
  found = {path.name for path in (tmp_path / 'other').iterdir() if 'events' not in path.name}
  assert found == expected
  before = set(tmp_path.rglob('*'))
  for script, flag in (
    ('train_image_classifier.py', 'train_dir'),
    ('eval_image_classifier.py', 'eval_dir'),
    ('eval_image_classifier.py', 'checkpoint_path'),
    ('export_inference_graph.py', 'output_file'),
    ('classify_images.py', 'output_file'),
    ('find_learning_rate.py', 'train_dir'),
    ('inspect_checkpoint.py', 'output'),
    ('inspect_dataset.py', 'output_dir'),
    ('download_and_convert_data.py', 'dataset_dir'),
    ('benchmark_model.py', 'checkpoint_path'),
    ('launch_local_cluster.py', 'logs_dir'),
  ):
    for url in ('ram://run', 'gs://bucket/run'):
      run(tmp_path, script, f'--{flag}={url}', fails_with=f'--{flag}={url} is a URL')
  assert set(tmp_path.rglob('*')) == before


def test_a_cluster(work):
  """In a process of its own: the launcher starts others."""
  finished = subprocess.run(  # noqa: S603
    [
      sys.executable,
      str(ROOT / 'launch_local_cluster.py'),
      '--num_workers=1',
      f'--logs_dir={work}/logs',
      '--',
      'train_image_classifier.py',
      *data(work),
      *NET,
      '--max_number_of_steps=2',
      f'--train_dir={work}/cluster',
    ],
    capture_output=True,
    text=True,
    check=False,
    cwd=ROOT,
  )
  assert finished.returncode == 0, finished.stdout + finished.stderr
  assert (work / 'cluster' / 'model.ckpt-2.index').exists()
