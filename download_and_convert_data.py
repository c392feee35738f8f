"""Converts a dataset, or a folder of images, to TFRecords.

python download_and_convert_data.py --image_dir=flower_photos --dataset_dir=/tmp/flowers
"""

from datasets import conversion
from slimtrain import console, settings


def convert(conversion_settings):
  """Converts as ConversionSettings say unless that is done already, and tells what is there."""
  info, was_there = conversion.find_or_convert(conversion_settings)
  if was_there:
    console.say('Nothing to do: the dataset is already there, whole.')
  console.say(conversion.report(info, conversion_settings))


if __name__ == '__main__':
  settings.run(conversion.ConversionSettings(), convert)
