#!/usr/bin/env bash
# Fine-tunes Inception v3 on flowers as slim did: its classifier, then all of it.
#
# The data is taken from DATA_DIR, and downloaded into it when it is not there. The net starts from
# CHECKPOINT_PATH; unset, from its released checkpoint, which is downloaded once. Arguments are
# further flags of both trainings.
set -euo pipefail
cd "$(dirname "$0")/.."

MODEL=inception_v3
TRAIN_DIR="${TRAIN_DIR:-runs/inception_v3_on_flowers}"
STEPS="${STEPS:-1000}"  # Of the classifier.
STEPS_ALL="${STEPS_ALL:-500}"
source scripts/two_stages.sh

fine_tune InceptionV3/Logits,InceptionV3/AuxLogits 0.01 0.0001 --learning_rate_decay_type=fixed "$@"
