"""Looks into images or records before training: surveys, verifies, repairs, extracts, previews.

python inspect_dataset.py --survey --image_dir=flower_photos --output_dir=/tmp/survey
python inspect_dataset.py --verify --dataset_dir=/tmp/flowers
"""

import sys

from slimtrain import data_inspection, settings


def inspect(inspection_settings):
  """Inspects as InspectionSettings say; exits with 1 when something is wrong."""
  if not data_inspection.inspect(inspection_settings):
    sys.exit(1)


if __name__ == '__main__':
  settings.run(data_inspection.InspectionSettings(), inspect)
