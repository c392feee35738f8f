"""Records with keys, pixels, labels and compression of all kinds."""

import gzip
import zlib

import numpy as np
import pytest

from datasets import (
  dataset_factory,
  dataset_info,
  dataset_utils,
  image_folder,
  records,
  verification,
)
from slimcompat import errors, tf


def write(path, rows):
  """Writes a record per dict of {key: value}."""
  makers = {bytes: dataset_utils.bytes_feature, float: dataset_utils.float_feature}
  with tf.io.TFRecordWriter(str(path)) as writer:
    for row in rows:
      feature = {}
      for key, value in row.items():
        first = value[0] if isinstance(value, list) and value else value
        make = makers.get(type(first), dataset_utils.int64_feature)
        feature[key] = make(value)
      example = tf.train.Example(features=tf.train.Features(feature=feature))
      writer.write(example.SerializeToString())


def get_dataset(folder, **settings):
  settings = records.RecordSettings(**{'num_classes': 3, **settings})
  return dataset_factory.get_dataset('tfrecord', 'train', str(folder), settings=settings)


PIXELS = np.random.RandomState(0).randint(0, 256, (4, 5, 3), dtype='uint8')
GRAY = PIXELS[..., :1]


@pytest.mark.parametrize(
  ('row', 'settings', 'expected'),
  [
    ({}, {'record_image_shape': '4,5,3'}, PIXELS),
    ({'image/shape': [4, 5, 3]}, {}, PIXELS),
    ({'image/shape': [4, 5, 3], 'image/format': b'RAW'}, {}, PIXELS),
    (
      {'height': 4, 'width': 5, 'depth': 3},
      {'record_shape_key': 'height, width, depth'},
      PIXELS,
    ),
    ({'img_raw': GRAY.tobytes(), 'image/shape': [4, 5]}, {}, np.repeat(GRAY, 3, axis=-1)),
    ({'img_raw': GRAY.tobytes()}, {'record_image_shape': '4,5,1'}, GRAY),
    (
      {'img_raw': np.concatenate([PIXELS, GRAY], axis=-1).tobytes()},
      {'record_image_shape': '4,5,4'},
      PIXELS,
    ),
  ],
  ids=['flag', 'key', 'named raw', 'keys', 'gray by key', 'gray by flag', 'transparency'],
)
def test_pixels_that_are_not_encoded(tmp_path, pictures, row, settings, expected):
  write(tmp_path / 'my_train.tfrecord', [{'img_raw': PIXELS.tobytes(), 'label': 2, **row}])
  keys = {'record_image_key': 'img_raw', 'record_label_key': 'label'}
  dataset = get_dataset(tmp_path, **keys, **settings)
  ((image, label),) = pictures.read_all(dataset)
  np.testing.assert_array_equal(image, expected)
  assert label == 2
  assert verification.find_bad_record(dataset, 3) is None


def test_encoded_images_with_a_shape_are_told_by_their_format(tmp_path, pictures):
  """Pixels may begin as a JPEG does, and an image of the format jpeg may have a shape."""
  pixels = PIXELS.copy()
  pixels[0, 0] = 0xFF, 0xD8, 0xFF
  encoded = pictures.encode(PIXELS, 'PNG')
  shape = {'image/shape': [4, 5, 3], 'image/class/label': 1}
  rows = [
    {'image/encoded': pixels.tobytes(), 'image/format': b'raw', **shape},
    {'image/encoded': encoded, 'image/format': b'png', **shape},
  ]
  write(tmp_path / 'train', rows)
  decoder = get_dataset(tmp_path).decoder
  examples = list(tf.python_io.tf_record_iterator(str(tmp_path / 'train')))
  with tf.Session() as session:
    for record, expected in zip(examples, (pixels, PIXELS), strict=True):
      whole, _ = decoder.decode(record, ['image', 'label'])
      window, label = decoder.decode_window(record, lambda _: ([1, 2, 0], [3, 2, 3]))
      values = session.run([whole, window, label])
      np.testing.assert_array_equal(values[0], expected)
      np.testing.assert_array_equal(values[1], expected[1:4, 2:4])
      assert values[2] == 1


def test_pixels_that_do_not_fit_their_shape_are_named(tmp_path):
  rows = [{'image/encoded': PIXELS.tobytes(), 'image/class/label': 1}] * 2
  rows.append({'image/encoded': PIXELS.tobytes()[:-1], 'image/class/label': 1})
  write(tmp_path / 'train', rows)
  dataset = get_dataset(tmp_path, record_image_shape='4,5,3')
  sentence = verification.find_bad_record(dataset, 3)
  assert sentence.startswith(f'Record 2 (counted from 0) of {tmp_path}/train cannot be read: ')


@pytest.mark.parametrize(
  ('task', 'labels', 'expected'),
  [
    ('single_label', 2, 2),
    ('multi_label', [0, 2, 2], [1, 0, 1]),
    ('multi_label', [], [0, 0, 0]),
    ('regression', [0.5, -1.0, 2.0], [0.5, -1, 2]),
  ],
)
@pytest.mark.parametrize('key', [None, 'mine'])
def test_labels_of_each_task(tmp_path, pictures, task, labels, expected, key):
  name = key or {'regression': 'image/targets'}.get(task, 'image/class/label')
  write(tmp_path / 'train', [{'image/encoded': pictures.encode(PIXELS), name: labels}])
  dataset = get_dataset(tmp_path, task_type=task, record_label_key=key)
  assert dataset.task == task
  ((_, label),) = pictures.read_all(dataset)
  np.testing.assert_array_equal(label, expected)
  assert label.dtype == ('int64' if task == 'single_label' else 'float32')
  assert list(verification.check_records(dataset, 3).values()) == [1]


@pytest.mark.parametrize(
  ('task', 'labels', 'complaint'),
  [
    ('single_label', 3, 'has the label 3, but labels run from 0 to 2.'),
    ('multi_label', [1, 7], 'has the label 7, but labels run from 0 to 2.'),
    ('multi_label', [-1], 'has the label -1, but labels run from 0 to 2.'),
    ('regression', [1.0, float('inf'), 0.0], 'has a target that is no finite number, at place 1 '),
    ('regression', [1.0, 2.0], 'cannot be read: '),
  ],
)
def test_bad_labels_are_named(tmp_path, pictures, task, labels, complaint):
  key = 'image/targets' if task == 'regression' else 'image/class/label'
  good = {'single_label': 1, 'multi_label': [1], 'regression': [1.0, 2.0, 3.0]}[task]
  rows = [{'image/encoded': pictures.encode(PIXELS), key: label} for label in (good, labels)]
  write(tmp_path / 'train', rows)
  with pytest.raises(errors.InputError) as caught:
    verification.check_records(get_dataset(tmp_path, task_type=task), 3)
  assert f'Record 1 (counted from 0) of {tmp_path}/train {complaint}' in str(caught.value)


@pytest.mark.parametrize('padding', [b'', bytes(5), bytes(100_000)])
@pytest.mark.parametrize(
  ('ending', 'compress', 'kind'),
  [
    ('', gzip.compress, 'GZIP'),
    ('.gz', gzip.compress, 'GZIP'),
    ('', zlib.compress, 'ZLIB'),
    ('', lambda data: zlib.compress(data, 0), 'ZLIB'),
    ('', lambda data: zlib.compress(data, 9), 'ZLIB'),
  ],
)
def test_compressed_files_are_known_by_their_bytes(
  tmp_path, pictures, ending, compress, kind, padding
):
  pictures.write_records(tmp_path / 'whole', [0, 1, 2])
  path = tmp_path / f'my_train{ending}'
  path.write_bytes(compress((tmp_path / 'whole').read_bytes()) + padding)
  assert verification.compression(str(path)) == kind
  assert verification.compression(str(tmp_path / 'whole')) == ''
  assert verification.check_records(get_dataset(tmp_path), 3) == {str(path): 3}


def test_a_record_as_long_as_gzip_begins_is_not_compressed(tmp_path):
  with tf.io.TFRecordWriter(str(tmp_path / 'records')) as writer:
    writer.write(bytes(0x088B1F))
  assert (tmp_path / 'records').read_bytes()[:3] == b'\x1f\x8b\x08'
  assert verification.compression(str(tmp_path / 'records')) == ''


@pytest.mark.parametrize(
  'content', [b'x\x9c', b'x\x9c' + bytes(500), b'x\x9chello' * 90, b'X\x85\x00\x00' * 99, b'']
)
def test_what_begins_like_zlib_only(tmp_path, content):
  (tmp_path / 'file').write_bytes(content)
  assert verification.compression(str(tmp_path / 'file')) == ''


def test_zlib_of_nothing(tmp_path):
  (tmp_path / 'my_train').write_bytes(zlib.compress(b''))
  with pytest.raises(errors.InputError, match='is empty: it has no records'):
    verification.check_records(get_dataset(tmp_path), 3)


@pytest.mark.parametrize('compress', [gzip.compress, zlib.compress])
def test_what_follows_compressed_records_is_named(tmp_path, pictures, compress):
  pictures.write_records(tmp_path / 'whole', [0, 1, 2])
  data = compress((tmp_path / 'whole').read_bytes())
  (tmp_path / 'my_train').write_bytes(data + b'more')
  with pytest.raises(errors.InputError, match='my_train'):
    verification.check_records(get_dataset(tmp_path), 3)


FOREIGN_FILES = {
  'my_train.idx': b'0 90\n90 90\n',  # NVIDIA DALI.
  'my_train.tfrecord.index': b'0 90\n',
  'my_train.tfindex': b'\0' * 40,
  'my_train.crc': b'crc\0\0\0\2\0',  # Hadoop.
  'my_train.md5': b'd41d8cd98f00b204e9800998ecf8427e  my_train\n',
  'my_train.json.gz': gzip.compress(b'{"a": 1}'),
  'my_train.tfrecord.part': b'\0' * 9,
  '._my_train.tfrecord': b'\0\5\x16\7',
  '.DS_Store': b'\0\0\0\1Bud1',
  'Thumbs.db': b'\xd0\xcf\x11\xe0',
  '_SUCCESS': b'',
  'features.json': b'{}',
}


@pytest.mark.parametrize('pattern', [None, '*'])
def test_files_of_other_programs_beside_records(tmp_path, pictures, pattern):
  pictures.write_records(tmp_path / 'my_train.tfrecord', [0, 1, 2])
  pictures.write_records(tmp_path / 'more_train.idx', [0, 1])  # Records for all that.
  for name, content in FOREIGN_FILES.items():
    (tmp_path / name).write_bytes(content)
  (tmp_path / 'dataset_info.json').write_text('{"name": "shapes", "version": "1.0.0"}')
  dataset = get_dataset(tmp_path, record_file_pattern=pattern)
  counts = verification.check_records(dataset, 3)
  assert counts == {
    str(tmp_path / 'more_train.idx'): 2,
    str(tmp_path / 'my_train.tfrecord'): 3,
  }
  expected = {'dataset_info.json'} | {
    name
    for name in FOREIGN_FILES
    if not name.startswith('.') and ('train' in name or pattern == '*')
  }
  ignored = verification.ignored_files(dataset.data_sources)
  assert ignored == sorted(str(tmp_path / name) for name in expected)
  assert verification.describe_ignored(dataset.data_sources).startswith(
    'Ignored, not being records:'
  )


def test_a_file_that_is_asked_for_alone_is_not_ignored(tmp_path):
  (tmp_path / 'train.idx').write_bytes(b'0 90\n90 90\n')
  dataset = get_dataset(tmp_path, record_file_pattern='*.idx')
  with pytest.raises(errors.InputError, match=r'Record 0 .* of .*train\.idx is'):
    verification.check_records(dataset, 3)


def test_labels_file_says_how_many_classes_there_are(tmp_path, pictures):
  pictures.write_records(tmp_path / 'a_train', [0, 1])
  with pytest.raises(errors.InputError, match='Give --num_classes'):
    get_dataset(tmp_path, num_classes=None)
  dataset_utils.write_label_file({0: 'cat', 4: 'dog'}, str(tmp_path))
  assert get_dataset(tmp_path, num_classes=None).num_classes == 5


def test_pattern_chooses_the_files(tmp_path, pictures):
  pictures.write_records(tmp_path / 'a_train.rec', [0])
  pictures.write_records(tmp_path / 'b_train.rec', [0, 1])
  dataset = get_dataset(tmp_path, record_file_pattern='b_%s.*')
  assert dataset.num_samples == 2


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    (
      {'task_type': 'regression'},
      '--task_type=regression contradicts .* is single_label',
    ),
    ({'num_classes': 4}, '--num_classes=4 contradicts .* num_classes is 3'),
    ({'record_image_shape': '4,5'}, '--record_image_shape=4,5 is no shape'),
    ({'record_image_shape': '4,5,2'}, '1, 3 or 4 channels'),
  ],
)
def test_contradictions_are_refused(tmp_path, image_dir, settings, sentence):
  image_folder.convert(str(image_dir), str(tmp_path / 'records'))
  settings = records.RecordSettings(**settings)
  with pytest.raises(errors.InputError, match=sentence):
    dataset_factory.get_dataset(
      'image_folder', 'train', str(tmp_path / 'records'), settings=settings
    )


def test_own_decoders_keep_their_keys(tmp_path):
  dataset_factory.register('mine', lambda *args: None)
  for settings in ({'record_image_key': 'x'}, {'num_classes': 3}):
    with pytest.raises(errors.InputError, match='whose own decoder reads'):
      dataset_factory.get_dataset(
        'mine', 'train', str(tmp_path), settings=records.RecordSettings(**settings)
      )


def test_every_task_has_a_label():
  assert {records.label_item(task, 3).name for task in dataset_info.TASKS} == {'label'}
