"""Training a net: the run of slim.learning.train around its step."""

import dataclasses
import math
import os
import signal
from typing import NamedTuple

from slimcompat import checkpoint_directory, errors, garbage, paths, slim, tf
from slimtrain import (
  checkpoints,
  console,
  deployment,
  files,
  inputs,
  interruption,
  learning_rates,
  loop,
  membership,
  model_facts,
  models,
  optimizers,
  recovery,
  releases,
  run_facts,
  run_log,
  saving,
  tracing,
  train_step,
)
from slimtrain import cluster as cluster_lib
from slimtrain import gradients as gradients_lib
from slimtrain import losses as losses_lib
from slimtrain import settings as settings_lib
from slimtrain import validation as validation_lib

FLAGS_FILE = 'flags.txt'  # In the train_dir: how it was run last.


@dataclasses.dataclass(frozen=True)
class TrainingSettings(settings_lib.Settings):
  """Run."""

  train_dir: str = settings_lib.setting(
    '/tmp/tfmodel/',  # noqa: S108  slim's default, which scripts rely on.
    'The directory for checkpoints and summaries. A run that it holds is continued.',
    path=paths.local,
  )
  max_number_of_steps: int | None = settings_lib.setting(
    None, 'The step to train up to. Unset: until interrupted.', lower=1
  )
  num_epochs: float | None = settings_lib.setting(
    None, 'The epoch to train up to, in place of a step.', above=0
  )
  log_every_n_steps: int = settings_lib.setting(10, 'Steps between two lines.', lower=1)
  save_summaries_secs: int = settings_lib.setting(
    600, 'Seconds between two summaries. 0: none.', lower=0
  )
  save_interval_secs: int = settings_lib.setting(600, 'Seconds between two checkpoints.', lower=1)
  save_interval_steps: int | None = settings_lib.setting(
    None, 'Steps between two checkpoints, in place of seconds.', lower=1
  )
  summarize_activations: bool = settings_lib.setting(
    False, 'Whether the summaries hold histograms of the activations, and their shares of zeros.'
  )
  summarize_weights: bool = settings_lib.setting(
    False, 'Whether the summaries hold histograms of the weights.'
  )
  summarize_images: bool = settings_lib.setting(
    False, 'Whether the summaries hold images of the batch, as training sees them.'
  )
  step_timeout_secs: float | None = settings_lib.setting(
    None,
    'Seconds after which a session.run of training, but the first, counts as stuck: it is shown'
    ' where it is, and the run ends. Unset: it may take forever.',
    above=0,
  )
  on_nan: str = settings_lib.setting(
    'stop',
    'What follows a loss or gradients that are not finite: the run ends, or goes back to its newest'
    ' checkpoint and on with other examples.',
    choices=('stop', 'rollback'),
  )
  max_rollbacks: int = settings_lib.setting(
    3, 'How often --on_nan=rollback goes back in a run, before it ends it after all.', lower=1
  )
  steps_per_run: int = settings_lib.setting(
    1,
    'Steps that TensorFlow runs without returning to Python: more speed up nets whose steps take'
    ' a few milliseconds. Lines, summaries and checkpoints are then made between such runs.',
    lower=1,
  )
  seed: int | None = settings_lib.setting(
    None,
    'Seed of the initial weights, the order of the examples, their distortions and dropout. Unset:'
    ' another one in each run.',
    lower=0,
  )
  train_image_size: int | None = settings_lib.setting(
    None, 'Pixels per side of the images. Unset: as --model_name says.', lower=1
  )
  moving_average_decay: float | None = settings_lib.setting(
    None,
    'Decay of the moving averages kept of the weights, for evaluation. Unset: none are kept.',
    above=0,
    below=1,
  )
  quantize_delay: int = settings_lib.setting(
    -1,
    'Steps before quantized training starts.',
    refused='Training with simulated quantization went with tf.contrib; leave the flag out.',
  )
  model: models.TrainedModelSettings = settings_lib.group(models.TrainedModelSettings)
  data: inputs.TrainingDataSettings = settings_lib.group(inputs.TrainingDataSettings)
  learning_rate: learning_rates.LearningRateSettings = settings_lib.group(
    learning_rates.LearningRateSettings
  )
  optimizer: optimizers.OptimizerSettings = settings_lib.group(optimizers.OptimizerSettings)
  gradients: gradients_lib.GradientSettings = settings_lib.group(gradients_lib.GradientSettings)
  validation: validation_lib.ValidationSettings = settings_lib.group(
    validation_lib.ValidationSettings
  )
  fine_tuning: checkpoints.FineTuningSettings = settings_lib.group(checkpoints.FineTuningSettings)
  traces: tracing.TracingSettings = settings_lib.group(tracing.TracingSettings)
  devices: deployment.DeploymentSettings = settings_lib.group(deployment.DeploymentSettings)
  session: deployment.SessionSettings = settings_lib.group(deployment.SessionSettings)
  cluster: cluster_lib.ClusterSettings = settings_lib.group(cluster_lib.ClusterSettings)

  def __post_init__(self):
    super().__post_init__()
    if self.num_epochs and self.max_number_of_steps:
      raise errors.InputError(
        f'--num_epochs={self.num_epochs} and --max_number_of_steps={self.max_number_of_steps}'
        ' exclude each other. Leave one of them out.'
      )
    if self.data.deterministic_input and self.seed is None:
      raise errors.InputError(
        '--deterministic_input needs --seed, a number from which order and distortions follow.'
      )
    if self.session.mixed_precision == 'float16':
      for name, value in (
        ('learning_rate_multipliers', self.gradients.learning_rate_multipliers),
        ('unfreeze_at_step', self.fine_tuning.unfreeze_at_step),
      ):
        if value:
          raise errors.InputError(
            f'--mixed_precision=float16 and --{name} exclude each other: the scale of the loss'
            ' belongs to one optimizer. Leave one of them out.'
          )
    if self.learning_rate.learning_rate_decay_type == 'plateau' and not self.validation.eval_split:
      raise errors.InputError(
        '--learning_rate_decay_type=plateau needs --eval_split, such as validation: the rate falls'
        ' when evaluations there gain no more.'
      )
    for name, value in (
      ('steps_per_run', self.steps_per_run),
      ('accumulate_steps', self.gradients.accumulate_steps),
    ):
      for what in ('activations', 'images'):
        if value > 1 and getattr(self, f'summarize_{what}'):
          raise errors.InputError(
            f'--{name}={value} and --summarize_{what} exclude each other: {what} cannot leave a'
            ' loop of the graph. Leave one of them out.'
          )

  @property
  def images_per_step(self):
    """Examples in a step, of all workers, clones and batches whose gradients are averaged."""
    return self._images_per_clone * self.devices.num_clones

  @property
  def images_per_decay_step(self):
    """Examples that the schedule of the learning rate counts in a step."""
    return self._images_per_clone if self.devices.legacy_clone_decay else self.images_per_step

  @property
  def _images_per_clone(self):
    num_batches = self.gradients.accumulate_steps * self.cluster.num_averaged
    return self.data.batch_size * num_batches


class Start(NamedTuple):
  """What a run has before its graph is built."""

  settings: TrainingSettings  # With all that follows from the data.
  data: inputs.Data
  member: membership.Alone


def train(settings):
  """Trains as TrainingSettings `settings` say; returns the last loss, None if nothing was left.

  In a cluster, whose settings must be resolved, this is what the chief does.

  Raises:
    InputError: when the settings, the data or a checkpoint are at fault, or the loss is not finite.
    InterruptedRunError: after SIGTERM or SIGINT while training; the run is saved.
  """
  files.check_writable('train_dir', settings.train_dir)
  with recovery.locked(settings.train_dir):
    fine_tuning = settings.fine_tuning
    is_resumed = checkpoint_directory.newest_of_run(settings.train_dir) is not None
    if fine_tuning.checkpoint_path and not is_resumed and not _is_released(settings):
      checkpoints.find(fine_tuning.checkpoint_path)  # Before the data and the graph take time.
    start = prepare(settings)
    if start is None:
      return None
    with start.member.supervised():
      return _train(*start, settings)
  return None


def prepare(settings):
  """Joins the cluster, if there is one, and looks at the data.

  Returns:
    The Start, or None when the run of the cluster has ended already.
  """
  if _is_released(settings):
    settings = releases.fill_in(settings, 'train_image_size')
  config = deployment.session_config(settings.session)
  deployment.start_runtime(settings.session)
  member = membership.join(settings.cluster, config)
  data = inputs.load_data(settings.data)
  losses_lib.find(settings.model.loss, data.task)
  console.say(
    f'{data.num_examples} examples of {data.num_classes}'
    f' {"targets" if data.task == "regression" else "classes"} in {len(data.files)} files of'
    f' {settings.data.dataset_name}, split {settings.data.dataset_split_name}.'
  )
  if settings.num_epochs:
    num_steps = math.ceil(settings.num_epochs * data.num_examples / settings.images_per_step)
    settings = dataclasses.replace(settings, num_epochs=None, max_number_of_steps=num_steps)
  return Start(settings, data, member) if member.agree(run_facts.shared(settings, data)) else None


def _is_released(settings):
  fine_tuning = settings.fine_tuning
  return releases.is_chosen(fine_tuning.checkpoint_path, fine_tuning.checkpoint_mirror)


def _train(settings, data, member, given):
  # The ways to start, in this order:
  # 1. the newest checkpoint in train_dir, with everything in it: the run goes on;
  # 2. the weights of --checkpoint_path, at step 0: fine-tuning;
  # 3. initial values, at step 0.
  for line in recovery.mend(settings.train_dir):
    console.say(line)
  resumed = checkpoint_directory.newest_of_run(settings.train_dir)
  first_step = checkpoints.saved_step(resumed) if resumed else 0
  if _is_released(settings) and not resumed:
    settings = releases.fetched(settings)
  with tf.Graph().as_default(), member.placed():
    step, batches = build(settings, data, member, first_step)
    restore = resume_plan = validation = None
    if resumed:
      resume_plan = checkpoints.plan_resume(settings.train_dir)
      ignored = ' --checkpoint_path is ignored.' if settings.fine_tuning.checkpoint_path else ''
      console.say(f'Continuing {resumed} at step {first_step}.{ignored}')
    elif start := checkpoints.plan_start(settings.fine_tuning, data.num_classes):
      for line in checkpoints.report(start):
        console.say(line)
      restore = checkpoints.make_restore_fn(start)
    log = run_log.RunLog(settings.train_dir, first_step, data.num_examples / step.batch_size)
    if settings.validation.eval_split:
      validation = validation_lib.Validation(settings, data, step.batch_size, log)
    if resumed:
      is_over = validation and validation.start(None, first_step)
      if first_step >= (settings.max_number_of_steps or float('inf')):
        console.say('That is --max_number_of_steps already; nothing is left to do.')
        is_over = True
      if is_over:
        run_facts.write_end(settings.train_dir, first_step)
        member.finish()
        return None
      if fresh := resume_plan.missing:
        console.say(
          f'What newly trained variables or a new schedule need starts fresh: {len(fresh)}'
          f' variables, first {fresh[0].op.name}.'
        )
    console.say(describe_steps(settings, data, step))
    files.write_text(os.path.join(settings.train_dir, FLAGS_FILE), settings_lib.to_flagfile(given))
    num_channels = batches.element_spec.images.shape.as_list()[-1]
    model_facts.write(settings.train_dir, model_facts.of_run(settings, data, num_channels))
    run_facts.write_run(settings, data, first_step)
    saver = saving.make_saver(settings.train_dir, resume_plan)
    with interruption.Interruption() as interrupted:
      loss = slim.learning.train(
        step.run_op,
        settings.train_dir,
        train_step_fn=loop.Loop(
          settings, data, step, first_step, saver, interrupted, log, validation, member
        ).run_step,
        train_step_kwargs={},
        number_of_steps=settings.max_number_of_steps,
        init_fn=restore,
        # Summaries come from the step's own run, not from a second one on a batch of its own.
        summary_op=None,
        summary_writer=saving.SummaryWriter(settings.train_dir),
        save_summaries_secs=settings.save_summaries_secs,
        saver=saver,
        # By seconds, a thread saves; by steps, and in a cluster, the loop.
        save_interval_secs=(
          0
          if settings.save_interval_steps or settings.cluster.is_cluster
          else settings.save_interval_secs
        ),
        session_config=member.session_config(deployment.session_config(settings.session)),
        **member.train_arguments(),
      )
  saver.check_saved(settings.train_dir)
  newest = checkpoint_directory.newest_of_run(settings.train_dir)
  if interrupted.signal_number is not None:
    name = signal.Signals(interrupted.signal_number).name
    raise interruption.InterruptedRunError(
      interrupted.signal_number,
      f'{name} ended the run; {newest} is saved. Run the same command again to go on.',
    )
  run_facts.write_end(settings.train_dir, checkpoints.saved_step(newest))
  console.say(f'Finished: {newest}')
  member.finish()
  return loss


def build(settings, data, member, first_step):
  """Builds the graph of a run, from the step `first_step` on; returns its TrainStep and batches."""
  if settings.seed is not None:
    tf.set_random_seed(settings.seed)
  batches = train_step.make_batches(settings, data, first_step)
  with garbage.not_collected():
    step = train_step.build(settings, data, batches)
  member.sync = step.sync
  return step, batches


def describe_steps(settings, data, step):
  """Returns the line that says how many images a step takes, and how many steps an epoch."""
  parts = [
    (settings.cluster.num_averaged, 'workers'),
    (settings.devices.num_clones, 'clones'),
    (settings.gradients.accumulate_steps, 'batches'),
  ]
  line = f'A step takes {step.batch_size} images'
  if any(count > 1 for count, _ in parts):
    factors = ''.join(f'{count} {what} x ' for count, what in parts if count > 1)
    line += f' ({factors}{settings.data.batch_size})'
  line += f', an epoch {data.num_examples / step.batch_size:.1f} steps.'
  num_spare = settings.cluster.worker_replicas - settings.cluster.num_averaged
  if settings.cluster.sync_replicas and num_spare:
    line += (
      f' It has the gradients of the first {settings.cluster.num_averaged} of'
      f' {settings.cluster.worker_replicas} workers; for those of all,'
      f' --replicas_to_aggregate={settings.cluster.worker_replicas}.'
    )
  if settings.devices.num_clones > 1 and settings.devices.legacy_clone_decay:
    line += (
      " --num_epochs_per_decay counts one clone's images: an epoch of it has"
      f' {data.num_examples / settings.images_per_decay_step:.1f} steps.'
    )
  return line
