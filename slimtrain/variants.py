"""Which net of the table the variables of a checkpoint belong to."""

from nets import nets_factory
from slimcompat import tf

_NUM_VIDEO_FRAMES = 64  # What the nets for videos were designed for.


class _MismatchError(Exception):
  """A variable of the net that the checkpoint has not."""


def find(shapes):
  """Returns the name of the net whose variables have these names and shapes, and its channels.

  Only nets with a scope that is in the checkpoint are built, each up to the first variable that
  differs, so that this takes as long as building one net. Classifiers may be for any number of
  classes, or missing.

  Args:
    shapes: {variable name: shape as a list}, of a checkpoint.

  Returns:
    (name, number of channels of the images), or None when no net fits.
  """
  scopes = {name.split('/')[0] for name in shapes}
  fitting = []
  for network in nets_factory.NETWORKS.values():
    if scopes.isdisjoint(scope.split('/')[0] for scope in network.classifier_scopes):
      continue
    for num_channels in (3, 1):
      num_variables = _count_variables(network, num_channels, shapes)
      if num_variables:
        fitting.append((num_variables, network.name, num_channels))
  # One net's variables may be a part of another's.
  return max(fitting)[1:] if fitting else None


def _count_variables(network, num_channels, shapes):
  """Returns how many of the variables in `shapes` the net has, 0 if one of its own differs."""
  found = set()

  def get_variable(getter, name, *args, **kwargs):
    variable = getter(name, *args, **kwargs)
    shape = variable.shape.as_list()
    saved = shapes.get(name)
    if saved == shape:
      found.add(name)
    elif not name.startswith(network.classifier_scopes) or (saved and saved[:-1] != shape[:-1]):
      raise _MismatchError
    return variable

  frames = [_NUM_VIDEO_FRAMES] if network.is_video else []
  size = network.image_size
  with tf.Graph().as_default():
    images = tf.placeholder(tf.float32, [1, *frames, size, size, num_channels])
    with tf.variable_scope(tf.get_variable_scope(), custom_getter=get_variable):
      try:
        nets_factory.get_network_fn(network.name, num_classes=2)(images)
      except _MismatchError:
        return 0
  return len(found)
