"""Cells: small graphs of operations, found by search, that nets stack.

B. Zoph, V. Vasudevan, J. Shlens and Q. V. Le, "Learning Transferable Architectures for Scalable
Image Recognition", 2017, https://arxiv.org/abs/1707.07012, section 3 and appendix A.
"""

from collections.abc import Sequence
from typing import NamedTuple

from slimcompat import errors, slim, tf

# What bounded activations are kept within, on either side of 0.
_BOUND = 6


class Combination(NamedTuple):
  """Two states of a cell, each after an operation; their sum is a new state.

  State 0 is the output of the cell before, state 1 that of the cell before it, and the
  combinations follow in order. The operations are 'none', 'avg_pool_3x3' and 'max_pool_3x3' or
  of other sizes, and 'separable_5x5_2': here two separable convolutions, 5x5 each.
  """

  left: int
  left_operation: str
  right: int
  right_operation: str


class CellTable(NamedTuple):
  """A cell as the papers draw it."""

  combinations: Sequence[Combination]
  outputs: Sequence[int]  # The states whose concatenation is the cell's output.

  def as_lists(self) -> dict[str, list]:
    """Returns the table in the form that `NasNetABaseCell` takes."""
    num_states = 2 + len(self.combinations)
    return {
      'operations': [
        operation
        for combination in self.combinations
        for operation in (combination.left_operation, combination.right_operation)
      ],
      'hiddenstate_indices': [
        index
        for combination in self.combinations
        for index in (combination.left, combination.right)
      ],
      'used_hiddenstates': [int(index not in self.outputs) for index in range(num_states)],
    }


def calc_reduction_layers(num_cells: int, num_reduction_layers: int) -> list[int]:
  """Returns the indices of the cells that come with a halved size, evenly spread."""
  return [
    number * num_cells // (num_reduction_layers + 1)
    for number in range(1, num_reduction_layers + 1)
  ]


@slim.add_arg_scope
def get_channel_index(data_format: str = 'NHWC') -> int:
  """Returns the axis of the channels, 3 or 1."""
  return 3 if data_format == 'NHWC' else 1


@slim.add_arg_scope
def get_channel_dim(shape: tf.TensorShape, data_format: str = 'NHWC') -> int:
  """Returns the number of channels in a `shape` of rank 4."""
  return int(shape[get_channel_index(data_format=data_format)])


@slim.add_arg_scope
def global_avg_pool(x: tf.Tensor, data_format: str = 'NHWC') -> tf.Tensor:
  """Returns `[batch, channels]`, the average of `x` over all positions."""
  return tf.reduce_mean(x, [1, 2] if data_format == 'NHWC' else [2, 3])


def conv_bn(
  net: tf.Tensor,
  num_outputs: int,
  kernel_size: int | Sequence[int],
  conv_scope: str | None,
  bn_scope: str,
  **settings,
) -> tf.Tensor:
  """Returns `net` after a convolution and batch norm, each in a variable scope of its own.

  `settings` are further arguments of the convolution.
  """
  net = slim.conv2d(net, num_outputs, kernel_size, scope=conv_scope, **settings)
  return slim.batch_norm(net, scope=bn_scope)


@slim.add_arg_scope
def factorized_reduction(
  net: tf.Tensor, output_filters: int, stride: int, data_format: str = 'NHWC'
) -> tf.Tensor:
  """Changes the number of channels and, with stride 2, halves the size without losing positions.

  One half of the filters sees the pixels at even positions, the other half those at odd ones.

  Args:
    net: `[batch, height, width, channels]`, or as `data_format` says.
    output_filters: the number of channels of the output.
    stride: 1 or 2.
    data_format: 'NHWC' or 'NCHW'.
  """
  with slim.arg_scope([slim.conv2d, slim.avg_pool2d, slim.batch_norm], data_format=data_format):
    if stride == 1:
      return conv_bn(net, output_filters, 1, 'path_conv', 'path_bn')
    # One pixel up and left; the zeros give an odd size as many odd positions as even ones.
    if data_format == 'NHWC':
      shifted = tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:]
    else:
      shifted = tf.pad(net, [[0, 0], [0, 0], [0, 1], [0, 1]])[:, :, 1:, 1:]
    # Pooling 1x1 takes the pixels many times faster than a slice with a stride.
    path1, path2 = (
      slim.avg_pool2d(pixels, [1, 1], stride=stride, padding='VALID') for pixels in (net, shifted)
    )
    half = output_filters // 2
    path1 = slim.conv2d(path1, half, 1, scope='path1_conv')
    path2 = slim.conv2d(path2, output_filters - half, 1, scope='path2_conv')
    net = tf.concat([path1, path2], get_channel_index(data_format=data_format))
    return slim.batch_norm(net, scope='final_path_bn')


@slim.add_arg_scope
def drop_path(net: tf.Tensor, keep_prob: float | tf.Tensor, is_training: bool = True) -> tf.Tensor:
  """Zeroes all of `net` for an example at random, and scales up what it keeps.

  G. Larsson, M. Maire and G. Shakhnarovich, "FractalNet", https://arxiv.org/abs/1605.07648,
  section 3.

  Args:
    net: `[batch, ...]` of rank 4.
    keep_prob: how likely an example keeps the path, in (0, 1].
    is_training: whether anything is dropped.
  """
  if not is_training:
    return net
  noise = tf.random_uniform([tf.shape(net)[0], 1, 1, 1])
  factor = tf.cast(noise < keep_prob, tf.float32) / keep_prob
  return net * tf.cast(factor, net.dtype)


def _kernel_size(shape):
  """Returns the 5 of '5x5'."""
  return int(shape.split('x')[0])


class NasNetABaseCell:
  """A cell to be called once for each place it has in a net."""

  def __init__(
    self,
    num_conv_filters: int,
    operations: Sequence[str],
    used_hiddenstates: Sequence[int],
    hiddenstate_indices: Sequence[int],
    drop_path_keep_prob: float,
    total_num_cells: int,
    total_training_steps: int,
    use_bounded_activation: bool = False,
  ):
    """Keeps what all of the net's cells of this kind share.

    Args:
      num_conv_filters: the filters of each operation, before the scaling of a place.
      operations: the operations of each `Combination`, left before right, one after another.
      used_hiddenstates: for each state, 0 if it is part of the cell's output and 1 if not.
      hiddenstate_indices: the states that the operations take.
      drop_path_keep_prob: how likely a path of the last cell is kept when training ends, in
        (0, 1]; 1 drops none at any time.
      total_num_cells: how many cells the net has.
      total_training_steps: the steps until `drop_path_keep_prob` is reached.
      use_bounded_activation: whether all activations stay in [-6, 6], for quantization.
    """
    self._num_conv_filters = num_conv_filters
    self._combinations = [
      Combination(left, left_operation, right, right_operation)
      for left, left_operation, right, right_operation in zip(
        hiddenstate_indices[::2],
        operations[::2],
        hiddenstate_indices[1::2],
        operations[1::2],
        strict=True,
      )
    ]
    self._outputs = [index for index, used in enumerate(used_hiddenstates) if not used]
    self._drop_path_keep_prob = drop_path_keep_prob
    self._total_num_cells = total_num_cells
    self._total_training_steps = total_training_steps
    self._is_bounded = use_bounded_activation
    self._activation = tf.nn.relu6 if use_bounded_activation else tf.nn.relu

  def __call__(
    self,
    net: tf.Tensor,
    scope: str | None = None,
    filter_scaling: float = 1,
    stride: int = 1,
    prev_layer: tf.Tensor | None = None,
    cell_num: int = -1,
    current_step: tf.Tensor | None = None,
  ) -> tf.Tensor:
    """Returns the output of the cell at one place, `[batch, height, width, channels]`.

    Args:
      net: the output of the cell before, of known height, width and channels.
      scope: the variable scope.
      filter_scaling: the factor on the filters.
      stride: 1, or 2 to halve the size.
      prev_layer: the output of the cell before that one; None takes `net` for both.
      cell_num: the cell's place in the net, from 0.
      current_step: the step of training that the dropping of paths goes by; None means the
        global step.

    Raises:
      InputError: when an operation is unknown.
    """
    filters = int(self._num_conv_filters * filter_scaling)
    with tf.variable_scope(scope):
      keep_prob = self._keep_prob(cell_num, current_step)
      previous = net if prev_layer is None else self._match(prev_layer, net, filters)
      net = conv_bn(self._activation(net), filters, 1, '1x1', 'beginning_bn')
      states = [net, previous]
      for number, combination in enumerate(self._combinations):
        with tf.variable_scope(f'comb_iter_{number}'):
          terms = []
          for side, index, operation in (
            ('left', combination.left, combination.left_operation),
            ('right', combination.right, combination.right_operation),
          ):
            with tf.variable_scope(side):
              # The other states are halved already.
              term = self._operate(states[index], operation, filters, stride if index < 2 else 1)
              if operation != 'none' and keep_prob is not None:
                term = drop_path(term, keep_prob)
              terms.append(term)
          net = tf.add(*terms, name='combine')
          states.append(tf.nn.relu6(net) if self._is_bounded else net)
      with tf.variable_scope('cell_output'):
        return self._concatenate(states)

  def _keep_prob(self, cell_num, current_step):
    """Returns how likely the cell keeps a path now, or None when it keeps all for sure.

    The paper's ScheduledDropPath, whose rate grows with the steps of training; as
    released, with the depth of the cell, too.
    """
    if self._drop_path_keep_prob >= 1:
      return None
    drop_prob = (1 - self._drop_path_keep_prob) * (cell_num + 1) / self._total_num_cells
    if current_step is None:
      # Outside all scopes, where whoever trains looks for it.
      with tf.variable_scope(tf.VariableScope(reuse=False), auxiliary_name_scope=False):
        current_step = tf.train.get_or_create_global_step()
    progress = tf.cast(current_step, tf.float32) / self._total_training_steps
    return 1 - drop_prob * tf.minimum(1.0, progress)

  def _match(self, net, other, filters):
    """Returns `net` with the size of `other` and the number of channels `filters`."""
    if net.shape[2] != other.shape[2]:
      return factorized_reduction(self._activation(net), filters, stride=2)
    if get_channel_dim(net.shape) != filters:
      return conv_bn(self._activation(net), filters, 1, 'prev_1x1', 'prev_bn')
    return net

  def _operate(self, net, operation, filters, stride):
    """Returns `net` after one operation, with the number of channels `filters`."""
    changes_channels = get_channel_dim(net.shape) != filters
    match operation.split('_'):
      case ['separable', shape, num_layers]:
        for number in range(1, int(num_layers) + 1):
          net = slim.separable_conv2d(
            self._activation(net),
            filters,
            _kernel_size(shape),
            depth_multiplier=1,
            stride=stride if number == 1 else 1,
            scope=f'separable_{shape}_{number}',
          )
          net = slim.batch_norm(net, scope=f'bn_sep_{shape}_{number}')
      case ['avg' | 'max' as kind, 'pool', shape]:
        pool = slim.avg_pool2d if kind == 'avg' else slim.max_pool2d
        net = tf.nn.relu6(net) if self._is_bounded else net
        net = pool(net, _kernel_size(shape), stride=stride, padding='SAME')
        if changes_channels:
          net = conv_bn(net, filters, 1, '1x1', 'bn_1')
      case ['none']:
        if not (stride > 1 or changes_channels):
          return tf.nn.relu6(net) if self._is_bounded else net
        net = conv_bn(self._activation(net), filters, 1, '1x1', 'bn_1', stride=stride)
      case _:
        raise errors.InputError(
          f"The cell has the operation {operation!r}; allowed are 'none' and names like"
          " 'separable_5x5_2', 'avg_pool_3x3' and 'max_pool_3x3'."
        )
    return tf.clip_by_value(net, -_BOUND, _BOUND) if self._is_bounded else net

  def _concatenate(self, states):
    """Returns the cell's output, in which all states have the form of the last one."""
    last = states[-1]
    filters = get_channel_dim(last.shape)
    outputs = []
    for index in self._outputs:
      state = states[index]
      is_larger = state.shape[2] != last.shape[2]
      if is_larger or get_channel_dim(state.shape) != filters:
        with tf.variable_scope(f'reduction_{index}'):
          state = factorized_reduction(state, filters, 2 if is_larger else 1)
      outputs.append(state)
    return tf.concat(outputs, get_channel_index())


class TableCell(NasNetABaseCell):
  """A cell whose class has its `table`."""

  table: CellTable

  def __init__(
    self,
    num_conv_filters: int,
    drop_path_keep_prob: float,
    total_num_cells: int,
    total_training_steps: int,
    use_bounded_activation: bool = False,
  ):
    """Takes the arguments of `NasNetABaseCell` that the table leaves open."""
    super().__init__(
      num_conv_filters,
      drop_path_keep_prob=drop_path_keep_prob,
      total_num_cells=total_num_cells,
      total_training_steps=total_training_steps,
      use_bounded_activation=use_bounded_activation,
      **self.table.as_lists(),
    )


class NasNetANormalCell(TableCell):
  """NASNet-A's cell that keeps the size: figure 4 of the paper, left."""

  table = CellTable(
    combinations=[
      Combination(0, 'separable_5x5_2', 1, 'separable_3x3_2'),
      Combination(1, 'separable_5x5_2', 1, 'separable_3x3_2'),
      Combination(0, 'avg_pool_3x3', 1, 'none'),
      Combination(1, 'avg_pool_3x3', 1, 'avg_pool_3x3'),
      Combination(0, 'separable_3x3_2', 0, 'none'),
    ],
    outputs=[1, 2, 3, 4, 5, 6],
  )


class NasNetAReductionCell(TableCell):
  """NASNet-A's cell that halves the size: figure 4 of the paper, right."""

  table = CellTable(
    combinations=[
      Combination(0, 'separable_5x5_2', 1, 'separable_7x7_2'),
      Combination(0, 'max_pool_3x3', 1, 'separable_7x7_2'),
      Combination(0, 'avg_pool_3x3', 1, 'separable_5x5_2'),
      Combination(3, 'none', 2, 'avg_pool_3x3'),
      Combination(2, 'separable_3x3_2', 0, 'max_pool_3x3'),
    ],
    outputs=[3, 4, 5, 6],
  )
