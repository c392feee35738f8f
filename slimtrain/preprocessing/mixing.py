"""Examples mixed of two: their images, their labels and their weights.

mixup: H. Zhang et al., https://arxiv.org/abs/1710.09412. CutMix: S. Yun et al.,
https://arxiv.org/abs/1905.04899. As in timm (R. Wightman, https://github.com/huggingface/
pytorch-image-models), each example is mixed with the one as far from the other end of the batch,
all of a batch in the same way, and where both methods are wanted a batch gets one of them.
"""

from slimcompat import tf
from slimtrain.preprocessing import randomness


def draw_shares(
  height: int | tf.Tensor, width: int | tf.Tensor, mixup_alpha: float, cutmix_alpha: float
) -> tf.Tensor:
  """Returns how much of its own each pixel of an image keeps, `[height, width, 1]`, in [0, 1].

  Args:
    height: pixels, an int or an int scalar, like the next.
    width: pixels.
    mixup_alpha: of the Beta distribution of the share that all pixels keep; 0 is no mixup.
    cutmix_alpha: of that of the part of the image that keeps all, while a rectangle of the
      image's own shape keeps nothing; 0 is no CutMix. At the edge, the rectangle is cut.
  """
  if not cutmix_alpha:
    return _draw_mixup(height, width, mixup_alpha)
  if not mixup_alpha:
    return _draw_cutmix(height, width, cutmix_alpha)
  # Both, as to draw numbers in branches would repeat some of those outside.
  mixup = _draw_mixup(height, width, mixup_alpha)
  return tf.where_v2(randomness.coin(), mixup, _draw_cutmix(height, width, cutmix_alpha))


def _draw_mixup(height, width, alpha):
  return tf.fill([height, width, 1], randomness.beta(alpha))


def _draw_cutmix(height, width, alpha):
  side = tf.sqrt(1.0 - randomness.beta(alpha))  # In parts of the image's.

  def is_inside(size):
    length = tf.floor(size * side)
    start = tf.floor(size * randomness.uniform([])) - tf.floor(length / 2)
    places = tf.range(size)
    return tf.logical_and(places >= start, places < start + length)

  rows, columns = (is_inside(tf.cast(size, tf.float32)) for size in (height, width))
  return 1.0 - tf.cast(tf.logical_and(rows[:, None], columns), tf.float32)[..., tf.newaxis]


def mix(batch: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
  """Returns `batch` `[batch, ...]` mixed with itself from the other end.

  Args:
    batch: float32.
    share: what an example keeps of its own, of a shape that fits one's; it gets the rest.
  """
  return share * batch + (1.0 - share) * tf.reverse(batch, [0])
