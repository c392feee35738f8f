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
# As they stand before any test registers a net of its own.
NETWORKS = tuple(nets_factory.NETWORKS.values())


@dataclasses.dataclass(frozen=True)
class BuiltNet:
  """A net in a graph of its own."""

  graph: tf.Graph
  images: tf.Tensor
  logits: tf.Tensor
  end_points: dict[str, tf.Tensor]

  @property
  def shape_by_variable(self):
    variables = self.graph.get_collection(tf.GraphKeys.GLOBAL_VARIABLES)
    return {variable.op.name: variable.shape.as_list() for variable in variables}

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
