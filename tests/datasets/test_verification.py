"""What is wrong with records is found before a run, or after the step that met it, and named."""

import gzip
import io
import json
import os
import re
import struct

import pytest
from PIL import Image

from datasets import dataset_factory, dataset_utils, image_folder, verification
from slimcompat import errors, slim, tf

NUM_CLASSES = 4
LABELS = (3, 0, 1, 2, 1)


def header_end(content, number):
  """Returns the offset at which the record `number` starts."""
  offset = 0
  for _ in range(number):
    offset += 16 + struct.unpack('<Q', content[offset : offset + 8])[0]
  return offset


def flip(content, offset):
  """Returns the content with one bit flipped."""
  return content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]


# How a file of 5 records is damaged, and what is said of it.
DAMAGES = {
  'empty': (lambda content: b'', '{path} is empty: it has no records'),
  'cut in the first length': (
    lambda content: content[:3],
    'Record 0 (counted from 0) of {path} is cut short: the file ends 3 bytes into it',
  ),
  'cut in a length': (
    lambda content: content[: header_end(content, 2) + 11],
    'Record 2 (counted from 0) of {path} is cut short: the file ends 11 bytes into it',
  ),
  'cut in a payload': (
    lambda content: content[: header_end(content, 3) + 40],
    'Record 3 (counted from 0) of {path} is cut short: the file ends within it',
  ),
  'cut in the last checksum': (
    lambda content: content[:-1],
    'Record 4 (counted from 0) of {path} is cut short: the file ends within it',
  ),
  'flipped in a payload': (
    lambda content: flip(content, header_end(content, 3) + 20),
    'Record 3 (counted from 0) of {path} is damaged: its bytes do not match their checksum',
  ),
  'flipped in a length': (
    lambda content: flip(content, header_end(content, 1) + 2),
    'Record 1 (counted from 0) of {path} is damaged: its bytes do not match their checksum',
  ),
  'flipped in a checksum': (
    lambda content: flip(content, len(content) - 2),
    'Record 4 (counted from 0) of {path} is damaged: its bytes do not match their checksum',
  ),
  'web page': (
    lambda content: b'<!DOCTYPE html><title>404</title>' + b' ' * 3000,
    'Record 0 (counted from 0) of {path} is no record: the file is damaged, or no TFRecord file;'
    " it begins b'<!DOCTYPE html><titl'",
  ),
  'cut and compressed': (
    lambda content: gzip.compress(content[:-3], mtime=0),
    'Record 4 (counted from 0) of {path} is cut short',
  ),
  # Within the checksum that ends it: all records are there.
  'compressed and cut': (lambda content: gzip.compress(content, mtime=0)[:-5], '{path} is damaged'),
}


@pytest.fixture
def shard(tmp_path, pictures):
  """The second of 2 files that slim's converter might have made, without counts beside it."""
  folder = tmp_path / 'records'
  folder.mkdir()
  pictures.write_records(folder / 'flowers_train_0.tfrecord', [0, 0])
  path = folder / 'flowers_train_1.tfrecord'
  pictures.write_records(path, LABELS)
  return path


def get_dataset(shard):
  return dataset_factory.get_dataset('flowers', 'train', str(shard.parent))


def test_counts(shard):
  counts = verification.check_records(get_dataset(shard), NUM_CLASSES)
  assert list(counts.items()) == [
    (str(shard.with_name('flowers_train_0.tfrecord')), 2),
    (str(shard), 5),
  ]


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('when', ['before', 'after'])
def test_damaged_file_is_named(damage, when, shard):
  make, sentence = DAMAGES[damage]
  shard.write_bytes(make(shard.read_bytes()))
  sentence = sentence.format(path=shard)
  dataset = get_dataset(shard)
  if when == 'before':
    with pytest.raises(errors.InputError, match='^' + re.escape(sentence)):
      verification.check_records(dataset, NUM_CLASSES)
  else:
    assert verification.find_bad_record(dataset, NUM_CLASSES).startswith(sentence)


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir], ids=['pipe', 'directory'])
def test_what_is_no_file_is_refused(make, shard):
  """A pipe without a writer would block for ever."""
  path = shard.with_name('flowers_train_2.tfrecord')
  make(path)
  with pytest.raises(errors.InputError, match=re.escape(f'{path} is no file of records')):
    verification.check_records(get_dataset(shard), NUM_CLASSES)


def test_damage_in_a_late_batch(tmp_path, pictures, monkeypatch):
  """The number is that of the record in the file, whatever batches it is read in."""
  path = tmp_path / 'flowers_train_0.tfrecord'
  pictures.write_records(path, [0] * 20)
  path.write_bytes(flip(path.read_bytes(), header_end(path.read_bytes(), 17) + 30))
  monkeypatch.setattr(verification, '_BATCH_SIZE', 4)
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  with pytest.raises(errors.InputError, match=r'^Record 17 \(counted from 0\) of .* is damaged'):
    verification.check_records(dataset)


@pytest.mark.parametrize('label', [-1, NUM_CLASSES, 2**40])
def test_label_outside_the_classes(label, tmp_path, pictures):
  path = tmp_path / 'flowers_train_0.tfrecord'
  pictures.write_records(path, [0, 3, label, 1, label])
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  sentence = (
    f'Record 2 (counted from 0) of {path} has the label {label}, but labels run from 0 to 3.'
  )
  with pytest.raises(errors.InputError, match=re.escape(sentence)):
    verification.check_records(dataset, NUM_CLASSES)
  assert verification.find_bad_record(dataset, NUM_CLASSES) == sentence
  # Without a number of classes there is no range; nor does the count depend on it.
  assert sum(verification.check_records(dataset).values()) == 5
  # What was remembered of the file does not hide the label.
  with pytest.raises(errors.InputError, match=re.escape(sentence)):
    verification.check_records(dataset, NUM_CLASSES)


def test_labels_offset(shard):
  dataset = get_dataset(shard)
  first = shard.with_name('flowers_train_0.tfrecord')
  sentence = f'Record 0 (counted from 0) of {first} has the label 0, but labels run from 1 to 3.'
  with pytest.raises(errors.InputError, match=re.escape(sentence)):
    verification.check_records(dataset, NUM_CLASSES, labels_offset=1)
  assert verification.find_bad_record(dataset, NUM_CLASSES, labels_offset=1) == sentence


RECORDS = {
  'no example': (b'hello', 'Could not parse example input'),
  'no label': (
    tf.train.Example(
      features=tf.train.Features(feature={'image/encoded': dataset_utils.bytes_feature(b'')})
    ).SerializeToString(),
    'image/class/label .* is required but could not be found',
  ),
  'two labels': (
    tf.train.Example(
      features=tf.train.Features(
        feature={
          'image/encoded': dataset_utils.bytes_feature(b''),
          'image/class/label': dataset_utils.int64_feature([1, 2]),
        }
      )
    ).SerializeToString(),
    "Key: image/class/label.  Can't parse",
  ),
}


@pytest.mark.parametrize('kind', RECORDS)
def test_record_that_cannot_be_parsed(kind, tmp_path, pictures):
  record, reason = RECORDS[kind]
  path = tmp_path / 'flowers_train_0.tfrecord'
  with tf.io.TFRecordWriter(str(path)) as writer:
    good = dataset_utils.image_to_tfexample(
      pictures.encode(pictures.make_pixels(2, 2, 3)), 'png', 2, 2, 0
    )
    writer.write(good.SerializeToString())
    writer.write(record)
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  with pytest.raises(
    errors.InputError, match=rf'Record 1 \(counted from 0\) of {path} cannot be read: .*{reason}'
  ):
    verification.check_records(dataset, NUM_CLASSES)


def write_images(path, images):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for data in images:
      record = dataset_utils.image_to_tfexample(data, 'png', 6, 5, 0)
      writer.write(record.SerializeToString())


@pytest.mark.parametrize('kind', ['text', 'empty', 'cut png', 'cut jpeg'])
def test_undecodable_image_is_found(kind, tmp_path, pictures):
  pixels = pictures.make_pixels(60, 50, 3)
  png, jpeg = (pictures.encode(pixels, image_format) for image_format in ('PNG', 'JPEG'))
  bad = {'text': b'hello', 'empty': b'', 'cut png': png[:200], 'cut jpeg': jpeg[:400]}[kind]
  path = tmp_path / 'flowers_train_0.tfrecord'
  write_images(path, [png, jpeg, bad, png])
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  # Before a run images are not decoded: that would take as long as an epoch.
  assert sum(verification.check_records(dataset, NUM_CLASSES).values()) == 4
  sentence = verification.find_bad_record(dataset, NUM_CLASSES)
  assert sentence.startswith(f'Record 2 (counted from 0) of {path} cannot be read: ')


def test_animation_that_a_users_decoder_passes_on_is_found(tmp_path, pictures):
  """slim's own handler gives such an image a rank of 4, on which preprocessing fails."""
  frames = [Image.fromarray(pictures.make_pixels(6, 5, 3, seed)) for seed in (0, 1)]
  gif = io.BytesIO()
  frames[0].save(gif, 'GIF', save_all=True, append_images=frames[1:])
  path = tmp_path / 'flowers_train_0.tfrecord'
  write_images(path, [pictures.encode(pictures.make_pixels(6, 5, 3)), gif.getvalue()])
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  assert verification.find_bad_record(dataset, NUM_CLASSES) is None
  dataset.decoder = slim.tfexample_decoder.TFExampleDecoder(
    {
      'image/encoded': tf.FixedLenFeature([], tf.string),
      'image/format': tf.FixedLenFeature([], tf.string),
      'image/class/label': tf.FixedLenFeature([], tf.int64),
    },
    {
      'image': slim.tfexample_decoder.Image(),
      'label': slim.tfexample_decoder.Tensor('image/class/label'),
    },
  )
  sentence = verification.find_bad_record(dataset, NUM_CLASSES)
  assert sentence.startswith(f'Record 1 (counted from 0) of {path} cannot be read: ')
  assert '[2,6,5,3]' in sentence


def test_image_of_another_size_is_found(tmp_path, pictures):
  pictures.write_records(tmp_path / 'mnist_train.tfrecord', [0], (28, 27), 1)
  dataset = dataset_factory.get_dataset('mnist', 'train', str(tmp_path))
  assert re.search(r'Record 0 .*28,27,1.*28,28,1', verification.find_bad_record(dataset, 10))


def test_nothing_bad(shard):
  assert verification.find_bad_record(get_dataset(shard), NUM_CLASSES) is None


# Where the files are looked for, and what is said to be there.
ABSENCES = {
  'no directory': ('none', 'there is no directory {folder}'),
  'a file': ('file', '{folder} is not a directory'),
  'empty': ('empty', 'the directory {folder} is empty'),
  'other split': (
    'other',
    'the directory {folder} holds flowers_validation_0.tfrecord, labels.txt.',
  ),
  'many files': ('many', 'the directory {folder} holds 0, 1, 2, 3, 4, 5, 6, 7 and 2 more.'),
}


@pytest.mark.parametrize('absence', ABSENCES)
def test_no_files(absence, tmp_path):
  name, what = ABSENCES[absence]
  folder = tmp_path / name
  if name == 'file':
    folder.write_text('')
  elif name != 'none':
    folder.mkdir()
  if name == 'other':
    (folder / 'labels.txt').write_text('0:a\n')
    (folder / 'flowers_validation_0.tfrecord').write_text('')
    (folder / '.hidden').write_text('')
  if name == 'many':
    for number in range(10):
      (folder / str(number)).write_text('')
  dataset = dataset_factory.get_dataset('flowers', 'train', str(folder))
  sentence = f'No file matches {folder}/flowers_train_*.tfrecord: ' + what.format(folder=folder)
  with pytest.raises(errors.InputError, match=re.escape(sentence)) as caught:
    verification.check_records(dataset, NUM_CLASSES)
  assert 'Correct the directory or the split, or convert the data first.' in str(caught.value)


@pytest.fixture
def converted(image_dir, tmp_path):
  """A directory with counts, of 3 classes in 5 shards for training."""
  folder = tmp_path / 'converted'
  image_folder.convert(str(image_dir), str(folder))
  return folder


def get_converted(folder, split_name='train'):
  return dataset_factory.get_dataset('image_folder', split_name, str(folder))


def test_counted_shards_are_not_read(converted, monkeypatch, cache_home):
  monkeypatch.setattr(verification.Reader, 'read', None)
  counts = verification.check_records(get_converted(converted), 3)
  assert list(counts.values()) == [3, 3, 3, 3, 3]
  assert [os.path.basename(path) for path in counts] == [
    f'my_pets_train_0000{shard}-of-00005.tfrecord' for shard in range(5)
  ]
  assert not cache_home.exists()


def test_missing_shard_is_named(converted):
  (converted / 'my_pets_train_00003-of-00005.tfrecord').unlink()
  with pytest.raises(errors.InputError, match=r'my_pets_train_00003-of-00005\.tfrecord is missing'):
    verification.check_records(get_converted(converted), 3)
  # The other split is whole.
  assert sum(verification.check_records(get_converted(converted, 'validation'), 3).values()) == 3


def test_shard_cut_where_a_record_ends(converted):
  """TensorFlow reads such a file without a word."""
  path = converted / 'my_pets_train_00001-of-00005.tfrecord'
  content = path.read_bytes()
  path.write_bytes(content[: header_end(content, 2)])
  sentence = f'has {header_end(content, 2)} bytes, but was written with {len(content)}'
  with pytest.raises(errors.InputError, match=f'{path.name} {sentence}'):
    verification.check_records(get_converted(converted), 3)


def test_label_outside_fewer_classes_in_counted_shards(converted):
  """As with a net for 2 classes: the counts tell that there is one, the records which."""
  with pytest.raises(
    errors.InputError, match=r'^Record \d \(.* label 2, but labels run from 0 to 1'
  ):
    verification.check_records(get_converted(converted), 2)


def test_file_beside_the_counted_shards_is_read(converted, pictures):
  pictures.write_records(converted / 'my_pets_train_more.tfrecord', [0, 1])
  counts = verification.check_records(get_converted(converted), 3)
  assert sum(counts.values()) == 17
  pictures.write_records(converted / 'my_pets_train_more.tfrecord', [0, 3])
  with pytest.raises(errors.InputError, match=r'Record 1 .*more\.tfrecord has the label 3'):
    verification.check_records(get_converted(converted), 3)


def test_files_are_read_once(shard, monkeypatch):
  dataset = get_dataset(shard)
  counts = verification.check_records(dataset, NUM_CLASSES)
  read = []

  def spy(reader, path, allowed, original=verification.Reader.read):
    read.append(os.path.basename(path))
    return original(reader, path, allowed)

  monkeypatch.setattr(verification.Reader, 'read', spy)
  assert verification.check_records(dataset, NUM_CLASSES) == counts
  assert dataset.num_samples == 7
  assert read == []
  # The same size, written within the same second.
  shard.write_bytes(flip(shard.read_bytes(), 30))
  with pytest.raises(errors.InputError, match=r'Record 0 .* is damaged'):
    verification.check_records(dataset, NUM_CLASSES)
  assert read == [shard.name]


def test_another_decoder_reads_anew(tmp_path, pictures):
  """Its label may stand elsewhere in the same record."""
  path = tmp_path / 'flowers_train_0.tfrecord'
  more = {'other': dataset_utils.int64_feature(7)}
  pictures.write_records(path, [0], more=more)
  dataset = dataset_factory.get_dataset('flowers', 'train', str(tmp_path))
  verification.check_records(dataset, NUM_CLASSES)
  dataset.decoder = slim.tfexample_decoder.TFExampleDecoder(
    {'other': tf.FixedLenFeature([], tf.int64)},
    {'label': slim.tfexample_decoder.Tensor('other')},
  )
  with pytest.raises(errors.InputError, match='has the label 7'):
    verification.check_records(dataset, NUM_CLASSES)


@pytest.mark.parametrize(
  'content', ['{', '[1]', '{"%s": 5}', '{"%s": [[1, 2], "x", "y"]}', '\udcff']
)
def test_damaged_cache_is_ignored(content, shard, cache_home):
  file = cache_home / 'slimtrain' / 'record_counts.json'
  file.parent.mkdir(parents=True)
  file.write_bytes(content.replace('%s', str(shard)).encode(errors='surrogateescape'))
  assert sum(verification.check_records(get_dataset(shard), NUM_CLASSES).values()) == 7
  # And replaced by a good one.
  assert str(shard) in json.loads(file.read_text())


def test_cache_that_cannot_be_written_is_ignored(shard, cache_home):
  cache_home.write_text('a file where the folder should be')
  assert sum(verification.check_records(get_dataset(shard), NUM_CLASSES).values()) == 7


def test_data_sources_in_slims_forms(shard):
  first, second = (str(shard.with_name(f'flowers_train_{number}.tfrecord')) for number in (0, 1))
  pattern = str(shard.parent / 'flowers_*')
  for sources in (pattern, [first, second], (second, first), f'{first},{second}', [pattern, first]):
    assert verification.list_files(sources) == [first, second]
  assert verification.list_files(f'{first}, {second}') == [first, second]
  with pytest.raises(errors.InputError, match=r'No file matches .*nothing'):
    verification.list_files([first, 'nothing'])


def test_folder_with_a_patterns_characters(tmp_path, pictures):
  folder = tmp_path / 'set [1], a*'
  folder.mkdir()
  pictures.write_records(folder / 'mnist_test.tfrecord', [1], (28, 28), 1)
  dataset = dataset_factory.get_dataset('mnist', 'test', str(folder))
  assert list(verification.check_records(dataset).values()) == [1]
  pictures.write_records(folder / 'flowers_train_0.tfrecord', [1])
  dataset = dataset_factory.get_dataset('flowers', 'train', str(folder))
  assert list(verification.check_records(dataset).values()) == [1]


def test_damaged_info(converted):
  (converted / 'dataset_info.json').write_text('{"format_version": 1')
  with pytest.raises(errors.InputError, match=r'dataset_info\.json is damaged'):
    get_converted(converted)


def test_no_bar_off_a_terminal(shard, capsys):
  verification.check_records(get_dataset(shard), NUM_CLASSES)
  assert capsys.readouterr() == ('', '')
