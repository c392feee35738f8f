"""The weights and images behind the reference logits in nets/*.json.

A variable's value follows from its name and shape alone, so that no checkpoint has to be kept.
"""

import zlib

import numpy as np


def variable_value(name, shape):
  """Returns the value of the variable `name`, without ':0', of `shape`."""
  rng = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
  normal = rng.standard_normal(shape).astype('float32')
  leaf = name.split('/')[-1]
  if leaf == 'gamma':
    value = 1 + 0.1 * normal
  elif leaf == 'moving_variance':
    value = 1 + 0.1 * np.abs(normal)
  elif leaf in ('beta', 'biases', 'bias', 'moving_mean') or len(shape) < 2:
    value = 0.1 * normal
  else:
    fan_in = np.prod(shape[:2] if leaf == 'depthwise_weights' else shape[:-1])
    value = normal * np.sqrt(2.0 / int(fan_in)).astype('float32')
  return value


def input_images(shape):
  """Returns the images, in [-1, 1], that a reference of this `input_shape` was computed on."""
  return np.random.RandomState(7).uniform(-1, 1, shape).astype('float32')
