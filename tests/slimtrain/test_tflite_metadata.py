"""What a TensorFlow Lite model says of itself can be read."""

import dataclasses
import io
import zipfile

import flatbuffers
import numpy as np
import pytest

from nets import nets_factory
from slimcompat import lite, tf
from slimtrain import inputs, model_facts, tflite_metadata
from slimtrain import settings as settings_lib


def make_facts(**changes):
  facts = model_facts.ModelFacts(
    model_name='lenet',
    task='single_label',
    num_classes=2,
    class_names=('a', 'b'),
    labels_offset=0,
    image_size=28,
    num_channels=1,
    preprocessing_name='lenet',
    preprocessing=inputs.DataSettings().preprocessing,
    use_grayscale=False,
  )
  return dataclasses.replace(facts, **changes)


@pytest.fixture(scope='module')
def content():
  """A converted LeNet with its metadata, as bytes."""
  with tf.Graph().as_default(), tf.Session() as session:
    images = tf.placeholder(tf.float32, [1, 28, 28, 1])
    logits, _ = nets_factory.get_network_fn('lenet', 2)(images)
    session.run(tf.global_variables_initializer())
    converter = tf.lite.TFLiteConverter.from_session(session, [images], [logits, logits * 2])
    return tflite_metadata.add(converter.convert(), make_facts(), 'a\nb\n', 'labels.txt')


def test_the_files_follow_the_model(content):
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    assert archive.read('labels.txt') == b'a\nb\n'
    assert model_facts.from_json(archive.read('model.json')) == make_facts()
  interpreter = lite.make_interpreter(content)
  interpreter.allocate_tensors()
  assert len(interpreter.get_output_details()) == 2


class Table:
  """A table of a flatbuffer."""

  def __init__(self, content, position):
    self._table = flatbuffers.table.Table(content, position)

  @classmethod
  def at_root(cls, content):
    return cls(content, int.from_bytes(content[:4], 'little'))

  def _at(self, field):
    return self._table.Offset(4 + 2 * field) + self._table.Pos

  def _number(self, field, flags):
    return self._table.Get(flags, self._at(field))

  def byte(self, field):
    return self._number(field, flatbuffers.number_types.Uint8Flags)

  def number(self, field):
    return self._number(field, flatbuffers.number_types.Uint32Flags)

  def text(self, field):
    return self._table.String(self._at(field)).decode()

  def table(self, field):
    return Table(self._table.Bytes, self._table.Indirect(self._at(field)))

  def _vector(self, field):
    offset = self._at(field) - self._table.Pos
    return self._table.Vector(offset), self._table.VectorLen(offset)

  def tables(self, field):
    start, count = self._vector(field)
    places = [self._table.Indirect(start + 4 * index) for index in range(count)]
    return [Table(self._table.Bytes, place) for place in places]

  def floats(self, field):
    start, count = self._vector(field)
    return np.frombuffer(self._table.Bytes, np.float32, count, start).tolist()


def test_metadata_can_be_read(content):
  """With the places of the fields in metadata_schema.fbs, read without the code that wrote them."""
  model = lite.schema.ModelT.InitFromPackedBuf(content)
  (entry,) = (entry for entry in model.metadata if entry.name == b'TFLITE_METADATA')
  metadata = bytes(model.buffers[entry.buffer].data)
  assert metadata[4:8] == b'M001'
  root = Table.at_root(metadata)
  assert root.text(0) == 'lenet'
  (graph,) = root.tables(3)
  (source,), (predictions, _) = graph.tables(2), graph.tables(3)
  assert source.text(0) == 'input'
  (unit,) = source.tables(4)
  assert unit.byte(0) == 1
  assert unit.table(1).floats(0) == unit.table(1).floats(1) == [128]
  image = source.table(3)
  assert image.byte(0) == 2
  assert image.table(1).byte(0) == 2  # Gray.
  size = image.table(1).table(1)
  assert (size.number(0), size.number(1)) == (28, 28)
  (labels,) = predictions.tables(6)
  assert labels.text(0) == 'labels.txt'
  assert labels.byte(2) == 2


def test_weights_are_aligned(content):
  model = lite.schema.Model.GetRootAs(content)
  starts = [
    model.Buffers(index)._tab.Vector(model.Buffers(index)._tab.Offset(4))
    for index in range(model.BuffersLength())
    if model.Buffers(index).DataLength()
  ]
  assert len(starts) > 8
  assert not any(start % 16 for start in starts)


@pytest.mark.parametrize(
  ('name', 'use_grayscale', 'expected'),
  [
    ('inception', False, ([127.5] * 3, [127.5] * 3)),
    ('inception', True, ([127.5], [127.5])),
    ('lenet', False, ([128] * 3, [128] * 3)),
    ('vgg', False, ([123.68, 116.78, 103.94], [1] * 3)),
    ('simple', False, ([10, 20, 30], [4] * 3)),
    ('cifarnet', False, None),
  ],
)
def test_normalization_is_measured(name, use_grayscale, expected):
  facts = make_facts(
    num_channels=1 if use_grayscale else 3,
    preprocessing_name=name,
    preprocessing=settings_lib.replace(
      make_facts().preprocessing, channel_means='10,20,30', channel_stds='4'
    ),
    use_grayscale=use_grayscale,
  )
  found = tflite_metadata.normalization(facts)
  if expected is None:
    assert found is None
  else:
    np.testing.assert_allclose(found, expected, rtol=1e-4)
