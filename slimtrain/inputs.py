"""From TFRecord files to batches of preprocessed images, with tf.data."""

import contextlib
import dataclasses
import os
import re
import sys
import threading
from typing import NamedTuple

from datasets import dataset_factory, verification
from slimcompat import errors, slim, tf
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory

# Serialized examples held for shuffling, at most; ImageNet's are about 110 kB each.
SHUFFLE_BUFFER_SIZE = 2048

# Marks, in an error of TensorFlow, a sentence of our own.
_MARK = 'Bad record: '


@dataclasses.dataclass(frozen=True)
class DataSettings(settings_lib.Settings):
  """Data."""

  dataset_name: str = settings_lib.setting(
    'imagenet', 'The dataset.', choices=dataset_factory.DATASETS
  )
  dataset_split_name: str = settings_lib.setting('train', 'The split of the dataset.')
  dataset_dir: str | None = settings_lib.setting(
    None, 'The directory with its TFRecord files. digits needs none.'
  )
  labels_offset: int = settings_lib.setting(
    0,
    'Subtracted from the labels and from the number of classes: 1 for VGG and ResNet v1 weights,'
    " made without ImageNet's background class 0.",
    lower=0,
  )
  batch_size: int = settings_lib.setting(32, 'Examples in a batch, of each clone.', lower=1)
  preprocessing_name: str | None = settings_lib.setting(
    None,
    'How images are preprocessed. Unset: as --model_name says.',
    choices=lambda: preprocessing_factory.known_names(),
  )
  use_grayscale: bool = settings_lib.setting(False, 'Whether images are made gray, 1 channel.')
  num_readers: int = settings_lib.setting(4, 'Files read at the same time.', lower=1)
  num_preprocessing_threads: int = settings_lib.setting(
    4, 'Images preprocessed at the same time.', lower=1
  )
  input_timeout_secs: float = settings_lib.setting(
    120.0, 'Seconds without a first batch after which the input counts as stuck.', above=0
  )


class Data(NamedTuple):
  """A dataset whose files were checked."""

  dataset: slim.dataset.Dataset
  files: list  # Paths of the TFRecord files.
  num_examples: int
  num_classes: int  # Of the net: the dataset's less the labels' offset.


class Batch(NamedTuple):
  """What a step works on."""

  images: tf.Tensor  # [batch, height, width, channels], in the range of the preprocessing.
  labels: tf.Tensor  # int64 [batch], in [0, num_classes).


def load_data(settings):
  """Returns the Data of DataSettings `settings`, having checked its files.

  Raises:
    InputError: when files are missing, empty, cut or damaged, or labels lie outside the classes.
  """
  name = settings.dataset_name
  dataset_dir = settings.dataset_dir
  if not dataset_dir:
    dataset_dir = dataset_factory.default_dir(name)
  dataset = dataset_factory.get_dataset(name, settings.dataset_split_name, dataset_dir)
  num_classes = dataset.num_classes - settings.labels_offset
  if num_classes < 2:
    raise errors.InputError(
      f'--labels_offset={settings.labels_offset} leaves {num_classes} of the'
      f' {dataset.num_classes} classes of {name}; a classifier needs at least 2. Leave the flag'
      ' out, or use 1 where class 0 is a background that no example has.'
    )
  counts = verification.check_records(dataset, dataset.num_classes, settings.labels_offset)
  return Data(dataset, list(counts), sum(counts.values()), num_classes)


def make_training_batches(data, settings, preprocess):
  """Returns an endless tf.data.Dataset of full, shuffled Batches.

  Args:
    data: a Data.
    settings: DataSettings.
    preprocess: a function of a uint8 image `[height, width, channels]` that returns an image of
      static shape.
  """
  files = tf.data.Dataset.from_tensor_slices(data.files).shuffle(len(data.files))
  records = _read(files, len(data.files), settings)
  records = records.shuffle(min(data.num_examples, SHUFFLE_BUFFER_SIZE)).repeat()
  return _make_batches(records, data, settings, preprocess, drop_remainder=True)


def make_evaluation_batches(data, settings, preprocess):
  """Returns a tf.data.Dataset of Batches that holds every example once; the last may be smaller.

  The arguments are those of `make_training_batches`.
  """
  files = tf.data.Dataset.from_tensor_slices(data.files)
  records = _read(files, len(data.files), settings)
  return _make_batches(records, data, settings, preprocess, drop_remainder=False)


def make_preprocess(settings, model_name, image_size, is_training):
  """Returns the function of an image that `make_training_batches` wants."""
  preprocessing_fn = preprocessing_factory.get_preprocessing(
    settings.preprocessing_name or model_name, is_training, settings.use_grayscale
  )
  return lambda image: preprocessing_fn(image, image_size, image_size)


def get_iterator(batches):
  """Returns the iterator over `batches`; it starts with the session's lookup tables."""
  iterator = tf.data.make_initializable_iterator(batches)
  tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
  return iterator


def _read(files, num_files, settings):
  """Returns a dataset of (path, number in the file, serialized example)."""

  def read_file(path):
    records = tf.data.TFRecordDataset(path).enumerate()
    return records.map(lambda number, record: (path, number, record))

  return files.interleave(
    read_file,
    cycle_length=min(settings.num_readers, num_files),
    num_parallel_calls=min(settings.num_readers, num_files),
  )


def _make_batches(records, data, settings, preprocess, drop_remainder):
  def make_example(path, number, record):
    image, label = data.dataset.decoder.decode(record, ['image', 'label'])
    label = tf.reshape(tf.cast(label, tf.int64), []) - settings.labels_offset
    in_range = tf.logical_and(label >= 0, label < data.num_classes)
    complaint = tf.strings.format(
      f'{_MARK}Record {{}} (counted from 0) of {{}} has the label {{}}, but labels run from'
      f' {settings.labels_offset} to {data.dataset.num_classes - 1}.',
      (number, path, label + settings.labels_offset),
    )
    with tf.control_dependencies([tf.debugging.Assert(in_range, [complaint])]):
      return preprocess(image), tf.identity(label)

  batches = records.map(make_example, num_parallel_calls=settings.num_preprocessing_threads)
  batches = batches.batch(settings.batch_size, drop_remainder=drop_remainder)
  return batches.prefetch(tf.data.experimental.AUTOTUNE)


@contextlib.contextmanager
def explained_errors(data, settings):
  """Turns the errors that a bad record causes into an InputError that names it.

  Args:
    data: the Data that the block reads.
    settings: its DataSettings.
  """
  try:
    yield
  except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
    marked = re.search(f'{_MARK}(.*?[.])\\]', error.message, re.DOTALL)
    sentence = marked and marked.group(1)
    if sentence is None:
      sentence = verification.find_bad_record(
        data.dataset, data.dataset.num_classes, settings.labels_offset
      )
    if sentence is None:
      raise
    raise errors.InputError(f'{sentence} Mend the file, or convert the data again.') from error


class FirstBatchWatch:
  """Ends a run whose input does not deliver a first batch in time.

  A step that is blocked in the input cannot look at the clock, so a thread does: it closes the
  session, which cancels the step. What ignores even that, such as Python code in the input, is
  left behind by ending the process; before the first step nothing can be lost.
  """

  GRACE_SECS = 5

  def __init__(self, batch, timeout_secs):
    """Adds to the graph a count of the batches delivered. `self.batch` replaces `batch`."""
    self._timeout_secs = timeout_secs
    self._is_over = threading.Event()
    self._is_late = False
    with tf.device('/cpu:0'), tf.control_dependencies(batch):
      self._num_batches = tf.Variable(
        0, trainable=False, collections=[tf.GraphKeys.LOCAL_VARIABLES], name='num_batches_read'
      )
      with tf.control_dependencies([tf.assign_add(self._num_batches, 1)]):
        self.batch = Batch(*(tf.identity(part) for part in batch))

  @contextlib.contextmanager
  def first_step(self, session):
    """Watches over the block, in which `session` runs its first step. Raises InputError."""
    threading.Thread(target=self._watch, args=(session,), daemon=True).start()
    try:
      yield
    except (tf.errors.OpError, RuntimeError) as error:
      if self._is_late:
        raise errors.InputError(self._complaint()) from error
      raise
    finally:
      self._is_over.set()

  def _complaint(self):
    return (
      f'The input gave no batch within {self._timeout_secs:g} seconds. If reading or preprocessing'
      ' is slow rather than stuck, raise --input_timeout_secs.'
    )

  def _watch(self, session):
    if self._is_over.wait(self._timeout_secs):
      return
    with contextlib.suppress(tf.errors.OpError, RuntimeError):
      if session.run(self._num_batches) > 0:
        return
    self._is_late = True
    session.close()
    if not self._is_over.wait(self.GRACE_SECS):
      sys.stderr.write(f'{os.path.basename(sys.argv[0])}: error: {self._complaint()}\n')
      sys.stderr.flush()
      os._exit(1)
