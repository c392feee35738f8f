"""What the label of an example is, by the task of its dataset, and when it is a good one.

| task | label | a bad one |
|---|---|---|
| single_label | int64, scalar | outside the classes |
| multi_label | float32 `[classes]`, 1 where a class applies and else 0 | others, see MultiHot |
| regression | float32 `[targets]` | not finite |
"""

from slimcompat import slim, tf


class MultiHot(slim.tfexample_decoder.ItemHandler):
  """Makes 1 and 0 for each class of the labels at a key.

  A label outside the classes is not lost: all values of the example are then that label.
  """

  def __init__(self, key: str, num_classes: int):
    super().__init__([key])
    self._key = key
    self._num_classes = num_classes

  def tensors_to_item(self, keys_to_tensors):
    labels = keys_to_tensors[self._key].values
    is_outside = tf.logical_or(labels < 0, labels >= self._num_classes)
    outside = tf.cast(tf.boolean_mask(labels, is_outside), tf.float32)
    hot = tf.minimum(tf.reduce_sum(tf.one_hot(labels, self._num_classes), axis=0), 1)
    filled = tf.fill([self._num_classes], tf.concat([outside, [0.0]], axis=0)[0])
    return tf.where(tf.reduce_any(is_outside), filled, hot)


def as_label(task: str, label: tf.Tensor, num_classes: int) -> tf.Tensor:
  """Returns what a decoder gave as `label`, a user's own too, in the task's type and shape."""
  if task == 'single_label':
    return tf.reshape(tf.cast(label, tf.int64), [])
  return tf.reshape(tf.cast(label, tf.float32), [num_classes])


def summarize(task: str, label: tf.Tensor) -> tf.Tensor:
  """Returns an int64 that is in the `allowed` ones if and only if the label is good."""
  if task == 'single_label':
    return tf.reshape(tf.cast(label, tf.int64), [])
  if task == 'multi_label':
    # Neither 1 nor 0: a label outside the classes.
    others = tf.boolean_mask(label, tf.not_equal(label, 0) & tf.not_equal(label, 1))
    return tf.cast(tf.concat([others, [0.0]], axis=0)[0], tf.int64)
  bad = tf.where_v2(tf.logical_not(tf.is_finite(label)))[:, 0]
  return tf.concat([bad, [-1]], axis=0)[0]


def allowed(task: str, num_classes: int, labels_offset: int = 0) -> range:
  """Returns what `summarize` may give."""
  return range(-1, 0) if task == 'regression' else range(labels_offset, num_classes)


def complaint(task: str, allowed: range) -> str:
  """Returns what a record with a bad label does; {} stands for its summary."""
  if task == 'regression':
    return 'has a target that is no finite number, at place {} counted from 0.'
  return f'has the label {{}}, but labels run from {allowed.start} to {allowed.stop - 1}.'
