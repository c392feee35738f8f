"""Exporting: what is refused, what is replaced, and the tasks and nets that it is for."""

import dataclasses
import os

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, tf
from slimtrain import export, export_check, exported_models, model_facts
from slimtrain import settings as settings_lib
from tests import scenes

NUM_CLASSES = 10


def save(directory, name, num_classes, shape):
  """Saves the net with random weights; returns the path."""
  with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(1)
    nets_factory.get_network_fn(name, num_classes)(tf.zeros(shape))
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(directory / 'model.ckpt'), write_meta_graph=False)


@pytest.fixture
def checkpoint(tmp_path_factory):
  """A LeNet with random weights."""
  return save(tmp_path_factory.mktemp('lenet'), 'lenet', NUM_CLASSES, [1, 28, 28, 1])


def make_settings(checkpoint, output_file, **changes):
  settings = settings_lib.replace(
    export.ExportSettings(),
    checkpoint_path=str(checkpoint),
    output_file=str(output_file),
    dataset_name='digits',
    num_check_images=20,
    **changes,
  )
  return export.complete(settings, {'checkpoint_path', 'dataset_name'})


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'output_file': ''}, '--output_file is missing'),
    ({'format': 'frozen', 'checkpoint_path': None}, '--format=frozen needs --checkpoint_path'),
    ({'format': 'frozen', 'checkpoint_path': '{0}/nowhere'}, 'no checkpoint {0}/nowhere'),
    ({'format': 'frozen', 'output_file': '{0}/file'}, '{0}/file exists. .*--overwrite'),
    ({'format': 'frozen', 'output_file': '{0}', 'overwrite': True}, '{0} is a folder'),
    ({'format': 'saved_model', 'output_file': '{0}'}, '{0} exists. .*--overwrite'),
    (
      {'format': 'saved_model', 'output_file': '{0}', 'overwrite': True},
      '{0} holds something else',
    ),
    ({'format': 'frozen', 'output_file': '{0}/file/a'}, '{0}/file/a cannot be written'),
    (
      {'format': 'tflite', 'tflite_type': 'int8', 'dataset_name': 'imagenet'},
      '--tflite_type=int8 needs images',
    ),
    ({'format': 'frozen', 'dataset_name': 'mnist'}, "'mnist' needs --dataset_dir"),
    ({'format': 'frozen', 'labels_file': '{0}/file'}, 'has 1 class names, but the net has 10'),
    ({'format': 'frozen', 'use_moving_averages': True}, 'holds no moving averages'),
    ({'format': 'frozen', 'image_size': 2}, 'lenet cannot take images of 2x2x1'),
    ({'format': 'frozen', 'is_video_model': True}, 'lenet cannot take images of 64x28x28x1'),
  ],
)
def test_mistakes_get_a_sentence_and_cost_nothing(checkpoint, tmp_path, changes, sentence):
  (tmp_path / 'file').write_text('mine')
  changes = {
    name: value.replace('{0}', str(tmp_path)) if isinstance(value, str) else value
    for name, value in {'output_file': '{0}/new', **changes}.items()
  }
  settings = settings_lib.replace(make_settings(checkpoint, tmp_path / 'new'), **changes)
  with pytest.raises(errors.InputError, match=sentence.replace('{0}', str(tmp_path))):
    export.export_inference_graph(settings)
  assert [path.name for path in tmp_path.iterdir()] == ['file']
  assert (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'tflite_type': 'int8'}, '--tflite_type=int8 is for --format=tflite, not graph_def'),
    ({'format': 'frozen', 'is_training': True}, '--is_training=True is for --format=graph_def'),
    ({'format': 'forzen'}, "Did you mean 'frozen'"),
    ({'num_frames': 3}, '--num_frames=3 needs --is_video_model'),
    ({'quantize': True}, '--tflite_type=int8'),
  ],
)
def test_settings_that_make_no_sense_are_refused(changes, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    settings_lib.replace(export.ExportSettings(), **changes)


def test_contradicting_flags_are_refused(checkpoint):
  model_facts.write(os.path.dirname(checkpoint), model_facts.infer(checkpoint))
  settings = settings_lib.replace(
    export.ExportSettings(), checkpoint_path=checkpoint, model_name='cifarnet'
  )
  with pytest.raises(errors.InputError, match='--model_name=cifarnet contradicts'):
    export.complete(settings, {'model_name'})


@pytest.mark.parametrize('name', ['frozen', 'saved_model'])
def test_an_export_replaces_another_when_it_is_as_good(checkpoint, tmp_path, monkeypatch, name):
  path = tmp_path / 'model'
  if name == 'saved_model':
    path.mkdir()  # Nothing is lost with that.
  export.export_inference_graph(make_settings(checkpoint, path, format=name))
  mark = path / 'mine' if name == 'saved_model' else path
  mark.write_text('old')
  settings = make_settings(checkpoint, path, format=name, overwrite=True)
  with monkeypatch.context() as patch:
    run = export_check.run_checkpoint
    wrong = lambda trained, images: run(trained, images)._replace(logits=images[:, 0, :10, 0])  # noqa: E731
    patch.setattr(export_check, 'run_checkpoint', wrong)
    with pytest.raises(errors.InputError, match='its logits differ by'):
      export.export_inference_graph(settings)
  assert mark.read_text() == 'old'
  assert [found.name for found in tmp_path.iterdir()] == ['model']
  if name == 'frozen':
    export.export_inference_graph(settings)
    assert exported_models.load(str(path)).format == name


def test_a_graph_without_weights_may_be_written_again(tmp_path):
  settings = settings_lib.replace(
    export.ExportSettings(),
    model_name='lenet',
    output_file=str(tmp_path / 'lenet.pb'),
    use_grayscale=True,
  )
  export.export_inference_graph(settings)
  graph_def = tf.GraphDef.FromString((tmp_path / 'lenet.pb').read_bytes())
  names = {node.name: node.op for node in graph_def.node}
  assert names['input'] == 'Placeholder'
  assert names['LeNet/conv1/weights'] == 'VariableV2'
  export.export_inference_graph(settings)
  other = settings_lib.replace(settings, dataset_name='digits')
  with pytest.raises(errors.InputError, match='exists'):
    export.export_inference_graph(other)
  export.export_inference_graph(dataclasses.replace(other, overwrite=True))


@pytest.mark.parametrize(
  ('task', 'names'), [('multi_label', scenes.SHAPES), ('regression', scenes.TARGETS)]
)
def test_other_tasks(tmp_path, task, names):
  scenes.write(tmp_path / 'records', task, {'train': 20}, size=28)
  checkpoint = save(tmp_path, 'lenet', len(names), [1, 28, 28, 1])
  facts = dataclasses.replace(
    model_facts.infer(checkpoint), task=task, class_names=tuple(names), decoded_channels=1
  )
  model_facts.write(tmp_path, facts)
  settings = settings_lib.replace(
    make_settings(checkpoint, tmp_path / 'model', format='saved_model'),
    dataset_name='image_folder',
    dataset_dir=str(tmp_path / 'records'),
  )
  export.export_inference_graph(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    signatures = tf.saved_model.load(session, ['serve'], str(tmp_path / 'model')).signature_def
    outputs = signatures['images'].outputs
    found = session.run(
      {name: info.name for name, info in outputs.items()}, {'input:0': np.ones([2, 28, 28, 1])}
    )
  expected = found['logits']
  if task == 'multi_label':
    expected = 1 / (1 + np.exp(-found['logits']))
    best = found['predictions'].argmax(axis=1)
    assert [row[0].decode() for row in found['classes']] == [names[index] for index in best]
  else:
    assert set(found) == {'logits', 'predictions'}
  np.testing.assert_allclose(found['predictions'], expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['frozen', 'saved_model', 'onnx'])
def test_nets_for_videos(tmp_path, name):
  checkpoint = save(tmp_path, 's3dg', 5, [1, 8, 32, 32, 3])
  settings = settings_lib.replace(
    export.ExportSettings(),
    checkpoint_path=checkpoint,
    output_file=str(tmp_path / 'model'),
    format=name,
    is_video_model=True,
    num_frames=8,
    image_size=32,
  )
  export.export_inference_graph(export.complete(settings, set()))
  model = exported_models.load(str(tmp_path / 'model'))
  assert model.input_shape == (None, 8, 32, 32, 3)
  assert model.run_files is None
