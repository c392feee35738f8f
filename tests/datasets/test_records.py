"""Decoding a part of an image."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets import dataset_utils, records
from slimcompat import tf

HEIGHT, WIDTH = 90, 120


def decode_window(encoded, image_format, corner, size, fast_size=None, channels=3):
  """Returns the window and label that a Decoder gives, as arrays."""
  example = dataset_utils.image_to_tfexample(encoded, image_format, HEIGHT, WIDTH, 7)
  shape = (None, None, channels)
  decoder = records.Decoder((records.image_item(shape), records.label_item()))
  window, label = decoder.decode_window(
    tf.constant(example.SerializeToString()),
    lambda image_shape: (tf.constant([*corner, 0]), tf.constant([*size, channels])),
    fast_size,
  )
  assert window.shape[-1] == channels
  with tf.Session() as session:
    return session.run([window, label])


def encode(mode='RGB', **kind):
  coarse = np.random.RandomState(0).randint(0, 256, (9, 12, 3), dtype='uint8')
  image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).convert(mode)
  encoded = io.BytesIO()
  image.save(encoded, **kind)
  return encoded.getvalue()


@pytest.mark.parametrize(
  'kind',
  [
    {'format': 'PNG'},
    *({'format': 'JPEG', 'subsampling': subsampling} for subsampling in range(3)),
    {'format': 'JPEG', 'mode': 'L'},
    {'format': 'JPEG', 'mode': 'CMYK'},
    {'format': 'JPEG', 'progressive': True},
  ],
  ids=lambda kind: '-'.join(map(str, kind.values())),
)
@pytest.mark.parametrize(
  ('corner', 'size'),
  [((0, 0), (HEIGHT, WIDTH)), ((16, 32), (48, 31)), ((7, 1), (83, 119)), ((89, 119), (1, 1))],
)
def test_a_window_has_the_pixels_of_the_whole(kind, corner, size):
  encoded = encode(**kind)
  window, label = decode_window(encoded, 'x', corner, size)
  with tf.Session() as session:
    whole = session.run(tf.io.decode_image(encoded, channels=3))
  (top, left), (height, width) = corner, size
  np.testing.assert_array_equal(window, whole[top : top + height, left : left + width])
  assert label == 7


def test_gray_stays_gray():
  window, _ = decode_window(encode('L', format='JPEG'), 'jpg', (3, 4), (20, 30), channels=1)
  assert window.shape == (20, 30, 1)


@pytest.mark.parametrize(
  ('fast_size', 'ratio'), [(61, 1), (60, 1), (30, 2), (15, 4), (7, 8), (1, 8)]
)
def test_fast_windows_are_decoded_as_small_as_they_will_do(fast_size, ratio):
  encoded = encode(format='JPEG')
  window, _ = decode_window(encoded, 'jpg', (8, 17), (80, 60), fast_size)
  assert window.shape == (80 // ratio, 60 // ratio, 3)
  with tf.Session() as session:
    whole = session.run(
      tf.image.decode_jpeg(
        encoded, 3, ratio=ratio, dct_method='INTEGER_FAST', fancy_upscaling=False
      )
    )
  expected = whole[8 // ratio :, 17 // ratio :][: 80 // ratio, : 60 // ratio]
  np.testing.assert_array_equal(window, expected)
