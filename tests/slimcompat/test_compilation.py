"""Arithmetic compiled with XLA."""

import numpy as np

from slimcompat import compilation, tf


@compilation.compiled
def scale_or_not(x, factor, is_scaled):
  return x * factor + 1 if is_scaled else x


def test_in_a_graph_and_in_a_dataset():
  x = np.arange(6, dtype='float32').reshape(2, 3)
  direct = scale_or_not(tf.constant(x), tf.constant(2.0), True)
  unscaled = scale_or_not(tf.constant(x), tf.constant(2.0), False)
  dataset = tf.data.Dataset.from_tensors(x).map(lambda x: scale_or_not(x, tf.constant(3.0), True))
  mapped = tf.data.make_one_shot_iterator(dataset).get_next()
  assert mapped.shape == (2, 3)
  with tf.Session() as session:
    values = session.run([direct, unscaled, mapped])
  for value, expected in zip(values, (2 * x + 1, x, 3 * x + 1), strict=True):
    np.testing.assert_array_equal(value, expected)
