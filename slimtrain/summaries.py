"""TensorBoard summaries, under the tags that slim gave them."""

from slimcompat import slim, tf


def add_training_summaries(clone, losses, learning_rate, accuracy):
  """Adds the summaries of a training step to the graph.

  Args:
    clone: the first deployment.Clone, whose model is a models.Model.
    losses: the deployment.Losses of all.
    learning_rate: scalar.
    accuracy: scalar, the share of the first clone's batch that it classifies rightly.
  """
  for name, end_point in clone.model.end_points.items():
    tf.summary.histogram(f'activations/{name}', end_point)
    tf.summary.scalar(f'sparsity/{name}', tf.math.zero_fraction(end_point))
  for variable in slim.get_model_variables():
    tf.summary.histogram(variable.op.name, variable)
  for loss in tf.losses.get_losses(clone.scope or None):
    tf.summary.scalar(f'losses/{loss.op.name}', loss)
  tf.summary.scalar('Losses/clone_loss', losses.clones[0])
  if losses.regularization is not None:
    tf.summary.scalar('Losses/regularization_loss', losses.regularization)
  tf.summary.scalar('total_loss', losses.total)
  tf.summary.scalar('learning_rate', learning_rate)
  tf.summary.scalar('accuracy', accuracy)


def scalars(values):
  """Returns a tf.Summary of {tag: number}."""
  return tf.Summary(
    value=[tf.Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
  )
