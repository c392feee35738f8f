"""Preprocessing for Inception, MobileNet and NASNet: crops of any size and shape, random colours.

C. Szegedy et al., "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842, section 6
(crops, and the interpolation drawn at random), and A. G. Howard, "Some Improvements on Deep
Convolutional Neural Network Based Image Classification", https://arxiv.org/abs/1312.5402 (colours).
Against the papers: a crop covers 10% of the image at least, or 5% where objects' boxes are given,
for 8%; and by default one way to resize and two adjustments of colour stand for all.
"""

import functools
from collections.abc import Callable

from slimcompat import compilation, errors, tf
from slimtrain.preprocessing import images, randomness

MAX_BRIGHTNESS_DELTA = 32.0 / 255.0
SATURATION_RANGE = (0.5, 1.5)
MAX_HUE_DELTA = 0.2  # Of a full turn.
CONTRAST_RANGE = (0.5, 1.5)
MIN_OBJECT_COVERED = 0.1
ASPECT_RATIO_RANGE = (0.75, 1.33)  # Width by height.
AREA_RANGE = (0.05, 1.0)
MAX_ATTEMPTS = 100

# The adjustments do not commute, so their order is drawn, too.
COLOR_ORDERINGS = (
  ('brightness', 'saturation', 'hue', 'contrast'),
  ('saturation', 'brightness', 'contrast', 'hue'),
  ('contrast', 'hue', 'brightness', 'saturation'),
  ('hue', 'saturation', 'contrast', 'brightness'),
)
# Without the adjustments that cost the most. (`_distort_fast` has the first.)
FAST_COLOR_ORDERINGS = (
  ('brightness', 'saturation'),
  ('saturation', 'brightness'),
  ('saturation', 'brightness'),
  ('saturation', 'brightness'),
)
RESIZE_METHODS = (
  tf.image.ResizeMethod.BILINEAR,
  tf.image.ResizeMethod.NEAREST_NEIGHBOR,
  tf.image.ResizeMethod.BICUBIC,
  tf.image.ResizeMethod.AREA,
)


def apply_with_random_selector(x: tf.Tensor, func: Callable, num_cases: int) -> tf.Tensor:
  """Returns `func(x, case)` for a random `case` in `[0, num_cases)`; only that one is computed."""
  if num_cases == 1:
    return func(x, 0)
  case = randomness.uniform([], 0, num_cases, tf.int32)
  return tf.switch_case(case, [functools.partial(func, x, case) for case in range(num_cases)])


def distort_color(
  image: tf.Tensor, color_ordering: int = 0, fast_mode: bool = True, scope: str | None = None
) -> tf.Tensor:
  """Returns `image` with random brightness and saturation, and hue and contrast.

  Args:
    image: `[height, width, 3]`, in [0, 1].
    color_ordering: the place in `COLOR_ORDERINGS`, in [0, 3].
    fast_mode: whether to leave out hue and contrast.
    scope: the name scope.

  Returns:
    `[height, width, 3]`, in [0, 1].

  Raises:
    InputError: when there is no such ordering.
  """
  if color_ordering not in range(len(COLOR_ORDERINGS)):
    raise errors.InputError(f'color_ordering is {color_ordering!r}; it must be in [0, 3].')
  with tf.name_scope(scope, 'distort_color'):
    return _adjust(image, color_ordering, fast_mode, _draw_adjustments())


def choose_window(
  image_shape: tf.Tensor,
  bbox: tf.Tensor | None = None,
  min_object_covered: float = MIN_OBJECT_COVERED,
  aspect_ratio_range: tuple[float, float] = ASPECT_RATIO_RANGE,
  area_range: tuple[float, float] = AREA_RANGE,
  max_attempts: int = MAX_ATTEMPTS,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns where `distorted_bounding_box_crop` cuts an image, which need not be decoded yet.

  Args:
    image_shape: int32 `[3]`: height, width and channels.
    bbox: as for `preprocess_for_train`.
    min_object_covered: as for `distorted_bounding_box_crop`, like the others.

  Returns:
    The window's corner, `[3]`, and size, `[3]`, for `tf.slice`, and its box, `[1, 1, 4]`.
  """
  return tf.raw_ops.StatelessSampleDistortedBoundingBox(
    image_size=image_shape,
    bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]) if bbox is None else bbox,
    seed=randomness.seed(),
    min_object_covered=min_object_covered,
    aspect_ratio_range=aspect_ratio_range,
    area_range=area_range,
    max_attempts=max_attempts,
    use_image_if_no_bounding_boxes=True,
  )


def distorted_bounding_box_crop(
  image: tf.Tensor,
  bbox: tf.Tensor,
  min_object_covered: float = MIN_OBJECT_COVERED,
  aspect_ratio_range: tuple[float, float] = ASPECT_RATIO_RANGE,
  area_range: tuple[float, float] = AREA_RANGE,
  max_attempts: int = MAX_ATTEMPTS,
  scope: str | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns a random crop of `image`, and its box.

  Args:
    image: `[height, width, channels]` of any dtype.
    bbox: `[1, boxes, 4]`: ymin, xmin, ymax and xmax of objects, in [0, 1].
    min_object_covered: the least share of one of the boxes that the crop covers.
    aspect_ratio_range: the crop's width by its height.
    area_range: the crop's share of the image's area.
    max_attempts: after so many crops that don't comply, all of `image` is returned.
    scope: the name scope.

  Returns:
    The crop, `[crop height, crop width, channels]`, of the dtype of `image`, and its box in
    `image`, `[1, 1, 4]`, like `bbox`.
  """
  with tf.name_scope(scope, 'distorted_bounding_box_crop'):
    begin, size, distorted_bbox = choose_window(
      tf.shape(image), bbox, min_object_covered, aspect_ratio_range, area_range, max_attempts
    )
    crop = tf.slice(image, begin, size)
    crop.set_shape([None, None, images.num_channels(image)])
    return crop, distorted_bbox


def preprocess_for_train(
  image: tf.Tensor,
  height: int,
  width: int,
  bbox: tf.Tensor | None,
  fast_mode: bool = True,
  scope: str | None = None,
  add_image_summaries: bool = True,
  random_crop: bool = True,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns a random crop of `image`, resized, perhaps mirrored, with random colours.

  Args:
    image: as for `preprocess_image`.
    height: pixels.
    width: pixels.
    bbox: `[1, boxes, 4]`: ymin, xmin, ymax and xmax of objects, in [0, 1], of one of which the
      crop covers 10% at least; None is one box around all.
    fast_mode: whether to resize bilinearly, and change only brightness and saturation. Otherwise
      the way to resize is drawn from `RESIZE_METHODS`, and hue and contrast change, too, in an
      order drawn from `COLOR_ORDERINGS`.
    scope: the name scope.
    add_image_summaries: as for `preprocess_image`.
    random_crop: whether to crop.
    use_grayscale: whether the result has 1 channel, and not 3.

  Returns:
    `[height, width, 3 or 1]`, in [-1, 1].

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is below 1.
  """
  add_image_summaries = add_image_summaries and images.can_add_summaries()
  with tf.name_scope(scope, 'distort_image'):
    image = images.to_rgb(images.check(image, height, width))
    if bbox is None:
      bbox = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
    if add_image_summaries:
      _add_boxes_summary('image_with_bounding_boxes', image, bbox)
    if random_crop:
      crop, distorted_bbox = distorted_bounding_box_crop(image, bbox)
      if add_image_summaries:
        _add_boxes_summary('images_with_distorted_bounding_box', image, distorted_bbox)
      image = crop
    resized = (_resize if fast_mode else _resize_in_any_way)(image, height, width)
    if add_image_summaries:
      images.add_summary('cropped_resized_image' if random_crop else 'resized_image', resized)
    image = (_distort_fast if fast_mode else _distort_fully)(resized, use_grayscale)
    if add_image_summaries:
      images.add_summary('final_distorted_image', image / 2 + 0.5)
    return image


def _resize(image, height, width):
  """Returns `image` of `height` x `width` pixels as float32, in [0, 1]."""
  # The crop is not made one of floats first, which would take as long as to resize it.
  full_scale = image.dtype.max if image.dtype.is_integer else 1.0
  return tf.cast(tf.image.resize_images(image, [height, width]), tf.float32) / full_scale


def _resize_in_any_way(image, height, width):
  image = apply_with_random_selector(
    tf.image.convert_image_dtype(image, tf.float32),
    lambda image, case: tf.image.resize_images(image, [height, width], RESIZE_METHODS[case]),
    num_cases=len(RESIZE_METHODS),
  )
  image.set_shape([height, width, 3])
  return image


def _distort_fast(image, use_grayscale):
  """Returns `image`, in [0, 1], mirrored and of other colours, in [-1, 1]."""
  return _distort_pixels(
    image,
    is_mirrored=randomness.coin(),
    brightness=randomness.uniform([], -MAX_BRIGHTNESS_DELTA, MAX_BRIGHTNESS_DELTA),
    saturation=randomness.uniform([], *SATURATION_RANGE),
    use_grayscale=use_grayscale,
  )


@compilation.compiled
def _distort_pixels(image, is_mirrored, brightness, saturation, use_grayscale):
  """The arithmetic of `_distort_fast`, in one loop over the pixels."""
  image = tf.where(is_mirrored, tf.reverse(image, [1]), image) + brightness
  # A pixel's value is the greatest of R, G and B. Saturation scales how far below it the others
  # are, until the least is 0.
  red, green, blue = tf.unstack(image, axis=-1)
  value = tf.maximum(tf.maximum(red, green), blue)[..., tf.newaxis]
  spread = value - tf.minimum(tf.minimum(red, green), blue)[..., tf.newaxis]
  factor = tf.minimum(saturation, tf.math.divide_no_nan(value, spread))
  image = tf.clip_by_value(value - factor * (value - image), 0.0, 1.0)
  return _to_net_range(images.to_gray(image) if use_grayscale else image)


def _distort_fully(image, use_grayscale):
  """Returns `image` as `_distort_fast` does, of all of `COLOR_ORDERINGS`."""
  image = images.mirror_half(image)
  adjustments = _draw_adjustments()
  image = apply_with_random_selector(
    image,
    lambda image, ordering: _adjust(image, ordering, False, adjustments),
    num_cases=len(COLOR_ORDERINGS),
  )
  return _to_net_range(images.to_gray(image) if use_grayscale else image)


def preprocess_for_eval(
  image: tf.Tensor,
  height: int | None,
  width: int | None,
  central_fraction: float | None = 0.875,
  scope: str | None = None,
  central_crop: bool = True,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns the centre of `image`, resized.

  Args:
    image: as for `preprocess_image`.
    height: pixels; None, or no `width`, leaves the crop's size.
    width: pixels.
    central_fraction: the share of each side that is kept, in (0, 1]; None or 0 keeps all.
    scope: the name scope.
    central_crop: whether to crop at all.
    use_grayscale: whether the result has 1 channel, and not 3.

  Returns:
    `[height, width, 3 or 1]`, in [-1, 1].

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is negative.
  """
  is_resized = bool(height and width)
  with tf.name_scope(scope, 'eval_image'):
    image = images.check(image, height if is_resized else 1, width if is_resized else 1)
    image = tf.image.convert_image_dtype(image, tf.float32)
    image = images.to_gray(image) if use_grayscale else images.to_rgb(image)
    if central_crop and central_fraction:
      image = tf.image.central_crop(image, central_fraction)
    if is_resized:
      image = tf.image.resize_images(image, [height, width])
    return _to_net_range(image)


def preprocess_image(
  image: tf.Tensor,
  height: int,
  width: int,
  is_training: bool = False,
  bbox: tf.Tensor | None = None,
  fast_mode: bool = True,
  add_image_summaries: bool = True,
  crop_image: bool = True,
  use_grayscale: bool = False,
) -> tf.Tensor:
  """Returns `image` preprocessed for training or for evaluation.

  Args:
    image: `[height, width, channels]` with 1 or 3 channels: float32 in [0, 1], or of an integer
      dtype, from 0 to its greatest value.
    height: pixels.
    width: pixels.
    is_training: whether `preprocess_for_train` does it rather than `preprocess_for_eval`.
    bbox: as for `preprocess_for_train`.
    fast_mode: as for `preprocess_for_train`.
    add_image_summaries: whether to add image summaries to the graph when training; inside a
      function of tf.data, which summaries cannot leave, none are.
    crop_image: whether to crop, at random or centrally.
    use_grayscale: whether the result has 1 channel; otherwise it has 3, equal in evaluation for a
      gray `image`.

  Returns:
    `[height, width, 3 or 1]`, in [-1, 1].

  Raises:
    InputError: when `image` is no single image of 1 or 3 channels, or a side is below 1.
  """
  if is_training:
    return preprocess_for_train(
      image,
      height,
      width,
      bbox,
      fast_mode,
      add_image_summaries=add_image_summaries,
      random_crop=crop_image,
      use_grayscale=use_grayscale,
    )
  return preprocess_for_eval(
    image, height, width, central_crop=crop_image, use_grayscale=use_grayscale
  )


def _draw_adjustments():
  """Returns functions of an image by their names in the orderings, of random strengths.

  They are drawn here, outside of the branches: there, seeds would repeat those outside.
  """
  brightness = randomness.uniform([], -MAX_BRIGHTNESS_DELTA, MAX_BRIGHTNESS_DELTA)
  saturation = randomness.uniform([], *SATURATION_RANGE)
  hue = randomness.uniform([], -MAX_HUE_DELTA, MAX_HUE_DELTA)
  contrast = randomness.uniform([], *CONTRAST_RANGE)
  return {
    'brightness': lambda image: tf.image.adjust_brightness(image, brightness),
    'saturation': lambda image: tf.image.adjust_saturation(image, saturation),
    'hue': lambda image: tf.image.adjust_hue(image, hue),
    'contrast': lambda image: tf.image.adjust_contrast(image, contrast),
  }


def _adjust(image, ordering, fast_mode, adjustments):
  for name in (FAST_COLOR_ORDERINGS if fast_mode else COLOR_ORDERINGS)[ordering]:
    image = adjustments[name](image)
  return tf.clip_by_value(image, 0.0, 1.0)


def _to_net_range(image):
  """Returns `image` with values from [-1, 1] rather than [0, 1]."""
  return (image - 0.5) * 2.0


def _add_boxes_summary(tag, image, bbox):
  image = tf.expand_dims(tf.image.convert_image_dtype(image, tf.float32), 0)
  tf.summary.image(tag, tf.image.draw_bounding_boxes(image, bbox))
