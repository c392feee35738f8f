"""Residual nets, version 2: batch norm and ReLU before each convolution, nothing after the sum.

K. He, X. Zhang, S. Ren and J. Sun, "Identity Mappings in Deep Residual Networks", 2016,
https://arxiv.org/abs/1603.05027, figure 1(b) and the appendix; the numbers of units are those of
version 1 and, for 200 layers, of the paper's section 5. Against the paper, the last unit of a
block strides in place of the first unit of the next, the 7x7 convolution is neither normalized
nor activated before the pooling, and of convolutions those without batch norm behind them have
biases.
"""

from collections.abc import Sequence

from nets import resnet_utils
from slimcompat import slim, tf

resnet_arg_scope = resnet_utils.resnet_arg_scope


@slim.add_arg_scope
def bottleneck(
  inputs: tf.Tensor,
  depth: int,
  depth_bottleneck: int,
  stride: int,
  rate: int = 1,
  outputs_collections: str | None = None,
  scope: str | None = None,
) -> tf.Tensor:
  """Returns the output of a residual unit with a bottleneck that starts with its activation.

  Args:
    inputs: `[batch, height, width, channels]`.
    depth: the number of channels of the output.
    depth_bottleneck: the number of channels in between.
    stride: of the 3x3 convolution and the shortcut.
    rate: the dilation of the 3x3 convolution.
    outputs_collections: the collection that gets the output.
    scope: the variable scope.
  """
  with tf.variable_scope(scope, 'bottleneck_v2', [inputs]) as sc:
    preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
    linear = {'activation_fn': None, 'normalizer_fn': None}
    if depth == slim.utils.last_dimension(inputs.shape, min_rank=4):
      shortcut = resnet_utils.subsample(inputs, stride, 'shortcut')
    else:
      shortcut = slim.conv2d(preact, depth, [1, 1], stride=stride, **linear, scope='shortcut')
    residual = slim.conv2d(preact, depth_bottleneck, [1, 1], scope='conv1')
    residual = resnet_utils.conv2d_same(residual, depth_bottleneck, 3, stride, rate, scope='conv2')
    residual = slim.conv2d(residual, depth, [1, 1], **linear, scope='conv3')
    return slim.utils.collect_named_outputs(outputs_collections, sc.name, shortcut + residual)


def resnet_v2_block(scope: str, base_depth: int, num_units: int, stride: int) -> resnet_utils.Block:
  """Returns a block of units of version 2; see `resnet_utils.bottleneck_block`."""
  return resnet_utils.bottleneck_block(scope, bottleneck, base_depth, num_units, stride)


def resnet_v2(
  inputs: tf.Tensor,
  blocks: Sequence[resnet_utils.Block],
  num_classes: int | None = None,
  is_training: bool | tf.Tensor | None = True,
  global_pool: bool = True,
  output_stride: int | None = None,
  include_root_block: bool = True,
  spatial_squeeze: bool = True,
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
    'resnet_v2',
    preactivated=True,
    num_classes=num_classes,
    is_training=is_training,
    global_pool=global_pool,
    output_stride=output_stride,
    include_root_block=include_root_block,
    spatial_squeeze=spatial_squeeze,
    reuse=reuse,
    scope=scope,
  )


resnet_v2.default_image_size = 224


def _of_layers(num_layers):
  """Returns the net of `num_layers`."""
  name = f'resnet_v2_{num_layers}'

  def network(
    inputs: tf.Tensor,
    num_classes: int | None = None,
    is_training: bool | tf.Tensor | None = True,
    global_pool: bool = True,
    output_stride: int | None = None,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str = name,
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the net's logits `[batch, num_classes]` and its end points; see `resnet_v2`."""
    return resnet_v2(
      inputs,
      resnet_utils.make_blocks(num_layers, resnet_v2_block),
      num_classes,
      is_training,
      global_pool=global_pool,
      output_stride=output_stride,
      spatial_squeeze=spatial_squeeze,
      reuse=reuse,
      scope=scope,
    )

  network.__name__ = network.__qualname__ = name
  network.default_image_size = resnet_v2.default_image_size
  return network


resnet_v2_50 = _of_layers(50)
resnet_v2_101 = _of_layers(101)
resnet_v2_152 = _of_layers(152)
resnet_v2_200 = _of_layers(200)
