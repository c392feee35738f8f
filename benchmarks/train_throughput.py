"""Images a second of the training step on synthetic images: by net, precision and XLA.

python -m benchmarks.train_throughput --model_names=resnet_v1_50,vgg_16 --precisions=none,bfloat16
python -m benchmarks.train_throughput --model_names=resnet_v1_50,mobilenet_v1 --peer=keras
"""

import dataclasses

from benchmarks import peers, protocol, slim_runs
from nets import nets_factory
from slimcompat import errors
from slimtrain import settings

# Of nets that the default would take too long on two cores.
BATCH_SIZES = {'lenet': 64, 'cifarnet': 128, 'inception_v3': 8, 'vgg_16': 8}
DEFAULT_BATCH_SIZE = 16
XLA = {'no': (False,), 'yes': (True,), 'both': (False, True)}


@dataclasses.dataclass(frozen=True)
class TrainSettings(protocol.BenchmarkSettings):
  """Benchmark of the training step."""

  model_names: str = settings.setting(
    'lenet,cifarnet,mobilenet_v1,mobilenet_v2,inception_v1,resnet_v1_50,inception_v3,vgg_16',
    'Nets, separated by commas.',
  )
  precisions: str = settings.setting(
    'none', 'Values of --mixed_precision, separated by commas; the first is the base.'
  )
  xla: str = settings.setting('no', 'Whether XLA compiles the step.', choices=XLA)
  batch_size: int | None = settings.setting(
    None, f'Images in a batch. Unset: {DEFAULT_BATCH_SIZE}, or what suits the net.', lower=1
  )
  image_size: int | None = settings.setting(None, "Pixels per side. Unset: the net's.", lower=1)
  peer: str | None = settings.setting(
    None,
    f'Other frameworks, separated by commas, on those of the nets that have twins:'
    f' {", ".join(peers.NETS)}. Of {", ".join(peers.PEERS)}.',
  )


def list_cases(model_name, benchmark):
  """Returns the cases of a net, and their comparisons."""
  batch_size = benchmark.batch_size or BATCH_SIZES.get(model_name, DEFAULT_BATCH_SIZE)
  values = {'model_name': model_name, 'batch_size': batch_size}
  notes = f'batch {batch_size}, {slim_runs.count_macs(model_name) / 1e9:.3f} GMACs'
  if benchmark.image_size:
    values['train_image_size'] = benchmark.image_size
    # The net's MACs are those at its own size.
    notes = f'batch {batch_size}, {benchmark.image_size} pixels'
  cases = []
  for precision in settings.split_names(benchmark.precisions):
    for xla in XLA[benchmark.xla]:
      name = f'{model_name}, {_shown(precision)}{", XLA" if xla else ""}'
      more = {'mixed_precision': precision, 'xla': xla}
      arguments = {'values': {**values, **more}, 'seconds': benchmark.seconds}
      cases.append(protocol.Case(name, 'benchmarks.slim_runs:time_step', arguments, notes=notes))
  ratios = [protocol.Comparison(case.name, cases[0].name) for case in cases[1:]]
  for peer in list_peers(benchmark.peer) if model_name in peers.NETS else []:
    peer_notes = f'batch {batch_size}, {peers.check(peer, model_name)}'
    for precision in settings.split_names(benchmark.precisions):
      arguments = {
        'model_name': model_name,
        'batch_size': batch_size,
        'seconds': benchmark.seconds,
        'precision': precision,
        **peer.arguments,
      }
      prefix = f'{model_name}, {_shown(precision)}'
      name = f'{prefix}, {peer.name}'
      cases.append(protocol.Case(name, peer.function, arguments, notes=peer_notes))
      # Ours come before the peers', and without XLA before with it.
      ours = next(case for case in cases if case.name.startswith(prefix))
      ratios.append(protocol.Comparison(ours.name, name))
  return cases, ratios


def _shown(precision):
  return 'float32' if precision == 'none' else precision


def list_peers(names):
  """Returns the Peers of a comma-separated string."""
  return [peers.PEERS[name] for name in settings.split_names(names)]


def main(benchmark):
  names = settings.split_names(benchmark.model_names)
  for name in names:
    nets_factory.NETWORKS[name]  # An unknown one is refused before anything runs.
  if benchmark.peer and benchmark.image_size:
    raise errors.InputError('--peer goes with no --image_size: the twins have that of the nets.')
  with protocol.Report('train_throughput', benchmark) as report:
    for name in names:
      report.add(protocol.measure(*list_cases(name, benchmark), benchmark))


if __name__ == '__main__':
  settings.run(TrainSettings(), main)
