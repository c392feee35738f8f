"""What the settings of the conversion script lead to."""

import dataclasses
import re

import pytest

from datasets import conversion, dataset_factory, dataset_info, image_files
from slimcompat import errors

Settings = conversion.ConversionSettings


def test_digits(tmp_path):
  settings = Settings(dataset_name='digits', dataset_dir=str(tmp_path))
  info = conversion.convert(settings)
  assert dataset_info.read(str(tmp_path)) == info
  assert conversion.report(info, settings) == (
    f'{tmp_path} holds digits: 1,437 images for train in 5 files, 360 images for test in 5 files,'
    ' of 10 classes (0, 1, 2, 3, 4 and 5 more).'
    f' Train with --dataset_name=digits --dataset_dir={tmp_path}.'
  )


@pytest.mark.parametrize('name', [None, 'image_folder', 'flowers'])
def test_folder(name, image_dir, tmp_path):
  (image_dir / 'readme.txt').write_text('')
  out = str(tmp_path / 'out')
  settings = Settings(
    dataset_name=name, dataset_dir=out, image_dir=str(image_dir), validation_fraction=0.5
  )
  info = conversion.convert(settings)
  row_name = name or 'image_folder'
  in_files = 'flowers' if name == 'flowers' else 'my_pets'
  assert info.name == in_files
  assert info.splits['validation'].class_counts == (5, 3, 1)
  assert conversion.report(info, settings) == (
    f'{out} holds {in_files}: 9 images for train in 5 files, 9 images for validation in 5 files,'
    ' of 3 classes (cat, dog, emu). Left out, not being images of a class:'
    f' readme.txt. Train with --dataset_name={row_name} --dataset_dir={out}.'
  )
  dataset = dataset_factory.get_dataset(row_name, 'validation', out)
  assert dataset.num_samples == 9


REFUSALS = {
  'no directory': ({'dataset_name': 'digits'}, 'Converting needs --dataset_dir'),
  'nothing': (
    {'dataset_dir': 'D'},
    'Nothing to convert: give --image_dir, a folder of images, --image_list, or'
    ' --dataset_name=digits|mnist|',
  ),
  'unknown name': (
    {'dataset_dir': 'D', 'dataset_name': 'digit'},
    "There is no dataset 'digit'. Did you mean 'digits'?",
  ),
  'no converter': (
    {'dataset_dir': 'D', 'dataset_name': 'tfrecord'},
    'tfrecord is not converted without --image_dir. Put them',
  ),
  'no images': (
    {'dataset_dir': 'D', 'dataset_name': 'image_folder'},
    'image_folder is not converted without --image_dir. Convert the folder:',
  ),
  'another layout': (
    {'dataset_dir': 'D', 'dataset_name': 'imagenet', 'image_dir': 'I'},
    '--image_dir cannot be converted with --dataset_name=imagenet',
  ),
  'other splits': (
    {'dataset_dir': 'D', 'dataset_name': 'digits', 'image_dir': 'I'},
    '--image_dir cannot be converted with --dataset_name=digits',
  ),
  'threshold': (
    {'dataset_dir': 'D', 'dataset_name': 'digits', 'small_object_area_threshold': 0.01},
    '--small_object_area_threshold=0.01 belongs to --dataset_name=visualwakewords',
  ),
  'foreground': (
    {'dataset_dir': 'D', 'dataset_name': 'digits', 'foreground_class_of_interest': 'dog'},
    '--foreground_class_of_interest=dog belongs to --dataset_name=visualwakewords',
  ),
}


@pytest.mark.parametrize('refusal', REFUSALS)
def test_refusal(refusal, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  settings, sentence = REFUSALS[refusal]
  with pytest.raises(errors.InputError, match='^' + re.escape(sentence)):
    conversion.convert(Settings(**settings))
  assert list(tmp_path.iterdir()) == []


def test_every_setting_is_explained():
  for field in (*dataclasses.fields(Settings), *dataclasses.fields(image_files.ImageSettings)):
    if not field.metadata:
      continue  # A group.
    assert field.metadata['help'].endswith('.')
