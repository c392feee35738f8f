"""LeNet for 28x28 digits, in the shape TensorFlow's first tutorial on MNIST gave it.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-Based Learning Applied to Document
Recognition", 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf, figure 2. Against the
paper's LeNet-5: 32 and 64 padded filters for 6 and 16, each seeing all channels; max pooling
for subsampling with weights; one hidden layer of 1,024 units for two of 120 and 84; ReLU for
tanh; softmax for distances; dropout.
"""

from collections.abc import Callable

from nets import arguments
from slimcompat import slim, tf


def lenet(
  images: tf.Tensor,
  num_classes: int | None = 10,
  is_training: bool | tf.Tensor = False,
  dropout_keep_prob: float = 0.5,
  prediction_fn: Callable = slim.softmax,
  scope: str = 'LeNet',
  reuse: bool | None = None,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
  """Returns LeNet's logits `[batch, num_classes]` and its end points by name.

  Args:
    images: `[batch, height, width, channels]`, of known height, width and channels.
    num_classes: the number of logits; 0 or None returns the features before the dropout,
      `[batch, 1024]`, instead.
    is_training: whether dropout drops.
    dropout_keep_prob: the part of the features that dropout keeps, in (0, 1].
    prediction_fn: makes the end point 'Predictions' of the logits.
    scope: the variable scope.
    reuse: whether to use the variables that the scope has already.

  Raises:
    InputError: when the images have another rank, an unknown size, or less than 4x4 pixels.
  """
  arguments.check_images(images, min_size=4, any_size=False)
  end_points = {}
  with tf.variable_scope(scope, 'LeNet', [images], reuse=reuse):
    net = end_points['conv1'] = slim.conv2d(images, 32, [5, 5], scope='conv1')
    net = end_points['pool1'] = slim.max_pool2d(net, [2, 2], 2, scope='pool1')
    net = end_points['conv2'] = slim.conv2d(net, 64, [5, 5], scope='conv2')
    net = end_points['pool2'] = slim.max_pool2d(net, [2, 2], 2, scope='pool2')
    net = end_points['Flatten'] = slim.flatten(net)
    net = end_points['fc3'] = slim.fully_connected(net, 1024, scope='fc3')
    if not num_classes:
      return net, end_points
    net = end_points['dropout3'] = slim.dropout(
      net, dropout_keep_prob, is_training=is_training, scope='dropout3'
    )
    logits = end_points['Logits'] = slim.fully_connected(
      net, num_classes, activation_fn=None, scope='fc4'
    )
  end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
  return logits, end_points


lenet.default_image_size = 28


def lenet_arg_scope(weight_decay: float = 0.0) -> dict:
  """Returns the arg scope that `lenet` is to be built under."""
  with slim.arg_scope(
    [slim.conv2d, slim.fully_connected],
    weights_regularizer=slim.l2_regularizer(weight_decay),
    weights_initializer=tf.truncated_normal_initializer(stddev=0.1),
    activation_fn=tf.nn.relu,
  ) as scope:
    return scope
