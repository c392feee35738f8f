"""What several families do between their last features and their logits."""

from collections.abc import Sequence

from slimcompat import errors, slim, tf


def global_average(net: tf.Tensor, name: str = 'global_pool') -> tf.Tensor:
  """Returns `[batch, 1, 1, channels]`, the average over all positions of `net`."""
  return tf.reduce_mean(net, [1, 2], keepdims=True, name=name)


def reduced_kernel_size(net: tf.Tensor, kernel_size: Sequence[int]) -> list[int]:
  """Returns `kernel_size`, cut to the size of `net`, frames included, where that is smaller."""
  sizes = zip(kernel_size, net.shape[1:-1].as_list(), strict=True)
  return [kernel if size is None else min(kernel, size) for kernel, size in sizes]


def squeeze(logits: tf.Tensor, name: str) -> tf.Tensor:
  """Returns `[batch, num_classes]` of the `[batch, 1, 1, num_classes]` logits.

  Raises:
    InputError: when the logits are a map of more positions than one.
  """
  height, width = logits.shape[1:3].as_list()
  if any(size not in (None, 1) for size in (height, width)):
    raise errors.InputError(
      f'The images give {height}x{width} positions of logits, not one. Pass global_pool=True to'
      ' average the features over them, spatial_squeeze=False to get them all, or use images of'
      " the net's own size."
    )
  return tf.squeeze(logits, [1, 2], name=name)


def dense_layers(
  net: tf.Tensor,
  hidden_sizes: tuple[int, int],
  num_classes: int | None,
  kernel_size: Sequence[int],
  is_training: bool | tf.Tensor,
  dropout_keep_prob: float,
  padding: str = 'VALID',
  global_pool: bool = False,
  spatial_squeeze: bool = True,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Puts the hidden layers 'fc6' and 'fc7' and the logits 'fc8' on `net`, as convolutions.

  The end of AlexNet, OverFeat and VGG. On images larger than the net's own size the layers
  slide: P. Sermanet et al., "OverFeat", https://arxiv.org/abs/1312.6229, section 3.5.

  Args:
    net: the last features, `[batch, height, width, channels]`.
    hidden_sizes: the depths of 'fc6' and 'fc7'.
    num_classes: the number of logits; 0 or None ends with 'fc7'.
    kernel_size: height and width of the features that 'fc6' joins.
    is_training: whether dropout drops.
    dropout_keep_prob: the part of each hidden layer that dropout keeps, in (0, 1].
    padding: of 'fc6'.
    global_pool: whether the features are averaged over all positions before the logits.
    spatial_squeeze: whether the logits become `[batch, num_classes]`.

  Returns:
    The logits or features, and the end points that no collection of outputs gets.

  Raises:
    InputError: when there is more than one position of logits to squeeze.
  """
  end_points = {}
  net = slim.conv2d(net, hidden_sizes[0], kernel_size, padding=padding, scope='fc6')
  net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout6')
  net = slim.conv2d(net, hidden_sizes[1], [1, 1], scope='fc7')
  if global_pool:
    net = end_points['global_pool'] = global_average(net)
  if num_classes:
    net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout7')
    net = slim.conv2d(
      net,
      num_classes,
      [1, 1],
      activation_fn=None,
      normalizer_fn=None,
      biases_initializer=tf.zeros_initializer(),
      scope='fc8',
    )
    if spatial_squeeze:
      net = squeeze(net, 'fc8/squeezed')
    end_points[f'{tf.get_variable_scope().name}/fc8'] = net
  return net, end_points
