"""Several views of an image, or what several models say of it, as one prediction.

Views are the corners and the centre of the image, as they are and mirrored: A. Krizhevsky et al.,
"ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 4.1.
"""

import math

from slimcompat import tf

NUM_CROPS = (1, 5, 10)
# What a crop keeps of each side: 224 of 256 pixels, as in the paper.
_CROP_FRACTION = 0.875


def resized_side(crop_side):
  """Returns the pixels per side of the image out of which crops of `crop_side` are cut."""
  return round(crop_side / _CROP_FRACTION)


def cut_crops(images, side, num_crops):
  """Returns the crops of each of `images`, one image's after the other's.

  Args:
    images: `[batch, height, width, channels]`.
    side: pixels per side of a crop.
    num_crops: one of NUM_CROPS: 1, the centre; 5, the corners too; 10, all of these mirrored, too.

  Returns:
    `[batch x num_crops, side, side, channels]`.
  """
  height, width, channels = images.shape.as_list()[1:]
  bottom, right = height - side, width - side
  corners = [(bottom // 2, right // 2), (0, 0), (0, right), (bottom, 0), (bottom, right)]
  crops = [
    images[:, top : top + side, left : left + side] for top, left in corners[: min(num_crops, 5)]
  ]
  if num_crops == 10:
    crops += [tf.reverse(crop, [2]) for crop in crops]
  return tf.reshape(tf.stack(crops, axis=1), [-1, side, side, channels])


def mean_logits(task, logits, axis):
  """Returns logits of the mean of the probabilities; for regression, the mean of the numbers.

  Args:
    task: one of dataset_info.TASKS.
    logits: of any shape whose last axis is that of the classes.
    axis: that over which the mean is taken.
  """
  if task == 'regression':
    return tf.reduce_mean(logits, axis)

  def mean_log(logs):
    return tf.reduce_logsumexp(logs, axis) - math.log(logs.shape.as_list()[axis])

  if task == 'multi_label':
    return mean_log(tf.log_sigmoid(logits)) - mean_log(tf.log_sigmoid(-logits))
  return mean_log(tf.nn.log_softmax(logits))
