"""Images a second that the input alone gives, against a straightforward tf.data pipeline.

python -m benchmarks.input_throughput

Inception's training preprocessing of pictures of 500x375 to 224 pixels, each case on one core; and
ours on two. The preprocessing of VGG and ResNet besides, with and without --fast_jpeg.
"""

import dataclasses
import os

from benchmarks import pictures, plain_input, protocol, slim_runs
from slimcompat import tf
from slimtrain import deployment, inputs, settings

BASE = 'plain tf.data'
# Case -> the flags of train_image_classifier.py.
OURS = {
  'ours': {},
  'ours, --fast_jpeg': {'fast_jpeg': True},
  'ours, --cache=decoded': {'cache': 'decoded'},
}
VGG = 'ours, vgg'
VGG_FAST = 'ours, vgg, --fast_jpeg'


@dataclasses.dataclass(frozen=True)
class InputSettings(protocol.BenchmarkSettings):
  """Benchmark of the input."""

  kinds: str = settings.setting(
    ','.join(pictures.KINDS), 'Kinds of pictures, separated by commas: smooth, detailed.'
  )
  batch_size: int = settings.setting(32, 'Images in a batch.', lower=1)
  image_size: int = settings.setting(224, 'Pixels per side after preprocessing.', lower=1)


def time_plain(values, seconds, resize_first):
  """Returns the images/s of a plain pipeline over the files that `values` name."""
  run_settings = slim_runs.make_settings(values)
  data = inputs.load_data(run_settings.data)
  with tf.Graph().as_default():
    batches = plain_input.make_batches(
      data.files, run_settings.data.batch_size, run_settings.train_image_size, resize_first
    )
    return slim_runs.time_batches(
      batches,
      run_settings.data.batch_size,
      seconds,
      deployment.session_config(run_settings.session),
    )


def list_cases(kind, benchmark):
  """Returns the cases of a kind of pictures, and their comparisons."""
  folder = pictures.make_folder(benchmark.data_dir, kind, benchmark.num_pictures)
  values = {
    'dataset_dir': pictures.make_dataset(benchmark.data_dir, kind, benchmark.num_pictures),
    'model_name': 'mobilenet_v1',
    'batch_size': benchmark.batch_size,
    'train_image_size': benchmark.image_size,
  }
  size = f'{pictures.mean_kilobytes(folder):.0f} kB'
  timing = {'values': values, 'seconds': benchmark.seconds}

  def named(name):
    return f'{name} ({kind})'

  cases = [
    protocol.Case(
      named(name),
      'benchmarks.input_throughput:time_plain',
      {**timing, 'resize_first': resize_first},
      num_cores=1,
      notes=f'{size}, 1 core',
    )
    for name, resize_first in ((BASE, False), (f'{BASE}, resized first', True))
  ]
  # A cache works from the second epoch on.
  warm_up_steps = benchmark.num_pictures // benchmark.batch_size + 10
  of_vgg = {'preprocessing_name': 'vgg'}
  ours = {**OURS, VGG: of_vgg, VGG_FAST: {**of_vgg, 'fast_jpeg': True}}
  for name, more in ours.items():
    arguments = {**timing, 'values': {**values, **more}, 'warm_up_steps': warm_up_steps}
    cases.append(
      protocol.Case(
        named(name),
        'benchmarks.slim_runs:time_input',
        arguments,
        num_cores=1,
        notes=f'{size}, 1 core',
      )
    )
  ratios = [protocol.Comparison(named(name), named(BASE)) for name in OURS]
  ratios.append(protocol.Comparison(named('ours'), named(f'{BASE}, resized first')))
  ratios.append(protocol.Comparison(named(VGG_FAST), named(VGG)))
  if len(os.sched_getaffinity(0)) > 1:
    one_core = next(case for case in cases if case.name == named('ours'))
    two_cores = one_core._replace(
      name=named('ours, 2 cores'), num_cores=2, notes=f'{size}, 2 cores'
    )
    cases.append(two_cores)
    ratios.append(protocol.Comparison(two_cores.name, one_core.name))
  return cases, ratios


def main(benchmark):
  with protocol.Report('input_throughput', benchmark) as report:
    for kind in settings.split_names(benchmark.kinds):
      report.add(protocol.measure(*list_cases(kind, benchmark), benchmark))


if __name__ == '__main__':
  settings.run(InputSettings(), main)
