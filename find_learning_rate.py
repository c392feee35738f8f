"""Finds a learning rate: trains for a few steps at ever higher ones, to see where the loss falls.

python find_learning_rate.py --dataset_name=digits --model_name=lenet --train_dir=/tmp/digits

The flags are those of training; --learning_rate and its schedule make no difference. Into
--train_dir go learning_rates.csv and .png; a run that is there is left as it is.
"""

from slimtrain import rate_finder, settings

if __name__ == '__main__':
  settings.run(rate_finder.RateFinderSettings(), rate_finder.find)
