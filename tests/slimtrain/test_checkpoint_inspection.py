"""Looking into checkpoints, and making one of others."""

import logging
import os
import pathlib

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, slim, tf
from slimtrain import (
  checkpoint_files,
  checkpoint_inspection,
  checkpoints,
  evaluation,
  inputs,
  models,
  optimizers,
  training,
)

EXAMPLES = {
  'global_step': np.int64(7),
  'net/biases': np.array([0.0, -1.5], np.float32),
  'net/weights': np.array([[0.0, 1.0], [np.nan, -np.inf]], np.float32),
  'words': np.array([b'one', b'two'], object),
}


def write(directory, **changes):
  """Writes a checkpoint of EXAMPLES with `changes`; returns its path."""
  values = {name: np.asarray(value) for name, value in {**EXAMPLES, **changes}.items()}
  os.makedirs(directory, exist_ok=True)
  dtypes = {name: tf.as_dtype(value.dtype) for name, value in values.items()}
  checkpoint_files.write(f'{directory}/model.ckpt', values, dtypes)
  return f'{directory}/model.ckpt'


def read(path):
  file = checkpoint_files.CheckpointFile(path)
  return {name: file.value(name) for name in file.shapes}


@pytest.fixture
def inspect(caplog):
  """A function that inspects with settings, and returns what is said."""
  caplog.set_level(logging.INFO, logger='slimtrain')

  def run(**settings):
    caplog.clear()
    checkpoint_inspection.inspect(checkpoint_inspection.InspectionSettings(**settings))
    return [record.message for record in caplog.records if record.name == 'slimtrain']

  return run


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
  """A run of LeNet on digits with moving averages, saved at the steps 2, 4 and 6."""
  directory = tmp_path_factory.mktemp('run')
  training.train(
    training.TrainingSettings(
      train_dir=str(directory),
      max_number_of_steps=6,
      save_interval_steps=2,
      moving_average_decay=0.9,
      model=models.TrainedModelSettings(model_name='lenet'),
      data=inputs.TrainingDataSettings(dataset_name='digits', batch_size=8),
      optimizer=optimizers.OptimizerSettings(optimizer='adamw'),
    )
  )
  return directory


def test_values_are_written_and_read_as_they_are(tmp_path):
  path = write(tmp_path)
  values = read(path)
  assert values.keys() == EXAMPLES.keys()
  for name, value in values.items():
    np.testing.assert_array_equal(value, EXAMPLES[name])
    assert value.dtype == np.asarray(EXAMPLES[name]).dtype
  assert checkpoints.find(str(tmp_path)) == path


def test_list(tmp_path, inspect):
  path = write(tmp_path)
  lines = inspect(checkpoint_path=str(tmp_path))
  assert lines[0] == f'{path}, step 7:'
  assert [line.split() for line in lines[2:7]] == [
    ['name', 'shape', 'dtype', 'values'],
    ['global_step', 'scalar', 'int64', '1'],
    ['net/biases', '2', 'float32', '2'],
    ['net/weights', '2x2', 'float32', '4'],
    ['words', '2', 'string', '2'],
  ]
  assert lines[-1].startswith('4 tensors, 9 values, ')
  assert len({len(line) for line in lines[2:7]}) == 1


def test_statistics(tmp_path, inspect):
  write(tmp_path)
  lines = inspect(checkpoint_path=str(tmp_path), statistics=True, filter='net|words')
  assert [line.split()[4:] for line in lines[3:6]] == [
    ['-0.75', '0.75', '-1.5', '0', '50.0%', '0'],
    ['0.5', '0.5', '0', '1', '25.0%', '2'],
    ['-'] * 6,
  ]


@pytest.mark.parametrize(
  ('values', 'expected'),
  [
    (np.full(10**6, 0.1, np.float32), (0.1, 0, 0.1, 0.1, 0, 0)),
    (np.array([1, 2, 3], np.int32), (2, (2 / 3) ** 0.5, 1, 3, 0, 0)),
    (np.array([np.nan]), (np.nan, np.nan, np.nan, np.nan, 0, 1)),
    (np.zeros([0]), (np.nan, np.nan, np.nan, np.nan, np.nan, 0)),
  ],
  ids=['many', 'integers', 'none finite', 'none'],
)
def test_measured(values, expected):
  np.testing.assert_allclose(checkpoint_inspection.measure(values), expected, rtol=1e-7, atol=1e-12)


def test_values_of_a_tensor(tmp_path, inspect):
  long = np.linspace(0, 1, 2000, dtype=np.float32)
  write(tmp_path, long=long)
  lines = inspect(checkpoint_path=str(tmp_path), tensor_name='net/weights', precision=2)
  assert lines == ['net/weights, 2x2, float32:', '[[  0.   1.]', ' [ nan -inf]]']
  lines = inspect(checkpoint_path=str(tmp_path), tensor_name='long')
  printed = np.array(' '.join(lines[1:]).strip('[]').split(), np.float32)
  np.testing.assert_allclose(printed, long, atol=1e-8)


def test_comparison(tmp_path, inspect):
  first = write(tmp_path / 'first', only=[1.0], shape=[1.0], same=[np.nan], far=[0, 1.0])
  second = write(
    tmp_path / 'second', other=[1.0], shape=[1.0, 2], same=[np.nan], far=[3.0, 1], global_step=9
  )
  found = checkpoint_inspection.compare(*map(checkpoint_files.CheckpointFile, (first, second)))
  assert found.only_first == ['only']
  assert found.only_second == ['other']
  # The step, of the type int32 there or of int64, is a matter of the platform.
  assert 'shape' in found.other_shapes
  assert found.equal == ['net/biases', 'net/weights', 'same', 'words']
  assert found.differences['far'] == 3
  lines = inspect(checkpoint_path=first, compare_with=second, filter='^(only|other|same|far)$')
  assert [line.split() for line in lines[2:]] == [
    ['1', 'only', 'in', 'the', 'first:'],
    ['only', '1'],
    ['1', 'only', 'in', 'the', 'second:'],
    ['other', '1'],
    ['0', 'of', 'other', 'shapes', 'or', 'types'],
    ['1', 'with', 'other', 'values,', 'and', 'the', 'largest', 'absolute', 'difference:'],
    ['far', '3'],
    ['1', 'equal', 'to', 'the', 'bit'],
  ]


def test_what_is_not_finite_differs_most(tmp_path):
  first = write(tmp_path / 'first', a=[1.0], b=[1.0], c=[1.0])
  second = write(tmp_path / 'second', a=[9.0], b=[np.nan], c=[2.0])
  found = checkpoint_inspection.compare(*map(checkpoint_files.CheckpointFile, (first, second)))
  assert list(found.differences) == ['b', 'a', 'c']


def test_average(tmp_path, run_dir, inspect):
  paths = [f'{run_dir}/model.ckpt-{step}' for step in (4, 6, 2)]
  output = str(tmp_path / 'mean' / 'model.ckpt')
  lines = inspect(average=', '.join(paths), output=output)
  assert lines == [f'Wrote {output}, the mean of the steps 2, 4, 6, as step 6.']
  sources = [read(path) for path in paths]
  for name, value in read(str(tmp_path / 'mean')).items():
    if name == 'global_step':
      assert value == 6
    else:
      expected = np.mean([np.asarray(source[name], np.float64) for source in sources], axis=0)
      np.testing.assert_array_equal(value, expected.astype(np.float32), err_msg=name)
      assert value.dtype == np.float32


@pytest.mark.parametrize('weights', ['raw', 'moving_averages'])
def test_weights_of_their_own_evaluate_as_the_run_does(tmp_path, run_dir, inspect, weights):
  output = str(tmp_path / 'weights')
  inspect(checkpoint_path=str(run_dir), weights=weights, output=f'{output}/')

  def evaluate(path, use_moving_averages=False):
    result = evaluation.evaluate(
      evaluation.EvaluationSettings(
        checkpoint_path=path,
        eval_dir=str(tmp_path),
        use_moving_averages=use_moving_averages,
        max_num_batches=1,
        model=models.ModelSettings(model_name='lenet'),
        data=inputs.DataSettings(dataset_name='digits', dataset_split_name='test'),
      )
    )
    return result['global_step'], result['eval/Accuracy'], result['eval/Recall_5']

  is_average = weights == 'moving_averages'
  assert evaluate(output) == evaluate(str(run_dir), is_average)
  source, written = read(str(run_dir)), read(output)
  for name, value in written.items():
    is_averaged = is_average and name != 'global_step'
    ending = '/ExponentialMovingAverage' if is_averaged else ''
    np.testing.assert_array_equal(value, source[name + ending])


@pytest.mark.parametrize('optimizer', ['lamb', 'rmsprop'])
def test_model_variables_are_told_from_the_rest(tmp_path, optimizer):
  network_fn = nets_factory.get_network_fn('mobilenet_v1_025', 10, is_training=True)
  loss = tf.reduce_sum(network_fn(tf.zeros([2, 32, 32, 3]))[0])
  settings = optimizers.OptimizerSettings(optimizer=optimizer)
  step = tf.train.get_or_create_global_step()
  optimizers.make_optimizer(settings, 0.1).minimize(loss, step)
  checkpoints.make_moving_averages(0.9, step).apply(slim.get_model_variables())
  expected = sorted(variable.op.name for variable in slim.get_model_variables())
  assert len(expected) < len(tf.global_variables()) - 2
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'), 3)
  assert checkpoint_files.CheckpointFile(str(tmp_path)).model_variables() == expected


@pytest.mark.parametrize('file_format', ['v1', 'v2'])
def test_both_formats(tmp_path, goldens, inspect, file_format):
  path = str(goldens / 'checkpoints' / f'mobilenet_v1_025_{file_format}')
  assert inspect(checkpoint_path=path)[-1].startswith('138 tensors, ')
  inspect(checkpoint_path=path, weights='raw', output=str(tmp_path / 'own'))
  # All are of the model, but for the step, which stays.
  lines = inspect(checkpoint_path=path, compare_with=str(tmp_path))
  assert lines[-1] == '  138 equal to the bit'


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    ({}, '--checkpoint_path is missing'),
    ({'checkpoint_path': '{0}/nowhere'}, 'There is no checkpoint'),
    ({'checkpoint_path': '{0}', 'filter': '('}, 'no regular expression'),
    ({'checkpoint_path': '{0}', 'filter': 'x'}, 'found in none of the 4 names'),
    ({'checkpoint_path': '{0}', 'tensor_name': 'net/wieghts'}, "Did you mean 'net/weights'"),
    ({'checkpoint_path': '{0}', 'tensor_name': 'a', 'statistics': True}, 'exclude each other'),
    ({'checkpoint_path': '{0}', 'tensor_name': 'a', 'filter': 'a'}, 'exclude each other'),
    ({'checkpoint_path': '{0}', 'weights': 'raw'}, '--output says where'),
    ({'checkpoint_path': '{0}', 'output': '{0}/a'}, '--output says where'),
    ({'checkpoint_path': '{0}', 'weights': 'raw', 'output': '{0}/a'}, 'holds checkpoints already'),
    (
      {'checkpoint_path': '{0}', 'weights': 'moving_averages', 'output': '{0}/a/'},
      'holds no moving averages',
    ),
    ({'average': '{0}', 'output': '{0}/a/'}, 'names 1 checkpoint'),
    (
      {'average': '{0},{0}', 'output': '{0}/a', 'checkpoint_path': '{0}'},
      'leave --checkpoint_path',
    ),
    ({'average': '{0},{0}/other', 'output': '{0}/a/'}, 'not of one run: 1 variables .* net/more'),
    ({'checkpoint_path': '{0}/cut', 'statistics': True}, 'is damaged'),
  ],
)
def test_refused(tmp_path, inspect, settings, sentence):
  write(tmp_path)
  write(tmp_path / 'other', **{'net/more': [1.0]})
  data = pathlib.Path(write(tmp_path / 'cut') + '.data-00000-of-00001')
  data.write_bytes(data.read_bytes()[:10])
  settings = {
    name: value.format(tmp_path) if isinstance(value, str) else value
    for name, value in settings.items()
  }
  with pytest.raises(errors.InputError, match=sentence):
    inspect(**settings)
  assert not (tmp_path / 'a').is_dir() or not os.listdir(tmp_path / 'a')
