"""What the video nets are put together from: Inception v1's layers with time as a third axis.

Videos and features are `[batch, frames, height, width, channels]`, kernels
`[frames, height, width]`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nets import heads, inception_v1
from nets import inception_blocks as blocks
from slimcompat import errors, slim, tf

reduced_kernel_size_3d = heads.reduced_kernel_size


def center_initializer() -> Callable:
  """Returns an initializer of `[frames, 1, 1, depth, depth]` weights that pass their input on.

  A net that was trained on single images is then the start of one for videos: the centre
  initialization of R. Girdhar et al., "Detect-and-Track", 2017,
  https://arxiv.org/abs/1712.09184.

  Raises:
    InputError: when the kernel has an even number of frames or covers more pixels than one, or
      the depths differ.
  """

  def initialize(shape, dtype=tf.float32):
    frames, height, width, depth, output_depth = shape
    if frames % 2 == 0 or (height, width) != (1, 1) or depth != output_depth:
      raise errors.InputError(
        f'The weights have the shape {list(shape)}; a convolution over time that starts by passing'
        ' its input on takes [frames, 1, 1, depth, depth] with an odd number of frames.'
      )
    centre = tf.reshape(tf.eye(depth, dtype=dtype), [1, 1, 1, depth, depth])
    return tf.pad(centre, [[frames // 2, frames // 2], *[[0, 0]] * 4])

  return initialize


@slim.add_arg_scope
def conv3d_spatiotemporal(
  inputs: tf.Tensor,
  num_outputs: int,
  kernel_size: Sequence[int],
  stride: int | Sequence[int] = 1,
  padding: str = 'SAME',
  activation_fn: Callable | None = None,
  normalizer_fn: Callable | None = None,
  normalizer_params: dict | None = None,
  weights_regularizer: Callable | None = None,
  separable: bool = False,
  data_format: str = 'NDHWC',
  scope: str = '',
) -> tf.Tensor:
  """Convolves over space and time, in one step or in two.

  Args:
    inputs: `[batch, frames, height, width, channels]`.
    num_outputs: the number of filters.
    kernel_size: frames, height and width.
    stride: of all three axes, or of each.
    padding: 'SAME' or 'VALID'.
    activation_fn: the activation, after each step; None for none.
    normalizer_fn: the normalization after the convolution over space; that over time has biases.
    normalizer_params: the arguments of `normalizer_fn`.
    weights_regularizer: of the weights of the convolution over space.
    separable: whether to convolve over space first, then over time, where the kernel has more
      than one frame.
    data_format: 'NDHWC' or 'NCDHW', the order of the axes of `inputs`.
    scope: the variable scope.
  """
  frames, height, width = kernel_size
  strides = [stride] * 3 if isinstance(stride, int) else list(stride)
  is_split = separable and frames > 1
  net = slim.conv3d(
    inputs,
    num_outputs,
    [1, height, width] if is_split else kernel_size,
    stride=[1, *strides[1:]] if is_split else strides,
    padding=padding,
    activation_fn=activation_fn,
    normalizer_fn=normalizer_fn,
    normalizer_params=normalizer_params,
    weights_regularizer=weights_regularizer,
    data_format=data_format,
    scope=scope,
  )
  if not is_split:
    return net
  return slim.conv3d(
    net,
    num_outputs,
    [frames, 1, 1],
    stride=[strides[0], 1, 1],
    padding=padding,
    activation_fn=activation_fn,
    normalizer_fn=None,
    weights_initializer=center_initializer(),
    data_format=data_format,
    scope=f'{scope}/temporal',
  )


class Conv(NamedTuple):
  """A row like `inception_blocks.Conv` of three axes."""

  name: str
  kernel_size: Sequence[int]
  depth: int
  stride: int = 1
  conv_fn: Callable = slim.conv3d
  self_gating_fn: Callable | None = None  # self_gating_fn(net, scope=) -> net

  def build(self, net, variant):
    net = self.conv_fn(
      net,
      variant.depth(self.depth),
      self.kernel_size,
      stride=self.stride,
      padding='SAME',
      data_format=variant.data_format,
      scope=self.name,
    )
    return self.self_gating_fn(net, scope=self.name) if self.self_gating_fn else net


class MaxPool(NamedTuple):
  """A row like `inception_blocks.Pool` of three axes."""

  name: str
  kernel_size: Sequence[int]
  stride: Sequence[int]

  def build(self, net, variant):
    return slim.max_pool3d(
      net,
      self.kernel_size,
      stride=self.stride,
      padding='SAME',
      data_format=variant.data_format,
      scope=self.name,
    )


def mixed_branches(
  block: inception_v1.MixedBlock,
  temporal_kernel_size: int,
  self_gating_fn: Callable | None,
) -> list[list[Conv | MaxPool]]:
  """Returns the branches of a `block` of Inception v1, its 3x3 convolutions over time as well.

  Args:
    block: the depths.
    temporal_kernel_size: the frames of these convolutions.
    self_gating_fn: what the output of each branch goes through; None for nothing.
  """

  def pointwise(name, depth, gating_fn=None):
    return Conv(name, [1, 1, 1], depth, self_gating_fn=gating_fn)

  def reduced(depths):
    reduction, depth = depths
    kernel_size = [temporal_kernel_size, 3, 3]
    return [
      pointwise('Conv2d_0a_1x1', reduction),
      Conv(
        'Conv2d_0b_3x3',
        kernel_size,
        depth,
        conv_fn=conv3d_spatiotemporal,
        self_gating_fn=self_gating_fn,
      ),
    ]

  return [
    [pointwise('Conv2d_0a_1x1', block.conv_1x1, self_gating_fn)],
    reduced(block.conv_3x3),
    reduced(block.conv_5x5),
    [
      MaxPool('MaxPool_0a_3x3', [3, 3, 3], [1, 1, 1]),
      pointwise('Conv2d_0b_1x1', block.projection, self_gating_fn),
    ],
  ]


def inception_block_v1_3d(
  inputs: tf.Tensor,
  num_outputs_0_0a: int,
  num_outputs_1_0a: int,
  num_outputs_1_0b: int,
  num_outputs_2_0a: int,
  num_outputs_2_0b: int,
  num_outputs_3_0b: int,
  temporal_kernel_size: int = 3,
  self_gating_fn: Callable | None = None,
  data_format: str = 'NDHWC',
  scope: str = '',
) -> tf.Tensor:
  """Returns the output of an Inception v1 block over space and time.

  Args:
    inputs: `[batch, frames, height, width, channels]`.
    num_outputs_0_0a: the depth of branch 0; of the others, `num_outputs_<branch>_<position>`.
    num_outputs_1_0a: the depth of the reduction in branch 1.
    num_outputs_1_0b: the depth of branch 1.
    num_outputs_2_0a: the depth of the reduction in branch 2.
    num_outputs_2_0b: the depth of branch 2.
    num_outputs_3_0b: the depth of branch 3.
    temporal_kernel_size: the frames of the convolutions that are not 1x1.
    self_gating_fn: self_gating_fn(net, scope=) is what each branch's output goes through; None
      for nothing.
    data_format: 'NDHWC' or 'NCDHW', the order of the axes of `inputs`.
    scope: the variable scope.
  """
  block = inception_v1.MixedBlock(
    num_outputs_0_0a,
    (num_outputs_1_0a, num_outputs_1_0b),
    (num_outputs_2_0a, num_outputs_2_0b),
    num_outputs_3_0b,
  )
  branches = mixed_branches(block, temporal_kernel_size, self_gating_fn)
  mixed = blocks.Mixed(scope, branches)
  return mixed.build(inputs, blocks.Variant(data_format=data_format))


def video_arg_scope(
  weight_decay: float,
  batch_norm_decay: float,
  batch_norm_epsilon: float,
  use_renorm: bool,
  separable_conv3d: bool,
) -> dict:
  """Returns the arg scope of the video nets; see `i3d.i3d_arg_scope`."""
  with (
    slim.arg_scope(
      [slim.conv3d, conv3d_spatiotemporal],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      activation_fn=tf.nn.relu,
      normalizer_fn=slim.batch_norm,
      normalizer_params={
        'decay': batch_norm_decay,
        'epsilon': batch_norm_epsilon,
        'fused': False,
        'renorm': use_renorm,
      },
    ),
    slim.arg_scope([conv3d_spatiotemporal], separable=separable_conv3d) as scope,
  ):
    return scope
