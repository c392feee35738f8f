"""What a survey finds in folders and in records."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from datasets import (
  image_folder,
  image_measures,
  record_sets,
  survey,
  survey_file,
  survey_report,
  survey_sources,
)
from slimcompat import errors


def save(path, image, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  if not isinstance(image, Image.Image):
    image = Image.fromarray(image)
  image.save(path, **options)


def survey_folder(folder):
  return survey.make(survey_sources.list_folder(str(folder)))


def test_counts_sizes_and_losses(tmp_path, pictures):
  for split, class_name, count, (height, width) in (
    ('train', 'cat', 3, (300, 400)),
    ('train', 'dog', 1, (100, 100)),
    ('val', 'cat', 2, (600, 300)),
  ):
    for number in range(count):
      pixels = pictures.make_pixels(height, width, 3, seed=width + number)
      save(tmp_path / split / class_name / f'{number}.jpg', pixels)
  summary = survey.summarize(survey_folder(tmp_path))
  assert summary['num_images'] == 6
  assert summary['splits'] == {
    'train': {'num_images': 4, 'class_counts': {'cat': 3, 'dog': 1}},
    'validation': {'num_images': 2, 'class_counts': {'cat': 2}},
  }
  assert summary['percentiles']['width']['0'] == 100
  assert summary['percentiles']['width']['100'] == 400
  assert summary['percentiles']['aspect_ratio']['0'] == 0.5
  assert summary['percentiles']['area']['100'] == 180_000
  losses = summary['losses']
  assert losses['224']['enlarged'] == pytest.approx(1 / 6)
  assert losses['331']['enlarged'] == pytest.approx(1)
  assert losses['224']['cropped_away'] == pytest.approx((3 * 0.25 + 2 * 0.5) / 6)
  assert losses['224']['shrunk_away'] == pytest.approx(5 / 6 * (1 - (224 / 300) ** 2))
  assert summary['formats'] == {'JPEG': 6}
  assert summary['channels'] == {'RGB': 6}


def test_means_are_those_of_the_training_pixels(tmp_path):
  rng = np.random.RandomState(0)
  images = [rng.randint(0, 200, (height, 9, 3), np.uint8) for height in (4, 30)]
  for number, pixels in enumerate(images):
    save(tmp_path / 'train' / 'a' / f'{number}.png', pixels)
  save(tmp_path / 'test' / 'a' / '0.png', np.full((90, 90, 3), 255, np.uint8))
  means, stds = survey.channel_numbers(survey_folder(tmp_path))
  pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(float)
  np.testing.assert_allclose(means, pixels.mean(axis=0))
  np.testing.assert_allclose(stds, pixels.std(axis=0))


def test_gray_sets_have_one_mean(tmp_path):
  save(tmp_path / 'a' / '0.png', np.full((5, 5), 10, np.uint8))
  save(tmp_path / 'a' / '1.png', np.full((5, 5), 20, np.uint8))
  assert survey.channel_numbers(survey_folder(tmp_path)) == ([15], [5])


def test_kinds_of_files(tmp_path, pictures):
  pixels = pictures.make_pixels(20, 30, 3)
  gray = pictures.make_pixels(20, 30, 1)
  rgb = Image.fromarray(pixels)
  save(tmp_path / 'a' / 'rgb.jpg', rgb)
  save(tmp_path / 'a' / 'gray.jpg', gray)
  save(tmp_path / 'a' / 'cmyk.jpg', rgb.convert('CMYK'))
  save(tmp_path / 'b' / 'alpha.png', rgb.convert('RGBA'))
  save(tmp_path / 'b' / 'palette.gif', rgb.convert('P'))
  save(tmp_path / 'b' / 'deep.png', gray.astype(np.uint16) * 256)
  save(tmp_path / 'b' / 'web.webp', rgb)
  save(tmp_path / 'b' / 'bits.tiff', rgb.convert('1'))
  summary = survey.summarize(survey_folder(tmp_path))
  assert summary['unreadable'] == []
  assert summary['channels'] == {
    'RGB': 2,
    'gray': 1,
    'CMYK': 1,
    'RGBA': 1,
    'palette': 1,
    '16 bit': 1,
    'black/white': 1,
  }
  assert summary['formats'] == {'JPEG': 3, 'PNG': 2, 'GIF': 1, 'WEBP': 1, 'TIFF': 1}
  # The deep one's upper bits are the gray one's.
  deep = image_measures.measure((tmp_path / 'b' / 'deep.png').read_bytes())
  assert deep.channel_sums[0] == gray.sum()


def test_exif_turns_are_counted_and_undone(tmp_path, pictures):
  image = Image.fromarray(pictures.make_pixels(20, 30, 3))
  exif = image.getexif()
  exif[0x0112] = 6
  save(tmp_path / 'a' / 'turned.jpg', image, exif=exif)
  exif[0x0112] = 1
  save(tmp_path / 'a' / 'upright.jpg', image, exif=exif)
  found = survey_folder(tmp_path)
  assert survey.summarize(found)['turned_by_exif'] == ['a/turned.jpg']
  assert [(measure.width, measure.height) for measure in found.measures] == [(20, 30), (30, 20)]


def test_repeated_pictures(tmp_path, pictures):
  rng = np.random.RandomState(3)

  def scene():
    coarse = rng.randint(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC)

  for number in range(6):
    save(tmp_path / 'train' / 'cat' / f'{number}.png', scene())
    save(tmp_path / 'test' / 'dog' / f'{number}.png', scene())
  # The same pixels in another file, of another kind.
  image = Image.open(tmp_path / 'train' / 'cat' / '1.png')
  save(tmp_path / 'train' / 'dog' / 'same.bmp', image)
  save(tmp_path / 'test' / 'cat' / 'same.webp', image, lossless=True)
  Image.open(tmp_path / 'test' / 'dog' / '3.png').rotate(90, expand=True).save(
    tmp_path / 'test' / 'dog' / 'turned.jpg'
  )
  summary = survey.summarize(survey_folder(tmp_path))
  assert summary['duplicates'] == [
    {
      'names': ['test/cat/same.webp', 'train/cat/1.png', 'train/dog/same.bmp'],
      'across_splits': True,
      'across_classes': True,
    }
  ]
  assert summary['near_duplicates'] == [
    {
      'names': ['test/dog/3.png', 'test/dog/turned.jpg'],
      'across_splits': False,
      'across_classes': False,
    }
  ]


@pytest.fixture
def damaged_dir(tmp_path, pictures):
  """One image among files that are none."""
  folder = tmp_path / 'damaged'
  noise = np.random.RandomState(0).randint(0, 256, (90, 90, 3), np.uint8)
  good = pictures.encode(noise, 'JPEG')
  contents = {
    'empty.jpg': b'',
    'good.jpg': good,
    'cut.jpg': good[: len(good) // 2],
    'text.jpg': b'this is text',
  }
  (folder / 'a').mkdir(parents=True)
  for name, content in contents.items():
    (folder / 'a' / name).write_bytes(content)
  (folder / 'a' / 'link.jpg').symlink_to('nowhere')
  return folder


def test_unreadable_images(damaged_dir):
  found = survey_folder(damaged_dir)
  assert [entry.name for entry in found.entries] == ['a/good.jpg']
  reasons = {entry.name: reason for entry, reason in found.unreadable}
  assert reasons['a/empty.jpg'] == 'it is empty'
  assert 'truncated' in reasons['a/cut.jpg']
  assert reasons['a/text.jpg'] == "it is no image that is known; it begins b'this is text'"
  assert reasons['a/link.jpg'] == 'No such file or directory'


def test_a_bomb_is_not_decoded(damaged_dir):
  encoded = io.BytesIO()
  Image.new('1', (13_000, 13_000)).save(encoded, 'PNG', optimize=True)
  (damaged_dir / 'a' / 'bomb.png').write_bytes(encoded.getvalue())
  found = survey_folder(damaged_dir)
  reasons = {entry.name: reason for entry, reason in found.unreadable}
  assert reasons['a/bomb.png'] == 'it has 13000x13000 pixels, more than 50,000,000'


def test_nothing_decodable(damaged_dir):
  (damaged_dir / 'a' / 'good.jpg').unlink()
  with pytest.raises(
    errors.InputError, match=r'None of 4 images can be decoded: a/cut.jpg: image file is trunc'
  ):
    survey_folder(damaged_dir)


def test_no_images(tmp_path):
  with pytest.raises(errors.InputError, match='has no images'):
    survey_folder(tmp_path)
  with pytest.raises(errors.InputError, match='There is no folder'):
    survey_folder(tmp_path / 'nowhere')


@pytest.mark.parametrize(
  ('names', 'expected'),
  [
    (['cat/1.jpg', 'dog/deep/2.jpg'], [('', ('cat',)), ('', ('dog',))]),
    (['Train/cat/1.jpg', 'val/dog/2.jpg'], [('train', ('cat',)), ('validation', ('dog',))]),
    (['1.jpg', 'cat/2.jpg'], [('', ()), ('', ('cat',))]),
    (['train/1.jpg', 'test/2.jpg'], [('test', ()), ('train', ())]),
    (['train/1.jpg', 'cat/2.jpg'], [('', ('cat',)), ('', ('train',))]),
    (['.hidden/0.jpg', 'a/.1.jpg', 'a/notes.txt', 'a/2.PNG'], [('', ('a',))]),
  ],
  ids=str,
)
def test_folders_as_classes_and_splits(tmp_path, names, expected):
  for name in names:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  entries = survey_sources.list_folder(str(tmp_path))
  assert [(entry.split, entry.classes) for entry in entries] == expected


def test_lists(tmp_path, pictures):
  for number in range(6):
    save(tmp_path / f'{number}.png', pictures.make_pixels(9, 9, 3, number))
  (tmp_path / 'classes.csv').write_text(
    'path,label,split\n'
    + ''.join(f'{n}.png,{"ab"[n % 2]},{"train" if n else "test"}\n' for n in range(6))
  )
  entries = survey_sources.read_list(str(tmp_path / 'classes.csv'))
  assert sorted((entry.name, entry.split, entry.classes) for entry in entries) == [
    (f'{n}.png', 'train' if n else 'test', ('ab'[n % 2],)) for n in range(6)
  ]
  (tmp_path / 'several.csv').write_text('0.png,a;b\n1.png,b\n2.png,a\n3.png,c;a\n')
  entries = survey_sources.read_list(str(tmp_path / 'several.csv'), 'multi_label')
  summary = survey.summarize(survey.make(entries))
  assert sum(sum(split['class_counts'].values()) for split in summary['splits'].values()) == 6
  (tmp_path / 'numbers.csv').write_text('0.png,0.5\n1.png,1\n2.png,3\n')
  entries = survey_sources.read_list(str(tmp_path / 'numbers.csv'), 'regression')
  assert {entry.classes for entry in entries} == {()}
  assert survey.summarize(survey.make(entries))['num_images'] == 3


def test_records_tell_what_their_images_told(tmp_path, image_dir):
  image_folder.convert(str(image_dir), str(tmp_path / 'records'), 'pets', num_shards=2)
  record_set = record_sets.find(str(tmp_path / 'records'))
  of_records = survey.summarize(survey.make(survey_sources.read_records(record_set)))
  of_files = survey.summarize(survey_folder(image_dir))
  assert of_records['splits'].keys() == {'train', 'validation'}
  assert of_files['splits'][''] == {
    'num_images': 18,
    'class_counts': {'cat': 10, 'dog': 6, 'emu': 2},
  }
  entries = survey_sources.read_records(record_set)
  assert {entry.name.split()[1] for entry in entries} >= {'cat/0.jpeg', 'emu/1.jpeg'}
  for key in ('num_images', 'percentiles', 'formats', 'channels', 'losses'):
    assert of_records[key] == of_files[key], key


def test_damaged_records_are_among_the_unreadable(tmp_path, image_dir):
  image_folder.convert(str(image_dir), str(tmp_path / 'records'), 'pets', num_shards=1)
  (path,) = (tmp_path / 'records').glob('pets_train_*')
  data = bytearray(path.read_bytes())
  data[30] ^= 1
  path.write_bytes(data)
  record_set = record_sets.find(str(tmp_path / 'records'))
  found = survey.make(survey_sources.read_records(record_set))
  assert len(found.entries) == 17
  ((entry, reason),) = found.unreadable
  assert entry.name == f'{path.name}:0'
  assert 'do not match their checksum' in reason


def test_mislabelled_pictures_are_least_alike(tmp_path):
  rng = np.random.RandomState(0)
  for class_name, color in (('a', (200, 40, 40)), ('b', (40, 40, 200))):
    for number in range(12):
      pixels = np.array(color) + rng.randint(-40, 40, (16, 16, 3))
      save(tmp_path / class_name / f'{number:02d}.png', pixels.astype(np.uint8))
  shutil.move(tmp_path / 'b' / '05.png', tmp_path / 'a' / 'wrong.png')
  found = survey_folder(tmp_path)
  oddness = survey.least_alike(found)
  odd = [entry.name for entry, value in zip(found.entries, oddness, strict=True) if value > 1]
  assert odd == ['a/wrong.png']


def test_pictures_without_classes_have_no_oddness(tmp_path, pictures):
  for number in range(3):
    save(tmp_path / f'{number}.png', pictures.make_pixels(9, 9, 3, number))
  assert np.isnan(survey.least_alike(survey_folder(tmp_path))).all()


def test_report_and_file(tmp_path, damaged_dir, pictures):
  for number in range(30):
    for copy in range(1 + number % 2):
      seed = number + 100 * copy
      save(damaged_dir / f'class {number:02d}' / f'{copy}.png', pictures.make_pixels(9, 9, 3, seed))
  summary = survey.summarize(survey_folder(damaged_dir))
  survey_file.write(summary, str(tmp_path))
  assert json.loads((tmp_path / 'survey.json').read_text()) == summary
  assert survey_file.read_numbers(str(tmp_path), 'channel_means') == summary['channel_means']
  text = survey_report.report(summary)
  assert text.startswith('46 images\n')
  assert 'Shown are the 10 largest and the 10 smallest of 31 classes.' in text
  assert 'The largest class has 2.0 times the images of the smallest.' in text
  assert 'Images that cannot be decoded: 4\n  a/cut.jpg: image file is truncated' in text
  assert all(len(line) <= 140 for line in text.splitlines())
