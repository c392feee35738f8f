"""The formats that trained models are exported to, one row each."""

import dataclasses
import importlib
import os
import re
import tempfile
from collections.abc import Callable

from slimcompat import errors, quiet, tables, tf
from slimtrain import checkpoints, export_graphs, files, model_facts, tflite_metadata

LABELS_FILE = 'labels.txt'  # A class name per line, in the order of the logits.
CLASS_NAMES = 'class_names'  # The constant of a frozen graph with the names, string [classes].
_NUM_BEST = 5  # Classes that a SavedModel names.
_ONNX_OPSET = 17  # Of 2022, which ONNX Runtime 1.12 knows.


@dataclasses.dataclass(frozen=True)
class TfliteType:
  """What the numbers of a TFLite model are."""

  name: str
  max_difference: float  # See export_check.refuse_difference.
  is_quantized: bool = False
  is_calibrated: bool = False


TFLITE_TYPES = tables.Table(
  'TFLite type',
  [
    TfliteType('float32', 1e-4),
    TfliteType('float16', 1e-2),
    TfliteType('dynamic', 0.02, is_quantized=True),
    TfliteType('int8', 0.02, is_quantized=True, is_calibrated=True),
  ],
)


def write_frozen(graph, path, settings, calibration):
  """Writes a GraphDef with the weights as constants, the names of the classes, and model.json."""
  del settings, calibration
  graph_def = export_graphs.frozen(graph)
  graph_def.node.extend(
    export_graphs.constants(
      {
        CLASS_NAMES: list(graph.facts.class_names),
        model_facts.FILE_NAME: model_facts.to_json(graph.facts),
      }
    )
  )
  _write(path, graph_def.SerializeToString(deterministic=True))


def write_saved_model(graph, path, settings, calibration):
  """Writes a SavedModel whose signatures take images, and the bytes of image files.

  Both give `logits`, `predictions` and, where there are classes, the likeliest: their names
  `classes`, string [batch, 5], and their `scores`. `serving_default` is `image_bytes`.
  """
  del settings, calibration
  outputs = {'logits': graph.logits, 'predictions': graph.predictions}
  with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
    names_file = os.path.join(folder, LABELS_FILE)
    files.write_text(names_file, _labels(graph.facts))
    asset = tf.constant(names_file)
    tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, asset)
    if graph.facts.task != 'regression':
      scores, indices = tf.nn.top_k(graph.predictions, min(_NUM_BEST, graph.facts.num_classes))
      names = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
          asset,
          tf.int64,
          tf.lookup.TextFileIndex.LINE_NUMBER,
          tf.string,
          tf.lookup.TextFileIndex.WHOLE_LINE,
        ),
        '',
      )
      outputs.update(classes=names.lookup(tf.cast(indices, tf.int64)), scores=scores)
    inputs = {'images': graph.images}
    if graph.encoded is not None:
      inputs['image_bytes'] = graph.encoded
    signatures = {
      name: tf.saved_model.predict_signature_def({name: tensor}, outputs)
      for name, tensor in inputs.items()
    }
    default = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    signatures[default] = signatures.get('image_bytes', signatures['images'])
    builder = tf.saved_model.Builder(path)
    builder.add_meta_graph_and_variables(
      graph.session,
      [tf.saved_model.SERVING],
      signatures,
      assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
      main_op=tf.tables_initializer(),
      strip_default_attrs=True,
    )
    builder.save()
  extra = os.path.join(path, 'assets.extra')
  os.makedirs(extra)
  model_facts.write(extra, graph.facts)


def write_tflite(graph, path, settings, calibration):
  """Writes a TensorFlow Lite model with metadata; labels.txt and model.json lie in it as in a ZIP.

  Its outputs are `predictions`, then `logits`.
  """
  converter = tf.lite.TFLiteConverter.from_session(
    graph.session, [graph.images], [graph.predictions, graph.logits]
  )
  if settings.tflite_type != 'float32':
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if settings.tflite_type == 'float16':
    converter.target_spec.supported_types = [tf.float16]
  if settings.tflite_type == 'int8':
    size = graph.images.shape.as_list()[0] or 1
    converter.representative_dataset = lambda: (
      [calibration[start : start + size]]
      for start in range(0, len(calibration) - len(calibration) % size, size)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
  try:
    with quiet.conversions():
      content = converter.convert()
  except Exception as error:
    raise errors.InputError(
      f'TensorFlow cannot convert {graph.facts.model_name} to a TFLite model of'
      f' {settings.tflite_type}: {_reason(error)} Choose another --tflite_type or --format.'
    ) from error
  _write(path, tflite_metadata.add(content, graph.facts, _labels(graph.facts), LABELS_FILE))


def _reason(error):
  """Returns the sentence in a converter's `error` that says what it is, past where it was."""
  found = re.search(r'error: (.+)', str(error))
  return f'{found.group(1).rstrip(".")}.' if found else checkpoints.first_line(error)


def write_onnx(graph, path, settings, calibration):
  """Writes an ONNX model, with the names of the classes and model.json in its metadata."""
  del settings, calibration
  onnx, converter = (importlib.import_module(name) for name in ('onnx', 'tf2onnx'))
  names = export_graphs.INPUT, export_graphs.PREDICTIONS, export_graphs.LOGITS
  try:
    with quiet.conversions():
      model, _ = converter.convert.from_graph_def(
        export_graphs.frozen(graph),
        name=graph.facts.model_name,
        input_names=[f'{names[0]}:0'],
        output_names=[f'{name}:0' for name in names[1:]],
        opset=_ONNX_OPSET,
        tensors_to_rename={f'{name}:0': name for name in names},
      )
  except Exception as error:
    raise errors.InputError(
      f'tf2onnx cannot convert {graph.facts.model_name}: {checkpoints.first_line(error)} Choose'
      ' another --format.'
    ) from error
  onnx.helper.set_model_props(
    model,
    {
      CLASS_NAMES: _labels(graph.facts),
      model_facts.FILE_NAME: model_facts.to_json(graph.facts),
    },
  )
  _write(path, model.SerializeToString(deterministic=True))


def _labels(facts):
  return ''.join(f'{name}\n' for name in facts.class_names)


def _write(path, content):
  with open(path, 'wb') as file:
    file.write(content)


@dataclasses.dataclass(frozen=True)
class Format:
  """A format of files for models."""

  name: str
  write: Callable | None  # write(export_graphs.Graph, path, ExportSettings, calibration images)
  max_difference: float = 0.0  # See export_check.refuse_difference.
  takes_files: bool = False  # Whether images may come as bytes of files, too.
  needs: tuple[str, ...] = ()  # Packages.
  reads: tuple[str, ...] = ()  # The settings that it heeds and others don't.


FORMATS = tables.Table(
  'format',
  [
    Format('graph_def', None, reads=('is_training', 'write_text_graphdef')),
    Format('frozen', write_frozen, max_difference=1e-5),
    Format('saved_model', write_saved_model, max_difference=1e-5, takes_files=True),
    Format('tflite', write_tflite, reads=('tflite_type', 'num_calibration_images')),
    Format('onnx', write_onnx, max_difference=1e-4, needs=('onnx', 'tf2onnx', 'onnxruntime')),
  ],
)
register = FORMATS.register


def limits(settings):
  """Returns (largest difference allowed, whether it is quantized) of ExportSettings `settings`."""
  row = TFLITE_TYPES[settings.tflite_type] if settings.format == 'tflite' else None
  allowed = row.max_difference if row else FORMATS[settings.format].max_difference
  if settings.max_difference is not None:
    allowed = settings.max_difference
  return allowed, bool(row and row.is_quantized)
