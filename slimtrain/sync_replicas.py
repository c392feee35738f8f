"""Synchronous training: the gradients of several workers make one step."""

from slimcompat import tf


class SyncReplicas(tf.train.SyncReplicasOptimizer):
  """TensorFlow's, for an update of any kind, started so that no gradient counts twice.

  TensorFlow gives each worker a token to go on before the first step is made, so that a fast one
  may take part in it twice, and what others compute for it is thrown away. Here a worker goes on
  when the step that it took part in is made. Method: Chen et al., "Revisiting Distributed
  Synchronous SGD", https://arxiv.org/abs/1604.00981.
  """

  def __init__(self, settings, update):
    """Makes it.

    Args:
      settings: resolved ClusterSettings.
      update: a function of (gradient, variable) pairs, averaged over the workers, that returns the
        op of the whole step; it counts the step, too. The chief runs it.
    """
    super().__init__(
      _Update(update),
      replicas_to_aggregate=settings.replicas_to_aggregate,
      total_num_replicas=settings.worker_replicas,
    )
    self._num_workers = settings.worker_replicas
    self._runner = None
    self.wake_op = None  # Lets all workers go on, whatever step they wait for.

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    """Returns the op that hands in a worker's gradients and waits for the step."""
    handed_in = super().apply_gradients(grads_and_vars, global_step, name)
    # A worker's step begins as the run's. Were it among the local variables, it could be set to 0
    # right after, whatever the order they are listed in; what that worker hands in is then too old
    # to count, and all wait for it.
    local_variables = tf.get_collection_ref(tf.GraphKeys.LOCAL_VARIABLES)
    local_variables[:] = [v for v in local_variables if v is not self._local_step]
    # Workers may wait for a step that a chief or a server took with it when it died.
    self.wake_op = super().get_init_tokens_op(num_tokens=self._num_workers)
    # TensorFlow's closes the queue when the chief stops, even if it only begins anew.
    self._runner = tf.train.QueueRunner(
      self._sync_token_queue,
      super().get_chief_queue_runner().enqueue_ops,
      close_op=tf.no_op(),
      cancel_op=tf.no_op(),
    )
    return handed_in

  def get_chief_queue_runner(self):
    """Returns the runner of the thread that makes the steps."""
    return self._runner

  def get_init_tokens_op(self, num_tokens=-1):
    """Returns the op that is run when the chief begins."""
    if num_tokens == -1:
      num_tokens = max(0, self._replicas_to_aggregate - self._num_workers)
    return super().get_init_tokens_op(num_tokens)


def after(check, gradients):
  """Returns the (gradient, variable) pairs, there once the op `check` has run.

  The op alone is not enough: what makes the steps would wait for it, too, and run it again.
  """

  def hold(gradient):
    if gradient is None:
      return None
    if isinstance(gradient, tf.IndexedSlices):
      return tf.IndexedSlices(tf.identity(gradient.values), gradient.indices, gradient.dense_shape)
    return tf.identity(gradient)

  with tf.control_dependencies([check]):
    return [(hold(gradient), variable) for gradient, variable in gradients]


class _Update(tf.train.Optimizer):
  """A step as a tf.train.Optimizer."""

  def __init__(self, update):
    super().__init__(use_locking=False, name='update')
    self._update = update

  def apply_gradients(self, grads_and_vars, global_step=None, name=None):
    del global_step, name  # The update counts.
    return self._update(list(grads_and_vars))
