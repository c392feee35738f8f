"""Evaluates checkpoints of an image classifier on a split of a dataset.

python eval_image_classifier.py --dataset_name=digits \\
    --checkpoint_path=/tmp/digits --eval_dir=/tmp/digits/eval
"""

from slimtrain import evaluation_runs, settings

if __name__ == '__main__':
  settings.run(evaluation_runs.EvaluationRunSettings(), evaluation_runs.run, evaluation_runs.Task)
