"""Training a net: the train op, and the run of slim.learning.train around it."""

import contextlib
import dataclasses
import time
from typing import NamedTuple

from slimcompat import slim, tf
from slimtrain import (
  checkpoints,
  console,
  deployment,
  files,
  inputs,
  learning_rates,
  models,
  optimizers,
  summaries,
)
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class TrainingSettings(settings_lib.Settings):
  """Run."""

  train_dir: str = settings_lib.setting(
    '/tmp/tfmodel/',  # noqa: S108  slim's default, which scripts rely on.
    'The directory for checkpoints and summaries. A run that it holds is continued.',
  )
  max_number_of_steps: int | None = settings_lib.setting(
    None, 'The step to train up to. Unset: until interrupted.', lower=1
  )
  log_every_n_steps: int = settings_lib.setting(10, 'Steps between two lines.', lower=1)
  save_summaries_secs: int = settings_lib.setting(
    600, 'Seconds between two summaries. 0: none.', lower=0
  )
  save_interval_secs: int = settings_lib.setting(600, 'Seconds between two checkpoints.', lower=1)
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
  data: inputs.DataSettings = settings_lib.group(inputs.DataSettings)
  learning_rate: learning_rates.LearningRateSettings = settings_lib.group(
    learning_rates.LearningRateSettings
  )
  optimizer: optimizers.OptimizerSettings = settings_lib.group(optimizers.OptimizerSettings)
  fine_tuning: checkpoints.FineTuningSettings = settings_lib.group(checkpoints.FineTuningSettings)
  devices: deployment.DeploymentSettings = settings_lib.group(deployment.DeploymentSettings)
  session: deployment.SessionSettings = settings_lib.group(deployment.SessionSettings)


class TrainStep(NamedTuple):
  """The graph of one training step."""

  train_op: tf.Tensor  # Runs the whole step; the total loss.
  global_step: tf.Tensor  # The number of steps run, this one included.
  watch: inputs.FirstBatchWatch
  summary_op: tf.Tensor
  learning_rate: tf.Tensor
  batch_size: int  # Examples in a step, of all clones.


def train(settings):
  """Trains as TrainingSettings `settings` say; returns the last loss, None if nothing was left.

  Raises:
    InputError: when the settings, the data or a checkpoint are at fault.
  """
  files.check_writable('train_dir', settings.train_dir)
  data = inputs.load_data(settings.data)
  console.say(
    f'{data.num_examples} examples of {data.num_classes} classes in {len(data.files)} files of'
    f' {settings.data.dataset_name}, split {settings.data.dataset_split_name}.'
  )
  with tf.Graph().as_default():
    step = build_train_step(settings, data)
    # The ways to start, in this order:
    # 1. the newest checkpoint in train_dir, with everything in it: the run goes on;
    # 2. the weights of --checkpoint_path, at step 0: fine-tuning;
    # 3. initial values, at step 0.
    first_step, restore = 0, None
    if resumed := checkpoints.plan_resume(settings.train_dir):
      first_step = checkpoints.saved_step(resumed.checkpoint)
      ignored = ' --checkpoint_path is ignored.' if settings.fine_tuning.checkpoint_path else ''
      console.say(f'Continuing {resumed.checkpoint} at step {first_step}.{ignored}')
      if first_step >= (settings.max_number_of_steps or float('inf')):
        console.say('That is --max_number_of_steps already; nothing is left to do.')
        return None
    elif start := checkpoints.plan_start(settings.fine_tuning, data.num_classes):
      for line in checkpoints.report(start):
        console.say(line)
      restore = checkpoints.make_restore_fn(start)
    loss = slim.learning.train(
      step.train_op,
      settings.train_dir,
      train_step_fn=_Loop(settings, data, step, first_step).run_step,
      train_step_kwargs={},
      number_of_steps=settings.max_number_of_steps,
      init_fn=restore,
      # Summaries come from the step's own run, not from a second one on a batch of its own.
      summary_op=None,
      save_summaries_secs=settings.save_summaries_secs,
      saver=checkpoints.make_saver(),
      save_interval_secs=settings.save_interval_secs,
      session_config=deployment.session_config(settings.session),
    )
  console.say(f'Finished: {checkpoints.newest(settings.train_dir)}')
  return loss


def build_train_step(settings, data):
  """Builds the graph of a training step from `data` and returns it as a TrainStep."""
  image_size = models.image_size(settings.model, settings.train_image_size)
  with tf.device('/device:CPU:0'):
    preprocess = inputs.make_preprocess(
      settings.data, settings.model.model_name, image_size, is_training=True
    )
    iterator = inputs.get_iterator(inputs.make_training_batches(data, settings.data, preprocess))
    watch = inputs.FirstBatchWatch(
      inputs.Batch(*iterator.get_next()), settings.data.input_timeout_secs
    )
    global_step = tf.train.get_or_create_global_step()
  batches = iter([watch.batch])
  accuracies = []

  def build_model():
    with tf.device('/device:CPU:0'):
      batch = next(batches, None) or inputs.Batch(*iterator.get_next())
    model = models.build_trained_model(settings.model, batch.images, batch.labels, data.num_classes)
    correct = tf.equal(tf.argmax(model.logits, axis=-1), batch.labels)
    accuracies.append(tf.reduce_mean(tf.cast(correct, tf.float32)))
    return model

  clones = deployment.make_clones(settings.devices, build_model)
  # Batch norm's moving statistics follow the first clone alone: all see the same distribution.
  update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS, clones[0].scope or None)

  with tf.device('/device:CPU:0'):
    learning_rate = learning_rates.make_learning_rate(
      settings.learning_rate, global_step, data.num_examples / settings.data.batch_size
    )
    optimizer = optimizers.make_optimizer(settings.optimizer, learning_rate)
  losses, gradients = deployment.compute_gradients(
    clones, optimizer, checkpoints.variables_to_train(settings.fine_tuning.trainable_scopes)
  )
  summaries.add_training_summaries(clones[0], losses, learning_rate, accuracies[0])
  updates = [optimizer.apply_gradients(gradients, global_step), *update_ops]
  if settings.moving_average_decay:
    averages = checkpoints.make_moving_averages(settings.moving_average_decay, global_step)
    with tf.control_dependencies(updates):
      updates = [averages.apply(slim.get_model_variables())]
  with tf.control_dependencies(updates):
    train_op = tf.identity(losses.total, name='train_op')
    next_step = tf.identity(global_step)
  return TrainStep(
    train_op,
    next_step,
    watch,
    tf.summary.merge_all(),
    learning_rate,
    settings.data.batch_size * settings.devices.num_clones,
  )


class _Loop:
  """The step function of slim.learning.train: one session.run a step, lines and summaries."""

  def __init__(self, settings, data, step, first_step):
    self._settings = settings
    self._data = data
    self._step = step
    self._is_first = True
    # The step and the time of the last line.
    self._last_step, self._last_line_secs = first_step, time.monotonic()
    self._last_summary_secs = float('-inf')  # The first step has summaries.

  def run_step(self, session, train_op, global_step, train_step_kwargs):
    """Runs one step; returns the loss and whether to stop."""
    del global_step  # Reading it in the same run could give the step before or after.
    settings = self._settings
    writer = train_step_kwargs.get('summary_writer')
    fetches = {
      'loss': train_op,
      'step': self._step.global_step,
      'learning_rate': self._step.learning_rate,
    }
    start_secs = time.monotonic()
    interval_secs = settings.save_summaries_secs
    if writer and 0 < interval_secs <= start_secs - self._last_summary_secs:
      fetches['summary'] = self._step.summary_op
    watch = contextlib.nullcontext()
    if self._is_first:
      self._last_line_secs = start_secs
      watch = self._step.watch.first_step(session)
    with inputs.explained_errors(self._data, settings.data), watch:
      results = session.run(fetches)
    now_secs = time.monotonic()
    step = int(results['step'])
    secs_per_step = (now_secs - self._last_line_secs) / (step - self._last_step)
    images_per_sec = self._step.batch_size / secs_per_step
    if 'summary' in results:
      self._last_summary_secs = now_secs
      writer.add_summary(results['summary'], step)
      writer.add_summary(summaries.scalars({'images_per_sec': images_per_sec}), step)
    is_last = step >= (settings.max_number_of_steps or float('inf'))
    if step % settings.log_every_n_steps == 0 or self._is_first or is_last:
      # People's scripts look for the beginning of this line, up to the closing parenthesis.
      console.say(
        f'global step {step}: loss = {results["loss"]:.4f} ({secs_per_step:.3f} sec/step)'
        f'  learning rate {results["learning_rate"]:.4g}, {images_per_sec:.0f} images/s'
      )
      self._last_step, self._last_line_secs = step, now_secs
    self._is_first = False
    return results['loss'], is_last
