"""The losses that training minimizes."""

from slimcompat import tf

# The weight of the auxiliary classifier's loss, as slim has it. (C. Szegedy et al., "Going
# Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section 5, has 0.3.)
AUXILIARY_LOSS_WEIGHT = 0.4


def add_softmax_losses(model, labels, label_smoothing=0.0):
  """Adds the mean cross-entropy of `model` to `tf.GraphKeys.LOSSES`; returns it.

  A net with an end point `AuxLogits` gets a second loss for it, in the collection only.

  Args:
    model: a models.Model; logits and AuxLogits are `[batch, classes]`.
    labels: int64 `[batch]`, in `[0, classes)`. A label outside would silently cost nothing:
      the input checks it.
    label_smoothing: the share of each label that is spread over all classes (C. Szegedy et al.,
      "Rethinking the Inception Architecture", https://arxiv.org/abs/1512.00567, section 7).
  """
  one_hot = tf.one_hot(labels, model.logits.shape[-1])
  if 'AuxLogits' in model.end_points:
    tf.losses.softmax_cross_entropy(
      one_hot,
      model.end_points['AuxLogits'],
      weights=AUXILIARY_LOSS_WEIGHT,
      label_smoothing=label_smoothing,
      scope='aux_loss',
    )
  return tf.losses.softmax_cross_entropy(one_hot, model.logits, label_smoothing=label_smoothing)
