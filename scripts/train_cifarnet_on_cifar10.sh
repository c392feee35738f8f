#!/usr/bin/env bash
# Trains CifarNet on CIFAR-10 as slim did, and evaluates it.
#
# The data is taken from DATA_DIR, and downloaded into it when it is not there. Arguments are
# further flags of the training.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA_DIR="${DATA_DIR:-data/cifar10}"
TRAIN_DIR="${TRAIN_DIR:-runs/cifarnet_on_cifar10}"
STEPS="${STEPS:-100000}"
source scripts/run.sh

get_data cifar10 "$DATA_DIR"

run "$PYTHON" train_image_classifier.py \
  --dataset_name=cifar10 \
  --dataset_dir="$DATA_DIR" \
  --model_name=cifarnet \
  --preprocessing_name=cifarnet \
  --train_dir="$TRAIN_DIR" \
  --max_number_of_steps="$STEPS" \
  --batch_size=128 \
  --optimizer=sgd \
  --learning_rate=0.1 \
  --learning_rate_decay_factor=0.1 \
  --num_epochs_per_decay=200 \
  --weight_decay=0.004 \
  --save_interval_secs=120 \
  --save_summaries_secs=120 \
  --log_every_n_steps=100 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=cifar10 \
  --dataset_dir="$DATA_DIR" \
  --dataset_split_name=test \
  --model_name=cifarnet \
  --preprocessing_name=cifarnet \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"
