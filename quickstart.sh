#!/usr/bin/env bash
# The main job in one command: sets up an environment, trains LeNet on handwritten digits that
# come with the package, and evaluates it.
set -euo pipefail
cd "$(dirname "$0")"

source scripts/environment.sh
make_environment .venv .

PATH="$PWD/.venv/bin:$PATH" scripts/train_lenet_on_digits.sh
