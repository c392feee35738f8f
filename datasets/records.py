"""How records with slim's keys become images and labels."""

import dataclasses
import re
from collections.abc import Callable, Mapping

from slimcompat import slim, tf

decoders = slim.tfexample_decoder

IMAGE_KEY = 'image/encoded'
LABEL_KEY = 'image/class/label'  # One class, or as many as apply.
TARGETS_KEY = 'image/targets'  # Numbers, for regression.


class EncodedImage(decoders.ItemHandler):
  """Decodes `image/encoded` to uint8 `[height, width, channels]`, by the shape given.

  JPEG, PNG, BMP and GIF, the first frame of it, are told apart by their bytes; image/format is
  not looked at, for it is wrong in some records of ImageNet. Transparency is dropped.
  """

  def __init__(self, shape: tuple[int | None, int | None, int]):
    super().__init__([IMAGE_KEY])
    self.shape = shape

  def tensors_to_item(self, keys_to_tensors):
    return tf.ensure_shape(_decode(keys_to_tensors[IMAGE_KEY], self.shape[-1]), self.shape)


@dataclasses.dataclass(frozen=True)
class Item:
  """Something a record gives, by the name under which a decoder knows it."""

  name: str
  features: Mapping[str, object]  # What to parse, by key.
  handler: Callable[[], decoders.ItemHandler]
  description: str


# Without a default: a record that lacks its label is an error, not an example of class 0.
LABEL = Item(
  'label',
  {LABEL_KEY: tf.FixedLenFeature([], tf.int64)},
  lambda: decoders.Tensor(LABEL_KEY),
  'The class, an int64.',
)
LABEL_TEXT = Item(
  'label_text',
  {'image/class/text': tf.FixedLenFeature([], tf.string, default_value='')},
  lambda: decoders.Tensor('image/class/text'),
  'The name of the class.',
)
_BOX_PREFIX = 'image/object/bbox/'
_BOX_SIDES = ('ymin', 'xmin', 'ymax', 'xmax')
OBJECT_BOXES = Item(
  'object/bbox',
  {_BOX_PREFIX + side: tf.VarLenFeature(tf.float32) for side in _BOX_SIDES},
  lambda: decoders.BoundingBox(_BOX_SIDES, _BOX_PREFIX),
  'The boxes of the objects, [boxes, (ymin, xmin, ymax, xmax)] in parts of the image.',
)
OBJECT_LABELS = Item(
  'object/label',
  {'image/object/class/label': tf.VarLenFeature(tf.int64)},
  lambda: decoders.Tensor('image/object/class/label'),
  'The class of each box, int64 [boxes].',
)


def image_item(shape: tuple[int | None, int | None, int]) -> Item:
  """Returns the item `image` of `[height, width, channels]`; None is a side that varies."""
  height, width, channels = shape
  sides = f'{height or "height"}, {width or "width"}, {channels}'
  return Item(
    'image',
    {IMAGE_KEY: tf.FixedLenFeature([], tf.string)},
    lambda: EncodedImage(shape),
    f'The image, uint8 [{sides}] in [0, 255].',
  )


class Decoder(decoders.TFExampleDecoder):
  """Decodes a serialized tf.train.Example into `items`, or a part of its image only."""

  def __init__(self, items: tuple[Item, ...]):
    features = {key: feature for item in items for key, feature in item.features.items()}
    handlers = {item.name: item.handler() for item in items}
    super().__init__(features, handlers)
    self._channels = handlers['image'].shape[-1]
    self.varies_in_size = None in handlers['image'].shape

  def decode_window(
    self, record: tf.Tensor, choose_window: Callable, fast_size: int | None = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns a part of the image and the label; of a JPEG, only that part is decoded.

    Args:
      record: scalar string.
      choose_window: a function of the image's shape, int32 `[3]`, that returns the window's
        corner and its size, `[3]`, and perhaps more.
      fast_size: pixels per side that the window will be resized to. When given, JPEGs are decoded
        faster and less exactly, and at 1/2, 1/4 or 1/8 of their size as long as the window keeps so
        many pixels.

    Returns:
      uint8 `[window height, window width, channels]`, and the label, int64.
    """
    features = {
      IMAGE_KEY: tf.FixedLenFeature([], tf.string),
      LABEL_KEY: tf.FixedLenFeature([], tf.int64),
    }
    example = tf.io.parse_single_example(record, features)
    encoded = example[IMAGE_KEY]

    def decode_jpeg_window():
      shape = tf.image.extract_jpeg_shape(encoded)
      corner, size, *_ = choose_window(shape)
      decode = _decode_jpeg_window if fast_size is None else _decode_jpeg_window_fast
      return decode(encoded, corner, size, shape, self._channels, fast_size)

    def decode_and_cut():
      image = _decode(encoded, self._channels)
      corner, size, *_ = choose_window(tf.shape(image))
      return tf.slice(image, corner, size)

    window = tf.cond(tf.image.is_jpeg(encoded), decode_jpeg_window, decode_and_cut)
    window.set_shape([None, None, self._channels])
    return window, example[LABEL_KEY]


def _decode_jpeg_window(encoded, corner, size, shape, channels, _):
  """Returns the pixels that are in the window of the whole image."""
  top, left = tf.unstack(corner[:2])
  height, width = tf.unstack(size[:2])
  # Colours at half the resolution are smoothed with those beside them.
  first = tf.maximum(left - 1, 0)
  end = tf.minimum(left + width + 1, shape[1])
  window = tf.stack([top, first, height, end - first])
  wider = tf.image.decode_and_crop_jpeg(encoded, window, channels=channels)
  return wider[:, left - first : left - first + width]


def _decode_jpeg_window_fast(encoded, corner, size, _, channels, fast_size):
  """Returns about those pixels, or fewer."""

  def decode(ratio):
    return tf.image.decode_and_crop_jpeg(
      encoded,
      tf.concat([corner[:2], size[:2]], axis=0) // ratio,
      channels=channels,
      ratio=ratio,
      dct_method='INTEGER_FAST',
      fancy_upscaling=False,
    )

  excess = tf.reduce_min(size[:2]) // fast_size
  ratios = (1, 2, 4, 8)
  branch = sum(tf.cast(excess >= ratio, tf.int32) for ratio in ratios[1:])
  return tf.switch_case(branch, [lambda ratio=ratio: decode(ratio) for ratio in ratios])


def _decode(encoded, channels):
  return tf.io.decode_image(encoded, channels=channels, expand_animations=False)


def reason(error: tf.errors.OpError) -> str:
  """Returns what went wrong, out of TensorFlow's account of where it did."""
  line = error.message.split('\n\t [[')[0].splitlines()[-1].strip()
  return re.sub(r'^.*Iterator::\S+: ', '', line).rstrip('.')
