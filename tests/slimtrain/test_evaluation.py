"""Evaluation: every example once, at any batch size, of raw and averaged weights."""

import dataclasses
import json
import os

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, tf
from slimtrain import evaluation, inputs, model_facts, models
from tests import scenes


def make_settings(checkpoint_path, eval_dir, batch_size=100, **changes):
  return evaluation.EvaluationSettings(
    checkpoint_path=str(checkpoint_path),
    eval_dir=str(eval_dir),
    model=models.ModelSettings('lenet'),
    data=inputs.DataSettings(
      dataset_name='digits', dataset_split_name='test', batch_size=batch_size
    ),
    **changes,
  )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A LeNet with random weights, and with others as its moving averages."""
  path = tmp_path_factory.mktemp('lenet') / 'model.ckpt'
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(1)
    images = tf.placeholder(tf.float32, [None, 28, 28, 1])
    nets_factory.get_network_fn('lenet', 10)(images)
    averages = tf.train.ExponentialMovingAverage(0.5)
    averages.apply(tf.trainable_variables())
    step = tf.train.get_or_create_global_step()
    session.run(tf.global_variables_initializer())
    session.run(step.assign(7))
    for variable in tf.trainable_variables():
      session.run(averages.average(variable).assign(-variable))
    return tf.train.Saver().save(session, str(path), step, write_meta_graph=False)


def count_correct(checkpoint, ending):
  """Returns how many test images a plain forward pass gets right, and in the first 5 guesses."""
  data = inputs.load_data(inputs.DataSettings(dataset_name='digits', dataset_split_name='test'))
  images, labels = [], []
  with tf.Graph().as_default(), tf.Session() as session:
    records = tf.data.TFRecordDataset(data.files)
    example = tf.data.make_one_shot_iterator(records).get_next()
    image, label = data.dataset.decoder.decode(example, ['image', 'label'])
    for _ in range(data.num_examples):
      pixels, number = session.run([image, label])
      images.append((pixels.astype('float32') - 128) / 128)
      labels.append(int(number))
  with tf.Graph().as_default(), tf.Session() as session:
    logits, _ = nets_factory.get_network_fn('lenet', 10)(tf.constant(np.stack(images)))
    reader = tf.train.NewCheckpointReader(checkpoint)
    for variable in tf.global_variables():
      session.run(variable.assign(reader.get_tensor(variable.op.name + ending)))
    ranked = np.argsort(-session.run(logits), axis=1)
  labels = np.array(labels)
  return int((ranked[:, 0] == labels).sum()), int((ranked[:, :5] == labels[:, None]).sum())


@pytest.mark.parametrize('batch_size', [1, 7, 60, 360, 500])
@pytest.mark.parametrize('averaged', [False, True], ids=['raw', 'averaged'])
def test_counts_every_example_once(tmp_path, checkpoint, batch_size, averaged):
  settings = make_settings(checkpoint, tmp_path, batch_size, use_moving_averages=averaged)
  result = evaluation.evaluate(settings)
  correct, among_five = count_correct(checkpoint, '/ExponentialMovingAverage' if averaged else '')
  assert result['examples'] == 360
  assert result['eval/Accuracy'] == pytest.approx(correct / 360, abs=1e-6)
  assert result['eval/Recall_5'] == pytest.approx(among_five / 360, abs=1e-6)
  # Random weights must not happen to give the same for both.
  assert 0 < correct < 360


def test_writes_json_and_summaries(tmp_path, checkpoint):
  result = evaluation.evaluate(make_settings(checkpoint, tmp_path))
  assert json.loads((tmp_path / 'eval.json').read_text()) == result
  assert result['global_step'] == 7
  assert result['checkpoint'] == checkpoint
  (events,) = (name for name in os.listdir(tmp_path) if 'tfevents' in name)
  tags = {
    value.tag: (event.step, value.simple_value)
    for event in tf.train.summary_iterator(str(tmp_path / events))
    for value in event.summary.value
  }
  for tag in ('eval/Accuracy', 'eval/Recall_5'):
    assert tags[tag] == (7, pytest.approx(result[tag]))


def test_targets_have_metrics_of_their_own(tmp_path):
  scenes.write(tmp_path / 'records', 'regression', {'train': 5, 'test': 17}, size=28)
  with tf.Session() as session:
    nets_factory.get_network_fn('lenet', 3)(tf.zeros([1, 28, 28, 1]))
    session.run([tf.train.get_or_create_global_step().initializer])
    session.run(tf.global_variables_initializer())
    saved = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'), write_meta_graph=False)
  settings = make_settings(saved, tmp_path, batch_size=5)
  records = {'dataset_name': 'image_folder', 'dataset_dir': str(tmp_path / 'records')}
  data = dataclasses.replace(settings.data, **records)
  result = evaluation.evaluate(dataclasses.replace(settings, data=data))
  assert result['examples'] == 17
  for metric in ('MAE', 'RMSE', 'R2'):
    parts = [result[f'eval/{metric}/{name}'] for name in scenes.TARGETS]
    assert result[f'eval/{metric}'] == pytest.approx(np.mean(parts), rel=1e-5)
  assert not {'eval/Accuracy', 'eval/mAP'} & set(result)


def test_max_num_batches(tmp_path, checkpoint):
  assert (
    evaluation.evaluate(make_settings(checkpoint, tmp_path, 50, max_num_batches=2))['examples']
    == 100
  )


def test_missing_moving_averages_are_refused(tmp_path):
  with tf.Session() as session:
    nets_factory.get_network_fn('lenet', 10)(tf.zeros([1, 28, 28, 1]))
    session.run(tf.global_variables_initializer())
    raw = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  with pytest.raises(errors.InputError, match='leave --moving_average_decay and'):
    evaluation.evaluate(make_settings(raw, tmp_path / 'eval', moving_average_decay=0.9))


@pytest.mark.parametrize(
  ('num_classes', 'advice'), [(7, 'on the dataset it was trained on'), (9, '--labels_offset=1')]
)
def test_other_classes_are_refused(tmp_path, num_classes, advice):
  other = save_lenet(tmp_path, num_classes)
  with pytest.raises(errors.InputError, match=f'than the 10 .* for {num_classes}. .*{advice}'):
    evaluation.evaluate(make_settings(other, tmp_path / 'eval'))


def save_lenet(directory, num_classes=10):
  with tf.Graph().as_default(), tf.Session() as session:
    nets_factory.get_network_fn('lenet', num_classes)(tf.zeros([1, 28, 28, 1]))
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(directory / 'model.ckpt'))


def test_averages_are_evaluated_where_there_are_some(tmp_path, checkpoint):
  assert evaluation.evaluate(make_settings(checkpoint, tmp_path))['weights'] == 'moving averages'
  raw = save_lenet(tmp_path)
  assert evaluation.evaluate(make_settings(raw, tmp_path))['weights'] == 'weights'


def test_the_checkpoint_says_what_it_is_of(tmp_path, monkeypatch):
  given = evaluation.EvaluationSettings(checkpoint_path=save_lenet(tmp_path))
  assert evaluation.complete(given, set()).model.model_name == 'lenet'
  # As it is said, whatever the variables are.
  assert evaluation.complete(given, {'model_name'}) == given
  facts = dataclasses.replace(
    model_facts.infer(given.checkpoint_path), image_size=32, use_grayscale=True
  )
  model_facts.write(tmp_path, facts)
  completed = evaluation.complete(given, {'eval_dir'})
  assert completed.model.model_name == 'lenet'
  assert completed.eval_image_size == 32
  assert completed.data.use_grayscale
  assert completed.data.preprocessing_name == 'lenet'
  with pytest.raises(errors.InputError, match=r'--model_name=inception_v3 contradicts .*=lenet'):
    evaluation.complete(given, {'model_name'})


def test_eval_dir_that_cannot_be_written_to_is_refused(checkpoint):
  with pytest.raises(errors.InputError, match='--eval_dir=/dev/null/eval cannot be written to'):
    evaluation.evaluate(make_settings(checkpoint, '/dev/null/eval'))
