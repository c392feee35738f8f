"""Images a second that an evaluation takes in, from JPEG TFRecords.

python -m benchmarks.evaluation_throughput
"""

import dataclasses
import os
import tempfile
import time

from benchmarks import pictures, protocol, slim_runs
from nets import nets_factory
from slimtrain import evaluation, inputs, models, settings, training


@dataclasses.dataclass(frozen=True)
class EvaluationBenchmarkSettings(protocol.BenchmarkSettings):
  """Benchmark of evaluation."""

  model_names: str = settings.setting('mobilenet_v1,resnet_v1_50', 'Nets, separated by commas.')
  batch_size: int = settings.setting(32, 'Images in a batch.', lower=1)
  image_size: int | None = settings.setting(None, "Pixels per side. Unset: the net's.", lower=1)


def time_evaluation(model_name, dataset_dir, batch_size, image_size):
  """Returns the rate of an evaluation after its first batch: what more batches take longer."""
  with tempfile.TemporaryDirectory() as run_dir:
    train_dir = os.path.join(run_dir, 'train')
    values = {'model_name': model_name, 'dataset_dir': dataset_dir, 'batch_size': 2}
    values['train_image_size'] = image_size
    training.train(
      slim_runs.make_settings({**values, 'train_dir': train_dir, 'max_number_of_steps': 1})
    )

    def evaluate(max_num_batches):
      start_secs, start_cpu_secs = time.perf_counter(), time.process_time()
      result = evaluation.evaluate(
        evaluation.EvaluationSettings(
          checkpoint_path=train_dir,
          eval_dir=run_dir,
          report=False,
          max_num_batches=max_num_batches,
          eval_image_size=image_size,
          model=models.ModelSettings(model_name=model_name),
          data=inputs.DataSettings(
            dataset_name='image_folder',
            dataset_dir=dataset_dir,
            dataset_split_name='train',
            batch_size=batch_size,
          ),
        )
      )
      secs = time.perf_counter() - start_secs
      return result['examples'], secs, time.process_time() - start_cpu_secs

    evaluate(1)  # What is slow only the first time in a process.
    first = evaluate(1)
    num_images, secs, cpu_secs = (
      all_ - one for all_, one in zip(evaluate(None), first, strict=True)
    )
  return {'images/s': num_images / secs, protocol.CPU_TIME: 1000 * cpu_secs / num_images}


def main(benchmark):
  names = settings.split_names(benchmark.model_names)
  dataset_dir = pictures.make_dataset(benchmark.data_dir, 'detailed', benchmark.num_pictures)
  cases = [
    protocol.Case(
      f'{nets_factory.NETWORKS[name].name}, evaluation',
      'benchmarks.evaluation_throughput:time_evaluation',
      {
        'model_name': name,
        'dataset_dir': dataset_dir,
        'batch_size': benchmark.batch_size,
        'image_size': benchmark.image_size,
      },
      notes=f'batch {benchmark.batch_size}',
    )
    for name in names
  ]
  with protocol.Report('evaluation_throughput', benchmark) as report:
    report.add(protocol.measure(cases, [], benchmark))


if __name__ == '__main__':
  settings.run(EvaluationBenchmarkSettings(), main)
