"""inspect_dataset.py: its parts together, its pages, and what it refuses."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from PIL import Image, ImageColor

from datasets import image_folder
from slimcompat import errors
from slimtrain import data_inspection, mosaics, preview, survey_page
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory
from tests import shapes

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SETTINGS = data_inspection.InspectionSettings()
PREVIEW = data_inspection.PreviewSettings(preview_image_size=32)


def inspect(**changes):
  return data_inspection.inspect(dataclasses.replace(SETTINGS, **changes))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
  """Three classes of 20 pictures, in sub-folders."""
  folder = tmp_path_factory.mktemp('inspected') / 'images'
  shapes.write(folder, images_per_class=20, size=48)
  return folder


@pytest.fixture
def records(images, tmp_path):
  """The pictures as records."""
  image_folder.convert(str(images), str(tmp_path / 'records'), num_shards=2)
  return tmp_path / 'records'


def count_color(path, color):
  """Returns how many pixels of a picture have the colour, such as '#d62728'."""
  with Image.open(path) as image:
    pixels = np.asarray(image.convert('RGB'))
  return int(np.sum(np.all(pixels == ImageColor.getrgb(color), axis=-1)))


def test_as_many_images_come_out_as_went_in(tmp_path, caplog):
  """350 at survey, convert, verify, repair and extract."""
  for number in range(350):
    folder = tmp_path / 'images' / f'class {number % 7}'
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(number).randint(0, 256, (5, 5, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f'{number}.png')
  image_folder.convert(str(tmp_path / 'images'), str(tmp_path / 'records'))
  with caplog.at_level('INFO', 'slimtrain'):
    assert inspect(
      dataset_dir=str(tmp_path / 'records'),
      output_dir=str(tmp_path / 'out'),
      verify=True,
      repair=True,
      extract=0,
      survey=True,
    )
  said = caplog.text
  assert 'train: 315 good records in 5 files.' in said
  assert 'validation: 35 good records in 5 files.' in said
  assert 'holds the 350 good records' in said
  assert '350 images were written' in said
  assert '350 images\n' in said
  assert len(list((tmp_path / 'out').glob('class */*.png'))) == 350
  assert json.loads((tmp_path / 'out' / 'survey.json').read_text())['num_images'] == 350


def test_every_setting_has_a_flag():
  values = flags.FlagValues()
  settings_lib.define_flags(SETTINGS, values)
  values(['inspect_dataset.py', '--extract=0', '--survey', '--channel_means=1,2,3'])
  settings = settings_lib.from_flags(data_inspection.InspectionSettings, values)
  assert settings.extract == 0
  assert settings.survey
  assert settings.preview.preprocessing.channel_means == '1,2,3'


def test_damage_is_told(records, tmp_path, caplog):
  shard = sorted(records.glob('*_train_*'))[1]
  data = bytearray(shard.read_bytes())
  data[len(data) // 2] ^= 4
  shard.write_bytes(data)
  with caplog.at_level('INFO', 'slimtrain'):
    assert not inspect(dataset_dir=str(records), verify=True)
  assert f'of {shard} is damaged: its bytes do not match their checksum.' in caplog.text
  assert 'Problems: 2, in 1 of 4 files' in caplog.text
  inspect(dataset_dir=str(records), repair=True, output_dir=str(tmp_path / 'clean'))
  assert inspect(dataset_dir=str(tmp_path / 'clean'), verify=True)


def test_exit_code(records):
  next(records.glob('*_validation_*')).write_text('<html>')
  finished = subprocess.run(  # noqa: S603
    [sys.executable, str(ROOT / 'inspect_dataset.py'), '--verify', f'--dataset_dir={records}'],
    cwd=records,
    capture_output=True,
    text=True,
    timeout=100,
    check=False,
  )
  assert finished.returncode == 1
  assert not finished.stderr
  assert "it begins b'<html>'" in finished.stdout


def test_a_survey_shows_what_is_wrong(images, tmp_path):
  folder = tmp_path / 'images'
  for path in images.rglob('*.jpg'):
    target = folder / path.relative_to(images)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())
  inspect(image_dir=str(folder), survey=True, output_dir=str(tmp_path / 'sound'))
  (folder / 'circle' / 'wrong.jpg').write_bytes((folder / 'square' / '0003.jpg').read_bytes())
  with Image.open(folder / 'circle' / '0001.jpg') as image:
    image.rotate(90).save(folder / 'circle' / 'turned.jpg')
    exif = image.getexif()
    exif[0x0112] = 3
    image.save(folder / 'circle' / '0002.jpg', exif=exif)
  (folder / 'circle' / 'text.jpg').write_text('text')
  inspect(image_dir=str(folder), survey=True, output_dir=str(tmp_path / 'bad'))
  summary = json.loads((tmp_path / 'bad' / 'survey.json').read_text())
  assert [group['across_classes'] for group in summary['duplicates']] == [True]
  for color in (survey_page._CONTRADICTION, survey_page._REPEATED):
    sound, bad = (count_color(tmp_path / name / 'survey.png', color) for name in ('sound', 'bad'))
    assert bad > sound + 500, color


@pytest.mark.parametrize('has_wrong_one', [False, True])
def test_odd_images_are_framed_where_they_stand_out(tmp_path, has_wrong_one):
  """Noise is as much like any class; a red image among green ones is not."""
  rng = np.random.RandomState(0)
  for number in range(72):
    pixels = rng.randint(0, 256, (16, 16, 3), np.uint8)
    if number % 12 < 2 and has_wrong_one:
      pixels[..., number % 12] = 250
    path = tmp_path / 'images' / f'class {number % 12:02d}' / f'{number}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
  if has_wrong_one:
    (tmp_path / 'images' / 'class 00' / '60.png').rename(
      tmp_path / 'images' / 'class 01' / 'wrong.png'
    )
  inspect(image_dir=str(tmp_path / 'images'), survey=True, output_dir=str(tmp_path / 'out'))
  framed = count_color(tmp_path / 'out' / 'survey.png', survey_page._ODD)
  assert (framed > 300) == has_wrong_one


@pytest.mark.parametrize(
  'names',
  [['0.png', '1.png'], [f'{number:03d}/0.png' for number in range(60)], ['a/0.png']],
  ids=['no classes', 'many classes', 'one image'],
)
def test_surveys_of_odd_sets(tmp_path, names):
  for number, name in enumerate(names):
    path = tmp_path / 'images' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(number).randint(0, 256, (1 + number, 300), np.uint8)
    Image.fromarray(pixels).save(path)
  inspect(image_dir=str(tmp_path / 'images'), survey=True, output_dir=str(tmp_path / 'out'))
  with Image.open(tmp_path / 'out' / 'survey.png') as page:
    assert page.width == mosaics.PAGE_WIDTH


def test_preview_of_every_preprocessing(records, tmp_path):
  settings = dataclasses.replace(SETTINGS, dataset_dir=str(records), preview=PREVIEW)
  data_inspection.inspect(dataclasses.replace(settings, preview_augmentation=True))
  with Image.open(records / 'preview.png') as page:
    height = page.height
  assert height > len(preprocessing_factory.PREPROCESSINGS) * preview.NUM_EXAMPLES * 128
  frames = count_color(records / 'preview.png', preview._EVALUATION_COLOR)
  assert frames > len(preprocessing_factory.PREPROCESSINGS) * preview.NUM_EXAMPLES * 128


@pytest.mark.parametrize('mode', ['RGB', 'L'])
@pytest.mark.parametrize('name', ['inception', 'vgg', 'lenet', 'simple'])
def test_previews_have_the_colors_of_the_image(name, mode):
  """A plain image looks the same after evaluation's preprocessing."""
  image = Image.new('RGB', (40, 40), (200, 90, 30)).convert(mode)
  settings = dataclasses.replace(
    PREVIEW,
    preprocessing=preprocessing_factory.PreprocessingSettings(
      channel_means='120', channel_stds='60', random_crop=False, random_flip=False
    ),
  )
  ((picture, evaluated, augmented),) = preview._see(name, [image], settings, None)
  assert picture is image
  assert evaluated.size == (32, 32)
  expected = np.asarray(image.convert(evaluated.mode))[:32, :32].astype(int)
  assert np.abs(np.asarray(evaluated) - expected).max() <= 1
  if name in ('vgg', 'lenet', 'simple'):
    for seen in augmented:
      assert np.abs(np.asarray(seen) - expected).max() <= 1


def test_a_preview_follows_from_its_seed(images, tmp_path):
  pages = []
  for seed in (1, 1, 2):
    settings = dataclasses.replace(PREVIEW, preview_seed=seed, preprocessing_name='vgg_16')
    output_dir = str(tmp_path / f'out{len(pages)}')
    inspect(
      image_dir=str(images), preview_augmentation=True, preview=settings, output_dir=output_dir
    )
    pages.append(pathlib.Path(output_dir, 'preview.png').read_bytes())
  assert pages[0] == pages[1]
  assert pages[0] != pages[2]


def test_numbers_of_a_survey_reach_the_preview(records):
  settings = dataclasses.replace(
    PREVIEW,
    preprocessing_name='simple',
    preprocessing=preprocessing_factory.PreprocessingSettings(
      channel_means='from_survey', channel_stds='from_survey'
    ),
  )
  with pytest.raises(errors.InputError, match='There is no survey'):
    inspect(dataset_dir=str(records), preview_augmentation=True, preview=settings)
  inspect(dataset_dir=str(records), survey=True)
  inspect(dataset_dir=str(records), preview_augmentation=True, preview=settings)
  assert (records / 'preview.png').exists()


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({}, 'Nothing to do: give --survey'),
    ({'survey': True}, 'Give --output_dir'),
    ({'survey': True, 'image_dir': 'x'}, 'Give --output_dir'),
    ({'survey': True, 'image_dir': 'x', 'output_dir': 'OUT'}, 'There is no folder x'),
    ({'verify': True, 'image_dir': 'x'}, '--verify looks into records'),
    ({'extract': 3, 'image_dir': 'x', 'output_dir': 'OUT'}, '--extract looks into records'),
    (
      {'survey': True, 'image_dir': 'x', 'dataset_dir': 'y'},
      'only one of --image_dir=x and --dataset_dir=y',
    ),
    ({'repair': True, 'image_list': 'x', 'output_dir': 'OUT'}, '--repair looks into records'),
    ({'survey': True, 'image_list': 'x', 'output_dir': 'OUT'}, 'x'),
    ({'verify': True, 'dataset_dir': 'x'}, 'has no dataset_info.json'),
    ({'repair': True, 'dataset_dir': 'RECORDS'}, 'output_dir'),
    ({'repair': True, 'dataset_dir': 'RECORDS', 'output_dir': 'RECORDS'}, 'is not empty'),
    ({'extract': 0, 'dataset_dir': 'RECORDS'}, 'Give --output_dir'),
    ({'survey': True, 'dataset_dir': 'RECORDS', 'output_dir': '/dev/null/x'}, '/dev/null/x'),
    ({'extract': 0, 'dataset_dir': 'RECORDS', 'output_dir': '/dev/null/x'}, '/dev/null/x'),
    ({'repair': True, 'dataset_dir': 'RECORDS', 'output_dir': '/dev/null/x'}, '/dev/null/x'),
  ],
)
def test_refused(records, tmp_path, changes, said):
  places = {'RECORDS': str(records), 'OUT': str(tmp_path / 'out')}
  before = sorted(os.listdir(records))
  with pytest.raises(errors.InputError, match=said):
    inspect(**{name: places.get(value, value) for name, value in changes.items()})
  assert sorted(os.listdir(records)) == before


def test_without_matplotlib(records, monkeypatch):
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  with pytest.raises(errors.InputError, match=r"pip install 'slimtrain\[plots\]'"):
    inspect(dataset_dir=str(records), survey=True)
  assert inspect(dataset_dir=str(records), preview_augmentation=True, preview=PREVIEW)
