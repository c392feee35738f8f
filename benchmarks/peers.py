"""Other frameworks doing the same work, by the names of --peer."""

import dataclasses
import importlib.util

from benchmarks import protocol, slim_runs
from slimcompat import errors, tables

MAX_DIFFERENCE = 0.02  # Of the MACs, as a part.


@dataclasses.dataclass(frozen=True)
class Peer:
  """A framework."""

  name: str
  package: str  # That must be importable.
  function: str  # 'module:function' that times its training.
  count_macs: str  # The same, for its net's MACs.
  arguments: dict = dataclasses.field(default_factory=dict)


PEERS = tables.Table(
  'peer',
  [
    Peer('keras', 'keras', 'benchmarks.keras_nets:time_fit', 'benchmarks.keras_nets:count_macs'),
    Peer(
      'keras_xla',
      'keras',
      'benchmarks.keras_nets:time_fit',
      'benchmarks.keras_nets:count_macs',
      {'jit_compile': True},
    ),
    Peer(
      'torch',
      'torch',
      'benchmarks.torch_nets:time_training',
      'benchmarks.torch_nets:count_macs',
    ),
  ],
)
NETS = ('resnet_v1_50', 'mobilenet_v1')  # Those that have twins.


def check(peer, model_name):
  """Returns what to note of the peer's net.

  Raises:
    InputError: when the peer is not installed, or its net does other work.
  """
  if not importlib.util.find_spec(peer.package):
    raise errors.InputError(
      f'--peer={peer.name} needs {peer.package}, which is not installed; install it or leave the'
      ' peer out.'
    )
  ours = slim_runs.count_macs(model_name)
  theirs = protocol.call(peer.count_macs, {'model_name': model_name})
  if abs(theirs / ours - 1) > MAX_DIFFERENCE:
    raise errors.InputError(
      f'{model_name} has {ours / 1e9:.3f} GMACs, and that of {peer.name} {theirs / 1e9:.3f}; they'
      f' are compared only within {MAX_DIFFERENCE:.0%}. Mend the twin or leave the peer out.'
    )
  return f'{theirs / 1e9:.3f} GMACs'
