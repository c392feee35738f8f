"""Evaluates a checkpoint of an image classifier on a split of a dataset.

python eval_image_classifier.py --dataset_name=digits --model_name=lenet \\
    --checkpoint_path=/tmp/digits --eval_dir=/tmp/digits/eval
"""

from slimtrain import evaluation, settings

if __name__ == '__main__':
  settings.run(evaluation.EvaluationSettings(), evaluation.evaluate, evaluation.complete)
