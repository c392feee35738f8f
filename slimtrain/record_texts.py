"""What records say of their examples besides image and label, as text."""

import itertools

from datasets import records, verification
from slimcompat import errors, tf

_NUM_LOOKED_AT = 1000  # Records of a file, for a key that not all of them have.
_DTYPES = {'bytes_list': tf.string, 'int64_list': tf.int64, 'float_list': tf.float32}


def find(path, slice_key=None):
  """Returns {key: dtype} of what is to be read: the image file's name and what is at `slice_key`.

  A name that records do not have is left out.

  Args:
    path: of a TFRecord file, whose first records are looked at.
    slice_key: a key of the records; None for none.

  Raises:
    InputError: when no record has it.
  """
  wanted = [key for key in (records.FILENAME_KEY, slice_key) if key]
  found, known = {}, set()
  options = tf.python_io.TFRecordOptions(verification.compression(path))
  try:
    for record in itertools.islice(tf.python_io.tf_record_iterator(path, options), _NUM_LOOKED_AT):
      features = tf.train.Example.FromString(record).features.feature
      known.update(features)
      kinds = {key: features[key].WhichOneof('kind') for key in wanted if key in features}
      found.update({key: _DTYPES[kind] for key, kind in kinds.items() if kind})
      if len(found) == len(wanted) or not slice_key:
        break
  except (tf.errors.DataLossError, ValueError):
    pass  # Damaged, or made for a decoder of the user's own.
  if slice_key and slice_key not in found:
    raise errors.InputError(
      f'--slice_key={slice_key}: no record at the beginning of {path} has a value there. They have'
      f' the keys {", ".join(sorted(known))}.'
    )
  return {key: found[key] for key in wanted if key in found}


def read(record, dtypes):
  """Returns the texts of a record, strings `[keys]`; several values are joined by commas.

  Args:
    record: scalar string, a serialized tf.train.Example.
    dtypes: as `find` returned them.
  """
  features = {key: tf.VarLenFeature(dtype) for key, dtype in dtypes.items()}
  example = tf.io.parse_single_example(record, features)
  values = [example[key].values for key in dtypes]
  texts = [value if value.dtype == tf.string else tf.as_string(value) for value in values]
  return tf.stack([tf.strings.reduce_join(text, separator=',') for text in texts])
