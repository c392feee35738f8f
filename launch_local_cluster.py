"""Trains in a cluster of processes on this machine: the command after -- is run as each of them.

python launch_local_cluster.py --num_ps=1 --num_workers=2 -- \
  train_image_classifier.py --dataset_name=digits --model_name=lenet --train_dir=/tmp/digits
"""

from slimtrain import local_cluster, settings

if __name__ == '__main__':
  settings.run(local_cluster.LocalClusterSettings(), local_cluster.launch, operands='command')
