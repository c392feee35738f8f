"""What a process does that trains: all of it, or its task in a cluster."""

import dataclasses
import math
import signal
import time

from slimcompat import checkpoint_directory, errors, slim, tf
from slimtrain import (
  bulletin,
  checkpoints,
  cluster,
  console,
  deployment,
  inputs,
  interruption,
  loop,
  membership,
  run_log,
  training,
)
from slimtrain import validation as validation_lib

_LEAVE_SECS = 15  # For the others to leave, before a parameter server ends.


def run(settings):
  """Does what TrainingSettings `settings`, or TF_CONFIG, say this process is for.

  Raises:
    InputError: when the settings, the data, a checkpoint or the cluster are at fault.
    InterruptedRunError: after SIGTERM or SIGINT while training.
  """
  settings = dataclasses.replace(settings, cluster=cluster.resolve(settings.cluster))
  if settings.cluster.job_name == 'evaluator':
    return watch(settings)
  if settings.cluster.is_cluster:
    check(settings)
  if settings.cluster.job_name == 'ps':
    return serve(settings)
  return training.train(settings) if settings.cluster.is_chief else work(settings)


def check(settings):
  """Raises InputError when TrainingSettings ask for what a cluster cannot do."""
  for name, value, is_good, why in (
    (
      'steps_per_run',
      settings.steps_per_run,
      settings.steps_per_run == 1,
      'each step goes over the network. Leave it out',
    ),
    (
      'xla',
      settings.session.xla,
      not settings.session.xla,
      'XLA compiles for the devices of one process. Leave it out',
    ),
    (
      'mixed_precision',
      settings.session.mixed_precision,
      settings.session.mixed_precision != 'float16',
      'the scale of the loss belongs to one process. Use none or bfloat16',
    ),
    (
      'on_nan',
      settings.on_nan,
      settings.on_nan == 'stop',
      'the others do not go back with one task. Use stop',
    ),
    (
      'input_mode',
      settings.data.input_mode,
      settings.data.input_mode == 'tfrecord' or not settings.cluster.master,
      'with --master the input is made in another process. Use tfrecord, or --worker_hosts',
    ),
  ):
    if not is_good:
      raise errors.InputError(f'--{name}={value} does not work in a cluster: {why}.')


def work(settings):
  """Trains as a worker that is not the chief, to the end of the run; returns the last loss."""
  start = training.prepare(settings)
  if start is None:
    return None
  settings, data, member = start
  loss = None
  with member.supervised(), tf.Graph().as_default(), member.placed():
    step, _ = training.build(settings, data, member, 0)
    console.say(training.describe_steps(settings, data, step))
    with interruption.Interruption() as interrupted:
      loss = slim.learning.train(
        step.run_op,
        logdir=None,
        train_step_fn=loop.Loop(
          settings, data, step, 0, None, interrupted, None, None, member
        ).run_step,
        train_step_kwargs={},
        number_of_steps=settings.max_number_of_steps,
        summary_writer=None,
        session_config=member.session_config(deployment.session_config(settings.session)),
        **member.train_arguments(),
      )
    if interrupted.signal_number is not None:
      name = signal.Signals(interrupted.signal_number).name
      raise interruption.InterruptedRunError(
        interrupted.signal_number,
        f'{name} ended this worker. The same command again has it rejoin the run.',
      )
  console.say('Finished: the chief saves.')
  return loss


def serve(settings):
  """Keeps variables, as a parameter server, until the run ends.

  Raises:
    InputError: when the run fails, or nobody is heard of.
  """
  of_cluster = settings.cluster
  member = membership.Member(of_cluster, deployment.session_config(settings.session))
  watch_over = membership.Watch(of_cluster, is_chief=False, slot=member.slot)
  while True:
    member.board.beat()
    ending = watch_over.heed(member.board.read())
    if ending:
      break
    time.sleep(bulletin.BEAT_SECS)
  deadline_secs = time.monotonic() + _LEAVE_SECS
  member.board.leave()
  while time.monotonic() < deadline_secs:
    time.sleep(bulletin.BEAT_SECS)
    notice = member.board.read()
    watch_over.heed(notice)
    if notice is None or watch_over.have_left():
      break
  if ending != bulletin.DONE:
    raise errors.InputError(f'The run has ended: {ending}')
  console.say('Finished: the run has ended.')


def watch(settings):
  """Evaluates each new checkpoint in the train_dir, as the evaluator, until the last one.

  Raises:
    InputError: when there is no --eval_split, or the data or a checkpoint are at fault.
  """
  if not settings.validation.eval_split:
    raise errors.InputError(
      '--job_name=evaluator needs --eval_split, such as validation. The other tasks then do'
      ' without it.'
    )
  deployment.start_runtime(settings.session)
  data = inputs.load_data(settings.data)
  last_step = settings.max_number_of_steps or float('inf')
  if settings.num_epochs:
    last_step = math.ceil(settings.num_epochs * data.num_examples / settings.images_per_step)
  steps_per_epoch = data.num_examples / settings.images_per_step
  log = run_log.RunLog(settings.train_dir, float('inf'), steps_per_epoch)
  validation = validation_lib.Validation(settings, data, settings.images_per_step, log)
  patience = membership.Patience(settings.cluster.cluster_timeout_secs)
  evaluated, step = None, -1
  while step < last_step:
    newest = checkpoint_directory.newest_of_run(settings.train_dir)
    if newest is None or newest == evaluated:
      patience.wait(f'a new checkpoint in {settings.train_dir}')
      continue
    step = checkpoints.saved_step(newest)
    if validation.run(newest, None):
      break
    evaluated = newest
    patience = membership.Patience(settings.cluster.cluster_timeout_secs)
  console.say(f'Finished: {evaluated or newest} was the last one.')
