"""Files of other programs that are given as checkpoints: recognized by content, and named."""

import io
import os
import struct
import zipfile
from typing import NamedTuple

from slimcompat import lite

_HEAD_BYTES = 1 << 12
_WANTED = (
  'Give a checkpoint of slim or of train_image_classifier.py: a train_dir, or a path such as'
  ' model.ckpt-1000'
)
_FROM_KERAS = (
  f'Keras files cannot be read here. {_WANTED}. To keep those weights, load them in Keras and save'
  " their values under the net's variable names with tf.compat.v1.train.Saver."
)
_FROM_PYTORCH = (
  f'PyTorch files cannot be read here. {_WANTED}. To keep those weights, save their values under'
  " the net's variable names with tf.compat.v1.train.Saver."
)
_FROM_NUMPY = f'NumPy files cannot be read here. {_WANTED}.'
_EXPORTED = (
  'An exported model cannot be trained or evaluated further. Give the checkpoint that it was made'
  ' from; classify_images.py and benchmark_model.py take what export_inference_graph.py wrote.'
)
_PACKED = f'Unpack it first. {_WANTED}, from what was in it.'


class _Kind(NamedTuple):
  """A kind of file."""

  name: str  # After "is".
  advice: str  # Sentences.


_HDF5 = _Kind('an HDF5 file, as Keras writes .h5 and .weights.h5', _FROM_KERAS)
_KERAS = _Kind('a .keras archive of Keras', _FROM_KERAS)
_PYTORCH = _Kind('a file of PyTorch (.pth, .pt)', _FROM_PYTORCH)
_SAVED_MODEL = _Kind('a SavedModel', _EXPORTED)
# How files begin.
_MAGIC = (
  (b'\x89HDF\r\n\x1a\n', _HDF5),
  (b'\x93NUMPY', _Kind('a .npy file of NumPy', _FROM_NUMPY)),
  (b'\x1f\x8b', _Kind('a gzip file, perhaps a .tar.gz archive', _PACKED)),
  (b'BZh', _Kind('a bzip2 file', _PACKED)),
  (b'\xfd7zXZ\x00', _Kind('an xz file', _PACKED)),
  (b'7z\xbc\xaf\x27\x1c', _Kind('a 7z archive', _PACKED)),
  (b'Rar!', _Kind('a RAR archive', _PACKED)),
  (b'GGUF', _Kind('a GGUF file', f'{_WANTED}.')),
  (
    b'version https://git-lfs',
    _Kind('a pointer of Git LFS, not the file itself', "Fetch the file with 'git lfs pull'."),
  ),
  *(
    (start, _Kind('a web page, not a file of weights', 'Download the file itself.'))
    for start in (b'<!DOCTYPE', b'<!doctype', b'<html', b'<HTML')
  ),
  # Pickles of the protocols 2 to 5, which PyTorch and others wrote before they used ZIP.
  *(
    (bytes([0x80, protocol]), _Kind('a pickle, such as older PyTorch wrote', _FROM_PYTORCH))
    for protocol in range(2, 6)
  ),
)


def describe(path: str, knows_exports: bool = True) -> str | None:
  """Returns sentences on what lies at `path` if that is a kind of file that is known, else None.

  Args:
    path: a file, a folder, or the beginning of names of files.
    knows_exports: name exported models, too; False where they are welcome.
  """
  kind = _of_folder(path) if os.path.isdir(path) else _of_file(path)
  if kind and (knows_exports or kind.advice != _EXPORTED):
    return f'{path} is {kind.name}. {kind.advice}'
  return None if os.path.isfile(path) else _half_of_checkpoint(path)


def describe_object_based(checkpoint: str, names) -> str | None:
  """Returns sentences on a checkpoint of tf.train.Checkpoint or Keras, None for any other.

  Args:
    checkpoint: the prefix of its files.
    names: of its tensors.
  """
  if '_CHECKPOINTABLE_OBJECT_GRAPH' not in names:
    return None
  return (
    f'{checkpoint} is an object-based checkpoint, as tf.train.Checkpoint and Keras write: its'
    ' variables have the names of Python objects, not those of a graph.'
    f' {_WANTED}. To keep those weights, load them where they were made and save their values under'
    " the net's variable names with tf.compat.v1.train.Saver."
  )


def _of_folder(path):
  names = set(os.listdir(path))
  if names & {'saved_model.pb', 'saved_model.pbtxt'}:
    return _SAVED_MODEL
  if {'_METADATA', 'manifest.ocdbt'} & names or {'_CHECKPOINT_METADATA'} & names:
    return _Kind('a checkpoint of Orbax, as JAX and Flax write', f'{_WANTED}.')
  if {'model.safetensors', 'pytorch_model.bin'} & names:
    return _Kind('a model of Hugging Face', _FROM_PYTORCH)
  return None


def _of_file(path):
  try:
    if not os.path.isfile(path):
      return None
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
      head = file.read(_HEAD_BYTES)
  except OSError:
    return None
  if not head:
    return _Kind('an empty file', 'Copy it again.')
  if lite.is_model(head):  # Its metadata are a ZIP archive at its end.
    return _Kind('a TensorFlow Lite model', _EXPORTED)
  if head.startswith(b'PK\x03\x04') or zipfile.is_zipfile(path):
    return _of_zip(path)
  for start, kind in _MAGIC:
    if head.lstrip().startswith(start) if start.startswith(b'<') else head.startswith(start):
      return kind
  if _is_safetensors(head, size):
    return _Kind('a safetensors file', _FROM_PYTORCH)
  if head[257:262] == b'ustar':
    return _Kind('a tar archive', _PACKED)
  return _of_protobuf(path, head)


def _of_zip(path):
  try:
    with zipfile.ZipFile(path) as archive:
      names = archive.namelist()
  except (OSError, zipfile.BadZipFile, ValueError):
    return _Kind('a damaged ZIP archive', 'Copy it again.')
  bases = {os.path.basename(name) for name in names}
  if {'config.json', 'model.weights.h5'} <= bases:
    return _KERAS
  if 'data.pkl' in bases or 'constants.pkl' in bases:
    return _PYTORCH
  if names and all(name.endswith('.npy') for name in names):
    return _Kind('a .npz file of NumPy', _FROM_NUMPY)
  return _Kind('a ZIP archive', _PACKED)


def _is_safetensors(head, size):
  if len(head) < 9 or head[8:9] != b'{':
    return False
  (length,) = struct.unpack('<Q', head[:8])
  return 2 <= length <= size - 8


def _of_protobuf(path, head):
  """Returns the kind of a model that is one message: both begin with a field of their own."""
  if head[:2] in (b'\x08\x07', b'\x08\x08', b'\x08\x09', b'\x08\x0a', b'\x08\x06', b'\x08\x05'):
    return _Kind('an ONNX model', _EXPORTED)
  if head.startswith(b'\x08\x01') and os.path.basename(path).startswith('saved_model'):
    return _SAVED_MODEL
  if _begins_with_node(io.BytesIO(head)):
    return _Kind('a frozen graph (GraphDef)', _EXPORTED)
  if head.lstrip().startswith(b'node {') or head.lstrip().startswith(b'node{'):
    return _Kind('a graph as text (GraphDef)', _EXPORTED)
  return None


def _begins_with_node(stream):
  """Returns whether bytes begin as a GraphDef: field 1, a NodeDef, whose field 1 is its name."""
  if stream.read(1) != b'\x0a':
    return False
  _read_varint(stream)
  if stream.read(1) != b'\x0a':
    return False
  name = stream.read(_read_varint(stream))
  # Then its op, field 2.
  return bool(name) and name.isascii() and name.decode().isprintable() and stream.read(1) == b'\x12'


def _read_varint(stream):
  value = shift = 0
  while byte := stream.read(1):
    value |= (byte[0] & 0x7F) << shift
    shift += 7
    if byte[0] < 0x80 or shift > 28:
      break
  return value


def _half_of_checkpoint(path):
  """Returns a sentence when only a part of the files of a checkpoint is there, else None."""
  folder = path if os.path.isdir(path) else os.path.dirname(path) or '.'
  start = '' if os.path.isdir(path) else os.path.basename(path)
  try:
    names = sorted(name for name in os.listdir(folder) if name.startswith(start))
  except OSError:
    return None
  for name in names:
    if '.data-' in name and '-of-' in name:
      lacking = f'{name[: name.rindex(".data-")]}.index'
      return (
        f'{path} is no whole checkpoint: there is {name}, but no {lacking}. Copy all files of the'
        ' checkpoint.'
      )
  if any(name.endswith('.meta') for name in names):
    return (
      f'{path} is no checkpoint: there is a graph (.meta), but no weights. Copy the files .index'
      ' and .data, too.'
    )
  return None
