"""Measures `slim.batch_norm` in all its forms; makes batch_norm.npz under TensorFlow 1.15:

    python tests/goldens/make_batch_norm.py

tests/slimcompat/test_batch_normalization.py measures the same cases under today's TensorFlow.
"""

import json
import os

import numpy as np

CHANNELS = 3
RANK_2, RANK_4, RANK_5 = (5, CHANNELS), (2, 2, 3, CHANNELS), (2, 2, 1, 2, CHANNELS)
CHANNELS_FIRST_RANK_4, CHANNELS_FIRST_RANK_5 = (2, CHANNELS, 2, 3), (2, CHANNELS, 2, 1, 2)
# Values of `is_training` that are neither True nor False.
TENSOR, VARIABLE, CONSTANT, INTEGER = 'placeholder', 'variable', 'constant', 'integer'


def _case(shape, **arguments):
  return dict(arguments, shape=shape)


# Name -> the shape of the inputs, the arguments of batch_norm, and what `measure` reads itself:
# dtype, partitions, calls. batch_weights=True stands for a vector of weights.
CASES = {
  'fused': _case(RANK_4),
  'fused-eval': _case(RANK_4, is_training=False),
  'fused-placeholder': _case(RANK_4, is_training=TENSOR),
  'fused-variable': _case(RANK_4, is_training=VARIABLE),
  'fused-constant': _case(RANK_4, is_training=CONSTANT),
  'fused-integer': _case(RANK_4, is_training=INTEGER),
  'fused-no-center': _case(RANK_4, center=False),
  'fused-no-scale': _case(RANK_4, scale=False),
  'fused-neither': _case(RANK_4, center=False, scale=False, is_training=TENSOR),
  'fused-half': _case(RANK_4, dtype='float16'),
  'fused-half-placeholder': _case(RANK_4, dtype='float16', is_training=TENSOR),
  'fused-double': _case(RANK_4, dtype='float64', fused=False),
  'fused-frozen': _case(RANK_4, trainable=False),
  'fused-twice': _case(RANK_4, calls=2),
  'fused-partitioned': _case(RANK_4, partitions=2),
  'fused-activation': _case(RANK_4, activation_fn='relu', outputs_collections='outputs'),
  'fused-collections': _case(RANK_4, variables_collections={'gamma': ['a'], 'moving_mean': ['b']}),
  'fused-regularized': _case(RANK_4, param_regularizers=('beta', 'gamma')),
  'fused-in-place': _case(RANK_4, updates_collections=None),
  'fused-in-place-placeholder': _case(RANK_4, updates_collections=None, is_training=TENSOR),
  'fused-update-tuple': _case(RANK_4, updates_collections=('update_ops',)),
  'fused-update-elsewhere': _case(RANK_4, updates_collections='mine', is_training=TENSOR),
  'fused-zero-debias': _case(RANK_4, zero_debias_moving_mean=True),
  'fused-zero-debias-placeholder': _case(RANK_4, zero_debias_moving_mean=True, is_training=TENSOR),
  'elementwise': _case(RANK_4, fused=False),
  'elementwise-eval': _case(RANK_4, fused=False, is_training=False),
  'elementwise-placeholder': _case(RANK_4, fused=False, is_training=TENSOR),
  'elementwise-variable': _case(RANK_4, fused=False, is_training=VARIABLE),
  'elementwise-constant': _case(RANK_4, fused=False, is_training=CONSTANT),
  'elementwise-integer': _case(RANK_4, fused=False, is_training=INTEGER),
  'elementwise-no-center': _case(RANK_4, fused=False, center=False),
  'elementwise-no-scale': _case(RANK_4, fused=False, scale=False),
  'elementwise-half': _case(RANK_4, fused=False, dtype='float16'),
  'elementwise-frozen': _case(RANK_4, fused=False, trainable=False),
  'elementwise-twice': _case(RANK_4, fused=False, calls=2),
  'elementwise-partitioned': _case(RANK_4, fused=False, partitions=2),
  'elementwise-regularized': _case(RANK_4, fused=False, param_regularizers=('gamma',)),
  'elementwise-in-place': _case(RANK_4, fused=False, updates_collections=None),
  'elementwise-zero-debias': _case(RANK_4, fused=False, zero_debias_moving_mean=True),
  'elementwise-channels-first': _case(CHANNELS_FIRST_RANK_4, fused=False, data_format='NCHW'),
  'elementwise-channels-first-placeholder': _case(
    CHANNELS_FIRST_RANK_4, fused=False, data_format='NCHW', is_training=TENSOR
  ),
  'rank-2': _case(RANK_2),
  'rank-2-eval': _case(RANK_2, is_training=False),
  'rank-2-placeholder': _case(RANK_2, is_training=TENSOR),
  'rank-2-elementwise': _case(RANK_2, fused=False),
  'rank-2-in-place': _case(RANK_2, updates_collections=None),
  'rank-2-weights': _case(RANK_2, batch_weights=True),
  'rank-2-channels-first': _case(RANK_2, fused=False, data_format='NCHW'),
  'rank-5': _case(RANK_5),
  'rank-5-eval': _case(RANK_5, is_training=False),
  'rank-5-placeholder': _case(RANK_5, is_training=TENSOR),
  'rank-5-in-place': _case(RANK_5, updates_collections=None),
  'rank-5-zero-debias': _case(RANK_5, zero_debias_moving_mean=True),
  'rank-5-channels-first': _case(CHANNELS_FIRST_RANK_5, data_format='NCHW'),
  'rank-4-weights': _case(RANK_4, batch_weights=True),
  'rank-4-weights-placeholder': _case(RANK_4, batch_weights=True, is_training=TENSOR),
  'rank-4-weights-channels-first': _case(
    CHANNELS_FIRST_RANK_4, batch_weights=True, data_format='NCHW'
  ),
}


def wave(shape, phase):
  """Returns numbers in [-2, 4] that are the same on every machine."""
  count = int(np.prod(shape))
  return (1 + 3 * np.sin(phase + 1.7 * np.arange(count) ** 1.3)).reshape(shape)


def measure(tf, slim, case):
  """Builds and trains the case on two batches, evaluating on a third where it can.

  Returns what is in the graph, as a dict of names, and all numbers, as one vector.
  """
  arguments = dict(case)
  shape = arguments.pop('shape')
  dtype = arguments.pop('dtype', 'float32')
  calls = arguments.pop('calls', 1)
  partitions = arguments.pop('partitions', None)
  with tf.Graph().as_default():
    inputs = tf.placeholder(dtype, shape)
    flag = None
    if arguments.get('is_training') == TENSOR:
      flag = arguments['is_training'] = tf.placeholder(tf.bool, ())
    elif arguments.get('is_training') == VARIABLE:
      flag = arguments['is_training'] = tf.Variable(True, trainable=False, name='flag')
    elif arguments.get('is_training') == CONSTANT:
      arguments['is_training'] = tf.constant(False)
    elif arguments.get('is_training') == INTEGER:
      arguments['is_training'] = 1
    if 'batch_weights' in arguments:
      arguments['batch_weights'] = tf.constant(wave(shape[:1], 9.0) + 3, dtype)
    if 'activation_fn' in arguments:
      arguments['activation_fn'] = getattr(tf.nn, arguments['activation_fn'])
    arguments['param_regularizers'] = {
      name: slim.l2_regularizer(0.1) for name in arguments.get('param_regularizers', ())
    }
    arguments.setdefault('scale', True)
    partitioner = tf.fixed_size_partitioner(partitions) if partitions else None
    with tf.variable_scope('net', partitioner=partitioner):
      outputs = inputs
      for call in range(calls):
        outputs = slim.batch_norm(
          outputs, decay=0.7, epsilon=0.01, scope='norm', reuse=call > 0, **arguments
        )
    updates = tf.get_collection('update_ops') + tf.get_collection('mine')
    losses = tf.get_collection(tf.GraphKeys.REGULARIZATION_LOSSES)
    variables = [v for v in tf.global_variables() if v is not flag]
    facts = {
      'variables': [[v.op.name, v.dtype.base_dtype.name] for v in variables],
      'local variables': [v.op.name for v in tf.local_variables()],
      'output': [outputs.dtype.name, outputs.shape.as_list()],
    }
    for collection in ('trainable_variables', 'model_variables', 'a', 'b'):
      facts[collection] = [v.op.name for v in tf.get_collection(collection)]
    for collection in ('update_ops', 'mine', 'losses', 'regularization_losses', 'outputs'):
      facts[collection] = len(tf.get_collection(collection))

    numbers = []
    with tf.Session() as session:
      session.run(tf.global_variables_initializer())
      session.run(tf.local_variables_initializer())
      for index, variable in enumerate(variables):
        # The counters of zero_debias keep their zero.
        if variable.shape.ndims and 'biased' not in variable.op.name:
          variable.load(wave(variable.shape.as_list(), index) / 4 + 1, session)
      for step, is_training in enumerate((True, True, False)):
        feed = {inputs: wave(shape, float(step)) if step else wave(shape, 5.0)}
        if arguments.get('is_training') is flag and flag is not None:
          if case['is_training'] == TENSOR:
            feed[flag] = is_training
          else:
            flag.load(is_training, session)
        numbers.append(session.run(outputs, feed))
        # One by one: they read what they and the outputs' updates in place write.
        for update in updates:
          session.run(update, feed)
        numbers.extend(session.run(variables + losses, feed))
    return facts, np.concatenate([np.ravel(value) for value in numbers])


def main():
  import tensorflow as tf
  from tensorflow.contrib import slim

  facts, numbers = {}, []
  for name, case in CASES.items():
    facts[name], values = measure(tf, slim, case)
    facts[name]['start'] = sum(map(len, numbers))
    numbers.append(values.astype(np.float32))
  path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'batch_norm.npz')
  np.savez_compressed(
    path, facts=np.array(json.dumps(facts, sort_keys=True)), numbers=np.concatenate(numbers)
  )


if __name__ == '__main__':
  main()
