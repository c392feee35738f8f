"""Images on which exports are calibrated and compared: of a dataset, or drawn."""

from typing import NamedTuple

import numpy as np

from slimcompat import errors, tf
from slimtrain import examples as examples_lib
from slimtrain import inputs

_NUM_DRAWN = 16
_BUFFER_SIZE = 1024  # Records out of which the next is drawn.


class Images(NamedTuple):
  """Some images, in the same order everywhere."""

  images: np.ndarray  # float32 [images, (frames,) height, width, channels], preprocessed.
  files: list | None  # Of each, the bytes of a PNG; None where none can hold it.
  labels: np.ndarray | None  # As inputs.Batch has them; None where they are drawn.

  def __getitem__(self, where):
    return Images(*(values if values is None else values[where] for values in self))


def load(data, settings, facts, num_images):
  """Returns Images of a dataset: at most `num_images`, from all over its split, always the same.

  Args:
    data: the inputs.Data.
    settings: its DataSettings.
    facts: the ModelFacts, for which they are preprocessed as in evaluation.
    num_images: how many.

  Raises:
    InputError: when a record is bad.
  """
  preprocess = facts.preprocessing_fn()

  @tf.autograph.experimental.do_not_convert
  def make(source, record):
    image, label, *_ = examples_lib.decode(data, settings, source, record)
    encoded = tf.image.encode_png(image) if image.dtype == tf.uint8 else ''
    return preprocess(image, facts.image_size, facts.image_size), encoded, label

  with tf.Graph().as_default(), tf.Session() as session, inputs.explained_errors(data, settings):
    paths = examples_lib.list_files(data).shuffle(len(data.files), seed=0)
    records = examples_lib.read(paths, data, num_readers=min(len(data.files), 16))
    chosen = records.shuffle(_BUFFER_SIZE, seed=0).take(num_images).map(make)
    return _collect(session, chosen)


def draw(facts, shape):
  """Returns a few Images, or videos, without a meaning: colours that flow, and noise.

  Args:
    facts: the ModelFacts, as for `load`.
    shape: of a batch of what the net takes.
  """
  rng = np.random.RandomState(0)
  size = facts.image_size
  num_frames = int(np.prod(shape[1:-3]))
  num_channels = 1 if facts.num_channels == 1 and not facts.use_grayscale else 3
  coarse = rng.uniform(0, 255, [_NUM_DRAWN * num_frames, 4, 4, num_channels])
  preprocess = facts.preprocessing_fn()

  @tf.autograph.experimental.do_not_convert
  def make(colours):
    smooth = tf.image.resize_images(colours, [size, size])
    noisy = smooth + tf.random.stateless_normal(tf.shape(smooth), [0, 0], stddev=16.0)
    pixels = tf.cast(tf.clip_by_value(noisy, 0, 255), tf.uint8)
    return preprocess(pixels, size, size), tf.image.encode_png(pixels), 0

  with tf.Graph().as_default(), tf.Session() as session:
    drawn = _collect(session, tf.data.Dataset.from_tensor_slices(coarse).map(make))
  files = drawn.files if len(shape) == 4 else None
  return Images(drawn.images.reshape([_NUM_DRAWN, *shape[1:]]), files, None)


def _collect(session, examples):
  """Returns the Images of a dataset of (preprocessed image, PNG or '', label)."""
  element = tf.data.make_one_shot_iterator(examples).get_next()
  rows = []
  try:
    while True:
      rows.append(session.run(element))
  except tf.errors.OutOfRangeError:
    images, files, labels = zip(*rows, strict=True)
  return Images(np.stack(images), list(files) if all(files) else None, np.stack(labels))


def check(data, facts, flag):
  """Raises InputError unless the classes of a dataset are those of a checkpoint.

  Args:
    data: the inputs.Data.
    facts: the ModelFacts of the checkpoint.
    flag: what chose the dataset, for the message.
  """
  if (data.task, data.num_classes) != (facts.task, facts.num_classes):
    raise errors.InputError(
      f'{flag} is a dataset of {data.num_classes} classes ({data.task}), but the checkpoint was'
      f' made for {facts.num_classes} ({facts.task}). Give the dataset that it was trained on.'
    )
