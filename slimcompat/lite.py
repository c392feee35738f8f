"""TensorFlow Lite, as all of TensorFlow 2.16 to 2.21 have it."""

import warnings

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

from slimcompat import tf

_IDENTIFIER = b'TFL3'  # Of the file format, at byte 4.
_ALIGNMENT = 16  # Bytes, of the contents of buffers: kernels read weights where they lie.


def is_model(content):
  """Returns whether bytes are a TensorFlow Lite model."""
  return content[4:8] == _IDENTIFIER


def make_interpreter(content):
  """Returns the tf.lite.Interpreter of a model's bytes."""
  with warnings.catch_warnings():
    # That LiteRT, a package of its own, is to replace it.
    warnings.simplefilter('ignore')
    return tf.lite.Interpreter(model_content=content)


class _Builder(flatbuffers.Builder):
  """Aligns the contents of buffers, which the Python classes of the schema forget."""

  def StartVector(self, elemSize, numElems, alignment):  # noqa: N802, N803
    alignment = _ALIGNMENT if elemSize == 1 and numElems else alignment
    return super().StartVector(elemSize, numElems, alignment)


def with_metadata(content, name, metadata):
  """Returns a model's bytes with an entry of metadata added.

  Args:
    content: of the model.
    name: of the entry.
    metadata: its bytes.
  """
  model = schema.ModelT.InitFromPackedBuf(content)
  buffer = schema.BufferT()
  buffer.data = bytearray(metadata)
  model.buffers.append(buffer)
  entry = schema.MetadataT()
  entry.name = name
  entry.buffer = len(model.buffers) - 1
  model.metadata = [*(model.metadata or []), entry]
  builder = _Builder(len(content) + len(metadata))
  builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
  return bytes(builder.Output())
