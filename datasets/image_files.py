"""One image file becomes what a record holds of it, or the reason why it cannot."""

import contextlib
import dataclasses
import functools
import io
import os
from collections.abc import Callable, Mapping

from PIL import Image

from datasets import (
  dataset_utils,
  image_decoding,
  image_sources,
  png_streams,
  records,
  shards,
  user_files,
)
from slimcompat import tf

FORMATS = ('jpeg', 'png', 'raw')
_JPEG_QUALITY = 95
_LARGE_BYTES = 2**24  # Or pixels.


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
  image_bits: int | None = dataclasses.field(
    default=None,
    metadata={
      'help': 'Bits that hold every value of the images of 16 bits per value, such as 12 for those'
      ' of many cameras and scanners; the upper 8 of them are kept. Unset: 16.',
      'lower': 9,
      'upper': 16,
    },
  )
  keep_gray: bool = dataclasses.field(
    default=False,
    metadata={
      'help': 'Whether images are read with 1 channel when all are gray; otherwise always with 3.'
    },
  )


class ImageEncoder:
  """Makes of an image file what a record holds."""

  def __init__(self, settings: ImageSettings):
    self._settings = settings

  def prepare(self, name, data, label=0, more=None) -> shards.EncodedExample | shards.Reject:
    """Returns the example of an image file's bytes, or the reason why there is none.

    Threads may share it.

    Args:
      name: what to call the image.
      data: the bytes.
      label: as the dataset's task has it.
      more: what the record holds besides, by key.

    JPEG and PNG files that TensorFlow reads upright, as 1 or 3 channels of 8 bits, stay as they
    are byte by byte and are not decoded, unless the settings want them otherwise. All others are
    stored as such: the first frame of an animation, without transparency, 16 bits cut to their
    upper 8 or those of `image_bits`, CMYK as RGB, turned as their Exif orientation says.
    """
    return self._prepare(name, io.BytesIO(data), label, more or {})[0]

  def prepare_file(self, path) -> shards.EncodedExample | shards.Reject:
    """Returns what `prepare` makes of the file at `path`."""
    with user_files.open_regular(path) as file:
      return self._prepare(path, file, 0, {})[0]

  def stays(self, file) -> tuple[bool, tuple[int, int]]:
    """Returns whether an open image file is stored as it is, and its (width, height) upright.

    Raises ValueError when it cannot be opened.
    """
    with image_decoding.open_image(file, self._settings.max_image_pixels) as image:
      self._check_length(file, image)
      return bool(self._format_to_keep(image, file)), image_decoding.upright_size(image, file)

  def _check_length(self, file, image):
    """Raises ValueError for a file that is longer than its image may be."""
    num_pixels = max(image.width * image.height, image_decoding.MAX_PIXELS)
    num_bytes, limit = _length(file), image_decoding.max_bytes(num_pixels)
    if num_bytes > limit:
      raise ValueError(f'it has {num_bytes:,} bytes, more than {limit:,}')

  def _prepare(self, name, file, label, more, reserve=None, check=None):
    """Returns what `prepare` does of an open file, and whether TensorFlow must be asked.

    When given, `reserve(num_bytes)` is called before memory for so many is taken, and
    `check(image_format)` before a large image that stays is read; it returns a reason, or None.
    """
    try:
      with image_decoding.open_image(file, self._settings.max_image_pixels) as image:
        self._check_length(file, image)
        width, height = image.size
        image_format = self._format_to_keep(image, file)
        if reserve:
          reserve(_memory(image, image_format, _length(file)))
        if not image_format:
          return self._reencode(image, file, label, more), False
        channels = 1 if image.mode in image_decoding.GRAY_MODES else 3
        if image_format == 'jpeg':
          image_decoding.check_scans(file)
        is_checked = check and max(width * height, _length(file)) > _LARGE_BYTES
        reason = check(image_format) if is_checked else None
        if reason:
          return shards.Reject(name, reason), False
        file.seek(0)
        data = file.read()
    except ValueError as error:
      return shards.Reject(name, str(error)), False
    example = shards.EncodedExample(data, image_format, height, width, channels, label, more)
    return example, not is_checked

  def _format_to_keep(self, image, file):
    """Returns 'jpeg' or 'png' when the file can stay as it is, None if it cannot."""
    wanted = self._settings.image_format
    is_upright = image_decoding.is_upright(image, file)
    if not is_upright or self._reduced_size(image.size) != image.size:
      return None
    is_jpeg = image.format in image_decoding.JPEG_FORMATS
    if is_jpeg and image.mode in ('L', 'RGB') and wanted in (None, 'jpeg'):
      return 'jpeg'
    # The header's bit depth and color type, which Pillow's mode hides: 8 bits, gray or RGB.
    is_plain = image.format == 'PNG' and image_decoding.png_kind(file) in ((8, 0), (8, 2))
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

  def _reencode(self, image, file, label, more):
    """Returns the EncodedExample of a Pillow image, as gray or RGB of 8 bits."""
    is_photo = image.format in image_decoding.JPEG_FORMATS and image.mode in ('L', 'RGB')
    image, value_bits = image_decoding.decode(image, file, self._settings.image_bits)
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
      encoded = io.BytesIO()
      quality = {'quality': _JPEG_QUALITY} if image_format == 'jpeg' else {}
      image.save(encoded, image_format.upper(), **quality)
      data = encoded.getvalue()
    channels = 1 if image.mode == 'L' else 3
    return shards.EncodedExample(
      data, image_format, image.height, image.width, channels, label, more, value_bits
    )


def make_encoder(image_bits: int | None) -> ImageEncoder:
  """Returns an ImageEncoder that takes what any settings took, to read image files again."""
  return ImageEncoder(ImageSettings(max_image_pixels=2**40, image_bits=image_bits))


def make_converter(image_bits: int | None) -> Callable[[bytes], bytes]:
  """Returns a function of the path of an image file that returns what converting stores of it.

  It raises ValueError, which names the file, where nothing is stored.

  Args:
    image_bits: as ImageSettings have it.
  """
  encoder = make_encoder(image_bits)

  def convert(path):
    path = os.fsdecode(path)
    try:
      prepared = encoder.prepare_file(path)
    except OSError as error:
      raise ValueError(f'{path} cannot be read: {error.strerror or error}') from error
    if isinstance(prepared, shards.Reject):
      raise ValueError(f'{path} cannot be read: {prepared.reason}')
    return prepared.data

  return convert


class ImageLoader(ImageEncoder, contextlib.AbstractContextManager):
  """Loads image files, decoding each with TensorFlow to make sure that training can."""

  def __init__(self, settings: ImageSettings):
    super().__init__(settings)
    with tf.Graph().as_default() as graph, tf.device('/cpu:0'):
      source = tf.placeholder(tf.string, [])
      decoded = {}
      for suffix, encoded in (('', source), ('_of_file', tf.io.read_file(source))):
        decoded[f'image{suffix}'] = tf.io.decode_image(encoded, expand_animations=False)
        # All of a JPEG is read, but its pixels take 1/64 of the memory.
        decoded[f'jpeg{suffix}'] = tf.image.decode_jpeg(encoded, ratio=8)
      shapes = {name: tf.shape(image) for name, image in decoded.items()}
    self._session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0}))
    self._decode = {
      name: self._session.make_callable(shape, [source]) for name, shape in shapes.items()
    }
    # The header's size is compared with the user's own limit.
    self._pillow_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None

  def __exit__(self, *unused):
    Image.MAX_IMAGE_PIXELS = self._pillow_limit
    self._session.close()

  def load(
    self,
    file: image_sources.LabelledFile,
    class_name: str | None = None,
    reserve: Callable[[int], None] | None = None,
  ) -> shards.EncodedExample | shards.Reject:
    """Returns the example of a file, or the reason why there is none, as `encode` does.

    When given, `reserve(num_bytes)` is called before memory for so many is taken.
    """
    more = {'image/filename': dataset_utils.bytes_feature(os.fsencode(file.name))}
    if class_name is not None:
      more['image/class/text'] = dataset_utils.bytes_feature(class_name)
    try:
      with user_files.open_regular(file.path) as opened:
        check = functools.partial(self._undecodable_file, file.path, opened)
        prepared = self._prepare(file.name, opened, file.label, more, reserve, check)
      return self._check(file.name, *prepared)
    except OSError as error:
      return shards.Reject(file.name, error.strerror or str(error))

  def encode(self, name, data, label, more) -> shards.EncodedExample | shards.Reject:
    """Returns what `prepare` does, but rejects all that TensorFlow cannot decode."""
    return self._check(name, *self._prepare(name, io.BytesIO(data), label, more))

  def _check(self, name, prepared, is_new):
    reason = self.undecodable(prepared.data) if is_new else None
    return shards.Reject(name, reason) if reason else prepared

  def undecodable(self, data) -> str | None:
    """Returns the reason why TensorFlow cannot decode an image, None if it can."""
    return self._failure('jpeg' if data.startswith(b'\xff\xd8\xff') else 'image', data)

  def _undecodable_file(self, path, file, image_format):
    """Returns the reason why a large file cannot be decoded, None if it can; needs less memory."""
    # TensorFlow keeps the memory that pixels took.
    if image_format == 'png' and png_streams.can_check(file):
      return png_streams.damage(file)
    return self._failure('jpeg_of_file' if image_format == 'jpeg' else 'image_of_file', path)

  def _failure(self, name, source):
    """Returns what TensorFlow says against an image, None if nothing."""
    try:
      self._decode[name](source)
    except tf.errors.OpError as error:
      return records.reason(error)
    return None


def _length(file):
  """Returns the number of bytes in an open file, whose position stays."""
  place = file.tell()
  num_bytes = file.seek(0, os.SEEK_END)
  file.seek(place)
  return num_bytes


def _memory(image, image_format, num_bytes):
  """Returns about how many bytes it takes to store a Pillow image.

  Args:
    image: the image, not decoded.
    image_format: as which the file stays as it is, None if it does not.
    num_bytes: of the file.
  """
  num_pixels = image.width * image.height
  if image_format == 'jpeg':
    # With several scans, 2 bytes for each number are kept until the last one.
    return 2 * num_bytes + (6 * num_pixels if image.info.get('progressive') else 0)
  if image_format == 'png':
    return 2 * num_bytes + 3 * num_pixels
  return (4 if image.mode in ('L', '1', 'I;16', 'I;16B') else 8) * num_pixels


def describe_bits(
  value_bits: Mapping[str, int],
  image_bits: int | None = None,
  advice: str = 'convert them with --image_bits={}',
) -> str:
  """Returns a warning about images of 16 bits that are darker than they need be, '' for none.

  Args:
    value_bits: how many there are, by the bits that the largest value of each takes.
    image_bits: how many bits their values were taken to have; None is 16.
    advice: what to do; {} stands for the number of bits.
  """
  image_bits = image_bits or 16
  counts = {int(bits): count for bits, count in value_bits.items()}
  total = sum(counts.values())
  # A dark photograph among others is what it is; if most are dark, their values have fewer bits.
  dark = {bits: count for bits, count in counts.items() if bits <= image_bits - 2}
  is_by_all = max(counts, default=image_bits) < image_bits
  if not is_by_all and sum(dark.values()) <= total / 2:
    return ''
  chosen = counts if is_by_all else dark
  num_images, fitting = sum(chosen.values()), max(9, *chosen)
  if fitting >= image_bits:
    return ''
  share = 2 ** (max(chosen) - image_bits)
  sentence = (
    f'WARNING: {num_images:,} of {total:,} images from files with 16 bits per value have no value'
    f' above {2 ** max(chosen) - 1:,}, so they reach {share:.0%} of full brightness at most.'
    f' If these are {fitting} bits, {advice.format(fitting)}'
  )
  if is_by_all:
    return f'{sentence}.'
  return f'{sentence}, apart from the other {total - num_images:,}, which that rejects.'


def default_num_workers() -> int:
  """Returns how many files to load at the same time."""
  return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
