"""benchmark_model.py measures checkpoints and exports; how fast they are does not matter here."""

import json

import pytest

from nets import nets_factory
from slimcompat import errors, tf
from slimtrain import export, model_benchmark
from slimtrain import settings as settings_lib


@pytest.fixture(scope='module')
def models(tmp_path_factory):
  """Paths of a LeNet: a checkpoint, and exports of it."""
  root = tmp_path_factory.mktemp('models')
  with tf.Graph().as_default(), tf.Session() as session:
    nets_factory.get_network_fn('lenet', 7)(tf.zeros([1, 28, 28, 1]))
    session.run(tf.global_variables_initializer())
    paths = {'checkpoint': tf.train.Saver().save(session, str(root / 'model.ckpt'))}
  paths['frozen'] = str(root / 'frozen.pb')
  export.export_inference_graph(
    settings_lib.replace(
      export.ExportSettings(),
      checkpoint_path=paths['checkpoint'],
      model_name='lenet',
      format='frozen',
      output_file=paths['frozen'],
    )
  )
  return paths


def benchmark(path, **flags):
  return model_benchmark.benchmark(
    settings_lib.replace(
      model_benchmark.ModelBenchmarkSettings(), checkpoint_path=path, seconds=0.05, **flags
    )
  )


@pytest.mark.parametrize('kind', ['checkpoint', 'frozen'])
def test_measures_each_batch_size(models, tmp_path, kind):
  path = tmp_path / 'figures.json'
  result = benchmark(models[kind], batch_sizes='1, 3', output_file=str(path))
  assert json.loads(path.read_text()) == result
  assert (result['format'], result['model_name'], result['image_size']) == (kind, 'lenet', 28)
  # 5x5x32 + 32, 5x5x32x64 + 64, 3136x1024 + 1024, 1024x7 + 7.
  assert result['parameters'] == 832 + 51264 + 3212288 + 7175
  # Products of the same weights, the convolutions' at 28x28 and 14x14 places.
  assert result['macs'] == 800 * 28**2 + 51200 * 14**2 + 3136 * 1024 + 1024 * 7
  assert [row['batch_size'] for row in result['batches']] == [1, 3]
  for row in result['batches']:
    assert row['runs'] >= 10
    assert 0 < row['p50_ms'] <= row['p90_ms'] <= row['p99_ms']
    # The mean lies between the least and the greatest.
    mean_ms = 1000 * row['batch_size'] / row['images_per_sec']
    assert 0 < mean_ms <= 2 * row['p99_ms']
    assert row['peak_mb'] is None or row['peak_mb'] > 100


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    ({'path': None}, '--checkpoint_path is missing'),
    ({'path': 'nowhere'}, 'no checkpoint nowhere'),
    ({'batch_sizes': '1,0'}, '--batch_sizes=1,0 are no sizes'),
    ({'batch_sizes': 'many'}, '--batch_sizes=many are no sizes'),
    ({'output_file': __file__}, 'is there already'),
    ({'model_name': 'cifarnet'}, 'contradicts'),
  ],
)
def test_refuses_in_a_sentence(models, flags, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    benchmark(**{'path': models['frozen'], **flags})
