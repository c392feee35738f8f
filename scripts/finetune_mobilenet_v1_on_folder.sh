#!/usr/bin/env bash
# Fine-tunes MobileNet v1 (width 0.25) on a folder with a sub-folder of images per class.
#
#   IMAGE_DIR=~/flower_photos CHECKPOINT_PATH=~/mobilenet_v1_0.25_128.ckpt \
#     scripts/finetune_mobilenet_v1_on_folder.sh
#
# The learning rate falls in a straight line over EPOCHS; choose STEPS to match, which is
# EPOCHS * images / 32. Arguments are further flags of the training.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${IMAGE_DIR:?Set IMAGE_DIR to a folder with a sub-folder of images for each class.}"
: "${CHECKPOINT_PATH:?Set CHECKPOINT_PATH to a checkpoint of mobilenet_v1_025, or its directory.}"
DATA_DIR="${DATA_DIR:-data/folder}"
TRAIN_DIR="${TRAIN_DIR:-runs/mobilenet_v1_on_folder}"
IMAGE_SIZE="${IMAGE_SIZE:-128}"
PREPROCESSING="${PREPROCESSING:-inception}"
LEARNING_RATE="${LEARNING_RATE:-0.01}"
EPOCHS="${EPOCHS:-20}"
STEPS="${STEPS:-1000}"
source scripts/run.sh

if [ ! -f "$DATA_DIR/dataset_info.json" ]; then
  run "$PYTHON" download_and_convert_data.py \
    --image_dir="$IMAGE_DIR" \
    --dataset_dir="$DATA_DIR" \
    --validation_fraction=0.1
fi

# The net's own batch_norm_decay, 0.9997, would need tens of thousands of steps.
run "$PYTHON" train_image_classifier.py \
  --dataset_name=image_folder \
  --dataset_dir="$DATA_DIR" \
  --model_name=mobilenet_v1_025 \
  --train_image_size="$IMAGE_SIZE" \
  --checkpoint_path="$CHECKPOINT_PATH" \
  --train_dir="$TRAIN_DIR" \
  --max_number_of_steps="$STEPS" \
  --batch_size=32 \
  --preprocessing_name="$PREPROCESSING" \
  --optimizer=momentum \
  --learning_rate="$LEARNING_RATE" \
  --learning_rate_decay_type=polynomial \
  --num_epochs_per_decay="$EPOCHS" \
  --batch_norm_decay=0.95 \
  --log_every_n_steps=50 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=image_folder \
  --dataset_dir="$DATA_DIR" \
  --dataset_split_name=validation \
  --model_name=mobilenet_v1_025 \
  --eval_image_size="$IMAGE_SIZE" \
  --preprocessing_name="$PREPROCESSING" \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"
