"""MobileNetV3, large and small, and MobileNet for the Edge TPU.

A. Howard et al., "Searching for MobileNetV3", 2019, https://arxiv.org/abs/1905.02244, tables 1
and 2. Against the paper, the gates of squeeze and excitation are multiplied by 0.16667 where it
has 1/6, and the small net has none of them in its last convolution.

The minimalistic nets have the same tables without squeeze and excitation, hard swish and 5x5
kernels, which is easier on accelerators and quantization.

MobileNetEdgeTPU is of S. Gupta and B. Akin, "Accelerator-aware Neural Network Design using
AutoML", 2020, https://arxiv.org/abs/2003.02838: its early blocks are fused, and it has neither
squeeze and excitation nor hard swish.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nets import arguments, heads
from nets.mobilenet import conv_blocks
from nets.mobilenet import mobilenet as builder
from slimcompat import slim, tf

training_scope = builder.training_scope


def hard_sigmoid(x: tf.Tensor) -> tf.Tensor:
  """Returns an approximation of the sigmoid function of `x`, from 0 to 1.00002."""
  # Released weights were trained with these five digits of 1/6.
  return tf.nn.relu6(x + 3) * 0.16667


def hard_swish(x: tf.Tensor) -> tf.Tensor:
  """Returns an approximation of `x * sigmoid(x)`: section 5.2 of the paper."""
  with tf.name_scope('hard_swish'):
    return x * tf.nn.relu6(x + 3) * (1 / 6)


squeeze_excite = functools.partial(
  conv_blocks.squeeze_excite, squeeze_factor=4, gating_fn=hard_sigmoid
)


def _squeeze_excite_expansion(expansion_tensor, input_tensor):
  del input_tensor
  return squeeze_excite(expansion_tensor)


def reduce_to_1x1(
  input_tensor: tf.Tensor,
  default_size: int = 7,
  rate: int = 1,
  use_explicit_padding: bool = False,
  **kwargs,
) -> tf.Tensor:
  """Returns the average of `[batch, height, width, channels]` over its positions.

  Args:
    input_tensor: the features.
    default_size: the size of the windows to average over where height and width differ, as far
      as the features reach; `mobilenet.mobilenet` then averages what is left.
    rate: of no effect; `mobilenet.mobilenet_base` gives it to the layers after dilated ones.
    use_explicit_padding: of no effect, as nothing is padded.
    **kwargs: of slim.avg_pool2d.
  """
  del rate, use_explicit_padding
  height, width = input_tensor.shape[1:3].as_list()
  if None in (height, width):
    return heads.global_average(input_tensor, 'AvgPool2D')
  if height == width:
    default_size = height
  kernel_size = heads.reduced_kernel_size(input_tensor, [default_size, default_size])
  return slim.avg_pool2d(input_tensor, kernel_size, **kwargs)


def mbv3_op(
  ef: float,
  n: int,
  k: int,
  s: int = 1,
  act: Callable = tf.nn.relu,
  se: Callable | None = None,
  **kwargs,
) -> builder.Op:
  """Returns a block of MobileNetV3, an `expanded_conv`.

  Args:
    ef: how many times as many channels the expansion has.
    n: the depth of the output.
    k: the size of the kernel.
    s: the stride.
    act: the activation of all but the projection.
    se: the squeeze and excitation of the expansion, see `expansion_transform` of
      `expanded_conv`.
    **kwargs: of `expanded_conv`.
  """
  return _block(conv_blocks.expanded_conv, ef, n, k, s, act, expansion_transform=se, **kwargs)


def mbv3_fused(ef: float, n: int, k: int, s: int = 1, **kwargs) -> builder.Op:
  """Returns the block of `mbv3_op`, fused: see `conv_blocks.fused_conv`."""
  return _block(conv_blocks.fused_conv, ef, n, k, s, tf.nn.relu, **kwargs)


def _block(function, ef, n, k, s, act, **kwargs):
  return builder.op(
    function,
    expansion_size=conv_blocks.expand_input_by_factor(ef),
    kernel_size=(k, k),
    stride=s,
    num_outputs=n,
    inner_activation_fn=act,
    **kwargs,
  )


mbv3_op_se = functools.partial(mbv3_op, se=_squeeze_excite_expansion)

DEFAULTS = {
  (slim.batch_norm,): {'center': True, 'scale': True},
  (conv_blocks.expanded_conv,): {'normalizer_fn': slim.batch_norm, 'residual': True},
  builder.WEIGHT_LAYERS: {'normalizer_fn': slim.batch_norm, 'activation_fn': tf.nn.relu},
}


class Bottleneck(NamedTuple):
  """A row 'bneck' of tables 1 and 2."""

  kernel_size: int
  expanded_depth: int
  depth: int
  squeeze_excite: bool
  activation_fn: Callable
  stride: int


_FIRST_DEPTH = 16
_RE, _HS = tf.nn.relu, hard_swish

_LARGE = [
  Bottleneck(3, 16, 16, False, _RE, 1),
  Bottleneck(3, 64, 24, False, _RE, 2),
  Bottleneck(3, 72, 24, False, _RE, 1),
  Bottleneck(5, 72, 40, True, _RE, 2),
  Bottleneck(5, 120, 40, True, _RE, 1),
  Bottleneck(5, 120, 40, True, _RE, 1),
  Bottleneck(3, 240, 80, False, _HS, 2),
  Bottleneck(3, 200, 80, False, _HS, 1),
  Bottleneck(3, 184, 80, False, _HS, 1),
  Bottleneck(3, 184, 80, False, _HS, 1),
  Bottleneck(3, 480, 112, True, _HS, 1),
  Bottleneck(3, 672, 112, True, _HS, 1),
  Bottleneck(5, 672, 160, True, _HS, 2),
  Bottleneck(5, 960, 160, True, _HS, 1),
  Bottleneck(5, 960, 160, True, _HS, 1),
]
_SMALL = [
  Bottleneck(3, 16, 16, True, _RE, 2),
  Bottleneck(3, 72, 24, False, _RE, 2),
  Bottleneck(3, 88, 24, False, _RE, 1),
  Bottleneck(5, 96, 40, True, _HS, 2),
  Bottleneck(5, 240, 40, True, _HS, 1),
  Bottleneck(5, 240, 40, True, _HS, 1),
  Bottleneck(5, 120, 48, True, _HS, 1),
  Bottleneck(5, 144, 48, True, _HS, 1),
  Bottleneck(5, 288, 96, True, _HS, 2),
  Bottleneck(5, 576, 96, True, _HS, 1),
  Bottleneck(5, 576, 96, True, _HS, 1),
]


def _minimalistic(bottlenecks):
  return [
    row._replace(kernel_size=3, squeeze_excite=False, activation_fn=_RE) for row in bottlenecks
  ]


def _definitions(
  bottlenecks: Sequence[Bottleneck], conv_depth: int, feature_depth: int, activation_fn: Callable
) -> dict:
  """Returns a whole table: a convolution, `bottlenecks`, a convolution, pooling, and features.

  Args:
    bottlenecks: the rows between the convolutions.
    conv_depth: the depth of the last convolution before the pooling.
    feature_depth: the depth of the layer after it.
    activation_fn: the activation of all layers but the bottlenecks.
  """
  input_depths = [_FIRST_DEPTH, *(row.depth for row in bottlenecks[:-1])]
  blocks = [
    mbv3_op(
      row.expanded_depth / input_depth,
      row.depth,
      row.kernel_size,
      row.stride,
      row.activation_fn,
      _squeeze_excite_expansion if row.squeeze_excite else None,
    )
    for row, input_depth in zip(bottlenecks, input_depths, strict=True)
  ]
  conv = functools.partial(builder.op, slim.conv2d, activation_fn=activation_fn)
  return {
    'defaults': DEFAULTS,
    'spec': [
      conv(stride=2, num_outputs=_FIRST_DEPTH, kernel_size=(3, 3)),
      *blocks,
      conv(stride=1, num_outputs=conv_depth, kernel_size=(1, 1)),
      builder.op(reduce_to_1x1, default_size=7, stride=1),
      conv(stride=1, num_outputs=feature_depth, kernel_size=(1, 1), normalizer_fn=None),
    ],
  }


V3_LARGE = _definitions(_LARGE, 960, 1280, _HS)
V3_LARGE_MINIMALISTIC = _definitions(_minimalistic(_LARGE), 960, 1280, _RE)
V3_SMALL = _definitions(_SMALL, 576, 1024, _HS)
V3_SMALL_MINIMALISTIC = _definitions(_minimalistic(_SMALL), 576, 1024, _RE)


def _edge_tpu_stage(block_fn, n, k, s, num_blocks, **first_args):
  """Returns blocks that expand by 4, after a first one that expands by 8 and strides."""
  first = block_fn(ef=8, n=n, k=k, s=s, **first_args)
  return [first, *(block_fn(ef=4, n=n, k=k) for _ in range(num_blocks - 1))]


V3_EDGETPU = {
  'defaults': DEFAULTS,
  'spec': [
    builder.op(slim.conv2d, stride=2, num_outputs=32, kernel_size=(3, 3)),
    mbv3_fused(ef=1, n=16, k=3),
    *_edge_tpu_stage(mbv3_fused, n=32, k=3, s=2, num_blocks=4),
    *_edge_tpu_stage(mbv3_fused, n=48, k=3, s=2, num_blocks=4),
    *_edge_tpu_stage(mbv3_op, n=96, k=3, s=2, num_blocks=4),
    *_edge_tpu_stage(mbv3_op, n=96, k=3, s=1, num_blocks=4, residual=False),
    *_edge_tpu_stage(mbv3_op, n=160, k=5, s=2, num_blocks=4),
    *_edge_tpu_stage(mbv3_op, n=192, k=3, s=1, num_blocks=1),
    builder.op(slim.conv2d, stride=1, num_outputs=1280, kernel_size=(1, 1)),
  ],
}


def _halved(conv_defs, first_layer, last_layer):
  """Returns the definitions with half the depth in the layers counted from 1, both included."""
  spec = [
    layer._replace(params={**layer.params, 'num_outputs': layer.params['num_outputs'] // 2})
    if first_layer <= index <= last_layer
    else layer
    for index, layer in enumerate(conv_defs['spec'], 1)
  ]
  return {**conv_defs, 'spec': spec}


# Half as deep from the last stride to the pooling, for detection: section 6.3 of the paper.
V3_LARGE_DETECTION = _halved(V3_LARGE, 14, 17)
V3_SMALL_DETECTION = _halved(V3_SMALL, 10, 13)


@slim.add_arg_scope
def mobilenet(
  input_tensor: tf.Tensor,
  num_classes: int | None = 1001,
  depth_multiplier: float = 1.0,
  scope: str = 'MobilenetV3',
  conv_defs: Mapping | None = None,
  finegrain_classification_mode: bool = False,
  use_groupnorm: bool = False,
  groups: int = 8,
  **kwargs,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns MobileNetV3's logits `[batch, num_classes]` and its end points by name.

  Args:
    input_tensor: the images, `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, depth]`.
    depth_multiplier: the factor on all depths, above 0.
    scope: the variable scope.
    conv_defs: the layers, such as V3_SMALL; None means V3_LARGE.
    finegrain_classification_mode: whether the last layer keeps its depth at every width.
    use_groupnorm: whether group norm takes the place of batch norm.
    groups: the number of its groups.
    **kwargs: of `mobilenet.mobilenet`: `is_training`, `reuse`, `prediction_fn`, `base_only`,
      `final_endpoint`, `output_stride`, `use_explicit_padding`.

  Raises:
    InputError: when the images have another rank, or an argument is none of the allowed.
  """
  arguments.check_positive('depth_multiplier', depth_multiplier)
  conv_defs = V3_LARGE if conv_defs is None else conv_defs
  if finegrain_classification_mode:
    conv_defs = builder.keep_last_depth(conv_defs)
  if use_groupnorm:
    conv_defs = builder.with_group_norm(conv_defs, groups=groups)
  return builder.mobilenet(
    input_tensor,
    num_classes=num_classes,
    conv_defs=conv_defs,
    scope=scope,
    multiplier=depth_multiplier,
    **kwargs,
  )


mobilenet.default_image_size = 224

large = builder.wrapped_partial(mobilenet, conv_defs=V3_LARGE)
small = builder.wrapped_partial(mobilenet, conv_defs=V3_SMALL)
large_minimalistic = builder.wrapped_partial(mobilenet, conv_defs=V3_LARGE_MINIMALISTIC)
small_minimalistic = builder.wrapped_partial(mobilenet, conv_defs=V3_SMALL_MINIMALISTIC)
edge_tpu = builder.wrapped_partial(mobilenet, scope='MobilenetEdgeTPU', conv_defs=V3_EDGETPU)
edge_tpu_075 = builder.wrapped_partial(
  edge_tpu, depth_multiplier=0.75, finegrain_classification_mode=True
)


@slim.add_arg_scope
def mobilenet_base(
  input_tensor: tf.Tensor, depth_multiplier: float = 1.0, **kwargs
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` of `mobilenet`, and its end points."""
  return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)
