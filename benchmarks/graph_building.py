"""Seconds to build the training graphs of the nets, one after another in one process.

python -m benchmarks.graph_building

A graph is that of a step on images of the net's own size: net, losses, gradients, and momentum with
its slots. No op of it runs.
"""

import dataclasses
import time

from benchmarks import protocol
from nets import costs, nets_factory
from slimcompat import garbage, tf
from slimtrain import losses, models, settings

NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class GraphBuildingSettings(protocol.BenchmarkSettings):
  """Benchmark of building graphs."""

  model_names: str = settings.setting(
    ','.join(nets_factory.NETWORKS), 'The nets, separated by commas.'
  )


def time_building(model_names):
  """Returns the seconds that the training graphs of all nets take together."""
  start_secs = time.perf_counter()
  for name in model_names:
    with tf.Graph().as_default(), garbage.not_collected():
      _build(name)
  return {'s': time.perf_counter() - start_secs}


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
  case = protocol.Case(
    f'{len(names)} training graphs',
    'benchmarks.graph_building:time_building',
    {'model_names': names},
  )
  with protocol.Report('graph_building', benchmark) as report:
    report.add(protocol.measure([case], [], benchmark))


if __name__ == '__main__':
  settings.run(GraphBuildingSettings(pairs=3), main)
