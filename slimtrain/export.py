"""Exporting a net: its graph alone, or a trained one in the formats that other programs run."""

import contextlib
import dataclasses
import filecmp
import importlib.util
import os

from datasets import dataset_factory, records, user_files
from nets import nets_factory
from slimcompat import checkpoint_directory, errors, paths, tf
from slimtrain import (
  checkpoints,
  console,
  export_check,
  export_formats,
  export_graphs,
  export_images,
  inputs,
  model_facts,
  models,
  releases,
  trained_models,
)
from slimtrain import files as files_lib
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory


@dataclasses.dataclass(frozen=True)
class ExportSettings(settings_lib.Settings):
  """Export."""

  output_file: str = settings_lib.setting(
    '', 'The file to write; of --format=saved_model, the folder.', path=paths.local
  )
  format: str = settings_lib.setting(
    'graph_def',
    'What is written: the graph alone, or, with --checkpoint_path, a trained net: a GraphDef with'
    ' its weights, a SavedModel, a model for LiteRT (TensorFlow Lite), or for ONNX Runtime.',
    choices=export_formats.FORMATS,
  )
  checkpoint_path: str | None = settings_lib.setting(
    None,
    'A checkpoint, or a directory whose newest one is exported; or imagenet: the one that was'
    ' released for the net, which is fetched once. Its model.json says what else is needed.',
    path=paths.local,
  )
  checkpoint_mirror: str | None = settings_lib.setting(
    None, 'A URL to fetch the released checkpoint from, in place of all before its file name.'
  )
  use_moving_averages: bool | None = settings_lib.setting(
    None,
    'Whether the moving averages of the weights are exported, not the weights. Unset: when the'
    ' checkpoint has them.',
  )
  overwrite: bool = settings_lib.setting(
    False, 'Whether an export that is there already may be replaced.'
  )
  labels_file: str | None = settings_lib.setting(
    None,
    'A file with the name of each class on a line, or label:name. Unset: the names in model.json,'
    ' or else numbers.',
    path=paths.local,
  )
  tflite_type: str = settings_lib.setting(
    'float32',
    'tflite: the numbers of the model. dynamic: weights of 8 bits; int8: all of 8 bits, for which'
    ' images of the dataset are needed.',
    choices=export_formats.TFLITE_TYPES,
  )
  num_calibration_images: int = settings_lib.setting(
    200, 'int8: images of the dataset that show how large values become.', lower=1
  )
  num_check_images: int = settings_lib.setting(
    200,
    'Images of the dataset on which the export is compared with the checkpoint. Without a dataset,'
    ' it is compared on a few that are drawn.',
    lower=1,
  )
  max_difference: float | None = settings_lib.setting(
    None,
    'What may differ from the checkpoint: the logits, relative to the largest of them or to 1; of'
    ' dynamic and int8, the accuracy, or, without labels, the mean of the predictions. Unset: what'
    ' is usual, 1e-5 for frozen and saved_model, 1e-4 for onnx and float32, 0.01 for float16, and'
    ' 0.02 for dynamic and int8.',
    lower=0,
  )
  is_training: bool = settings_lib.setting(
    False, 'graph_def: whether the graph is as it is when training, dropout and all.'
  )
  image_size: int | None = settings_lib.setting(
    None,
    'Pixels per side of the images. Unset: as in training, or as --model_name says.',
    lower=1,
  )
  batch_size: int | None = settings_lib.setting(
    None, 'Images in a batch. Unset: any number; for tflite, 1.', lower=1
  )
  dataset_name: str = settings_lib.setting(
    'imagenet',
    'The dataset. Without --checkpoint_path it gives the number of classes; with it, the images for'
    ' calibration and comparison, when --dataset_dir is given, too.',
    choices=dataset_factory.DATASETS,
  )
  dataset_dir: str = settings_lib.setting(
    '', 'The directory of the dataset. digits needs none.', path=paths.data
  )
  dataset_split_name: str = settings_lib.setting(
    'train', 'The split with the images for calibration and comparison.'
  )
  labels_offset: int = settings_lib.setting(
    0, 'Subtracted from the number of classes: 1 for VGG and ResNet v1.', lower=0
  )
  is_video_model: bool = settings_lib.setting(False, 'Whether the net takes videos.')
  num_frames: int | None = settings_lib.setting(
    None, 'Frames in a video. Unset: any number; with --checkpoint_path, 64.', lower=1
  )
  write_text_graphdef: bool = settings_lib.setting(
    False, 'graph_def: whether to write text instead of the binary form.'
  )
  use_grayscale: bool = settings_lib.setting(False, 'Whether images have 1 channel, not 3.')
  quantize: bool = settings_lib.setting(
    False,
    'Whether to write a quantized graph.',
    refused='Training with simulated quantization went with tf.contrib. Leave the flag out, and use'
    ' --format=tflite --tflite_type=int8, which needs none.',
  )
  preprocessing_name: str | None = settings_lib.setting(
    None,
    'How images are preprocessed. Unset: as in training, or as --model_name says.',
    choices=lambda: preprocessing_factory.known_names(),
  )
  model: models.ModelSettings = settings_lib.group(models.ModelSettings)
  preprocessing: preprocessing_factory.PreprocessingSettings = settings_lib.group(
    preprocessing_factory.PreprocessingSettings
  )
  layout: records.RecordSettings = settings_lib.group(records.RecordSettings)

  def __post_init__(self):
    super().__post_init__()
    network = nets_factory.NETWORKS[self.model.model_name]
    if self.num_frames and not (self.is_video_model or network.is_video):
      raise errors.InputError(
        f'--num_frames={self.num_frames} needs --is_video_model; set both or neither.'
      )
    for row in export_formats.FORMATS.values():
      for name in row.reads:
        default = type(self).__dataclass_fields__[name].default
        if row.name != self.format and getattr(self, name) != default:
          raise errors.InputError(
            f'--{name}={getattr(self, name)} is for --format={row.name}, not {self.format}. Leave'
            ' one of them out.'
          )


def export_inference_graph(settings):
  """Writes what ExportSettings `settings` describe.

  A trained net counts as exported when it was loaded in a fresh process and gave there what the
  checkpoint gives; only then does it get its name.

  Raises:
    InputError: when the settings, the checkpoint or the data are at fault, nothing can be written,
      or the export differs from the checkpoint.
  """
  if not settings.output_file:
    raise errors.InputError('--output_file is missing; give the path of the file to write.')
  if settings.format == 'graph_def':
    _export_graph_def(settings)
  else:
    _export_trained(settings)


def complete(settings, given):
  """Returns ExportSettings with what the checkpoint says of its model.

  Args:
    settings: ExportSettings, of flags.
    given: the names of the flags that the user gave.

  Raises:
    InputError: when there is no checkpoint, or one of those flags contradicts it.
  """
  if not settings.checkpoint_path or releases.is_chosen(
    settings.checkpoint_path, settings.checkpoint_mirror
  ):
    return settings
  checkpoint = checkpoints.find(settings.checkpoint_path)
  return model_facts.completed(settings, checkpoint, given, 'image_size')


def _export_graph_def(settings):
  """Writes the graph, without weights, as slim did."""
  trained = _find(settings) if settings.checkpoint_path else None
  if trained:
    num_classes = trained.facts.num_classes
    shape = export_graphs.input_shape(trained.facts, settings)
  else:
    dataset = dataset_factory.get_dataset(settings.dataset_name, 'train', settings.dataset_dir)
    num_classes = dataset.num_classes - settings.labels_offset
    size = models.image_size(settings.model, settings.image_size)
    frames = [settings.num_frames] if settings.is_video_model else []
    shape = [settings.batch_size, *frames, size, size, 1 if settings.use_grayscale else 3]
  with tf.Graph().as_default() as graph:
    network_fn = nets_factory.get_network_fn(
      settings.model.model_name, num_classes, is_training=settings.is_training
    )
    network_fn(tf.placeholder(tf.float32, shape, name=export_graphs.INPUT))
    with _output(settings) as path:
      tf.io.write_graph(graph, *os.path.split(path), as_text=settings.write_text_graphdef)
  console.say(f'Wrote {settings.output_file}; its input is {shape}.')


def _export_trained(settings):
  """Writes a trained net, and compares it with the checkpoint."""
  row = export_formats.FORMATS[settings.format]
  limits = export_formats.limits(settings)
  _refuse_what_is_missing(settings, row)
  _refuse_existing(settings)
  trained = _find(settings)
  if row.name == 'tflite' and settings.batch_size is None:
    settings = dataclasses.replace(settings, batch_size=1)
  shape = export_graphs.input_shape(trained.facts, settings)
  calibration, images = _load_images(settings, trained.facts, shape)
  weights = 'moving averages' if trained.uses_averages else 'weights'
  console.say(f'Exporting the {weights} of {trained.checkpoint} to {settings.output_file}.')
  with _output(settings) as path:
    takes_files = row.takes_files and images.files is not None
    with export_graphs.open_graph(trained, shape, takes_files) as graph:
      row.write(graph, path, settings, None if calibration is None else calibration.images)
    console.say(f'Comparing it with the checkpoint on {len(images.images)} images.')
    comparisons = _compare(settings, trained, images, path, takes_files)
    for line in export_check.table(comparisons):
      console.say(line)
    for comparison in comparisons[1:]:
      export_check.refuse_difference(comparison, *limits)
  console.say(f'Wrote {settings.output_file}; its input is {shape}.')


def _refuse_what_is_missing(settings, row):
  """Raises InputError when there is no checkpoint, no package or no data where one is needed."""
  if not settings.checkpoint_path:
    raise errors.InputError(
      f'--format={row.name} needs --checkpoint_path, the checkpoint, or its directory, with the'
      ' weights to export.'
    )
  missing = [name for name in row.needs if importlib.util.find_spec(name) is None]
  if missing:
    raise errors.InputError(
      f"--format={row.name} needs {' and '.join(missing)}: pip install -e '.[{row.name}]'."
    )
  is_calibrated = export_formats.TFLITE_TYPES[settings.tflite_type].is_calibrated
  if is_calibrated and not _has_data(settings):
    raise errors.InputError(
      f'--tflite_type={settings.tflite_type} needs images to calibrate with: give --dataset_name'
      ' and --dataset_dir of the data that the checkpoint was trained on.'
    )


def _has_data(settings):
  """Returns whether a dataset was given: ImageNet is but the default for counting classes."""
  return bool(settings.dataset_dir) or settings.dataset_name != 'imagenet'


def _find(settings):
  """Returns the TrainedModel of `settings`, with the facts that they change."""
  trained = trained_models.find(
    settings.checkpoint_path,
    settings.model.model_name,
    settings.use_moving_averages,
    settings.checkpoint_mirror,
  )
  facts = trained.facts
  if settings.image_size:
    facts = dataclasses.replace(facts, image_size=settings.image_size)
  if settings.preprocessing_name:
    preprocessing = preprocessing_factory.find(settings.preprocessing_name)
    facts = dataclasses.replace(
      facts, preprocessing_name=preprocessing.name, preprocessing=settings.preprocessing
    )
  if settings.labels_offset:
    facts = dataclasses.replace(facts, labels_offset=settings.labels_offset)
  if settings.labels_file:
    facts = model_facts.with_names(facts, settings.labels_file)
  return trained._replace(facts=facts)


def _load_images(settings, facts, shape):
  """Returns the export_images.Images for calibration, or None, and for the comparison."""
  if not _has_data(settings):
    return None, export_images.draw(facts, shape)
  data_settings = inputs.DataSettings(
    dataset_name=settings.dataset_name,
    dataset_split_name=settings.dataset_split_name,
    dataset_dir=settings.dataset_dir or None,
    labels_offset=facts.labels_offset if facts.task == 'single_label' else 0,
    layout=settings.layout,
  )
  data = inputs.load_data(data_settings)
  export_images.check(data, facts, f'--dataset_name={settings.dataset_name}')
  is_calibrated = export_formats.TFLITE_TYPES[settings.tflite_type].is_calibrated
  num_calibration = settings.num_calibration_images if is_calibrated else 0
  found = export_images.load(
    data, data_settings, facts, num_calibration + settings.num_check_images
  )
  # Where there are not enough for both, some serve twice.
  calibration = found[: settings.num_calibration_images] if is_calibrated else None
  return calibration, found[-settings.num_check_images :]


def _compare(settings, trained, images, path, takes_files):
  """Returns the export_check.Comparisons of the checkpoint with itself, then of the export."""
  expected = export_check.run_checkpoint(trained, images.images)
  more = (expected, trained.facts.task, images.labels)
  files = checkpoint_directory.list_files(trained.checkpoint)
  num_bytes = sum(map(export_check.size_of, files))
  comparisons = [export_check.compare('checkpoint', num_bytes, expected, *more)]
  of_images, of_files = export_check.run_export(
    path, images.images, images.files if takes_files else None
  )
  name = settings.format
  if name == 'tflite':
    name = f'{name}, {settings.tflite_type}'
  found = {name: of_images}
  if of_files:
    found = {f'{name}, images': of_images, f'{name}, image_bytes': of_files}
  for name, outputs in found.items():
    comparisons.append(export_check.compare(name, export_check.size_of(path), outputs, *more))
  return comparisons


def _refuse_existing(settings):
  """Raises InputError when --output_file is there and may not be replaced."""
  path = os.path.abspath(settings.output_file)
  if not os.path.lexists(path):
    return
  shown = f'--output_file={settings.output_file}'
  is_folder = os.path.isdir(path)
  if is_folder and not os.listdir(path) and settings.format == 'saved_model':
    return
  if is_folder and settings.format != 'saved_model':
    raise errors.InputError(f'{shown} is a folder; give the path of a file.')
  if not settings.overwrite:
    raise errors.InputError(f'{shown} exists. Give another path, or --overwrite to replace it.')
  if is_folder and not os.path.exists(os.path.join(path, 'saved_model.pb')):
    raise errors.InputError(f'{shown} holds something else than a SavedModel. Give another path.')


@contextlib.contextmanager
def _output(settings):
  """Gives the path of a file or folder to write, which becomes --output_file at the end.

  After an exception there is nothing of it, and what was there before is untouched. A file that is
  there with the same content may be written again.

  Raises:
    InputError: when it cannot be written, or exists and may not be replaced.
  """
  path = os.path.abspath(settings.output_file)
  try:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with user_files.folder_beside(path, 'exporting') as temporary:
      made = os.path.join(temporary, os.path.basename(path))
      yield made
      if not (os.path.isfile(path) and os.path.isfile(made) and filecmp.cmp(made, path, False)):
        _refuse_existing(settings)
      _replace(made, path, os.path.join(temporary, 'replaced'))
  except (tf.errors.OpError, OSError) as error:
    raise errors.InputError(
      f'--output_file={settings.output_file} cannot be written: {files_lib.reason(error)}. Make'
      ' room, or give another path.'
    ) from error


def _replace(made, path, aside):
  """Moves `made` to `path`; a folder there is put aside, and back if that fails."""
  if not os.path.isdir(path):
    os.replace(made, path)
    return
  os.replace(path, aside)
  try:
    os.replace(made, path)
  except BaseException:
    os.replace(aside, path)
    raise
