"""How records with slim's keys become images and labels."""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping

from datasets import dataset_info, labels
from slimcompat import errors, slim, tf

decoders = slim.tfexample_decoder

IMAGE_KEY = 'image/encoded'
HEIGHT_KEY = 'image/height'
WIDTH_KEY = 'image/width'
FILENAME_KEY = 'image/filename'  # Of the image file, within the folder that was converted.
# In a record that is read in place of one whose image is in a file: whether that file is read as it
# is, 1, or as what converting makes of it.
PLAIN_FILE_KEY = 'image/file/is_plain'
FORMAT_KEY = 'image/format'
SHAPE_KEY = 'image/shape'  # [height, width, channels] of pixels that are not encoded.
LABEL_KEY = 'image/class/label'  # One class, or as many as apply.
TARGETS_KEY = 'image/targets'  # Numbers, for regression.
RAW_FORMAT = 'raw'  # The image/format of pixels that are not encoded.


@dataclasses.dataclass(frozen=True)
class RecordSettings:
  """Records."""

  task_type: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'What is learnt of an image: its class, the classes that apply, or numbers. Unset: as'
      ' dataset_info.json says, single_label without one.',
      'choices': dataset_info.TASKS,
    },
  )
  num_classes: int | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'tfrecord: the number of classes, or of the numbers to learn. Unset: as labels.txt'
      ' says.',
      'lower': 1,
    },
  )
  record_file_pattern: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'The TFRecord files in --dataset_dir, such as my_%s_*.tfrecord; %s stands for the'
      " split. Unset: the dataset's own; of tfrecord, all with the split's name in theirs. Files"
      ' compressed with gzip or zlib are known by their first bytes.'
    },
  )
  record_image_key: str = dataclasses.field(
    default=IMAGE_KEY, metadata={'help': 'The key of the image in a record.'}
  )
  record_label_key: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': f'The key of the label in a record. Unset: {LABEL_KEY}, or {TARGETS_KEY} for'
      ' regression.'
    },
  )
  record_shape_key: str = dataclasses.field(
    default=SHAPE_KEY,
    metadata={
      'help': 'The key, or keys separated by commas, of height, width and channels in a record'
      f' whose image is bytes of pixels, not encoded: one with {FORMAT_KEY} {RAW_FORMAT}, or'
      f' without {FORMAT_KEY}.'
    },
  )
  record_image_shape: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'Height,width,channels of images that are bytes of pixels, not encoded, when it is'
      ' the same for all.'
    },
  )

  @property
  def raw_shape(self) -> tuple[int, int, int] | None:
    """The three numbers of `record_image_shape`. Raises InputError."""
    if self.record_image_shape is None:
      return None
    parts = self.record_image_shape.split(',')
    is_shape = len(parts) == 3 and all(part.strip().isdecimal() for part in parts)
    shape = tuple(map(int, parts)) if is_shape else ()
    if not is_shape or 0 in shape or shape[2] not in (1, 3, 4):
      raise errors.InputError(
        f'--record_image_shape={self.record_image_shape} is no shape of images; give height, width'
        ' and 1, 3 or 4 channels, such as 28,28,1.'
      )
    return shape


class EncodedImage(decoders.ItemHandler):
  """Decodes an image to uint8 `[height, width, channels]`, by the shape given.

  JPEG, PNG, BMP and GIF, the first frame of it, are told apart by their bytes; image/format is
  not looked at, for it is wrong in some records of ImageNet. Transparency is dropped. Pixels that
  are not encoded are taken as they are where that is asked for.
  """

  def __init__(
    self,
    shape: tuple[int | None, int | None, int],
    key: str = IMAGE_KEY,
    shape_keys: tuple[str, ...] = (),
    raw_shape: tuple[int, int, int] | None = None,
    image_dir: str | None = None,
    convert_file: Callable[[bytes], bytes] | None = None,
  ):
    """Makes a handler of the image at `key`.

    Args:
      shape: of the image; None is a side that varies.
      key: of the image.
      shape_keys: where the shape of an image that may not be encoded is found.
      raw_shape: of all images, none of which is encoded.
      image_dir: the folder with the image files that the records name; None for the images in the
        records.
      convert_file: with an `image_dir`, a function of the path of an image file that returns what
        converting makes of it, and raises ValueError where it makes nothing; None reads all files
        as they are.
    """
    if image_dir is not None:
      key, shape_keys, raw_shape = FILENAME_KEY, (), None
    keys = [key, *([FORMAT_KEY, *shape_keys] if shape_keys else [])]
    super().__init__(keys if image_dir is None else [*keys, PLAIN_FILE_KEY])
    self.shape = shape
    self._key = key
    self._shape_keys = shape_keys
    self._raw_shape = raw_shape
    self._image_dir = image_dir
    self._convert_file = convert_file

  @property
  def features(self) -> dict[str, object]:
    """What to parse, by key."""
    features = dict.fromkeys(self._shape_keys, tf.VarLenFeature(tf.int64))
    if self._shape_keys:
      features[FORMAT_KEY] = tf.FixedLenFeature([], tf.string, default_value='')
    features[self._key] = tf.FixedLenFeature([], tf.string)
    if self._image_dir is not None:
      features[PLAIN_FILE_KEY] = tf.FixedLenFeature([], tf.int64, default_value=0)
    return features

  def encoded(self, keys_to_tensors) -> tf.Tensor:
    """Returns the image's bytes."""
    if self._image_dir is None:
      return keys_to_tensors[self._key]
    folder = os.path.join(self._image_dir, '')
    path = tf.strings.join([folder, keys_to_tensors[self._key]])

    if self._convert_file is None:
      return tf.io.read_file(path)

    def convert():
      encoded = tf.numpy_function(self._convert_file, [path], tf.string)
      return tf.ensure_shape(encoded, [])

    # What TensorFlow reads as converting does needs no help of Python, where one thread runs.
    is_plain = tf.equal(keys_to_tensors[PLAIN_FILE_KEY], 1)
    return tf.cond(is_plain, lambda: tf.io.read_file(path), convert)

  def is_raw(self, keys_to_tensors) -> tf.Tensor | bool:
    """Returns whether these are not encoded: a scalar where it depends on the record."""
    if not self._shape_keys:
      return self._raw_shape is not None
    image_format = tf.strings.lower(keys_to_tensors[FORMAT_KEY])
    has_shape = tf.size(self._raw_shape_of(keys_to_tensors)) > 0
    is_unnamed = tf.equal(image_format, '')
    return tf.equal(image_format, RAW_FORMAT) | (is_unnamed & has_shape)

  def decode(self, keys_to_tensors) -> tf.Tensor:
    """Returns the image."""
    encoded, is_raw = self.encoded(keys_to_tensors), self.is_raw(keys_to_tensors)

    def decode_raw():
      shape = self._raw_shape or self._raw_shape_of(keys_to_tensors)
      return _decode_raw(encoded, shape, self.shape[-1])

    if isinstance(is_raw, bool):
      return decode_raw() if is_raw else _decode(encoded, self.shape[-1])
    return tf.cond(is_raw, decode_raw, lambda: _decode(encoded, self.shape[-1]))

  def tensors_to_item(self, keys_to_tensors):
    return tf.ensure_shape(self.decode(keys_to_tensors), self.shape)

  def _raw_shape_of(self, keys_to_tensors):
    return tf.concat([keys_to_tensors[key].values for key in self._shape_keys], axis=0)


@dataclasses.dataclass(frozen=True)
class Item:
  """Something a record gives, by the name under which a decoder knows it."""

  name: str
  features: Mapping[str, object]  # What to parse, by key.
  handler: Callable[[], decoders.ItemHandler]
  description: str


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


def image_item(shape: tuple[int | None, int | None, int], **kwargs) -> Item:
  """Returns the item `image`; the arguments are those of EncodedImage."""
  height, width, channels = shape
  sides = f'{height or "height"}, {width or "width"}, {channels}'
  return Item(
    'image',
    EncodedImage(shape, **kwargs).features,
    lambda: EncodedImage(shape, **kwargs),
    f'The image, uint8 [{sides}] in [0, 255].',
  )


def label_item(
  task: str = dataset_info.TASKS[0], num_classes: int | None = None, key: str | None = None
) -> Item:
  """Returns the item `label` of a task, one of dataset_info.TASKS, read from `key`.

  It has no default: a record that lacks its label is an error, not an example of class 0. Where
  several labels may apply, none may, too.
  """
  key = key or (TARGETS_KEY if task == 'regression' else LABEL_KEY)
  if task == 'single_label':
    feature, handler = tf.FixedLenFeature([], tf.int64), lambda: decoders.Tensor(key)
    description = 'The class, an int64.'
  elif task == 'multi_label':
    feature, handler = tf.VarLenFeature(tf.int64), lambda: labels.MultiHot(key, num_classes)
    description = f'1 for each class that applies, else 0: float32 [{num_classes}].'
  else:
    feature = tf.FixedLenFeature([num_classes], tf.float32)
    handler = lambda: decoders.Tensor(key)  # noqa: E731
    description = f'The numbers to learn, float32 [{num_classes}].'
  return Item('label', {key: feature}, handler, description)


class Decoder(decoders.TFExampleDecoder):
  """Decodes a serialized tf.train.Example into `items`, or a part of its image only."""

  def __init__(self, items: tuple[Item, ...]):
    features = {key: feature for item in items for key, feature in item.features.items()}
    handlers = {item.name: item.handler() for item in items}
    super().__init__(features, handlers)
    self._image = handlers['image']
    self._label = handlers['label']
    self._features = {
      key: features[key] for handler in (self._image, self._label) for key in handler.keys
    }
    self.varies_in_size = None in self._image.shape
    self.num_channels = self._image.shape[-1]
    (self.label_key,) = self._label.keys

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
      uint8 `[window height, window width, channels]`, and the label as its item gives it.
    """
    example = tf.io.parse_single_example(record, self._features)
    encoded, is_raw = self._image.encoded(example), self._image.is_raw(example)
    channels = self._image.shape[-1]

    def decode_jpeg_window():
      shape = tf.image.extract_jpeg_shape(encoded)
      corner, size, *_ = choose_window(shape)
      decode = _decode_jpeg_window if fast_size is None else _decode_jpeg_window_fast
      return decode(encoded, corner, size, shape, channels, fast_size)

    def decode_and_cut():
      image = self._image.decode(example)
      corner, size, *_ = choose_window(tf.shape(image))
      return tf.slice(image, corner, size)

    # Pixels that are not encoded may begin as a JPEG does.
    is_jpeg = tf.logical_and(tf.image.is_jpeg(encoded), tf.logical_not(is_raw))
    window = tf.cond(is_jpeg, decode_jpeg_window, decode_and_cut)
    window.set_shape([None, None, channels])
    return window, self._label.tensors_to_item({key: example[key] for key in self._label.keys})


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


def _decode_raw(pixels, shape, channels):
  """Returns uint8 [height, width, channels] of bytes that are [height, width, 1, 3 or 4]."""
  # Without the last number, an image is gray.
  shape = tf.concat([tf.cast(shape, tf.int64), [1]], axis=0)[:3]
  image = tf.reshape(tf.io.decode_raw(pixels, tf.uint8), shape)

  def from_gray():
    return image if channels == 1 else tf.image.grayscale_to_rgb(image[..., :1])

  def from_colour():
    if channels == 3:
      return image[..., :3]
    return tf.image.rgb_to_grayscale(tf.ensure_shape(image[..., :3], [None, None, 3]))

  num_channels = tf.dimension_value(image.shape[-1])
  if num_channels is not None:
    return from_gray() if num_channels == 1 else from_colour()
  return tf.cond(tf.equal(shape[2], 1), from_gray, from_colour)


def reason(error: tf.errors.OpError) -> str:
  """Returns what went wrong, out of TensorFlow's account of where it did."""
  line = error.message.split('\n\t [[')[0].splitlines()[-1].strip()
  return re.sub(r'^.*Iterator::\S+: ', '', line).rstrip('.')
