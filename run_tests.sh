#!/usr/bin/env bash
# Runs the tests, in an environment of its own that the first run makes.
#
#   ./run_tests.sh                       the tests that take seconds
#   ./run_tests.sh --slow                those that take minutes, too
#   ./run_tests.sh --tensorflow=2.16.2   with another TensorFlow, in a second environment
#   ./run_tests.sh tests/nets -k vgg     whatever else pytest understands
set -euo pipefail
cd "$(dirname "$0")"

tensorflow=''
pytest_args=()
for arg in "$@"; do
  case "$arg" in
    --tensorflow=*) tensorflow="${arg#*=}" ;;
    *) pytest_args+=("$arg") ;;
  esac
done

source scripts/environment.sh
if [ -n "$tensorflow" ]; then
  make_environment ".venv-tensorflow-$tensorflow" '.[dev]' "tensorflow==$tensorflow"
else
  make_environment .venv '.[dev]'
fi

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# A file of tests stays with one worker, for what it shares between them.
exec "$PYTHON" -m pytest --numprocesses=auto --dist=loadfile "${pytest_args[@]}"
