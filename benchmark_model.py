"""Measures how fast a trained model is, by the size of the batch: images a second and latencies.

python benchmark_model.py --checkpoint_path=/tmp/flowers --batch_sizes=1,32
"""

from slimtrain import model_benchmark, settings

if __name__ == '__main__':
  settings.run(model_benchmark.ModelBenchmarkSettings(), model_benchmark.benchmark)
