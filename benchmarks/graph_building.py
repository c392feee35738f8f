"""Seconds to build the training graphs of the nets, one after another in one process.

python -m benchmarks.graph_building

A graph is that of a step on images of the net's own size: net, losses, gradients, and momentum with
its slots. No op of it runs. `bare ops` are of the cheapest kind there is: they tell how fast the
machine is.
"""

import dataclasses
import time

from benchmarks import protocol
from nets import costs, nets_factory
from slimcompat import garbage, tf
from slimtrain import losses, models, settings

NUM_CLASSES = 10
NUM_BARE_OPS = 20_000


@dataclasses.dataclass(frozen=True)
class GraphBuildingSettings(protocol.BenchmarkSettings):
  """Benchmark of building graphs."""

  model_names: str = settings.setting(
    ','.join(nets_factory.NETWORKS), 'The nets, separated by commas.'
  )


def time_building(model_names):
  """Returns what the training graphs of all nets take together."""
  num_ops, start_secs = 0, time.perf_counter()
  for name in model_names:
    with tf.Graph().as_default() as graph, garbage.not_collected():
      _build(name)
    num_ops += len(graph.get_operations())
  secs = time.perf_counter() - start_secs
  return {'ms/op': 1000 * secs / num_ops, 's': secs, 'ops': num_ops}


def time_bare_ops(num_ops):
  """Returns what an op takes that passes its input on."""
  start_secs = time.perf_counter()
  with tf.Graph().as_default(), garbage.not_collected():
    value = tf.constant(0)
    for _ in range(num_ops):
      tf.identity(value)
  return {'ms/op': 1000 * (time.perf_counter() - start_secs) / num_ops}


def _build(name):
  row = nets_factory.NETWORKS[name]
  frames = [costs.NUM_FRAMES] if row.is_video else []
  images = tf.placeholder(
    tf.float32, [2, *frames, row.image_size, row.image_size, row.num_channels]
  )
  network_fn = nets_factory.get_network_fn(
    name, NUM_CLASSES, weight_decay=0.00004, is_training=True
  )
  losses.add_losses(losses.LossSettings(), models.Model(*network_fn(images)), [0, 1])
  tf.train.MomentumOptimizer(0.1, 0.9).minimize(tf.losses.get_total_loss())


def main(benchmark):
  names = benchmark.model_names.split(',')
  graphs = protocol.Case(
    f'{len(names)} training graphs',
    'benchmarks.graph_building:time_building',
    {'model_names': names},
  )
  bare = protocol.Case(
    'bare ops', 'benchmarks.graph_building:time_bare_ops', {'num_ops': NUM_BARE_OPS}
  )
  with protocol.Report('graph_building', benchmark) as report:
    report.add(
      protocol.measure([graphs, bare], [protocol.Comparison(graphs.name, bare.name)], benchmark)
    )


if __name__ == '__main__':
  settings.run(GraphBuildingSettings(pairs=3), main)
