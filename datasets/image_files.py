"""One image file becomes what a record holds of it, or the reason why it cannot."""

import contextlib
import dataclasses
import io
import os

import numpy as np
from PIL import Image, ImageOps

from datasets import (
  dataset_utils,
  image_decoding,
  image_sources,
  records,
  shards,
  user_files,
)
from slimcompat import tf

FORMATS = ('jpeg', 'png', 'raw')
# Pillow's modes without colour, with or without transparency.
_GRAY_MODES = ('1', 'L', 'LA', 'La')
# 32 bits, whole or floating-point.
_UNBOUNDED_MODES = ('I', 'F')
_ORIENTATION_TAG = 0x0112  # Exif 2.3, 4.6.4; 1 is upright.
_JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class ImageSettings:
  """Images."""

  image_format: str | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'How images are stored; raw is their pixels, bytes of [height, width, channels].'
      ' Unset: JPEG and PNG as they are, turned or resized JPEGs as JPEG, others as PNG.',
      'choices': FORMATS,
    },
  )
  resize_shorter_side: int | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'Pixels that the shorter side is reduced to where it is longer. Unset: images keep'
      ' their size.',
      'lower': 1,
    },
  )
  max_image_pixels: int = dataclasses.field(
    default=image_decoding.MAX_PIXELS,
    metadata={
      'help': 'Pixels of the largest image that is taken. A few bytes may claim to be billions.',
      'lower': 1,
    },
  )
  keep_gray: bool = dataclasses.field(
    default=False,
    metadata={
      'help': 'Whether images are read with 1 channel when all are gray; otherwise always with 3.'
    },
  )


class ImageLoader(contextlib.AbstractContextManager):
  """Loads image files, decoding each with TensorFlow to make sure that training can."""

  def __init__(self, settings: ImageSettings):
    self._settings = settings
    with tf.Graph().as_default() as graph, tf.device('/cpu:0'):
      encoded = tf.placeholder(tf.string, [])
      shape = tf.shape(tf.io.decode_image(encoded, expand_animations=False))
    self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0}))
    self._decoded_shape = self._session.make_callable(shape, [encoded])
    # The header's size is compared with the user's own limit.
    self._pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

  def __exit__(self, *unused):
    Image.MAX_IMAGE_PIXELS = self._pillow_limit
    self._session.close()

  def load(
    self, file: image_sources.LabelledFile, class_name: str | None = None
  ) -> shards.EncodedExample | shards.Reject:
    """Returns the example of a file, or the reason why there is none, as `encode` does."""
    more = {'image/filename': dataset_utils.bytes_feature(file.name)}
    if class_name is not None:
      more['image/class/text'] = dataset_utils.bytes_feature(class_name)
    try:
      data = user_files.read_bytes(
        file.path, image_decoding.max_bytes(self._settings.max_image_pixels)
      )
    except OSError as error:
      return shards.Reject(file.name, error.strerror)
    return self.encode(file.name, data, file.label, more)

  def encode(self, name, data, label, more) -> shards.EncodedExample | shards.Reject:
    """Returns the example of an image file's bytes, or the reason why there is none.

    Threads may share it.

    Args:
      name: what to call the image.
      data: the bytes.
      label: as the dataset's task has it.
      more: what the record holds besides, by key.

    JPEG and PNG files that TensorFlow reads upright, as 1 or 3 channels of 8 bits, stay as they
    are byte by byte, unless the settings want them otherwise. All others are stored as such: the
    first frame of an animation, without transparency, 16 bits cut to their upper 8, CMYK as RGB,
    turned as their Exif orientation says.
    """
    prepared = self.prepare(name, data, label, more)
    if isinstance(prepared, shards.Reject) or prepared.data is not data:
      return prepared
    reason = self.undecodable(data)
    return shards.Reject(name, reason) if reason else prepared

  def prepare(self, name, data, label=0, more=None) -> shards.EncodedExample | shards.Reject:
    """Returns what `encode` does, but that it takes files that stay as they are without decoding.

    The arguments are those of `encode`.
    """
    try:
      with image_decoding.open_image(data, self._settings.max_image_pixels) as image:
        width, height = image.size
        image_format = self._format_to_keep(image, data)
        if not image_format:
          return self._reencode(image, label, more or {})
        channels = 1 if image.mode in _GRAY_MODES else 3
    except ValueError as error:
      return shards.Reject(name, str(error))
    return shards.EncodedExample(data, image_format, height, width, channels, label, more or {})

  def undecodable(self, data) -> str | None:
    """Returns the reason why TensorFlow cannot decode an image, None if it can."""
    try:
      self._decoded_shape(data)
    except tf.errors.OpError as error:
      return records.reason(error)
    return None

  def _format_to_keep(self, image, data):
    """Returns 'jpeg' or 'png' when the file can stay as it is, None if it cannot."""
    wanted = self._settings.image_format
    if not _is_upright(image, data) or self._reduced_size(image.size) != image.size:
      return None
    if image.format in ('JPEG', 'MPO') and image.mode in ('L', 'RGB') and wanted in (None, 'jpeg'):
      return 'jpeg'
    # The header's bit depth and colour type, which Pillow's mode hides: 8 bits, gray or RGB.
    is_plain = image.format == 'PNG' and data[24:26] in (b'\x08\x00', b'\x08\x02')
    if is_plain and 'transparency' not in image.info and wanted in (None, 'png'):
      return 'png'
    return None

  def _reduced_size(self, size):
    """Returns the (width, height) that an image of `size` gets."""
    wanted = self._settings.resize_shorter_side
    if wanted is None or min(size) <= wanted:
      return size
    scale = wanted / min(size)
    return tuple(max(wanted, round(side * scale)) for side in size)

  def _reencode(self, image, label, more):
    """Returns the EncodedExample of a Pillow image, as gray or RGB of 8 bits."""
    is_photo = image.format in ('JPEG', 'MPO') and image.mode in ('L', 'RGB')
    image = Image.fromarray(_pixels(ImageOps.exif_transpose(image)))
    size = self._reduced_size(image.size)
    if size != image.size:
      image = image.resize(size, Image.Resampling.LANCZOS)
    image_format = self._settings.image_format
    if image_format is None:
      image_format = 'jpeg' if is_photo else 'png'
    if image_format == records.RAW_FORMAT:
      if image.mode == 'L' and not self._settings.keep_gray:
        image = image.convert('RGB')
      data = image.tobytes()
    else:
      # From bare pixels, for what else the file held, such as transparency, would be saved as well.
      encoded = io.BytesIO()
      quality = {'quality': _JPEG_QUALITY} if image_format == 'jpeg' else {}
      image.save(encoded, image_format.upper(), **quality)
      data = encoded.getvalue()
    channels = 1 if image.mode == 'L' else 3
    return shards.EncodedExample(
      data, image_format, image.height, image.width, channels, label, more
    )


def _is_upright(image, data):
  if image.format == 'PNG' and b'eXIf' not in data:
    return True  # Pillow would decode it to look further.
  return image.getexif().get(_ORIENTATION_TAG, 1) == 1


def _pixels(image):
  """Returns the uint8 pixels, `[height, width]` or `[height, width, 3]`, of a Pillow image."""
  if image.mode in _UNBOUNDED_MODES:
    raise ValueError(f'its pixels have no known range (mode {image.mode}); save it with 8 bits')
  if image.mode.startswith('I;16'):
    return (np.asarray(image) >> 8).astype(np.uint8)
  if image.mode in _GRAY_MODES:
    return np.asarray(image.convert('L'))
  # By way of RGBA a palette's colours stay as they are, even of transparent pixels.
  return np.asarray((image.convert('RGBA') if image.mode == 'P' else image).convert('RGB'))


def default_num_workers() -> int:
  """Returns how many files to load at the same time."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
