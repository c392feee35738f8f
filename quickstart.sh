#!/usr/bin/env bash
# The main job in one command: sets up an environment, trains LeNet on handwritten digits that
# come with the package, and evaluates it.
set -euo pipefail
cd "$(dirname "$0")"

source scripts/environment.sh
make_environment .venv '.[dev]'

export TRAIN_DIR="${TRAIN_DIR:-$PWD/runs/lenet_on_digits}"
PATH="$PWD/.venv/bin:$PATH" scripts/train_lenet_on_digits.sh

cat <<NEXT

The net and its evaluation are in $TRAIN_DIR. Look next at
  .venv/bin/tensorboard --logdir=$TRAIN_DIR
                                                     the run as curves
  README.md, "Your images"                           the same with images of yours
  .venv/bin/python train_image_classifier.py --help  all settings, nets and datasets
NEXT
