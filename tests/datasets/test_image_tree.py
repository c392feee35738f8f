"""Links, circles and what cannot be read: one walk, wherever images are looked for."""

import os

import pytest

from datasets import (
  class_folders,
  image_folder,
  image_sources,
  image_tree,
  survey_sources,
  unlabelled_images,
)
from slimcompat import errors

# Links to make in a folder of images, {link: target}, and what they add or leave out.
LINKS = {
  'to a file': ({'cat/more.jpeg': 'cat/0.jpeg'}, ['cat/more.jpeg'], {}),
  'to a file elsewhere': ({'cat/more.png': '../ext/1.png'}, ['cat/more.png'], {}),
  'to a folder': ({'cat/more': '../ext'}, ['cat/more/1.png', 'cat/more/deep/2.png'], {}),
  'to a link': (
    {'cat/more': 'cat/other', 'cat/other': '../ext'},
    [f'cat/{name}/{path}' for name in ('more', 'other') for path in ('1.png', 'deep/2.png')],
    {},
  ),
  'as a class': ({'fox': '../ext'}, ['fox/1.png', 'fox/deep/2.png'], {}),
  'to its own folder': ({'cat/self': 'cat'}, [], {'cat/self': 'leads back to'}),
  'to the folder of all': ({'cat/up': '.'}, [], {'cat/up': 'leads back to'}),
  'to the root': ({'cat/root': '/'}, [], {'cat/root': 'leads back to /'}),
  'to nothing': ({'cat/gone': 'nowhere'}, [], {'cat/gone': 'a link to nothing'}),
  'to itself': ({'cat/loop': 'cat/loop'}, [], {'cat/loop': 'a link to nothing'}),
  'of a circle elsewhere': (
    {'../ext/deep/back': '../ext', 'cat/more': '../ext'},
    ['cat/more/1.png', 'cat/more/deep/2.png'],
    {'cat/more/deep/back': 'leads back to'},
  ),
  'crosswise': (
    {'emu/x': 'dog', 'dog/y': 'emu'},
    [*(f'emu/x/{number}.png' for number in range(6)), 'dog/y/0.jpeg', 'dog/y/1.jpeg'],
    {'emu/x/y': 'leads back to', 'dog/y/x': 'leads back to'},
  ),
}


@pytest.fixture
def linked(request, image_dir, pictures):
  """The folder of images with LINKS, and those that are in it without."""
  ext = image_dir.parent / 'ext'
  (ext / 'deep').mkdir(parents=True)
  for path in ('1.png', 'deep/2.png'):
    (ext / path).write_bytes(pictures.encode(pictures.make_pixels(8, 12, 3, seed=ord(path[0]))))
  plain = sorted(str(path.relative_to(image_dir)) for path in image_dir.glob('*/*'))
  links, more, left_out = LINKS[request.param]
  for link, target in links.items():
    target = target if target.startswith('/') else os.path.normpath(image_dir / target)
    os.symlink(target, os.path.normpath(image_dir / link))
  return image_dir, sorted([*plain, *more]), left_out


@pytest.mark.parametrize('linked', LINKS, indirect=True)
def test_every_walk_follows_links_alike(linked, tmp_path):
  image_dir, expected, left_out = linked
  image_folder.convert(str(image_dir), str(tmp_path / 'out'))
  source = image_sources.read_folder(str(image_dir))
  converted = sorted(file.name for files in source.splits.values() for file in files)
  surveyed = sorted(entry.name for entry in survey_sources.list_folder(str(image_dir)))
  place = str(image_dir)
  classified = [os.path.relpath(image.name, place) for image in unlabelled_images.find([place])]
  matched = [
    os.path.relpath(image.name, place) for image in unlabelled_images.find([f'{place}/**/*.*'])
  ]
  assert converted == surveyed == sorted(classified) == sorted(matched) == expected

  rejects = tmp_path / 'out' / 'rejects.csv'
  assert rejects.exists() == bool(left_out)
  lines = rejects.read_text().splitlines()[1:] if left_out else []
  of_survey = dict(survey_sources.list_left_out(place))
  of_classes = {os.path.relpath(p, place): r for p, r in unlabelled_images.list_left_out([place])}
  assert len(lines) == len(of_survey) == len(of_classes) == len(left_out)
  for name, reason in left_out.items():
    assert any(line.startswith(f'{name},') and reason in line for line in lines)
    assert reason in of_survey[name]
    assert reason in of_classes[name]


def test_a_net_of_links_ends_soon(tmp_path):
  """Along all ways through 12 folders that know each other there would be 100 million."""
  for number in range(12):
    (tmp_path / f'{number}').mkdir()
    (tmp_path / f'{number}' / 'a.png').touch()
    for other in range(12):
      (tmp_path / f'{number}' / f'to {other}').symlink_to(tmp_path / f'{other}')
  tree = image_tree.walk(str(tmp_path))
  assert len(tree.images) < 12**3
  assert {os.path.dirname(path) for path in tree.images} >= {f'{tmp_path}/{n}' for n in range(12)}
  assert tree.repeated


def test_links_into_two_classes_are_said(image_dir, tmp_path):
  (tmp_path / 'ext').mkdir()
  (image_dir / 'emu' / '0.jpeg').rename(tmp_path / 'ext' / '0.jpeg')
  for name in ('cat', 'dog'):
    (image_dir / name / 'more').symlink_to(tmp_path / 'ext')
  (note,) = class_folders.read(image_tree.walk(str(image_dir))).notes
  assert 'cat/more = dog/more' in note


@pytest.fixture
def forbidden(image_dir, monkeypatch):
  """A folder in that of a class which cannot be read; a superuser could."""
  (image_dir / 'cat' / 'locked').mkdir()

  def scandir(path, original=os.scandir):
    if str(path).endswith('/locked'):
      raise PermissionError(13, 'Permission denied')
    return original(path)

  monkeypatch.setattr(os, 'scandir', scandir)
  return image_dir


def test_a_folder_that_cannot_be_read_is_listed(forbidden, tmp_path):
  image_folder.convert(str(forbidden), str(tmp_path / 'out'))
  rejects = (tmp_path / 'out' / 'rejects.csv').read_text()
  assert rejects == 'image,reason\ncat/locked,Permission denied\n'
  assert survey_sources.list_left_out(str(forbidden)) == [('cat/locked', 'Permission denied')]
  first, *others = unlabelled_images.find([str(forbidden)])
  assert first.name == f'{forbidden}/cat/locked'
  with pytest.raises(ValueError, match='Permission denied'):
    first.read()
  assert len(others) == 18


def test_a_class_that_cannot_be_read_is_refused(forbidden):
  (forbidden / 'cat' / 'locked').rename(forbidden / 'locked')
  with pytest.raises(errors.InputError, match='locked has no images that can be read: Permission'):
    image_sources.read_folder(str(forbidden))


@pytest.mark.parametrize('name', image_tree.SYSTEM_FOLDERS)
def test_what_systems_leave_behind_is_no_class(name, image_dir):
  (image_dir / name / 'cat').mkdir(parents=True)
  (image_dir / name / 'cat' / '._0.jpeg').touch()
  (image_dir / name / 'a.jpeg').touch()
  assert image_sources.read_folder(str(image_dir)).class_names == ('cat', 'dog', 'emu')
  ignored = [f'{image_dir}/{name}/a.jpeg', f'{image_dir}/{name}/cat/._0.jpeg']
  assert image_sources.list_ignored(str(image_dir)) == ignored


@pytest.mark.parametrize(
  ('pattern', 'expected'),
  [
    ('**', ['a/1.jpg', 'a/b/2.jpg', 'a/b/3.txt']),
    ('**/*.jpg', ['a/1.jpg', 'a/b/2.jpg']),
    ('a/**/*.jpg', ['a/1.jpg', 'a/b/2.jpg']),
    ('**/b/*', ['a/b/2.jpg', 'a/b/3.txt']),
    ('*/**/[!3]?jpg', ['a/1.jpg', 'a/b/2.jpg']),
    ('a/**/[12].jpg', ['a/1.jpg', 'a/b/2.jpg']),
    ('c/**', []),
  ],
)
def test_patterns(pattern, expected, tmp_path, monkeypatch):
  for name in ('a/1.jpg', 'a/b/2.jpg', 'a/b/3.txt', 'a/.h/4.jpg', 'a/.5.jpg'):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
  assert image_tree.expand(f'{tmp_path}/{pattern}') == [f'{tmp_path}/{name}' for name in expected]
  monkeypatch.chdir(tmp_path)
  assert image_tree.expand(pattern) == expected
