"""Names and probabilities for images: what classify_images.py does."""

import collections
import contextlib
import dataclasses
import itertools
import os
import sys

import numpy as np

from datasets import records, unlabelled_images
from nets import nets_factory
from slimcompat import errors, escapes, paths, tables
from slimtrain import (
  console,
  deployment,
  explanation,
  exported_models,
  files,
  inference,
  inference_files,
  inputs,
  model_facts,
  sorted_copies,
  trained_models,
  visible_range,
)
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory

# Images whose predictions the console shows besides a file.
_NUM_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class UnlabelledSettings(settings_lib.Settings):
  """Images."""

  images: tuple[str, ...] = settings_lib.setting(
    (),
    'What to classify; the flag may be left out before the words: files, folders, quoted patterns'
    " such as 'photos/**/*.jpg', TFRecords, and - for paths in the lines of the standard input.",
    path=paths.image,
  )
  record_image_key: str = settings_lib.setting(
    records.IMAGE_KEY, 'The key of the image in a record of TFRecords.'
  )
  record_shape_key: str = settings_lib.setting(
    records.SHAPE_KEY, 'The key, or keys separated by commas, of the shape of bare pixels there.'
  )
  record_image_shape: str | None = settings_lib.setting(
    None, 'Height,width,channels of bare pixels there, when it is the same for all.'
  )


@dataclasses.dataclass(frozen=True)
class TrainedModelSettings(settings_lib.Settings):
  """Model: what the checkpoint, or the exported model, does not say of itself."""

  model_name: str | None = settings_lib.setting(
    None,
    'The net. Unset: as model.json or the variables say.',
    choices=nets_factory.NETWORKS,
  )
  labels_file: str | None = settings_lib.setting(
    None,
    'A file with the name of each class in a line, such as labels.txt beside the data.',
    path=paths.local,
  )
  labels_offset: int | None = settings_lib.setting(
    None, "The number of the first class in the data. Unset: the net's.", lower=0
  )
  preprocessing_name: str | None = settings_lib.setting(
    None,
    "How images are preprocessed. Unset: as the net's were.",
    choices=lambda: preprocessing_factory.known_names(),
  )
  use_grayscale: bool | None = settings_lib.setting(
    None, 'Whether images are made gray, 1 channel. Unset: where the net takes no colours.'
  )
  eval_image_size: int | None = settings_lib.setting(
    None, 'Pixels per side of the images. Unset: as in training.', lower=1
  )
  use_moving_averages: bool | None = settings_lib.setting(
    None,
    'Whether the moving averages of the weights are used, not the weights. Unset: when the'
    ' checkpoint has them.',
  )


@dataclasses.dataclass(frozen=True)
class ClassificationSettings(settings_lib.Settings):
  """Run."""

  checkpoint_path: str | None = settings_lib.setting(
    None,
    'A checkpoint, or a directory whose newest one is taken: a train_dir, or the folder best in it;'
    ' or imagenet: the one that was released for --model_name, which is fetched once. Or what'
    ' export_inference_graph.py wrote as frozen, saved_model, tflite or onnx.',
    path=paths.local,
  )
  checkpoint_mirror: str | None = settings_lib.setting(
    None, 'A URL to fetch the released checkpoint from, in place of all before its file name.'
  )
  top_k: int = settings_lib.setting(5, 'Classes to tell of an image, at most.', lower=1)
  decision_threshold: float = settings_lib.setting(
    0.5, 'multi_label: the probability from which on a label is told.', above=0, below=1
  )
  output_file: str | None = settings_lib.setting(
    None,
    'A file to write a row for each image to; its name ends in .csv or .jsonl.',
    path=paths.local,
  )
  features: str | None = settings_lib.setting(
    None,
    'An end point of the net, such as AvgPool_1a, whose values go to a .npy file beside'
    ' --output_file, a row for each of its own.',
  )
  sort_into: str | None = settings_lib.setting(
    None, 'A new folder to copy the images into, into a folder for each class.', path=paths.local
  )
  explain: str | None = settings_lib.setting(
    None,
    'A new folder for a picture of each image that shows what in it speaks for its class: the'
    ' gradient, and Grad-CAM.',
    path=paths.local,
  )
  overwrite: bool = settings_lib.setting(
    False, 'Whether --output_file, and the .npy file, may be there already.'
  )
  sources: UnlabelledSettings = settings_lib.group(UnlabelledSettings)
  model: TrainedModelSettings = settings_lib.group(TrainedModelSettings)
  batches: inference.InferenceSettings = settings_lib.group(inference.InferenceSettings)

  def __post_init__(self):
    super().__post_init__()
    if self.output_file and not self.output_file.endswith(tuple(inference_files.FORMATS)):
      raise errors.InputError(
        f'--output_file={self.output_file} must end in one of {", ".join(inference_files.FORMATS)}.'
      )
    if self.features and not self.output_file:
      raise errors.InputError(
        f'--features={self.features} needs --output_file, beside which the features go: of'
        ' predictions.csv to predictions.npy.'
      )

  @property
  def feature_file(self):
    """The path of the .npy file."""
    return os.path.splitext(self.output_file)[0] + '.npy'


def find_model(settings):
  """Returns the TrainedModel that ClassificationSettings `settings` mean, or an ExportedModel.

  Raises:
    InputError: when there is none, or a flag contradicts what it says of itself.
  """
  path, model = settings.checkpoint_path, settings.model
  if not path:
    raise errors.InputError(
      '--checkpoint_path is missing; give the path of a checkpoint, the directory of a run, or an'
      ' exported model.'
    )
  is_exported = exported_models.is_exported(path)
  if is_exported:
    found = _load_exported(settings)
  else:
    found = trained_models.find(
      path, model.model_name, model.use_moving_averages, settings.checkpoint_mirror
    )
  facts = found.facts
  if nets_factory.NETWORKS[facts.model_name].is_video:
    raise errors.InputError(f'{path} is of {facts.model_name}, which takes videos, not images.')
  is_known = is_exported or model_facts.read(found.checkpoint) is not None
  facts = dataclasses.replace(facts, **_given(model, facts, path if is_known else None))
  if model.labels_file:
    facts = model_facts.with_names(facts, model.labels_file)
  return found._replace(facts=facts)


def _load_exported(settings):
  """Returns the ExportedModel, having refused what only a checkpoint can do."""
  model = settings.model
  for name, value in (
    ('features', settings.features),
    ('explain', settings.explain),
    ('use_moving_averages', model.use_moving_averages),
  ):
    if value is not None:
      raise errors.InputError(
        f'--{name}={value} needs a checkpoint, but {settings.checkpoint_path} is an exported model.'
        ' Leave the flag out, or give the run it was exported from.'
      )
  found = exported_models.load(settings.checkpoint_path)
  known = {'model_name': found.facts.model_name, 'eval_image_size': found.facts.image_size}
  for name, value in known.items():
    if getattr(model, name) not in (None, value):
      _refuse(name, getattr(model, name), value, settings.checkpoint_path)
  return found


def _given(model, facts, path):
  """Returns what the flags say of the ModelFacts, by their names.

  Args:
    model: TrainedModelSettings.
    facts: the ModelFacts.
    path: of the model where it says itself what it is, which flags must not contradict; or None.
  """
  given = {
    name: value
    for name in ('labels_offset', 'preprocessing_name', 'use_grayscale')
    if (value := getattr(model, name)) is not None
  }
  if 'preprocessing_name' in given:
    given['preprocessing_name'] = preprocessing_factory.find(given['preprocessing_name']).name
  for name, value in given.items():
    if path and value != getattr(facts, name):
      _refuse(name, value, getattr(facts, name), path)
  if 'labels_offset' in given and not path:
    first = given['labels_offset']
    given['class_names'] = tuple(str(first + number) for number in range(facts.num_classes))
  if model.eval_image_size:
    given['image_size'] = model.eval_image_size
  return given


def _refuse(name, value, known, path):
  raise errors.InputError(
    f'--{name}={value} contradicts what {path} says of itself: it was made with --{name}={known}.'
    ' Leave the flag out.'
  )


def find_images(settings):
  """Returns the UnlabelledImages that ClassificationSettings `settings` name.

  Raises:
    InputError: when there are none.
  """
  sources = settings.sources
  layout = records.RecordSettings(
    record_image_key=sources.record_image_key,
    record_shape_key=sources.record_shape_key,
    record_image_shape=sources.record_image_shape,
  )
  if hasattr(sys.stdin, 'reconfigure'):
    sys.stdin.reconfigure(errors='surrogateescape')  # Paths are bytes, which need not be UTF-8.
  images = unlabelled_images.find(sources.images, sys.stdin, layout)
  if not images:
    raise errors.InputError(
      'There are no images to classify; name files or folders, such as photo.jpg.'
    )
  return images


def rank(facts, predicted, top_k, threshold):
  """Returns (class name, probability) pairs of an image, the likeliest first.

  As many as `top_k`, of several labels those with the `threshold` or more. For regression, the
  (name, number) pairs of all numbers.
  """
  values = predicted.values
  if facts.task == 'regression':
    return list(zip(facts.class_names, values, strict=True))
  # By logits, because probabilities may be alike where logits are not; of classes alike the first,
  # as tf.argmax does. Of many classes, to sort a few is faster.
  logits = predicted.logits
  if facts.task == 'multi_label':
    candidates, top_k = np.flatnonzero(values >= threshold), None
  else:
    least = np.partition(logits, -min(top_k, len(logits)))[-min(top_k, len(logits))]
    candidates = np.flatnonzero(logits >= least)
    if not len(candidates):  # Not numbers.
      candidates = np.arange(len(logits))
  order = candidates[np.argsort(-logits[candidates], kind='stable')][:top_k]
  return [(facts.class_names[number], values[number]) for number in order]


def describe(task, ranking):
  """Returns what `rank` found, for a person."""
  if task == 'regression':
    return ', '.join(f'{name} {number:.5g}' for name, number in ranking)
  return ', '.join(f'{name} {100 * share:.1f}%' for name, share in ranking) or 'no class'


def classify(settings):
  """Classifies the images that ClassificationSettings `settings` name, and says what they show.

  Raises:
    InputError: when the settings, the images or the checkpoint are at fault; for images that cannot
      be read after all others were classified.
  """
  _check_outputs(settings)
  trained = find_model(settings)
  facts = trained.facts
  if settings.sort_into and facts.task == 'regression':
    raise errors.InputError('--sort_into needs classes, but the model gives numbers. Leave it out.')
  images = find_images(settings)
  left_out = unlabelled_images.list_left_out(settings.sources.images)
  if left_out:
    shown = ', '.join(f'{_printable(path)} ({reason})' for path, reason in left_out[:20])
    more = f' and {len(left_out) - 20:,} more' if len(left_out) > 20 else ''
    console.say(f'Left out: {shown}{more}.')
  deployment.start_runtime(settings.batches.session)
  console.say(
    f'Classifying {_count(len(images), "image")} by {_describe_model(settings, trained)}'
    f' ({facts.model_name}, {facts.image_size} pixels).'
  )
  shows_all = not settings.output_file or len(images) <= _NUM_SHOWN
  tally, unreadable = collections.Counter(), []
  with contextlib.ExitStack() as stack:
    predictions = stack.enter_context(
      contextlib.closing(
        inference.predict(
          images,
          trained,
          settings.batches,
          lambda model, pixels: _add_outputs(settings, facts, model, pixels),
          shows_progress=not shows_all,
        )
      )
    )
    # The graph is built before anything is written.
    predictions = itertools.chain([next(predictions)], predictions)
    writer = _Writer(settings, facts, len(images), stack)
    for number, predicted in enumerate(predictions):
      ranking = None
      if predicted.reason:
        unreadable.append(predicted)
        line = f'cannot be read: {predicted.reason}'
      else:
        ranking = rank(facts, predicted, settings.top_k, settings.decision_threshold)
        tally.update(name for name, _ in ranking[: 1 if facts.task == 'single_label' else None])
        line = describe(facts.task, ranking)
      writer.write(number, predicted, ranking, line)
      if shows_all:
        console.say(f'{_printable(predicted.image.name)}: {line}')
        if not console.has_reader() and not any(_outputs(settings)):
          return
  _say_summary(settings, facts, tally, len(images) - len(unreadable))
  if unreadable:
    first = unreadable[0]
    others = '' if len(unreadable) == len(images) else ' The others are classified.'
    raise errors.InputError(
      f'{len(unreadable):,} of {_count(len(images), "image")} cannot be read, first'
      f' {_printable(first.image.name)}: {first.reason}.{others}'
    )


def _describe_model(settings, trained):
  if isinstance(trained, exported_models.ExportedModel):
    return f'{settings.checkpoint_path}, exported as {trained.format}'
  weights = 'moving averages' if trained.uses_averages else 'weights'
  return f'the {weights} of {trained.checkpoint}'


def _count(number, noun):
  return f'{number:,} {noun}{"" if number == 1 else "s"}'


def _printable(name):
  """Returns the name of a file, which may hold any bytes, in one line of the console."""
  return escapes.for_console(name, keeps_lines=False)


def _check_outputs(settings):
  """Raises InputError unless all outputs can be written, before any work is done."""
  if settings.output_file:
    inference_files.check_free('output_file', settings.output_file, settings.overwrite)
  if settings.features:
    inference_files.check_free('output_file', settings.feature_file, settings.overwrite)
  for flag in ('sort_into', 'explain'):
    directory = getattr(settings, flag)
    if directory:
      sorted_copies.check(flag, directory)


def _add_outputs(settings, facts, model, pixels):
  """Returns what is wanted of a model besides its logits, by name."""
  outputs = {}
  if settings.features:
    if settings.features not in model.end_points:
      raise errors.InputError(
        f'--features: {tables.unknown_name("end point", settings.features, model.end_points)}'
      )
    outputs['features'] = model.end_points[settings.features]
  if settings.explain:
    outputs.update(explanation.add_outputs(model, pixels, facts.task, *_black_and_white(facts)))
  return outputs


def _black_and_white(facts):
  data = inputs.DataSettings(
    preprocessing_name=facts.preprocessing_name,
    preprocessing=facts.preprocessing,
    use_grayscale=facts.use_grayscale,
  )
  return visible_range.of_preprocessing(
    data, facts.model_name, facts.image_size, facts.num_channels
  )


class _Writer:
  """Writes what is wanted of each prediction."""

  def __init__(self, settings, facts, num_images, stack):
    """Opens the files, which `stack` closes."""
    self._settings = settings
    self._facts = facts
    self._rows = self._features = None
    if settings.output_file:
      make = inference_files.FORMATS[os.path.splitext(settings.output_file)[1]]
      self._rows = stack.enter_context(make(settings.output_file, facts, settings.top_k))
    if settings.features:
      file = inference_files.FeatureFile(settings.feature_file, num_images)
      self._features = stack.enter_context(file)
    for flag in ('sort_into', 'explain'):
      if getattr(settings, flag):
        files.check_writable(flag, getattr(settings, flag))

  def write(self, number, predicted, ranking, line):
    """Writes a Prediction; `line` is what the console says of it."""
    settings = self._settings
    if self._rows:
      self._rows.write(predicted, ranking)
    if self._features:
      self._features.write(predicted.outputs.get('features'))
    if predicted.reason:
      return
    if settings.sort_into:
      names = [name for name, _ in ranking]
      if self._facts.task == 'single_label':
        names = names[:1]
      sorted_copies.copy(predicted.image, names, settings.sort_into)
    if settings.explain:
      explanation.write(predicted, line, settings.explain, number)


def _outputs(settings):
  """Returns what is written besides the console: paths, and None for what is not wanted."""
  feature_file = settings.features and settings.feature_file
  return settings.output_file, feature_file, settings.sort_into, settings.explain


def _say_summary(settings, facts, tally, num_read):
  """Says how many images were classified as what, and what was written."""
  if facts.task != 'regression' and num_read > 1:
    shown = tally.most_common(10)
    counts = ', '.join(f'{name} {count:,}' for name, count in shown)
    more = f', {len(tally) - len(shown)} other classes' if len(tally) > len(shown) else ''
    console.say(f'Of {num_read:,} images: {counts or "no class"}{more}.')
  written = list(filter(None, _outputs(settings)))
  if written:
    console.say(f'Written: {", ".join(written)}.')
