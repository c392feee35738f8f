"""Random numbers of a net, such as dropout's, that follow from a seed and the step alone."""

from collections.abc import Iterable

from slimcompat import tf

# The ops whose numbers follow from a state of their own, which no checkpoint holds.
_DRAWS = {
  'RandomUniform': tf.random.stateless_uniform,
  'RandomStandardNormal': tf.random.stateless_normal,
  'TruncatedNormal': tf.random.stateless_truncated_normal,
}


def follow_step(operations: Iterable[tf.Operation], step: tf.Tensor):
  """Replaces the draws among `operations` by others that a run continued at `step` repeats.

  The initial values of variables stay as they are. The graph needs a seed, and must not have been
  run before.

  Args:
    operations: of the default graph.
    step: scalar int64, another one in each step.
  """
  for op in list(operations):
    if op.type not in _DRAWS or '/Initializer/' in op.name:
      continue
    (output,) = op.outputs
    seed = [op.get_attr('seed') ^ op.get_attr('seed2'), step]
    draw = _DRAWS[op.type](op.inputs[0], tf.stack(seed), dtype=output.dtype)
    for consumer in output.consumers():
      for index, tensor in enumerate(consumer.inputs):
        if tensor is output:
          # TensorFlow has no public way to change what an op reads.
          consumer._update_input(index, draw)
