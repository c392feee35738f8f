"""Looking into a run: traces, the graph and images in TensorBoard, and the values of tensors."""

import io
import json
import logging
import os
import re

import numpy as np
import pytest
from PIL import Image

from slimcompat import errors, tf
from slimtrain import inputs, tracing, training
from slimtrain import settings as settings_lib


def make_settings(train_dir, **flags):
  return settings_lib.replace(
    training.TrainingSettings(),
    **{
      'train_dir': str(train_dir),
      'dataset_name': 'digits',
      'model_name': 'lenet',
      'batch_size': 20,
      'optimizer': 'sgd',
      'max_number_of_steps': 6,
      'log_every_n_steps': 3,
      **flags,
    },
  )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """A run that is looked into in every way: its folder, its lines, its events."""
  folder, lines = tmp_path_factory.mktemp('run'), []
  handler = logging.Handler()
  handler.emit = lambda record: lines.append(record.getMessage())
  logger = logging.getLogger('slimtrain')
  old_level = logger.level
  logger.addHandler(handler)
  logger.setLevel(logging.INFO)
  training.train(
    make_settings(
      folder,
      summarize_images=True,
      trace_every_n_steps=2,
      debug_dump='LeNet/conv1/Relu,LeNet/fc4/biases:0,global_step',
    )
  )
  logger.removeHandler(handler)
  logger.setLevel(old_level)
  paths = [str(folder / name) for name in os.listdir(folder) if 'tfevents' in name]
  return folder, lines, [event for path in paths for event in tf.train.summary_iterator(path)]


def test_traces_have_the_ops_and_the_memory(run):
  folder, lines, _ = run
  names = sorted(name for name in os.listdir(folder) if name.startswith('tf_trace'))
  assert names == [tracing.TRACE_FILE.format(step=step) for step in (2, 4, 6)]
  assert [line for line in lines if 'tf_trace' in line] == [f'Wrote {folder / n}' for n in names]
  for name in names:
    trace = json.loads((folder / name).read_text())['traceEvents']
    convolutions = [event for event in trace if 'Conv2D' in event['name'] and event['ph'] == 'X']
    assert convolutions and all(event['dur'] > 0 for event in convolutions)
    # Chrome's viewer draws the counters as the memory over time.
    memory = [event for event in trace if event['ph'] == 'C']
    assert max(sum(event['args'].values()) for event in memory) > 20 * 28 * 28 * 32 * 4


def test_run_metadata_is_in_the_summaries(run):
  _, _, events = run
  tagged = {event.tagged_run_metadata.tag: event for event in events}
  assert {f'run_metadata-{step}' for step in (2, 4, 6)} == tagged.keys() - {''}
  metadata = tf.RunMetadata.FromString(tagged['run_metadata-4'].tagged_run_metadata.run_metadata)
  nodes = [node for device in metadata.step_stats.dev_stats for node in device.node_stats]
  assert any('LeNet/conv1' in node.node_name for node in nodes)
  assert any(used.total_bytes for node in nodes for used in node.memory)


def test_the_graph_is_in_the_summaries(run):
  _, _, events = run
  graphs = [event.graph_def for event in events if event.graph_def]
  names = {node.name for node in tf.GraphDef.FromString(graphs[0]).node}
  assert {'LeNet/conv1/Conv2D', 'global_step'} <= names


def test_images_in_the_summaries_are_as_in_the_dataset(run):
  _, _, events = run
  encoded = {
    value.tag: value.image.encoded_image_string
    for event in events
    for value in event.summary.value
    if value.HasField('image')
  }
  assert set(encoded) == {f'images/image/{n}' for n in range(16)}
  data = inputs.DataSettings(dataset_name='digits', batch_size=1437)
  batches = inputs.make_evaluation_batches(inputs.load_data(data), data, 'lenet', 28)
  with tf.Session() as session:
    images = session.run(tf.data.make_one_shot_iterator(batches).get_next()).images
  # lenet's preprocessing.
  known = {image.astype(np.uint8).tobytes() for image in np.rint(images * 128 + 128)}
  for png in encoded.values():
    assert np.asarray(Image.open(io.BytesIO(png))).tobytes() in known


def test_tensors_are_shown_after_each_line(run):
  _, lines, _ = run
  shown = [number for number, line in enumerate(lines) if line.startswith('global step')]
  assert len(shown) == 3  # Steps 1, 3 and 6.
  for number, step in zip(shown, (1, 3, 6), strict=True):
    relu, biases, count = lines[number + 1 : number + 4]
    assert re.match(
      r'LeNet/conv1/Relu: float32 \[20, 28, 28, 32\], from 0 to \d\S*, mean 0\.\d+\n  \[', relu
    )
    assert re.match(r'LeNet/fc4/biases:0: float32 \[10\], from -', biases)
    # As the step leaves it.
    assert count == f'global_step: int64 [], from {step} to {step}, mean {step}\n  [{step}]'


def test_describe():
  value = np.array([[np.nan, 1], [np.inf, 3]], np.float32)
  assert tracing.describe('t', value) == (
    't: float32 [2, 2], from 1 to 3, mean 2, 2 not finite\n  [nan  1. inf  3.]'
  )
  assert tracing.describe('t', np.array([b'a', b'b'])).startswith('t: |S1 [2]\n')
  assert tracing.describe('t', np.zeros([0, 2])) == 't: float64 [0, 2]\n  []'
  assert len(tracing.describe('t', np.zeros([100, 100, 100])).splitlines()) == 2


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    (
      {'debug_dump': 'LeNet/conv1/Relo'},
      r'Relo: .* no such tensor\. Did you mean LeNet/conv1/Relu',
    ),
    ({'debug_dump': 'LeNet/conv1/Relu:7'}, 'no such tensor'),
    ({'debug_dump': 'LeNet/conv1/Relu:x'}, 'no such tensor'),
    ({'debug_dump': 'input_wait_secs'}, 'holds no numbers'),
    ({'debug_dump': 'LeNet/conv1/Relu', 'steps_per_run': 2}, 'leave out --steps_per_run'),
    ({'summarize_images': True, 'steps_per_run': 2}, '--summarize_images exclude each other'),
    ({'summarize_images': True, 'accumulate_steps': 2}, '--summarize_images exclude each other'),
  ],
)
def test_refused(tmp_path, flags, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    training.train(make_settings(tmp_path, **flags))
  assert not [name for name in os.listdir(tmp_path) if 'ckpt' in name]


def test_traces_of_several_steps_in_one_run(tmp_path):
  training.train(make_settings(tmp_path, steps_per_run=4, trace_every_n_steps=3))
  names = sorted(name for name in os.listdir(tmp_path) if name.startswith('tf_trace'))
  assert names == [tracing.TRACE_FILE.format(step=step) for step in (4, 6)]


def test_a_trace_that_finds_no_room_does_not_end_the_run(tmp_path, monkeypatch, caplog):
  caplog.set_level(logging.INFO, logger='slimtrain')
  write = tracing.files.write_text

  def fail_for_traces(path, content):
    if 'tf_trace' in path:
      raise OSError(28, 'No space left on device')
    write(path, content)

  monkeypatch.setattr(tracing.files, 'write_text', fail_for_traces)
  training.train(make_settings(tmp_path, trace_every_n_steps=2, max_number_of_steps=2))
  said = [record.message for record in caplog.records]
  assert f'{tmp_path}/tf_trace-2.json cannot be written (No space left on device)' in ' '.join(said)
  assert (tmp_path / 'model.ckpt-2.index').exists()
