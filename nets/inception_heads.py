"""What follows the features of an Inception net: its logits, and the auxiliary ones."""

from collections.abc import Callable, Sequence

from nets import arguments, heads
from nets import inception_blocks as blocks
from slimcompat import slim, tf

# What all auxiliary heads start with, on the features of 17x17: figure 8 of C. Szegedy et al.,
# "Rethinking the Inception Architecture for Computer Vision", https://arxiv.org/abs/1512.00567.
AUXILIARY_LAYERS = (
  blocks.Pool('Avg', '1a', 5, stride=3, padding='VALID'),
  blocks.Conv('1b', 1, 128),
)
AUXILIARY_DEPTH = 768


def classify(
  net: tf.Tensor,
  num_classes: int | None,
  kernel_size: tuple[int, int],
  dropout_keep_prob: float,
  prediction_fn: Callable | None,
  spatial_squeeze: bool,
  global_pool: bool,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits of Inception v2 and v3, and their end points by name.

  Args:
    net: the last features, `[batch, height, width, depth]`.
    num_classes: the number of logits; 0 or None returns the pooled features instead.
    kernel_size: of the average pooling, cut to what there is.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    prediction_fn: makes the end point 'Predictions' of the logits; None leaves it out.
    spatial_squeeze: whether the logits become `[batch, num_classes]`.
    global_pool: whether the features are averaged over all positions.

  Raises:
    InputError: when there is more than one position of logits to squeeze.
  """
  end_points = {}
  with tf.variable_scope('Logits'):
    if global_pool:
      net = end_points['global_pool'] = heads.global_average(net)
    else:
      height, width = heads.reduced_kernel_size(net, kernel_size)
      net = slim.avg_pool2d(
        net, [height, width], padding='VALID', scope=f'AvgPool_1a_{height}x{width}'
      )
      end_points['AvgPool_1a'] = net
    if not num_classes:
      return net, end_points
    net = slim.dropout(net, keep_prob=dropout_keep_prob, scope='Dropout_1b')
    end_points['PreLogits'] = net
    logits = slim.conv2d(
      net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope='Conv2d_1c_1x1'
    )
    if spatial_squeeze:
      logits = heads.squeeze(logits, 'SpatialSqueeze')
  end_points['Logits'] = logits
  if prediction_fn:
    end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


def classify_dense(
  net: tf.Tensor,
  num_classes: int | None,
  dropout_keep_prob: float,
  pool_scope: str,
  flatten_scope: str,
  dropout_scope: str,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns the logits of Inception v4 and Inception-ResNet v2, and their end points by name.

  Args:
    net: the last features, `[batch, height, width, depth]`.
    num_classes: the number of logits; 0 or None returns the features instead, averaged over all
      positions.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    pool_scope: of the pooling where height and width are known.
    flatten_scope: of the flattening.
    dropout_scope: of the dropout.
  """
  end_points = {}
  with tf.variable_scope('Logits'):
    size = net.shape[1:3]
    if size.is_fully_defined():
      net = slim.avg_pool2d(net, size.as_list(), padding='VALID', scope=pool_scope)
    else:
      net = heads.global_average(net)
    end_points['global_pool'] = net
    if not num_classes:
      return net, end_points
    net = slim.flatten(net, scope=flatten_scope)
    net = slim.dropout(net, dropout_keep_prob, scope=dropout_scope)
    end_points['PreLogitsFlatten'] = net
    logits = slim.fully_connected(net, num_classes, activation_fn=None, scope='Logits')
    end_points['Logits'] = logits
    end_points['Predictions'] = tf.nn.softmax(logits, name='Predictions')
  return logits, end_points


def check_auxiliary_images(images: tf.Tensor, layers: Sequence, any_size: bool = True):
  """Checks that `images` leave an auxiliary head after `layers` something to pool.

  Args:
    images: `[batch, height, width, channels]`.
    layers: of the net, up to where the head starts.
    any_size: whether height and width may be unknown.

  Raises:
    InputError: when the rank differs or the size will not do.
  """
  min_size = blocks.smallest_input([*layers, *AUXILIARY_LAYERS])
  arguments.check_images(images, min_size, any_size=any_size)


def auxiliary_dense_logits(
  net: tf.Tensor, num_classes: int, conv_scope: str, logits_scope: str
) -> tf.Tensor:
  """Returns the auxiliary logits `[batch, num_classes]` of Inception v4 and Inception-ResNet v2.

  Args:
    net: the features in the middle, `[batch, height, width, depth]`, of known height and width.
    num_classes: the number of logits.
    conv_scope: of the convolution over all positions.
    logits_scope: of the logits.
  """
  with tf.variable_scope('AuxLogits'):
    for layer in AUXILIARY_LAYERS:
      net = layer.build(net, blocks.AS_IN_TABLE)
    size = net.shape[1:3].as_list()
    net = slim.conv2d(net, AUXILIARY_DEPTH, size, padding='VALID', scope=conv_scope)
    net = slim.flatten(net)
    return slim.fully_connected(net, num_classes, activation_fn=None, scope=logits_scope)
