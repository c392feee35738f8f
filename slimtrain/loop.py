"""The loop around a training step: what happens between one session.run and the next."""

import datetime
import os
import time

from slimcompat import checkpoint_directory, errors
from slimtrain import checkpoints, console, finiteness, inputs, summaries, tracing, watchdog


class Loop:
  """The step function of slim.learning.train: one session.run, and now and then a line."""

  def __init__(self, settings, data, step, first_step, saver, interrupted, log, validation, member):
    """Makes the loop of a run.

    Args:
      settings: TrainingSettings.
      data: the inputs.Data.
      step: the train_step.TrainStep.
      first_step: how many steps the run has made before.
      saver: the saving.Saver; None, like the log, for a worker that is not the chief.
      interrupted: the interruption.Interruption, listening.
      log: the run_log.RunLog.
      validation: the validation.Validation, if there is any.
      member: the membership.Alone or Member.
    """
    self._member = member
    self._session = None
    self._stride = settings.steps_per_run  # Steps that a run made last: others make some, too.
    self._next_save_secs = float('inf')  # Other than by a thread, or by steps.
    self._log = log
    self._tracer = tracing.Tracer(settings.traces, settings.train_dir)
    self._validation = validation
    self._settings = settings
    self._saver = saver
    self._interrupted = interrupted
    self._data = data
    self._step = step
    self._num_steps = first_step  # Run so far, of all runs.
    self._num_rollbacks = 0
    self._watchdog = watchdog.Watchdog(
      settings.step_timeout_secs,
      f'A step did not end within --step_timeout_secs={settings.step_timeout_secs}; where it was is'
      ' written above. The newest checkpoint is whole: mend what is stuck, often the input, or'
      ' raise the flag, and run the same command again.',
      shows_threads=True,
    )
    self._run_quietly = None  # A step without a line; there once there is a session.
    # The first step has summaries.
    self._next_summary_secs = 0.0 if settings.save_summaries_secs else float('inf')
    self._loss = None  # As of the last line, like the following.
    self._line_step, self._line_secs, self._line_wait_secs = first_step, 0.0, 0.0

  def run_step(self, session, train_op, global_step, train_step_kwargs):
    """Runs one step, or `steps_per_run`; returns the last loss known and whether to stop."""
    del train_op, global_step
    settings = self._settings
    last_step = settings.max_number_of_steps or float('inf')
    if session is not self._session:
      self._begin(session)
    step_before = self._num_steps
    is_first = self._run_quietly is None
    if is_first and self._validation and self._validation.start(session, self._num_steps):
      return self._loss, True
    try:
      self._run(session, train_step_kwargs.get('summary_writer'), last_step)
    except finiteness.NotFiniteError as error:
      self._roll_back(session, error)
    has_come = self._interrupted.has_come()
    is_last = self._num_steps >= last_step
    is_evaluated = self._validation and (
      is_last or _crosses(step_before, self._num_steps, self._validation.interval_steps)
    )
    is_saved = has_come or _crosses(step_before, self._num_steps, settings.save_interval_steps)
    is_saved |= time.monotonic() >= self._next_save_secs
    self._member.is_finishing = is_last or has_come
    saved = None
    if (is_saved or is_evaluated) and self._saver:
      prefix = os.path.join(settings.train_dir, 'model.ckpt')
      saved = self._saver.save(session, prefix, global_step=self._num_steps)
      if self._next_save_secs < float('inf'):
        self._next_save_secs = time.monotonic() + settings.save_interval_secs
    if has_come:
      # slim saves once more, and closes the session, which waits for an input that is blocked.
      self._interrupted.saved()
    elif is_evaluated and saved:
      start_secs = time.monotonic()
      is_last |= self._validation.run(saved, session)
      self._member.is_finishing = is_last
      # Not the time of a step.
      self._line_secs += time.monotonic() - start_secs
    return self._loss, is_last or has_come

  def _begin(self, session):
    """Begins with a session: the first one, or in a cluster another one after a loss."""
    self._session, self._run_quietly = session, None
    if not self._settings.cluster.is_cluster:
      return
    self._num_steps = int(session.run(self._step.steps_before))
    self._line_step, self._line_wait_secs = self._num_steps, 0.0
    if self._log:
      self._log.rewind(self._num_steps)
    if self._saver and not self._settings.save_interval_steps:
      # A first checkpoint, for a loss that is near.
      self._next_save_secs = 0.0

  def _run(self, session, writer, last_step):
    """Runs one step, or `steps_per_run`, with what is due to be reported of it."""
    is_first = self._run_quietly is None
    with (
      inputs.explained_errors(self._data, self._settings.data),
      finiteness.explained(self._data, self._settings.train_dir),
      self._step.source.first_step(session) if is_first else self._watchdog.watch(session),
    ):
      if is_first:
        self._run_quietly = session.make_callable(self._step.global_step)
        self._line_secs = time.monotonic()
      has_line = is_first or self._is_line_due(last_step)
      is_traced = bool(self._log) and self._tracer.is_due(
        self._num_steps, self._num_steps + self._stride
      )
      if has_line or is_traced or time.monotonic() >= self._next_summary_secs:
        self._run_and_report(session, writer, has_line, is_traced)
      else:
        self._count(self._run_quietly())
    if is_first:
      self._member.made_step()

  def _count(self, num_steps):
    if self._settings.cluster.is_cluster:
      self._stride = max(1, int(num_steps) - self._num_steps)
    self._num_steps = int(num_steps)

  def _roll_back(self, session, error):
    """Goes back to the newest checkpoint after the NotFiniteError `error`, or raises it."""
    newest = checkpoint_directory.newest_of_run(self._settings.train_dir)
    if self._settings.on_nan != 'rollback' or newest is None:
      raise error
    if self._num_rollbacks == self._settings.max_rollbacks:
      raise errors.InputError(
        f'{error} --max_rollbacks={self._num_rollbacks} times this run has gone back already.'
      ) from error
    self._num_rollbacks += 1
    console.say(
      f'{error} Going back to {newest} ({self._num_rollbacks} of at most'
      f' {self._settings.max_rollbacks} times).'
    )
    self._saver.restore(session, newest)
    self._num_steps = checkpoints.saved_step(newest)
    self._log.rewind(self._num_steps)
    if self._validation:
      self._validation.start(session, self._num_steps)
    self._line_step, self._line_secs = self._num_steps, time.monotonic()

  def _is_line_due(self, last_step):
    """Returns whether the run to come reaches a step that has a line."""
    reached = self._num_steps + self._stride
    is_due = _crosses(self._num_steps, reached, self._settings.log_every_n_steps)
    return is_due or reached >= last_step

  def _run_and_report(self, session, writer, has_line, is_traced):
    step = self._step
    fetches = {
      'loss': step.loss,
      'step': step.global_step,
      'scalars': step.scalars,
      'wait_secs': step.wait_secs,
    }
    has_summary = writer and time.monotonic() >= self._next_summary_secs
    if has_summary:
      fetches['summary'] = step.summary_op
    if has_line:
      fetches['dumped'] = step.dumped
    results = self._tracer.run(session, fetches, writer) if is_traced else session.run(fetches)
    now_secs = time.monotonic()
    self._loss = results['loss']
    self._count(results['step'])
    secs = now_secs - self._line_secs
    # What a worker hands in too late makes no step.
    secs_per_step = secs / max(1, self._num_steps - self._line_step)
    images_per_sec = step.batch_size / secs_per_step
    if has_summary:
      self._next_summary_secs = now_secs + self._settings.save_summaries_secs
      writer.add_summary(results['summary'], self._num_steps)
      more = {'images_per_sec': images_per_sec}
      if self._data.num_skipped:
        more['records_skipped'] = self._data.num_skipped
      writer.add_summary(summaries.scalars(more), self._num_steps)
    if not has_line:
      return
    wait_share = (results['wait_secs'] - self._line_wait_secs) / secs
    parts = dict(results['scalars'])
    learning_rate = parts.pop('learning_rate')
    line = (
      # People's scripts look for the beginning of this line, up to the closing parenthesis.
      f'global step {self._num_steps}: loss = {self._loss:.4f} ({secs_per_step:.3f} sec/step)'
      f'  learning rate {learning_rate:.4g}, {images_per_sec:.0f} images/s,'
      f' {wait_share:.0%} waiting for input'
    )
    if self._data.num_skipped:
      line += f', {self._data.num_skipped} bad records skipped'
    if self._settings.max_number_of_steps:
      left_secs = (self._settings.max_number_of_steps - self._num_steps) * secs_per_step
      line += f', {datetime.timedelta(seconds=round(left_secs))} left'
    console.say(line)
    for name, value in results['dumped'].items():
      console.say(tracing.describe(name, value))
    values = {
      'loss': parts.pop('total_loss'),
      'learning_rate': learning_rate,
      'secs_per_step': secs_per_step,
      'images_per_sec': images_per_sec,
      'wait_share': wait_share,
      **({'records_skipped': self._data.num_skipped} if self._data.num_skipped else {}),
      **parts,
    }
    if self._log:
      self._log.add_step(self._num_steps, values)
    self._line_step, self._line_secs = self._num_steps, now_secs
    self._line_wait_secs = results['wait_secs']


def _crosses(before, after, interval):
  """Returns whether a multiple of `interval`, None for none, lies in `(before, after]`."""
  return bool(interval) and after // interval > before // interval
