"""How much each example counts in the loss, from its record."""

from datasets import verification
from slimcompat import errors, tf


def check(key, path):
  """Raises InputError when the first record of the file `path` has no number at `key`.

  Args:
    key: of the weights in the records.
    path: of a TFRecord file.
  """
  options = tf.python_io.TFRecordOptions(verification.compression(path))
  try:
    record = next(iter(tf.python_io.tf_record_iterator(path, options)))
  except tf.errors.DataLossError:
    return  # Damaged; to leave such records out is a flag of its own.
  features = tf.train.Example.FromString(record).features.feature
  kind = features[key].WhichOneof('kind') if key in features else None
  if kind != 'float_list':
    raise errors.InputError(
      f'--example_weight_key={key}: the first record of {path} has'
      f' {f"a value of {kind}" if kind else "nothing"} there, not a float. It has the keys'
      f' {", ".join(sorted(features))}.'
    )


def read(key, record, describe):
  """Returns the weight of an example, a scalar, having checked it.

  Args:
    key: of the weight in the record.
    record: scalar string, a serialized tf.train.Example.
    describe: a function of a complaint that makes a scalar string of it, which names the record;
      {} in the complaint stands for the weights found.
  """
  feature = tf.FixedLenSequenceFeature([], tf.float32, allow_missing=True)
  weights = tf.io.parse_single_example(record, {key: feature})[key]
  # Infinity is not below infinity, and NaN is not above 0.
  is_good = tf.logical_and(weights >= 0, weights < float('inf'))
  is_good = tf.logical_and(tf.reduce_all(is_good), tf.equal(tf.size(weights), 1))
  complaint = describe(
    f'has the weights {{}} at {key}, but --example_weight_key needs one finite number from 0 on.',
    weights,
  )
  with tf.control_dependencies([tf.debugging.Assert(is_good, [complaint])]):
    return tf.reshape(weights, [])
