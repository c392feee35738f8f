"""What the records of each task hold, and what dataset_info.json says of them."""

import pytest

from datasets import dataset_info, dataset_utils, records, shards
from slimcompat import tf

# Task: the labels of two images, and the counts that follow.
LABELS = {
  'single_label': ((1, 1), (0, 2, 0)),
  'multi_label': (((0, 2), ()), (1, 0, 1)),
  'regression': (((0.5, -1.0, 2.0), (0.0, 0.25, 1.0)), ()),
}


@pytest.mark.parametrize('task', dataset_info.TASKS)
def test_records_of_each_task(tmp_path, task):
  labels, counts = LABELS[task]
  examples = [shards.EncodedExample(b'data', 'png', 3, 2, 1, label) for label in labels]
  splits = {'train': shards.listed(examples)}
  info = shards.write(str(tmp_path), 'shapes', ['a', 'b', 'c'], splits, num_shards=1, task=task)

  assert info.task == task
  assert info.splits['train'].class_counts == counts
  assert dataset_info.read(str(tmp_path)) == info
  path = tmp_path / info.splits['train'].shards[0].file_name
  read = []
  for record in tf.python_io.tf_record_iterator(str(path)):
    features = tf.train.Example.FromString(record).features.feature
    if task == 'regression':
      assert records.LABEL_KEY not in features
      read.append(tuple(features[records.TARGETS_KEY].float_list.value))
    else:
      assert records.TARGETS_KEY not in features
      read.append(tuple(features[records.LABEL_KEY].int64_list.value))
  assert read == [label if isinstance(label, tuple) else (label,) for label in labels]


def test_large_images_are_serialized_as_the_library_does(monkeypatch):
  more = {
    'image/filename': dataset_utils.bytes_feature('é.png'),
    'a': dataset_utils.int64_feature(3),
  }
  for num_bytes in (0, 1, 127, 128, 20000):
    example = shards.EncodedExample(bytes(num_bytes), 'png', 3, 4, 3, 2, more)
    expected = shards._serialize(shards._make_record(example, 'single_label'), example.data)
    with monkeypatch.context() as patch:
      patch.setattr(shards, '_LARGE_BYTES', 0)
      found = shards._serialize(shards._make_record(example, 'single_label'), example.data)
    assert found == expected
