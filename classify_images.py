"""Says what images show, by a trained model: the names of classes and their probabilities.

python classify_images.py --checkpoint_path=/tmp/flowers photo.jpg folder/ --output_file=found.csv
"""

from slimtrain import classification, settings

if __name__ == '__main__':
  settings.run(classification.ClassificationSettings(), classification.classify, operands='images')
