"""What a path that a user gives means."""

import os
import pwd

import pytest

from slimcompat import errors, paths

STRANGE = 'a [b]*?~ %s {x} é😀'


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path / 'home'))
  return str(tmp_path / 'home')


@pytest.mark.parametrize(
  ('given', 'expected'),
  [
    ('', ''),
    ('run', 'run'),
    ('/tmp/run', '/tmp/run'),  # noqa: S108
    (STRANGE, STRANGE),
    ('./~', './~'),
    ('a~b', 'a~b'),
    ('file:///a/b', '/a/b'),
    ('FILE://localhost/a/b', '/a/b'),
    ('file:///a%20b', '/a%20b'),
    ('c:run', 'c:run'),
    ('a b://c', 'a b://c'),
    ('imagenet', 'imagenet'),
  ],
)
@pytest.mark.parametrize('kind', [paths.local, paths.image, paths.data, paths.local_list])
def test_a_path(kind, given, expected):
  assert kind(given, '--flag') == expected


@pytest.mark.parametrize('kind', [paths.local, paths.image, paths.data, paths.local_list])
def test_homes(kind, home):
  user = pwd.getpwuid(os.getuid())
  assert kind('~', '--flag') == home
  assert kind('~/run', '--flag') == f'{home}/run'
  assert kind(f'~{user.pw_name}/run', '--flag') == f'{user.pw_dir}/run'


@pytest.mark.parametrize(
  ('given', 'sentence'),
  [
    ('gs://bucket/run', r'--flag=gs://bucket/run is a URL \(gs\)'),
    ('ram://run', 'is a URL'),
    ('s3://run', 'is a URL'),
    ('https://example.com/model.ckpt', 'is a URL'),
    ('file://server/run', 'is a URL'),
    ('~nobody-of-that-name/run', r'no home folder is known for ~nobody-of-that-name'),
    ('a\nb', 'holds a control character'),
    ('a\x1b[2Jb', 'holds a control character'),
    ('a\0b', 'holds a control character'),
  ],
)
def test_what_is_refused(given, sentence):
  of_text = 'control character' in sentence
  for kind in (paths.local, paths.local_list, *([] if of_text else [paths.image])):
    with pytest.raises(errors.InputError, match=sentence):
      kind(given, '--flag')


def test_urls_of_data():
  assert paths.data('ram://folder', '--flag') == 'ram://folder'
  with pytest.raises(errors.InputError, match='TensorFlow cannot read URLs that begin with nfs://'):
    paths.data('nfs://folder', '--flag')


def test_names_of_images_may_be_strange():
  assert paths.image('a\nb\x1b.jpg', '--flag') == 'a\nb\x1b.jpg'


def test_names_that_are_no_text():
  name = os.fsdecode(b'caf\xe9')
  assert paths.image(name, '--flag') == name
  with pytest.raises(errors.InputError, match=r"--flag=b'caf\\xe9' is not UTF-8"):
    paths.local(name, '--flag')


@pytest.mark.parametrize(
  ('there', 'given', 'expected'),
  [
    ((), 'a,b', ['a', 'b']),
    ((), None, []),
    ((), ' a , ,b', ['a', 'b']),
    (('a,b',), 'a,b', ['a,b']),
    (('a,b', 'a'), 'a,b', ['a', 'b']),
    (('a,b', 'c,d'), 'a,b,c,d', ['a,b', 'c,d']),
    (('a,b.index',), 'a,b,c', ['a,b', 'c']),
  ],
)
def test_lists(tmp_path, monkeypatch, there, given, expected):
  monkeypatch.chdir(tmp_path)
  for name in there:
    (tmp_path / name).touch()
  assert paths.split(given) == expected


def test_a_link_looks_like_no_pattern(tmp_path):
  folder = tmp_path / STRANGE
  folder.mkdir()
  (folder / 'file').write_text('content')
  with paths.alias(str(folder)) as link:
    assert paths.as_pattern(link) == link
    with open(os.path.join(link, 'file')) as file:
      assert file.read() == 'content'
  assert not os.path.lexists(link)
  assert folder.exists()
