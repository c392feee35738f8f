"""Examples in their order: from records, image files or memory, each epoch shuffled."""

import functools
import itertools
import os

from datasets import labels
from slimcompat import tf
from slimtrain import example_weights, kept_examples, record_texts, watchdog

# Marks, in an error of TensorFlow, a sentence of our own.
MARK = 'Bad record: '


def keep(data, settings, texts=None):
  """Returns the KeptExamples of the input mode; None where records are read.

  Args:
    data: the inputs.Data, as for all functions here.
    settings: the inputs.DataSettings, as for all functions here.
    texts: as for `decode`.

  Raises:
    InputError: when image files are missing or others, or memory will not do.
  """
  if settings.input_mode == 'tfrecord':
    return None
  kept = kept_examples.KeptExamples(len(data.files))
  dog = watchdog.of_input(settings.input_timeout_secs, describe(data, settings))
  with tf.Graph().as_default():
    # One file after the other.
    examples = read(list_files(data), data, num_readers=1)
    if settings.input_mode == 'files':
      strip = kept_examples.without_image(
        settings.layout.record_image_key, settings.image_dir, data.files, data.image_bits
      )
      kept.fill(examples, data.num_examples, 'Listing images', 0, dog, strip)
    else:
      decoded = examples.map(
        lambda *example: decode(data, settings, *example, texts),
        num_parallel_calls=num_threads(settings),
      )
      kept.fill(decoded, data.num_examples, 'Decoding images', 2, dog)
  return kept


def describe(data, settings) -> str:
  """Returns what the examples are, for people."""
  where = f' and image files in {settings.image_dir}' if settings.input_mode == 'files' else ''
  files = f'{len(data.files)} files' + (f' such as {data.files[0]}' if data.files else '')
  return f'{settings.dataset_name}, split {settings.dataset_split_name}, in {files}{where}'


def in_epochs(data, settings, kept, decode, seed, num_seen, share=(0, 1)):
  """Returns an endless dataset of (number of the example, its record or what `decode` makes of it).

  Of a worker's `share`, (its number, number of workers), it is and counts the own examples alone.

  Each epoch shuffles the files, and the examples in a buffer, by a seed of its own: a run that is
  continued skips whole epochs, and in the last one reads records but does not decode them.
  """
  num_files = len(data.files)
  files = list_files(data)
  cached = None
  if settings.cache != 'none':
    cached = read(files, data, settings.num_readers, share=share)
    if decode:
      cached = cached.map(decode, num_parallel_calls=num_threads(settings))
    cached = cached.cache()

  def read_epoch(epoch):
    if cached is not None:
      return cached
    return read(files.shuffle(num_files, seed + epoch), data, settings.num_readers, kept, share)

  num_examples = len(range(share[0], data.num_examples, share[1]))
  buffer_size = min(num_examples, settings.shuffle_buffer_size)
  first_epoch, num_skipped = num_seen // num_examples, num_seen % num_examples
  epochs = tf.data.Dataset.range(first_epoch, tf.int64.max)
  examples = epochs.flat_map(lambda epoch: read_epoch(epoch).shuffle(buffer_size, seed + epoch))
  return examples.skip(num_skipped).enumerate(num_seen)


def list_files(data):
  """Returns a dataset of (index in `data.files`, path)."""
  return tf.data.Dataset.from_tensor_slices(data.files).enumerate()


def read(files, data, num_readers, kept=None, share=(0, 1)):
  """Returns a dataset of ([index of the file, number of the record in it], serialized example).

  From `kept`, a KeptExamples, it is of their places instead. Of the examples of all files, one
  after the other, a `share` (worker, number of workers) has each whose number leaves the worker's
  own number when it is divided by that of workers.
  """
  worker, num_workers = share
  # In each file, the first of the share.
  starts = [0, *itertools.accumulate(data.counts)][:-1]
  offsets = [(worker - start) % num_workers for start in starts]

  def read_file(index, path):
    examples = list_file(index, path)
    if num_workers == 1:
      return examples
    return examples.shard(num_workers, tf.gather(tf.constant(offsets, tf.int64), index))

  def list_file(index, path):
    if kept is not None:
      return kept.list_file(index)
    compression = tf.gather(data.compressions, index) if data.compressions else ''
    if data.good is not None:
      examples = data.good.read(path, compression, index)
    else:
      examples = tf.data.TFRecordDataset(path, compression)
      if data.compressions:  # Zeros may follow, which TensorFlow takes for damage.
        examples = examples.take(tf.gather(tf.constant(data.counts, tf.int64), index))
      examples = examples.enumerate()
    return examples.map(lambda number, record: (tf.stack([index, number]), record))

  num_readers = min(num_readers, len(data.files))
  return files.interleave(read_file, cycle_length=num_readers, num_parallel_calls=num_readers)


def decode(data, settings, source, record, texts=None):
  """Returns the image of a record, the `rest`, and where `texts` are wanted, these.

  They are {key: dtype} as record_texts.find returns them.
  """
  image, label = data.dataset.decoder.decode(record, ['image', 'label'])
  more = [record_texts.read(record, texts)] if texts else []
  return image, *rest(data, settings, source, record, label), *more


def rest(data, settings, source, record, label):
  """Returns (label, source) of a record, or (label, source, weight) where examples have weights."""
  label = _checked(label, data, settings, source)
  if not settings.example_weight_key:
    return label, source
  describe = functools.partial(_describe, data, source)
  return label, source, example_weights.read(settings.example_weight_key, record, describe)


def _checked(label, data, settings, source):
  """Returns the `label` of a record as its task has it, less the offset, having checked it."""
  label = labels.as_label(data.task, label, data.dataset.num_classes)
  summary = labels.summarize(data.task, label)
  allowed = labels.allowed(data.task, data.dataset.num_classes, settings.labels_offset)
  is_good = tf.logical_and(summary >= allowed.start, summary < allowed.stop)
  complaint = _describe(data, source, labels.complaint(data.task, allowed), summary)
  with tf.control_dependencies([tf.debugging.Assert(is_good, [complaint])]):
    return label - settings.labels_offset if settings.labels_offset else tf.identity(label)


def _describe(data, source, complaint, value):
  """Returns the sentence on a record; {} in the `complaint` stands for the `value`."""
  return tf.strings.format(
    f'{MARK}Record {{}} (counted from 0) of {{}} {complaint}',
    (source[1], tf.gather(data.files, source[0]), value),
  )


def num_threads(settings):
  """Returns how many threads make examples."""
  has_affinity = hasattr(os, 'sched_getaffinity')
  num_cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
  return max(settings.num_preprocessing_threads, num_cores)
