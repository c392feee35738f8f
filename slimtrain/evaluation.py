"""Evaluating a checkpoint: one pass over a split, every example once."""

import contextlib
import dataclasses
import os

import tqdm

from slimcompat import errors, tf
from slimtrain import (
  checkpoints,
  console,
  deployment,
  files,
  inputs,
  metrics,
  model_facts,
  models,
  releases,
  summaries,
  trained_models,
)
from slimtrain import settings as settings_lib

METRICS = metrics.METRICS
register = metrics.register


@dataclasses.dataclass(frozen=True)
class EvaluationSettings(settings_lib.Settings):
  """Run."""

  checkpoint_path: str = settings_lib.setting(
    '/tmp/tfmodel/',  # noqa: S108  slim's default, which scripts rely on.
    'A checkpoint, or a directory whose newest one is evaluated; or imagenet: the one that was'
    ' released for the net, which is fetched once.',
  )
  checkpoint_mirror: str | None = settings_lib.setting(
    None, 'A URL to fetch the released checkpoint from, in place of all before its file name.'
  )
  eval_dir: str = settings_lib.setting(
    '/tmp/tfmodel/',  # noqa: S108
    'The directory for summaries and eval.json.',
  )
  max_num_batches: int | None = settings_lib.setting(
    None, 'Batches to evaluate at most. Unset: the whole split.', lower=1
  )
  eval_image_size: int | None = settings_lib.setting(
    None, 'Pixels per side of the images. Unset: as --model_name says.', lower=1
  )
  moving_average_decay: float | None = settings_lib.setting(
    None,
    'When set, as --use_moving_averages: any decay stands for the averages in the checkpoint.',
    above=0,
    below=1,
  )
  use_moving_averages: bool | None = settings_lib.setting(
    None,
    'Whether the moving averages of the weights are evaluated, not the weights. Unset: when the'
    ' checkpoint has them.',
  )
  master: str = settings_lib.setting(
    '', 'Address of a TensorFlow server.', refused='Evaluation runs on this machine alone.'
  )
  quantize: bool = settings_lib.setting(
    False,
    'Whether the model was trained with simulated quantization.',
    refused='Training with simulated quantization went with tf.contrib; leave the flag out.',
  )
  scoring: metrics.MetricSettings = settings_lib.group(metrics.MetricSettings)
  model: models.ModelSettings = settings_lib.group(models.ModelSettings)
  data: inputs.DataSettings = settings_lib.group(
    inputs.DataSettings, batch_size=100, dataset_split_name='test'
  )
  session: deployment.SessionSettings = settings_lib.group(deployment.SessionSettings)


def evaluate(settings):
  """Evaluates as EvaluationSettings `settings` say; returns what it writes to eval.json, a dict.

  Raises:
    InputError: when the settings, the data or the checkpoint are at fault.
  """
  files.check_writable('eval_dir', settings.eval_dir)
  if releases.is_chosen(settings.checkpoint_path, settings.checkpoint_mirror):
    settings = releases.fill_in(settings, 'eval_image_size')
    checkpoint = releases.fetch(settings.model.model_name, settings.checkpoint_mirror)
  else:
    checkpoint = checkpoints.find(settings.checkpoint_path)
  use_averages = settings.use_moving_averages
  if use_averages is None and settings.moving_average_decay:
    use_averages = True
  uses_averages = trained_models.choose_weights(checkpoint, use_averages)
  deployment.start_runtime(settings.session)
  data = inputs.load_data(settings.data)
  with tf.Graph().as_default():
    batches = inputs.make_evaluation_batches(
      data,
      settings.data,
      settings.model.model_name,
      models.image_size(settings.model, settings.eval_image_size),
    )
    source = inputs.Input(batches, settings.data.input_timeout_secs)
    batch = source.next_batch()
    model = models.build_model(settings.model, batch.images, data.num_classes)
    values, updates = metrics.make(settings.scoring, model, batch.labels, data)
    restore = checkpoints.make_restore_fn(_plan_restore(settings, checkpoint, uses_averages, data))
    weights = 'moving averages' if uses_averages else 'weights'
    console.say(
      f'Evaluating the {weights} of {checkpoint} on {settings.data.dataset_name}, split'
      f' {settings.data.dataset_split_name}.'
    )
    with tf.Session(config=deployment.session_config(settings.session)) as session:
      session.run([tf.local_variables_initializer(), tf.tables_initializer()])
      restore(session)
      num_examples = _run_batches(session, settings, data, batch, source, updates)
      values = metrics.by_tag(session.run(values), data)
  result = {
    'checkpoint': checkpoint,
    'global_step': checkpoints.saved_step(checkpoint),
    'weights': weights,
    'dataset': settings.data.dataset_name,
    'split': settings.data.dataset_split_name,
    'examples': num_examples,
    **({'skipped': data.num_skipped} if data.num_skipped else {}),
    # A float32 has 7 digits.
    **{tag: float(f'{value:.7g}') for tag, value in values.items()},
  }
  for tag in values:
    console.say(f'{tag}[{result[tag]}]')
  console.say(f'examples[{num_examples}]')
  # TensorFlow names the file by the second, and overwrites the one before.
  suffix = f'.{result["global_step"]}'
  with contextlib.closing(
    tf.summary.FileWriter(settings.eval_dir, filename_suffix=suffix)
  ) as writer:
    writer.add_summary(summaries.scalars(values), result['global_step'])
  files.write_json(os.path.join(settings.eval_dir, 'eval.json'), result)
  return result


def complete(settings, given):
  """Returns EvaluationSettings with what the checkpoint says of its model.

  Args:
    settings: EvaluationSettings, of flags.
    given: the names of the flags that the user gave.

  Raises:
    InputError: when there is no checkpoint, or one of those flags contradicts it.
  """
  if releases.is_chosen(settings.checkpoint_path, settings.checkpoint_mirror):
    return settings
  checkpoint = checkpoints.find(settings.checkpoint_path)
  facts = model_facts.read(checkpoint)
  if facts is not None:
    return model_facts.filled_in(settings, facts, given, 'eval_image_size')
  if 'model_name' in given:
    return settings
  facts = model_facts.infer(checkpoint)
  console.say(f'By its variables, the checkpoint is of --model_name={facts.model_name}.')
  return settings_lib.replace(
    settings,
    model_name=facts.model_name,
    use_grayscale=settings.data.use_grayscale or facts.use_grayscale,
  )


def _plan_restore(settings, checkpoint, uses_averages, data):
  """Returns the RestorePlan for every variable of the net."""
  plan = trained_models.plan_restore(checkpoint, uses_averages, data.num_classes)
  if not plan.skipped_for_shape:
    return plan
  name = plan.skipped_for_shape[0].op.name
  num_saved = checkpoints.saved_shapes(checkpoint)[name][-1]
  offset = data.dataset.num_classes - num_saved
  advice = 'Evaluate it on the dataset it was trained on.'
  if data.task == 'single_label' and offset in (0, 1):
    advice = f'Pass --labels_offset={offset}.'
  raise errors.InputError(
    f'{checkpoint} was made for another number of classes than the {data.num_classes} of'
    f' {settings.data.dataset_name}: by the shape of {name} for {num_saved}. {advice}'
  )


def _run_batches(session, settings, data, batch, source, updates):
  """Runs `updates` on each batch of the split; returns the number of examples."""
  num_batches = -(-data.num_examples // settings.data.batch_size)
  if settings.max_num_batches:
    num_batches = min(num_batches, settings.max_num_batches)
  num_examples = 0
  size = tf.shape(batch.labels)[0]
  with inputs.explained_errors(data, settings.data):
    # The bar shows on a terminal only.
    for index in tqdm.trange(num_batches, desc='evaluating', unit='batch', disable=None):
      with source.first_step(session) if index == 0 else contextlib.nullcontext():
        num_examples += session.run([size, updates])[0]
  return int(num_examples)
