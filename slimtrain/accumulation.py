"""Gradients of several batches, averaged for one update: large batches on small devices."""

from slimcompat import tf


def average(num_batches, compute):
  """Returns the means over `num_batches` batches, one after the other in a loop of the graph.

  The gradients' sums stay in local variables, which take the memory of the gradients once more.

  Args:
    num_batches: an int.
    compute: a function that builds one batch's part, given its number, an int64 scalar. It returns
      the (gradient or None, variable) pairs; {tag: float scalar}; an op that must have run before
      anything of the batch counts; and the updates of the batch, such as those of batch norm.

  Returns:
    The (gradient or None, variable) pairs and {tag: scalar}, there when all batches are done.
  """
  sums, tags = [], []

  def add_batch(number, values):
    gradients, scalars, check, updates = compute(number)
    tags.extend(scalars)
    with tf.control_dependencies([check]):
      for gradient, variable in gradients:
        total = None if gradient is None else _make_sum(variable)
        sums.append((total, variable))
        if total is not None:
          gradient = tf.convert_to_tensor(gradient)
          # Not a product with 0: the sum of the step before may not be finite.
          sum_before = tf.where_v2(number > 0, total.read_value(), tf.zeros_like(gradient))
          updates = [*updates, total.assign(sum_before + gradient, read_value=False)]
      values = tf.concat([values, tf.stack(list(scalars.values()))], axis=0)
    with tf.control_dependencies(updates):
      return number + 1, tf.identity(values)

  # How many values a batch has is known only once it is built.
  _, values = tf.while_loop(
    lambda number, _: number < num_batches,
    add_batch,
    [tf.zeros([], tf.int64), tf.zeros([0])],
    shape_invariants=[tf.TensorShape([]), tf.TensorShape([None])],
    parallel_iterations=1,
    back_prop=False,
  )
  means = tf.reduce_mean(tf.reshape(values, [num_batches, len(tags)]), axis=0)
  with tf.control_dependencies([values]):
    gradients = [
      (None if total is None else total.read_value() / num_batches, variable)
      for total, variable in sums
    ]
  return gradients, {tag: means[index] for index, tag in enumerate(tags)}


def _make_sum(variable):
  """Returns a local variable for the sum of the gradients of `variable`."""
  with tf.device(variable.device):
    return tf.get_variable(
      f'gradient_sums/{variable.op.name}',
      variable.shape,
      variable.dtype.base_dtype,
      tf.zeros_initializer(),
      trainable=False,
      collections=[tf.GraphKeys.LOCAL_VARIABLES],
      use_resource=True,
    )
