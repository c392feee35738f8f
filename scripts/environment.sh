# Sourced by quickstart.sh and run_tests.sh.

# make_environment FOLDER REQUIREMENT...
#
# Makes sure that the virtual environment FOLDER holds pip's REQUIREMENTs, the first of them this
# checkout, and sets PYTHON to its interpreter. Packages that are already there stay.
make_environment() {
  local folder="$1"
  shift
  local wanted newest=13
  wanted="$(printf '%s\n' "$PWD" "$@"; cat setup.py)"
  # TensorFlow 2.16 to 2.19 stop at Python 3.12.
  case "$*" in *tensorflow==2.1[6-9]*) newest=12 ;; esac
  PYTHON="$PWD/$folder/bin/python"
  if is_suitable "$PYTHON" "$newest"; then
    if [ "$(cat "$folder/installed" 2>/dev/null)" = "$wanted" ]; then
      return
    fi
    echo "Bringing $folder up to date."
  else
    create_environment "$folder" "$newest"
  fi
  # uv makes environments without pip.
  "$PYTHON" -m pip --version > /dev/null 2>&1 || "$PYTHON" -m ensurepip > /dev/null
  rm -f "$folder/installed"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check -e "$@"
  printf '%s' "$wanted" > "$folder/installed"
}

# create_environment FOLDER NEWEST_MINOR: makes the virtual environment, in place of a broken one.
create_environment() {
  local folder="$1" newest="$2" base
  if [ -n "$(ls -A "$folder" 2>/dev/null)" ] && [ ! -f "$folder/pyvenv.cfg" ]; then
    echo "$PWD/$folder is not a virtual environment. Move it away, and run this again." >&2
    exit 1
  fi
  base="$(find_python "$newest")"
  if [ -z "$base" ] && ! command -v uv > /dev/null; then
    explain_pythons "$newest" >&2
    exit 1
  fi
  echo "Setting up $folder with ${base:-uv and Python 3.$newest}." \
    'This downloads TensorFlow, about 600 MB.'
  rm -rf "$folder"
  if [ -n "$base" ]; then
    "$base" -m venv "$folder"
  # uv need not look at the Pythons that were passed over.
  elif ! UV_PYTHON_PREFERENCE=only-managed uv venv --quiet --seed --python "3.$newest" "$folder"
  then
    echo "uv cannot provide Python 3.$newest. $(explain_pythons "$newest")" >&2
    exit 1
  fi
}

# find_python NEWEST_MINOR: prints the first suitable Python, and nothing when there is none. The
# one in $PYTHON_FOR_VENV goes first.
find_python() {
  local newest="$1" minor candidate
  local candidates=()
  for ((minor = newest; minor >= 10; minor--)); do
    candidates+=("python3.$minor")
  done
  if [ -n "${PYTHON_FOR_VENV:-}" ]; then
    if is_suitable "$PYTHON_FOR_VENV" "$newest"; then
      echo "$PYTHON_FOR_VENV"
      return
    fi
    echo "PYTHON_FOR_VENV=$PYTHON_FOR_VENV is passed over: $(describe "$PYTHON_FOR_VENV")," \
      "and TensorFlow needs Python 3.10 to 3.$newest." >&2
  fi
  for candidate in "${candidates[@]}" python3 python; do
    if is_suitable "$candidate" "$newest"; then
      echo "$candidate"
      return
    fi
  done
}

# is_suitable PYTHON NEWEST_MINOR: TensorFlow has wheels for it, and it can make environments.
is_suitable() {
  "$1" -c "import sys, sysconfig, venv, ensurepip
sys.exit(not (
  (3, 10) <= sys.version_info[:2] <= (3, $2)
  and sys.implementation.name == 'cpython'
  and sys.maxsize > 2**32
  and not sysconfig.get_config_var('Py_GIL_DISABLED')
))" > /dev/null 2>&1
}

# describe PYTHON: prints its version, or that it does not run.
describe() {
  local version
  version="$("$1" --version 2>/dev/null)" || version=''
  echo "${version:-it does not run}"
}

# explain_pythons NEWEST_MINOR: prints which Pythons will do, and how to get one.
explain_pythons() {
  echo "TensorFlow needs Python 3.10 to 3.$1 with its modules venv and ensurepip, and none was" \
    "found (python3: $(describe python3)). Install one, such as with 'apt install python3.12" \
    "python3.12-venv', 'brew install python@3.13' or 'uv python install 3.13', or name one in" \
    'PYTHON_FOR_VENV.'
}
