"""Which pictures count as the same."""

import numpy as np
import pytest
from PIL import Image

from datasets import duplicates, image_measures
from tests.datasets import conftest


def scene(seed, width=90, height=60):
  """Returns a coarse random picture, one unlike the other."""
  coarse = np.random.RandomState(seed).randint(0, 256, (5, 6, 3), np.uint8)
  return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def signatures_of(images, image_format='PNG'):
  return np.stack(
    [
      image_measures.measure(conftest.encode(np.asarray(image), image_format)).signature
      for image in images
    ]
  )


def test_exact():
  assert duplicates.find_exact([b'a', b'b', b'a', b'c', b'b', b'a']) == [[0, 2, 5], [1, 4]]


@pytest.mark.parametrize('transpose', [None, *Image.Transpose], ids=str)
def test_turned_mirrored_and_compressed_copies(transpose):
  images = [scene(seed) for seed in range(20)]
  copy = images[7] if transpose is None else images[7].transpose(transpose)
  copy = copy.resize((copy.width * 2, copy.height * 2))
  signatures = np.concatenate([signatures_of(images), signatures_of([copy], 'JPEG')])
  assert duplicates.find_near(signatures) == [[7, 20]]


def test_a_group_of_several():
  images = [scene(seed) for seed in range(6)]
  images += [images[2].rotate(angle, expand=True) for angle in (90, 180, 270)] + [images[4]]
  assert duplicates.find_near(signatures_of(images)) == [[2, 6, 7, 8], [4, 9]]


def test_different_pictures():
  assert duplicates.find_near(signatures_of([scene(seed) for seed in range(300)])) == []


def test_plain_pictures_are_not_told_apart():
  plain = [np.full((20, 20, 3), value, np.uint8) for value in (100, 100, 101)]
  assert duplicates.find_near(signatures_of(plain)) == []


@pytest.mark.parametrize('num', [0, 1])
def test_nothing_to_compare(num):
  assert duplicates.find_near(np.zeros((num, 8, 8, 3), np.uint8)) == []
