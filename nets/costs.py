"""What a net costs: its parameters and multiply-accumulate operations (MACs), layer by layer."""

import dataclasses
import math

from nets import nets_factory
from slimcompat import slim, tf

NUM_FRAMES = 64  # Of the videos that video nets are counted for.


@dataclasses.dataclass
class Layer:
  """The ops below one variable scope."""

  scope: str
  output_shape: tuple[int, ...] = ()  # Without the batch; empty for what is no product.
  num_parameters: int = 0  # Trained ones: moving statistics are not counted.
  num_macs: int = 0  # For one image or video.


def list_layers(
  name: str,
  num_classes: int | None = None,
  image_size: int | None = None,
  num_channels: int | None = None,
) -> list[Layer]:
  """Builds a net for evaluation and returns its layers in order.

  Convolutions and matrix products are counted; pooling, normalization and activations are not.

  Args:
    name: a row of `nets_factory.NETWORKS`.
    num_classes: the number of logits; None is 1,000, or 10 for nets of small images.
    image_size: pixels per side; None is the net's own.
    num_channels: of the images; None is the net's own.
  """
  row = nets_factory.NETWORKS[name]
  num_classes = num_classes or (1000 if row.image_size > 32 else 10)
  frames = [NUM_FRAMES] if row.is_video else []
  size = image_size or row.image_size
  shape = [1, *frames, size, size, num_channels or row.num_channels]
  with tf.Graph().as_default() as graph:
    nets_factory.get_network_fn(name, num_classes)(tf.zeros(shape))
    layers = {}
    for variable in slim.get_model_variables():
      scope = _layer_scope(variable.op.name)
      layer = layers.setdefault(scope, Layer(scope))
      if variable in tf.trainable_variables():
        layer.num_parameters += math.prod(variable.shape.as_list())
    for op in graph.get_operations():
      variable_name = _weights_of(op)
      if variable_name:
        layer = layers[_layer_scope(variable_name)]
        layer.num_macs += _count_macs(op)
        layer.output_shape = tuple(op.outputs[0].shape.as_list()[1:])
  return list(layers.values())


def _layer_scope(variable_name):
  """Returns the scope of a layer, its normalization included."""
  scopes = variable_name.split('/')[:-1]
  return '/'.join(scopes[:-1] if scopes[-1] == 'BatchNorm' and len(scopes) > 2 else scopes)


def _weights_of(op):
  """Returns the name of the variable that a convolution or matrix product multiplies by."""
  if op.type not in ('Conv2D', 'Conv3D', 'DepthwiseConv2dNative', 'MatMul'):
    return None
  source = op.inputs[1].op
  while source.type in ('Identity', 'Reshape', 'ReadVariableOp'):
    source = source.inputs[0].op
  return source.name if source.type in ('VariableV2', 'VarHandleOp') else None


def _count_macs(op):
  output = math.prod(op.outputs[0].shape.as_list())
  weights = op.inputs[1].shape.as_list()
  if op.type == 'MatMul':
    return output * (weights[1] if op.get_attr('transpose_b') else weights[0])
  if op.type == 'DepthwiseConv2dNative':
    return output * math.prod(weights[:2])
  return output * math.prod(weights[:-1])
