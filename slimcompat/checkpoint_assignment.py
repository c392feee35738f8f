"""`slim.assign_from_checkpoint`, which broke on partitioned variables.

tf_slim 1.1.0 indexes an array with a list of slices; NumPy 1.23 and later take only a tuple.
"""

import collections

import tensorflow.compat.v1 as tf
from tf_slim.ops import variables

from slimcompat import checkpoint_directory, errors


def assign_from_checkpoint(model_path, var_list, ignore_missing_vars=False):
  """Prepares the assignment of a checkpoint's values to variables.

  Args:
    model_path: The checkpoint's path, such as `dir/model.ckpt-100`.
    var_list: A list of variables, or a dict from names in the checkpoint to a variable or a list
      of variables; among them may be the slices of a partitioned one.
    ignore_missing_vars: Whether variables that the checkpoint lacks are left out with a warning.

  Returns:
    The op that assigns, and the feed dict to run it with.

  Raises:
    InputError: when a variable is missing from the checkpoint or has another shape there.
  """
  variables_by_name = collections.defaultdict(list)
  if isinstance(var_list, dict):
    for name, value in var_list.items():
      variables_by_name[name].extend(value if isinstance(value, (list, tuple)) else [value])
  else:
    for variable in var_list:
      variables_by_name[variables.get_variable_full_name(variable)].append(variable)

  reader = checkpoint_directory.Reader(model_path)
  assignments, feed_dict = [], {}
  for name, targets in variables_by_name.items():
    if not reader.has_tensor(name):
      message = f'The checkpoint {model_path} has no variable {name!r}'
      if not ignore_missing_vars:
        raise errors.InputError(f'{message}; pass ignore_missing_vars=True to leave it out.')
      tf.logging.warning('%s.', message)
      continue
    stored = reader.value(name)
    for variable in targets:
      part = variable._get_save_slice_info()
      shape = tuple(part.full_shape if part else variable.shape.as_list())
      if shape != stored.shape:
        raise errors.InputError(
          f'{name!r} has the shape {stored.shape} in the checkpoint {model_path} and {shape} in'
          ' the graph; leave it out of var_list.'
        )
      value = stored
      if part:
        corners = zip(part.var_offset, part.var_shape, strict=True)
        value = stored[tuple(slice(start, start + size) for start, size in corners)]
      placeholder = tf.placeholder(
        variable.dtype.base_dtype, variable.shape, f'placeholder/{variable.op.name}'
      )
      feed_dict[placeholder] = value
      assignments.append(variable.assign(placeholder))
  return tf.group(*assignments), feed_dict
