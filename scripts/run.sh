# Sourced by the experiments.
PYTHON="${PYTHON:-python}"

# Shows a command line, then runs it: run COMMAND...
run() {
  printf '\n$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

# Downloads and converts a dataset into a folder that has no records of it: get_data NAME FOLDER
get_data() {
  if ! compgen -G "$2/$1_*.tfrecord" > /dev/null; then
    run "$PYTHON" download_and_convert_data.py --dataset_name="$1" --dataset_dir="$2"
  fi
}
