"""A task's part in a cluster: it joins, lives, recovers with the others, and leaves."""

import contextlib
import functools
import json
import threading
import time

from slimcompat import errors, supervision, tf
from slimtrain import bulletin, cluster, console, interruption, supervisor

WARNING = (
  "TensorFlow's servers ask for no password, listen on every interface of the machine and do"
  ' whatever they are told: whoever reaches the port can run code here. Keep them in a private'
  ' network.'
)
MISSING_SECS = 30  # Without a sign of a worker, after which the chief says so.
_SAY_EVERY_SECS = 30
_WATCH_SECS = 4  # For another process that says it is this task.


class Alone:
  """The part of a process that trains by itself: there is nothing to do."""

  is_chief = True
  is_finishing = False  # Whether no further step will be made.
  ending = None  # bulletin.DONE, or why the run failed, once it has ended.
  sync = None  # The sync_replicas.SyncReplicas of the graph, if there is one.

  def agree(self, facts):
    """Returns whether there is anything left to train."""
    del facts
    return True

  def made_step(self):
    """Says that a session is good: its first step is made."""

  def placed(self):
    """Returns the context to build the graph in."""
    return contextlib.nullcontext()

  def session_config(self, config):
    """Returns the tf.ConfigProto of the session, made of that for one process."""
    return config

  def train_arguments(self):
    """Returns what slim.learning.train is told besides; makes ops of the graph."""
    return {}

  def supervised(self):
    """Returns the context of the run, at whose end the cluster is left."""
    return contextlib.nullcontext()

  def finish(self):
    """Says, as the chief, that all steps are made and saved."""


class Member(Alone):
  """The part of a worker, the chief being one of them, or of a parameter server."""

  def __init__(self, settings, config):
    """Joins the cluster.

    Args:
      settings: resolved cluster.ClusterSettings.
      config: the tf.ConfigProto of a session for one process.

    Raises:
      InputError: when the task's port is taken, or a host is not known.
    """
    self._settings = settings
    self.is_chief = settings.is_chief and settings.job_name == 'worker'
    self.was_running = False  # Whether other tasks trained before this one came.
    self._name = f'{settings.job_name} {settings.task}'
    if settings.master:
      self.target = settings.master
    else:
      address = settings.address(settings.job_name, settings.task)
      if not cluster.check_addresses(settings):
        console.say(f'No interface of this machine has the address {address} of {self._name}.')
      self.target = cluster.start_server(settings, config)
      console.say(f'This is {self._name} at {address}. {WARNING}')
    is_ps = settings.job_name == 'ps'
    self.slot = settings.task + (settings.worker_replicas if is_ps else 0)
    self.board = bulletin.Board(self.target, settings, self.slot) if settings.num_ps_tasks else None
    self._facts = ''
    # As early as can be, for `agree` to see whether another process is this task.
    is_there = self.board is not None and self._has_servers()
    self._first_notice = self.board.read() if is_there else None
    self._first_secs = time.monotonic()
    self._watch = Watch(settings, self.is_chief, self.slot)
    self.num_in_vain = 0  # Sessions that were lost, one after the other, before a step was made.
    self._session = None
    self._has_left = threading.Event()

  def agree(self, facts):
    """Waits until all that this task needs is there, and compares its facts with the chief's.

    Args:
      facts: {name: value} of what all tasks must have in common; of `train_dir` only the chief's
        counts.

    Returns:
      Whether there is anything left to train: False when the run has ended already.

    Raises:
      InputError: when facts differ, another process is this task, or nobody comes.
    """
    if self.board is None:
      return True
    self._facts = json.dumps(facts)
    notice = self._find_notice()
    if notice.ending:
      if notice.ending != bulletin.DONE:
        raise errors.InputError(f'The run has ended: {notice.ending}')
      console.say('The run has ended; nothing is left to do.')
      return False
    self._check_that_alone(notice)
    if notice.facts:
      self.was_running = self.is_chief
      compare(json.loads(notice.facts), facts, self.is_chief)
    threading.Thread(target=self._live, daemon=True).start()
    return True

  def _find_notice(self):
    """Returns what stands on the board once the chief has been there, or is this task."""
    patience = Patience(self._settings.cluster_timeout_secs)
    while True:
      self.wait_for_servers()
      if self.is_chief:
        self.board.set_up()
      notice = self.board.read()
      if notice is not None and (self.is_chief or notice.facts or notice.ending):
        return notice
      patience.wait('the chief, worker 0')

  def _check_that_alone(self, notice):
    if notice.beats[self.slot] == bulletin.LEFT:
      return
    first = self._first_notice or notice
    if first is notice:
      self._first_secs = time.monotonic()
    while (left_secs := self._first_secs + _WATCH_SECS - time.monotonic()) > 0:
      time.sleep(left_secs)
      notice = self.board.read() or notice
    if notice.beats[self.slot] > first.beats[self.slot] > bulletin.LEFT:
      raise errors.InputError(
        f'Another process is {self._name} already. Give this one another --task, or end the other.'
      )

  def _has_servers(self):
    return bool(self._settings.master) or cluster.is_reached(self._settings.address('ps', 0))

  def wait_for_servers(self):
    """Waits until every parameter server can be reached.

    Raises:
      InputError: when one cannot for --cluster_timeout_secs.
      supervisor.EndedError: when the run has ended meanwhile.
    """
    if self._settings.master:
      return
    for task in range(self._settings.num_ps_tasks):
      address = self._settings.address('ps', task)
      patience = Patience(self._settings.cluster_timeout_secs)
      while not cluster.is_reached(address):
        self.check_going_on()
        patience.wait(f'ps {task} at {address}')

  def check_going_on(self):
    """Raises supervisor.EndedError when the run has ended."""
    if self.ending:
      raise supervisor.EndedError(self.ending)

  def _live(self):
    """Gives signs of life, and heeds those of others, until this task leaves."""
    while not self._has_left.wait(bulletin.BEAT_SECS):
      if self.is_chief and self.board.set_up():
        notice = self.board.read()
        if notice is not None and not notice.facts:
          self.board.write_facts(self._facts)
      self.board.beat()
      notice = self.board.read()
      ending = self._watch.heed(notice)
      if ending and not self._has_left.is_set():
        self.ending = ending
        # A step that waits for others would wait forever.
        time.sleep(bulletin.BEAT_SECS)
        self.close_session()
        return

  def made_step(self):
    self.num_in_vain = 0

  def placed(self):
    return cluster.placed(self._settings)

  def session_config(self, config):
    config.device_filters.extend(self._settings.device_filters)
    rewrites = config.graph_options.rewrite_options
    if rewrites.auto_mixed_precision_onednn_bfloat16 == rewrites.ON:
      # In a cluster nothing turns the fused ops, which have no bfloat16, into oneDNN's.
      rewrites.remapping = rewrites.OFF
    return config

  def train_arguments(self):
    uninitialized = [tf.report_uninitialized_variables(tf.global_variables())]
    local = [tf.local_variables_initializer(), tf.tables_initializer()]
    if self._settings.num_ps_tasks:
      # What the chief sets last: a worker must not train what is still to be restored.
      is_ready = tf.get_variable(
        'slimtrain_bulletin/is_ready',
        [],
        tf.bool,
        tf.ones_initializer(),
        trainable=False,
        collections=['slimtrain_bulletin'],
      )
      uninitialized.append(tf.report_uninitialized_variables([is_ready]))
      if self.is_chief:
        local.append(is_ready.initializer)
    return {
      'master': self.target,
      'is_chief': self.is_chief,
      'ready_op': tf.concat(uninitialized, axis=0),
      'local_init_op': tf.group(*local),
      **({'sync_optimizer': self.sync} if self.sync else {}),
    }

  @contextlib.contextmanager
  def supervised(self):
    def make_supervisor(**kwargs):
      return supervisor.Supervisor(self, **kwargs)

    try:
      with supervision.supervised_by(make_supervisor):
        yield
    except supervisor.EndedError:
      pass
    except errors.InputError as error:
      is_error = not isinstance(error, interruption.InterruptedRunError)
      if self.board is not None and not self.ending and is_error:
        self.board.write_ending(f'{self._name} stopped: {error}')
      raise
    finally:
      self._has_left.set()
      if self.board is not None:
        self.board.leave()
    if self.ending and self.ending != bulletin.DONE:
      raise errors.InputError(f'The run has ended: {self.ending}')

  def finish(self):
    if self.board is not None and self.is_chief:
      self.board.write_ending(bulletin.DONE)

  def hold(self, session):
    """Remembers the session of the run, to close it when the run ends elsewhere."""
    self._session = session
    session.close = functools.partial(cluster.close_soon, session)

  def close_session(self):
    """Closes the session of the run; what runs in it stops with an error."""
    session, self._session = self._session, None
    if session is not None:
      session.close()


def compare(facts, own, is_chief):
  """Raises InputError when the chief's facts differ from those of this task.

  Args:
    facts: those on the board.
    own: those of this task.
    is_chief: whether this is the chief itself, which begins anew.
  """
  own = json.loads(json.dumps(own))
  names = [name for name in own if own[name] != facts.get(name)]
  if not is_chief:
    names = [name for name in names if name != 'train_dir']
  if not names:
    return
  listed = '; '.join(f'{name} is {facts.get(name)} there and {own[name]} here' for name in names)
  where = 'the run that the parameter servers hold' if is_chief else 'the chief'
  raise errors.InputError(
    f'This task and {where} differ: {listed}. Give all tasks the same flags, data and versions'
    f'{", or restart the parameter servers for another run" if is_chief else ""}.'
  )


class Patience:
  """Waits a second at a time, says now and then what for, and ends at some point."""

  def __init__(self, timeout_secs):
    self._timeout_secs = timeout_secs
    self._start_secs = time.monotonic()
    self._said_secs = self._start_secs - _SAY_EVERY_SECS + 10

  def wait(self, what):
    """Waits a second. Raises InputError when that is enough of it."""
    now_secs = time.monotonic()
    waited_secs = now_secs - self._start_secs
    if waited_secs > self._timeout_secs:
      raise errors.InputError(
        f'There was no sign of {what} for --cluster_timeout_secs={self._timeout_secs:g}. Start it,'
        ' look into its log, or raise the flag.'
      )
    if now_secs - self._said_secs >= _SAY_EVERY_SECS:
      self._said_secs = now_secs
      console.say(f'Waiting for {what}, for {waited_secs:.0f} seconds now.')
    time.sleep(bulletin.BEAT_SECS)


class Watch:
  """What a task makes of the notices: whom it has not heard of, and whether the run has ended."""

  def __init__(self, settings, is_chief, slot, clock=time.monotonic):
    """Makes it, from now on.

    Args:
      settings: resolved cluster.ClusterSettings.
      is_chief: whether to say which workers come and go.
      slot: where the own counter stands.
      clock: a function without arguments that returns seconds.
    """
    self._settings = settings
    self._is_chief = is_chief
    self._slot = slot
    self._clock = clock
    num_tasks = settings.worker_replicas + settings.num_ps_tasks
    self._beats = [bulletin.LEFT] * num_tasks
    self._heard_secs = [clock()] * num_tasks
    self._board_secs = clock()
    self._known = set()  # Slots of those heard of.
    self._states = [None] * num_tasks  # None, 'here' or 'missing'.

  def heed(self, notice):
    """Takes in a bulletin.Notice, or None; returns how the run has ended, if it has."""
    now_secs = self._clock()
    timeout_secs = self._settings.cluster_timeout_secs
    if notice is None:
      if now_secs - self._board_secs > timeout_secs:
        return (
          f'there was no sign of parameter server 0 for --cluster_timeout_secs={timeout_secs:g}'
        )
      return None
    self._board_secs = now_secs
    for slot, beat in enumerate(notice.beats):
      if beat != self._beats[slot]:
        self._heard_secs[slot] = now_secs
        self._known.add(slot)
      self._beats[slot] = beat
    if notice.ending:
      return notice.ending
    if self._is_chief:
      for task in range(1, self._settings.worker_replicas):
        self._say_changes(task, now_secs)
    elif now_secs - self._heard_secs[0] > timeout_secs:
      return f'there was no sign of the chief for --cluster_timeout_secs={timeout_secs:g}'
    return None

  def have_left(self):
    """Returns whether all other tasks that were heard of have left, every server among them."""
    first_ps = self._settings.worker_replicas
    others = [slot for slot in range(len(self._beats)) if slot != self._slot]
    return all(
      self._beats[slot] == bulletin.LEFT and (slot < first_ps or slot in self._known)
      for slot in others
    )

  def _say_changes(self, task, now_secs):
    settings = self._settings
    name = f'Worker {task} at {settings.address("worker", task)}'
    is_heard = now_secs - self._heard_secs[task] <= MISSING_SECS
    if is_heard and self._beats[task] != bulletin.LEFT:
      if self._states[task] != 'here':
        console.say(f'{name} is {"back" if self._states[task] else "here"}.')
      self._states[task] = 'here'
    elif not is_heard and self._states[task] != 'missing':
      self._states[task] = 'missing'
      line = f'{name} has not been heard of for {MISSING_SECS} seconds.'
      if settings.sync_replicas:
        missing = self._states.count('missing')
        is_enough = settings.worker_replicas - missing >= settings.replicas_to_aggregate
        line += ' The others go on.' if is_enough else ' Training may wait for it.'
      console.say(line)


def join(settings, config):
  """Returns the Alone or Member of a run.

  Args:
    settings: resolved cluster.ClusterSettings.
    config: the tf.ConfigProto of a session for one process.
  """
  return Member(settings, config) if settings.is_cluster else Alone()
