"""From decoded images to what a net takes: every preprocessing by name, one row each.

    preprocessing_fn = preprocessing_factory.get_preprocessing('inception', is_training=True)
    image = preprocessing_fn(image, 299, 299)

The name of a net stands for the preprocessing in its row of `nets_factory.NETWORKS`. One's own
joins with a call:

    preprocessing_factory.register(preprocessing_factory.Preprocessing('mine', preprocess_image))
"""

import dataclasses
from collections.abc import Callable

from nets import nets_factory
from slimcompat import tables
from slimtrain.preprocessing import (
  cifarnet_preprocessing,
  inception_preprocessing,
  lenet_preprocessing,
  vgg_preprocessing,
)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """A way from an image to what a net takes."""

  name: str
  # function(image, height, width, is_training=, use_grayscale=, ...) -> float32 image.
  preprocess_image: Callable
  help: str = ''  # One line: what it does, and the range of the values it gives.
  source: str = ''  # Authors, title, URL.
  # choose_window(image shape) -> corner, size, ...: what training cuts out of an image first of
  # all, for decoding no more than that. `preprocess_image` then takes `crop_image=False`.
  choose_window: Callable | None = None


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
      choose_window=inception_preprocessing.choose_window,
    ),
    Preprocessing(
      'vgg',
      vgg_preprocessing.preprocess_image,
      help='Shorter side resized to 256 pixels, centre crop; in training to 256 to 512, random'
      " crops and flips. RGB in [0, 255] less ImageNet's mean.",
      source='K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale'
      ' Image Recognition", 2014, https://arxiv.org/abs/1409.1556, section 3',
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


def get_preprocessing(
  name: str, is_training: bool = False, use_grayscale: bool = False
) -> Callable:
  """Returns the function that preprocesses one image.

  Args:
    name: a row of PREPROCESSINGS, or a net.
    is_training: whether images are distorted at random.
    use_grayscale: whether they end with 1 channel.

  Returns:
    preprocessing_fn(image, output_height, output_width, **kwargs), with the further arguments of
    the row's own function.

  Raises:
    InputError: when there is no such preprocessing nor net.
  """
  preprocessing = find(name)

  def preprocessing_fn(image, output_height, output_width, **kwargs):
    return preprocessing.preprocess_image(
      image,
      output_height,
      output_width,
      is_training=is_training,
      use_grayscale=use_grayscale,
      **kwargs,
    )

  return preprocessing_fn
