"""What a killed or damaged run leaves in its train_dir: made usable before it is continued."""

import contextlib
import os
import re
import shutil

from slimcompat import errors, tf
from slimtrain import checkpoints, saving

LOCK_FILE = '.lock'
DAMAGED_ENDING = '.damaged'
_FILE = re.compile(r'model\.ckpt-(\d+)(\.index|\.meta|\.data-\d+-of-\d+|)')
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
  with open(os.path.join(train_dir, LOCK_FILE), 'a') as file:
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
  files_by_step = _list_files(train_dir)
  damaged = []
  for step in sorted(files_by_step, reverse=True):
    prefix = os.path.join(train_dir, f'model.ckpt-{step}')
    why = _damage(prefix)
    if why is None:
      break
    damaged.append(step)
    for name in files_by_step.pop(step):
      path = os.path.join(train_dir, name)
      os.replace(path, path + DAMAGED_ENDING)
    lines.append(f'{prefix} is damaged ({why}); its files now end in {DAMAGED_ENDING}.')
  if damaged and not files_by_step:
    raise errors.InputError(
      f'--train_dir={train_dir} holds no whole checkpoint any more: {" ".join(lines)} Copy a whole'
      ' one there, or give another directory to begin anew.'
    )
  if not files_by_step and (listed := checkpoints.listed(train_dir)):
    raise errors.InputError(
      f'--train_dir={train_dir} lists {listed[-1]} in its file checkpoint, but holds no checkpoint.'
      ' Copy it there, or remove the file to begin anew.'
    )
  _mend_list(train_dir, [os.path.join(train_dir, f'model.ckpt-{n}') for n in sorted(files_by_step)])
  return lines


def _mend_list(train_dir, prefixes):
  """Makes the file `checkpoint` list those of the whole `prefixes`, by step, that a run replaces.

  Those that it lists no longer are kept for good, one every hour.
  """
  listed = checkpoints.listed(train_dir)
  if not prefixes or listed[-1:] == prefixes[-1:]:
    return
  present = [prefix for prefix in listed if prefix in prefixes]
  first = prefixes.index(present[0]) if present else -saving.NUM_KEPT
  tf.train.update_checkpoint_state(train_dir, prefixes[-1], prefixes[first:])


def _list_files(train_dir):
  """Returns the names of the checkpoints' files by step."""
  files = {}
  for name in os.listdir(train_dir):
    if match := _FILE.fullmatch(name):
      files.setdefault(int(match[1]), []).append(name)
  return files


def _damage(prefix):
  """Returns what is wrong with a checkpoint, None if all of it can be read."""
  if not tf.train.checkpoint_exists(prefix):
    return 'it was never finished'
  try:
    reader = tf.train.NewCheckpointReader(prefix)
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)
  except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
    return checkpoints.first_line(error)
  return None
