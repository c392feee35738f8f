"""`slim.batch_norm` against TensorFlow 1.15 and against its formula in NumPy."""

import json

import numpy as np
import pytest

from slimcompat import errors, slim, tf
from tests.goldens import make_batch_norm


@pytest.fixture(scope='module')
def tensorflow_1():
  """What make_batch_norm measured: facts by case, and the numbers of all cases."""
  path = make_batch_norm.__file__.replace('make_batch_norm.py', 'batch_norm.npz')
  with np.load(path) as stored:
    return json.loads(str(stored['facts'])), stored['numbers']


def test_every_case_has_a_golden(tensorflow_1):
  facts, numbers = tensorflow_1
  assert set(facts) == set(make_batch_norm.CASES)
  assert np.isfinite(numbers).all()


@pytest.mark.parametrize('name', make_batch_norm.CASES)
def test_as_tensorflow_1(tensorflow_1, name):
  all_facts, all_numbers = tensorflow_1
  expected = dict(all_facts[name])
  start = expected.pop('start')
  facts, numbers = make_batch_norm.measure(tf, slim, make_batch_norm.CASES[name])
  assert facts == expected
  np.testing.assert_allclose(numbers, all_numbers[start : start + len(numbers)], atol=1e-5)


_EPSILON, _DECAY = 0.01, 0.7
# Shape, channel axis, arguments, and whether the moving variance has Bessel's correction.
_FORMS = {
  'rank-2': ((7, 3), 1, {}, True),
  'rank-2-elementwise': ((7, 3), 1, {'fused': False}, False),
  'rank-4': ((2, 3, 4, 3), 3, {}, True),
  'rank-4-elementwise': ((2, 3, 4, 3), 3, {'fused': False}, False),
  'rank-4-channels-first': ((2, 3, 4, 5), 1, {'data_format': 'NCHW'}, True),
  'rank-5': ((2, 3, 2, 2, 3), 4, {}, False),
  'rank-5-channels-first': ((2, 3, 2, 2, 4), 1, {'data_format': 'NCHW'}, False),
}


@pytest.mark.parametrize('is_training', [True, False], ids=['training', 'eval'])
@pytest.mark.parametrize('form', _FORMS)
def test_formula(form, is_training):
  shape, axis, arguments, is_corrected = _FORMS[form]
  values = make_batch_norm.wave(shape, 0.5)
  gamma, beta, moving_mean, moving_variance = start = 1 + make_batch_norm.wave((4, 3), 2.0) ** 2
  outputs = slim.batch_norm(
    tf.constant(values, tf.float32),
    decay=_DECAY,
    epsilon=_EPSILON,
    scale=True,
    is_training=is_training,
    param_initializers={
      name: tf.constant_initializer(value)
      for name, value in zip(
        ('gamma', 'beta', 'moving_mean', 'moving_variance'), start, strict=True
      )
    },
    **arguments,
  )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    got = session.run(outputs)
    session.run(tf.get_collection(tf.GraphKeys.UPDATE_OPS))
    got_moving = [
      session.run(slim.get_variables_by_name(f'moving_{of}')[0]) for of in ('mean', 'variance')
    ]

  mean, variance = moving_mean, moving_variance
  if is_training:
    by_channel = np.moveaxis(values, axis, 0).reshape(3, -1)
    mean, variance = by_channel.mean(1), by_channel.var(1)
    count = by_channel.shape[1]
    counted = variance * count / (count - 1) if is_corrected else variance
    moving_mean = _DECAY * moving_mean + (1 - _DECAY) * mean
    moving_variance = _DECAY * moving_variance + (1 - _DECAY) * counted
  centered = np.moveaxis(values, axis, -1) - mean
  expected = np.moveaxis(gamma * centered / np.sqrt(variance + _EPSILON) + beta, -1, axis)
  np.testing.assert_allclose(got, expected, atol=1e-4)
  np.testing.assert_allclose(got_moving, [moving_mean, moving_variance], rtol=1e-5)


def test_batch_weights_count_as_repeats():
  values = make_batch_norm.wave((3, 2), 0.5)
  repeats = [1, 3, 2]
  inputs = tf.constant(values, tf.float32)
  weighted = slim.batch_norm(inputs, batch_weights=tf.constant(repeats, tf.float32))
  repeated = slim.batch_norm(tf.constant(np.repeat(values, repeats, axis=0), tf.float32))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    got, expected = session.run([weighted, repeated])
  np.testing.assert_allclose(np.repeat(got, repeats, axis=0), expected, atol=1e-5)


@pytest.mark.parametrize('fused', [True, False], ids=['fused', 'elementwise'])
@pytest.mark.parametrize(
  'flag', [True, 1, np.bool_(True), 'placeholder:bool', 'placeholder:int32'], ids=str
)
def test_is_training(fused, flag):
  """Trains and evaluates alike, whatever stands for true."""
  feed = {}
  if isinstance(flag, str):
    flag = tf.placeholder(flag.split(':')[1], ())
    feed = {flag: 1}
  values = tf.constant(make_batch_norm.wave((2, 3, 4, 3), 0.5), tf.float32)
  outputs = slim.batch_norm(values, is_training=flag, fused=fused)
  expected = slim.batch_norm(values, fused=fused)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    got, wanted = session.run([outputs, expected], feed)
  np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize('fused', [True, False], ids=['fused', 'elementwise'])
def test_gradients_flow_through_the_batch_statistics(fused):
  inputs = tf.constant(make_batch_norm.wave((2, 3, 4, 3), 0.5), tf.float32)
  outputs = slim.batch_norm(inputs, fused=fused)
  weights = tf.constant(make_batch_norm.wave((2, 3, 4, 3), 1.5), tf.float32)
  (gradient,) = tf.gradients(tf.reduce_sum(outputs * weights), inputs)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    got = session.run(gradient)
  # A shift or a stretch of a channel leaves its normalized values as they are.
  np.testing.assert_allclose(got.sum((0, 1, 2)), 0, atol=1e-4)
  assert np.abs(got).max() > 0.1


@pytest.mark.parametrize('name', ['renorm', 'adjustment'])
def test_what_cannot_be_kept(name):
  value = True if name == 'renorm' else lambda shape: (1.0, 0.0)
  with pytest.raises(
    errors.InputError, match=f'batch_norm got {name}, which .* leave the argument'
  ):
    slim.batch_norm(tf.ones([2, 3, 3, 4]), **{name: value})
  assert not tf.global_variables()


@pytest.mark.parametrize(
  ('shape', 'message'),
  [
    (None, 'undefined rank'),
    ([2, 3, 3, None], r'shape \(2, 3, 3, \?\), whose channels \(axis 3\) are undefined'),
    ([2, 3, None], r'shape \(2, 3, \?\), whose channels \(axis 2\) are undefined'),
  ],
  ids=str,
)
def test_shapes_it_needs(shape, message):
  with pytest.raises(errors.InputError, match=message):
    slim.batch_norm(tf.placeholder(tf.float32, shape))
