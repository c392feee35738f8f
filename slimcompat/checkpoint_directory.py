"""The checkpoints in a directory: found, read, restored and removed by name.

A directory means the files in it. Its file `checkpoint` gives their order, as far as it names them;
where it says they lie does not matter, so a run may be moved, copied or renamed.

TensorFlow's functions take the path of a checkpoint for a pattern, in which `[` and `\\` have a
meaning. Everything here takes it for a name. A checkpoint is the prefix of its files: of the format
V2 `PREFIX.index` and `PREFIX.data-NNNNN-of-NNNNN`, of V1 the file `PREFIX`, or
`PREFIX-NNNNN-of-NNNNN` when it is in shards and called `PREFIX-?????-of-NNNNN`.
"""

import contextlib
import fnmatch
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
from google.protobuf import text_format
from tensorflow.python.training import checkpoint_state_pb2

from slimcompat import paths, tf

STATE_FILE = 'checkpoint'
_INDEX = '.index'
_STEP = re.compile(r'-(\d+)$')
_DATA = re.compile(r'\.data-\d{5}-of-\d{5}')
_V1_SHARDS = re.compile(r'-\?{5}-of-\d{5}$')
_RUN_NAME = re.compile(r'model\.ckpt-\d+')
_V1_NAME = re.compile(r'.*\.ckpt(-\d+)?')
# The end of each file that is a table of keys, as both formats are: leveldb's table_format.md.
_TABLE_MAGIC = b'\x57\xfb\x80\x8b\x24\x75\x47\xdb'


def step(checkpoint: str) -> int:
  """Returns the step that the name of a checkpoint ends in, -1 if there is none."""
  match = _STEP.search(checkpoint)
  return int(match[1]) if match else -1


def is_table(path: str) -> bool:
  """Returns whether a file ends as an index of the format V2 and a checkpoint of V1 do."""
  try:
    with open(path, 'rb') as file:
      file.seek(-len(_TABLE_MAGIC), os.SEEK_END)
      return file.read() == _TABLE_MAGIC
  except OSError:
    return False


def exists(checkpoint: str) -> bool:
  """Returns whether there is a checkpoint of this name, whole or not."""
  is_there = os.path.isfile(checkpoint + _INDEX) or os.path.isfile(checkpoint)
  return is_there or bool(_V1_SHARDS.search(checkpoint) and list_files(checkpoint))


def list_files(checkpoint: str) -> list[str]:
  """Returns the paths of all files of a checkpoint."""
  folder, name = os.path.split(checkpoint)
  try:
    names = os.listdir(folder or '.')
  except OSError:
    return []
  own = {name, f'{name}.index', f'{name}.meta'}
  is_sharded = _V1_SHARDS.search(name)
  return [
    os.path.join(folder, other)
    for other in sorted(names)
    if other in own
    or (other.startswith(name) and _DATA.fullmatch(other[len(name) :]))
    or (is_sharded and fnmatch.fnmatchcase(other, _shards_pattern(name)))
  ]


def _shards_pattern(name):
  return name[: -len('-?????-of-NNNNN')].replace('[', '[[]') + name[-len('-?????-of-NNNNN') :]


def remove(checkpoint: str):
  """Removes the files of a checkpoint, as far as they are there."""
  # First what makes it a checkpoint: a half that is left after a kill is then known as such.
  for path in sorted(list_files(checkpoint), key=lambda path: not path.endswith(_INDEX)):
    with contextlib.suppress(FileNotFoundError):
      os.remove(path)


def list_all(directory: str) -> list[str]:
  """Returns the checkpoints in a directory, the newest last.

  They are in the order of the directory's file `checkpoint`. Of those that it does not name, the
  ones of later steps are newer, as after a run that was killed before it could name them, and the
  others are older. Without such a file, the order is that of the steps.
  """
  state = read_state(directory)
  names = _list_names(directory, state)
  listed = [name for name in state if name in names]
  others = sorted(names - set(listed), key=lambda name: (step(name), _time(directory, name), name))
  last_step = max(map(step, listed), default=-1)
  older = [name for name in others if step(name) <= last_step]
  newer = [name for name in others if step(name) > last_step]
  return [os.path.join(directory, name) for name in (*older, *listed, *newer)]


def newest(directory: str) -> str | None:
  """Returns the newest checkpoint in a directory, None if there is none."""
  return next(reversed(list_all(directory)), None)


def list_of_run(train_dir: str) -> list[str]:
  """Returns the checkpoints that a run in `train_dir` wrote, the newest last.

  They are called model.ckpt-N, or the file `checkpoint` names them. Others may lie there to start
  from.
  """
  state = read_state(train_dir)
  return [
    path
    for path in list_all(train_dir)
    if _RUN_NAME.fullmatch(os.path.basename(path)) or os.path.basename(path) in state
  ]


def newest_of_run(train_dir: str) -> str | None:
  """Returns the newest checkpoint that a run in `train_dir` wrote, None if there is none."""
  return next(reversed(list_of_run(train_dir)), None)


def _list_names(directory, state):
  """Returns the set of the names of the checkpoints in a directory, whose file names `state`."""
  try:
    files = {entry.name for entry in os.scandir(directory) if entry.is_file()}
  except OSError:
    return set()
  with_data = {name[: match.start()] for name in files if (match := _DATA.search(name))}
  found = set()
  for name in files:
    prefix = name.removesuffix(_INDEX)
    if prefix != name:
      if prefix in with_data or is_table(os.path.join(directory, name)):
        found.add(prefix)
      continue
    is_known = name in state or f'{name}.meta' in files
    if is_known or (_V1_NAME.fullmatch(name) and is_table(os.path.join(directory, name))):
      found.add(name)
  return found


def _time(directory, name):
  """Returns when a checkpoint was written, in nanoseconds; 0 when it is gone."""
  for path in (os.path.join(directory, name + _INDEX), os.path.join(directory, name)):
    with contextlib.suppress(OSError):
      return os.stat(path).st_mtime_ns
  return 0


def read_state(directory: str) -> list[str]:
  """Returns the names in the file `checkpoint` of a directory, the newest last.

  They are names within the directory, which need not exist; a file that cannot be read has none.
  """
  return [os.path.basename(path) for path in _read_paths(directory)]


def _read_paths(directory):
  """Returns the paths in the file `checkpoint` as they stand there, the newest last."""
  path = os.path.join(directory, STATE_FILE)
  state = checkpoint_state_pb2.CheckpointState()
  if not os.path.isfile(path):  # A pipe, for one, would be waited for.
    return []
  try:
    with open(path, 'rb') as file:
      text_format.Merge(file.read(1 << 20), state)
  except (OSError, ValueError, text_format.ParseError):
    return []
  found = [*state.all_model_checkpoint_paths, state.model_checkpoint_path]
  # The last of several of one name counts.
  by_name = {os.path.basename(path): path for path in reversed(found) if path}
  return list(reversed(by_name.values()))


def write_state(directory: str, checkpoints: Sequence[str]):
  """Makes the file `checkpoint` of a directory name these checkpoints, the newest last.

  It then holds their names alone; a reader sees the old file or the new one. One that says the
  same already stays as it is.
  """
  if [os.path.join(directory, path) for path in _read_paths(directory)] == list(checkpoints):
    return
  path = os.path.join(directory, STATE_FILE)
  names = [os.path.basename(checkpoint) for checkpoint in checkpoints]
  state = checkpoint_state_pb2.CheckpointState(
    model_checkpoint_path=names[-1], all_model_checkpoint_paths=names
  )
  temporary = f'{path}.tmp'  # As TensorFlow calls its own.
  with open(temporary, 'w', encoding='utf-8') as file:
    file.write(text_format.MessageToString(state))
  os.replace(temporary, path)


class Reader:
  """Reads the tensors of a checkpoint of the format V1 or V2."""

  def __init__(self, checkpoint: str):
    """Opens a checkpoint. Raises tf.errors.OpError or ValueError when it cannot be read."""
    # The reader opens files as they are needed, so the links last as long as it does.
    self._links = contextlib.ExitStack()
    weakref.finalize(self, self._links.close)
    self._reader = tf.train.NewCheckpointReader(self._links.enter_context(readable(checkpoint)))

  def shapes(self) -> dict[str, list[int]]:
    """Returns the shape of each tensor by its name."""
    return self._reader.get_variable_to_shape_map()

  def dtypes(self) -> dict[str, tf.DType]:
    """Returns the type of each tensor by its name."""
    return self._reader.get_variable_to_dtype_map()

  def has_tensor(self, name: str) -> bool:
    """Returns whether there is a tensor of this name."""
    return self._reader.has_tensor(name)

  def value(self, name: str) -> np.ndarray:
    """Returns a tensor. Raises tf.errors.OpError and others when it is damaged."""
    return self._reader.get_tensor(name)


def restore(saver: tf.train.Saver, session: tf.Session, checkpoint: str):
  """Restores the variables of `saver` as `saver.restore` does, whatever the checkpoint's name."""
  names = saver.as_saver_def()
  with readable(checkpoint) as path:
    session.run(names.restore_op_name, {names.filename_tensor_name: path})


@contextlib.contextmanager
def readable(checkpoint: str) -> Iterator[str]:
  """Gives what TensorFlow must be told to read a checkpoint: often its name, else a link's."""
  if not os.path.isfile(checkpoint + _INDEX):
    folder, name = os.path.split(checkpoint)
    if _V1_SHARDS.search(name):
      cut = len(name) - len('-?????-of-NNNNN')
      yield os.path.join(paths.as_pattern(folder), paths.as_pattern(name[:cut]) + name[cut:])
    else:
      yield paths.as_pattern(checkpoint)
    return
  if paths.as_pattern(checkpoint) == checkpoint:
    yield checkpoint
    return
  folder = tempfile.mkdtemp()
  try:
    link = os.path.join(folder, 'checkpoint')
    for path in list_files(checkpoint):
      os.symlink(os.path.abspath(path), link + path[len(checkpoint) :])
    yield link
  finally:
    shutil.rmtree(folder, ignore_errors=True)
