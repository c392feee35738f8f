"""Images a second that become TFRecords, from a folder of JPEGs with a sub-folder per class.

python -m benchmarks.conversion_throughput
"""

import os
import tempfile
import time

from benchmarks import pictures, protocol
from datasets import conversion
from slimtrain import settings


def time_conversion(image_dir, num_pictures):
  """Returns the rates of download_and_convert_data.py on a folder, without its start."""
  with tempfile.TemporaryDirectory() as dataset_dir:
    conversion_settings = conversion.ConversionSettings(
      image_dir=image_dir, dataset_dir=os.path.join(dataset_dir, 'records')
    )
    start_secs, start_cpu_secs = time.perf_counter(), time.process_time()
    conversion.convert(conversion_settings)
    secs = time.perf_counter() - start_secs
    cpu_secs = time.process_time() - start_cpu_secs
  kilobytes = pictures.mean_kilobytes(image_dir) * num_pictures
  return {
    'images/s': num_pictures / secs,
    'MB/s': kilobytes / 1000 / secs,
    protocol.CPU_TIME: 1000 * cpu_secs / num_pictures,
  }


def main(benchmark):
  cases = []
  for kind in pictures.KINDS:
    image_dir = pictures.make_folder(benchmark.data_dir, kind, benchmark.num_pictures)
    cases.append(
      protocol.Case(
        f'{kind} pictures',
        'benchmarks.conversion_throughput:time_conversion',
        {'image_dir': image_dir, 'num_pictures': benchmark.num_pictures},
        notes=f'{pictures.mean_kilobytes(image_dir):.0f} kB',
      )
    )
  with protocol.Report('conversion_throughput', benchmark) as report:
    report.add(protocol.measure(cases, [], benchmark))


if __name__ == '__main__':
  settings.run(protocol.BenchmarkSettings(), main)
