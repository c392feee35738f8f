"""Images a second that classify_images.py takes in, from JPEG files, against an evaluation.

python -m benchmarks.classification_throughput --num_pictures=1000
"""

import dataclasses
import os
import tempfile
import time

from benchmarks import pictures, protocol, slim_runs
from datasets import image_sources
from nets import nets_factory
from slimtrain import classification, evaluation, settings, training


@dataclasses.dataclass(frozen=True)
class ClassificationBenchmarkSettings(protocol.BenchmarkSettings):
  """Benchmark of classification."""

  model_names: str = settings.setting('mobilenet_v1', 'Nets, separated by commas.')
  batch_size: int = settings.setting(32, 'Images in a batch.', lower=1)
  image_size: int | None = settings.setting(None, "Pixels per side. Unset: the net's.", lower=1)


def time_run(kind, model_name, image_dir, dataset_dir, batch_size, image_size):
  """Returns the rate of a run after its first batch: what more batches take longer.

  Args:
    kind: 'evaluation' of the records, or 'classification' of the files that they were made from,
      into a CSV file.
    model_name: the net.
    image_dir: the files.
    dataset_dir: the records, all in the split train.
    batch_size: images.
    image_size: pixels per side; None is the net's.
  """
  run = {'evaluation': _evaluate, 'classification': _classify}[kind]
  with tempfile.TemporaryDirectory() as run_dir:
    train_dir = os.path.join(run_dir, 'train')
    values = {'model_name': model_name, 'dataset_dir': dataset_dir, 'batch_size': 2}
    values['train_image_size'] = image_size
    training.train(
      slim_runs.make_settings({**values, 'train_dir': train_dir, 'max_number_of_steps': 1})
    )

    def timed(max_num_batches):
      start_secs, start_cpu_secs = time.perf_counter(), time.process_time()
      num_images = run(values, image_dir, train_dir, run_dir, batch_size, max_num_batches)
      secs = time.perf_counter() - start_secs
      return num_images, secs, time.process_time() - start_cpu_secs

    timed(1)  # What is slow only the first time in a process.
    first = timed(1)
    num_images, secs, cpu_secs = (all_ - one for all_, one in zip(timed(None), first, strict=True))
  return {'images/s': num_images / secs, protocol.CPU_TIME: 1000 * cpu_secs / num_images}


def _evaluate(values, image_dir, train_dir, run_dir, batch_size, max_num_batches):
  del image_dir
  result = evaluation.evaluate(
    settings.replace(
      evaluation.EvaluationSettings(),
      checkpoint_path=train_dir,
      eval_dir=run_dir,
      report=False,
      max_num_batches=max_num_batches,
      eval_image_size=values['train_image_size'],
      model_name=values['model_name'],
      dataset_name='image_folder',
      dataset_dir=values['dataset_dir'],
      dataset_split_name='train',
      batch_size=batch_size,
    )
  )
  return result['examples']


def _classify(values, image_dir, train_dir, run_dir, batch_size, max_num_batches):
  del values
  paths = image_sources.list_images(image_dir)
  if max_num_batches:
    paths = paths[: max_num_batches * batch_size]
  classification.classify(
    settings.replace(
      classification.ClassificationSettings(),
      images=tuple(paths),
      checkpoint_path=train_dir,
      batch_size=batch_size,
      output_file=os.path.join(run_dir, 'found.csv'),
      overwrite=True,
    )
  )
  return len(paths)


def main(benchmark):
  image_dir = pictures.make_folder(benchmark.data_dir, 'detailed', benchmark.num_pictures)
  dataset_dir = pictures.make_dataset(benchmark.data_dir, 'detailed', benchmark.num_pictures)
  with protocol.Report('classification_throughput', benchmark) as report:
    for name in settings.split_names(benchmark.model_names):
      network = nets_factory.NETWORKS[name].name
      cases = [
        protocol.Case(
          f'{network}, {kind}',
          'benchmarks.classification_throughput:time_run',
          {
            'kind': kind,
            'model_name': name,
            'image_dir': image_dir,
            'dataset_dir': dataset_dir,
            'batch_size': benchmark.batch_size,
            'image_size': benchmark.image_size,
          },
          notes=f'batch {benchmark.batch_size}',
        )
        for kind in ('evaluation', 'classification')
      ]
      comparison = protocol.Comparison(cases[1].name, cases[0].name)
      report.add(protocol.measure(cases, [comparison], benchmark))


if __name__ == '__main__':
  settings.run(ClassificationBenchmarkSettings(), main)
