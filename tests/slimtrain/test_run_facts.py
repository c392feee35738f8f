"""What a train_dir says of itself."""

import json

import numpy as np

from slimcompat import tf
from slimtrain import model_facts, run_facts, training
from slimtrain import settings as settings_lib


def train(train_dir, **flags):
  settings = settings_lib.replace(
    training.TrainingSettings(),
    train_dir=str(train_dir),
    dataset_name='digits',
    model_name='lenet',
    optimizer='sgd',
    **flags,
  )
  return training.train(settings)


def test_model_and_runs(tmp_path):
  train(tmp_path, max_number_of_steps=2, seed=5, moving_average_decay=0.9)
  with tf.Graph().as_default():
    train(tmp_path, max_number_of_steps=3, moving_average_decay=0.9)
  facts = model_facts.read(str(tmp_path / 'model.ckpt-3'))
  assert (facts.model_name, facts.num_classes, facts.num_channels) == ('lenet', 10, 1)
  assert facts.moving_average_decay == 0.9
  first, second = json.loads((tmp_path / run_facts.RUN_FILE).read_text())
  assert (first['first_step'], second['first_step']) == (0, 2)
  assert (first['seed'], second['seed']) == (5, None)
  assert first['data'] == second['data']
  assert first['data']['examples'] == 1437
  assert sum(first['data']['class_counts']) == 1437
  assert len(first['data']['hash']) == 64
  assert first['versions']['tensorflow'] == tf.version.VERSION
  assert first['versions']['numpy'] == np.__version__
  # LeNet's weights and biases: 5x5x1x32 + 32, 5x5x32x64 + 64, 3136x1024 + 1024, 1024x10 + 10.
  assert first['trained_parameters'] == 832 + 51_264 + 3_212_288 + 10_250


def test_a_damaged_history_is_no_obstacle(tmp_path):
  (tmp_path / run_facts.RUN_FILE).write_text('[{')
  train(tmp_path, max_number_of_steps=1)
  assert len(json.loads((tmp_path / run_facts.RUN_FILE).read_text())) == 1
