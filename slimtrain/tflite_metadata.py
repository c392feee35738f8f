"""What a TensorFlow Lite model says of itself: TFLite Metadata, and files that lie in it.

The tables are those of metadata_schema.fbs, version 1.5.0, of
https://github.com/tensorflow/tflite-support: a number is a field's place in its table. Tools for
Android and MediaPipe read them. The files follow the model as a ZIP archive does what precedes it.
"""

import io
import zipfile

import flatbuffers
import numpy as np

from slimcompat import lite, tf
from slimtrain import export_graphs, model_facts

_NAME = 'TFLITE_METADATA'
_IDENTIFIER = b'M001'
_PARSER_VERSION = '1.0.0'
_AXIS_LABELS = 2  # AssociatedFileType.TENSOR_AXIS_LABELS
_IMAGE_PROPERTIES = 2  # ContentProperties
_NORMALIZATION_OPTIONS = 1  # ProcessUnitOptions
_RGB, _GRAYSCALE = 1, 2  # ColorSpaceType


def add(content, facts, labels, labels_file):
  """Returns a model's bytes with its metadata, and with the labels and model.json as files in it.

  Args:
    content: the model's bytes.
    facts: its ModelFacts.
    labels: the text of the file of labels.
    labels_file: its name.
  """
  content = lite.with_metadata(content, _NAME, _make(facts, labels_file))
  stream = io.BytesIO(content)
  with zipfile.ZipFile(stream, 'a') as archive:
    for name, text in (
      (labels_file, labels),
      (model_facts.FILE_NAME, model_facts.to_json(facts)),
    ):
      # Stored, for some readers know no more; of no date, for the same model to be the same bytes.
      archive.writestr(zipfile.ZipInfo(name), text)
  return stream.getvalue()


def normalization(facts):
  """Returns (means, standard deviations) of the values in [0, 255], for each channel, or None.

  They are measured: an image all of one value must become (value - mean) / std.
  """
  size = facts.image_size
  num_channels = 1 if facts.num_channels == 1 and not facts.use_grayscale else 3
  preprocess = facts.preprocessing_fn()
  with tf.Graph().as_default(), tf.Session() as session:
    made = [
      preprocess(tf.fill([size, size, num_channels], np.uint8(value)), size, size)
      for value in (0, 128, 255)
    ]
    black, middle, white = session.run(made)
  expected = black + (white - black) * (128 / 255)
  is_flat = all(np.ptp(image, axis=(0, 1)).max() < 1e-3 for image in (black, middle, white))
  if not is_flat or np.abs(middle - expected).max() > 1e-3 or not (white > black).all():
    return None
  black, white = black[0, 0], white[0, 0]
  stds = 255 / (white - black)
  return -black * stds, stds


def _make(facts, labels_file):
  """Returns the metadata, a ModelMetadata table, as bytes."""
  builder = flatbuffers.Builder()
  labels = _table(
    builder,
    {
      0: builder.CreateString(labels_file),
      1: builder.CreateString('The names of the classes, in the order of the outputs.'),
    },
    bytes_={2: _AXIS_LABELS},
  )
  described = {
    export_graphs.PREDICTIONS: 'The probability of each class.',
    export_graphs.LOGITS: 'What the probabilities are made of.',
  }
  if facts.task == 'regression':
    described = dict.fromkeys(described, 'The numbers that were learnt.')
  outputs = [
    _table(
      builder,
      {
        0: builder.CreateString(name),
        1: builder.CreateString(text),
        6: _tables(builder, [labels]),
      },
    )
    for name, text in described.items()
  ]
  graph = _table(
    builder,
    {
      2: _tables(builder, [_make_input(builder, facts)]),
      3: _tables(builder, outputs),
    },
  )
  model = _table(
    builder,
    {
      0: builder.CreateString(facts.model_name),
      1: builder.CreateString(
        f'{facts.model_name}, trained by slimtrain, {facts.task}, {facts.num_classes} classes.'
      ),
      3: _tables(builder, [graph]),
      7: builder.CreateString(_PARSER_VERSION),
    },
  )
  builder.Finish(model, file_identifier=_IDENTIFIER)
  return bytes(builder.Output())


def _make_input(builder, facts):
  """Returns the TensorMetadata table of the images."""
  size = _table(builder, numbers={0: facts.image_size, 1: facts.image_size})
  space = _GRAYSCALE if facts.num_channels == 1 else _RGB
  properties = _table(builder, {1: size}, bytes_={0: space})
  image = _table(builder, {1: properties}, bytes_={0: _IMAGE_PROPERTIES})
  fields = {
    0: builder.CreateString(export_graphs.INPUT),
    1: builder.CreateString(f'An image after the preprocessing {facts.preprocessing_name}.'),
    3: image,
  }
  found = normalization(facts)
  if found:
    means, stds = found
    options = _table(builder, {0: _floats(builder, means), 1: _floats(builder, stds)})
    unit = _table(builder, {1: options}, bytes_={0: _NORMALIZATION_OPTIONS})
    fields[4] = _tables(builder, [unit])
    limits = {0: _floats(builder, (255 - means) / stds), 1: _floats(builder, -means / stds)}
    fields[5] = _table(builder, limits)
  return _table(builder, fields)


def _table(builder, offsets=None, bytes_=None, numbers=None):
  """Returns the offset of a table.

  Args:
    builder: the flatbuffers.Builder.
    offsets: {field: offset of a table, string or vector}.
    bytes_: {field: number}, of a byte each.
    numbers: {field: number}, of four bytes each.
  """
  offsets, bytes_, numbers = offsets or {}, bytes_ or {}, numbers or {}
  builder.StartObject(1 + max([*offsets, *bytes_, *numbers]))
  for field, offset in offsets.items():
    builder.PrependUOffsetTRelativeSlot(field, offset, 0)
  for field, number in numbers.items():
    builder.PrependUint32Slot(field, number, 0)
  for field, number in bytes_.items():
    builder.PrependUint8Slot(field, number, 0)
  return builder.EndObject()


def _tables(builder, offsets):
  builder.StartVector(4, len(offsets), 4)
  for offset in reversed(offsets):
    builder.PrependUOffsetTRelative(offset)
  return builder.EndVector()


def _floats(builder, values):
  return builder.CreateNumpyVector(np.asarray(values, np.float32))
