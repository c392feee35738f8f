"""Pictures that compress and decode like photographs, as folders of classes and as TFRecords.

Their spectra fall with a power of the frequency, as those of natural scenes do: D. J. Field,
"Relations between the statistics of natural images and the response properties of cortical
cells", 1987, https://doi.org/10.1364/JOSAA.4.002379.
"""

import os

import numpy as np
from PIL import Image

from datasets import image_folder

# Of ImageNet's pictures, about.
WIDTH, HEIGHT = 500, 375
QUALITY = 90
NUM_CLASSES = 10
# Kind -> the power of the frequency by which brightness falls. At QUALITY a smooth picture has
# about 73 kB, and a detailed one about 108 kB, the mean of ImageNet's.
KINDS = {'smooth': 1.36, 'detailed': 1.1}
_COLOR_POWER = 1.4


def make_dataset(data_dir, kind, num_pictures):
  """Returns the directory of TFRecords of `num_pictures`, made unless it is there."""
  dataset_dir = os.path.join(data_dir, f'{kind}_{num_pictures}_records')
  image_dir = make_folder(data_dir, kind, num_pictures)
  if not os.path.exists(os.path.join(dataset_dir, 'labels.txt')):
    image_folder.convert(image_dir, dataset_dir, name='pictures')
  return dataset_dir


def make_folder(data_dir, kind, num_pictures):
  """Returns a folder of `num_pictures` in NUM_CLASSES sub-folders, made unless it is there."""
  folder = os.path.join(data_dir, f'{kind}_{num_pictures}')
  rng = np.random.RandomState(0)
  if not os.path.exists(folder):
    unfinished = f'{folder}.{os.getpid()}'
    for index in range(num_pictures):
      class_dir = os.path.join(unfinished, f'class_{index % NUM_CLASSES}')
      os.makedirs(class_dir, exist_ok=True)
      image = draw(rng, KINDS[kind])
      image.save(os.path.join(class_dir, f'{index:05d}.jpg'), quality=QUALITY)
    os.rename(unfinished, folder)
  return folder


def mean_kilobytes(folder):
  """Returns the mean size of the files below `folder`."""
  sizes = [
    os.path.getsize(os.path.join(parent, name))
    for parent, _, names in os.walk(folder)
    for name in names
  ]
  return sum(sizes) / len(sizes) / 1000


def draw(rng, power, width=WIDTH, height=HEIGHT):
  """Returns a PIL image whose brightness falls with the `power` of the frequency."""
  channels = [
    128 + contrast * _field(rng, power, width, height)
    for contrast, power in ((50, power), (20, _COLOR_POWER), (20, _COLOR_POWER))
  ]
  pixels = np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)
  return Image.fromarray(pixels, 'YCbCr')


def _field(rng, power, width, height):
  """Returns random values `[height, width]` of mean 0 and standard deviation 1."""
  frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
  frequency[0, 0] = np.inf  # No mean.
  amplitude = frequency**-power
  noise = rng.normal(size=amplitude.shape) + 1j * rng.normal(size=amplitude.shape)
  field = np.fft.irfft2(noise * amplitude, (height, width))
  return field / field.std()
