#!/usr/bin/env bash
# Fine-tunes Inception v1 on flowers as slim did: its classifier, then all of it.
#
# The data is taken from DATA_DIR, and downloaded into it when it is not there. The net starts from
# CHECKPOINT_PATH; unset, from its released checkpoint, which is downloaded once. Arguments are
# further flags of both trainings.
set -euo pipefail
cd "$(dirname "$0")/.."

MODEL=inception_v1
TRAIN_DIR="${TRAIN_DIR:-runs/inception_v1_on_flowers}"
STEPS="${STEPS:-3000}"  # Of the classifier.
STEPS_ALL="${STEPS_ALL:-1000}"
source scripts/two_stages.sh

fine_tune InceptionV1/Logits 0.01 0.001 "$@"
