"""What the residual nets of both versions are put together from.

A net is a list of `Block`s, each a stack of residual units. K. He, X. Zhang, S. Ren and J. Sun,
"Deep Residual Learning for Image Recognition", 2015, https://arxiv.org/abs/1512.03385.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from nets import arguments, convolutions, heads
from slimcompat import errors, slim, tf

# Units in the four blocks by the net's number of layers: table 1 of the paper, and for 200 section
# 5 of K. He et al., "Identity Mappings in Deep Residual Networks", https://arxiv.org/abs/1603.05027.
NUM_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
BASE_DEPTHS = (64, 128, 256, 512)
# Against the paper, where the first unit of a block strides, the last one of the block before
# does: the same shapes, but dense prediction can drop the stride of the last block alone.
STRIDES = (2, 2, 2, 1)
ROOT_STRIDE = 4


class Block(NamedTuple):
  """A stack of residual units in a variable scope of their own."""

  scope: str
  unit_fn: Callable  # unit_fn(inputs, rate=, **arguments of the unit) -> outputs
  args: Sequence[dict]  # The arguments of each unit, a 'stride' among them.


def bottleneck_block(
  scope: str, unit_fn: Callable, base_depth: int, num_units: int, stride: int
) -> Block:
  """Returns a block of `num_units` bottleneck units, the last one with the `stride`.

  Args:
    scope: the variable scope.
    unit_fn: the version's bottleneck unit.
    base_depth: the number of channels in the bottlenecks, a quarter of the output's.
    num_units: how many units.
    stride: of the block as a whole.
  """
  depths = {'depth': base_depth * 4, 'depth_bottleneck': base_depth}
  strides = [1] * (num_units - 1) + [stride]
  return Block(scope, unit_fn, [{**depths, 'stride': each} for each in strides])


def make_blocks(
  num_layers: int,
  block_fn: Callable,
  depth_multiplier: float = 1,
  min_base_depth: int = 8,
) -> list[Block]:
  """Returns the blocks of the net of `num_layers`, a key of NUM_UNITS.

  Args:
    num_layers: how deep the net is.
    block_fn: block_fn(scope, base_depth=, num_units=, stride=) -> Block.
    depth_multiplier: the factor on all depths; 0 makes every block as narrow as allowed.
    min_base_depth: the minimum base depth of a block after multiplication.

  Raises:
    InputError: when `depth_multiplier` is negative or `min_base_depth` is below 1.
  """
  if not depth_multiplier >= 0:
    raise errors.InputError(
      f'depth_multiplier is {depth_multiplier}; it must be 0 or more, such as 1.0 or 0.25.'
    )
  if not min_base_depth >= 1:
    raise errors.InputError(f'min_base_depth is {min_base_depth}; it must be 1 or more.')
  columns = zip(BASE_DEPTHS, NUM_UNITS[num_layers], STRIDES, strict=True)
  return [
    block_fn(
      f'block{index}',
      base_depth=max(int(depth * depth_multiplier), min_base_depth),
      num_units=num_units,
      stride=stride,
    )
    for index, (depth, num_units, stride) in enumerate(columns, 1)
  ]


def subsample(inputs: tf.Tensor, factor: int, scope: str | None = None) -> tf.Tensor:
  """Returns every `factor`-th row and column of `[batch, height, width, channels]`."""
  return inputs if factor == 1 else slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_same(
  inputs: tf.Tensor,
  num_outputs: int,
  kernel_size: int,
  stride: int,
  rate: int = 1,
  scope: str | None = None,
) -> tf.Tensor:
  """Convolves with padding that does not depend on the size of the input.

  The same as a convolution of stride 1 with padding 'SAME', of which every `stride`-th row and
  column is kept.

  Args:
    inputs: `[batch, height, width, channels]`.
    num_outputs: the number of filters.
    kernel_size: of both axes.
    stride: of both axes.
    rate: the distance between neighbouring taps of the kernel.
    scope: the variable scope.
  """
  padding = 'SAME'
  if stride > 1:
    inputs = convolutions.fixed_padding(inputs, [kernel_size, kernel_size], rate)
    padding = 'VALID'
  return slim.conv2d(
    inputs, num_outputs, kernel_size, stride=stride, rate=rate, padding=padding, scope=scope
  )


@slim.add_arg_scope
def stack_blocks_dense(
  net: tf.Tensor,
  blocks: Iterable[Block],
  output_stride: int | None = None,
  store_non_strided_activations: bool = False,
  outputs_collections: str | None = None,
) -> tf.Tensor:
  """Returns `[batch, height, width, channels]` after all units of all blocks.

  Args:
    net: `[batch, height, width, channels]`.
    blocks: what to stack.
    output_stride: from this ratio of sizes on, the units keep the size and dilate their kernels
      instead; one of the ratios the blocks pass through. None keeps all strides.
    store_non_strided_activations: whether the collection gets each block's output before the
      stride of its last unit.
    outputs_collections: the collection that gets the output of each block.

  Raises:
    InputError: when `output_stride` is not among the ratios.
  """
  check_output_stride(output_stride, blocks)
  strides = convolutions.StrideKeeper(output_stride)
  for block in blocks:
    with tf.variable_scope(block.scope, 'block', [net]) as sc:
      late_stride = 1
      for index, unit in enumerate(block.args, 1):
        stride = unit.get('stride', 1)
        if store_non_strided_activations and index == len(block.args):
          stride, late_stride = 1, stride
        stride, rate = strides.next(stride)
        with tf.variable_scope(f'unit_{index}', values=[net]):
          net = block.unit_fn(net, rate=rate, **{**unit, 'stride': stride})
      net = slim.utils.collect_named_outputs(outputs_collections, sc.name, net)
      late_stride, _ = strides.next(late_stride)
      net = subsample(net, late_stride)
  return net


def check_output_stride(output_stride: int | None, blocks: Iterable[Block], first: int = 1):
  """Raises InputError unless the net passes through the ratio `output_stride`, or it is None.

  `first` is the ratio before the first block.
  """
  if output_stride is not None:
    strides = [unit.get('stride', 1) for block in blocks for unit in block.args]
    reached = itertools.accumulate([first, *strides], lambda ratio, stride: ratio * stride)
    arguments.check_choice('output_stride', output_stride, sorted(set(reached)))


def root(inputs: tf.Tensor) -> tf.Tensor:
  """Returns the features before the first block: a 7x7 convolution and 3x3 pooling."""
  net = conv2d_same(inputs, 64, 7, stride=2, scope='conv1')
  return slim.max_pool2d(net, [3, 3], stride=2, scope='pool1')


def classify(
  net: tf.Tensor,
  num_classes: int | None,
  global_pool: bool,
  spatial_squeeze: bool,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits on the last features `net`, and their end points.

  Args:
    net: `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the features instead.
    global_pool: whether the features are averaged over all positions first.
    spatial_squeeze: whether the logits become `[batch, num_classes]`.

  Raises:
    InputError: when there is more than one position of logits to squeeze.
  """
  end_points = {}
  scope = tf.get_variable_scope().name
  if global_pool:
    net = end_points['global_pool'] = heads.global_average(net, 'pool5')
  if num_classes:
    net = end_points[f'{scope}/logits'] = slim.conv2d(
      net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='logits'
    )
    if spatial_squeeze:
      net = end_points[f'{scope}/spatial_squeeze'] = heads.squeeze(net, 'SpatialSqueeze')
    end_points['predictions'] = slim.softmax(net, scope='predictions')
  return net, end_points


def residual_net(
  inputs: tf.Tensor,
  blocks: Sequence[Block],
  unit_fn: Callable,
  default_name: str,
  preactivated: bool,
  num_classes: int | None,
  is_training: bool | tf.Tensor | None,
  global_pool: bool,
  output_stride: int | None,
  include_root_block: bool,
  spatial_squeeze: bool,
  reuse: bool | None,
  scope: str | None,
  store_non_strided_activations: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits or features of a net of `blocks`, and its end points by name.

  The frame of both versions, whose functions explain the arguments that are not here.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    blocks: the units to stack.
    unit_fn: what the blocks consist of; its outputs become end points.
    default_name: the variable scope where `scope` is None, made unique.
    preactivated: whether units normalize and activate their input, and so the first convolution
      does neither and the last block is followed by both.
    num_classes: the number of logits; 0 or None returns the features instead.
    is_training: whether batch norm uses and averages the batch's statistics; None leaves it to
      the arg scope.
    global_pool: whether the features are averaged over all positions.
    output_stride: the ratio of the images' size to that of the features.
    include_root_block: whether the net starts with the 7x7 convolution and the pooling.
    spatial_squeeze: whether the logits lose their height and width of 1.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    store_non_strided_activations: whether the end points of the blocks are those before the
      stride of the last unit.

  Raises:
    InputError: when the images have another rank, the net has no such `output_stride`, or there
      is more than one position of logits to squeeze.
  """
  arguments.check_images(inputs)
  with tf.variable_scope(scope, default_name, [inputs], reuse=reuse) as sc:
    collection = sc.original_name_scope + '_end_points'
    training = {} if is_training is None else {'is_training': is_training}
    plain = {'activation_fn': None, 'normalizer_fn': None} if preactivated else {}
    with (
      slim.arg_scope(
        [slim.conv2d, unit_fn, stack_blocks_dense],
        outputs_collections=collection,
      ),
      slim.arg_scope([slim.batch_norm], **training),
    ):
      net = inputs
      if include_root_block:
        with slim.arg_scope([slim.conv2d], **plain):
          net = root(net)
        if output_stride is not None:
          check_output_stride(output_stride, blocks, ROOT_STRIDE)
          output_stride //= ROOT_STRIDE
      net = stack_blocks_dense(net, blocks, output_stride, store_non_strided_activations)
      if preactivated:
        net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
      net, head_end_points = classify(net, num_classes, global_pool, spatial_squeeze)
    return net, {**slim.utils.convert_collection_to_dict(collection), **head_end_points}


def resnet_arg_scope(
  weight_decay: float = 0.0001,
  batch_norm_decay: float = 0.997,
  batch_norm_epsilon: float = 1e-5,
  batch_norm_scale: bool = True,
  activation_fn: Callable = tf.nn.relu,
  use_batch_norm: bool = True,
  batch_norm_updates_collections: str | None = tf.GraphKeys.UPDATE_OPS,
) -> dict:
  """Returns the arg scope that the residual nets are to be built under.

  Args:
    weight_decay: the weight of the L2 losses on the convolutions' weights.
    batch_norm_decay: the decay of the moving averages, in [0, 1); short runs want less, such as
      0.9.
    batch_norm_epsilon: what batch norm adds to the variance.
    batch_norm_scale: whether batch norm multiplies by a `gamma`.
    activation_fn: the activation after each convolution.
    use_batch_norm: whether convolutions are normalized; otherwise they have biases.
    batch_norm_updates_collections: what the updates of the moving averages join; None runs them
      with the layer.
  """
  with (
    slim.arg_scope(
      [slim.conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(),
      activation_fn=activation_fn,
      normalizer_fn=slim.batch_norm if use_batch_norm else None,
    ),
    slim.arg_scope(
      [slim.batch_norm],
      decay=batch_norm_decay,
      epsilon=batch_norm_epsilon,
      scale=batch_norm_scale,
      updates_collections=batch_norm_updates_collections,
    ),
    # The authors' release does not pad here; so features stay aligned for dense prediction.
    slim.arg_scope([slim.max_pool2d], padding='SAME') as scope,
  ):
    return scope
