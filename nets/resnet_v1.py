"""Residual nets, version 1: convolution, batch norm, ReLU, and a ReLU after the addition.

K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2015,
https://arxiv.org/abs/1512.03385, section 3.4 and table 1. Against the paper, the last unit of a
block strides, in its 3x3 convolution, in place of the first unit of the next block in its 1x1.
The net of 200 layers has the units that "Identity Mappings in Deep Residual Networks",
https://arxiv.org/abs/1603.05027, gave to version 2.
"""

import contextlib
from collections.abc import Sequence

from nets import resnet_utils
from slimcompat import slim, tf

resnet_arg_scope = resnet_utils.resnet_arg_scope
NoOpScope = contextlib.nullcontext


@slim.add_arg_scope
def bottleneck(
  inputs: tf.Tensor,
  depth: int,
  depth_bottleneck: int,
  stride: int,
  rate: int = 1,
  outputs_collections: str | None = None,
  scope: str | None = None,
  use_bounded_activations: bool = False,
) -> tf.Tensor:
  """Returns the output of a residual unit with a bottleneck (figure 5 of the paper, right).

  Args:
    inputs: `[batch, height, width, channels]`.
    depth: the number of channels of the output.
    depth_bottleneck: the number of channels in between.
    stride: of the 3x3 convolution and the shortcut.
    rate: the dilation of the 3x3 convolution.
    outputs_collections: the collection that gets the output.
    scope: the variable scope.
    use_bounded_activations: whether all activations are kept within [-6, 6], for quantization.
  """
  with tf.variable_scope(scope, 'bottleneck_v1', [inputs]) as sc:
    if depth == slim.utils.last_dimension(inputs.shape, min_rank=4):
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(
        inputs,
        depth,
        [1, 1],
        stride=stride,
        activation_fn=tf.nn.relu6 if use_bounded_activations else None,
        scope='shortcut',
      )
    residual = slim.conv2d(inputs, depth_bottleneck, [1, 1], scope='conv1')
    residual = resnet_utils.conv2d_same(residual, depth_bottleneck, 3, stride, rate, scope='conv2')
    residual = slim.conv2d(residual, depth, [1, 1], activation_fn=None, scope='conv3')
    if use_bounded_activations:
      output = tf.nn.relu6(shortcut + tf.clip_by_value(residual, -6.0, 6.0))
    else:
      output = tf.nn.relu(shortcut + residual)
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def resnet_v1_block(scope: str, base_depth: int, num_units: int, stride: int) -> resnet_utils.Block:
  """Returns a block of units of version 1; see `resnet_utils.bottleneck_block`."""
  return resnet_utils.bottleneck_block(scope, bottleneck, base_depth, num_units, stride)


def resnet_v1(
  inputs: tf.Tensor,
  blocks: Sequence[resnet_utils.Block],
  num_classes: int | None = None,
  is_training: bool | tf.Tensor | None = True,
  global_pool: bool = True,
  output_stride: int | None = None,
  include_root_block: bool = True,
  spatial_squeeze: bool = True,
  store_non_strided_activations: bool = False,
  reuse: bool | None = None,
  scope: str | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` of a net of `blocks` and its end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    blocks: the units to stack.
    num_classes: the number of logits; 0 or None returns the features instead,
      `[batch, height, width, channels]`.
    is_training: whether batch norm uses and averages the batch's statistics; None leaves it to
      the arg scope.
    global_pool: whether the features are averaged over all positions.
    output_stride: the ratio of the images' size to that of the features, for dense prediction:
      later units dilate instead of striding. None means the full one, 32 with four blocks.
    include_root_block: whether the net starts with the 7x7 convolution and the pooling.
    spatial_squeeze: whether the logits lose their height and width of 1.
    store_non_strided_activations: whether the end points of the blocks are those before the
      stride of the last unit.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.

  Raises:
    InputError: when the images have another rank, the net has no such `output_stride`, or there
      is more than one position of logits to squeeze.
  """
  return resnet_utils.residual_net(
    inputs,
    blocks,
    bottleneck,
    'resnet_v1',
    preactivated=False,
    num_classes=num_classes,
    is_training=is_training,
    global_pool=global_pool,
    output_stride=output_stride,
    include_root_block=include_root_block,
    spatial_squeeze=spatial_squeeze,
    reuse=reuse,
    scope=scope,
    store_non_strided_activations=store_non_strided_activations,
  )


resnet_v1.default_image_size = 224


def _of_layers(num_layers):
  """Returns the net of `num_layers`."""
  name = f'resnet_v1_{num_layers}'

  def network(
    inputs: tf.Tensor,
    num_classes: int | None = None,
    is_training: bool | tf.Tensor | None = True,
    global_pool: bool = True,
    output_stride: int | None = None,
    spatial_squeeze: bool = True,
    store_non_strided_activations: bool = False,
    min_base_depth: int = 8,
    depth_multiplier: float = 1,
    reuse: bool | None = None,
    scope: str = name,
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the net's logits `[batch, num_classes]` and its end points; see `resnet_v1`.

    `depth_multiplier`, 0 or more, scales the depths of all blocks; base depths stay at or above
    `min_base_depth`.
    """
    blocks = resnet_utils.make_blocks(num_layers, resnet_v1_block, depth_multiplier, min_base_depth)
    return resnet_v1(
      inputs,
      blocks,
      num_classes,
      is_training,
      global_pool=global_pool,
      output_stride=output_stride,
      spatial_squeeze=spatial_squeeze,
      store_non_strided_activations=store_non_strided_activations,
      reuse=reuse,
      scope=scope,
    )

  network.__name__ = network.__qualname__ = name
  network.default_image_size = resnet_v1.default_image_size
  return network


resnet_v1_50 = _of_layers(50)
resnet_v1_101 = _of_layers(101)
resnet_v1_152 = _of_layers(152)
resnet_v1_200 = _of_layers(200)
