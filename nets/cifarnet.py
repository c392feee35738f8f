"""CifarNet for small colour images, as TensorFlow's tutorial on CIFAR-10 had it.

A. Krizhevsky's cuda-convnet for the data set of "Learning Multiple Layers of Features from Tiny
Images", 2009, https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf: two convolutions
with local response normalization and two hidden layers. Against cuda-convnet: 2x2 pooling for
overlapping 3x3, fully connected layers for locally connected ones, and dropout.
"""

from collections.abc import Callable

from nets import arguments
from slimcompat import slim, tf


def cifarnet(
  images: tf.Tensor,
  num_classes: int | None = 10,
  is_training: bool | tf.Tensor = False,
  dropout_keep_prob: float = 0.5,
  prediction_fn: Callable = slim.softmax,
  scope: str = 'CifarNet',
  reuse: bool | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns CifarNet's logits `[batch, num_classes]` and its end points by name.

  Args:
    images: `[batch, height, width, channels]`, of known height, width and channels.
    num_classes: the number of logits; 0 or None returns the features below them,
      `[batch, 192]`, instead.
    is_training: whether dropout drops.
    dropout_keep_prob: the part of the first hidden layer that dropout keeps, in (0, 1].
    prediction_fn: makes the end point 'Predictions' of the logits.
    scope: the variable scope.
    reuse: whether to use the variables that the scope has already.

  Raises:
    InputError: when the images have another rank, an unknown size, or less than 4x4 pixels.
  """
  arguments.check_images(images, min_size=4, any_size=False)
  end_points = {}
  with tf.variable_scope(scope, 'CifarNet', [images], reuse=reuse):
    net = end_points['conv1'] = slim.conv2d(images, 64, [5, 5], scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, [2, 2], 2, scope='pool1')
    net = _normalize_responses(net, 'norm1')
    net = end_points['conv2'] = slim.conv2d(net, 64, [5, 5], scope='conv2')
    net = _normalize_responses(net, 'norm2')
    net = end_points['pool2'] = slim.max_pool2d(net, [2, 2], 2, scope='pool2')
    net = end_points['Flatten'] = slim.flatten(net)
    net = end_points['fc3'] = slim.fully_connected(net, 384, scope='fc3')
    net = slim.dropout(net, dropout_keep_prob, is_training=is_training, scope='dropout3')
    net = end_points['fc4'] = slim.fully_connected(net, 192, scope='fc4')
    if not num_classes:
      return net, end_points
    logits = end_points['Logits'] = slim.fully_connected(
      net,
      num_classes,
      activation_fn=None,
      weights_initializer=tf.truncated_normal_initializer(stddev=1 / 192),
      weights_regularizer=None,
      biases_initializer=tf.zeros_initializer(),
      scope='logits',
    )
    end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


cifarnet.default_image_size = 32


def _normalize_responses(net, name):
  """Divides each response by a norm of the four channels on either side of it."""
  # cuda-convnet's scale is that of the sum over the 9 channels.
  return tf.nn.lrn(net, depth_radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75, name=name)


def cifarnet_arg_scope(weight_decay: float = 0.004) -> dict:
  """Returns the arg scope that `cifarnet` is to be built under.

  Only the two hidden layers' weights decay, as in cuda-convnet.
  """
  with (
    slim.arg_scope(
      [slim.conv2d],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.05),
      activation_fn=tf.nn.relu,
    ),
    slim.arg_scope(
      [slim.fully_connected],
      weights_initializer=tf.truncated_normal_initializer(stddev=0.04),
      weights_regularizer=slim.l2_regularizer(weight_decay),
      biases_initializer=tf.constant_initializer(0.1),
      activation_fn=tf.nn.relu,
    ) as scope,
  ):
    return scope
