# Sourced by the experiments that fine-tune a net on flowers as slim did: at first the new
# classifier alone, then, from where that ended, the whole net.
DATA_DIR="${DATA_DIR:-data/flowers}"
CHECKPOINT_PATH="${CHECKPOINT_PATH:-imagenet}"
source scripts/run.sh

# Trains in a folder, then evaluates: train_stage FOLDER FLAGS...
train_stage() {
  local folder="$1"
  shift
  run "$PYTHON" train_image_classifier.py \
    --dataset_name=flowers \
    --dataset_dir="$DATA_DIR" \
    --model_name="$MODEL" \
    --train_dir="$folder" \
    --batch_size=32 \
    --optimizer=rmsprop \
    --weight_decay=0.00004 \
    --save_interval_secs=60 \
    --save_summaries_secs=60 \
    --log_every_n_steps=10 \
    "$@"
  run "$PYTHON" eval_image_classifier.py \
    --dataset_name=flowers \
    --dataset_dir="$DATA_DIR" \
    --dataset_split_name=validation \
    --model_name="$MODEL" \
    --checkpoint_path="$folder" \
    --eval_dir="$folder/eval"
}

# fine_tune CLASSIFIER_SCOPES CLASSIFIER_RATE RATE FLAGS...
fine_tune() {
  local scopes="$1" classifier_rate="$2" rate="$3"
  shift 3
  get_data flowers "$DATA_DIR"
  train_stage "$TRAIN_DIR" \
    --checkpoint_path="$CHECKPOINT_PATH" \
    --checkpoint_exclude_scopes="$scopes" \
    --trainable_scopes="$scopes" \
    --max_number_of_steps="$STEPS" \
    --learning_rate="$classifier_rate" \
    "$@"
  train_stage "$TRAIN_DIR/all" \
    --checkpoint_path="$TRAIN_DIR" \
    --max_number_of_steps="$STEPS_ALL" \
    --learning_rate="$rate" \
    "$@"
}
