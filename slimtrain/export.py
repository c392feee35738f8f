"""Writing the graph of a net, for tools that read a GraphDef."""

import dataclasses
import os

from datasets import dataset_factory
from nets import nets_factory
from slimcompat import errors, tf
from slimtrain import console, models
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class ExportSettings(settings_lib.Settings):
  """Export."""

  output_file: str = settings_lib.setting('', 'The file to write the graph to.')
  is_training: bool = settings_lib.setting(
    False, 'Whether to write the graph as it is when training, dropout and all.'
  )
  image_size: int | None = settings_lib.setting(
    None, 'Pixels per side of the images. Unset: as --model_name says.', lower=1
  )
  batch_size: int | None = settings_lib.setting(
    None, 'Images in a batch. Unset: any number.', lower=1
  )
  dataset_name: str = settings_lib.setting(
    'imagenet', 'The dataset, which gives the number of classes.', choices=dataset_factory.DATASETS
  )
  dataset_dir: str = settings_lib.setting('', 'The directory of the dataset.')
  labels_offset: int = settings_lib.setting(
    0, 'Subtracted from the number of classes: 1 for VGG and ResNet v1.', lower=0
  )
  is_video_model: bool = settings_lib.setting(False, 'Whether the net takes videos.')
  num_frames: int | None = settings_lib.setting(
    None, 'Frames in a video. Unset: any number.', lower=1
  )
  write_text_graphdef: bool = settings_lib.setting(
    False, 'Whether to write text instead of the binary form.'
  )
  use_grayscale: bool = settings_lib.setting(False, 'Whether images have 1 channel, not 3.')
  quantize: bool = settings_lib.setting(
    False,
    'Whether to write a quantized graph.',
    refused='Training with simulated quantization went with tf.contrib; leave the flag out.',
  )
  model: models.ModelSettings = settings_lib.group(models.ModelSettings)

  def __post_init__(self):
    super().__post_init__()
    if self.num_frames and not self.is_video_model:
      raise errors.InputError(
        f'--num_frames={self.num_frames} needs --is_video_model; set both or neither.'
      )


def export_inference_graph(settings):
  """Writes the GraphDef, without weights, that ExportSettings `settings` describe.

  The images enter at the placeholder `input`, in the range of the net's preprocessing.

  Raises:
    InputError: when the settings are at fault, or the file cannot be written.
  """
  if not settings.output_file:
    raise errors.InputError('--output_file is missing; give the path of the file to write.')
  dataset = dataset_factory.get_dataset(settings.dataset_name, 'train', settings.dataset_dir)
  with tf.Graph().as_default() as graph:
    size = models.image_size(settings.model, settings.image_size)
    frames = [settings.num_frames] if settings.is_video_model else []
    shape = [settings.batch_size, *frames, size, size, 1 if settings.use_grayscale else 3]
    network_fn = nets_factory.get_network_fn(
      settings.model.model_name,
      dataset.num_classes - settings.labels_offset,
      is_training=settings.is_training,
    )
    network_fn(tf.placeholder(tf.float32, shape, name='input'))
    directory, name = os.path.split(os.path.abspath(settings.output_file))
    try:
      tf.io.write_graph(graph.as_graph_def(), directory, name, as_text=settings.write_text_graphdef)
    except (tf.errors.OpError, OSError) as error:
      raise errors.InputError(
        f'--output_file={settings.output_file} cannot be written: {error}'
      ) from error
  console.say(f'Wrote {settings.output_file}; its input is {shape}.')
