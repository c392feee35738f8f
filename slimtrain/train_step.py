"""The graph of a training step: clones, losses, gradients, updates, what is reported of them."""

from typing import NamedTuple

from slimcompat import slim, stateless_draws, tf
from slimtrain import (
  accumulation,
  batch_source,
  checkpoints,
  deployment,
  finiteness,
  inputs,
  learning_rates,
  models,
  optimizers,
  summaries,
  sync_replicas,
  tracing,
  unfreezing,
  variable_scopes,
)
from slimtrain import cluster as cluster_lib
from slimtrain import examples as examples_lib
from slimtrain import gradients as gradients_lib
from slimtrain import losses as losses_lib
from slimtrain import settings as settings_lib


class TrainStep(NamedTuple):
  """The graph of one session.run, of `steps_per_run` training steps."""

  run_op: tf.Operation  # Runs all.
  loss: tf.Tensor  # The total loss of the last step.
  global_step: tf.Tensor  # The number of steps run, with these.
  steps_before: tf.Tensor  # The number of steps run so far.
  scalars: dict  # {tag: scalar tensor} of the last step, for its summary: with learning_rate.
  summary_op: tf.Tensor
  source: batch_source.BatchSource
  dumped: dict  # {name: tensor} of --debug_dump.
  wait_secs: tf.Tensor  # Seconds that all steps so far have waited for their input.
  batch_size: int  # Examples in a step.
  sync: sync_replicas.SyncReplicas | None = None  # What waits for the other workers, if they do.


def make_batches(settings, data, first_step=0):
  """Returns the tf.data.Dataset of inputs.Batches that training takes from `first_step` on."""
  if settings.cluster.is_cluster:
    # Where the cluster is when the session starts, or starts again.
    first_step = tf.cast(_make_global_step(settings).read_value(), tf.int64)
  return inputs.make_training_batches(
    data,
    settings.data,
    settings.model.model_name,
    models.image_size(settings.model, settings.train_image_size),
    settings.seed,
    num_seen=first_step * settings.images_per_step,
    share=settings.cluster.share,
  )


def _as_resources(settings):
  """Returns the context of variables: in a loop, a step must see what those before made of them."""
  in_loop = settings.steps_per_run > 1 or settings.gradients.accumulate_steps > 1
  return tf.variable_scope(tf.get_variable_scope(), use_resource=True if in_loop else None)


def _make_global_step(settings):
  with _as_resources(settings), tf.device('/device:CPU:0'):
    return tf.train.get_or_create_global_step()


def build(settings, data, batches):
  """Builds the graph of a session.run of training and returns it as a TrainStep.

  Args:
    settings: training.TrainingSettings.
    data: the inputs.Data.
    batches: an endless tf.data.Dataset of inputs.Batches.
  """
  source = batch_source.BatchSource(
    batches,
    settings.data.input_timeout_secs,
    deployment.input_device(settings.devices),
    examples_lib.describe(data, settings.data),
  )
  global_step, sync = _make_global_step(settings), None
  with _as_resources(settings):
    if settings.steps_per_run > 1:
      scalars = _build_loop(settings, data, source, global_step)
    else:
      scalars, sync = _build_step(settings, data, source, global_step)
  with tf.device('/device:CPU:0'):
    with tf.control_dependencies(list(scalars.values())):
      run_op = tf.no_op('run_steps')
      next_step, wait_secs = global_step.read_value(), source.read_wait_secs()
      dumped = tracing.find_tensors(settings_lib.split_names(settings.traces.debug_dump))
    steps_before = global_step.read_value()
    for tag, value in scalars.items():
      tf.summary.scalar(tag, value)
    if settings.summarize_weights:
      summaries.add_weights()
  return TrainStep(
    run_op,
    scalars['total_loss'],
    next_step,
    steps_before,
    scalars,
    tf.summary.merge_all(),
    source,
    dumped,
    wait_secs,
    settings.images_per_step,
    sync,
  )


def _build_loop(settings, data, source, global_step):
  """Builds `steps_per_run` steps in a loop; returns the scalars of the last one."""
  num_steps = tf.constant(settings.steps_per_run, tf.int64)
  if settings.max_number_of_steps:
    num_steps = tf.minimum(num_steps, settings.max_number_of_steps - tf.cast(global_step, tf.int64))
  tags = []

  def run_step(num_run, _):
    scalars, _ = _build_step(settings, data, source, global_step)
    tags.extend(scalars)
    values = tf.stack(list(scalars.values()))
    with tf.control_dependencies([values]):
      return num_run + 1, values

  # What the step returns is known only once it is built, so the loop starts with no values at all.
  _, values = tf.while_loop(
    lambda num_run, _: num_run < num_steps,
    run_step,
    [tf.zeros([], tf.int64), tf.zeros([0])],
    shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    parallel_iterations=1,
    back_prop=False,
  )
  return {tag: values[index] for index, tag in enumerate(tags)}


def _build_step(settings, data, source, global_step):
  """Builds one step.

  Returns:
    The scalars that summarize it, which are there when it is done; and the SyncReplicas, or None.
  """
  num_batches = settings.gradients.accumulate_steps
  with tf.device('/device:CPU:0'):
    learning_rate = learning_rates.make_learning_rate(
      settings.learning_rate,
      global_step,
      data.num_examples / settings.images_per_decay_step,
    )
    optimizer = optimizers.make_optimizer(settings.optimizer, learning_rate)
  if settings.session.mixed_precision == 'float16':
    # Gradients too small for float16 would be 0: the loss is scaled by what they just bear.
    optimizer = tf.mixed_precision.MixedPrecisionLossScaleOptimizer(optimizer, 'dynamic')

  def optimizer_at(rate):
    is_other = rate is not learning_rate
    return optimizers.make_optimizer(settings.optimizer, rate) if is_other else optimizer

  def compute(number):
    return _build_batch(settings, data, source, global_step, learning_rate, optimizer, number)

  if num_batches > 1:
    gradients, scalars = accumulation.average(num_batches, compute)
    check, update_ops = tf.no_op(), []
  else:
    gradients, scalars, check, update_ops = compute(0)
  scalars['learning_rate'] = tf.cast(learning_rate, tf.float32)
  _, later = _find_trainable(settings, global_step)

  def apply(gradients):
    return gradients_lib.apply(
      settings.gradients, gradients, optimizer_at, learning_rate, global_step, later
    )

  def apply_mean(gradients):
    updates = [apply(gradients_lib.clip(settings.gradients, gradients))]
    return tf.group(*_then_average(settings, global_step, updates))

  # Before anything is written: the weights stay those of the last good step.
  if settings.cluster.sync_replicas:
    sync = sync_replicas.SyncReplicas(settings.cluster, apply_mean)
    updates = [sync.apply_gradients(sync_replicas.after(check, gradients), global_step)]
    # Those of the chief alone, as of the first clone alone.
    updates += update_ops if settings.cluster.is_chief else []
  else:
    sync = None
    gradients = gradients_lib.clip(settings.gradients, gradients)
    with tf.control_dependencies([check]):
      updates = [apply(gradients), *update_ops]
    updates = _then_average(settings, global_step, updates)
  with tf.control_dependencies(updates):
    return {tag: tf.identity(value) for tag, value in scalars.items()}, sync


def _then_average(settings, global_step, updates):
  """Returns the ops that update the moving averages after `updates`; these, if there are none."""
  if not settings.moving_average_decay:
    return updates
  with tf.control_dependencies(updates):
    count = global_step
    if settings.cluster.is_cluster:
      # Of what counting gives: a read of the variable may be an earlier one, as it is optimized.
      with tf.device(global_step.device):
        count = tf.cast(updates[0].outputs[0], tf.float32)
    averages = checkpoints.make_moving_averages(settings.moving_average_decay, count)
    return [cluster_lib.beside(settings.cluster, slim.get_model_variables(), averages.apply)]


def _build_batch(settings, data, source, global_step, learning_rate, optimizer, number):
  """Builds the clones and their gradients; returns what accumulation.average takes.

  Args:
    settings: training.TrainingSettings.
    data: the inputs.Data.
    source: the batch_source.BatchSource.
    global_step: the counter.
    learning_rate: scalar.
    optimizer: the tf.train.Optimizer.
    number: of the batch among those of the step, an int or an int64 scalar.
  """
  scores, records = [], []
  class_weights = losses_lib.find_class_weights(
    settings.model.loss, data.num_classes, data.class_counts
  )

  def build_model():
    batch = source.next_batch()
    records.append(batch.records)
    if settings.summarize_images and len(records) == 1:
      summaries.add_images(batch.images, settings.data, settings.model.model_name)
    first_op = len(tf.get_default_graph().get_operations())
    with checkpoints.frozen_batch_norm(settings.fine_tuning):
      model = models.build_trained_model(settings.model, batch, data, class_weights)
    if settings.data.deterministic_input:
      with tf.device('/device:CPU:0'):
        step = tf.cast(global_step.read_value(), tf.int64)
        step = step * settings.gradients.accumulate_steps + number
        worker, num_workers = settings.cluster.share
        if num_workers > 1:
          step = step * num_workers + worker
      stateless_draws.follow_step(tf.get_default_graph().get_operations()[first_op:], step)
    scores.append(models.batch_score(data.task, model, batch.labels))
    return model

  clones = deployment.make_clones(settings.devices, build_model)
  # Batch norm's moving statistics follow the first clone alone: all see the same distribution.
  update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS, clones[0].scope or None)
  variables, later = _find_trainable(settings, global_step)
  losses, gradients = deployment.compute_gradients(clones, optimizer, variables)
  if later:
    gradients = later.hold(gradients)
  if settings.summarize_activations:
    summaries.add_activations(clones[0].model.end_points)
  scalars = summaries.training_scalars(clones[0], losses, scores[0])
  # float16's scale of the loss is lowered when gradients are not finite: such steps do no harm.
  is_scaled = settings.session.mixed_precision == 'float16'
  check = finiteness.check(
    losses.total,
    [] if is_scaled else gradients,
    global_step + 1,
    learning_rate,
    tf.concat(records, axis=0),
  )
  return gradients, scalars, check, update_ops


def _find_trainable(settings, global_step):
  """Returns the variables to train, and the unfreezing.Unfreezing of those that begin later."""
  variables = variable_scopes.find_trainable(
    'trainable_scopes', settings.fine_tuning.trainable_scopes
  )
  later = unfreezing.plan(settings.fine_tuning, variables, global_step.read_value())
  return variables + (later.variables if later else []), later
