"""The images of some records, to look at."""

import numpy as np
from PIL import Image

from slimcompat import tf
from slimtrain import examples


def read(data, settings, wanted):
  """Returns {(file, record): PIL.Image} of the records `wanted`, as their decoder gives them.

  Only the files that hold one are read. What is no image of 1 or 3 channels is left out.

  Args:
    data: the inputs.Data.
    settings: the inputs.DataSettings.
    wanted: pairs of the file, as an index of `data.files`, and the number of the record in it.
  """
  wanted = sorted({(int(file), int(record)) for file, record in wanted})
  pictures = {}
  if not wanted:
    return pictures
  indices = sorted({file for file, _ in wanted})
  with tf.Graph().as_default():
    paths = [data.files[index] for index in indices]
    files = tf.data.Dataset.from_tensor_slices((np.array(indices, np.int64), paths))
    places = tf.constant(wanted, tf.int64)
    found = examples.read(files, data, num_readers=1).filter(
      lambda source, record: tf.reduce_any(tf.reduce_all(tf.equal(source, places), axis=1))
    )
    decoded = found.map(lambda source, record: (source, _decode(data, record)))
    iterator = tf.data.make_initializable_iterator(decoded)
    example = iterator.get_next()
    with tf.Session(config=tf.ConfigProto(device_count={'GPU': 0})) as session:
      session.run([iterator.initializer, tf.tables_initializer()])
      for _ in wanted:
        source, image = session.run(example)
        if image.ndim == 3 and image.shape[2] in (1, 3):
          pixels = np.clip(image, 0, 255).astype(np.uint8)
          picture = Image.fromarray(pixels[..., 0] if image.shape[2] == 1 else pixels)
          pictures[tuple(source.tolist())] = picture
  return pictures


def _decode(data, record):
  (image,) = data.dataset.decoder.decode(record, ['image'])
  return image
