"""What convolutions of several families share: explicit padding, and strides turned into rates."""

from collections.abc import Sequence

from slimcompat import tf


def fixed_padding(
  inputs: tf.Tensor, kernel_size: Sequence[int], rate: int = 1, mode: str = 'CONSTANT'
) -> tf.Tensor:
  """Returns `[batch, height, width, channels]` padded for a 'VALID' convolution to keep its size.

  With 'SAME' and a stride, the padding depends on the input's size; this one does not, so that
  features stay aligned at every size.

  Args:
    inputs: what is to be convolved.
    kernel_size: height and width of the kernel.
    rate: the distance between neighbouring taps of the kernel.
    mode: what the padding consists of: 'CONSTANT' for zeros, 'REFLECT' or 'SYMMETRIC'.
  """
  totals = [rate * (size - 1) for size in kernel_size]
  # An odd pixel goes to the bottom and the right.
  paddings = [[total // 2, total - total // 2] for total in totals]
  return tf.pad(inputs, [[0, 0], *paddings, [0, 0]], mode)


class StrideKeeper:
  """Turns a net's strides into rates of dilation from where its output stride is reached.

  The later layers then see as much of the image as before, on a finer grid: L.-C. Chen et al.,
  "DeepLab", https://arxiv.org/abs/1606.00915, section 3.1.
  """

  def __init__(self, output_stride: int | None = None):
    """Starts before the first layer; `output_stride` None keeps all strides."""
    self._output_stride = output_stride
    self._stride = 1
    self._rate = 1

  def next(self, stride: int) -> tuple[int, int]:
    """Returns the stride and the rate for the next layer, designed with `stride` and rate 1."""
    if self._stride == self._output_stride:
      rate = self._rate
      self._rate *= stride
      return 1, rate
    self._stride *= stride
    return stride, 1
