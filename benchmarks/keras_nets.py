"""Keras twins of two of slim's nets, doing the same work, and their training with `fit`."""

import contextlib
import math

from benchmarks import plain_input, slim_runs, stopwatch
from slimcompat import tf

_WEIGHT_DECAY = 0.00004  # slimtrain's default.
_BATCH_NORM = {
  'resnet_v1_50': {'momentum': 0.997, 'epsilon': 1e-5},
  'mobilenet_v1': {'momentum': 0.9997, 'epsilon': 1e-3},
}


def _regularizer():
  # slim's has half the square.
  return tf.keras.regularizers.L2(_WEIGHT_DECAY / 2)


def _conv(net, depth, kernel, stride=1, activation='relu', padding='same', **batch_norm):
  layers = tf.keras.layers
  if padding == 'fixed':
    # As slim's conv2d_same: whatever the image's size.
    net = layers.ZeroPadding2D(((kernel - 1) // 2, kernel // 2))(net)
    padding = 'valid'
  net = layers.Conv2D(
    depth, kernel, stride, padding, use_bias=False, kernel_regularizer=_regularizer()
  )(net)
  net = layers.BatchNormalization(**batch_norm)(net)
  return layers.Activation(activation)(net) if activation else net


def _logits(net, num_classes):
  return tf.keras.layers.Dense(num_classes, kernel_regularizer=_regularizer(), dtype='float32')(net)


def resnet_v1_50(num_classes):
  """Returns ResNet-50 with slim's strides: in the last unit of a block, in its 3x3 convolution."""
  layers = tf.keras.layers
  batch_norm = _BATCH_NORM['resnet_v1_50']
  images = tf.keras.Input((224, 224, 3))
  net = _conv(images, 64, 7, 2, padding='fixed', **batch_norm)
  net = layers.MaxPooling2D(3, 2, 'same')(net)
  for depth, num_units, last_stride in ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1)):
    for unit in range(num_units):
      stride = last_stride if unit == num_units - 1 else 1
      if unit == 0:
        shortcut = _conv(net, 4 * depth, 1, stride, activation=None, **batch_norm)
      else:
        shortcut = layers.MaxPooling2D(1, stride)(net) if stride > 1 else net
      net = _conv(net, depth, 1, **batch_norm)
      padding = 'fixed' if stride > 1 else 'same'
      net = _conv(net, depth, 3, stride, padding=padding, **batch_norm)
      net = _conv(net, 4 * depth, 1, activation=None, **batch_norm)
      net = layers.Activation('relu')(layers.Add()([shortcut, net]))
  return tf.keras.Model(images, _logits(layers.GlobalAveragePooling2D()(net), num_classes))


def mobilenet_v1(num_classes):
  """Returns MobileNet v1 of full width."""
  layers = tf.keras.layers
  batch_norm = _BATCH_NORM['mobilenet_v1']
  images = tf.keras.Input((224, 224, 3))
  net = _conv(images, 32, 3, 2, activation='relu6', **batch_norm)
  strides_and_depths = [(1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)]
  for stride, depth in [*strides_and_depths, *[(1, 512)] * 5, (2, 1024), (1, 1024)]:
    net = layers.DepthwiseConv2D(3, stride, 'same', use_bias=False)(net)
    net = layers.BatchNormalization(**batch_norm)(net)
    net = _conv(layers.Activation('relu6')(net), depth, 1, activation='relu6', **batch_norm)
  net = layers.Dropout(0.001)(layers.GlobalAveragePooling2D()(net))
  return tf.keras.Model(images, _logits(net, num_classes))


NETS = {'resnet_v1_50': resnet_v1_50, 'mobilenet_v1': mobilenet_v1}


def count_macs(model_name, num_classes=slim_runs.NUM_CLASSES):
  """Returns the multiply-accumulate operations for an image, from the layers as Keras has them."""
  tf.enable_v2_behavior()
  total = 0
  for layer in NETS[model_name](num_classes).layers:
    kind = type(layer).__name__
    if kind in ('Conv2D', 'DepthwiseConv2D'):
      _, height, width, _ = layer.output.shape
      total += height * width * math.prod(layer.kernel.shape)
    elif kind == 'Dense':
      total += math.prod(layer.kernel.shape)
  return total


class _OverError(Exception):
  """The seconds to time are over."""


def time_fit(
  model_name,
  batch_size,
  seconds,
  precision='none',
  jit_compile='auto',
  files=None,
  num_classes=slim_runs.NUM_CLASSES,
):
  """Returns the images/s of `fit`.

  Args:
    model_name: a key of NETS.
    batch_size: images in a batch.
    seconds: how long to time.
    precision: 'none' or 'bfloat16'.
    jit_compile: whether XLA compiles the step; 'auto', Keras's default, does so beside a GPU only.
    files: TFRecord files to read; None takes one batch of random images.
    num_classes: the number of logits.
  """
  tf.enable_v2_behavior()
  keras = tf.keras
  if precision == 'bfloat16':
    keras.mixed_precision.set_global_policy('mixed_bfloat16')
  model = NETS[model_name](num_classes)
  model.compile(
    keras.optimizers.SGD(slim_runs.COMMON['learning_rate'], momentum=0.9),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=['accuracy'],  # slimtrain's step computes it, too.
    jit_compile=jit_compile,
  )
  image_size = model.inputs[0].shape[1]
  if files:
    batches = plain_input.make_batches(files, batch_size, image_size, resize_first=True)
  else:
    batch = slim_runs.random_arrays(batch_size, image_size)
    batches = tf.data.Dataset.from_tensors(batch).repeat()
  watch = stopwatch.Stopwatch(seconds)

  class Marks(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
      watch.mark(batch + 1)
      if watch.is_done:
        raise _OverError

  # Raised, because Keras looks at `stop_training` only when an epoch ends.
  with contextlib.suppress(_OverError):
    model.fit(batches, steps_per_epoch=10**9, shuffle=False, verbose=0, callbacks=[Marks()])
  return watch.result(images_per_step=batch_size)
