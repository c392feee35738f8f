"""VGG: deep stacks of 3x3 convolutions.

K. Simonyan and A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", 2014, https://arxiv.org/abs/1409.1556, table 1. The fully connected layers are
convolutions, as in the paper's dense evaluation (section 3.2).
"""

from nets import arguments, heads
from slimcompat import slim, tf

DEPTHS = (64, 128, 256, 512, 512)


def _configuration(name, nums_convolutions):
  """Returns the net of a column of table 1: `nums_convolutions` of each of the DEPTHS."""

  def network(
    inputs: tf.Tensor,
    num_classes: int | None = 1000,
    is_training: bool | tf.Tensor = True,
    dropout_keep_prob: float = 0.5,
    spatial_squeeze: bool = True,
    reuse: bool | None = None,
    scope: str = name,
    fc_conv_padding: str = 'VALID',
    global_pool: bool = False,
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns a VGG net's logits `[batch, num_classes]` and its end points by name.

    Args:
      inputs: the images, `[batch, height, width, channels]`.
      num_classes: the number of logits; 0 or None returns the features before the dropout below
        them, `[batch, height, width, 4096]`, instead.
      is_training: whether dropout drops.
      dropout_keep_prob: the part of each hidden layer that dropout keeps, in (0, 1].
      spatial_squeeze: whether the logits lose their height and width of 1; without,
        `[batch, height, width, num_classes]`, a position for every 32 pixels from 224 on.
      reuse: whether to use the variables that the scope has already.
      scope: the variable scope.
      fc_conv_padding: 'VALID', or 'SAME' for a position of logits per 32 pixels of image, which
        also admits images from 32x32.
      global_pool: whether the features are averaged over all positions before the logits.

    Raises:
      InputError: when the images have another rank, are smaller than 224x224 with 'VALID' or
        32x32 with 'SAME', or give more positions of logits than one to squeeze.
    """
    arguments.check_choice('fc_conv_padding', fc_conv_padding, ['VALID', 'SAME'])
    arguments.check_images(inputs, min_size=224 if fc_conv_padding == 'VALID' else 32)
    with tf.variable_scope(scope, name, [inputs], reuse=reuse) as sc:
      collection = sc.original_name_scope + '_end_points'
      with slim.arg_scope(
        [slim.conv2d, slim.fully_connected, slim.max_pool2d], outputs_collections=collection
      ):
        net = inputs
        for block, (depth, num) in enumerate(zip(DEPTHS, nums_convolutions, strict=True), 1):
          net = slim.repeat(net, num, slim.conv2d, depth, [3, 3], scope=f'conv{block}')
          net = slim.max_pool2d(net, [2, 2], scope=f'pool{block}')
        net, head_end_points = heads.dense_layers(
          net,
          (4096, 4096),
          num_classes,
          [7, 7],
          is_training,
          dropout_keep_prob,
          padding=fc_conv_padding,
          global_pool=global_pool,
          spatial_squeeze=spatial_squeeze,
        )
      return net, {**slim.utils.convert_collection_to_dict(collection), **head_end_points}

  network.__name__ = network.__qualname__ = name
  network.default_image_size = 224
  return network


vgg_a = _configuration('vgg_a', (1, 1, 2, 2, 2))
vgg_16 = vgg_d = _configuration('vgg_16', (2, 2, 3, 3, 3))
vgg_19 = vgg_e = _configuration('vgg_19', (2, 2, 4, 4, 4))


def vgg_arg_scope(weight_decay: float = 0.0005) -> dict:
  """Returns the arg scope that the VGG nets are to be built under."""
  with (
    slim.arg_scope(
      [slim.conv2d, slim.fully_connected],
      activation_fn=tf.nn.relu,
      weights_regularizer=slim.l2_regularizer(weight_decay),
      biases_initializer=tf.zeros_initializer(),
    ),
    slim.arg_scope([slim.conv2d], padding='SAME') as scope,
  ):
    return scope
