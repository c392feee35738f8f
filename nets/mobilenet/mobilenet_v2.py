"""MobileNetV2: inverted residuals with linear bottlenecks.

M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and L.-C. Chen, "MobileNetV2: Inverted Residuals and
Linear Bottlenecks", 2018, https://arxiv.org/abs/1801.04381, table 2. Depths are multiples of 8
at every width. Against section 4 of the paper, `mobilenet` narrows the last convolution, too,
unless `finegrain_classification_mode` is on, as it is in the nets of half the width and less.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nets import arguments
from nets.mobilenet import conv_blocks
from nets.mobilenet import mobilenet as builder
from slimcompat import slim, tf

training_scope = builder.training_scope


class Stage(NamedTuple):
  """A row of table 2: blocks of which the first one strides."""

  depth: int
  num_blocks: int
  stride: int


def _blocks(stage):
  strides = [stage.stride] + [1] * (stage.num_blocks - 1)
  return [
    builder.op(conv_blocks.expanded_conv, stride=stride, num_outputs=stage.depth)
    for stride in strides
  ]


_EXPANDED_STAGES = [
  Stage(depth=24, num_blocks=2, stride=2),
  Stage(depth=32, num_blocks=3, stride=2),
  Stage(depth=64, num_blocks=4, stride=2),
  Stage(depth=96, num_blocks=3, stride=1),
  Stage(depth=160, num_blocks=3, stride=2),
  Stage(depth=320, num_blocks=1, stride=1),
]

V2_DEF = {
  'defaults': {
    (slim.batch_norm,): {'center': True, 'scale': True},
    builder.WEIGHT_LAYERS: {'normalizer_fn': slim.batch_norm, 'activation_fn': tf.nn.relu6},
    (conv_blocks.expanded_conv,): {
      'expansion_size': conv_blocks.expand_input_by_factor(6),
      'split_expansion': 1,
      'normalizer_fn': slim.batch_norm,
      'residual': True,
    },
    (slim.conv2d, slim.separable_conv2d): {'padding': 'SAME'},
  },
  'spec': [
    builder.op(slim.conv2d, stride=2, num_outputs=32, kernel_size=[3, 3]),
    builder.op(
      conv_blocks.expanded_conv,
      expansion_size=conv_blocks.expand_input_by_factor(1, divisible_by=1),
      num_outputs=16,
    ),
    *[block for stage in _EXPANDED_STAGES for block in _blocks(stage)],
    builder.op(slim.conv2d, stride=1, kernel_size=[1, 1], num_outputs=1280),
  ],
}
V2_DEF_GROUP_NORM = builder.with_group_norm(V2_DEF)


@slim.add_arg_scope
def mobilenet(
  input_tensor: tf.Tensor,
  num_classes: int | None = 1001,
  depth_multiplier: float = 1.0,
  scope: str = 'MobilenetV2',
  conv_defs: Mapping | None = None,
  finegrain_classification_mode: bool = False,
  min_depth: int | None = None,
  divisible_by: int | None = None,
  activation_fn: Callable | None = None,
  **kwargs,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns MobileNetV2's logits `[batch, num_classes]` and its end points by name.

  Args:
    input_tensor: the images, `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, depth]`.
    depth_multiplier: the factor on all depths, above 0.
    scope: the variable scope.
    conv_defs: the layers, see `mobilenet.mobilenet_base`; None means V2_DEF.
    finegrain_classification_mode: whether a `depth_multiplier` below 1 leaves the last
      convolution as deep as it is.
    min_depth: the least depth after multiplication; None leaves `mobilenet.depth_multiplier`'s.
    divisible_by: what all depths are multiples of; None leaves `mobilenet.depth_multiplier`'s.
    activation_fn: the activation in place of ReLU6.
    **kwargs: of `mobilenet.mobilenet`: `is_training`, `reuse`, `prediction_fn`, `base_only`,
      `final_endpoint`, `output_stride`, `use_explicit_padding`.

  Raises:
    InputError: when the images have another rank, or an argument is none of the allowed.
  """
  arguments.check_positive('depth_multiplier', depth_multiplier)
  conv_defs = V2_DEF if conv_defs is None else conv_defs
  if finegrain_classification_mode and depth_multiplier < 1:
    conv_defs = builder.keep_last_depth(conv_defs)
  if activation_fn:
    defaults = dict(conv_defs.get('defaults', {}))
    layer_args = defaults.get(builder.WEIGHT_LAYERS, {})
    defaults[builder.WEIGHT_LAYERS] = {**layer_args, 'activation_fn': activation_fn}
    conv_defs = {**conv_defs, 'defaults': defaults}
  with builder.safe_arg_scope(
    [builder.depth_multiplier], min_depth=min_depth, divisible_by=divisible_by
  ):
    return builder.mobilenet(
      input_tensor,
      num_classes=num_classes,
      conv_defs=conv_defs,
      scope=scope,
      multiplier=depth_multiplier,
      **kwargs,
    )


mobilenet.default_image_size = 224

mobilenet_v2_140 = builder.wrapped_partial(mobilenet, depth_multiplier=1.4)
mobilenet_v2_050 = builder.wrapped_partial(
  mobilenet, depth_multiplier=0.50, finegrain_classification_mode=True
)
mobilenet_v2_035 = builder.wrapped_partial(
  mobilenet, depth_multiplier=0.35, finegrain_classification_mode=True
)


@slim.add_arg_scope
def mobilenet_base(
  input_tensor: tf.Tensor, depth_multiplier: float = 1.0, **kwargs
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` of `mobilenet`, and its end points."""
  return mobilenet(input_tensor, depth_multiplier=depth_multiplier, base_only=True, **kwargs)


@slim.add_arg_scope
def mobilenet_base_group_norm(
  input_tensor: tf.Tensor, depth_multiplier: float = 1.0, groups: int = 8, **kwargs
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns what `mobilenet_base` does, normalized over `groups` groups of channels."""
  conv_defs = builder.with_group_norm(V2_DEF, groups=groups)
  return mobilenet_base(input_tensor, depth_multiplier, conv_defs=conv_defs, **kwargs)
