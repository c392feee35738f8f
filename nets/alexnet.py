"""AlexNet, its second version: the first one's layers in one column instead of two.

A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
https://arxiv.org/abs/1404.5997, section 5, after A. Krizhevsky, I. Sutskever and G. E. Hinton,
"ImageNet Classification with Deep Convolutional Neural Networks", 2012. Against both: no local
response normalization, and no padding before the first convolution, so the first fully connected
layer sees 5x5 features of a 224x224 image instead of 6x6. Fully connected layers are convolutions.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nets import arguments, heads
from slimcompat import slim, tf


class Stage(NamedTuple):
  """A convolution and the max pooling after it."""

  depth: int  # The number of filters.
  kernel_size: int
  stride: int = 1
  padding: str = 'SAME'
  pool_size: int | None = None  # Of windows that are 2 apart; None for no pooling.


STAGES = (
  Stage(64, 11, stride=4, padding='VALID', pool_size=3),
  Stage(192, 5, pool_size=3),
  Stage(384, 3),
  Stage(384, 3),
  Stage(256, 3, pool_size=3),
)


def of_stages(
  name: str,
  stages: Sequence[Stage],
  feature_size: int,
  hidden_sizes: tuple[int, int],
  image_size: int,
) -> Callable:
  """Returns the net `name` of AlexNet's kind, which OverFeat is of, too.

  Args:
    name: the function's and the scope's.
    stages: the convolutions and poolings.
    feature_size: height and width of the features that the first dense layer joins.
    hidden_sizes: the depths of the two hidden dense layers.
    image_size: the pixels per side that the net was designed for.
  """
  min_image_size = _min_image_size(stages, feature_size)

  def network(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool | tf.Tensor = True,
    dropout_keep_prob: float = 0.5,
    spatial_squeeze: bool = True,
    scope: str = name,
    global_pool: bool = False,
    reuse: bool | None = None,
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the net's logits `[batch, num_classes]` and its end points by name.

    Args:
      inputs: the images, `[batch, height, width, channels]`.
      num_classes: the number of logits; 0 or None returns the features before the dropout below
        them, `[batch, height, width, 4096]`, instead.
      is_training: whether dropout drops.
      dropout_keep_prob: the part of each hidden layer that dropout keeps, in (0, 1].
      spatial_squeeze: whether the logits lose their height and width of 1; without,
        `[batch, height, width, num_classes]`.
      scope: the variable scope.
      global_pool: whether the features are averaged over all positions before the logits.
      reuse: whether to use the variables that the scope has already.

    Raises:
      InputError: when the images have another rank, are smaller than 195x195 for AlexNet or
        231x231 for OverFeat, or give more positions of logits than one to squeeze.
    """
    arguments.check_images(inputs, min_size=min_image_size)
    with tf.variable_scope(scope, name, [inputs], reuse=reuse) as sc:
      collection = sc.original_name_scope + '_end_points'
      with slim.arg_scope([slim.conv2d, slim.max_pool2d], outputs_collections=collection):
        net = inputs
        for index, stage in enumerate(stages, 1):
          net = slim.conv2d(
            net,
            stage.depth,
            stage.kernel_size,
            stride=stage.stride,
            padding=stage.padding,
            scope=f'conv{index}',
          )
          if stage.pool_size:
            net = slim.max_pool2d(net, stage.pool_size, stride=2, scope=f'pool{index}')
        with slim.arg_scope(
          [slim.conv2d],
          weights_initializer=tf.truncated_normal_initializer(stddev=0.005),
          biases_initializer=tf.constant_initializer(0.1),
        ):
          net, head_end_points = heads.dense_layers(
            net,
            hidden_sizes,
            num_classes,
            [feature_size, feature_size],
            is_training,
            dropout_keep_prob,
            global_pool=global_pool,
            spatial_squeeze=spatial_squeeze,
          )
      return net, {**slim.utils.convert_collection_to_dict(collection), **head_end_points}

  network.__name__ = network.__qualname__ = name
  network.default_image_size = image_size
  return network


def _min_image_size(stages, feature_size):
  """Returns the pixels per side that give `feature_size` features per side."""
  size = feature_size
  for stage in reversed(stages):
    if stage.pool_size:
      size = (size - 1) * 2 + stage.pool_size
    if stage.padding == 'VALID':
      size = (size - 1) * stage.stride + stage.kernel_size
  return size


alexnet_v2 = of_stages('alexnet_v2', STAGES, 5, (4096, 4096), image_size=224)


def alexnet_v2_arg_scope(weight_decay: float = 0.0005) -> dict:
  """Returns the arg scope that `alexnet_v2` is to be built under."""
  return stages_arg_scope(weight_decay, tf.constant_initializer(0.1))


def stages_arg_scope(weight_decay: float, biases_initializer: Callable) -> dict:
  """Returns the arg scope for a net `of_stages`, whose biases start as given."""
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      activation_fn=tf.nn.relu,
      biases_initializer=biases_initializer,
      weights_regularizer=slim.l2_regularizer(weight_decay),
    ),
    slim.arg_scope([slim.conv2d], padding='SAME'),
    slim.arg_scope([slim.max_pool2d], padding='VALID') as scope,
  ):
    return scope
