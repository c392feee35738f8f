"""A net on a batch of images, and its losses."""

import dataclasses
from typing import NamedTuple

from nets import nets_factory
from slimcompat import tf
from slimtrain import losses
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class ModelSettings(settings_lib.Settings):
  """Model."""

  model_name: str = settings_lib.setting('inception_v3', 'The net.', choices=nets_factory.NETWORKS)


@dataclasses.dataclass(frozen=True)
class TrainedModelSettings(ModelSettings):
  """Model."""

  weight_decay: float = settings_lib.setting(
    0.00004, 'Strength of the L2 regularization of the weights.', lower=0
  )
  batch_norm_decay: float | None = settings_lib.setting(
    None,
    "Decay of the moving averages of batch normalization. Unset: the net's own, made for"
    ' hundreds of thousands of steps; about 1 - 10 / steps suits a short run.',
    lower=0,
    below=1,
  )
  loss: losses.LossSettings = settings_lib.group(losses.LossSettings)


class Model(NamedTuple):
  """What a net makes of a batch."""

  logits: tf.Tensor  # [batch, classes]; for regression, what it makes of the targets.
  end_points: dict  # The net's named activations.


def build_model(settings, images, num_classes):
  """Returns the Model of `images` for evaluation, under ModelSettings `settings`."""
  network_fn = nets_factory.get_network_fn(settings.model_name, num_classes, is_training=False)
  return Model(*network_fn(images))


def predictions(task, logits):
  """Returns what the logits [batch, classes] mean: probabilities; for regression, the targets.

  Those of a single label add up to 1; where several may apply, each is one of its own.
  """
  if task == 'regression':
    return logits
  return tf.nn.sigmoid(logits) if task == 'multi_label' else tf.nn.softmax(logits)


def build_trained_model(settings, batch, data, class_weights=None):
  """Returns the Model of a batch's images for training, and collects its losses.

  Args:
    settings: TrainedModelSettings.
    batch: the inputs.Batch.
    data: the inputs.Data.
    class_weights: as for losses.add_losses.
  """
  network_fn = nets_factory.get_network_fn(
    settings.model_name,
    data.num_classes,
    weight_decay=settings.weight_decay,
    is_training=True,
    batch_norm_decay=settings.batch_norm_decay,
  )
  model = Model(*network_fn(batch.images))
  losses.add_losses(
    settings.loss, model, batch.labels, class_weights, data.task, batch.example_weights
  )
  return model


def batch_score(task, model, labels):
  """Returns (name, scalar) of how good the model is on a batch: see summaries.training_scalars.

  The share of the labels it gets right, at the probability 1/2 where several may apply; for
  regression, the mean absolute error. Of mixed labels the greater one counts.
  """
  if task == 'regression':
    return 'mean_absolute_error', tf.reduce_mean(tf.abs(model.logits - labels))
  if task == 'multi_label':
    is_right = tf.equal(model.logits > 0, labels > 0.5)
  else:
    if labels.shape.ndims == 2:
      labels = tf.argmax(labels, axis=-1)
    is_right = tf.equal(tf.argmax(model.logits, axis=-1), labels)
  return 'accuracy', tf.reduce_mean(tf.cast(is_right, tf.float32))


def image_size(settings, given=None):
  """Returns the pixels per side of the net's input: those `given`, else the net's own."""
  return given or nets_factory.NETWORKS[settings.model_name].image_size
