"""The nets' graphs, built once per net and mode and shared by the tests of all modules here."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
  sys.path.insert(0, str(ROOT))

from nets import nets_factory  # noqa: E402
from slimcompat import tf  # noqa: E402

GOLDENS = ROOT / 'tests' / 'goldens'
# Nets train here on images of 64x64 pixels, or on these sizes, which they need at least ...
SMALL_IMAGE_SIZES = {
  'alexnet_v2': 224,
  'overfeat': 231,
  # Less would change the shapes in the auxiliary heads.
  **dict.fromkeys(('inception_v3', 'inception_v4', 'inception_resnet_v2'), 299),
  **dict.fromkeys(('nasnet_mobile', 'nasnet_large', 'pnasnet_mobile', 'pnasnet_large'), 67),
}
# ... and with these arguments.
SMALL_IMAGE_ARGUMENTS = {
  name: {'fc_conv_padding': 'SAME', 'global_pool': True} for name in ('vgg_a', 'vgg_16', 'vgg_19')
}
# As they stand before any test registers a net of its own.
NETWORKS = tuple(nets_factory.NETWORKS.values())


def net_variables(graph):
  """Returns all variables but the step of training, which NASNet's schedule makes."""
  step = tf.train.get_global_step(graph)
  variables = graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
  return [variable for variable in variables if variable is not step]


@dataclasses.dataclass(frozen=True)
class BuiltNet:
  """A net in a graph of its own."""

  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  end_points: dict[str, tf.Tensor]

  @property
  def shape_by_variable(self):
    return {variable.op.name: variable.shape.as_list() for variable in net_variables(self.graph)}

  @property
  def shape_by_end_point(self):
    return {name: tensor.shape.as_list() for name, tensor in self.end_points.items()}


class Reference:
  """A row of the table, the golden of its name, and the net built as the golden was recorded."""

  def __init__(self, network):
    self.network = network

  @functools.cached_property
  def golden(self):
    return json.loads((GOLDENS / 'nets' / f'{self.network.name}.json').read_text())

  @functools.cached_property
  def training(self):
    return self._build(is_training=True)

  @functools.cached_property
  def evaluation(self):
    return self._build(is_training=False)

  def _build(self, is_training):
    with tf.Graph().as_default() as graph:
      images = tf.placeholder(tf.float32, self.golden['input_shape'])
      network_fn = nets_factory.get_network_fn(
        self.network.name,
        num_classes=self.golden['num_classes'],
        weight_decay=0.00004,  # Any but 0 makes the regularization losses.
        is_training=is_training,
      )
      return BuiltNet(graph, images, *network_fn(images))

  @functools.cached_property
  def small(self):
    return SmallNet(self.network, self.golden)


class SmallNet:
  """A net in training on small images, and its features in evaluation with the same variables.

  The variables lie in the scope 'second'.
  """

  def __init__(self, network, golden):
    *frames, _, _, channels = golden['input_shape'][1:]
    size = SMALL_IMAGE_SIZES.get(network.name, min(network.image_size, 64))
    keywords = SMALL_IMAGE_ARGUMENTS.get(network.name, {})
    self.batch_norm_decay = 0.5 if network.has_batch_norm_decay else None
    with tf.Graph().as_default() as self.graph:
      self.images = tf.placeholder(tf.float32, [4, *frames, size, size, channels])
      train_fn = nets_factory.get_network_fn(
        network.name,
        golden['num_classes'],
        is_training=True,
        batch_norm_decay=self.batch_norm_decay,
      )
      with tf.variable_scope('second'):
        logits, end_points = train_fn(self.images, **keywords)
      self.all_logits = [logits, *(end_points[key] for key in end_points if key == 'AuxLogits')]
      self.variables = net_variables(self.graph)
      features_fn = nets_factory.get_network_fn(network.name, None)
      with tf.variable_scope('second', reuse=True):
        self.features, _ = features_fn(self.images, **keywords)
      self.variables_with_features = net_variables(self.graph)

  @functools.cached_property
  def session(self):
    """A session in which the variables have their initial values at first."""
    session = tf.Session(graph=self.graph)
    with self.graph.as_default():
      tf.set_random_seed(1)
      session.run(tf.global_variables_initializer())
    return session


@pytest.fixture(scope='session', params=NETWORKS, ids=lambda network: network.name)
def reference(request):
  """A row's `Reference`. pytest runs all tests of one row together, then drops its graphs."""
  return Reference(request.param)


@pytest.fixture(scope='session')
def recipe():
  """The module tests/goldens/recipe.py."""
  spec = importlib.util.spec_from_file_location('recipe', GOLDENS / 'recipe.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
