"""The losses that training minimizes; `LOSSES` is the table."""

import dataclasses
from collections.abc import Callable, Mapping

from datasets import dataset_info
from slimcompat import errors, tables, tf
from slimtrain import settings as settings_lib

# The weight of the auxiliary classifier's loss, as slim has it. (C. Szegedy et al., "Going
# Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section 5, has 0.3.)
AUXILIARY_LOSS_WEIGHT = 0.4


@dataclasses.dataclass(frozen=True)
class Loss:
  """What training minimizes."""

  name: str
  # By each of dataset_info.TASKS that it is for, add(settings, logits, labels, weights, **kwargs)
  # -> the loss, in the collection of losses. labels: `[batch, classes]`, of single_label a
  # distribution. weights: scalar, or `[batch]` of single_label and `[batch or 1, classes or 1]` of
  # others. kwargs are those of the functions of tf.losses.
  adds: Mapping[str, Callable]
  reads: tuple[str, ...] = ()  # The settings it heeds.


def _add_softmax(settings, logits, labels, weights, **kwargs):
  return tf.losses.softmax_cross_entropy(
    labels, logits, weights=weights, label_smoothing=settings.label_smoothing, **kwargs
  )


def _add_sigmoid(settings, logits, labels, weights, **kwargs):
  return tf.losses.sigmoid_cross_entropy(
    labels, logits, weights=weights, label_smoothing=settings.label_smoothing, **kwargs
  )


def _add_focal_softmax(settings, logits, labels, weights, **kwargs):
  """T.-Y. Lin et al., "Focal Loss for Dense Object Detection", arxiv.org/abs/1708.02002, eq. 4."""
  if settings.focal_gamma:
    weights *= _focus(settings, tf.reduce_sum(labels * tf.nn.softmax(logits), axis=-1))
  return _add_softmax(settings, logits, labels, weights, **kwargs)


def _add_focal_sigmoid(settings, logits, labels, weights, **kwargs):
  """The same of each label by itself."""
  if settings.focal_gamma:
    probability = labels * tf.sigmoid(logits) + (1.0 - labels) * tf.sigmoid(-logits)
    weights *= _focus(settings, probability)
  return _add_sigmoid(settings, logits, labels, weights, **kwargs)


def _focus(settings, probability):
  # Rounding may take a probability above 1, where a power has no gradient.
  return tf.pow(tf.maximum(1.0 - probability, 1e-7), settings.focal_gamma)


LOSSES = tables.Table(
  'loss',
  [
    # Examples, or labels, that are recognized already count less.
    Loss(
      'focal',
      {'single_label': _add_focal_softmax, 'multi_label': _add_focal_sigmoid},
      reads=('focal_gamma',),
    ),
    # P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics
    # 35, 1964: half the square of small errors, and linear beyond.
    Loss(
      'huber',
      {
        'regression': lambda settings, logits, labels, weights, **kwargs: tf.losses.huber_loss(
          labels, logits, weights, delta=settings.huber_delta, **kwargs
        )
      },
      reads=('huber_delta',),
    ),
    Loss(
      'l1',
      {
        'regression': lambda settings, logits, labels, weights, **kwargs: (
          tf.losses.absolute_difference(labels, logits, weights, **kwargs)
        )
      },
    ),
    Loss(
      'l2',
      {
        'regression': lambda settings, logits, labels, weights, **kwargs: (
          tf.losses.mean_squared_error(labels, logits, weights, **kwargs)
        )
      },
    ),
    Loss('sigmoid', {'multi_label': _add_sigmoid}),
    Loss('softmax', {'single_label': _add_softmax}),
  ],
)
register = LOSSES.register

# What the flag's default, which is slim's, stands for where several labels apply, or numbers do.
_DEFAULTS = {'multi_label': 'sigmoid', 'regression': 'l2'}


@dataclasses.dataclass(frozen=True)
class LossSettings(settings_lib.Settings):
  """Loss."""

  loss: str = settings_lib.setting(
    'softmax',
    'What training minimizes. softmax and focal are for one label per image; sigmoid and focal for'
    ' several; l2, l1 and huber for regression. softmax, the default, stands for sigmoid where'
    ' several labels apply, and for l2 in regression.',
    choices=LOSSES,
  )
  label_smoothing: float = settings_lib.setting(
    0.0,
    'Share of each label that is spread over all classes; of several labels, by which 0 and 1 move'
    ' to 1/2.',
    lower=0,
    below=1,
  )
  focal_gamma: float = settings_lib.setting(
    2.0, 'focal: the power by which examples count less as they are recognized.', lower=0
  )
  huber_delta: float = settings_lib.setting(
    1.0, 'huber: the error beyond which the loss is no longer quadratic but linear.', above=0
  )
  class_weights: str | None = settings_lib.setting(
    None,
    'How much an example counts, by its class: a number for each class, separated by commas; or'
    ' auto, in inverse proportion to the examples of its class.',
  )


def find(settings, task):
  """Returns the row of LOSSES that LossSettings `settings` choose for a task.

  Args:
    settings: LossSettings.
    task: one of dataset_info.TASKS.

  Raises:
    InputError: when loss, smoothing or weights are not for the task.
  """
  name = settings.loss
  if name == 'softmax':
    name = _DEFAULTS.get(task, name)
  row = LOSSES[name]
  if task not in row.adds:
    known = ', '.join(row.name for row in LOSSES.values() if task in row.adds)
    raise errors.InputError(
      f'--loss={name} is not for the task {task} of the dataset, but for {" and ".join(row.adds)}.'
      f' Choose one of {known}.'
    )
  for flag in ('label_smoothing', 'class_weights'):
    value = getattr(settings, flag)
    if task == 'regression' and value:
      raise errors.InputError(
        f'--{flag}={value} is for classes, but the task of the dataset is regression. Leave the'
        ' flag out.'
      )
  return row


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
    share = sum(class_counts) / max(num_present, 1)
    # Of mean 1 over the examples, or their labels; a class without any needs none.
    return [share / count if count else 0.0 for count in class_counts]
  weights = settings_lib.split_numbers(settings.class_weights)
  if len(weights) != num_classes or min(weights) < 0:
    raise errors.InputError(
      f'--class_weights={settings.class_weights} are {len(weights)} numbers, but {num_classes}'
      ' classes need one each, none below 0. Or give auto.'
    )
  return weights


def add_losses(
  settings,
  model,
  labels,
  class_weights=None,
  task=dataset_info.TASKS[0],
  example_weights=(),
):
  """Adds the mean loss of `model` to `tf.GraphKeys.LOSSES`; returns it.

  A net with an end point `AuxLogits` gets a second loss for it, in the collection only.

  Args:
    settings: LossSettings. Labels are smoothed as in C. Szegedy et al., "Rethinking the Inception
      Architecture", https://arxiv.org/abs/1512.00567, section 7.
    model: a models.Model; logits and AuxLogits are `[batch, classes]`.
    labels: as inputs.Batch has them for the task. A label outside the classes would silently cost
      nothing: the input checks it.
    class_weights: a list of floats, by class; None for all alike. A mixed label has the mean
      weight of its classes.
    task: one of dataset_info.TASKS.
    example_weights: `[batch]`, () for all alike. The mean is over the number of examples: one of
      the weight 2 counts as two would.

  Raises:
    InputError: when the settings are not for the task.
  """
  add_loss = find(settings, task).adds[task]
  labels = tf.convert_to_tensor(labels)
  is_single = task == 'single_label'
  if is_single and labels.shape.ndims == 1:
    labels = tf.one_hot(labels, model.logits.shape[-1])

  def add(logits, share, **kwargs):
    weights = share
    if class_weights is not None:
      by_class = tf.constant(class_weights)[tf.newaxis]
      weights *= tf.reduce_sum(labels * by_class, axis=-1) if is_single else by_class
    if not isinstance(example_weights, tuple):
      weights *= example_weights if is_single else example_weights[:, tf.newaxis]
    reduction = tf.losses.Reduction.SUM_OVER_BATCH_SIZE
    return add_loss(settings, logits, labels, weights, reduction=reduction, **kwargs)

  if 'AuxLogits' in model.end_points:
    add(model.end_points['AuxLogits'], AUXILIARY_LOSS_WEIGHT, scope='aux_loss')
  return add(model.logits, 1.0)
