# Sourced by the experiments: run COMMAND... shows a command line, then runs it.
PYTHON="${PYTHON:-python}"

run() {
  printf '\n$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}
