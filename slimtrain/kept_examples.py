"""Examples that Python keeps, so that batches are made of them without reading records again."""

import os

import tqdm

from datasets import image_files, records, user_files
from slimcompat import errors, tf

_NUM_BEFORE_ESTIMATE = 100  # Examples after which the memory needed is reckoned.


class KeptExamples:
  """What was made of the records of some files, by file and in their order."""

  def __init__(self, num_files):
    self._files = [[] for _ in range(num_files)]
    self._types = self._shapes = None

  def fill(self, examples, num_examples, doing, source_at, dog, keep=lambda example: example):
    """Runs through `examples` and keeps them.

    Args:
      examples: a tf.data.Dataset of tuples.
      num_examples: how many these are.
      doing: what the bar on a terminal says.
      source_at: where in an example its [index of the file, number of the record in it] stands.
      dog: the watchdog.Watchdog over this.
      keep: a function of an example that returns what is kept, of the same types.

    Raises:
      InputError: when the memory of the machine will not do.
    """
    self._types = tf.data.get_output_types(examples)
    self._shapes = tf.data.get_output_shapes(examples)
    num_bytes = 0
    iterator = tf.data.make_initializable_iterator(examples)
    taken = iterator.get_next()
    with tf.Session(config=tf.ConfigProto(device_count={'GPU': 0})) as session:
      session.run([iterator.initializer, tf.tables_initializer()])
      take = session.make_callable(taken)
      with dog.watch(session):
        for number in tqdm.trange(num_examples, desc=doing, unit='image', disable=None):
          try:
            example = keep(take())
          except tf.errors.OutOfRangeError:
            break  # Others were damaged meanwhile, and left out.
          self._files[example[source_at][0]].append(example)
          num_bytes += sum(len(x) if isinstance(x, bytes) else x.nbytes for x in example)
          if number == min(_NUM_BEFORE_ESTIMATE, num_examples) - 1:
            _check_memory(num_bytes / (number + 1) * num_examples)

  def list_file(self, index):
    """Returns a dataset of the places of the examples of the file `index`, int64 `[2]`."""
    counts = tf.constant([len(kept) for kept in self._files], tf.int64)
    return tf.data.Dataset.range(counts[index]).map(lambda place: tf.stack([index, place]))

  def fetch(self, place):
    """Returns the example at a place."""
    parts = tf.numpy_function(
      lambda place: self._files[place[0]][place[1]], [place], list(self._types)
    )
    for part, shape in zip(parts, self._shapes, strict=True):
      part.set_shape(shape)
    return tuple(parts)


def _check_memory(num_bytes):
  try:
    with open('/proc/meminfo', encoding='ascii') as file:
      sizes = dict(line.split()[:2] for line in file)
    available = int(sizes['MemAvailable:']) * 1024
  except (OSError, KeyError, ValueError):
    return  # Nobody says.
  if num_bytes > available:
    raise errors.InputError(
      f'--input_mode=memory needs about {num_bytes / 1e9:.1f} GB for the decoded images, and'
      f' {available / 1e9:.1f} GB are free. Use tfrecord, or make the images smaller.'
    )


def without_image(image_key, image_dir, files, image_bits=None):
  """Returns a function of (source, record) that returns these, the record without its image.

  The record says instead whether its file is read as it is.

  Args:
    image_key: of the image in the record.
    image_dir: the folder of the image files.
    files: the paths of the records' files.
    image_bits: as the images were converted with.

  The function raises InputError when the image file is missing, none that converting takes, or not
  of the record's size.
  """
  encoder = image_files.make_encoder(image_bits)

  def strip(example):
    source, record = example
    parsed = tf.train.Example.FromString(record)
    features = parsed.features.feature
    where = f'which the record {source[1]} (counted from 0) of {files[source[0]]} names'
    names = features[records.FILENAME_KEY].bytes_list.value
    if not names:
      raise errors.InputError(
        f'The record {source[1]} (counted from 0) of {files[source[0]]} names no image file by'
        f' {records.FILENAME_KEY}. Use the records, without --input_mode=files.'
      )
    stated = [features[key].int64_list.value for key in (records.WIDTH_KEY, records.HEIGHT_KEY)]
    path = os.path.join(image_dir, os.fsdecode(names[0]))
    try:
      with user_files.open_regular(path) as file:
        is_plain, size = encoder.stays(file)
    except (OSError, ValueError) as error:
      reason = getattr(error, 'strerror', None) or error
      raise errors.InputError(
        f'{path}, {where}, cannot be read: {reason}. Correct --image_dir, or use the records.'
      ) from error
    if all(stated) and size != tuple(values[0] for values in stated):
      raise errors.InputError(
        f'{path}, {where}, has {size[0]}x{size[1]} pixels, not those of the record: it was changed'
        ' when it was converted, or afterwards. Use the records.'
      )
    features.pop(image_key, None)
    features[records.PLAIN_FILE_KEY].int64_list.value[:] = [int(is_plain)]
    return source, parsed.SerializeToString()

  return strip
