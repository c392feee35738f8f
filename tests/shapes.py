"""Draws folders of shapes to classify: real files for the tests of converting and training.

python -m tests.shapes FOLDER [IMAGES_PER_CLASS [PIXELS]]
"""

import colorsys
import math
import os
import sys

import numpy as np
from PIL import Image, ImageDraw

# Corners of each class; a circle has many.
CLASSES = {'circle': 40, 'square': 4, 'triangle': 3}


def draw(rng, corners, size):
  """Returns a PIL image of `size` pixels per side: one shape, anywhere, on a noisy ground."""
  hue = rng.uniform()
  ground, ink = (
    np.array(colorsys.hsv_to_rgb(h % 1, 0.6, v)) * 255
    for h, v in ((hue, rng.uniform(0.2, 0.5)), (hue + 0.5, rng.uniform(0.7, 1.0)))
  )
  pixels = ground + rng.normal(0, 8, (size, size, 3))
  image = Image.fromarray(np.clip(pixels, 0, 255).astype('uint8'))
  radius = rng.uniform(0.25, 0.4) * size
  centre = rng.uniform(radius, size - radius, 2)
  turn = rng.uniform(0, 2 * math.pi)
  angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
  outline = [tuple(centre + radius * np.array([math.cos(a), math.sin(a)])) for a in angles]
  ImageDraw.Draw(image).polygon(outline, fill=tuple(int(value) for value in ink))
  return image


def write(folder, images_per_class=20, size=64, mode='RGB', ending='jpg'):
  """Writes `images_per_class` files of each class into sub-folders of `folder`."""
  rng = np.random.RandomState(0)
  for name, corners in CLASSES.items():
    os.makedirs(os.path.join(folder, name))
    for index in range(images_per_class):
      path = os.path.join(folder, name, f'{index:04d}.{ending}')
      draw(rng, corners, size).convert(mode).save(path)


if __name__ == '__main__':
  write(sys.argv[1], *map(int, sys.argv[2:]))
