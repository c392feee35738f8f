"""How records with slim's keys become images and labels."""

import dataclasses
import re
from collections.abc import Callable, Mapping

from slimcompat import slim, tf

decoders = slim.tfexample_decoder


class EncodedImage(decoders.ItemHandler):
  """Decodes `image/encoded` to uint8 `[height, width, channels]`, by the shape given.

  JPEG, PNG, BMP and GIF, the first frame of it, are told apart by their bytes; image/format is
  not looked at, for it is wrong in some records of ImageNet. Transparency is dropped.
  """

  def __init__(self, shape: tuple[int | None, int | None, int]):
    super().__init__(['image/encoded'])
    self._shape = shape

  def tensors_to_item(self, keys_to_tensors):
    image = tf.io.decode_image(
      keys_to_tensors['image/encoded'], channels=self._shape[-1], expand_animations=False
    )
    return tf.ensure_shape(image, self._shape)


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
  {'image/class/label': tf.FixedLenFeature([], tf.int64)},
  lambda: decoders.Tensor('image/class/label'),
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
    {'image/encoded': tf.FixedLenFeature([], tf.string)},
    lambda: EncodedImage(shape),
    f'The image, uint8 [{sides}] in [0, 255].',
  )


def make_decoder(items: tuple[Item, ...]) -> decoders.TFExampleDecoder:
  """Returns the decoder of a serialized tf.train.Example into `items`."""
  features = {key: feature for item in items for key, feature in item.features.items()}
  return decoders.TFExampleDecoder(features, {item.name: item.handler() for item in items})


def reason(error: tf.errors.OpError) -> str:
  """Returns what went wrong, out of TensorFlow's account of where it did."""
  line = error.message.split('\n\t [[')[0].splitlines()[-1].strip()
  return re.sub(r'^.*Iterator::\S+: ', '', line).rstrip('.')
