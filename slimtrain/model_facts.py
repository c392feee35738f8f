"""What a checkpoint is of: model.json beside it, or else what its variables and the net tell."""

import dataclasses
import json
import os

from datasets import dataset_info, label_files, records, state_files
from nets import nets_factory
from slimcompat import errors
from slimtrain import checkpoints, console, files, models, variants
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory

FILE_NAME = 'model.json'


@dataclasses.dataclass(frozen=True)
class ModelFacts:
  """What it takes to use a checkpoint."""

  model_name: str
  task: str  # One of dataset_info.TASKS.
  num_classes: int  # Logits; for regression, the number of targets.
  class_names: tuple[str, ...]  # One for each logit.
  labels_offset: int  # The labels of the data, less the numbers of the logits.
  image_size: int  # Pixels per side.
  num_channels: int  # Of the images that the net takes.
  preprocessing_name: str
  preprocessing: preprocessing_factory.PreprocessingSettings
  use_grayscale: bool  # Whether preprocessing makes images gray.
  moving_average_decay: float | None = None  # None: no averages were kept.
  decoded_channels: int | None = None  # Of the images before preprocessing. None: not known.
  image_bits: int | None = None  # Of the values of image files of 16, as they were converted.

  def decode(self, encoded):
    """Returns uint8 [height, width, channels] of a JPEG, PNG, BMP or GIF, as evaluation has it.

    Args:
      encoded: its bytes, a scalar string tensor.
    """
    is_gray = self.num_channels == 1 and not self.use_grayscale
    channels = self.decoded_channels or (1 if is_gray else 3)
    image = records.EncodedImage((None, None, channels))
    return image.tensors_to_item({records.IMAGE_KEY: encoded})

  def preprocessing_fn(self):
    """Returns preprocessing_fn(image, height, width) for evaluation, of uint8 or float images."""
    return preprocessing_factory.get_preprocessing(
      self.preprocessing_name, False, self.use_grayscale, self.preprocessing
    )


def of_run(settings, data, num_channels):
  """Returns the ModelFacts of a run of training.

  Args:
    settings: TrainingSettings.
    data: the inputs.Data.
    num_channels: of the images of its batches.
  """
  network = nets_factory.NETWORKS[settings.model.model_name]
  names = getattr(data.dataset, 'labels_to_names', None) or {}
  offset = settings.data.labels_offset
  name = settings.data.preprocessing_name or network.preprocessing
  row = preprocessing_factory.find(name)
  # As numbers: the survey that they may be from lies with the data.
  values = preprocessing_factory.arguments(
    row, settings.data.preprocessing, settings.data.dataset_dir
  )
  numbers = {
    name: ','.join(map(repr, value)) for name, value in values.items() if isinstance(value, tuple)
  }
  return ModelFacts(
    settings.model.model_name,
    data.task,
    data.num_classes,
    tuple(names.get(number + offset, str(number + offset)) for number in range(data.num_classes)),
    offset,
    models.image_size(settings.model, settings.train_image_size),
    num_channels,
    row.name,
    dataclasses.replace(settings.data.preprocessing, **numbers),
    settings.data.use_grayscale,
    settings.moving_average_decay,
    getattr(data.dataset.decoder, 'num_channels', None),
    data.image_bits,
  )


def write(directory, facts):
  """Writes `facts` to model.json in `directory`."""
  files.write_text(os.path.join(directory, FILE_NAME), to_json(facts))


def to_json(facts):
  """Returns the text of a model.json."""
  return json.dumps(dataclasses.asdict(facts), indent=2) + '\n'


def from_json(text):
  """Returns the ModelFacts of such a text. Raises state_files.FormatError for any other."""
  facts = state_files.loads(text, ModelFacts)
  _check(facts)
  return facts


def _check(facts):
  """Raises state_files.FormatError when facts cannot be those of a model."""
  for problem, is_there in (
    (f'its task is {facts.task!r}', facts.task not in dataset_info.TASKS),
    (f'num_classes is {facts.num_classes}', facts.num_classes < 1),
    (
      f'it has {len(facts.class_names)} class names for {facts.num_classes} classes',
      len(facts.class_names) != facts.num_classes,
    ),
    (f'labels_offset is {facts.labels_offset}', facts.labels_offset < 0),
    (f'image_size is {facts.image_size}', facts.image_size < 1),
    (f'num_channels is {facts.num_channels}', facts.num_channels < 1),
    (f'decoded_channels is {facts.decoded_channels}', (facts.decoded_channels or 1) < 1),
  ):
    if is_there:
      raise state_files.FormatError(problem)


def read(checkpoint):
  """Returns the ModelFacts in the model.json beside a checkpoint, None if there is none.

  Raises:
    InputError: when it is damaged.
  """
  return state_files.read_json(
    os.path.join(os.path.dirname(checkpoint), FILE_NAME),
    ModelFacts,
    'Run the training command again, which writes it anew, or remove it and give --model_name and'
    ' the other flags of that command.',
    _check,
  )


def infer(checkpoint, model_name=None):
  """Returns the ModelFacts of a checkpoint without a model.json, such as one of slim's.

  The net is the one whose variables it has, and the rest as in the net's row; the classes, as many
  as the classifier has, are called by their numbers.

  Args:
    checkpoint: as checkpoints.find returned it.
    model_name: the net; None for any.

  Raises:
    InputError: when it is of none.
  """
  shapes = checkpoints.saved_shapes(checkpoint)
  found = variants.find(shapes)
  if found is None or (model_name and found[0] != model_name):
    looks_like = f'looks like {found[0]}' if found else 'is of no net of the table'
    wanted = f', not {model_name}' if found and model_name else ''
    raise errors.InputError(
      f'There is no {FILE_NAME} beside {checkpoint}, and by its variables it {looks_like}{wanted}.'
      ' Give the --model_name that it was made with, and the --plugin where that is registered.'
    )
  name, num_channels = found
  network = nets_factory.NETWORKS[name]
  num_classes = count_classes(network, shapes)
  return ModelFacts(
    name,
    'single_label',
    num_classes,
    tuple(str(number + network.labels_offset) for number in range(num_classes)),
    network.labels_offset,
    network.image_size,
    num_channels,
    network.preprocessing,
    preprocessing_factory.PreprocessingSettings(),
    num_channels == 1 < network.num_channels,
  )


def count_classes(network, shapes):
  """Returns the number of classes of the classifiers in a checkpoint.

  Args:
    network: the row of nets_factory.NETWORKS.
    shapes: {variable name: shape} of the checkpoint.

  Raises:
    InputError: when it has none.
  """
  counts = {
    shape[-1]
    for name, shape in shapes.items()
    if name.startswith(network.classifier_scopes) and name.endswith('/biases')
  }
  if len(counts) != 1:
    raise errors.InputError(f'Its classifier, {network.classifier_scopes[:1]}, is not there.')
  return counts.pop()


def with_names(facts, path):
  """Returns `facts` with the class names in a file, of any form that `label_files` knows.

  A file for all labels of the data, of which the net leaves out the first, will do.

  Raises:
    InputError: when it cannot be read, or has another number of names than the net has classes.
  """
  names = label_files.read(path)
  lines = [names[label] for label in sorted(names)]
  if len(lines) == facts.num_classes + facts.labels_offset:
    lines = lines[facts.labels_offset :]
  if len(lines) != facts.num_classes:
    raise errors.InputError(
      f'{path} has {len(lines)} class names, but the net has {facts.num_classes} classes. Give the'
      ' file of the data that it was trained on.'
    )
  return dataclasses.replace(facts, class_names=tuple(lines))


def completed(settings, checkpoint, given, image_size_flag):
  """Returns `settings` with what a checkpoint says of its model: see `filled_in`.

  Without a model.json the net is the one whose variables it has, unless the user named one.
  """
  facts = read(checkpoint)
  if facts is not None:
    return filled_in(settings, facts, given, image_size_flag)
  if 'model_name' in given:
    return settings
  facts = infer(checkpoint)
  console.say(f'By its variables, the checkpoint is of --model_name={facts.model_name}.')
  is_gray = settings_lib.find(settings, 'use_grayscale') or facts.use_grayscale
  return settings_lib.replace(settings, model_name=facts.model_name, use_grayscale=is_gray)


def filled_in(settings, facts, given, image_size_flag):
  """Returns `settings` with what `facts` say of the model, by the names of the flags.

  Another image size may be given; a line says so.

  Args:
    settings: with all those flags somewhere.
    facts: the ModelFacts.
    given: the names of the flags that the user gave.
    image_size_flag: the name of that for pixels per side.

  Raises:
    InputError: when a flag that was given contradicts them.
  """
  values = {
    'model_name': facts.model_name,
    'labels_offset': facts.labels_offset,
    'use_grayscale': facts.use_grayscale,
    'preprocessing_name': facts.preprocessing_name,
    **dataclasses.asdict(facts.preprocessing),
  }
  for name in given & values.keys():
    value = settings_lib.find(settings, name)
    is_same = value == values[name] or value == preprocessing_factory.FROM_SURVEY
    if name == 'preprocessing_name':
      is_same = preprocessing_factory.find(value).name == facts.preprocessing_name
    if not is_same:
      raise errors.InputError(
        f'--{name}={value} contradicts the {FILE_NAME} of the checkpoint, which was trained with'
        f' --{name}={values[name]}. Leave the flag out.'
      )
  size = settings_lib.find(settings, image_size_flag)
  if size is None:
    values[image_size_flag] = facts.image_size
  elif size != facts.image_size:
    console.say(f'Images of {size} pixels a side, where training had {facts.image_size}.')
  return settings_lib.replace(settings, **values)
