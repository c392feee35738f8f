"""The checkpoints and summaries of a run that goes on, and says so, while its disk is full."""

import contextlib
import os
import shutil
import time

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import checkpoints, console, files

NUM_KEPT = 5  # Checkpoints, besides one every hour.
_LASTING_INTERVAL_SECS = 3600
# TensorFlow writes summaries in a thread that a full disk ends, so some room must be left.
_LEAST_FREE_BYTES = 1 << 20
is_full = files.is_full


class Saver(tf.train.Saver):
  """Saver that survives a full disk, takes paths as names, and can restore a partial checkpoint.

  It keeps the last `NUM_KEPT` checkpoints, and one every hour for good.
  """

  def __init__(self, plan=None):
    super().__init__(
      max_to_keep=NUM_KEPT,
      keep_checkpoint_every_n_hours=_LASTING_INTERVAL_SECS / 3600,
      write_version=tf.train.SaverDef.V2,
    )
    self._kept = []  # (path, seconds of the clock when it was written), the newest last.
    self._next_lasting_secs = time.time() + _LASTING_INTERVAL_SECS
    self._has_failed = False
    self._plan = plan
    if plan and plan.missing:
      # Made now: a Supervisor restores when the graph is final.
      self._initialize = tf.variables_initializer(plan.missing)
      self._restore = checkpoints.make_restore_fn(plan)

  def restore(self, sess, save_path):
    """Restores all variables; from the checkpoint of the plan those that it has, others fresh."""
    if self._plan and self._plan.missing and self._plan.checkpoint == save_path:
      sess.run(self._initialize)
      self._restore(sess)
    else:
      checkpoint_directory.restore(self, sess, save_path)

  def recover_last_checkpoints(self, checkpoint_paths):
    """Takes checkpoints of earlier runs for its own, the newest last."""
    self._kept = []
    for path in checkpoint_paths:
      with contextlib.suppress(OSError):
        self._kept.append((path, os.stat(f'{path}.index').st_mtime))

  def save(self, sess, save_path, global_step=None, **kwargs):
    """Saves as tf.train.Saver does; returns None, having said so, when the disk is full."""
    try:
      if not os.path.isdir(os.path.dirname(save_path)):
        os.makedirs(os.path.dirname(save_path))
        console.say(
          f'{os.path.dirname(save_path)} is gone, removed or renamed: it is made again for the'
          ' checkpoints to come.'
        )
      # TensorFlow would write absolute paths into its list, and remove what matches a pattern.
      saved = super().save(sess, save_path, global_step, write_state=False, **kwargs)
      self._keep(saved)
    except (OSError, RuntimeError, tf.errors.OpError) as error:
      if not is_full(error):
        raise
      self._has_failed = True
      folder = os.path.dirname(save_path)
      _remove_unfinished(folder)
      console.say(
        f'The disk of {folder} is full, so the checkpoint was not saved; {_newest(folder)}. Make'
        ' room: training goes on, and tries again when the next one is due.'
      )
      return None
    if self._has_failed:
      console.say(f'There is room again: {saved} is saved.')
    self._has_failed = False
    return saved

  def _keep(self, saved):
    """Lists a checkpoint as the newest, and removes what is kept no longer."""
    self._kept = [*(kept for kept in self._kept if kept[0] != saved), (saved, time.time())]
    folder = os.path.dirname(saved)
    old, self._kept = self._kept[:-NUM_KEPT], self._kept[-NUM_KEPT:]
    checkpoint_directory.write_state(folder, [path for path, _ in self._kept])
    for path, secs in old:
      if secs > self._next_lasting_secs:
        self._next_lasting_secs += _LASTING_INTERVAL_SECS
      else:
        checkpoint_directory.remove(path)

  def check_saved(self, train_dir):
    """Raises InputError when the last attempt to save failed."""
    if self._has_failed:
      raise errors.InputError(
        f'The disk of --train_dir={train_dir} is full: the end of the run is not saved;'
        f' {_newest(train_dir)}. Make room and run the same command again.'
      )


def make_saver(train_dir, plan=None):
  """Returns the Saver of a run.

  Args:
    train_dir: of the run; the checkpoints of earlier ones there count.
    plan: the checkpoints.RestorePlan by which a run is continued, if it is.
  """
  saver = Saver(plan)
  names = checkpoint_directory.read_state(train_dir)
  saver.recover_last_checkpoints([os.path.join(train_dir, name) for name in names])
  return saver


class SummaryWriter(tf.summary.FileWriter):
  """A FileWriter that leaves out what finds no room."""

  def __init__(self, folder):
    super().__init__(folder)
    self._folder = folder
    self._has_complained = False

  def add_event(self, event):
    """Adds `event` unless the disk is full, or the folder gone."""
    if not os.path.isdir(self._folder):
      return
    if shutil.disk_usage(self._folder).free > _LEAST_FREE_BYTES:
      super().add_event(event)
    elif not self._has_complained:
      self._has_complained = True
      console.say(f'The disk of {self._folder} is full: summaries are left out until it has room.')

  def flush(self):
    """Writes what was added."""
    with _forgiven_if_full():
      super().flush()

  def close(self):
    """Writes what was added and closes the file."""
    with _forgiven_if_full():
      super().close()


@contextlib.contextmanager
def _forgiven_if_full():
  try:
    yield
  except (OSError, RuntimeError, tf.errors.OpError) as error:
    if not is_full(error):
      raise


def _newest(folder):
  newest = checkpoint_directory.newest_of_run(folder)
  return f'{newest} stays the newest' if newest else 'there is none yet'


def _remove_unfinished(folder):
  """Removes what TensorFlow left of the attempt, which takes up room."""
  for name in os.listdir(folder):
    if name.startswith('model.ckpt-') and '.tempstate' in name:
      with contextlib.suppress(OSError):
        os.remove(os.path.join(folder, name))
