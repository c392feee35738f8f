"""Folders as people keep them: splits are never taken for classes, nor classes for splits."""

import os

import pytest

from datasets import class_names, conversion, image_sources, survey_sources
from slimcompat import errors


def make(folder, *class_dirs):
  """Makes folders with two images each: 'train/cat dog' has two of them."""
  for class_dir in class_dirs:
    parent, names = os.path.split(class_dir)
    for name in names.split(' '):
      path = os.path.join(folder, parent, name)
      os.makedirs(path, exist_ok=True)
      for number in range(2):
        with open(os.path.join(path, f'{number}.jpg'), 'w'):
          pass
  return str(folder)


# The folders, and the splits that they make.
SPLITS = {
  'case': (['Train/cat dog', 'VALID/cat dog'], {'train', 'validation'}),
  'other words': (['training/cat dog', 'testing/cat dog'], {'train', 'test'}),
  'dev': (['train/cat dog', 'dev/cat dog', 'tst/cat dog'], {'train', 'validation', 'test'}),
  'images': (['train_images/cat dog', 'valImages/cat dog'], {'train', 'validation'}),
  'years': (['train2014/cat dog', 'val2014/cat dog'], {'train', 'validation'}),
  'sets': (['Training Set/cat dog', 'Test Set/cat dog'], {'train', 'test'}),
  'full-width': (['\uff54\uff52\uff41\uff49\uff4e/cat dog', 'test /cat dog'], {'train', 'test'}),
  'a word before': (['seg_train/cat dog', 'seg_test/cat dog'], {'train', 'test'}),
  'twice': (['seg_train/seg_train/cat dog', 'seg_test/seg_test/cat dog'], {'train', 'test'}),
  'around': (['archive/data/train/cat dog', 'archive/data/val/cat dog'], {'train', 'validation'}),
  'within': (['train/images/cat dog', 'val/images/cat dog'], {'train', 'validation'}),
  'within one': (['train/train/cat dog', 'val/cat dog'], {'train', 'validation'}),
  'beside labels': (['imgs/train/cat dog', 'imgs/val/cat dog', 'labels/'], {'train', 'validation'}),
  'system': (['train/cat dog', 'val/cat dog', '__MACOSX/train/cat'], {'train', 'validation'}),
  'one alone': (['train/cat dog'], {'train'}),
  'no splits around': (['flowers/cat dog'], {'train', 'validation'}),
  'a class train': (['cat dog train'], {'train', 'validation'}),
  'a class test': (['cat dog test'], {'train', 'validation'}),
  'classes of a word': (['cat dog bullet_train steam_train'], {'train', 'validation'}),
}


@pytest.mark.parametrize('name', SPLITS)
def test_splits_and_classes(name, tmp_path):
  class_dirs, expected = SPLITS[name]
  image_dir = make(tmp_path, *[path for path in class_dirs if not path.endswith('/')])
  os.makedirs(os.path.join(image_dir, 'labels'))
  if 'labels/' not in class_dirs:
    os.rmdir(os.path.join(image_dir, 'labels'))
  source = image_sources.read_folder(image_dir)
  assert set(source.splits) == expected
  assert {'cat', 'dog'} <= set(source.class_names)
  num_images = sum(map(len, source.splits.values()))
  entries = survey_sources.list_folder(image_dir)
  assert len(entries) == num_images
  assert {entry.classes for entry in entries} == {(name,) for name in source.class_names}
  assert {entry.split for entry in entries} == (expected if source.has_splits else {''})
  # By these names --input_mode=files finds them.
  names = [file.name for files in source.splits.values() for file in files]
  assert all(os.path.exists(os.path.join(image_dir, name)) for name in names)


REFUSED = {
  'one more': (['train/cat dog', 'val/cat dog', 'chest_xray/train/cat dog'], 'chest_xray'),
  'an unknown one': (['train/cat dog', 'holdout/cat dog'], 'holdout'),
  'an unlabelled one': (['seg_train/cat dog', 'seg_test/cat dog', 'seg_pred/seg_pred'], 'seg_pred'),
  'a class with kinds': (['cat dog', 'train/steam diesel'], 'these look like splits: train'),
  'classes or not': (['cat train test'], 'these do not: cat'),
  'images alone': (['train/cat dog', 'test'], 'test has no images in folders of classes'),
  'classes alone': (['train test'], 'If it is a class, give --folders_are=classes'),
  'inside out': (['cat/train test', 'dog/train test'], 'holds the folders test, train'),
  'in one': (['train_cat train_dog test_cat test_dog'], 'classes and splits in one'),
  'folds': (['fold_1/cat dog', 'fold_2/cat dog'], 'fold_1, fold_2 look like parts'),
  'twice': (['train/cat dog', 'Training/cat dog'], 'several are the same split'),
}


@pytest.mark.parametrize('name', REFUSED)
@pytest.mark.parametrize('reader', [image_sources.read_folder, survey_sources.list_folder])
def test_refused_with_what_to_say(reader, name, tmp_path):
  class_dirs, sentence = REFUSED[name]
  image_dir = make(tmp_path, *class_dirs)
  if name in ('images alone', 'classes alone') and reader == survey_sources.list_folder:
    # There is something to look at.
    assert any(not entry.classes for entry in reader(image_dir))
    return
  with pytest.raises(errors.InputError, match=sentence) as refusal:
    reader(image_dir)
  assert name == 'twice' or '--folders_are=' in str(refusal.value)


@pytest.mark.parametrize('reader', [image_sources.read_folder, survey_sources.list_folder])
@pytest.mark.parametrize(
  ('class_dirs', 'folders_are', 'expected'),
  [
    (REFUSED['one more'][0], 'splits', {'cat', 'dog'}),
    (REFUSED['an unlabelled one'][0], 'splits', {'cat', 'dog'}),
    (REFUSED['one more'][0], 'classes', {'chest_xray', 'train', 'val'}),
    (REFUSED['classes alone'][0], 'classes', {'test', 'train'}),
    (REFUSED['classes or not'][0], 'classes', {'cat', 'test', 'train'}),
    (REFUSED['inside out'][0], 'classes', {'cat', 'dog'}),
    (['train/cat dog'], 'classes', {'cat', 'dog'}),
  ],
)
def test_which_is_meant_can_be_said(reader, class_dirs, folders_are, expected, tmp_path):
  found = reader(make(tmp_path, *class_dirs), folders_are=folders_are)
  if isinstance(found, list):
    assert {name for entry in found for name in entry.classes} == expected
    assert all(entry.classes for entry in found)
    assert any(entry.split for entry in found) == (folders_are == 'splits')
  else:
    assert set(found.class_names) == expected
    assert found.has_splits == (folders_are == 'splits')


def test_splits_that_are_not_there_cannot_be_meant(tmp_path):
  with pytest.raises(errors.InputError, match=r'--folders_are=splits, but .* cat, dog'):
    image_sources.read_folder(make(tmp_path, 'cat dog'), folders_are='splits')


ALIKE = {
  'case': ('Cat', 'cat'),
  'trailing space': ('cat', 'cat '),
  'nfc and nfd': ('caf\u00e9', 'cafe\u0301'),
  'full-width': ('cat', '\uff43\uff41\uff54'),
  'cyrillic': ('cat', 'c\u0430t'),
  'greek': ('Alpha', '\u0391lpha'),
  'invisible': ('cat', 'c\u200bat'),
  'between words': ('golden_retriever', 'golden retriever'),
  'dashes': ('a-b', 'a\u2013b'),
  'ligature': ('ﬁsh', 'fish'),
  'numbers': ('1', '1.0'),
  'zeros': ('7', '007'),
  'sharp s': ('STRASSE', 'straße'),
}


@pytest.mark.parametrize('name', ALIKE)
@pytest.mark.parametrize('layout', ['classes', 'splits', 'list'])
def test_names_that_look_alike(layout, name, tmp_path):
  one, other = ALIKE[name]
  if layout == 'list':
    if name == 'trailing space':
      return  # Cells are stripped.
    path = tmp_path / 'a.csv'
    path.write_text(f'a.jpg,{one}\nb.jpg,{other}\n')
    read = lambda: image_sources.read_list(str(path))  # noqa: E731
  else:
    folders = (one, other) if layout == 'classes' else (f'train/{one}', f'val/{other}')
    for folder in (*folders, *(['train/z', 'val/z'] if layout == 'splits' else [])):
      os.makedirs(tmp_path / folder)
      (tmp_path / folder / '0.jpg').touch()
    read = lambda: image_sources.read_folder(str(tmp_path))  # noqa: E731
  with pytest.raises(errors.InputError, match='look like one') as refusal:
    read()
  for spelling in (one, other):
    shown = repr(spelling) if spelling.isascii() else ascii(spelling)
    assert shown in str(refusal.value)


@pytest.mark.parametrize(
  'names',
  [('a', 'A'), ('-1', '1'), ('1', '10'), ('C', 'C++'), ('e', 'é'), ('1e5', 'a1e5')],
  ids=str,
)
def test_names_that_differ(names):
  class_names.check(names, 'here')


def test_names_that_cannot_be(tmp_path):
  with pytest.raises(errors.InputError, match='control characters'):
    image_sources.read_folder(make(tmp_path, 'cat z\n0:evil'))


def test_classes_missing_in_a_split_are_said(tmp_path, pictures):
  image_dir = make(tmp_path / 'in', 'train/cat dog', 'val/dog emu')
  for path in (tmp_path / 'in').glob('*/*/*'):
    path.write_bytes(pictures.encode(pictures.make_pixels(2, 2, 1)))
  settings = conversion.ConversionSettings(image_dir=image_dir, dataset_dir=str(tmp_path / 'out'))
  said = conversion.report(conversion.convert(settings), settings)
  assert 'WARNING: train has no image of the class emu.' in said
  assert 'WARNING: validation has no image of the class cat.' in said


def test_parts_that_are_taken_for_classes_are_said(tmp_path, pictures):
  image_dir = make(tmp_path / 'in', 'color/cat dog', 'gray/cat dog', '.')
  for path in (tmp_path / 'in').glob('**/*.jpg'):
    path.write_bytes(pictures.encode(pictures.make_pixels(2, 2, 1)))
  settings = conversion.ConversionSettings(image_dir=image_dir, dataset_dir=str(tmp_path / 'out'))
  said = conversion.report(conversion.convert(settings), settings)
  assert 'All classes hold the folders cat, dog; if these are the classes, give one of' in said
  assert 'Left out, not being images of a class: 0.jpg, 1.jpg.' in said


@pytest.mark.parametrize('flag', [{'folders_are': 'splits'}, {'image_suffix': '.jpg'}])
def test_flags_of_other_sources(flag, tmp_path):
  settings = conversion.ConversionSettings(dataset_name='digits', dataset_dir=str(tmp_path), **flag)
  with pytest.raises(errors.InputError, match='leave the flag out'):
    conversion.convert(settings)
