"""NASNet-A: two cells found on CIFAR-10, one that keeps the size and one that halves it, stacked.

B. Zoph, V. Vasudevan, J. Shlens and Q. V. Le, "Learning Transferable Architectures for Scalable
Image Recognition", 2017, https://arxiv.org/abs/1707.07012: figure 2 (how the cells stack), figure
4 (the cells) and section 4 (4 @ 1056 is the mobile net, 6 @ 4032 the large one, 6 @ 768 that for
CIFAR-10: cells between reductions, and channels before the logits). What the paper leaves open is
as in the authors' release: two reduction cells after the first convolution of the ImageNet nets,
a second classifier before the last reduction, and in the large net a cell's output that skips
the cell after a reduction.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nets import arguments
from nets.nasnet import nasnet_utils, settings
from slimcompat import slim, tf


class Place(NamedTuple):
  """Where a cell stands in a net."""

  scope: str
  end_point: str | None
  stride: int
  filter_scaling: float
  # The cell's second input, among the outputs so far; the first is the last of them.
  previous: int = -2


class Design(NamedTuple):
  """What tells one net of cells from another."""

  cell_by_stride: Mapping[int, type[nasnet_utils.TableCell]]
  places: Callable[[settings.Settings], list[Place]]  # The cells after the stem's.
  has_stem_cells: bool = True  # Whether the stem is made for ImageNet's larger images.


def cifar_config() -> settings.Settings:
  """Returns the settings of `build_nasnet_cifar`: 6 @ 768 of the paper's table 1."""
  return settings.Settings(
    num_cells=18,
    num_conv_filters=32,
    stem_multiplier=3.0,
    drop_path_keep_prob=0.6,
    dense_dropout_keep_prob=1.0,
    skip_reduction_layer_input=False,
    total_training_steps=937_500,  # 600 epochs in batches of 32.
  )


def mobile_imagenet_config() -> settings.Settings:
  """Returns the settings of `build_nasnet_mobile`: 4 @ 1056 of the paper's table 3."""
  return settings.Settings(
    num_cells=12,
    num_conv_filters=44,
    stem_multiplier=1.0,
    drop_path_keep_prob=1.0,
    dense_dropout_keep_prob=0.5,
    skip_reduction_layer_input=False,
  )


def large_imagenet_config() -> settings.Settings:
  """Returns the settings of `build_nasnet_large`: 6 @ 4032 of the paper's table 2."""
  return settings.Settings(
    num_cells=18,
    num_conv_filters=168,
    stem_multiplier=3.0,
    drop_path_keep_prob=0.7,
    dense_dropout_keep_prob=0.5,
    skip_reduction_layer_input=True,
  )


def _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon):
  with (
    slim.arg_scope(
      [slim.fully_connected, slim.conv2d, slim.separable_conv2d],
      weights_regularizer=slim.l2_regularizer(weight_decay),
      weights_initializer=slim.variance_scaling_initializer(mode='FAN_OUT'),
      activation_fn=None,
    ),
    slim.arg_scope([slim.fully_connected], scope='FC'),
    slim.arg_scope([slim.conv2d, slim.separable_conv2d], biases_initializer=None),
    slim.arg_scope(
      [slim.batch_norm],
      decay=batch_norm_decay,
      epsilon=batch_norm_epsilon,
      scale=True,
      fused=True,
    ) as scope,
  ):
    return scope


def nasnet_cifar_arg_scope(
  weight_decay: float = 5e-4, batch_norm_decay: float = 0.9, batch_norm_epsilon: float = 1e-5
) -> dict:
  """Returns the arg scope that `build_nasnet_cifar` is to be called under.

  Args:
    weight_decay: the weight of the L2 losses on all weights, but not on biases and batch norm.
    batch_norm_decay: the decay of the moving averages, in (0, 1).
    batch_norm_epsilon: what batch norm adds to the variance.
  """
  return _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_mobile_arg_scope(
  weight_decay: float = 4e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-3
) -> dict:
  """Returns the arg scope for `build_nasnet_mobile`; see `nasnet_cifar_arg_scope`."""
  return _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def nasnet_large_arg_scope(
  weight_decay: float = 5e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-3
) -> dict:
  """Returns the arg scope for `build_nasnet_large`; see `nasnet_cifar_arg_scope`."""
  return _arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def _places(config):
  """Returns the places of NASNet's cells: an extra cell wherever the size is halved."""
  reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
  places = []
  scaling = 1.0
  for index in range(config.num_cells):
    previous = -2
    if index in reductions:
      number = reductions.index(index)
      scaling *= config.filter_scaling_rate
      places.append(Place(f'reduction_cell_{number}', f'Reduction_Cell_{number}', 2, scaling))
      previous = -3 if config.skip_reduction_layer_input else -2
    places.append(Place(f'cell_{index}', f'Cell_{index}', 1, scaling, previous))
  return places


def _stem_places(config):
  """Returns the places of the cells that shrink ImageNet's images."""
  scaling = 1 / config.filter_scaling_rate**2
  return [
    Place('cell_stem_0', None, 2, scaling),
    Place('cell_stem_1', 'Stem', 2, scaling * config.filter_scaling_rate),
  ]


_CELLS = {1: nasnet_utils.NasNetANormalCell, 2: nasnet_utils.NasNetAReductionCell}
_IMAGENET = Design(_CELLS, _places)
_CIFAR = Design(_CELLS, _places, has_stem_cells=False)


def build(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool,
  config: settings.Settings,
  design: Design,
  final_endpoint: str | None = None,
  current_step: tf.Tensor | None = None,
  reuse: bool | None = None,
  scope: str | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits `[batch, num_classes]` of a net of cells and its end points by name.

  All nets of this package are built here; their functions give `config` and `design`.

  Args:
    images: `[batch, height, width, channels]`, of known height, width and channels.
    num_classes: the number of logits; 0 or None returns the pooled features instead,
      `[batch, channels]`.
    is_training: whether paths are dropped, dropout drops, batch norm uses and averages the
      batch's statistics, and there is a second classifier.
    config: the net's sizes and probabilities.
    design: the net's cells.
    final_endpoint: where to end, and what to return for the logits: 'Stem', 'Cell_<n>',
      'Reduction_Cell_<n>', 'global_pool', 'Logits' or 'Predictions'. None builds all.
    current_step: the step of training that the dropping of paths goes by; None means the global
      step, which is made if there is none.
    reuse: whether to use the variables that the scope has already.
    scope: the variable scope; None adds none.

  Raises:
    InputError: when the images have another rank, an unknown or too small size, or there is no
      such `final_endpoint` or data format.
  """
  arguments.check_choice('data_format', config.data_format, ['NHWC', 'NCHW'])
  arguments.check_positive('drop_path_keep_prob', config.drop_path_keep_prob)
  places = (_stem_places(config) if design.has_stem_cells else []) + design.places(config)
  aux_place = _aux_place(places, config) if is_training and num_classes else None
  arguments.check_images(images, _min_size(places, aux_place, design), any_size=False)
  if final_endpoint is not None:
    names = [place.end_point for place in places if place.end_point]
    names += ['global_pool', 'Logits', 'Predictions'] if num_classes else ['global_pool']
    arguments.check_choice('final_endpoint', final_endpoint, dict.fromkeys(['Stem', *names]))
  with (
    tf.variable_scope(
      scope or tf.get_variable_scope(), reuse=reuse, auxiliary_name_scope=scope is not None
    ),
    slim.arg_scope(
      [slim.dropout, nasnet_utils.drop_path, slim.batch_norm], is_training=is_training
    ),
    slim.arg_scope(
      [
        slim.avg_pool2d,
        slim.max_pool2d,
        slim.conv2d,
        slim.batch_norm,
        slim.separable_conv2d,
        nasnet_utils.factorized_reduction,
        nasnet_utils.global_avg_pool,
        nasnet_utils.get_channel_index,
        nasnet_utils.get_channel_dim,
      ],
      data_format=config.data_format,
    ),
  ):
    if config.data_format == 'NCHW':
      images = tf.transpose(images, [0, 3, 1, 2])
    cell_by_stride = {
      stride: cell(
        config.num_conv_filters,
        config.drop_path_keep_prob if is_training else 1.0,
        len(places),
        config.total_training_steps,
        config.use_bounded_activation,
      )
      for stride, cell in design.cell_by_stride.items()
    }
    net = _first_convolution(images, config, design)
    end_points = {} if design.has_stem_cells else {'Stem': net}
    outputs = [None, net]
    for cell_num, place in enumerate(places):
      if final_endpoint in end_points:
        break
      net = cell_by_stride[place.stride](
        net,
        scope=place.scope,
        filter_scaling=place.filter_scaling,
        stride=place.stride,
        prev_layer=outputs[place.previous],
        cell_num=cell_num,
        current_step=current_step,
      )
      outputs.append(net)
      if place.end_point:
        end_points[place.end_point] = net
    activation = tf.nn.relu6 if config.use_bounded_activation else tf.nn.relu
    if aux_place and aux_place.end_point in end_points and aux_place.end_point != final_endpoint:
      features = activation(end_points[aux_place.end_point])
      with tf.variable_scope(f'aux_{aux_place.scope.removeprefix("cell_")}/aux_logits'):
        end_points['AuxLogits'] = _aux_logits(features, num_classes, activation, config)
    if final_endpoint in end_points:
      return net, end_points
    with tf.variable_scope('final_layer'):
      net = end_points['global_pool'] = nasnet_utils.global_avg_pool(activation(net))
      if not num_classes or final_endpoint == 'global_pool':
        return net, end_points
      net = slim.dropout(net, config.dense_dropout_keep_prob, scope='dropout')
      net = end_points['Logits'] = slim.fully_connected(net, num_classes)
      if final_endpoint != 'Logits':
        end_points['Predictions'] = tf.nn.softmax(net, name='predictions')
  return end_points[final_endpoint or 'Logits'], end_points


def _aux_place(places, config):
  """Returns the place whose output the second classifier takes, or None without one."""
  reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
  if not config.use_aux_head or len(reductions) < 2:
    return None
  scope = f'cell_{reductions[1] - 1}'
  return next((place for place in places if place.scope == scope), None)


def _min_size(places, aux_place, design):
  """Returns the least height and width of the images, in pixels."""

  def num_halvings(places):
    return sum(place.stride == 2 for place in places)

  # A cell tells by its size that an input is from before the halving, so the last one must show.
  size = 2 ** num_halvings(places) // 2 + 1
  if aux_place:
    # The second classifier pools 5x5.
    size = max(size, 4 * 2 ** num_halvings(places[: places.index(aux_place) + 1]) + 1)
  return 2 * size + 1 if design.has_stem_cells else size


def _first_convolution(images, config, design):
  """Returns the features that the first cell takes."""
  if design.has_stem_cells:
    filters = int(32 * config.stem_multiplier)
    return nasnet_utils.conv_bn(images, filters, 3, 'conv0', 'conv0_bn', stride=2, padding='VALID')
  filters = int(config.num_conv_filters * config.stem_multiplier)
  return nasnet_utils.conv_bn(images, filters, 3, 'l1_stem_3x3', 'l1_stem_bn')


def _aux_logits(net, num_classes, activation, config):
  """Returns the logits `[batch, num_classes]` of the second classifier."""
  net = slim.avg_pool2d(net, [5, 5], stride=3, padding='VALID')
  net = activation(nasnet_utils.conv_bn(net, 128, 1, 'proj', 'aux_bn0'))
  size = net.shape[1:3] if config.data_format == 'NHWC' else net.shape[2:4]
  net = activation(nasnet_utils.conv_bn(net, 768, size.as_list(), None, 'aux_bn1', padding='VALID'))
  return slim.fully_connected(slim.flatten(net), num_classes)


def build_nasnet_cifar(
  images: tf.Tensor,
  num_classes: int | None,
  is_training: bool = True,
  config: settings.Settings | None = None,
  current_step: tf.Tensor | None = None,
  final_endpoint: str | None = None,
  reuse: bool | None = None,
  scope: str | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns NASNet-A's logits for CIFAR-10 and its end points; see `build`.

  `config` None means `cifar_config()`.
  """
  config = config or cifar_config()
  return build(
    images, num_classes, is_training, config, _CIFAR, final_endpoint, current_step, reuse, scope
  )


build_nasnet_cifar.default_image_size = 32


def imagenet_net(
  name: str, make_config: Callable[[], settings.Settings], design: Design, image_size: int
) -> Callable:
  """Returns the function `name` that builds a net of `design` for images of `image_size` pixels."""

  def network(
    images: tf.Tensor,
    num_classes: int | None,
    is_training: bool = True,
    final_endpoint: str | None = None,
    config: settings.Settings | None = None,
    current_step: tf.Tensor | None = None,
    reuse: bool | None = None,
    scope: str | None = None,
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the net's logits for ImageNet and its end points; see `nasnet.build`.

    `config` None means the settings of the paper's net.
    """
    config = config or make_config()
    return build(
      images, num_classes, is_training, config, design, final_endpoint, current_step, reuse, scope
    )

  network.__name__ = network.__qualname__ = name
  network.default_image_size = image_size
  return network


build_nasnet_mobile = imagenet_net('build_nasnet_mobile', mobile_imagenet_config, _IMAGENET, 224)
build_nasnet_large = imagenet_net('build_nasnet_large', large_imagenet_config, _IMAGENET, 331)
