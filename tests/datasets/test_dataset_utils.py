"""The names that users' own dataset modules and converters call."""

import numpy as np
import pytest

from datasets import dataset_utils
from slimcompat import errors


@pytest.mark.parametrize(
  ('function', 'values', 'kind', 'stored'),
  [
    (dataset_utils.int64_feature, 7, 'int64_list', [7]),
    (dataset_utils.int64_feature, (7, 8), 'int64_list', [7, 8]),
    (dataset_utils.int64_feature, np.int64(7), 'int64_list', [7]),
    (dataset_utils.int64_feature, np.array([7, 8]), 'int64_list', [7, 8]),
    (dataset_utils.float_feature, 0.5, 'float_list', [0.5]),
    (dataset_utils.float_feature, [0.5, 2.0], 'float_list', [0.5, 2.0]),
    (dataset_utils.bytes_feature, b'jpg', 'bytes_list', [b'jpg']),
    (dataset_utils.bytes_feature, 'jpg', 'bytes_list', [b'jpg']),
    (dataset_utils.bytes_feature, [b'a', b'b'], 'bytes_list', [b'a', b'b']),
  ],
)
def test_feature(function, values, kind, stored):
  feature = function(values)
  assert feature.WhichOneof('kind') == kind
  assert list(getattr(feature, kind).value) == stored


def test_image_to_tfexample():
  feature = dataset_utils.image_to_tfexample(b'data', b'png', 5, 6, 7).features.feature
  assert feature['image/encoded'].bytes_list.value == [b'data']
  assert feature['image/format'].bytes_list.value == [b'png']
  assert feature['image/class/label'].int64_list.value == [7]
  assert feature['image/height'].int64_list.value == [5]
  assert feature['image/width'].int64_list.value == [6]
  assert len(feature) == 5


@pytest.mark.parametrize('arguments', [(), ('names.txt',)])
def test_labels_file(arguments, tmp_path):
  names = {0: 'daisy', 1: 'a:b', 2: 'Gänseblümchen'}
  folder = str(tmp_path)
  assert not dataset_utils.has_labels(folder, *arguments)
  dataset_utils.write_label_file(names, folder, *arguments)
  assert dataset_utils.has_labels(folder, *arguments)
  assert dataset_utils.read_label_file(folder, *arguments) == names
  file = tmp_path / (arguments or ('labels.txt',))[0]
  assert file.read_text(encoding='utf-8') == '0:daisy\n1:a:b\n2:Gänseblümchen\n'


def test_labels_file_of_windows(tmp_path):
  (tmp_path / 'labels.txt').write_bytes(b'0:daisy\r\n1:rose\r\n')
  assert dataset_utils.read_label_file(str(tmp_path)) == {0: 'daisy', 1: 'rose'}


@pytest.mark.parametrize('line', [b'daisy', b'one:daisy', b'1:\xff'])
def test_damaged_labels_file(line, tmp_path):
  (tmp_path / 'labels.txt').write_bytes(b'0:rose\n' + line + b'\n')
  with pytest.raises(errors.InputError, match=r'Line 2 of .*labels\.txt'):
    dataset_utils.read_label_file(str(tmp_path))
