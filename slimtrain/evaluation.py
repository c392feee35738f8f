"""Evaluating a checkpoint: one pass over a split, every example once."""

import contextlib
import dataclasses
import os
import tempfile
from typing import NamedTuple

import numpy as np
import tqdm

from datasets import user_files
from slimcompat import errors, paths, tf
from slimtrain import (
  averaging,
  batch_source,
  checkpoints,
  console,
  deployment,
  examples,
  files,
  inputs,
  metrics,
  model_facts,
  models,
  record_texts,
  releases,
  reports,
  summaries,
  trained_models,
)
from slimtrain import predictions as predictions_lib
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
    path=paths.local,
  )
  checkpoint_mirror: str | None = settings_lib.setting(
    None, 'A URL to fetch the released checkpoint from, in place of all before its file name.'
  )
  eval_dir: str = settings_lib.setting(
    '/tmp/tfmodel/',  # noqa: S108
    'The directory for summaries, eval.json and the report.',
    path=paths.local,
  )
  report: bool = settings_lib.setting(
    True,
    'Whether the predictions are kept, in memory and in files, and judged in report.html, which has'
    ' plots where matplotlib is installed.',
  )
  slice_key: str | None = settings_lib.setting(
    None, 'A key of the records; the report then has figures for each of its values.'
  )
  eval_crops: int = settings_lib.setting(
    1,
    'Crops of each image whose probabilities are averaged: the centre; the corners, too; these'
    ' mirrored, too. --batch_size counts crops.',
    choices=averaging.NUM_CROPS,
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
  # Names one of several evaluations of a step: done again, it replaces its summaries in eval_dir.
  summaries_name = ''

  def __post_init__(self):
    super().__post_init__()
    if self.slice_key and not self.report:
      raise errors.InputError(
        f'--slice_key={self.slice_key} needs --report, where its figures stand. Leave it out.'
      )


def evaluate(settings, others=()):
  """Evaluates as EvaluationSettings `settings` say; returns what it writes to eval.json, a dict.

  Args:
    settings: EvaluationSettings.
    others: those of further models, whose probabilities are averaged with the first one's.

  Raises:
    InputError: when the settings, the data or a checkpoint are at fault.
  """
  files.check_writable('eval_dir', settings.eval_dir)
  # The means of several models are those of their logits.
  passes = run_passes([settings, *others], bool(settings.report or others), bool(others))
  one = _average(settings, passes) if others else passes[0]
  result = {
    'checkpoint': one.checkpoint,
    'global_step': checkpoints.saved_step(passes[0].checkpoint),
    'weights': one.weights,
    'dataset': settings.data.dataset_name,
    'split': settings.data.dataset_split_name,
    'examples': one.num_examples,
    **({'skipped': one.data.num_skipped} if one.data.num_skipped else {}),
    # A float32 has 7 digits.
    **{tag: float(f'{value:.7g}') for tag, value in one.values.items()},
  }
  for tag in one.values:
    console.say(f'{tag}[{result[tag]}]')
  console.say(f'examples[{one.num_examples}]')
  # What matters most comes first, for a disk that has no room for all.
  files.write_json(os.path.join(settings.eval_dir, reports.RESULT_FILE), result)
  if not settings.report or one.predictions is None:
    if settings.report:
      console.say(
        f'There is no report, because {one.num_examples:,} examples of {one.data.num_classes:,}'
        ' labels are too many to keep. For one, take fewer by --max_num_batches.'
      )
    _write_summaries(settings, one.values, result['global_step'])
    return result
  attempts = files.Attempts(settings.eval_dir)
  with attempts.writing('events.out.tfevents'):
    _write_summaries(settings, one.values, result['global_step'])
  result = reports.write(
    settings, result, one.predictions, one.data, passes[0].checkpoint, attempts
  )
  attempts.check(result)
  return result


def _write_summaries(settings, values, step):
  """Writes a file of events for TensorBoard, whole or not at all."""
  directory, suffix = settings.eval_dir, f'.{settings.summaries_name}{step}'
  if settings.summaries_name:
    remove_summaries(directory, suffix)
  with tempfile.TemporaryDirectory() as folder:
    # TensorFlow names the file by the second, and would overwrite that of another step.
    with contextlib.closing(tf.summary.FileWriter(folder, filename_suffix=suffix)) as writer:
      writer.add_summary(summaries.scalars(values), step)
    for name in os.listdir(folder):
      with open(os.path.join(folder, name), 'rb') as file:
        user_files.write_atomically(os.path.join(directory, name), file.read())


def remove_summaries(eval_dir: str, ending: str):
  """Removes the files of summaries in `eval_dir` whose names have that ending."""
  for name in os.listdir(eval_dir):
    if name.startswith('events.out.tfevents.') and name.endswith(ending):
      os.remove(os.path.join(eval_dir, name))


class Pass(NamedTuple):
  """What came of a pass over a split."""

  checkpoint: str
  weights: str  # What was evaluated: 'weights' or 'moving averages'.
  data: inputs.Data
  num_examples: int
  values: dict  # {tag: number} of the metrics.
  predictions: predictions_lib.Predictions | None  # None where they are not kept.


def run_passes(several, keeps_predictions, keeps_logits=False):
  """Returns the Passes of a list of EvaluationSettings; all are made ready before the first runs.

  Args:
    several: a list of EvaluationSettings, of the same records.
    keeps_predictions: whether Predictions are made, where predictions.has_room allows it or
      there is one label per image.
    keeps_logits: whether they have the logits also where predictions.has_room denies it.

  Raises:
    InputError: when the settings, the data or a checkpoint are at fault, or classes differ.
  """
  ready = [_prepare(settings, keeps_predictions, keeps_logits) for settings in several]
  counts = [data.num_classes for data, _ in ready]
  if len(set(counts)) > 1:
    raise errors.InputError(
      f'The models differ in their classes, by their --labels_offset: they have'
      f' {" and ".join(map(str, counts))}. Give models of the same classes.'
    )
  return [run() for _, run in ready]


def _prepare(settings, keeps_predictions, keeps_logits):
  """Returns the inputs.Data of a pass and a function that runs it; see `run_passes`."""
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
  keeps_logits = keeps_logits or predictions_lib.has_room(data, _num_examples(settings, data))
  keeps_predictions = keeps_predictions and (keeps_logits or data.task == 'single_label')
  texts = {}
  if keeps_predictions:
    texts = record_texts.find(data.files[0], settings.slice_key)
  graph = tf.Graph()
  with graph.as_default():
    source, batch = _make_input(settings, data, texts)
    model = _build_model(settings, data, batch)
    values, updates = metrics.make(settings.scoring, model, batch.labels, data)
    restore = checkpoints.make_restore_fn(_plan_restore(settings, checkpoint, uses_averages, data))
    fetches = [tf.shape(batch.labels)[0], (), updates]
  weights = 'moving averages' if uses_averages else 'weights'
  if keeps_predictions:
    with graph.as_default():
      found = model.logits
      if not keeps_logits:
        found = predictions_lib.add_summary(model.logits, batch.labels)
    fetches[1] = (found, batch.labels, batch.records, batch.texts)

  def run():
    console.say(
      f'Evaluating the {weights} of {checkpoint} on {settings.data.dataset_name}, split'
      f' {settings.data.dataset_split_name}.'
    )
    collector = None
    if keeps_predictions:
      collector = predictions_lib.Collector(
        data, settings.data.labels_offset, texts, settings.slice_key
      )
    config = deployment.session_config(settings.session)
    with graph.as_default(), tf.Session(config=config) as session:
      session.run([tf.local_variables_initializer(), tf.tables_initializer()])
      restore(session)
      num_examples = _run_batches(session, settings, data, source, fetches, collector)
      tags = metrics.by_tag(session.run(values), data)
    kept = collector.finish() if collector else None
    return Pass(checkpoint, weights, data, num_examples, tags, kept)

  return data, run


def _average(settings, passes):
  """Returns a Pass of the mean probabilities of several."""
  first = passes[0]
  task, several = first.data.task, [one.predictions for one in passes]
  predictions_lib.check_same_examples(several)
  batch_size = settings.data.batch_size
  means = []
  with tf.Graph().as_default(), tf.Session() as session:
    logits = tf.placeholder(tf.float32, [len(several), None, first.data.num_classes])
    labels = tf.placeholder(several[0].labels.dtype, [None, *several[0].labels.shape[1:]])
    mean = averaging.mean_logits(task, logits, axis=0)
    values, updates = metrics.make(settings.scoring, models.Model(mean, {}), labels, first.data)
    session.run(tf.local_variables_initializer())
    for start in range(0, first.num_examples, batch_size):
      rows = slice(start, start + batch_size)
      feed = {logits: np.stack([one.logits[rows] for one in several])}
      feed[labels] = several[0].labels[rows]
      means.append(session.run([mean, updates], feed)[0])
    values = metrics.by_tag(session.run(values), first.data)
  return first._replace(
    checkpoint=','.join(one.checkpoint for one in passes),
    weights=', '.join(dict.fromkeys(one.weights for one in passes)),
    values=values,
    predictions=dataclasses.replace(several[0], logits=np.concatenate(means)),
  )


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
  return model_facts.completed(settings, checkpoint, given, 'eval_image_size')


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


def _make_input(settings, data, texts):
  """Adds the input to the graph; returns the batch_source.BatchSource and its Batch."""
  side = models.image_size(settings.model, settings.eval_image_size)
  has_crops = settings.eval_crops > 1
  batches = inputs.make_evaluation_batches(
    data,
    dataclasses.replace(settings.data, batch_size=_batch_size(settings)),
    settings.model.model_name,
    averaging.resized_side(side) if has_crops else side,
    texts,
    whole=has_crops,
  )
  source = batch_source.BatchSource(
    batches, settings.data.input_timeout_secs, described=examples.describe(data, settings.data)
  )
  return source, source.next_batch()


def _batch_size(settings):
  """Returns the number of examples in a batch, of so many crops that `batch_size` are in it."""
  return max(1, settings.data.batch_size // settings.eval_crops)


def _num_examples(settings, data):
  """Returns the number of examples to evaluate, if none of them is bad."""
  batches = settings.max_num_batches
  return min(data.num_examples, batches * _batch_size(settings)) if batches else data.num_examples


def _build_model(settings, data, batch):
  """Returns the models.Model of a batch, whose logits are those of the mean of the crops."""
  if settings.eval_crops == 1:
    return models.build_model(settings.model, batch.images, data.num_classes)
  side = models.image_size(settings.model, settings.eval_image_size)
  crops = averaging.cut_crops(batch.images, side, settings.eval_crops)
  model = models.build_model(settings.model, crops, data.num_classes)
  logits = tf.reshape(model.logits, [-1, settings.eval_crops, data.num_classes])
  return model._replace(logits=averaging.mean_logits(data.task, logits, axis=1))


def _run_batches(session, settings, data, source, fetches, collector):
  """Runs `fetches` on each batch of the split; returns the number of examples.

  Args:
    session: with everything in place.
    settings: EvaluationSettings.
    data: the inputs.Data.
    source: the batch_source.BatchSource.
    fetches: the size of a batch, what the collector takes, and the metrics' updates.
    collector: a predictions.Collector, or None.
  """
  num_batches = -(-_num_examples(settings, data) // _batch_size(settings))
  num_examples = 0
  with inputs.explained_errors(data, settings.data):
    # The bar shows on a terminal only.
    for index in tqdm.trange(num_batches, desc='evaluating', unit='batch', disable=None):
      with source.first_step(session) if index == 0 else contextlib.nullcontext():
        try:
          size, kept, _ = session.run(fetches)
        except tf.errors.OutOfRangeError:
          if not data.num_skipped:
            raise
          break  # Records were damaged meanwhile, and left out.
      num_examples += size
      if collector:
        collector.add(*kept)
  return int(num_examples)
