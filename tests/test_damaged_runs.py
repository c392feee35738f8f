"""A run whose files were damaged, removed or replaced: every script says so in a sentence."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from tests import warm_python

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = '--dataset_name=digits'
CHECKPOINT = 'model.ckpt-4'
DATA_FILE = f'{CHECKPOINT}.data-00000-of-00001'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A function that runs a script; it returns the exit code and what was printed."""
  folder = tmp_path_factory.mktemp('python')

  def run_script(script, *args):
    finished = subprocess.run(  # noqa: S603
      [folder / 'python', str(ROOT / script), *args], capture_output=True, text=True, check=False
    )
    printed = finished.stdout + finished.stderr
    assert 'Traceback' not in printed
    if finished.returncode:
      assert finished.returncode == 1, printed
      last = printed.strip().splitlines()[-1]
      assert last.startswith(f'{script}: error: '), printed
      assert 'Graph execution' not in last
    return finished.returncode, printed

  with warm_python.start(folder):
    yield run_script


def train(run, folder, num_steps):
  return run(
    'train_image_classifier.py',
    DATA,
    '--model_name=lenet',
    '--batch_size=4',
    '--save_interval_steps=2',
    '--eval_split=test',
    '--eval_every_steps=2',
    '--keep_best=accuracy',
    f'--max_number_of_steps={num_steps}',
    f'--train_dir={folder}',
  )


@pytest.fixture(scope='module')
def whole(run, tmp_path_factory):
  """A run of 4 steps with checkpoints of the steps 2 and 4."""
  folder = tmp_path_factory.mktemp('runs') / 'whole'
  assert train(run, folder, 4)[0] == 0
  return folder


def evaluate(run, folder):
  return run(
    'eval_image_classifier.py',
    DATA,
    '--dataset_split_name=test',
    '--noreport',
    '--max_num_batches=1',
    f'--checkpoint_path={folder}',
    f'--eval_dir={folder}/evaluated',
  )


def replace_by(make):
  def change(path):
    path.unlink()
    make(path)

  return change


def cut(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def take_from_another(path):
  path.write_bytes((path.parent / path.name.replace('-4', '-2', 1)).read_bytes())


NO_FILE = {'a folder': replace_by(os.mkdir), 'a pipe': replace_by(os.mkfifo)}
# (name of the file, damage, whether evaluation is possible, whether training goes on)
DAMAGES = {
  'state cut': ('checkpoint', cut, True, True),
  'state gone': ('checkpoint', pathlib.Path.unlink, True, True),
  **{f'state is {what}': ('checkpoint', make, True, True) for what, make in NO_FILE.items()},
  'data cut': (DATA_FILE, cut, False, True),
  'data gone': (DATA_FILE, pathlib.Path.unlink, False, True),
  'data of another': (DATA_FILE, take_from_another, False, True),
  'data is a folder': (DATA_FILE, NO_FILE['a folder'], False, True),
  'index cut': (f'{CHECKPOINT}.index', cut, False, True),
  'index empty': (f'{CHECKPOINT}.index', lambda path: path.write_bytes(b''), False, True),
  'model.json cut': ('model.json', cut, False, True),
  'model.json is null': ('model.json', lambda path: path.write_text('null'), False, True),
  'model.json nested': ('model.json', lambda path: path.write_text('[' * 100_000), False, True),
  'model.json of other types': (
    'model.json',
    lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), 'image_size': '28'})),
    False,
    True,
  ),
  'model.json of other counts': (
    'model.json',
    lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), 'num_classes': 9})),
    False,
    True,
  ),
  **{f'model.json is {what}': ('model.json', make, False, True) for what, make in NO_FILE.items()},
  'run.json cut': ('run.json', cut, True, True),
  'run.json is a folder': ('run.json', NO_FILE['a folder'], True, True),
  'metrics.jsonl is rubbish': (
    'metrics.jsonl',
    lambda path: path.write_bytes(b'\xff\0'),
    True,
    True,
  ),
  **{
    f'metrics.jsonl is {what}': ('metrics.jsonl', make, True, True)
    for what, make in NO_FILE.items()
  },
  'metrics.csv is a folder': ('metrics.csv', NO_FILE['a folder'], True, True),
  'flags.txt is a folder': ('flags.txt', NO_FILE['a folder'], True, True),
  'validation.json cut': ('validation.json', cut, True, False),
  'validation.json is a list': ('validation.json', lambda path: path.write_text('[]'), True, False),
  'validation.json is a folder': ('validation.json', NO_FILE['a folder'], True, False),
  'lock is a folder': ('.lock', NO_FILE['a folder'], True, False),
  'lock is a pipe': ('.lock', NO_FILE['a pipe'], True, True),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_a_damage(run, whole, tmp_path, name):
  file, damage, is_evaluated, goes_on = DAMAGES[name]
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  damage(folder / file)
  code, printed = evaluate(run, folder)
  assert code == int(not is_evaluated), printed
  code, printed = train(run, folder, 6)
  assert code == int(not goes_on), printed
  # Nothing begins anew, and what was damaged keeps a name.
  assert 'global step 1:' not in printed
  if goes_on:
    assert (folder / f'{CHECKPOINT.replace("4", "6")}.index').exists()


@pytest.mark.parametrize('file', [DATA_FILE, f'{CHECKPOINT}.index'])
@pytest.mark.parametrize('damage', [cut, pathlib.Path.unlink])
@pytest.mark.parametrize(
  'flags',
  [['--statistics'], ['--tensor_name=LeNet/fc3/weights'], ['--weights=raw', '--output=new']],
)
def test_inspection(run, whole, tmp_path, monkeypatch, file, damage, flags):
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  damage(folder / file)
  flags = [flag.replace('=new', f'={tmp_path}/new/model.ckpt') for flag in flags]
  checkpoint = f'{folder}/{CHECKPOINT}'
  code, printed = run('inspect_checkpoint.py', f'--checkpoint_path={checkpoint}', *flags)
  assert code == 1, printed
  assert not list(tmp_path.glob('new/*'))


@pytest.mark.parametrize(
  'content', [b'\xff\xfe', b'a,b\n1,2\n', b'checkpoint,global_step\nmodel.ckpt-2,two\n', None]
)
def test_the_table_of_evaluations(run, whole, tmp_path, content):
  table = tmp_path / 'checkpoints.csv'
  table.write_bytes(content) if content else table.mkdir()
  code, printed = run(
    'eval_image_classifier.py',
    DATA,
    '--dataset_split_name=test',
    '--all_checkpoints',
    f'--checkpoint_path={whole}',
    f'--eval_dir={tmp_path}',
  )
  assert (code, 'Remove it' in printed) == (1, True)
