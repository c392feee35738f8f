"""What a trained model says of images: one graph for all of them, in batches made ahead."""

import collections
import contextlib
import dataclasses
import functools
import threading
import types
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tqdm

from datasets import image_files, shards, unlabelled_images
from slimcompat import errors, tf
from slimtrain import console, deployment, exported_models, inputs, models, trained_models
from slimtrain import examples as examples_lib
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class InferenceSettings(settings_lib.Settings):
  """Images: how they are read."""

  batch_size: int = settings_lib.setting(32, 'Images in a batch.', lower=1)
  num_preprocessing_threads: int = settings_lib.setting(
    4, 'Images preprocessed at the same time, where there are not more cores.', lower=1
  )
  conversion: image_files.ImageSettings = settings_lib.group(image_files.ImageSettings)
  session: deployment.SessionSettings = settings_lib.group(deployment.SessionSettings)


class Prediction(NamedTuple):
  """What a model says of an image, or why it says nothing."""

  image: unlabelled_images.UnlabelledImage
  logits: np.ndarray | None  # [classes]; for regression, the numbers.
  values: np.ndarray | None  # What they mean, as models.predictions has it.
  reason: str = ''  # Why the image could not be read.
  outputs: Mapping[str, np.ndarray] = types.MappingProxyType({})  # What else was asked for.


def predict(images, trained, settings, add_outputs=None, shows_progress=False):
  """Yields the Prediction of each image, in their order.

  A file is seen as training saw it: what converting makes of it is decoded and preprocessed as
  evaluation does. What cannot be read or decoded has a reason.

  Args:
    images: a list of UnlabelledImages.
    trained: the trained_models.TrainedModel, or an exported_models.ExportedModel.
    settings: InferenceSettings, those of the images as they were converted.
    add_outputs: a function of the models.Model and its batch of preprocessed images, which returns
      more tensors `[batch, ...]` by name; of checkpoints only.
    shows_progress: whether a terminal shows a bar.

  Raises:
    InputError: when the checkpoint does not fit.
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(tf.Graph().as_default())
    conversion = _conversion(settings.conversion, trained.facts)
    loader = _Loader(images, stack.enter_context(image_files.ImageLoader(conversion)))
    batches = make_batches(len(images), loader.load, trained.facts, settings)
    with tf.device('/cpu:0'):
      iterator = tf.data.make_initializable_iterator(batches)
      numbers, pixels = iterator.get_next()
    config = deployment.session_config(settings.session)
    if isinstance(trained, exported_models.ExportedModel):
      session = stack.enter_context(tf.Session(config=config))
      run = functools.partial(_run_exported, session, trained, numbers, pixels)
    else:
      model = trained_models.build(trained, pixels)
      values = models.predictions(trained.facts.task, model.logits)
      outputs = add_outputs(model, pixels) if add_outputs else {}
      restore = trained_models.make_restore_fn(trained)
      session = stack.enter_context(tf.Session(config=config))
      restore(session)
      run = functools.partial(session.run, [numbers, model.logits, values, outputs])
    session.run(iterator.initializer)
    bar = stack.enter_context(
      tqdm.tqdm(
        total=len(images),
        desc='classifying',
        unit='image',
        disable=None if shows_progress else True,
      )
    )
    next_number = 0
    while next_number < len(images):
      try:
        batch = run()
      except tf.errors.OutOfRangeError:
        batch = [], [], [], {}
      found = {number: row for row, number in enumerate(batch[0])}
      end = int(batch[0][-1]) + 1 if found else len(images)
      # Those that are not in it could not be read.
      for number in range(next_number, end):
        row = found.get(number)
        if row is None:
          yield Prediction(images[number], None, None, loader.reason(number))
        else:
          _, logits, means, more = batch
          more = {name: output[row] for name, output in more.items()}
          yield Prediction(images[number], logits[row], means[row], outputs=more)
      bar.update(end - next_number)
      next_number = end
    loader.warn(conversion.image_bits)


def _conversion(conversion, facts):
  """Returns the ImageSettings, completed by how the images of training were converted."""
  if facts.image_bits is None:
    return conversion
  if conversion.image_bits not in (None, facts.image_bits):
    raise errors.InputError(
      f'--image_bits={conversion.image_bits} contradicts the model, whose training images were'
      f' converted with --image_bits={facts.image_bits}. Leave the flag out.'
    )
  return dataclasses.replace(conversion, image_bits=facts.image_bits)


def _run_exported(session, exported, numbers, pixels):
  """Returns the numbers of a batch, its logits, what they mean, and no other outputs."""
  numbers, pixels = session.run([numbers, pixels])
  return numbers, *exported.run(pixels), {}


def make_batches(num_images, load, facts, settings):
  """Returns a tf.data.Dataset of (numbers, preprocessed images), without what cannot be decoded.

  Args:
    num_images: an int.
    load: a function of the number of an image that returns its bytes.
    facts: the ModelFacts.
    settings: InferenceSettings.
  """
  preprocess = facts.preprocessing_fn()

  @tf.autograph.experimental.do_not_convert
  def decode(number):
    encoded = tf.numpy_function(load, [number], tf.string)
    encoded.set_shape([])
    return number, facts.decode(encoded)

  @tf.autograph.experimental.do_not_convert
  def prepare(number, image):
    return number, preprocess(image, facts.image_size, facts.image_size)

  num_threads = examples_lib.num_threads(settings)
  images = tf.data.Dataset.range(num_images).map(decode, num_parallel_calls=num_threads)
  images = images.apply(tf.data.experimental.ignore_errors())
  images = images.map(prepare, num_parallel_calls=num_threads)
  return inputs.made_ahead(images.batch(settings.batch_size), settings, is_ordered=True)


class _Loader:
  """Reads images in several threads, and remembers why it could not."""

  def __init__(self, images, loader):
    self._images = images
    self._loader = loader
    self._reasons = {}
    self._value_bits = collections.Counter()
    self._lock = threading.Lock()

  def load(self, number):
    """Returns the bytes to decode of the image `number`, none where there are none."""
    image = self._images[number]
    reason = None
    try:
      data = image.read()
    except OSError as error:
      reason = error.strerror or str(error)
    except ValueError as error:
      reason = str(error)
    else:
      if image.is_record:
        return data
      prepared = self._loader.prepare(image.name, data)
      if not isinstance(prepared, shards.Reject):
        if prepared.value_bits is not None:
          with self._lock:
            self._value_bits[str(prepared.value_bits)] += 1
        return prepared.data
      reason = prepared.reason
    self._reasons[int(number)] = reason
    return b''

  def warn(self, image_bits):
    """Says when images of 16 bits were darker than they need be."""
    advice = 'and those of training were converted with --image_bits={0}, give --image_bits={0}'
    warning = image_files.describe_bits(self._value_bits, image_bits, advice)
    if warning:
      console.say(warning)

  def reason(self, number):
    """Returns why the image `number` could not be decoded."""
    if number not in self._reasons:
      reason = self._loader.undecodable(self.load(number))
      if reason is None:
        raise RuntimeError(f'{self._images[number].name} was left out, but can be decoded.')
      return reason
    return self._reasons[number].rstrip('.')
