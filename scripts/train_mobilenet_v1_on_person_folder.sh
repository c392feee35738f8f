#!/usr/bin/env bash
# Trains a net for microcontrollers to tell persons from none, from a folder of images to a file.
#
# MobileNet v1 (width 0.25) on gray images of 96x96 pixels, as in TensorFlow Lite Micro's example of
# person detection, becomes an int8 model in MODEL_FILE. IMAGE_DIR has a sub-folder of images for
# each of the two classes, such as person and no_person; other classes do as well. Arguments are
# further flags of the training.
# A MODEL_FILE that is there is replaced.
#
#   IMAGE_DIR=~/persons scripts/train_mobilenet_v1_on_person_folder.sh
set -euo pipefail
cd "$(dirname "$0")/.."

: "${IMAGE_DIR:?Set IMAGE_DIR to a folder with a sub-folder of images for each class.}"
DATA_DIR="${DATA_DIR:-data/person_folder}"
TRAIN_DIR="${TRAIN_DIR:-runs/mobilenet_v1_on_person_folder}"
MODEL_FILE="${MODEL_FILE:-$TRAIN_DIR/person_detection.tflite}"
STEPS="${STEPS:-2000}"
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
  --train_image_size=96 \
  --use_grayscale \
  --train_dir="$TRAIN_DIR" \
  --max_number_of_steps="$STEPS" \
  --batch_size=32 \
  --optimizer=adam \
  --opt_epsilon=1e-8 \
  --learning_rate=0.002 \
  --learning_rate_decay_type=fixed \
  --batch_norm_decay=0.95 \
  --moving_average_decay=0.99 \
  --log_every_n_steps=50 \
  "$@"

run "$PYTHON" eval_image_classifier.py \
  --dataset_name=image_folder \
  --dataset_dir="$DATA_DIR" \
  --dataset_split_name=validation \
  --model_name=mobilenet_v1_025 \
  --eval_image_size=96 \
  --use_grayscale \
  --moving_average_decay=0.99 \
  --checkpoint_path="$TRAIN_DIR" \
  --eval_dir="$TRAIN_DIR/eval"

run "$PYTHON" export_inference_graph.py \
  --checkpoint_path="$TRAIN_DIR" \
  --dataset_name=image_folder \
  --dataset_dir="$DATA_DIR" \
  --format=tflite \
  --tflite_type=int8 \
  --output_file="$MODEL_FILE" \
  --overwrite
