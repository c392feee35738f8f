"""The checkpoints and summaries of a run that goes on, and says so, while its disk is full."""

import contextlib
import glob
import os
import shutil

from slimcompat import errors, tf
from slimtrain import checkpoints, console, files

NUM_KEPT = 5  # Checkpoints, besides one every hour.
# TensorFlow writes summaries in a thread that a full disk ends, so some room must be left.
_LEAST_FREE_BYTES = 1 << 20
is_full = files.is_full


class Saver(tf.train.Saver):
  """Keeps the run alive while its disk is full; restores what a checkpoint has that lacks some."""

  def __init__(self, plan=None, **kwargs):
    super().__init__(**kwargs)
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
      super().restore(sess, save_path)

  def save(self, sess, save_path, global_step=None, **kwargs):
    """Saves as tf.train.Saver does; returns None, having said so, when the disk is full."""
    try:
      if not os.path.isdir(os.path.dirname(save_path)):
        os.makedirs(os.path.dirname(save_path))
        console.say(
          f'{os.path.dirname(save_path)} is gone, removed or renamed: it is made again for the'
          ' checkpoints to come.'
        )
      saved = super().save(sess, save_path, global_step, **kwargs)
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

  def check_saved(self, train_dir):
    """Raises InputError when the last attempt to save failed."""
    if self._has_failed:
      raise errors.InputError(
        f'The disk of --train_dir={train_dir} is full: the end of the run is not saved;'
        f' {_newest(train_dir)}. Make room and run the same command again.'
      )


def make_saver(train_dir, plan=None):
  """Returns the Saver of a run: it keeps the last checkpoints, and one every hour for good.

  Args:
    train_dir: of the run; the checkpoints of earlier ones there count.
    plan: the checkpoints.RestorePlan by which a run is continued, if it is.
  """
  saver = Saver(
    plan,
    max_to_keep=NUM_KEPT,
    keep_checkpoint_every_n_hours=1.0,
    write_version=tf.train.SaverDef.V2,
  )
  saver.recover_last_checkpoints(checkpoints.listed(train_dir))
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
  newest = checkpoints.newest(folder)
  return f'{newest} stays the newest' if newest else 'there is none yet'


def _remove_unfinished(folder):
  """Removes what TensorFlow left of the attempt, which takes up room."""
  for path in glob.glob(os.path.join(glob.escape(folder), 'model.ckpt-*.tempstate*')):
    with contextlib.suppress(OSError):
      os.remove(path)
