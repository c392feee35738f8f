"""The graph of a net as it is exported: fixed names for what goes in and what comes out."""

import contextlib
from typing import NamedTuple

import numpy as np

from nets import nets_factory
from slimcompat import errors, tf
from slimtrain import checkpoints, model_facts, models, trained_models

INPUT = 'input'
PREDICTIONS = 'predictions'
LOGITS = 'logits'
_NUM_FRAMES = 64  # Of a video that does not say, as the nets for videos were designed for.


class Graph(NamedTuple):
  """A net with its weights in a session."""

  session: tf.Session
  facts: model_facts.ModelFacts
  images: tf.Tensor  # `input`: [batch, (frames,) height, width, channels], preprocessed.
  logits: tf.Tensor  # `logits`: [batch, classes].
  predictions: tf.Tensor  # `predictions`: [batch, classes].
  encoded: tf.Tensor | None  # The bytes of image files, string [batch].


@contextlib.contextmanager
def open_graph(trained, shape, takes_files=False):
  """Opens the Graph of a TrainedModel, in whose graph the block may build on.

  Args:
    trained: the TrainedModel.
    shape: of the images; None for what may vary.
    takes_files: whether images may also be given as the bytes of image files.

  Raises:
    InputError: when the net cannot take such images, or the checkpoint is of another.
  """
  with tf.Graph().as_default(), tf.Session() as session:
    # Without references, which TensorFlow 2 warns of when it loads them.
    tf.get_variable_scope().set_use_resource(True)
    encoded = None
    if takes_files:
      encoded = tf.placeholder(tf.string, shape[:1], name='image_bytes')
      images = tf.placeholder_with_default(_preprocess(trained.facts, encoded), shape, name=INPUT)
    else:
      images = tf.placeholder(tf.float32, shape, name=INPUT)
    logits = build(trained, images).logits
    predictions = models.predictions(trained.facts.task, logits)
    restore = trained_models.make_restore_fn(trained)
    session.run(tf.global_variables_initializer())
    restore(session)
    yield Graph(
      session,
      trained.facts,
      images,
      _named(logits, LOGITS),
      _named(predictions, PREDICTIONS),
      encoded,
    )


def build(trained, images):
  """Returns the models.Model of `images`.

  Raises:
    InputError: when the net cannot take them, or gives more than one row of logits for each.
  """
  name = trained.facts.model_name
  size = f'{"x".join(map(str, images.shape.as_list()[1:]))}'
  try:
    model = trained_models.build(trained, images)
  except ValueError as error:
    raise errors.InputError(
      f'{name} cannot take images of {size}: {checkpoints.first_line(error)} Leave --image_size,'
      ' --num_frames and --is_video_model out, or change them.'
    ) from error
  if model.logits.shape.ndims != 2:
    raise errors.InputError(
      f'{name} makes more than one prediction of an image of {size}. Leave --image_size out.'
    )
  return model


def _named(tensor, name):
  # With the slash, TensorFlow takes the name as it is, though the net may have a `Predictions`.
  return tf.identity(tensor, name=f'{name}/')


def _preprocess(facts, encoded):
  """Returns the images, preprocessed, of the bytes of files, string [batch]."""
  preprocess = facts.preprocessing_fn()
  size = facts.image_size

  def make_image(content):
    return preprocess(facts.decode(content), size, size)

  return tf.map_fn(make_image, encoded, tf.float32)


def input_shape(facts, settings):
  """Returns the shape of the images for ExportSettings `settings`, None where it may vary."""
  is_video = settings.is_video_model or nets_factory.NETWORKS[facts.model_name].is_video
  frames = [settings.num_frames or _NUM_FRAMES] if is_video else []
  size = facts.image_size
  return [settings.batch_size, *frames, size, size, facts.num_channels]


def frozen(graph):
  """Returns the GraphDef of a Graph with its weights as constants, and no more than it needs."""
  return tf.graph_util.convert_variables_to_constants(
    graph.session, graph.session.graph.as_graph_def(), [LOGITS, PREDICTIONS]
  )


def constants(texts):
  """Returns NodeDefs that hold strings.

  Args:
    texts: {name of the node: a string, or a list of strings}.
  """
  nodes = []
  for name, text in texts.items():
    value = tf.make_tensor_proto(np.array(text, object), tf.string)
    node = tf.NodeDef(name=name, op='Const')
    node.attr['dtype'].type = tf.string.as_datatype_enum
    node.attr['value'].tensor.CopyFrom(value)
    nodes.append(node)
  return nodes
