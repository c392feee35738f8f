"""Files of other programs given as checkpoints are named."""

import gzip
import io
import json
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from slimcompat import errors, tf
from slimtrain import checkpoints


def zipped(*names):
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w') as archive:
    for name in names:
      archive.writestr(name, b'{}')
  return content.getvalue()


def npz():
  content = io.BytesIO()
  np.savez(content, a=np.zeros(3))
  return content.getvalue()


def tar():
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode='w') as archive:
    archive.addfile(tarfile.TarInfo('model.ckpt'))
  return content.getvalue()


def safetensors():
  header = json.dumps({'a': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}).encode()
  return struct.pack('<Q', len(header)) + header + bytes(4)


def graph_def():
  with tf.Graph().as_default() as graph:
    tf.placeholder(tf.float32, [1], name='input')
    return graph.as_graph_def().SerializeToString()


# Kind of file -> (its content, what the message says).
FILES = {
  'a.keras': (zipped('metadata.json', 'config.json', 'model.weights.h5'), 'archive of Keras'),
  'a.h5': (b'\x89HDF\r\n\x1a\n' + bytes(100), 'HDF5 file, as Keras writes'),
  'a.weights.h5': (b'\x89HDF\r\n\x1a\n' + bytes(100), 'HDF5 file, as Keras writes'),
  'a.pth': (zipped('a/data.pkl', 'a/data/0'), 'file of PyTorch'),
  'script.pt': (zipped('a/code/m.py', 'a/constants.pkl', 'a/data.pkl'), 'file of PyTorch'),
  'old.pth': (b'\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.', 'a pickle'),
  'lightning.ckpt': (zipped('a/data.pkl'), 'file of PyTorch'),
  'a.safetensors': (safetensors(), 'safetensors file'),
  'a.npz': (npz(), r'\.npz file of NumPy'),
  'a.npy': (b'\x93NUMPY\x01\x00', r'\.npy file of NumPy'),
  'a.tflite': (b'\x1c\x00\x00\x00TFL3' + bytes(40), 'TensorFlow Lite model'),
  'a.onnx': (b'\x08\x08\x12\x07pytorch', 'ONNX model'),
  'frozen.pb': (graph_def(), 'frozen graph'),
  'graph.pbtxt': (b'node {\n  name: "a"\n}\n', 'graph as text'),
  'a.tar.gz': (gzip.compress(tar()), 'gzip file'),
  'a.tar': (tar(), 'tar archive'),
  'a.zip': (zipped('model.ckpt-1.index'), 'ZIP archive'),
  'a.gguf': (b'GGUF\x03\x00\x00\x00', 'GGUF file'),
  'lfs.ckpt': (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\n', 'git lfs pull'),
  'page.ckpt': (b'\n<!DOCTYPE html><html></html>', 'web page'),
  'empty.ckpt': (b'', 'an empty file'),
  'unknown.ckpt': (bytes(range(1, 200)), 'is damaged, or no checkpoint'),
}


@pytest.mark.parametrize('name', FILES)
def test_a_file(tmp_path, name):
  content, sentence = FILES[name]
  (tmp_path / name).write_bytes(content)
  with pytest.raises(errors.InputError, match=sentence) as info:
    checkpoints.find(str(tmp_path / name))
  assert str(info.value).startswith(str(tmp_path / name))
  # By content, whatever it is called.
  os.rename(tmp_path / name, tmp_path / 'model.ckpt-7')
  if name != 'a.onnx':
    with pytest.raises(errors.InputError, match=sentence):
      checkpoints.find(str(tmp_path / 'model.ckpt-7'))


@pytest.mark.parametrize(
  ('names', 'sentence'),
  [
    (['saved_model.pb', 'variables'], 'is a SavedModel'),
    (['_METADATA', 'manifest.ocdbt'], 'checkpoint of Orbax'),
    (['config.json', 'model.safetensors'], 'model of Hugging Face'),
    (['model.ckpt-5.data-00000-of-00001'], r'but no model\.ckpt-5\.index'),
    (['model.ckpt-5.meta'], r'a graph \(\.meta\), but no weights'),
    ([], 'holds no checkpoint'),
  ],
)
def test_a_folder(tmp_path, names, sentence):
  for name in names:
    (tmp_path / name).touch()
  with pytest.raises(errors.InputError, match=sentence):
    checkpoints.find(str(tmp_path))


def test_half_a_checkpoint(tmp_path):
  (tmp_path / 'model.ckpt-5.data-00000-of-00001').touch()
  with pytest.raises(errors.InputError, match=r'but no model\.ckpt-5\.index'):
    checkpoints.find(str(tmp_path / 'model.ckpt-5'))


def test_one_of_objects(tmp_path):
  with tf.Graph().as_default(), tf.Session() as session:
    variable = tf.Variable([1.0], name='a')
    checkpoint = tf.train.Checkpoint(weights=variable)
    session.run(tf.global_variables_initializer())
    path = checkpoint.save(str(tmp_path / 'ckpt'), session=session)
  with pytest.raises(errors.InputError, match='an object-based checkpoint'):
    checkpoints.saved_shapes(checkpoints.find(path))
  # Its tensors may be listed all the same.
  assert any('weights' in name for name in checkpoints.open_reader(path).shapes())
