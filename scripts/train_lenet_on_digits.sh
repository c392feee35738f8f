#!/usr/bin/env bash
# Trains LeNet on the UCI handwritten digits that come with the package, and evaluates it.
# Arguments are further flags of the training, such as --mixed_precision=bfloat16.
set -euo pipefail
cd "$(dirname "$0")/.."

TRAIN_DIR="${TRAIN_DIR:-runs/lenet_on_digits}"
STEPS="${STEPS:-1000}"
source scripts/run.sh

run "$PYTHON" train_image_classifier.py \
  --dataset_name=digits \
  --model_name=lenet \
  --train_dir="$TRAIN_DIR" \
  --max_number_of_steps="$STEPS" \
  --batch_size=50 \
  --optimizer=adam \
  --opt_epsilon=1e-8 \
  --learning_rate=0.001 \
  --learning_rate_decay_type=polynomial \
  --num_epochs_per_decay=35 \
  --log_every_n_steps=100 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=digits \
  --dataset_split_name=test \
  --model_name=lenet \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"
