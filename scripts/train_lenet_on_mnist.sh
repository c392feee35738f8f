#!/usr/bin/env bash
# Trains LeNet on MNIST as slim did, and evaluates it.
#
# The data is taken from DATA_DIR, and downloaded into it when it is not there. Arguments are
# further flags of the training.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA_DIR="${DATA_DIR:-data/mnist}"
TRAIN_DIR="${TRAIN_DIR:-runs/lenet_on_mnist}"
STEPS="${STEPS:-20000}"
source scripts/run.sh

get_data mnist "$DATA_DIR"

run "$PYTHON" train_image_classifier.py \
  --dataset_name=mnist \
  --dataset_dir="$DATA_DIR" \
  --model_name=lenet \
  --preprocessing_name=lenet \
  --train_dir="$TRAIN_DIR" \
  --max_number_of_steps="$STEPS" \
  --batch_size=50 \
  --optimizer=sgd \
  --learning_rate=0.01 \
  --learning_rate_decay_type=fixed \
  --weight_decay=0 \
  --save_interval_secs=60 \
  --save_summaries_secs=60 \
  --log_every_n_steps=100 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=mnist \
  --dataset_dir="$DATA_DIR" \
  --dataset_split_name=test \
  --model_name=lenet \
  --preprocessing_name=lenet \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"
