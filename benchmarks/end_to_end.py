"""Training from JPEG TFRecords, as the script does it, against the same step on synthetic images.

python -m benchmarks.end_to_end
python -m benchmarks.end_to_end --peer=keras
"""

import dataclasses
import glob
import os
from typing import NamedTuple

from benchmarks import peers, pictures, protocol, train_throughput
from slimcompat import errors
from slimtrain import settings


class Net(NamedTuple):
  """How a net is trained here."""

  batch_size: int
  image_size: int | None = None  # None: the net's own.
  log_every_n_steps: int = 1  # Steps are timed by the lines.
  # Flags to train with from files, by what the table calls them.
  variants: dict = {'from files': {}}  # noqa: RUF012


NETS = {
  'mobilenet_v1': Net(16),
  'resnet_v1_50': Net(16),
  'inception_v3': Net(8),
  'vgg_16': Net(8),
  # The input's hardest case: a net of little work.
  'mobilenet_v1_025': Net(
    32,
    128,
    5,
    {
      'from files': {},
      'from files, --fast_jpeg': {'fast_jpeg': True},
      'from files, decoded cache': {'cache': 'decoded'},
    },
  ),
}


@dataclasses.dataclass(frozen=True)
class EndToEndSettings(protocol.BenchmarkSettings):
  """Benchmark from files to steps."""

  model_names: str = settings.setting(
    ','.join(NETS), f'Nets, separated by commas, of {", ".join(NETS)}.'
  )
  kind: str = settings.setting('detailed', 'The kind of pictures.', choices=pictures.KINDS)
  batch_size: int | None = settings.setting(
    None, 'Images in a batch. Unset: what suits the net.', lower=1
  )
  image_size: int | None = settings.setting(None, 'Pixels per side. Unset: as the net.', lower=1)
  peer: str | None = settings.setting(
    None,
    'Other frameworks, separated by commas, on those of the nets that have twins:'
    f' {", ".join(peers.NETS)}. keras or keras_xla.',
  )


def list_cases(model_name, benchmark):
  """Returns the cases of a net, and their comparisons."""
  net = NETS[model_name]
  net = net._replace(
    batch_size=benchmark.batch_size or net.batch_size,
    image_size=benchmark.image_size or net.image_size,
  )
  dataset_dir = pictures.make_dataset(benchmark.data_dir, benchmark.kind, benchmark.num_pictures)
  values = {'model_name': model_name, 'batch_size': net.batch_size}
  notes = f'batch {net.batch_size}'
  if net.image_size:
    values['train_image_size'] = net.image_size
    notes += f', {net.image_size} pixels'
  timing = {'seconds': benchmark.seconds}
  synthetic = protocol.Case(
    f'{model_name}, synthetic',
    'benchmarks.slim_runs:time_step',
    # Of as many classes as the files have.
    {'values': values, 'num_classes': pictures.NUM_CLASSES, **timing},
    notes=notes,
  )
  cases, ratios = [synthetic], []
  for variant, flags in net.variants.items():
    name = f'{model_name}, {variant}'
    more = {
      'dataset_dir': dataset_dir,
      'log_every_n_steps': net.log_every_n_steps,
      **flags,
    }
    # A cache works from the second epoch on.
    warm_up_steps = benchmark.num_pictures // net.batch_size + 10 if 'cache' in flags else None
    arguments = {'values': {**values, **more}, 'warm_up_steps': warm_up_steps, **timing}
    cases.append(protocol.Case(name, 'benchmarks.slim_runs:time_script', arguments, notes=notes))
    ratios.append(protocol.Comparison(name, synthetic.name))
  ours = cases[1]
  files = sorted(glob.glob(os.path.join(dataset_dir, '*_train_*')))
  chosen = train_throughput.list_peers(benchmark.peer) if model_name in peers.NETS else []
  for peer in chosen:
    arguments = {
      'model_name': model_name,
      'batch_size': net.batch_size,
      'files': files,
      'num_classes': pictures.NUM_CLASSES,
      **timing,
      **peer.arguments,
    }
    name = f'{model_name}, from files, {peer.name}'
    peer_notes = f'{notes}, {peers.check(peer, model_name)}'
    cases.append(protocol.Case(name, peer.function, arguments, notes=peer_notes))
    ratios.append(protocol.Comparison(ours.name, name))
  return cases, ratios


def main(benchmark):
  names = settings.split_names(benchmark.model_names)
  for name in names:
    if name not in NETS:
      raise errors.InputError(f'--model_names: there is no {name} here; use {", ".join(NETS)}.')
  if 'torch' in settings.split_names(benchmark.peer):
    raise errors.InputError('--peer=torch is for train_throughput; here take keras or keras_xla.')
  if benchmark.peer and benchmark.image_size:
    raise errors.InputError('--peer goes with no --image_size: the twins have that of the nets.')
  with protocol.Report('end_to_end', benchmark) as report:
    for name in names:
      report.add(protocol.measure(*list_cases(name, benchmark), benchmark))


if __name__ == '__main__':
  settings.run(EndToEndSettings(), main)
