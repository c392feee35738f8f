"""Command lines as slim's shell scripts have them, each script twice in a row."""

import functools
import http.server
import os
import pathlib
import subprocess
import tarfile
import threading

import pytest

from tests import warm_python
from tests.datasets import test_known_datasets

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHECKPOINT = ROOT / 'tests' / 'goldens' / 'checkpoints' / 'mobilenet_v1_025_v1' / 'model.ckpt-12345'

# Fetch a checkpoint unless it is there, fetch and convert the data, train the classifier, then all.
FINE_TUNING = """
set -e
cd "$CHECKOUT"
if [ ! -f "$WORK/checkpoints/net.ckpt" ]; then
  mkdir "$WORK/checkpoints"
  wget http://download.invalid/models/net.tar.gz
  tar -xf net.tar.gz
  rm net.tar.gz
  mv net.ckpt "$WORK/checkpoints/net.ckpt"
fi
python download_and_convert_data.py --dataset_name=flowers --dataset_dir="$WORK/flowers" $MIRROR

common="--dataset_name=flowers --dataset_dir=$WORK/flowers --model_name=mobilenet_v1_025"
training="--batch_size=2 --optimizer=rmsprop --save_interval_secs=60 --save_summaries_secs=60"
training="$training --weight_decay=0.00004 --train_image_size=32"
python train_image_classifier.py $common --dataset_split_name=train --train_dir="$WORK/run" \
  --checkpoint_path="$WORK/checkpoints/net.ckpt" --checkpoint_exclude_scopes=MobilenetV1/Logits \
  --trainable_scopes=MobilenetV1/Logits --max_number_of_steps=2 $training
python eval_image_classifier.py $common --dataset_split_name=validation \
  --checkpoint_path="$WORK/run" --eval_dir="$WORK/run"
python train_image_classifier.py $common --dataset_split_name=train --train_dir="$WORK/run/all" \
  --checkpoint_path="$WORK/run" --max_number_of_steps=1 $training
python eval_image_classifier.py $common --dataset_split_name=validation \
  --checkpoint_path="$WORK/run/all" --eval_dir="$WORK/run/all"
"""
FROM_SCRATCH = """
set -e
cd "$CHECKOUT"
python download_and_convert_data.py --dataset_name=NAME --dataset_dir="$WORK/data" $MIRROR
python train_image_classifier.py --train_dir="$WORK/run" --dataset_name=NAME \
  --dataset_split_name=train --dataset_dir="$WORK/data" --model_name=NET --preprocessing_name=NET \
  --max_number_of_steps=2 --batch_size=5 --learning_rate=0.01 --optimizer=sgd --weight_decay=0
python eval_image_classifier.py --checkpoint_path="$WORK/run" --eval_dir="$WORK/run" \
  --dataset_name=NAME --dataset_split_name=test --dataset_dir="$WORK/data" --model_name=NET
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *unused):
    pass


@pytest.fixture
def run(tmp_path):
  """run(script, folder): runs a script in a checkout against a server; returns what it printed."""
  mirror, programs, checkout = (tmp_path / name for name in ('mirror', 'bin', 'checkout'))
  for folder in (mirror, programs, checkout, tmp_path / 'work'):
    folder.mkdir()
  for path in ROOT.iterdir():
    if path.name != '.git':
      (checkout / path.name).symlink_to(path)
  for offer in test_known_datasets.OFFERS.values():
    offer(mirror)
  with tarfile.open(mirror / 'net.tar.gz', 'w:gz') as archive:
    archive.add(CHECKPOINT, 'net.ckpt')
  wget = programs / 'wget'
  wget.write_text(f'#!/bin/sh\ncp "{mirror}/$(basename "$1")" .\n')
  wget.chmod(0o755)
  handler = functools.partial(QuietHandler, directory=str(mirror))
  with (
    http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server,
    warm_python.start(programs),
  ):
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run_script(script):
      finished = subprocess.run(  # noqa: S603
        ['/bin/bash', '-c', script],
        env={
          **os.environ,
          'PATH': f'{programs}:{os.environ["PATH"]}',
          'XDG_CACHE_HOME': str(tmp_path / 'cache'),
          'CHECKOUT': str(checkout),
          'WORK': str(tmp_path / 'work'),
          'MIRROR': f'--mirror=http://127.0.0.1:{server.server_port}/',
        },
        capture_output=True,
        text=True,
        check=False,
      )
      assert finished.returncode == 0, finished.stdout + finished.stderr
      return finished.stdout

    yield run_script
    server.shutdown()


@pytest.mark.parametrize(
  ('script', 'steps'),
  [
    (FINE_TUNING, 2),
    pytest.param(
      FROM_SCRATCH.replace('NAME', 'mnist').replace('NET', 'lenet'), 1, marks=pytest.mark.slow
    ),
    pytest.param(
      FROM_SCRATCH.replace('NAME', 'cifar10').replace('NET', 'cifarnet'), 1, marks=pytest.mark.slow
    ),
  ],
  ids=['fine-tuning', 'mnist', 'cifar10'],
)
def test_twice(script, steps, run, tmp_path):
  first = run(script)
  assert first.count('global step') >= steps
  assert first.count('eval/Accuracy[') == steps
  assert 'Nothing to do' not in first
  # The second time nothing is fetched or written anew.
  for path in (tmp_path / 'mirror').iterdir():
    path.unlink()
  second = run(script)
  assert second.splitlines()[0] == 'Nothing to do: the dataset is already there, whole.'
  assert second.count('eval/Accuracy[') == steps
  assert 'global step' not in second
