"""Records, image files and memory give the same batches; only bad records are left out."""

import dataclasses
import functools
import gzip
import io
import os
import shutil
import zlib

import numpy as np
import pytest
from PIL import Image

from datasets import dataset_info, dataset_utils, image_files, image_folder, record_files
from datasets import records as records_lib
from slimcompat import errors, tf
from slimtrain import console, inputs

NUM_RECORDS = 14  # In each of the 3 files.


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Image files of several sizes, and records that name them."""
  folder = tmp_path_factory.mktemp('reading')
  os.makedirs(folder / 'images')
  os.makedirs(folder / 'records')
  rng = np.random.RandomState(0)
  for shard in range(3):
    with tf.io.TFRecordWriter(str(folder / 'records' / f'my_train_{shard}')) as writer:
      for number in range(NUM_RECORDS):
        width, height = (int(side) for side in rng.randint(30, 60, 2))
        coarse = rng.randint(0, 256, (6, 6, 3), dtype='uint8')
        kind = 'png' if number % 4 == 0 else 'jpeg'
        encoded = io.BytesIO()
        Image.fromarray(coarse).resize((width, height)).save(encoded, kind)
        name = f'{shard}_{number}.{kind}'
        (folder / 'images' / name).write_bytes(encoded.getvalue())
        example = dataset_utils.image_to_tfexample(
          encoded.getvalue(), kind, height, width, number % 5
        )
        example.features.feature['image/filename'].CopyFrom(dataset_utils.bytes_feature(name))
        writer.write(example.SerializeToString())
  return folder


def make_settings(folder, **changes):
  settings = inputs.TrainingDataSettings(
    dataset_name='tfrecord',
    dataset_dir=str(folder / 'records'),
    batch_size=6,
    shuffle_buffer_size=10,
    deterministic_input=True,
    num_readers=2,
    layout=records_lib.RecordSettings(num_classes=5),
  )
  return dataclasses.replace(settings, **changes)


def in_mode(folder, mode):
  return {'input_mode': mode, 'image_dir': str(folder / 'images') if mode == 'files' else None}


def take(settings, count, model_name='inception_v1', **kwargs):
  """Returns the first `count` batches for training, each part joined."""
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_training_batches(data, settings, model_name, 24, **kwargs)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    taken = [session.run(batch) for _ in range(count)]
  return [np.concatenate(part) for part in zip(*taken, strict=True)]


def evaluate(settings):
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'inception_v1', 24)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    taken = [session.run(batch) for _ in range(-(-data.num_examples // settings.batch_size))]
    with pytest.raises(tf.errors.OutOfRangeError):
      session.run(batch)
  return [np.concatenate(part) for part in zip(*taken, strict=True)]


@pytest.mark.parametrize('mode', ['files', 'memory'])
@pytest.mark.parametrize('model_name', ['inception_v1', 'vgg_16'])
def test_input_modes_give_the_same_batches(folder, mode, model_name):
  # Two epochs and a half, and the rest of a continued run.
  settings = make_settings(folder)
  expected = take(settings, 17, model_name, seed=3)
  other = dataclasses.replace(settings, **in_mode(folder, mode))
  for part, expected_part in zip(take(other, 17, model_name, seed=3), expected, strict=True):
    np.testing.assert_array_equal(part, expected_part)
  rest = take(other, 2, model_name, seed=3, num_seen=90)
  for part, expected_part in zip(rest, expected, strict=True):
    np.testing.assert_array_equal(part, expected_part[90:])


@pytest.mark.parametrize('mode', ['files', 'memory'])
def test_input_modes_evaluate_the_same(folder, mode):
  expected = evaluate(make_settings(folder))
  assert len(expected[1]) == 3 * NUM_RECORDS
  for part, expected_part in zip(
    evaluate(make_settings(folder, **in_mode(folder, mode))), expected, strict=True
  ):
    np.testing.assert_array_equal(part, expected_part)


@pytest.mark.parametrize('mode', ['files', 'memory'])
def test_kept_examples_need_the_records_only_once(folder, tmp_path, mode):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  settings = make_settings(tmp_path, **in_mode(folder, mode))
  data = inputs.load_data(settings)
  batches = inputs.make_training_batches(data, settings, 'lenet', 24, seed=1)
  for path in data.files:
    os.remove(path)
  batch = tf.data.make_one_shot_iterator(batches).get_next()
  with tf.Session() as session:
    for _ in range(10):
      session.run(batch)


def test_image_files_that_do_not_fit_are_refused(folder, tmp_path):
  shutil.copytree(folder / 'images', tmp_path / 'images')
  settings = make_settings(folder, **in_mode(tmp_path, 'files'))
  path = tmp_path / 'images' / '0_3.jpeg'
  Image.new('RGB', (7, 9)).save(path)
  with pytest.raises(errors.InputError, match=r'0_3.jpeg, which the record 3 .* has 7x9 pixels'):
    take(settings, 1)
  os.remove(path)
  with pytest.raises(errors.InputError, match=r'0_3.jpeg, which the record 3 .* cannot be read'):
    take(settings, 1)


def odd_images():
  """Returns {name: how it is saved} of a picture, by a function of its path each."""
  rng = np.random.RandomState(2)
  coarse = Image.fromarray(rng.randint(0, 256, (6, 8, 3), dtype='uint8'))
  picture = coarse.resize((48, 36), Image.Resampling.BICUBIC)
  turned = Image.Exif()
  turned[0x0112] = 6
  mirrored = Image.Exif()
  mirrored[0x0112] = 2
  with_alpha = picture.convert('RGBA')
  with_alpha.putalpha(Image.fromarray(rng.randint(0, 256, (36, 48), dtype='uint8')))
  deep = Image.fromarray(rng.randint(0, 4096, (36, 48)).astype(np.uint16))
  others = [picture.rotate(90), picture.rotate(180)]
  images = {
    'plain.jpg': picture,
    'plain.png': picture,
    'gray.png': picture.convert('L'),
    'palette.png': picture.quantize(20),
    'alpha.png': with_alpha,
    'deep.png': deep,
    'deep.tif': deep,
    'cmyk.jpg': picture.convert('CMYK'),
    'black_and_white.png': picture.convert('1'),
    **{f'plain.{ending}': picture for ending in ('webp', 'tif', 'bmp', 'gif', 'tga', 'ppm')},
    'icon.ico': picture,
    'jpeg2000.jp2': picture,
    'palette.bmp': picture.quantize(20),
  }
  saves = {name: functools.partial(image.save) for name, image in images.items()}
  for name, exif in (('turned', turned), ('mirrored', mirrored)):
    for ending in ('jpg', 'png', 'webp', 'tif'):
      saves[f'{name}.{ending}'] = functools.partial(picture.save, exif=exif)
  more = {'save_all': True, 'append_images': others}
  saves['animated.gif'] = functools.partial(picture.quantize(20).save, transparency=3, **more)
  saves['animated.webp'] = functools.partial(picture.save, **more)
  return saves


def convert_odd_images(folder, **settings):
  for number, (name, save) in enumerate(odd_images().items()):
    place = folder / 'images' / 'ab'[number % 2]
    os.makedirs(place, exist_ok=True)
    save(place / name)
  image_folder.convert(
    str(folder / 'images'),
    str(folder / 'data'),
    validation_fraction=0.5,
    num_shards=1,
    settings=image_files.ImageSettings(**settings),
  )
  assert not (folder / 'data' / 'rejects.csv').exists()
  return inputs.TrainingDataSettings(
    dataset_name='image_folder', dataset_dir=str(folder / 'data'), batch_size=4
  )


@pytest.mark.parametrize('image_bits', [None, 12])
def test_files_of_every_kind_give_what_converting_made_of_them(tmp_path, image_bits):
  settings = convert_odd_images(tmp_path, image_bits=image_bits)
  for split_name in ('train', 'validation'):
    settings = dataclasses.replace(settings, dataset_split_name=split_name)
    expected = evaluate(settings)
    found = evaluate(dataclasses.replace(settings, **in_mode(tmp_path, 'files')))
    for part, expected_part in zip(found, expected, strict=True):
      np.testing.assert_array_equal(part, expected_part)


def test_files_of_every_kind_are_trained_on(tmp_path):
  settings = dataclasses.replace(convert_odd_images(tmp_path), deterministic_input=True)
  expected = take(settings, 5, seed=3)
  for errors_mode in ('stop', 'skip'):
    other = dataclasses.replace(settings, **in_mode(tmp_path, 'files'), record_errors=errors_mode)
    for part, expected_part in zip(take(other, 5, seed=3), expected, strict=True):
      np.testing.assert_array_equal(part, expected_part)


# What takes the place of an image file -> what is said of it, before the first batch.
REPLACEMENTS = {
  'pipe': (os.mkfifo, 'it is a named pipe, not a file'),
  'directory': (os.mkdir, 'it is a directory, not a file'),
  'zeros': (lambda path: os.symlink('/dev/zero', path), 'it is a device, not a file'),
  'postscript': (
    lambda path: path.write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 36\n'),
    'it is no image that is known',
  ),
  'sparse': (lambda path: write_sparse(path, b''), 'it is no image that is known'),
  'sparse_png': (
    lambda path: write_sparse(path, b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x30\0\0\0\x24\x08\2'),
    '',
  ),
  'empty': (lambda path: path.write_bytes(b''), 'it is empty'),
  'nothing': (lambda path: None, 'No such file or directory'),
}


def write_sparse(path, begin):
  with open(path, 'wb') as file:
    file.write(begin)
    file.truncate(10**11)


@pytest.mark.parametrize('kind', REPLACEMENTS)
def test_what_is_no_image_file_is_refused_at_the_start(folder, tmp_path, kind):
  make, reason = REPLACEMENTS[kind]
  shutil.copytree(folder / 'images', tmp_path / 'images')
  path = tmp_path / 'images' / '1_5.jpeg'
  path.unlink()
  make(path)
  with pytest.raises(errors.InputError, match=f'1_5.jpeg, which .* cannot be read: {reason}'):
    take(make_settings(folder, **in_mode(tmp_path, 'files')), 1)


@pytest.mark.parametrize(
  ('changes', 'sentence'),
  [
    ({'input_mode': 'files'}, 'files needs it'),
    ({'image_dir': '/images'}, 'the others have no use for it'),
    ({'input_mode': 'memory', 'cache': 'records'}, '--cache=records is for'),
    ({'input_mode': 'memory', 'fast_jpeg': True}, 'exclude each other'),
  ],
)
def test_settings_that_contradict_are_refused(folder, changes, sentence):
  with pytest.raises(errors.InputError, match=sentence):
    make_settings(folder, **changes)


def test_memory_that_will_not_do_is_said_before_it_is_full(folder, monkeypatch):
  monkeypatch.setattr('slimtrain.kept_examples.open', fake_meminfo, raising=False)
  with pytest.raises(errors.InputError, match=r'memory needs about 0.0 GB .* 0.0 GB are free'):
    take(make_settings(folder, input_mode='memory'), 1)


def fake_meminfo(path, **kwargs):
  assert path == '/proc/meminfo'
  return io.StringIO('MemTotal: 1 kB\nMemAvailable: 100 kB\n')


def frames(path):
  return list(record_files.read_frames(str(path)))


# What happens to a file, and which of its 14 records are then bad; more than one in a row may
# count as one.
def _flip(content, place):
  return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGES = {
  'length': (lambda content, at: _flip(content, at[3]), [3]),
  'checksum of a length': (lambda content, at: _flip(content, at[0] + 9), [0]),
  'payload': (lambda content, at: _flip(content, at[13] + 30), [13]),
  'checksum': (lambda content, at: _flip(content, at[6] - 2), [5]),
  'several': (lambda content, at: _flip(_flip(content, at[2] + 20), at[9]), [2, 9]),
  'cut in a record': (lambda content, at: content[: at[13] + 50], [13]),
  'cut in a length': (lambda content, at: content[: at[13] + 5], [13]),
  'bytes missing': (lambda content, at: content[: at[4] + 20] + content[at[4] + 33 :], [4]),
}


@pytest.mark.parametrize(
  ('damage', 'mode'), [*((damage, 'tfrecord') for damage in DAMAGES), ('several', 'memory')]
)
def test_bad_records_are_left_out_and_no_others(folder, tmp_path, damage, mode):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  path = tmp_path / 'records' / 'my_train_1'
  make, bad = DAMAGES[damage]
  path.write_bytes(make(path.read_bytes(), [frame.offset for frame in frames(path)]))

  stopping = make_settings(tmp_path)
  with pytest.raises(errors.InputError, match=rf'Record {bad[0]} .*my_train_1'):
    inputs.load_data(stopping)
  settings = make_settings(tmp_path, record_errors='skip', input_mode=mode)
  data = inputs.load_data(settings)
  assert data.num_skipped == len(bad) == len(data.skipped)
  assert data.num_examples == 3 * NUM_RECORDS - len(bad)
  for number, sentence in zip(bad, data.skipped, strict=True):
    assert sentence.startswith(f'Record {number} (counted from 0) of {path} ')
  images, labels, sources, *_ = evaluate(settings)
  expected = evaluate(make_settings(folder))
  is_kept = ~((expected[2][:, 0] == 1) & np.isin(expected[2][:, 1], bad))
  order = np.lexsort(sources.T)
  expected_order = np.lexsort(expected[2][is_kept].T)
  for part, whole in zip((images, labels, sources), expected[:3], strict=True):
    np.testing.assert_array_equal(part[order], whole[is_kept][expected_order])
  # An epoch of training, too, and what is known of the file is remembered.
  settings = dataclasses.replace(settings, batch_size=1)
  sources = take(settings, data.num_examples, seed=1)[2]
  assert len(np.unique(sources, axis=0)) == data.num_examples


def rewrite(path, change):
  """Writes the records of a file again, as `change(number, example)` leaves them."""
  payloads = [frame.payload for frame in frames(path)]
  with tf.io.TFRecordWriter(str(path)) as writer:
    for number, payload in enumerate(payloads):
      example = tf.train.Example.FromString(payload)
      change(number, example.features.feature)
      writer.write(example.SerializeToString())


def test_undecodable_images_and_wrong_labels_are_left_out(folder, tmp_path):
  shutil.copytree(folder / 'records', tmp_path / 'records')

  def change(number, feature):
    if number == 2:
      feature['image/class/label'].int64_list.value[0] = 5
    elif number == 4:
      feature['image/encoded'].bytes_list.value[0] = b'no image'
    elif number == 7:
      del feature['image/class/label']

  rewrite(tmp_path / 'records' / 'my_train_2', change)
  data = inputs.load_data(make_settings(tmp_path, record_errors='skip', max_skipped_records=3))
  assert [sentence.split()[1] for sentence in data.skipped] == ['2', '4', '7']
  assert 'has the label 5' in data.skipped[0]
  with pytest.raises(errors.InputError, match=r'max_skipped_records=2 .*Record 2 .*Record 7 '):
    inputs.load_data(make_settings(tmp_path, record_errors='skip', max_skipped_records=2))


def test_sound_compressed_files_are_kept_beside_bad_ones(folder, tmp_path):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  records = tmp_path / 'records'
  (records / 'my_train_0').write_bytes(gzip.compress((records / 'my_train_0').read_bytes()))
  (records / 'my_train_1').write_bytes((records / 'my_train_1').read_bytes()[:-1])
  settings = make_settings(tmp_path, record_errors='skip')
  sources = evaluate(settings)[2]
  assert np.bincount(sources[:, 0]).tolist() == [NUM_RECORDS, NUM_RECORDS - 1, NUM_RECORDS]


COMPRESSED_DAMAGES = {
  'a bad record, compressed': lambda content, at, compress: compress(_flip(content, at[5] + 40)),
  'a cut file, compressed': lambda content, at, compress: compress(content[: at[11] + 30]),
  'cut after compressing': lambda content, at, compress: compress(content)[:-300],
  'flipped after compressing': lambda content, at, compress: _flip(compress(content), 3000),
  'more after it': lambda content, at, compress: compress(content) + b'more',
}


@pytest.mark.parametrize(
  ('damage', 'compress'),
  [
    *((damage, gzip.compress) for damage in COMPRESSED_DAMAGES),
    ('flipped after compressing', zlib.compress),
    ('more after it', zlib.compress),
  ],
)
def test_bad_records_of_compressed_files_are_left_out(folder, tmp_path, damage, compress):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  path = tmp_path / 'records' / 'my_train_1'
  before = frames(path)
  payloads = [frame.payload for frame in before]
  offsets = [frame.offset for frame in before]
  path.write_bytes(COMPRESSED_DAMAGES[damage](path.read_bytes(), offsets, compress))
  kept = [payloads.index(f.payload) for f in frames(path) if f.payload and not f.complaint]
  assert len(kept) >= 6
  settings = make_settings(tmp_path, record_errors='skip', batch_size=1)
  with pytest.raises(errors.InputError, match='my_train_1'):
    inputs.load_data(dataclasses.replace(settings, record_errors='stop'))
  sources = evaluate(settings)[2]
  assert sorted(sources[sources[:, 0] == 1][:, 1]) == kept
  assert len(sources) == 2 * NUM_RECORDS + len(kept)


@pytest.mark.parametrize('compress', [bytes, gzip.compress, zlib.compress])
@pytest.mark.parametrize('record_errors', ['stop', 'skip'])
def test_padding_and_compressions_of_all_kinds(folder, tmp_path, compress, record_errors):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  path = tmp_path / 'records' / 'my_train_2'
  padding = b'' if compress is bytes else bytes(5000)
  path.write_bytes(compress(path.read_bytes()) + padding)
  path = tmp_path / 'records' / 'my_train_0'
  path.write_bytes(zlib.compress(path.read_bytes()))
  settings = make_settings(tmp_path, record_errors=record_errors, batch_size=1)
  assert inputs.load_data(settings).num_skipped == 0
  assert len(np.unique(evaluate(settings)[2], axis=0)) == 3 * NUM_RECORDS


def damage_unseen(path, number, at=40):
  """Flips a bit of a record, and leaves the size and the time of writing as they were."""
  state = path.stat()
  path.write_bytes(_flip(path.read_bytes(), frames(path)[number].offset + at))
  os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_damage_that_leaves_the_time_of_writing_is_found_at_the_start(folder, tmp_path):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  settings = make_settings(tmp_path, record_errors='skip')
  assert inputs.load_data(settings).num_skipped == 0
  damage_unseen(tmp_path / 'records' / 'my_train_1', 4)
  assert inputs.load_data(settings).num_skipped == 1


@pytest.mark.parametrize(
  ('mode', 'places', 'bad'),
  [
    ('tfrecord', [(0, 40), (1, 40), (13, 40)], [0, 1, 13]),
    ('memory', [(0, 40), (1, 40), (13, 40)], [0, 1, 13]),
    ('tfrecord', [(3, 2), (7, 9)], [3, 7]),
    ('tfrecord', [(number, 40) for number in range(14)], list(range(14))),
  ],
  ids=['several', 'in memory', 'lengths', 'all of a file'],
)
def test_damage_during_a_run_is_left_out_where_it_is_met(
  folder, tmp_path, monkeypatch, mode, places, bad
):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  path = tmp_path / 'records' / 'my_train_1'
  settings = make_settings(tmp_path, record_errors='skip', input_mode=mode, batch_size=1)
  data = inputs.load_data(settings)
  said = []
  monkeypatch.setattr(console, 'say', said.append)
  for number, at in places:
    damage_unseen(path, number, at)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'lenet', 24)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    sources = []
    with pytest.raises(tf.errors.OutOfRangeError):
      while True:
        sources.extend(session.run(batch)[2].tolist())
  expected = [[file, n] for file in range(3) for n in range(14) if file != 1 or n not in bad]
  assert sorted(sources) == expected
  assert data.num_skipped == len(bad) == len(data.skipped) == len(said)
  assert f'Skipped: Record {bad[0]} (counted from 0) of {path} ' in said[0]
  # Another epoch says nothing anew, and another start knows.
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_training_batches(data, settings, 'lenet', 24, seed=1)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    sources = [session.run(batch)[2][0].tolist() for _ in range(2 * len(expected))]
  assert sorted(sources) == sorted(2 * expected)
  assert data.num_skipped == len(bad)
  assert inputs.load_data(settings).num_skipped == len(bad)


def test_too_much_damage_during_a_run_ends_it(folder, tmp_path):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  settings = make_settings(tmp_path, record_errors='skip', max_skipped_records=1)
  data = inputs.load_data(settings)
  for number in (3, 5):
    damage_unseen(tmp_path / 'records' / 'my_train_2', number)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'lenet', 24)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    with (
      pytest.raises(errors.InputError, match='2 records are bad, and 40 are left'),
      inputs.explained_errors(data, settings),
    ):
      while True:
        session.run(batch)


def test_a_file_that_goes_during_a_run_is_named(folder, tmp_path):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  settings = make_settings(tmp_path, record_errors='skip')
  data = inputs.load_data(settings)
  (tmp_path / 'records' / 'my_train_2').unlink()
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_evaluation_batches(data, settings, 'lenet', 24)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    with (
      pytest.raises(errors.InputError, match='my_train_2 is missing'),
      inputs.explained_errors(data, settings),
    ):
      while True:
        session.run(batch)


@pytest.mark.parametrize('record_errors', ['stop', 'skip'])
def test_more_records_than_listed_are_refused(folder, tmp_path, record_errors):
  shutil.copytree(folder / 'records', tmp_path / 'records')
  records = tmp_path / 'records'
  names = sorted(os.listdir(records))
  listed = tuple(
    dataset_info.Shard(name, NUM_RECORDS, (records / name).stat().st_size) for name in names
  )
  split = dataset_info.Split(listed, (3 * NUM_RECORDS, 0, 0, 0, 0))
  info = dataset_info.DatasetInfo(
    'tfrecord', tuple('abcde'), 3, ('jpeg', 'png'), (), {'train': split}
  )
  dataset_info.write(info, str(records))
  settings = make_settings(tmp_path, record_errors=record_errors)
  inputs.load_data(settings)
  path = records / 'my_train_1'
  content = path.read_bytes()
  path.write_bytes(content + content[frames(path)[-1].offset :])
  with pytest.raises(errors.InputError, match=r'my_train_1 has (15 records|\d+ bytes), but'):
    inputs.load_data(settings)


def test_several_labels_need_their_key(folder):
  """Without it, no label would apply to any image."""
  layout = records_lib.RecordSettings(num_classes=5, task_type='multi_label')
  assert inputs.load_data(make_settings(folder, layout=layout)).task == 'multi_label'
  layout = dataclasses.replace(layout, record_label_key='mine')
  with pytest.raises(errors.InputError, match=r'no key mine, .* image/class/label, image/encoded'):
    inputs.load_data(make_settings(folder, layout=layout))


def test_nothing_that_is_left_is_an_error(folder, tmp_path):
  os.makedirs(tmp_path / 'records')
  (tmp_path / 'records' / 'a_train').write_text('<html>Not found</html>')
  (tmp_path / 'records' / 'b_train').write_text('')
  with pytest.raises(errors.InputError, match=r'no record that can be trained with: .*b_train is'):
    inputs.load_data(make_settings(tmp_path, record_errors='skip'))
  # Beside records, they are skipped.
  shutil.copy(folder / 'records' / 'my_train_0', tmp_path / 'records' / 'c_train')
  data = inputs.load_data(make_settings(tmp_path, record_errors='skip'))
  assert (data.num_examples, data.num_skipped) == (NUM_RECORDS, 2)
  assert len(evaluate(make_settings(tmp_path, record_errors='skip'))[1]) == NUM_RECORDS
