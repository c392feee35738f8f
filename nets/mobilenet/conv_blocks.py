"""The blocks of MobileNet's versions: depthwise separable, expanded, squeezed and excited."""

import contextlib
import itertools
from collections.abc import Callable, Sequence

from nets import convolutions, heads
from slimcompat import errors, slim, tf

DEPTHWISE_LOCATIONS = (None, 'input', 'expansion', 'output')


def make_divisible(value: float, divisor: int, min_value: int | None = None) -> int:
  """Returns the multiple of `divisor` nearest to `value`, but at least `min_value`.

  Where that is less than 0.9 of `value`, it is one `divisor` more.

  Args:
    value: what to round.
    divisor: of the result, unless that is raised to a `min_value` which it does not divide.
    min_value: the least result; None means `divisor`.
  """
  nearest = int(value + divisor / 2) // divisor * divisor
  rounded = max(nearest, divisor if min_value is None else min_value)
  return rounded if rounded >= 0.9 * value else rounded + divisor


def expand_input_by_factor(n: float, divisible_by: int = 8) -> Callable:
  """Returns the function from a number of channels `num_inputs=` to `n` times as many, rounded."""
  return lambda num_inputs, **_: make_divisible(num_inputs * n, divisible_by)


_EXPAND_BY_6 = expand_input_by_factor(6)


@slim.add_arg_scope
def split_separable_conv2d(
  input_tensor: tf.Tensor,
  num_outputs: int,
  scope: str | None = None,
  normalizer_fn: Callable | None = None,
  stride: int = 1,
  rate: int = 1,
  endpoints: dict | None = None,
  use_explicit_padding: bool = False,
) -> tf.Tensor:
  """Convolves each channel by itself, 3x3, and then all of them, 1x1, both normalized.

  A. G. Howard et al., "MobileNets", https://arxiv.org/abs/1704.04861, figure 3.

  Args:
    input_tensor: `[batch, height, width, channels]`.
    num_outputs: the number of 1x1 filters.
    scope: the variable scopes are '<scope>_depthwise' and '<scope>_pointwise'; None puts them
      into a scope 'separable'.
    normalizer_fn: the normalization of both; None gives biases instead.
    stride: of the 3x3 convolution.
    rate: the dilation of the 3x3 convolution.
    endpoints: gets the outputs of both by the names of their scopes.
    use_explicit_padding: whether the padding is independent of the input's size.
  """
  kernel_size = [3, 3]
  with contextlib.ExitStack() as stack:
    if scope is None:
      stack.enter_context(tf.variable_scope(None, 'separable'))
    prefix = '' if scope is None else f'{scope}_'
    if use_explicit_padding:
      input_tensor = convolutions.fixed_padding(input_tensor, kernel_size, rate)
    depthwise = slim.separable_conv2d(
      input_tensor,
      None,
      kernel_size,
      depth_multiplier=1,
      stride=stride,
      rate=rate,
      normalizer_fn=normalizer_fn,
      padding='VALID' if use_explicit_padding else 'SAME',
      scope=f'{prefix}depthwise',
    )
    pointwise = slim.conv2d(
      depthwise,
      num_outputs,
      [1, 1],
      normalizer_fn=normalizer_fn,
      scope=f'{prefix}pointwise',
    )
  if endpoints is not None:
    endpoints.update({f'{prefix}depthwise': depthwise, f'{prefix}pointwise': pointwise})
  return pointwise


def split_conv(
  input_tensor: tf.Tensor,
  num_outputs: int,
  num_ways: int,
  scope: str,
  divisible_by: int = 8,
  **kwargs,
) -> tf.Tensor:
  """Convolves 1x1 in `num_ways` groups: each part of the input makes one part of the output.

  Args:
    input_tensor: `[batch, height, width, channels]`.
    num_outputs: the number of filters of all groups together.
    num_ways: the number of groups; 1 for parts that would have fewer than `divisible_by` channels.
    scope: the variable scope; that of a group is '<scope>_part_<n>'.
    divisible_by: what the number of channels of each part is a multiple of.
    **kwargs: for slim.conv2d.

  Raises:
    InputError: when the channels cannot be split into such parts.
  """
  num_inputs = input_tensor.shape.as_list()[3]
  if num_ways == 1 or min(num_inputs, num_outputs) // num_ways < divisible_by:
    return slim.conv2d(input_tensor, num_outputs, [1, 1], scope=scope, **kwargs)
  parts = tf.split(
    input_tensor,
    _part_sizes(num_inputs, num_ways, divisible_by),
    axis=3,
    name=f'split_{scope}',
  )
  part_sizes = _part_sizes(num_outputs, num_ways, divisible_by)
  outputs = []
  for index, (part, size) in enumerate(zip(parts, part_sizes, strict=True)):
    part_scope = f'{scope}_part_{index}'
    output = slim.conv2d(part, size, [1, 1], scope=part_scope, **kwargs)
    outputs.append(tf.identity(output, f'{part_scope}_output'))
  return tf.concat(outputs, 3, name=f'{scope}_concat')


def _part_sizes(num_channels, num_ways, divisible_by):
  """Returns `num_ways` multiples of `divisible_by`, nearly equal, with the sum `num_channels`."""
  if num_channels % divisible_by:
    raise errors.InputError(
      f'{num_channels} channels cannot be split into parts of multiples of {divisible_by}. Use'
      f' a number of channels that {divisible_by} divides, or one group.'
    )
  units = num_channels // divisible_by
  ends = [-(-units * index // num_ways) for index in range(num_ways + 1)]
  return [(end - start) * divisible_by for start, end in itertools.pairwise(ends)]


@slim.add_arg_scope
def expanded_conv(
  input_tensor: tf.Tensor,
  num_outputs: int,
  expansion_size: int | Callable = _EXPAND_BY_6,
  stride: int = 1,
  rate: int = 1,
  kernel_size: Sequence[int] = (3, 3),
  residual: bool | Callable = True,
  normalizer_fn: Callable | None = None,
  split_projection: int = 1,
  split_expansion: int = 1,
  split_divisible_by: int = 8,
  expansion_transform: Callable | None = None,
  depthwise_location: str | None = 'expansion',
  depthwise_channel_multiplier: int = 1,
  endpoints: dict | None = None,
  use_explicit_padding: bool = False,
  padding: str = 'SAME',
  inner_activation_fn: Callable | None = None,
  depthwise_activation_fn: Callable | None = None,
  project_activation_fn: Callable | None = tf.identity,
  depthwise_fn: Callable = slim.separable_conv2d,
  expansion_fn: Callable = split_conv,
  projection_fn: Callable = split_conv,
  scope: str | None = None,
) -> tf.Tensor:
  """Expands the channels, convolves each by itself, and projects them onto few: MBConv.

  M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
  https://arxiv.org/abs/1801.04381, section 3.3 and table 1.

  Args:
    input_tensor: `[batch, height, width, channels]`.
    num_outputs: the number of channels after the projection.
    expansion_size: the number of channels in between, or a function of `num_inputs=` that gives
      it. There is no expansion unless it is more than the input has.
    stride: of the depthwise convolution.
    rate: the dilation of the depthwise convolution.
    kernel_size: of the depthwise convolution.
    residual: whether the input is added to the output where both have the same shape; or a
      function of `input_tensor=` and `output_tensor=` that joins them.
    normalizer_fn: the normalization of all three convolutions; None gives biases instead.
    split_projection: the number of groups of the projection.
    split_expansion: the number of groups of the expansion.
    split_divisible_by: what the number of channels in a group is a multiple of.
    expansion_transform: a function of `expansion_tensor=` and `input_tensor=` that changes the
      features before the projection, such as squeeze and excitation.
    depthwise_location: where the depthwise convolution stands: after the 'expansion', or without
      activation before it ('input') or after the projection ('output'); None leaves it out.
    depthwise_channel_multiplier: the number of depthwise filters for each channel.
    endpoints: gets 'expansion_output', 'depthwise_output' and 'projection_output'.
    use_explicit_padding: whether the padding is independent of the input's size.
    padding: of the depthwise convolution; 'SAME' with `use_explicit_padding`.
    inner_activation_fn: the activation of expansion and depthwise convolution; None leaves it to
      the arg scope.
    depthwise_activation_fn: the same for the depthwise convolution alone.
    project_activation_fn: the activation of the projection.
    depthwise_fn: makes the depthwise convolution, called as slim.separable_conv2d.
    expansion_fn: makes the expansion, called with the features, the number of channels, `scope=`
      and `normalizer_fn=`; `split_conv` gets its groups, too.
    projection_fn: makes the projection, as `expansion_fn` the expansion, with `activation_fn=`.
    scope: the variable scope.

  Raises:
    InputError: when there is no such `depthwise_location`, or another padding than 'SAME' is
      to be explicit.
  """
  if depthwise_location not in DEPTHWISE_LOCATIONS:
    raise errors.InputError(
      f'depthwise_location is {depthwise_location!r}; it can be one of {DEPTHWISE_LOCATIONS}.'
    )
  if use_explicit_padding and padding != 'SAME':
    raise errors.InputError(
      f"use_explicit_padding takes the place of the padding 'SAME', but the padding is {padding!r}."
      ' Leave one of them out.'
    )
  outputs = {}

  def named(name, net):
    outputs[name] = net = tf.identity(net, name)
    return net

  def depthwise(net, **kwargs):
    if use_explicit_padding:
      net = convolutions.fixed_padding(net, kernel_size, rate)
    net = depthwise_fn(
      net,
      num_outputs=None,
      kernel_size=kernel_size,
      depth_multiplier=depthwise_channel_multiplier,
      stride=stride,
      rate=rate,
      normalizer_fn=normalizer_fn,
      padding='VALID' if use_explicit_padding else padding,
      scope='depthwise',
      **kwargs,
    )
    return named('depthwise_output', net)

  def pointwise(function, net, num_filters, num_ways, **kwargs):
    if function is split_conv:
      kwargs.update(num_ways=num_ways, divisible_by=split_divisible_by)
    return function(net, num_filters, normalizer_fn=normalizer_fn, **kwargs)

  with (
    tf.variable_scope(scope, 'expanded_conv') as sc,
    # Where `scope` is that of an earlier call, its ops join that one's.
    tf.name_scope(sc.original_name_scope),
    _activation_scope([slim.conv2d, slim.separable_conv2d], inner_activation_fn),
    _activation_scope([slim.separable_conv2d], depthwise_activation_fn),
  ):
    net = input_tensor = tf.identity(input_tensor, 'input')
    num_inputs = input_tensor.shape.as_list()[3]
    if depthwise_location == 'input':
      net = depthwise(net, activation_fn=None)
    size = expansion_size(num_inputs=num_inputs) if callable(expansion_size) else expansion_size
    if size > net.shape.as_list()[3]:
      net = pointwise(expansion_fn, net, size, split_expansion, scope='expand')
      net = named('expansion_output', net)
    if depthwise_location == 'expansion':
      net = depthwise(net)
    if expansion_transform:
      net = expansion_transform(expansion_tensor=net, input_tensor=input_tensor)
    net = outputs['projection_output'] = pointwise(
      projection_fn,
      net,
      num_outputs,
      split_projection,
      scope='project',
      activation_fn=project_activation_fn,
    )
    if depthwise_location == 'output':
      net = depthwise(net, activation_fn=None)
    if callable(residual):
      net = residual(input_tensor=input_tensor, output_tensor=net)
    # Sizes may be unknown; without a stride they are the same.
    elif residual and stride == 1 and net.shape.as_list()[3] == num_inputs:
      net += input_tensor
    if endpoints is not None:
      endpoints.update(outputs)
    return tf.identity(net, 'output')


def _activation_scope(functions, activation_fn):
  """Returns the arg scope that sets the activation of `functions`, unless it is None."""
  if activation_fn is None:
    return contextlib.nullcontext()
  return slim.arg_scope(functions, activation_fn=activation_fn)


def fused_conv(
  input_tensor: tf.Tensor,
  num_outputs: int,
  stride: int = 1,
  rate: int = 1,
  kernel_size: Sequence[int] = (3, 3),
  use_explicit_padding: bool = False,
  **kwargs,
) -> tf.Tensor:
  """An `expanded_conv` in which one full convolution both expands and sees the neighbours.

  S. Gupta and B. Akin, "Accelerator-aware Neural Network Design using AutoML", 2020,
  https://arxiv.org/abs/2003.02838, section 3 and figure 2. The arguments are those of
  `expanded_conv`, with `stride`, `rate`, `kernel_size` and `use_explicit_padding` for that full
  convolution.
  """

  def expand(net, num_filters, **conv_kwargs):
    if use_explicit_padding:
      net = convolutions.fixed_padding(net, kernel_size, rate)
    return slim.conv2d(
      net,
      num_filters,
      kernel_size,
      stride=stride,
      rate=rate,
      padding='VALID' if use_explicit_padding else 'SAME',
      **conv_kwargs,
    )

  return expanded_conv(
    input_tensor,
    num_outputs,
    stride=stride,
    depthwise_location=None,
    expansion_fn=expand,
    **kwargs,
  )


@slim.add_arg_scope
def squeeze_excite(
  input_tensor: tf.Tensor,
  divisible_by: int = 8,
  squeeze_factor: float = 3,
  inner_activation_fn: Callable = tf.nn.relu,
  gating_fn: Callable = tf.sigmoid,
  squeeze_input_tensor: tf.Tensor | None = None,
  pool: Sequence[int] | None = None,
) -> tf.Tensor:
  """Returns the input with each channel scaled by a gate that the average of all channels sets.

  J. Hu, L. Shen and G. Sun, "Squeeze-and-Excitation Networks", https://arxiv.org/abs/1709.01507,
  section 3.

  Args:
    input_tensor: `[batch, height, width, channels]`.
    divisible_by: what the number of squeezed channels is a multiple of.
    squeeze_factor: how many times fewer squeezed channels there are.
    inner_activation_fn: the activation of the squeezed channels.
    gating_fn: the activation of the gates.
    squeeze_input_tensor: what is averaged for the gates; None means the input.
    pool: height and width of windows to average over, in place of the whole; the gates are then
      enlarged, bilinearly, to the size of the input.
  """
  if squeeze_input_tensor is None:
    squeeze_input_tensor = input_tensor
  num_channels = squeeze_input_tensor.shape.as_list()[3]
  with tf.variable_scope('squeeze_excite'):
    if pool is None:
      net = heads.global_average(squeeze_input_tensor)
    else:
      net = tf.nn.avg_pool2d(squeeze_input_tensor, pool, strides=1, padding='VALID')
    net = slim.conv2d(
      net,
      make_divisible(num_channels / squeeze_factor, divisible_by),
      [1, 1],
      normalizer_fn=None,
      activation_fn=inner_activation_fn,
    )
    gates = slim.conv2d(
      net,
      input_tensor.shape.as_list()[3],
      [1, 1],
      normalizer_fn=None,
      activation_fn=gating_fn,
    )
    if pool is not None:
      gates = tf.image.resize_bilinear(gates, tf.shape(input_tensor)[1:3], align_corners=True)
    return input_tensor * gates
