"""Builds a MobileNet from a table of its layers: a list of `op`s and the defaults they share.

    DEFS = {
      'defaults': {(slim.conv2d,): {'activation_fn': tf.nn.relu6}},
      'spec': [
        mobilenet.op(slim.conv2d, num_outputs=32, kernel_size=[3, 3], stride=2),
        mobilenet.op(conv_blocks.expanded_conv, num_outputs=16),
      ],
    }
    with slim.arg_scope(mobilenet.training_scope(weight_decay=0.00004)):
      logits, end_points = mobilenet.mobilenet(images, conv_defs=DEFS, multiplier=0.5)

Its factor on all depths is that of A. G. Howard et al., "MobileNets",
https://arxiv.org/abs/1704.04861, section 3.3, with depths rounded to multiples of 8.
"""

import contextlib
import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nets import arguments, convolutions, heads
from nets.mobilenet import conv_blocks
from slimcompat import slim, tf

NoOpScope = contextlib.nullcontext
# The layers with weights, which share their initializer, normalization and activation.
WEIGHT_LAYERS = (slim.conv2d, slim.fully_connected, slim.separable_conv2d)


class Op(NamedTuple):
  """A layer of a net, in the list 'spec' of its definitions."""

  op: Callable  # op(inputs, **params) -> outputs, both [batch, height, width, channels].
  params: dict
  # multiplier_func(params, multiplier) changes a copy of `params` to the net's width.
  multiplier_func: Callable


@slim.add_arg_scope
def depth_multiplier(
  output_params: dict,
  multiplier: float,
  divisible_by: int = 8,
  min_depth: int | None = 8,
  **unused_kwargs,
):
  """Multiplies the 'num_outputs' among a layer's parameters, where they have it, in place.

  Args:
    output_params: the parameters.
    multiplier: the factor.
    divisible_by: what the depth becomes a multiple of, never losing more than a tenth.
    min_depth: the least depth; None means `divisible_by`.
  """
  if 'num_outputs' in output_params:
    output_params['num_outputs'] = conv_blocks.make_divisible(
      output_params['num_outputs'] * multiplier, divisible_by, min_depth
    )


def op(opfunc: Callable, multiplier_func: Callable = depth_multiplier, **params) -> Op:
  """Returns the layer that calls `opfunc` with `params`, changed to the net's width."""
  return Op(opfunc, params, multiplier_func)


def keep_last_depth(conv_defs: Mapping) -> dict:
  """Returns the definitions with a last layer that keeps its depth at every width."""
  *layers, last = conv_defs['spec']
  last = last._replace(multiplier_func=lambda params, multiplier: None)
  return {**conv_defs, 'spec': [*layers, last]}


def with_group_norm(conv_defs: Mapping, **group_norm_args) -> dict:
  """Returns the definitions with group norm wherever their defaults have a normalization.

  Y. Wu and K. He, "Group Normalization", https://arxiv.org/abs/1803.08494.
  """
  defaults = {
    functions: {**args, 'normalizer_fn': slim.group_norm} if 'normalizer_fn' in args else args
    for functions, args in conv_defs['defaults'].items()
  }
  return {**conv_defs, 'defaults': {**defaults, (slim.group_norm,): group_norm_args}}


@contextlib.contextmanager
def set_arg_scope_defaults(defaults: Mapping):
  """Enters an arg scope for each item: a tuple of functions, and their arguments by name."""
  with contextlib.ExitStack() as stack:
    for functions, args in dict(defaults).items():
      stack.enter_context(slim.arg_scope(functions, **args))
    yield


def safe_arg_scope(funcs: Sequence[Callable], **kwargs):
  """Returns the arg scope that sets those of the arguments that are not None."""
  args = {name: value for name, value in kwargs.items() if value is not None}
  return slim.arg_scope(funcs, **args) if args else NoOpScope()


@slim.add_arg_scope
def mobilenet_base(
  inputs: tf.Tensor,
  conv_defs: Mapping,
  multiplier: float = 1.0,
  final_endpoint: str | None = None,
  output_stride: int | None = None,
  use_explicit_padding: bool = False,
  scope: str | tf.VariableScope | None = None,
  is_training: bool | tf.Tensor | None = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the features `[batch, height, width, depth]` and the end points up to them.

  The end points are 'layer_1', 'layer_2', ..., the outputs of the layers, and with
  'layer_2/depthwise_output' and the like what a layer names '...output' in its own scope.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    conv_defs: 'spec', the layers; 'defaults' and 'overrides', arguments by tuples of functions,
      the latter in place of what the layers' arg scopes say.
    multiplier: the factor on all depths, above 0.
    final_endpoint: the layer to end with, such as 'layer_7'; None means the last.
    output_stride: the ratio of the images' size to that of the features, for dense prediction:
      later layers dilate instead of striding. None keeps all strides.
    use_explicit_padding: whether the padding is independent of the images' size.
    scope: the variable scope.
    is_training: whether batch norm uses and averages the batch's statistics; None leaves it to
      the arg scope.

  Raises:
    InputError: when the images have another rank, or an argument is none of the allowed.
  """
  spec = conv_defs['spec']
  arguments.check_images(inputs)
  arguments.check_positive('multiplier', multiplier)
  names = [f'layer_{index}' for index in range(1, len(spec) + 1)]
  if final_endpoint is not None:
    arguments.check_choice('final_endpoint', final_endpoint, names)
  if output_stride is not None:
    layer_strides = (layer.params.get('stride', 1) for layer in spec)
    reached = itertools.accumulate(layer_strides, operator.mul, initial=1)
    arguments.check_choice('output_stride', output_stride, sorted(set(reached)))

  strides = convolutions.StrideKeeper(output_stride)
  end_points = {}
  layer_by_scope = {}
  num_ops_before = len(inputs.graph.get_operations())
  with (
    tf.variable_scope(scope, 'Mobilenet') as sc,
    # A scope entered again would get a second name scope inside.
    tf.name_scope(sc.original_name_scope),
    safe_arg_scope([slim.batch_norm], is_training=is_training),
    set_arg_scope_defaults(conv_defs.get('defaults', {})),
    set_arg_scope_defaults(conv_defs.get('overrides', {})),
    safe_arg_scope(
      [slim.conv2d, slim.separable_conv2d], padding='VALID' if use_explicit_padding else None
    ),
  ):
    net = inputs
    for name, layer in zip(names, spec, strict=True):
      params = dict(layer.params)
      layer.multiplier_func(params, multiplier)
      params['stride'], rate = strides.next(params.get('stride', 1))
      kernel_size = params.get('kernel_size')
      if rate > 1 and kernel_size not in ((1, 1), [1, 1]):
        params['rate'] = rate
      if use_explicit_padding:
        if kernel_size is None or 'use_explicit_padding' in inspect.signature(layer.op).parameters:
          params['use_explicit_padding'] = True
        else:
          net = convolutions.fixed_padding(net, kernel_size, rate)
      net = end_points[name] = layer.op(net, **params)
      layer_by_scope[net.op.name.rpartition('/')[0]] = name
      if name == final_endpoint:
        break
    for operation in inputs.graph.get_operations()[num_ops_before:]:
      op_scope, _, leaf = operation.name.rpartition('/')
      if op_scope in layer_by_scope and leaf.endswith('output'):
        end_points[f'{layer_by_scope[op_scope]}/{leaf}'] = operation.outputs[0]
  return net, end_points


@slim.add_arg_scope
def mobilenet(
  inputs: tf.Tensor,
  num_classes: int | None = 1001,
  prediction_fn: Callable | None = slim.softmax,
  reuse: bool | None = None,
  scope: str = 'Mobilenet',
  base_only: bool = False,
  use_reduce_mean_for_pooling: bool = False,
  is_training: bool | tf.Tensor | None = False,
  **mobilenet_args,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns a MobileNet's logits `[batch, num_classes]` and its end points by name.

  Args:
    inputs: the images, `[batch, height, width, channels]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, 1, 1, depth]`.
    prediction_fn: makes the end point 'Predictions' of the logits and a scope; None leaves it
      out.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope.
    base_only: whether to return the features before the pooling,
      `[batch, height, width, depth]`.
    use_reduce_mean_for_pooling: whether the pooling is a mean and not an average pooling, which
      more hardware knows.
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics;
      None leaves it to the arg scope.
    **mobilenet_args: of `mobilenet_base`: `conv_defs`, `multiplier`, `final_endpoint`,
      `output_stride`, `use_explicit_padding`.

  Raises:
    InputError: when the images have another rank, or an argument is none of the allowed.
  """
  arguments.check_images(inputs)
  with tf.variable_scope(scope, 'Mobilenet', reuse=reuse) as sc:
    inputs = tf.identity(inputs, 'input')
    net, end_points = mobilenet_base(inputs, scope=sc, is_training=is_training, **mobilenet_args)
    if base_only:
      return net, end_points
    net = tf.identity(net, 'embedding')
    with (
      tf.variable_scope('Logits'),
      safe_arg_scope([slim.dropout], is_training=is_training),
    ):
      net = heads.global_average(net) if use_reduce_mean_for_pooling else global_pool(net)
      end_points['global_pool'] = net
      if not num_classes:
        return net, end_points
      net = slim.dropout(net, scope='Dropout')
      logits = slim.conv2d(
        net,
        num_classes,
        [1, 1],
        activation_fn=None,
        normalizer_fn=None,
        biases_initializer=tf.zeros_initializer(),
        scope='Conv2d_1c_1x1',
      )
      logits = tf.identity(heads.squeeze(logits, 'Squeeze'), 'output')
    end_points['Logits'] = logits
    if prediction_fn:
      end_points['Predictions'] = prediction_fn(logits, 'Predictions')
  return logits, end_points


def global_pool(input_tensor: tf.Tensor, pool_op: Callable = tf.nn.avg_pool2d) -> tf.Tensor:
  """Returns `[batch, 1, 1, channels]`, pooled over all positions of `input_tensor`.

  With an unknown height or width, the average is a mean: a pooling needs its kernel's size.

  Args:
    input_tensor: `[batch, height, width, channels]`.
    pool_op: called with `ksize=`, `strides=` and `padding=`.
  """
  height, width = input_tensor.shape[1:3].as_list()
  if pool_op is tf.nn.avg_pool2d and None in (height, width):
    return heads.global_average(input_tensor, 'AvgPool')
  return pool_op(input_tensor, ksize=[1, height, width, 1], strides=[1, 1, 1, 1], padding='VALID')


def wrapped_partial(func: Callable, **kwargs) -> Callable:
  """Returns `func` with other defaults, and with its name, docstring and attributes."""
  return functools.update_wrapper(functools.partial(func, **kwargs), func)


def training_scope(
  is_training: bool | tf.Tensor | None = True,
  weight_decay: float = 0.00004,
  stddev: float = 0.09,
  dropout_keep_prob: float | None = 0.8,
  bn_decay: float | None = 0.997,
  batch_norm_decay: float | None = None,
) -> dict:
  """Returns the arg scope that the MobileNets of this package are to be trained under.

  Without it they are built for evaluation, with the same outputs.

  Args:
    is_training: the default of `mobilenet` and `mobilenet_base`; None leaves batch norm's and
      dropout's own.
    weight_decay: the weight of the L2 losses on the weights, those of depthwise convolutions
      excepted.
    stddev: of the initial weights; Xavier's initializer where it is negative.
    dropout_keep_prob: the part of the pooled features that dropout keeps, in (0, 1]; None leaves
      dropout's default.
    bn_decay: the decay of batch norm's moving averages, in [0, 1); None leaves batch norm's
      default. Short runs want less, such as 0.9.
    batch_norm_decay: the same by the name that the other nets' scopes have for it; not None, it
      takes the place of `bn_decay`.
  """
  if stddev < 0:
    initializer = slim.xavier_initializer()
  else:
    initializer = tf.truncated_normal_initializer(stddev=stddev)
  decay = bn_decay if batch_norm_decay is None else batch_norm_decay
  with (
    slim.arg_scope(WEIGHT_LAYERS, weights_initializer=initializer, normalizer_fn=slim.batch_norm),
    slim.arg_scope([mobilenet_base, mobilenet], is_training=is_training),
    safe_arg_scope([slim.batch_norm], decay=decay, is_training=is_training),
    safe_arg_scope([slim.dropout], keep_prob=dropout_keep_prob, is_training=is_training),
    slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(weight_decay)),
    slim.arg_scope([slim.separable_conv2d], weights_regularizer=None) as scope,
  ):
    return scope
