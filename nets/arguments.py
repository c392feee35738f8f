"""Checks of what a net is called with, so that a mistake is one sentence and not a failed op."""

from collections.abc import Collection

from slimcompat import errors, tables, tf


def check_images(images: tf.Tensor, min_size: int = 1, rank: int = 4, any_size: bool = True):
  """Checks the shape of `[batch, height, width, channels]` images as far as it is known.

  Args:
    images: the input of a net. Of rank 5, `[batch, frames, height, width, channels]`.
    min_size: the least height and width, in pixels, that leave something of the image.
    rank: the number of dimensions.
    any_size: whether height and width may be unknown while the graph is built.

  Raises:
    InputError: when the rank differs, the number of channels is unknown or the size will not do.
  """
  shape = images.shape
  axes = 'batch, height, width, channels' if rank == 4 else 'batch, frames, height, width, channels'
  if shape.rank != rank:
    raise errors.InputError(
      f'The images have the shape {shape}; the net takes [{axes}]. Add the missing dimension with'
      ' tf.expand_dims or tf.reshape.'
    )
  *_, height, width, channels = shape.as_list()
  if channels is None:
    raise errors.InputError(
      f'The images have the shape {shape}, so the number of channels is unknown; the first'
      ' weights need it. Fix it with images.set_shape.'
    )
  if not any_size and None in (height, width):
    raise errors.InputError(
      f'The images have the shape {shape}, but the fully connected layers need a known height'
      ' and width. Fix them with images.set_shape.'
    )
  if any(size is not None and size < min_size for size in (height, width)):
    raise errors.InputError(
      f'The images are {height}x{width} pixels, smaller than the {min_size}x{min_size} that the'
      ' net needs as called. Enlarge them.'
    )


def check_positive(name: str, value: float):
  """Raises InputError unless the argument `name` has a `value` above 0."""
  if not value > 0:
    raise errors.InputError(f'{name} is {value}; it must be greater than 0, such as 1.0 or 0.25.')


def check_choice(name: str, value, choices: Collection):
  """Raises InputError unless the argument `name` has one of the `choices` as its `value`."""
  if value not in choices:
    raise errors.InputError(tables.unknown_name(name, value, map(str, choices)))
