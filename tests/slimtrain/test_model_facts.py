"""What a checkpoint is of: written by a run, read, or told by its variables."""

import dataclasses

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, tf
from slimtrain import checkpoints, evaluation, inputs, model_facts, training
from slimtrain import settings as settings_lib


def of_run(**flags):
  settings = settings_lib.replace(
    training.TrainingSettings(), dataset_name='digits', model_name='lenet'
  )
  data = inputs.load_data(settings.data)
  return model_facts.of_run(settings_lib.replace(settings, **flags), data, num_channels=1)


@pytest.fixture(scope='module')
def facts():
  return of_run(moving_average_decay=0.9)


def save(directory, name, num_classes, num_channels=3):
  network = nets_factory.NETWORKS[name]
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.zeros([1, network.image_size, network.image_size, num_channels])
    nets_factory.get_network_fn(name, num_classes)(images)
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(directory / 'model.ckpt'))


def test_written_and_read(tmp_path, facts):
  model_facts.write(str(tmp_path), facts)
  assert model_facts.read(str(tmp_path / 'model.ckpt-7')) == facts
  assert facts == model_facts.ModelFacts(
    model_name='lenet',
    task='single_label',
    num_classes=10,
    class_names=tuple('0123456789'),
    labels_offset=0,
    image_size=28,
    num_channels=1,
    preprocessing_name='lenet',
    preprocessing=inputs.DataSettings().preprocessing,
    use_grayscale=False,
    moving_average_decay=0.9,
    decoded_channels=1,
  )
  assert model_facts.read(str(tmp_path / 'elsewhere' / 'model.ckpt-7')) is None


@pytest.mark.parametrize(
  ('changes', 'num_channels'),
  [
    ({}, 1),
    ({'decoded_channels': 3}, 3),
    ({'decoded_channels': None}, 1),
    ({'decoded_channels': None, 'use_grayscale': True}, 3),
    ({'decoded_channels': None, 'num_channels': 3}, 3),
  ],
)
def test_images_are_decoded_as_in_evaluation(facts, changes, num_channels):
  pixels = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
  with tf.Session() as session:
    image = dataclasses.replace(facts, **changes).decode(tf.image.encode_png(pixels))
    np.testing.assert_array_equal(session.run(image), np.repeat(pixels, num_channels, axis=-1))


def test_labels_offset_moves_the_names():
  assert of_run(labels_offset=1).class_names[:2] == ('1', '2')


def test_numbers_of_a_survey_are_kept_as_numbers(tmp_path):
  (tmp_path / 'survey.json').write_text(
    '{"channel_means": [10.5, 20, 30.25], "channel_stds": [5, 6, 7]}'
  )
  facts = of_run(
    dataset_dir=str(tmp_path),
    preprocessing_name='simple',
    channel_means='from_survey',
    channel_stds='2',
  )
  assert facts.preprocessing.channel_means == '10.5,20.0,30.25'
  assert facts.preprocessing.channel_stds == '2.0'


@pytest.mark.parametrize('content', ['{', '[]', '{"model_name": "lenet"}', '{"odd": 1}'])
def test_a_damaged_file_is_named(tmp_path, content):
  (tmp_path / 'model.json').write_text(content)
  with pytest.raises(errors.InputError, match=r'model\.json is damaged'):
    model_facts.read(str(tmp_path / 'model.ckpt-7'))


@pytest.mark.parametrize(
  ('name', 'num_channels', 'num_classes', 'is_made_gray'),
  [('lenet', 1, 10, False), ('mobilenet_v1_025', 1, 2, True), ('mobilenet_v1_050', 3, 5, False)],
)
def test_variables_tell_the_net(tmp_path, name, num_channels, num_classes, is_made_gray):
  checkpoint = save(tmp_path, name, num_classes, num_channels)
  facts = model_facts.infer(checkpoint)
  assert facts == model_facts.infer(checkpoint, name)
  assert (facts.model_name, facts.num_channels, facts.num_classes) == (
    name,
    num_channels,
    num_classes,
  )
  assert facts.use_grayscale == is_made_gray
  assert facts.image_size == nets_factory.NETWORKS[name].image_size
  assert facts.class_names == tuple(map(str, range(num_classes)))
  with pytest.raises(errors.InputError, match=f'looks like {name}, not vgg_16'):
    model_facts.infer(checkpoint, 'vgg_16')


def test_variables_of_no_net(tmp_path):
  with tf.Session() as session:
    tf.get_variable('mine', [3])
    session.run(tf.global_variables_initializer())
    checkpoint = tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))
  with pytest.raises(errors.InputError, match='is of no net of the table'):
    model_facts.infer(checkpoints.find(checkpoint))


@pytest.mark.parametrize(
  'lines',
  [
    'a\nb\n\nc\n',
    '0:a\n1:b\n2:c',
    '2:c\n0:a\n1:b\n',
    'background\na\nb\nc\n',
    '\ufeffa\r\nb\r\nc\r\n',
    '\ufeff0:a\n1:b\n2:c\n',
    'a 0\nb 1\nc 2\n',
    '{"0": "a", "1": "b", "2": "c"}',
    "item { id: 1 name: 'a' } item { id: 2 name: 'b' } item { id: 3 name: 'c' }",
  ],
)
def test_names_of_a_file(tmp_path, facts, lines):
  path = tmp_path / 'labels.txt'
  path.write_bytes(lines.encode())
  offset = 1 if 'background' in lines else 0
  facts = dataclasses.replace(facts, num_classes=3, labels_offset=offset)
  assert model_facts.with_names(facts, str(path)).class_names == ('a', 'b', 'c')


def test_names_of_another_number_are_refused(tmp_path, facts):
  path = tmp_path / 'labels.txt'
  path.write_text('a\nb\n')
  with pytest.raises(errors.InputError, match='has 2 class names, but the net has 10 classes'):
    model_facts.with_names(facts, str(path))
  with pytest.raises(errors.InputError, match='cannot be read'):
    model_facts.with_names(facts, str(tmp_path / 'missing'))


@pytest.mark.parametrize(
  'flags',
  [
    {'model_name': 'cifarnet'},
    {'labels_offset': 1},
    {'use_grayscale': True},
    {'preprocessing_name': 'vgg'},
    {'channel_means': '3'},
  ],
  ids=lambda flags: next(iter(flags)),
)
def test_contradictions_are_refused(facts, flags):
  settings = settings_lib.replace(evaluation.EvaluationSettings(), **flags)
  with pytest.raises(errors.InputError, match=f'--{next(iter(flags))}=.* contradicts'):
    model_facts.filled_in(settings, facts, set(flags), 'eval_image_size')


def test_what_agrees_or_was_not_given_is_filled_in(facts):
  settings = settings_lib.replace(
    evaluation.EvaluationSettings(), preprocessing_name='lenet', channel_means='from_survey'
  )
  given = {'preprocessing_name', 'channel_means', 'eval_dir'}
  filled = model_facts.filled_in(settings, facts, given, 'eval_image_size')
  assert filled.model.model_name == 'lenet'
  assert filled.eval_image_size == 28
  assert filled.data.preprocessing.channel_means == '127.5'
  settings = dataclasses.replace(settings, eval_image_size=32)
  assert model_facts.filled_in(settings, facts, given, 'eval_image_size').eval_image_size == 32
