#!/usr/bin/env bash
# Trains CifarNet on small pictures of three shapes by a recipe of these days, and evaluates it.
#
# The recipe: AdamW, a cosine after a warm-up, label smoothing, mixup and CutMix, RandAugment, random
# erasing, and moving averages of the weights. IMAGE_DIR may be another folder with a sub-folder of
# images for each class; unset, 1,200 pictures of 32x32 pixels are drawn. Arguments are further
# flags of the training.
#
#   scripts/train_cifarnet_on_shapes_modern.sh
#
# Three runs classified 99.6%, 99.6% and 100% of the validation split rightly, each in about 3 minutes
# on 2 cores that had other work, too.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA_DIR="${DATA_DIR:-data/shapes}"
TRAIN_DIR="${TRAIN_DIR:-runs/cifarnet_on_shapes}"
IMAGE_DIR="${IMAGE_DIR:-data/shape_pictures}"
EPOCHS="${EPOCHS:-60}"
STEPS="${STEPS:-1000}"
source scripts/run.sh

if [ ! -d "$IMAGE_DIR" ]; then
  run "$PYTHON" -m tests.shapes "$IMAGE_DIR" 400 32
fi
if [ ! -f "$DATA_DIR/dataset_info.json" ]; then
  run "$PYTHON" download_and_convert_data.py \
    --image_dir="$IMAGE_DIR" \
    --dataset_dir="$DATA_DIR" \
    --validation_fraction=0.2
fi

run "$PYTHON" train_image_classifier.py \
  --dataset_name=image_folder \
  --dataset_dir="$DATA_DIR" \
  --model_name=cifarnet \
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
  --cutmix_alpha=1 \
  --rand_augment_layers=1 \
  --rand_augment_magnitude=3 \
  --random_erasing_probability=0.1 \
  --moving_average_decay=0.99 \
  --log_every_n_steps=100 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=image_folder \
  --dataset_dir="$DATA_DIR" \
  --dataset_split_name=validation \
  --model_name=cifarnet \
  --moving_average_decay=0.99 \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"
