"""Pets at home, as a user's dataset module written for slim describes them."""

import os

import tensorflow.compat.v1 as tf
import tf_slim as slim

from datasets import dataset_utils

_FILE_PATTERN = 'pets_%s_*.tfrecord'
SPLITS_TO_SIZES = {'train': 4, 'validation': 3}
_NUM_CLASSES = 3
_ITEMS_TO_DESCRIPTIONS = {
  'image': 'A pet in colour.',
  'label': 'Which pet, from 0 to 2.',
}


def get_split(split_name, dataset_dir, file_pattern=None, reader=None):
  """Returns the pets of a split; their labels are stored under a key of their own."""
  if split_name not in SPLITS_TO_SIZES:
    raise ValueError(split_name + ' is not among the splits of pets.')
  pattern = os.path.join(dataset_dir, (file_pattern or _FILE_PATTERN) % split_name)
  decoder = slim.tfexample_decoder.TFExampleDecoder(
    {
      'image/encoded': tf.FixedLenFeature((), tf.string, default_value=''),
      'image/format': tf.FixedLenFeature((), tf.string, default_value='png'),
      'pet': tf.FixedLenFeature([1], tf.int64),
    },
    {
      'image': slim.tfexample_decoder.Image(),
      'label': slim.tfexample_decoder.Tensor('pet', shape=[]),
    },
  )
  names = None
  if dataset_utils.has_labels(dataset_dir):
    names = dataset_utils.read_label_file(dataset_dir)
  return slim.dataset.Dataset(
    data_sources=pattern,
    reader=reader or tf.TFRecordReader,
    decoder=decoder,
    num_samples=SPLITS_TO_SIZES[split_name],
    items_to_descriptions=_ITEMS_TO_DESCRIPTIONS,
    num_classes=_NUM_CLASSES,
    labels_to_names=names,
  )
