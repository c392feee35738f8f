"""Repairs of tf_slim 1.1.0: names that TensorFlow moved after it was written, put back where it
looks for them, and what no longer works, replaced."""

import importlib

# (module tf_slim looks in, name, module that has it in TensorFlow 2.16 to 2.21, its name there)
MOVED_NAMES = (
  ('framework.ops', 'IndexedSlices', 'framework.indexed_slices', 'IndexedSlices'),
  ('framework.ops', 'Tensor', 'framework.tensor', 'Tensor'),
  ('ops.array_ops', 'stack', 'ops.array_ops_stack', 'stack'),
  ('ops.array_ops', 'unstack', 'ops.array_ops_stack', 'unstack'),
  ('ops.control_flow_ops', 'Assert', 'ops.control_flow_assert', 'Assert'),
  ('ops.control_flow_ops', 'case', 'ops.control_flow_case', 'case'),
  ('ops.control_flow_ops', 'cond', 'ops.cond', 'cond'),
  ('ops.control_flow_ops', 'while_loop', 'ops.while_loop', 'while_loop'),
  ('ops.variable_scope', 'variable', 'ops.variable_v1', 'VariableV1'),
  ('ops.variables', 'VariableV1', 'ops.variable_v1', 'VariableV1'),
  *(
    ('ops.variable_scope', name, 'ops.resource_variables_toggle', name)
    for name in (
      'disable_resource_variables',
      'enable_resource_variables',
      'resource_variables_enabled',
    )
  ),
)

# (module, name, our module that has a working one under the same name)
REPLACED_NAMES = (
  # TensorFlow hands these to tf_keras.legacy_tf_layers.normalization, which is not installed.
  (
    'tensorflow.python.layers.normalization',
    'BatchNormalization',
    'slimcompat.batch_normalization',
  ),
  (
    'tensorflow.python.layers.normalization',
    'batch_normalization',
    'slimcompat.batch_normalization',
  ),
  # NumPy 1.23 no longer takes the list of slices that these index with.
  ('tf_slim.ops.variables', 'assign_from_checkpoint', 'slimcompat.checkpoint_assignment'),
  ('tf_slim', 'assign_from_checkpoint', 'slimcompat.checkpoint_assignment'),
  ('tensorflow.python.keras.utils.version_utils', 'swap_class', 'slimcompat.class_bases'),
)


def restore():
  """Adds every moved name to the module that tf_slim expects it in, and replaces broken ones."""
  for old_module, old_name, new_module, new_name in MOVED_NAMES:
    target = importlib.import_module('tensorflow.python.' + old_module)
    if not hasattr(target, old_name):
      source = importlib.import_module('tensorflow.python.' + new_module)
      setattr(target, old_name, getattr(source, new_name))
  for module, name, our_module in REPLACED_NAMES:
    ours = importlib.import_module(our_module)
    setattr(importlib.import_module(module), name, getattr(ours, name))
