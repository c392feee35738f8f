"""preview.png: what training sees of some images, by each preprocessing."""

import os

import numpy as np
from PIL import Image

from slimcompat import tf
from slimtrain import mosaics, visible_range
from slimtrain.preprocessing import preprocessing_factory

FILE_NAME = 'preview.png'
NUM_EXAMPLES = 5
_NUM_AUGMENTED = 8
_TILE_SIDE = 128
_EVALUATION_COLOR = '#1f77b4'


def write(pictures, names, settings, dataset_dir, output_dir):
  """Draws a mosaic for each preprocessing into `output_dir`; returns the path.

  Args:
    pictures: NUM_EXAMPLES images of Pillow or fewer, of mode L or RGB.
    names: rows of PREPROCESSINGS, or nets.
    settings: a PreviewSettings.
    dataset_dir: where a survey may lie, or None.
    output_dir: an existing directory.

  Raises:
    InputError: when the settings make no sense.
  """
  size = settings.preview_image_size
  text = (
    f'Images of {size} x {size} pixels, their values brought back to colours. Each row: the image,'
    ' what evaluation sees of it (blue),',
    'and what training may see of it.',
  )
  blocks = [mosaics.Block('What training sees', text)]
  for name in names:
    row = preprocessing_factory.find(name)
    title = name if name == row.name else f'{name}: {row.name}'
    rows = [_tiles(*seen) for seen in _see(row.name, pictures, settings, dataset_dir)]
    blocks.append(mosaics.Block(title, (row.help,), tuple(rows)))
  path = os.path.join(output_dir, FILE_NAME)
  mosaics.write(path, blocks, _TILE_SIDE)
  return path


def _tiles(picture, evaluated, augmented):
  return (
    mosaics.Tile(picture),
    mosaics.Tile(evaluated, _EVALUATION_COLOR),
    *(mosaics.Tile(image) for image in augmented),
  )


def _see(name, pictures, settings, dataset_dir):
  """Yields each picture, what evaluation makes of it, and what training does several times."""
  size = settings.preview_image_size
  with tf.Graph().as_default() as graph, tf.device('/cpu:0'):
    tf.set_random_seed(settings.preview_seed)
    channels = 1 if all(picture.mode == 'L' for picture in pictures) else 3
    image = tf.placeholder(tf.uint8, [None, None, channels])
    evaluated, trained = (
      preprocessing_factory.get_preprocessing(
        name, is_training, settings.use_grayscale, settings.preprocessing, dataset_dir
      )(image, size, size)
      for is_training in (False, True)
    )
  with tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0})) as session:
    black, white = visible_range.black_and_white(
      session.run(evaluated, {image: visible_range.probe(channels)})
    )

    def show(result):
      values = (result - black) / (white - black)
      # Where each image is normalized by numbers of its own, values lie beyond black and white.
      low, high = min(values.min(), 0), max(values.max(), 1)
      pixels = np.rint((values - low) / (high - low) * 255).astype(np.uint8)
      return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)

    for picture in pictures:
      pixels = np.asarray(picture.convert('L' if channels == 1 else 'RGB'))
      feed = {image: pixels.reshape(*pixels.shape[:2], channels)}
      augmented = [show(session.run(trained, feed)) for _ in range(_NUM_AUGMENTED)]
      yield picture, show(session.run(evaluated, feed)), augmented
