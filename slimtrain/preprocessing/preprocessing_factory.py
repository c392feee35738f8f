"""From decoded images to what a net takes: every preprocessing by name, one row each.

    preprocessing_fn = preprocessing_factory.get_preprocessing('inception', is_training=True)
    image = preprocessing_fn(image, 299, 299)

The name of a net stands for the preprocessing in its row of `nets_factory.NETWORKS`. One's own
joins with a call:

    preprocessing_factory.register(preprocessing_factory.Preprocessing('mine', preprocess_image))
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable

from datasets import survey_file
from nets import nets_factory
from slimcompat import errors, tables
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import (
  cifarnet_preprocessing,
  inception_preprocessing,
  lenet_preprocessing,
  simple_preprocessing,
  vgg_preprocessing,
)

FROM_SURVEY = 'from_survey'


@dataclasses.dataclass(frozen=True)
class PreprocessingSettings(settings_lib.Settings):
  """Preprocessing: the settings of --preprocessing_name=simple."""

  channel_means: str = settings_lib.setting(
    '127.5',
    'What is subtracted from the values of the channels, which lie in [0, 255]: a number for each,'
    f' separated by commas, or one for all; or {FROM_SURVEY}, of the {survey_file.NAME} in'
    ' --dataset_dir.',
  )
  channel_stds: str = settings_lib.setting(
    '127.5', 'What they are then divided by, given in the same ways.'
  )
  random_crop: bool = settings_lib.setting(
    True, 'Whether training sees random crops of the images.'
  )
  random_flip: bool = settings_lib.setting(
    True, 'Whether training sees left and right exchanged, half of the time.'
  )


@dataclasses.dataclass(frozen=True)
class Windowed:
  """What training does, in two parts, between which a part of the image is decoded."""

  choose: Callable  # function(image shape, height, width) -> window's corner, size, ...
  preprocess: Callable  # function(window, height, width, use_grayscale=) -> float32 image.
  # Whether that makes what `preprocess_image` does; otherwise it is for --fast_jpeg.
  is_exact: bool = True


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """A way from an image to what a net takes."""

  name: str
  # function(image, height, width, is_training=, use_grayscale=, ...) -> float32 image.
  preprocess_image: Callable
  help: str = ''  # One line: what it does, and the range of the values it gives.
  source: str = ''  # Authors, title, URL.
  windowed: Windowed | None = None
  # Arguments of `preprocess_image` with which evaluation cuts nothing off.
  cuts_nothing: dict = dataclasses.field(default_factory=dict)
  # The settings it heeds; each is a further argument of `preprocess_image`.
  reads: tuple[str, ...] = ()


PREPROCESSINGS = tables.Table(
  'preprocessing',
  [
    Preprocessing(
      'inception',
      inception_preprocessing.preprocess_image,
      help='Central 87.5% of each side, resized; in training random crops, flips and colours. RGB'
      ' in [-1, 1].',
      source='C. Szegedy et al., "Going Deeper with Convolutions", 2014,'
      ' https://arxiv.org/abs/1409.4842, section 6',
      windowed=Windowed(
        lambda image_shape, *_: inception_preprocessing.choose_window(image_shape),
        functools.partial(
          inception_preprocessing.preprocess_image, is_training=True, crop_image=False
        ),
      ),
      cuts_nothing={'crop_image': False},
    ),
    Preprocessing(
      'vgg',
      vgg_preprocessing.preprocess_image,
      help='Shorter side resized to 256 pixels, centre crop; in training to 256 to 512, random'
      " crops and flips. RGB in [0, 255] less ImageNet's mean.",
      source='K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale'
      ' Image Recognition", 2014, https://arxiv.org/abs/1409.1556, section 3',
      windowed=Windowed(
        vgg_preprocessing.choose_window, vgg_preprocessing.preprocess_window, is_exact=False
      ),
    ),
    Preprocessing(
      'cifarnet',
      cifarnet_preprocessing.preprocess_image,
      help='Centre crop or padding, not resized; in training random crops, flips, brightness and'
      ' contrast. Gray or RGB, mean 0 and variance 1 in each image.',
      source='TensorFlow, https://github.com/tensorflow/models/tree/v1.13.0/tutorials/image/cifar10',
    ),
    Preprocessing(
      'lenet',
      lenet_preprocessing.preprocess_image,
      help='Centre crop or padding, not resized, not distorted. Gray or RGB in [-1, 1).',
      source='TF-Slim, https://github.com/tensorflow/models/tree/master/research/slim',
    ),
    Preprocessing(
      'simple',
      simple_preprocessing.preprocess_image,
      help='Centre crop of the greatest size, resized; in training random crops and flips, each of'
      ' which can be left out. Gray or RGB, less --channel_means, divided by --channel_stds.',
      source='Y. LeCun et al., "Efficient BackProp", 1998, https://doi.org/10.1007/3-540-49430-8_2,'
      ' section 4.3, for the normalization',
      reads=('channel_means', 'channel_stds', 'random_crop', 'random_flip'),
    ),
  ],
)
register = PREPROCESSINGS.register


def known_names() -> list[str]:
  """Returns the names `get_preprocessing` takes: of preprocessings, then of nets."""
  return list(dict.fromkeys([*PREPROCESSINGS, *nets_factory.NETWORKS]))


def find(name: str) -> Preprocessing:
  """Returns the row of the preprocessing `name`, or of the net `name`. Raises InputError."""
  if name in PREPROCESSINGS:
    return PREPROCESSINGS[name]
  if name in nets_factory.NETWORKS:
    return PREPROCESSINGS[nets_factory.NETWORKS[name].preprocessing]
  raise tables.UnknownNameError(tables.unknown_name(PREPROCESSINGS.noun, name, known_names()))


def arguments(
  preprocessing: Preprocessing, settings: PreprocessingSettings, dataset_dir: str | None = None
) -> dict:
  """Returns the further arguments of `preprocess_image` that `settings` give.

  Args:
    preprocessing: a row of PREPROCESSINGS.
    settings: of which it gets those it reads.
    dataset_dir: where a survey may lie.

  Raises:
    InputError: for numbers that are none, and where there is no survey to take them from.
  """
  values = {name: getattr(settings, name) for name in preprocessing.reads}
  for name in ('channel_means', 'channel_stds'):
    if name in values:
      values[name] = _channel_numbers(name, values[name], dataset_dir)
  return values


def _channel_numbers(name, text, dataset_dir):
  if text == FROM_SURVEY:
    numbers = survey_file.read_numbers(dataset_dir, name)
    origin = f'{os.path.join(dataset_dir, survey_file.NAME)} gives'
  else:
    numbers = settings_lib.split_numbers(text)
    origin = f'--{name}={text} gives'
  if len(numbers) not in (1, 3) or not all(map(math.isfinite, numbers)):
    raise errors.InputError(
      f'{origin} {len(numbers)} values; 1 or 3 finite numbers are needed, as in 124.1,116.7,103.9.'
    )
  if name == 'channel_stds' and min(numbers) <= 0:
    raise errors.InputError(
      f'{origin} the standard deviation {min(numbers):g}; it must be more than 0, such as 58.'
    )
  return tuple(numbers)


def get_preprocessing(
  name: str,
  is_training: bool = False,
  use_grayscale: bool = False,
  settings: PreprocessingSettings | None = None,
  dataset_dir: str | None = None,
) -> Callable:
  """Returns the function that preprocesses one image.

  Args:
    name: a row of PREPROCESSINGS, or a net.
    is_training: whether images are distorted at random.
    use_grayscale: whether they end with 1 channel.
    settings: of the row; None leaves the defaults of its own function.
    dataset_dir: where a survey may lie.

  Returns:
    preprocessing_fn(image, output_height, output_width, **kwargs), with the further arguments of
    the row's own function.

  Raises:
    InputError: when there is no such preprocessing nor net, or `settings` make no sense.
  """
  preprocessing = find(name)
  more = arguments(preprocessing, settings, dataset_dir) if settings else {}
  return functools.partial(
    preprocessing.preprocess_image,
    is_training=is_training,
    use_grayscale=use_grayscale,
    **more,
  )
