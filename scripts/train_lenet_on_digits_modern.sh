#!/usr/bin/env bash
# Trains LeNet on the digits that come with the package by a recipe of these days, and evaluates it.
#
# The recipe: AdamW, a cosine after a warm-up, label smoothing, mixup, weak RandAugment, and moving
# averages of the weights. Arguments are further flags of the training.
#
#   scripts/train_lenet_on_digits_modern.sh
#
# Three runs classified 99.7%, 99.4% and 99.7% of the test split rightly, each in 2 to 3 minutes on 2
# cores that had other work, too. (train_lenet_on_digits.sh: about 98.5%.)
set -euo pipefail
cd "$(dirname "$0")/.."

TRAIN_DIR="${TRAIN_DIR:-runs/lenet_on_digits_modern}"
EPOCHS="${EPOCHS:-60}"
STEPS="${STEPS:-1350}"
source scripts/run.sh

run "$PYTHON" train_image_classifier.py \
  --dataset_name=digits \
  --model_name=lenet \
  --train_dir="$TRAIN_DIR" \
  --max_number_of_steps="$STEPS" \
  --batch_size=64 \
  --optimizer=adamw \
  --learning_rate=0.002 \
  --learning_rate_decay_type=cosine \
  --num_epochs_per_decay="$EPOCHS" \
  --end_learning_rate=0 \
  --warmup_epochs=3 \
  --weight_decay=0 \
  --decoupled_weight_decay=0.05 \
  --no_decay_on_bn_and_bias \
  --label_smoothing=0.1 \
  --mixup_alpha=0.2 \
  --rand_augment_layers=1 \
  --rand_augment_magnitude=3 \
  --moving_average_decay=0.99 \
  --log_every_n_steps=100 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=digits \
  --dataset_split_name=test \
  --model_name=lenet \
  --moving_average_decay=0.99 \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"
