"""The layers that the tables of the Inception nets are made of, and how a net is built of them.

A net is a sequence of layers. Each is a row with a `name`, the scope of its variables and the end
point of its output, and with the methods `build` and `smallest_input`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nets import arguments
from slimcompat import slim, tf


class Variant(NamedTuple):
  """What the caller of a net changes about all its layers."""

  depth_multiplier: float = 1.0  # The factor on all depths, above 0.
  min_depth: int = 1  # The least depth after multiplication.
  data_format: str = 'NHWC'  # Or 'NCHW'.

  def depth(self, depth: int) -> int:
    """Returns how many channels a layer has whose row says `depth`."""
    return max(int(depth * self.depth_multiplier), self.min_depth)

  def concat(self, branches: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the channels of all `branches` as one."""
    return tf.concat(branches, axis=self.data_format.index('C'))


AS_IN_TABLE = Variant()


class Conv(NamedTuple):
  """A convolution with what the arg scope adds: batch norm and an activation."""

  position: str  # As in '1b': the part of the net or branch, and the place in it.
  kernel: int | tuple[int, int]  # Height and width, one number if they are the same.
  depth: int
  stride: int = 1
  padding: str = 'SAME'
  stddev: float | None = None  # Of the initial weights; None leaves them to the arg scope.
  irregular_name: str | None = None  # Where checkpoints have another than the pattern gives.

  @property
  def name(self):
    return self.irregular_name or _name('Conv2d', self.position, self.kernel)

  def build(self, net, variant):
    weights = {}
    if self.stddev is not None:
      weights['weights_initializer'] = tf.truncated_normal_initializer(stddev=self.stddev)
    return slim.conv2d(
      net,
      variant.depth(self.depth),
      self.kernel,
      stride=self.stride,
      padding=self.padding,
      scope=self.name,
      **weights,
    )

  def smallest_input(self, output_size):
    return _smallest_input(self, output_size)


class Pool(NamedTuple):
  """A pooling of maxima or averages; an average leaves out the padding."""

  kind: str  # 'Max' or 'Avg'.
  position: str
  kernel: int
  stride: int = 1
  padding: str = 'SAME'

  @property
  def name(self):
    return _name(f'{self.kind}Pool', self.position, self.kernel)

  def build(self, net, variant):
    pool = {'Max': slim.max_pool2d, 'Avg': slim.avg_pool2d}[self.kind]
    return pool(net, self.kernel, stride=self.stride, padding=self.padding, scope=self.name)

  def smallest_input(self, output_size):
    return _smallest_input(self, output_size)


def halving_conv(depth: int, **changes) -> Conv:
  """Returns the convolution that ends a branch of half the size, with `changes` of its fields."""
  return Conv('1a', 3, depth, stride=2, padding='VALID')._replace(**changes)


def halving_pool(**changes) -> Pool:
  """Returns the pooling beside such convolutions, with `changes` of its fields."""
  return Pool('Max', '1a', 3, stride=2, padding='VALID')._replace(**changes)


class Fork(NamedTuple):
  """Layers side by side at the end of a branch, their outputs concatenated."""

  layers: Sequence[Conv]

  def build(self, net, variant):
    return variant.concat([layer.build(net, variant) for layer in self.layers])

  def smallest_input(self, output_size):
    return max(layer.smallest_input(output_size) for layer in self.layers)


class Mixed(NamedTuple):
  """Branches side by side, each a sequence of layers, their outputs concatenated."""

  name: str
  branches: Sequence[Sequence[Conv | Pool | Fork]]

  def build(self, net, variant):
    with tf.variable_scope(self.name):
      return concat_branches(net, self.branches, variant)

  def smallest_input(self, output_size):
    return max(smallest_input(branch, output_size) for branch in self.branches)


def concat_branches(
  net: tf.Tensor, branches: Sequence[Sequence], variant: Variant = AS_IN_TABLE
) -> tf.Tensor:
  """Returns the concatenated outputs of all `branches`; their scopes are 'Branch_0', ..."""
  outputs = []
  for index, branch in enumerate(branches):
    with tf.variable_scope(f'Branch_{index}'):
      output = net
      for layer in branch:
        output = layer.build(output, variant)
      outputs.append(output)
  return variant.concat(outputs)


def build_until(
  final_endpoint: str, net: tf.Tensor, layers: Sequence, variant: Variant = AS_IN_TABLE
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the output of the layer named `final_endpoint`, and the end points up to it by name.

  Args:
    final_endpoint: the name of one of the layers.
    net: the images or features, `[batch, height, width, channels]`.
    layers: all the net has; those without a name have no end point.
    variant: what is different from the table.

  Raises:
    InputError: when there is no such layer, `depth_multiplier` is not above 0, or the input has
      another rank or is too small.
  """
  arguments.check_positive('depth_multiplier', variant.depth_multiplier)
  layers = layers_until(final_endpoint, layers)
  if variant.data_format == 'NHWC':
    arguments.check_images(net, smallest_input(layers))
  end_points = {}
  for layer in layers:
    net = layer.build(net, variant)
    if layer.name:
      end_points[layer.name] = net
  return net, end_points


def layers_until(final_endpoint: str, layers: Sequence) -> Sequence:
  """Returns the layers up to the one named `final_endpoint`. Raises InputError if none is."""
  names = [layer.name for layer in layers]
  arguments.check_choice('final_endpoint', final_endpoint, [name for name in names if name])
  return layers[: names.index(final_endpoint) + 1]


def smallest_input(layers: Sequence, output_size: int = 1) -> int:
  """Returns the height or width, in pixels, from which `layers` make `output_size`."""
  for layer in reversed(layers):
    output_size = layer.smallest_input(output_size)
  return output_size


def _smallest_input(layer, output_size):
  height, width = _pair(layer.kernel)
  overlap = max(height, width) if layer.padding == 'VALID' else 1
  return (output_size - 1) * layer.stride + overlap


def _name(kind, position, kernel):
  height, width = _pair(kernel)
  return f'{kind}_{position}_{height}x{width}'


def _pair(kernel):
  return kernel if isinstance(kernel, tuple) else (kernel, kernel)
