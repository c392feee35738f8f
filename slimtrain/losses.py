"""The losses that training minimizes; `LOSSES` is the table."""

import dataclasses
from collections.abc import Callable

from slimcompat import errors, tables, tf
from slimtrain import settings as settings_lib

# The weight of the auxiliary classifier's loss, as slim has it. (C. Szegedy et al., "Going
# Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section 5, has 0.3.)
AUXILIARY_LOSS_WEIGHT = 0.4


@dataclasses.dataclass(frozen=True)
class Loss:
  """A weighting of the examples' cross-entropies."""

  name: str
  # make_weights(settings, one_hot, logits) -> [batch], None for all alike.
  make_weights: Callable
  reads: tuple[str, ...] = ()  # The settings it heeds.


def _focal_weights(settings, one_hot, logits):
  """T.-Y. Lin et al., "Focal Loss for Dense Object Detection", arxiv.org/abs/1708.02002, eq. 4."""
  if not settings.focal_gamma:
    return None
  probability = tf.reduce_sum(one_hot * tf.nn.softmax(logits), axis=-1)
  # Rounding may take a probability above 1, where a power has no gradient.
  return tf.pow(tf.maximum(1.0 - probability, 1e-7), settings.focal_gamma)


LOSSES = tables.Table(
  'loss',
  [
    # Examples that are recognized already count less.
    Loss('focal', _focal_weights, reads=('focal_gamma',)),
    Loss('softmax', lambda settings, one_hot, logits: None),
  ],
)
register = LOSSES.register


@dataclasses.dataclass(frozen=True)
class LossSettings(settings_lib.Settings):
  """Loss."""

  loss: str = settings_lib.setting('softmax', 'What training minimizes.', choices=LOSSES)
  label_smoothing: float = settings_lib.setting(
    0.0, 'Share of each label that is spread over all classes.', lower=0, below=1
  )
  focal_gamma: float = settings_lib.setting(
    2.0, 'focal: the power by which examples count less as they are recognized.', lower=0
  )
  class_weights: str | None = settings_lib.setting(
    None,
    'How much an example counts, by its class: a number for each class, separated by commas; or'
    ' auto, in inverse proportion to the examples of its class.',
  )


def find_class_weights(settings, num_classes, class_counts):
  """Returns the weights of the classes, a list of floats; None for all alike.

  Args:
    settings: LossSettings.
    num_classes: an int.
    class_counts: the examples of each class; None if unknown.

  Raises:
    InputError: when the weights are not one for each class, or cannot be known.
  """
  if settings.class_weights is None:
    return None
  if settings.class_weights == 'auto':
    if class_counts is None:
      raise errors.InputError(
        '--class_weights=auto needs the number of examples of each class, and the dataset has no'
        ' dataset_info.json that tells. Give a number for each class, or convert the data here.'
      )
    num_present = sum(count > 0 for count in class_counts)
    share = sum(class_counts) / num_present
    # Of mean 1 over the examples; a class without any needs none.
    return [share / count if count else 0.0 for count in class_counts]
  weights = settings_lib.split_numbers(settings.class_weights)
  if len(weights) != num_classes or min(weights) < 0:
    raise errors.InputError(
      f'--class_weights={settings.class_weights} are {len(weights)} numbers, but {num_classes}'
      ' classes need one each, none below 0. Or give auto.'
    )
  return weights


def add_losses(settings, model, labels, class_weights=None):
  """Adds the mean loss of `model` to `tf.GraphKeys.LOSSES`; returns it.

  A net with an end point `AuxLogits` gets a second loss for it, in the collection only.

  Args:
    settings: LossSettings. Labels are smoothed as in C. Szegedy et al., "Rethinking the Inception
      Architecture", https://arxiv.org/abs/1512.00567, section 7.
    model: a models.Model; logits and AuxLogits are `[batch, classes]`.
    labels: int64 `[batch]`, in `[0, classes)`. A label outside would silently cost nothing:
      the input checks it.
    class_weights: a list of floats, by class; None for all alike.
  """
  one_hot = tf.one_hot(labels, model.logits.shape[-1])

  def add(logits, share, **kwargs):
    weights = LOSSES[settings.loss].make_weights(settings, one_hot, logits)
    if class_weights is not None:
      by_class = tf.gather(tf.constant(class_weights), labels)
      weights = by_class if weights is None else weights * by_class
    return tf.losses.softmax_cross_entropy(
      one_hot,
      logits,
      weights=share if weights is None else share * weights,
      label_smoothing=settings.label_smoothing,
      reduction=tf.losses.Reduction.SUM_OVER_BATCH_SIZE,
      **kwargs,
    )

  if 'AuxLogits' in model.end_points:
    add(model.end_points['AuxLogits'], AUXILIARY_LOSS_WEIGHT, scope='aux_loss')
  return add(model.logits, 1.0)
