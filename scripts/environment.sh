# Sourced by quickstart.sh and run_tests.sh.

# make_environment FOLDER REQUIREMENT...
#
# Makes sure that the virtual environment FOLDER holds pip's REQUIREMENTs, the first of them this
# checkout, and sets PYTHON to its interpreter. What an earlier call installed stays; one that was
# interrupted is done again from the start.
make_environment() {
  local folder="$1"
  shift
  local wanted
  wanted="$(printf '%s\n' "$PWD" "$@"; cat setup.py)"
  PYTHON="$PWD/$folder/bin/python"
  if [ -x "$PYTHON" ] && [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  if [ -f "$folder/installed" ]; then
    echo "Bringing $folder up to date."
    rm "$folder/installed"
  else
    local base
    base="$(find_python)"
    echo "Setting up $folder with $("$base" --version). This downloads TensorFlow, about 600 MB."
    rm -rf "$folder"
    "$base" -m venv "$folder"
  fi
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -e "$@"
  printf '%s' "$wanted" > "$folder/installed"
}

# Prints the first Python from 3.10 on: that of $PYTHON_FOR_VENV, or one on the PATH.
find_python() {
  local candidate
  for candidate in "${PYTHON_FOR_VENV:-python3}" python3.13 python3.12 python3.11 python3.10; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo 'Python 3.10 or newer, with its venv module, was not found. Install it, or name one in' \
    'PYTHON_FOR_VENV.' >&2
  exit 1
}
