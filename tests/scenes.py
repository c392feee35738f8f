"""Draws data sets of several labels and of numbers: real records for tests of these tasks."""

import io
import math

import numpy as np
from PIL import Image, ImageDraw

from datasets import shards

SHAPES = ('circle', 'square', 'triangle', 'bar')
TARGETS = ('x', 'y', 'radius')


def _encode(image):
  encoded = io.BytesIO()
  image.save(encoded, 'PNG')
  return encoded.getvalue()


def draw_disc(rng, size):
  """Returns a gray picture with a disc, and its (x, y, radius) in parts of the picture's side."""
  radius = rng.uniform(0.1, 0.25)
  x, y = rng.uniform(radius, 1 - radius, 2)
  ground = rng.uniform(0, 100)
  image = Image.fromarray(np.uint8(np.clip(rng.normal(ground, 8, (size, size)), 0, 255)))
  # Drawn larger, for its edge to tell where it is to a part of a pixel.
  mask = Image.new('L', (4 * size, 4 * size))
  box = [4 * size * side for side in (x - radius, y - radius, x + radius, y + radius)]
  ImageDraw.Draw(mask).ellipse(box, fill=255)
  image.paste(int(rng.uniform(160, 255)), mask=mask.resize((size, size), Image.Resampling.BOX))
  return image, (x, y, radius)


def draw_shapes(rng, size):
  """Returns a gray picture with up to four shapes, and the labels of those in it."""
  image = Image.fromarray(np.uint8(rng.uniform(0, 60, (size, size))))
  present = tuple(label for label in range(len(SHAPES)) if rng.uniform() < 0.5)
  quarters = rng.permutation(4)
  for label in present:
    left, top = (quarters[label] % 2) * size / 2, (quarters[label] // 2) * size / 2
    radius = rng.uniform(0.16, 0.22) * size
    x, y = (corner + rng.uniform(radius, size / 2 - radius) for corner in (left, top))
    corners = {'circle': 40, 'square': 4, 'triangle': 3, 'bar': 4}[SHAPES[label]]
    turn = math.pi / 4 if SHAPES[label] == 'square' else -math.pi / 2
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners)]
    flat = 0.3 if SHAPES[label] == 'bar' else 1
    outline = [(x + radius * math.cos(a), y + flat * radius * math.sin(a)) for a in angles]
    ImageDraw.Draw(image).polygon(outline, fill=int(rng.uniform(160, 255)))
  return image, present


# What draws an example of a task, and the names of what its label holds.
TASKS = {'multi_label': (draw_shapes, SHAPES), 'regression': (draw_disc, TARGETS)}


def write(folder, task, counts, size=32, seed=0):
  """Writes a data set of `task`, one of TASKS, with `counts` by split."""
  draw, names = TASKS[task]
  rng = np.random.RandomState(seed)

  def examples(count):
    for _ in range(count):
      image, label = draw(rng, size)
      yield shards.EncodedExample(_encode(image), 'png', size, size, 1, label)

  splits = {name: shards.listed(list(examples(count))) for name, count in counts.items()}
  return shards.write(str(folder), 'scenes', names, splits, 2, task)


def write_list(folder, task, counts, size, seed=0):
  """Writes pictures of `task` and a list of them, as `download_and_convert_data.py` takes it.

  Args:
    folder: a new one.
    task: one of TASKS.
    counts: of the pictures by split.
    size: pixels per side.
    seed: of the drawings.

  Returns:
    The path of the list.
  """
  draw, names = TASKS[task]
  rng = np.random.RandomState(seed)
  folder.mkdir()
  columns = names if task == 'regression' else ('labels',)
  lines = [','.join(('path', *columns, 'split'))]
  for split, count in counts.items():
    for number in range(count):
      image, label = draw(rng, size)
      image.save(folder / f'{split}_{number}.png')
      cells = map(str, label) if task == 'regression' else [';'.join(names[n] for n in label)]
      lines.append(','.join((f'{split}_{number}.png', *cells, split)))
  (folder / 'list.csv').write_text('\n'.join(lines))
  return folder / 'list.csv'
