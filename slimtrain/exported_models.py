"""Exported models: told by their content, loaded, and run on batches of images.

    model = exported_models.load('digits.tflite')
    predictions = model.run(images).predictions

python -m slimtrain.exported_models MODEL INPUTS.npz OUTPUTS.npz runs one on `images`, and on files
`file_0`, `file_1`, ... as bytes where there are some. It writes `logits` and `predictions`, and
`logits_of_files` and `predictions_of_files`.
"""

import importlib
import os
import sys
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slimcompat import errors, lite, paths, quiet, tf
from slimtrain import checkpoints, export_graphs, foreign_checkpoints, model_facts

_OUTPUTS = (export_graphs.LOGITS, export_graphs.PREDICTIONS)
_SIGNATURE = 'images'  # Of a SavedModel.
_BYTES_SIGNATURE = 'image_bytes'
BATCH_SIZE = 20  # Of images that a process runs a model on, which another batch would change a bit.


class Outputs(NamedTuple):
  """What a model makes of a batch."""

  logits: np.ndarray  # float32 [batch, classes].
  predictions: np.ndarray  # float32 [batch, classes]: see models.predictions.


class ExportedModel(NamedTuple):
  """A model that was exported here."""

  format: str  # A row of export_formats.FORMATS.
  facts: model_facts.ModelFacts
  input_shape: tuple  # [batch, (frames,) height, width, channels]; None where it may vary.
  run: Callable  # Returns the Outputs of preprocessed images, float32 [batch, ...], any number.
  # Returns the Outputs of a list of the bytes of image files; None where it takes none.
  run_files: Callable | None = None


def is_exported(path):
  """Returns whether there is something at `path` that `load` may know: no checkpoint."""
  if os.path.isfile(path):
    return not checkpoints.is_file_of_checkpoint(path)
  return os.path.isfile(os.path.join(path, 'saved_model.pb'))


def load(path):
  """Returns the ExportedModel at `path`.

  Raises:
    InputError: when there is none, or it was not exported here.
  """
  if foreign := foreign_checkpoints.describe(path, knows_exports=False):
    raise errors.InputError(foreign)
  try:
    if os.path.isdir(path):
      return _load_saved_model(path)
    with open(path, 'rb') as file:
      content = file.read()
    if lite.is_model(content):
      return _load_tflite(path, content)
    graph_def = _parse_graph_def(content)
    return _load_frozen(graph_def) if graph_def else _load_onnx(content)
  except (OSError, KeyError, ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
    reason = f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ""}'
    raise errors.InputError(
      f'{path} cannot be used as an exported model ({reason}). Give what export_inference_graph.py'
      ' wrote with --format=frozen, saved_model, tflite or onnx.'
    ) from error


def _parse_graph_def(content):
  """Returns the GraphDef that bytes are, None if they are none."""
  graph_def = tf.GraphDef()
  try:
    graph_def.ParseFromString(content)
  except Exception:  # Of the installed protobuf; they have no common name.
    return None
  return graph_def if graph_def.node else None


def _load_frozen(graph_def):
  (text,) = (
    node.attr['value'].tensor.string_val[0]
    for node in graph_def.node
    if node.name == model_facts.FILE_NAME
  )
  with tf.Graph().as_default() as graph:
    tf.import_graph_def(graph_def, name='')
  session = tf.Session(graph=graph)
  images = graph.get_tensor_by_name(f'{export_graphs.INPUT}:0')
  outputs = [graph.get_tensor_by_name(f'{name}:0') for name in _OUTPUTS]
  return _make('frozen', text, images.shape.as_list(), _run_session(session, images, outputs))


def _load_saved_model(path):
  with open(os.path.join(path, 'assets.extra', model_facts.FILE_NAME), encoding='utf-8') as file:
    text = file.read()
  graph = tf.Graph()
  session = tf.Session(graph=graph)
  # TensorFlow takes the path of the weights for a pattern.
  with graph.as_default(), paths.alias(path) as link:
    signatures = tf.saved_model.load(session, [tf.saved_model.SERVING], link).signature_def

  def find(name):
    # An input has the name of its signature.
    images = graph.get_tensor_by_name(signatures[name].inputs[name].name)
    infos = signatures[name].outputs
    outputs = [graph.get_tensor_by_name(infos[output].name) for output in _OUTPUTS]
    return images.shape.as_list(), _run_session(session, images, outputs)

  shape, run = find(_SIGNATURE)
  model = _make('saved_model', text, shape, run)
  if _BYTES_SIGNATURE not in signatures:
    return model
  shape, run_bytes = find(_BYTES_SIGNATURE)
  pieces = _in_pieces(lambda part: run_bytes(np.array(part, object)), shape[0])
  return model._replace(run_files=pieces)


def _run_session(session, images, outputs):
  return lambda values: Outputs(*session.run(outputs, {images: values}))


def _load_tflite(path, content):
  with zipfile.ZipFile(path) as archive:
    text = archive.read(model_facts.FILE_NAME)
  with quiet.conversions():
    interpreter = lite.make_interpreter(content)
    interpreter.allocate_tensors()
  (source,) = interpreter.get_input_details()
  details = {detail['name']: detail for detail in interpreter.get_output_details()}
  # What it was made for; the batch may be another where that may vary.
  shape = [size if size > 0 else None for size in source['shape_signature'].tolist()]

  def run(images):
    if list(images.shape) != interpreter.get_input_details()[0]['shape'].tolist():
      interpreter.resize_tensor_input(source['index'], images.shape)
      interpreter.allocate_tensors()
    interpreter.set_tensor(source['index'], _quantized(images, source))
    interpreter.invoke()
    values = (
      _dequantized(interpreter.get_tensor(details[name]['index']), details[name])
      for name in _OUTPUTS
    )
    return Outputs(*values)

  return _make('tflite', text, shape, run)


def _quantized(values, detail):
  """Returns float values as a tensor of a TFLite model takes them."""
  dtype = detail['dtype']
  if dtype == np.float32:
    return values
  scale, zero = detail['quantization']
  limits = np.iinfo(dtype)
  return np.clip(np.rint(values / scale + zero), limits.min, limits.max).astype(dtype)


def _dequantized(values, detail):
  if detail['dtype'] == np.float32:
    return values
  scale, zero = detail['quantization']
  return (values.astype(np.float32) - zero) * np.float32(scale)


def _load_onnx(content):
  try:
    runtime = importlib.import_module('onnxruntime')
  except ImportError as error:
    raise errors.InputError(
      "To run an ONNX model, onnxruntime is needed: pip install -e '.[onnx]'."
    ) from error
  try:
    session = runtime.InferenceSession(content, providers=['CPUExecutionProvider'])
  except Exception as error:  # Of the runtime's own; they have no common name.
    raise ValueError(error) from error
  text = session.get_modelmeta().custom_metadata_map[model_facts.FILE_NAME]
  shape = [size if isinstance(size, int) else None for size in session.get_inputs()[0].shape]

  def run(images):
    return Outputs(*session.run(list(_OUTPUTS), {export_graphs.INPUT: images}))

  return _make('onnx', text, shape, run)


def _make(format_name, text, shape, run):
  """Returns the ExportedModel without `run_files`."""
  facts = model_facts.from_json(text)
  pieces = _in_pieces(lambda part: run(np.asarray(part, np.float32)), shape[0])
  return ExportedModel(format_name, facts, tuple(shape), pieces)


def _in_pieces(run, batch_size):
  """Returns run(values) for any number of values, of one for `batch_size` (None: any)."""

  def run_all(values):
    if batch_size is None or not len(values):
      return run(values)
    parts = []
    for start in range(0, len(values), batch_size):
      part = values[start : start + batch_size]
      size = len(part)
      # The last piece is filled up with what comes first in it.
      parts.append([output[:size] for output in run([*part, *[part[0]] * (batch_size - size)])])
    return Outputs(*(np.concatenate(outputs) for outputs in zip(*parts, strict=True)))

  return run_all


def run_in_batches(run, values):
  """Returns the Outputs of `run`, of an ExportedModel, for all values, BATCH_SIZE at a time."""
  starts = range(0, len(values), BATCH_SIZE)
  parts = [run(values[start : start + BATCH_SIZE]) for start in starts]
  return Outputs(*(np.concatenate(outputs) for outputs in zip(*parts, strict=True)))


def _main(path, inputs_path, outputs_path):
  model = load(path)
  inputs = np.load(inputs_path)
  outputs = run_in_batches(model.run, inputs['images'])
  results = dict(outputs._asdict())
  files = [inputs[name].tobytes() for name in inputs.files if name.startswith('file_')]
  if files:
    outputs = run_in_batches(model.run_files, files)
    results.update({f'{name}_of_files': values for name, values in outputs._asdict().items()})
  np.savez(outputs_path, **results)


if __name__ == '__main__':
  try:
    _main(*sys.argv[1:])
  except errors.InputError as error:
    sys.exit(f'error: {error}')
