"""Weights of examples, from their records into batches."""

import gzip

import numpy as np
import pytest
from PIL import Image

from slimcompat import errors, tf
from slimtrain import inputs, models, training

WEIGHTS = [0.0, 0.5, 1.0, 2.0, 3.5, 4.0, 5.0, 6.0]


def float_list(values):
  return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def int64_list(values):
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


@pytest.fixture
def write(tmp_path):
  """`write(weights)` writes records of 28x28 pixels with these features, None for none."""
  image = tmp_path / 'image.png'
  Image.fromarray(np.zeros((28, 28), 'uint8')).save(image)
  encoded = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.read_bytes()]))

  def write_records(features):
    path = tmp_path / 'mnist_train.tfrecord'
    with tf.io.TFRecordWriter(str(path)) as writer:
      for label, weight in enumerate(features):
        feature = {'image/encoded': encoded, 'image/class/label': int64_list([label])}
        if weight is not None:
          feature['my/weight'] = weight
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        writer.write(example.SerializeToString())
    return path

  return write_records


def make_settings(path, **changes):
  return inputs.TrainingDataSettings(
    dataset_name='mnist',
    dataset_dir=str(path.parent),
    batch_size=8,
    example_weight_key='my/weight',
    **changes,
  )


def take(settings):
  """Returns the first batch."""
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_training_batches(data, settings, 'lenet', 28, seed=1)
    with inputs.explained_errors(data, settings):
      return session.run(tf.data.make_one_shot_iterator(batches).get_next())


@pytest.mark.parametrize(
  'changes',
  [{}, {'cache': 'records'}, {'cache': 'decoded'}, {'input_mode': 'memory'}],
  ids=lambda changes: '-'.join(changes.values()) or 'plain',
)
@pytest.mark.parametrize('is_compressed', [False, True], ids=['plain', 'gzip'])
def test_weights_belong_to_their_examples(write, changes, is_compressed):
  path = write([float_list([weight]) for weight in WEIGHTS])
  if is_compressed:
    path.write_bytes(gzip.compress(path.read_bytes()))
  batch = take(make_settings(path, **changes))
  assert batch.example_weights.dtype == np.float32
  np.testing.assert_array_equal(batch.example_weights, np.array(WEIGHTS)[batch.labels])


def test_weights_are_mixed_with_the_labels(write):
  path = write([float_list([weight]) for weight in WEIGHTS])
  mixing = inputs.augmentation_lib.AugmentationSettings(mixup_alpha=1.0)
  batch = take(make_settings(path, augmentation=mixing))
  # Each class has one example, so that the labels hold the shares.
  np.testing.assert_allclose(batch.example_weights, batch.labels[:, :8] @ WEIGHTS, rtol=1e-5)


def test_weights_reach_the_loss(write, tmp_path):
  """With all weights 0, nothing is learnt but the regularization, and a step changes nothing."""
  path = write([float_list([0.0])] * 8)
  settings = training.TrainingSettings(
    train_dir=str(tmp_path / 'run'),
    max_number_of_steps=2,
    model=models.TrainedModelSettings(model_name='lenet', weight_decay=0.0),
    data=make_settings(path),
  )
  assert training.train(settings) == 0


@pytest.mark.parametrize(
  ('weight', 'found'),
  [
    (None, r'\[\]'),
    (float_list([]), r'\[\]'),
    (float_list([1.0, 2.0]), r'\[1 2\]'),
    (float_list([-0.5]), r'\[-0.5\]'),
    (float_list([float('nan')]), r'\[-?nan\]'),
    (float_list([float('inf')]), r'\[inf\]'),
  ],
  ids=['missing', 'empty', 'two', 'negative', 'nan', 'inf'],
)
def test_a_bad_weight_ends_the_run_and_names_the_record(write, weight, found):
  features = [float_list([1.0])] * 8
  features[5] = weight
  path = write(features)
  with pytest.raises(
    errors.InputError,
    match=rf'Record 5 \(counted from 0\) of {path} has the weights {found} at my/weight, but'
    ' --example_weight_key needs one finite number from 0 on',
  ):
    take(make_settings(path))


@pytest.mark.parametrize(
  ('weight', 'found'), [(None, 'nothing'), (int64_list([1]), 'a value of int64_list')], ids=str
)
def test_a_key_without_floats_is_refused_before_anything_is_read(write, weight, found):
  path = write([weight] * 8)
  with pytest.raises(errors.InputError, match=f'the first record of {path} has {found} there'):
    take(make_settings(path))
