"""What a killed or damaged run leaves in its train_dir: made usable before it is continued."""

import contextlib
import os
import re
import shutil

from slimcompat import checkpoint_directory, errors
from slimtrain import checkpoints, files, saving

LOCK_FILE = '.lock'
DAMAGED_ENDING = '.damaged'
_FILE = re.compile(r'(model\.ckpt-\d+)(\.meta|\.data-\d+-of-\d+)')
# What TensorFlow writes a checkpoint to before it renames it.
_UNFINISHED = re.compile(r'model\.ckpt-\d+(_temp.*|.*\.tempstate\d+)')


@contextlib.contextmanager
def locked(train_dir):
  """Keeps other runs out of `train_dir` during the block.

  Raises:
    InputError: when another process trains there.
  """
  try:
    import fcntl  # Not everywhere.
  except ImportError:
    yield
    return
  path = os.path.join(train_dir, LOCK_FILE)
  try:
    # Neither a pipe nor a terminal in its place is waited for.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY, 0o644)
  except OSError as error:
    raise errors.InputError(
      f'{path}, which keeps other runs out, cannot be opened ({error.strerror}). Remove it.'
    ) from error
  with os.fdopen(descriptor, 'r+b', buffering=0) as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise errors.InputError(
        f'--train_dir={train_dir} is in use by another run that trains there. Wait for it, end it,'
        ' or give another directory.'
      ) from error
    except OSError:
      pass  # A file system without locks.
    yield


def mend(train_dir):
  """Makes the newest whole checkpoint the one to continue from.

  Damaged ones that are newer are renamed, with `DAMAGED_ENDING`, and what was never finished is
  removed.

  Args:
    train_dir: the directory of a run.

  Returns:
    Lines that tell what was done.

  Raises:
    InputError: when there are checkpoints, but none is whole: the run is not begun anew.
  """
  lines = []
  for name in os.listdir(train_dir):
    if _UNFINISHED.fullmatch(name):
      path = os.path.join(train_dir, name)
      shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
  files.make_way(os.path.join(train_dir, checkpoint_directory.STATE_FILE))
  found = checkpoint_directory.list_of_run(train_dir)
  last_step = max(map(checkpoint_directory.step, found), default=-1)
  # Halves that are later than all others; earlier ones harm nobody.
  found += [path for path in _list_halves(train_dir) if checkpoint_directory.step(path) > last_step]
  while found and (why := checkpoints.damage(found[-1])):
    prefix = found.pop()
    for path in checkpoint_directory.list_files(prefix):
      os.replace(path, path + DAMAGED_ENDING)
    lines.append(f'{prefix} is damaged ({why.rstrip(".")}); its files now end in {DAMAGED_ENDING}.')
  if lines and not found:
    raise errors.InputError(
      f'--train_dir={train_dir} holds no whole checkpoint any more: {" ".join(lines)} Copy a whole'
      ' one there, or give another directory to begin anew.'
    )
  listed = checkpoint_directory.read_state(train_dir)
  if listed and not found:
    raise errors.InputError(
      f'--train_dir={train_dir} lists {listed[-1]} in its file checkpoint, but holds no checkpoint.'
      ' Copy it there, or remove the file to begin anew.'
    )
  if found:
    present = [path for path in found if os.path.basename(path) in listed]
    # Those before are kept for good, one every hour.
    first = found.index(present[0]) if present else -saving.NUM_KEPT
    checkpoint_directory.write_state(train_dir, found[first:])
  return lines


def _list_halves(train_dir):
  """Returns the names of run's checkpoints that lack their index, by step."""
  names = {match[1] for name in os.listdir(train_dir) if (match := _FILE.fullmatch(name))}
  prefixes = [os.path.join(train_dir, name) for name in names]
  return sorted(
    (path for path in prefixes if not checkpoint_directory.exists(path)),
    key=checkpoint_directory.step,
  )
