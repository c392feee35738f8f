"""Trains an image classifier, from scratch or from a checkpoint.

python train_image_classifier.py --dataset_name=digits --model_name=lenet --train_dir=/tmp/digits
"""

from slimtrain import cluster, settings, tasks, training

if __name__ == '__main__':
  settings.run(training.TrainingSettings(), tasks.run, leave=cluster.leave)
