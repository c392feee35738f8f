"""TensorBoard summaries, under the tags that slim gave them."""

from slimcompat import escapes, slim, tf
from slimtrain import visible_range

_NUM_IMAGES = 16  # Of a batch, at most.


def training_scalars(clone, losses, score):
  """Returns what a batch of training is summarized by, as {tag: scalar tensor}.

  Args:
    clone: the first deployment.Clone.
    losses: the deployment.Losses of all.
    score: models.batch_score of the first clone.
  """
  values = {f'losses/{loss.op.name}': loss for loss in tf.losses.get_losses(clone.scope or None)}
  values['Losses/clone_loss'] = losses.clones[0]
  if losses.regularization is not None:
    values['Losses/regularization_loss'] = losses.regularization
  values['total_loss'] = losses.total
  name, value = score
  values[name] = value
  return values


def add_activations(end_points):
  """Adds a histogram of each end point, and its share of zeros, to the graph's summaries."""
  for name, end_point in end_points.items():
    tf.summary.histogram(f'activations/{name}', end_point)
    tf.summary.scalar(f'sparsity/{name}', tf.math.zero_fraction(end_point))


def add_images(images, data_settings, model_name):
  """Adds the first images of a batch to the graph's summaries, in colours for a screen.

  Args:
    images: `[batch, height, width, channels]`, preprocessed.
    data_settings: the DataSettings that say how.
    model_name: the net, for those that don't.
  """
  size, num_channels = images.shape.as_list()[2:]
  black_and_white = visible_range.of_preprocessing(data_settings, model_name, size, num_channels)
  pixels = visible_range.to_pixels(images, *black_and_white)
  tf.summary.image('images', pixels, max_outputs=_NUM_IMAGES)


def add_weights():
  """Adds a histogram of each of the model's variables to the graph's summaries."""
  for variable in slim.get_model_variables():
    tf.summary.histogram(variable.op.name, variable)


def scalars(values):
  """Returns a tf.Summary of {tag: number}."""
  return tf.Summary(
    value=[
      tf.Summary.Value(tag=escapes.for_console(tag, keeps_lines=False), simple_value=value)
      for tag, value in values.items()
    ]
  )
