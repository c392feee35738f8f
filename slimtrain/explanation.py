"""Pictures of what in an image speaks for the class that a net gives it."""

import os
import re

import numpy as np
from PIL import Image

from slimcompat import tf
from slimtrain import mosaics, visible_range

_TILE_SIDE = 440
_CAPTIONS = {
  'gradient': 'gradient: the pixels whose change would change it most',
  'grad_cam': 'Grad-CAM: the regions that speak for it',
}
# From nothing to all, in RGB: dark, violet, orange, pale yellow.
_HEAT = np.array([(0, 0, 20), (110, 20, 110), (230, 90, 40), (255, 190, 60), (255, 255, 190)])


def add_outputs(model, images, task, black, white):
  """Returns {name: tensor} of what `write` needs: `gradient` and `picture`, and `grad_cam`.

  `gradient`, `[batch, height, width]`, is the greatest absolute derivative over the channels of the
  image: K. Simonyan et al., "Deep Inside Convolutional Networks", 2014,
  https://arxiv.org/abs/1312.6034, section 3.1. `grad_cam`, `[batch, rows, columns]`, weighs the
  activations of the last layer that is a map by the means of their derivatives: R. R. Selvaraju et
  al., "Grad-CAM", 2017, https://arxiv.org/abs/1610.02391, equations 1 and 2. It is missing where
  no end point is such a map.

  Both are of the logit of the likeliest class; for regression, of the first number.

  Args:
    model: the models.Model.
    images: its preprocessed images, `[batch, height, width, channels]`.
    task: one of dataset_info.TASKS.
    black: what black became in each channel of them, `[channels]`.
    white: alike.
  """
  num_classes = model.logits.shape[-1]
  if task == 'regression':
    chosen = tf.zeros_like(model.logits[:, 0], tf.int64)
  else:
    chosen = tf.argmax(model.logits, axis=-1)
  # The images of a batch don't depend on each other, so the sum has the derivatives of each.
  score = tf.reduce_sum(model.logits * tf.one_hot(chosen, num_classes))
  (gradient,) = tf.gradients(score, [images])
  outputs = {
    'gradient': tf.reduce_max(tf.abs(gradient), axis=-1),
    'picture': visible_range.to_pixels(images, black, white),
  }
  activations = _last_map(model, score)
  if activations is not None:
    (derivatives,) = tf.gradients(score, [activations])
    weights = tf.reduce_mean(derivatives, axis=(1, 2), keepdims=True)
    outputs['grad_cam'] = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))
  return outputs


def _last_map(model, score):
  """Returns the end point with rows and columns that is nearest to the logits, or None."""
  maps = [
    tensor
    for tensor in model.end_points.values()
    if isinstance(tensor, tf.Tensor)
    and tensor.shape.ndims == 4
    and all(side is None or side > 1 for side in tensor.shape.as_list()[1:3])
  ]
  # Heads beside the logits have no part in them.
  gradients = tf.gradients(score, maps) if maps else []
  maps = [tensor for tensor, gradient in zip(maps, gradients, strict=True) if gradient is not None]
  order = {op: place for place, op in enumerate(score.graph.get_operations())}
  return max(maps, key=lambda tensor: order[tensor.op], default=None)


def write(prediction, title, directory, number):
  """Draws the picture of a Prediction that has the outputs; returns its path.

  Args:
    prediction: the Prediction.
    title: what the model says of it.
    directory: where the file goes, named by the number and the name of the image.
    number: an int.
  """
  pixels = prediction.outputs['picture']
  picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  tiles = [mosaics.Tile(picture, caption='what the net sees')]
  for name, caption in _CAPTIONS.items():
    if name in prediction.outputs:
      heat = _overlay(picture, prediction.outputs[name])
      tiles.append(mosaics.Tile(heat, caption=caption))
  name = re.sub(r'[^\w.-]', '_', os.path.basename(prediction.image.name))[:100]
  path = os.path.join(directory, f'{number:06d}_{name}.png')
  block = mosaics.Block(title, (prediction.image.name,), (tuple(tiles),))
  mosaics.write(path, [block], _TILE_SIDE)
  return path


def _overlay(picture, heat):
  """Returns the PIL `picture`, gray, under the colours of `heat`, `[rows, columns]`."""
  heat = heat / max(heat.max(), np.finfo(np.float32).tiny)
  if heat.shape == picture.size[::-1]:
    # Of single pixels only the very greatest would be seen.
    heat = np.minimum(heat / max(np.percentile(heat, 99), np.finfo(np.float32).tiny), 1)
  resized = Image.fromarray(heat.astype(np.float32)).resize(picture.size, Image.Resampling.BICUBIC)
  heat = np.clip(np.asarray(resized), 0, 1)
  places = np.linspace(0, 1, len(_HEAT))
  colours = np.stack([np.interp(heat, places, channel) for channel in _HEAT.T], axis=-1)
  gray = np.asarray(picture.convert('L'), np.float32)[..., None]
  return Image.fromarray(np.uint8(np.clip(0.35 * gray + 0.65 * colours, 0, 255)))
