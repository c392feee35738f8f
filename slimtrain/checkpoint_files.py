"""Reading the tensors of checkpoints one by one, and writing checkpoints of given values."""

import os

from slimcompat import checkpoint_directory, errors, tf
from slimtrain import checkpoints, files


class CheckpointFile:
  """A checkpoint of the format V1 or V2, and what is in it."""

  def __init__(self, path):
    """Opens the checkpoint at `path`, or the newest in a directory. Raises InputError."""
    self.path = checkpoints.find(path)
    self.step = checkpoints.saved_step(self.path)
    self._reader = checkpoints.open_reader(self.path)
    self.shapes = dict(sorted(self._reader.shapes().items()))  # By name.
    self.dtypes = self._reader.dtypes()  # tf.DTypes by name.

  def value(self, name):
    """Returns a tensor as a NumPy array. Raises InputError when it cannot be read."""
    with checkpoints.explained_damage(self.path):
      return self._reader.value(name)

  def model_variables(self):
    """Returns the names of the variables that nets have, and not training alone.

    An optimizer's slots and the moving averages have the name of their variable before their
    own; what it counts has no scope, or is a scalar.
    """
    return [
      name
      for name, shape in self.shapes.items()
      if shape and '/' in name and not _owners(name) & self.shapes.keys()
    ]


def _owners(name):
  parts = name.split('/')
  return {'/'.join(parts[:length]) for length in range(1, len(parts))}


def output_prefix(output, step):
  """Returns the path of the checkpoint to write to `output`, a path or a directory.

  Raises:
    InputError: when it cannot be written to, or holds checkpoints already.
  """
  if os.path.isdir(output) or output.endswith('/'):
    output = os.path.join(output, f'model.ckpt-{step}')
  directory = os.path.dirname(os.path.abspath(output))
  files.check_writable('output', directory)
  if checkpoint_directory.list_all(directory) or checkpoint_directory.exists(output):
    raise errors.InputError(
      f'--output={output}: {directory} holds checkpoints already, and a run there would go on from'
      ' the new one. Give a path in another directory.'
    )
  return output


def write(prefix, values, dtypes):
  """Writes a checkpoint of the format V2, which its directory then lists as the newest.

  Args:
    prefix: as `output_prefix` returned it.
    values: {name: NumPy array}.
    dtypes: {name: tf.DType}, of these names and perhaps more.

  Raises:
    InputError: when it cannot be written.
  """
  names = list(values)
  with tf.Graph().as_default(), tf.Session() as session:
    tensors = [tf.placeholder(dtypes[name], values[name].shape) for name in names]
    save = tf.raw_ops.SaveV2(
      prefix=prefix, tensor_names=names, shape_and_slices=[''] * len(names), tensors=tensors
    )
    try:
      session.run(save, dict(zip(tensors, values.values(), strict=True)))
      checkpoint_directory.write_state(os.path.dirname(os.path.abspath(prefix)), [prefix])
    except (tf.errors.OpError, OSError) as error:
      folder, name = os.path.split(os.path.abspath(prefix))
      for left in os.listdir(folder):
        if left.startswith(f'{name}.data-') and '.tempstate' in left:
          os.remove(os.path.join(folder, left))
      raise errors.InputError(
        f'--output={prefix} cannot be written: {files.reason(error)}. Make room, or give another'
        ' path.'
      ) from error
