import numpy as np
import pytest

from slimcompat import errors, slim, tf

_VALUES = {
  'net/table': np.arange(15.0, dtype='float32').reshape(5, 3),
  'net/bias': np.float32(7.0),
}


@pytest.fixture
def checkpoint(tmp_path):
  with tf.Graph().as_default(), tf.Session() as session:
    for name, value in _VALUES.items():
      tf.get_variable(name, initializer=value)
    session.run(tf.global_variables_initializer())
    return tf.train.Saver().save(session, str(tmp_path / 'model.ckpt'))


@pytest.fixture
def table():
  """A variable of 5x3 in three slices, of 2, 2 and 1 rows."""
  partitioner = tf.fixed_size_partitioner(3)
  return tf.get_variable('net/table', [5, 3], partitioner=partitioner)


def _assigned(checkpoint, var_list, **arguments):
  """Returns the values of all global variables after the assignment."""
  op, feed_dict = slim.assign_from_checkpoint(checkpoint, var_list, **arguments)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    session.run(op, feed_dict)
    return session.run(tf.global_variables())


def test_list_of_slices_and_wholes(checkpoint, table):
  bias = tf.get_variable('net/bias', [])
  *rows, scalar = _assigned(checkpoint, [*table, bias])
  assert [len(slice_rows) for slice_rows in rows] == [2, 2, 1]
  np.testing.assert_array_equal(np.concatenate(rows), _VALUES['net/table'])
  assert scalar == 7


def test_dict_names_what_the_checkpoint_holds(checkpoint, table):
  whole = tf.get_variable('other', [5, 3])
  bias = tf.get_variable('offset', [])
  *rows, other, offset = _assigned(checkpoint, {'net/table': [*table, whole], 'net/bias': bias})
  np.testing.assert_array_equal(np.concatenate(rows), other)
  np.testing.assert_array_equal(other, _VALUES['net/table'])
  assert offset == 7


def test_missing_variable(checkpoint):
  new = tf.get_variable('net/new', [], initializer=tf.constant_initializer(3.0))
  with pytest.raises(errors.InputError, match="has no variable 'net/new'; pass"):
    slim.assign_from_checkpoint(checkpoint, [new])
  assert _assigned(checkpoint, [new], ignore_missing_vars=True) == [3.0]


@pytest.mark.parametrize('shape', [[5, 4], [15], [4, 3]], ids=str)
def test_another_shape(checkpoint, shape):
  variable = tf.get_variable('net/table', shape)
  with pytest.raises(errors.InputError, match=r"'net/table' has the shape \(5, 3\)"):
    slim.assign_from_checkpoint(checkpoint, [variable])


def test_slices_of_a_larger_variable(checkpoint):
  larger = tf.get_variable('net/table', [6, 3], partitioner=tf.fixed_size_partitioner(2))
  with pytest.raises(errors.InputError, match=r'\(5, 3\) in the checkpoint .* and \(6, 3\) in'):
    slim.assign_from_checkpoint(checkpoint, list(larger))
