"""What a straightforward tf.data pipeline makes of the same files: the baseline and the peers'."""

from slimcompat import tf

# As slimtrain's inception preprocessing.
ASPECT_RATIO_RANGE = (0.75, 1.33)
AREA_RANGE = (0.05, 1.0)
MAX_BRIGHTNESS_DELTA = 32 / 255
SATURATION_RANGE = (0.5, 1.5)


def make_batches(files, batch_size, image_size, resize_first):
  """Returns an endless tf.data.Dataset of shuffled (images, labels) from TFRecord `files`.

  Args:
    files: paths.
    batch_size: images in a batch.
    image_size: pixels per side.
    resize_first: whether colours change after the resizing, as in slim; otherwise on the crop.
  """

  def read_example(record):
    features = {
      'image/encoded': tf.FixedLenFeature([], tf.string),
      'image/class/label': tf.FixedLenFeature([], tf.int64),
    }
    example = tf.io.parse_single_example(record, features)
    image = tf.image.decode_image(example['image/encoded'], 3, expand_animations=False)
    return distort(image, image_size, resize_first), example['image/class/label']

  records = tf.data.Dataset.from_tensor_slices(files).shuffle(len(files))
  records = records.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
  batches = records.shuffle(2048).repeat().map(read_example, num_parallel_calls=tf.data.AUTOTUNE)
  return batches.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def distort(image, image_size, resize_first):
  """Returns a random crop of `image`, perhaps mirrored, with random colours, in [-1, 1].

  Args:
    image: uint8 `[height, width, 3]`.
    image_size: pixels per side of the result.
    resize_first: as for `make_batches`.
  """
  image = tf.image.convert_image_dtype(tf.ensure_shape(image, [None, None, 3]), tf.float32)
  begin, size, _ = tf.image.sample_distorted_bounding_box(
    tf.shape(image),
    tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
    seed=1,
    min_object_covered=0.1,
    aspect_ratio_range=ASPECT_RATIO_RANGE,
    area_range=AREA_RANGE,
    max_attempts=100,
    use_image_if_no_bounding_boxes=True,
  )
  image = tf.slice(image, begin, size)
  if resize_first:
    image = tf.image.resize_images(image, [image_size, image_size])
  image = tf.image.random_flip_left_right(image)
  image = tf.image.random_brightness(image, MAX_BRIGHTNESS_DELTA)
  image = tf.image.random_saturation(image, *SATURATION_RANGE)
  image = tf.clip_by_value(image, 0.0, 1.0)
  if not resize_first:
    image = tf.image.resize_images(image, [image_size, image_size])
  return tf.ensure_shape((image - 0.5) * 2, [image_size, image_size, 3])
