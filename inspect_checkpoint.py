"""Lists, prints, compares, averages and strips checkpoints, of the formats V1 and V2.

python inspect_checkpoint.py --checkpoint_path=/tmp/digits --statistics
"""

from slimtrain import checkpoint_inspection, settings

if __name__ == '__main__':
  settings.run(checkpoint_inspection.InspectionSettings(), checkpoint_inspection.inspect)
