"""Which checkpoints lie in a directory, whatever it is called and its file `checkpoint` says."""

import os
import shutil

import numpy as np
import pytest

from slimcompat import checkpoint_directory, tf

STRANGE = 'a [b]*?~ %s {x} é😀'
VERSIONS = {'V1': tf.train.SaverDef.V1, 'V2': tf.train.SaverDef.V2}


def write(folder, *steps, version='V2', prefix='model.ckpt'):
  """Writes checkpoints whose variable `v` holds the step, as TensorFlow writes and lists them."""
  folder.mkdir(exist_ok=True)
  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.get_variable('v', [2])
    saver = tf.train.Saver(write_version=VERSIONS[version])
    for step in steps:
      session.run(variable.assign([step, step]))
      saver.save(session, str(folder / prefix), step, write_state=False)
  tf.train.update_checkpoint_state(
    str(folder),
    str(folder / f'{prefix}-{steps[-1]}'),
    [str(folder / f'{prefix}-{n}') for n in steps],
  )


def steps(folder):
  return [checkpoint_directory.step(path) for path in checkpoint_directory.list_all(str(folder))]


@pytest.fixture(params=VERSIONS)
def run(tmp_path, request):
  """A directory with checkpoints of the steps 5, 9 and 10, by a name that looks like a pattern."""
  folder = tmp_path / STRANGE
  write(folder, 5, 9, 10, version=request.param)
  return folder


def test_each_is_read_and_restored(run):
  for path in checkpoint_directory.list_all(str(run)):
    number = checkpoint_directory.step(path)
    reader = checkpoint_directory.Reader(path)
    assert reader.shapes() == {'v': [2]}
    assert reader.dtypes() == {'v': tf.float32}
    assert reader.has_tensor('v')
    np.testing.assert_array_equal(reader.value('v'), [number, number])
    with tf.Graph().as_default(), tf.Session() as session:
      variable = tf.get_variable('v', [2])
      checkpoint_directory.restore(tf.train.Saver(), session, path)
      np.testing.assert_array_equal(session.run(variable), [number, number])


def test_removing_one_leaves_the_others(run):
  others = {path.name for path in run.iterdir() if '-9' not in path.name}
  checkpoint_directory.remove(str(run / 'model.ckpt-9'))
  assert {path.name for path in run.iterdir()} == others
  assert steps(run) == [5, 10]


def test_the_files_of_one_are_its_own(run):
  # model.ckpt-1 is how the names of model.ckpt-10 begin.
  assert checkpoint_directory.list_files(str(run / 'model.ckpt-1')) == []
  names = {
    os.path.basename(path) for path in checkpoint_directory.list_files(f'{run}/model.ckpt-10')
  }
  assert names == {path.name for path in run.iterdir() if path.name.startswith('model.ckpt-10')}


@pytest.mark.parametrize(
  ('state', 'expected'),
  [
    (None, [5, 9, 10]),
    (b'', [5, 9, 10]),
    (b'\xff\xfe\x00', [5, 9, 10]),
    (b'model_checkpoint_path: "model.ck', [5, 9, 10]),
    (b'model_checkpoint_path: "/elsewhere/other.ckpt-700"\n', [5, 9, 10]),
    (b'model_checkpoint_path: "/elsewhere/model.ckpt-9"\n', [5, 9, 10]),
    # Of the steps that it names, the order is its own: a run may have begun anew.
    (
      b'model_checkpoint_path: "x/model.ckpt-5"\n'
      b'all_model_checkpoint_paths: "x/model.ckpt-10"\n'
      b'all_model_checkpoint_paths: "x/model.ckpt-5"\n',
      [9, 10, 5],
    ),
    # As users edit it, to go back.
    (
      b'model_checkpoint_path: "model.ckpt-5"\n'
      + b''.join(b'all_model_checkpoint_paths: "model.ckpt-%d"\n' % n for n in (5, 9, 10)),
      [9, 10, 5],
    ),
  ],
)
def test_the_order(run, state, expected):
  if state is None:
    os.remove(run / 'checkpoint')
  else:
    (run / 'checkpoint').write_bytes(state)
  assert steps(run) == expected


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo])
def test_a_state_that_is_no_file(run, make):
  os.remove(run / 'checkpoint')
  make(run / 'checkpoint')
  assert steps(run) == [5, 9, 10]


def test_a_copy_is_its_own(tmp_path, run):
  copy = tmp_path / 'copy'
  shutil.copytree(run, copy)
  shutil.rmtree(run)
  assert checkpoint_directory.list_all(str(copy)) == [f'{copy}/model.ckpt-{n}' for n in (5, 9, 10)]


def test_writing_names_alone(run, tmp_path):
  checkpoint_directory.write_state(str(run), [f'{run}/model.ckpt-{n}' for n in (9, 10)])
  assert str(tmp_path) not in (run / 'checkpoint').read_text()
  assert checkpoint_directory.read_state(str(run)) == ['model.ckpt-9', 'model.ckpt-10']
  # And as TensorFlow reads it.
  state = tf.train.get_checkpoint_state(str(run))
  assert list(state.all_model_checkpoint_paths) == [f'{run}/model.ckpt-{n}' for n in (9, 10)]


def test_what_is_no_checkpoint(tmp_path):
  write(tmp_path, 5)
  (tmp_path / 'train.index').write_text('0 100\n100 100\n')  # As of a reader of records.
  (tmp_path / 'other.ckpt').write_bytes(b'PK\x03\x04')  # As of PyTorch Lightning.
  (tmp_path / 'model.ckpt-9.meta').touch()
  (tmp_path / 'model.ckpt-9.index').mkdir()
  assert steps(tmp_path) == [5]


def test_what_a_run_wrote(tmp_path):
  write(tmp_path, 7, prefix='released')
  os.remove(tmp_path / 'checkpoint')
  assert checkpoint_directory.newest(str(tmp_path)) == f'{tmp_path}/released-7'
  assert checkpoint_directory.newest_of_run(str(tmp_path)) is None
  write(tmp_path, 3)
  os.remove(tmp_path / 'checkpoint')
  assert checkpoint_directory.newest_of_run(str(tmp_path)) == f'{tmp_path}/model.ckpt-3'


def test_shards_of_v1(tmp_path):
  folder = tmp_path / STRANGE
  folder.mkdir()
  with tf.Graph().as_default(), tf.Session() as session:
    tf.get_variable('v', [2])
    session.run(tf.global_variables_initializer())
    saver = tf.train.Saver(write_version=tf.train.SaverDef.V1, sharded=True)
    path = saver.save(session, str(folder / 'model.ckpt'), 3, write_state=False)
  assert path.endswith('-?????-of-00001')
  assert checkpoint_directory.exists(path)
  assert checkpoint_directory.Reader(path).shapes() == {'v': [2]}
