"""The rules of the house: arrows point down only, and a few names stay where they belong."""

import ast
import pathlib
import re

import pytest

import slimcompat

_ROOT = pathlib.Path(slimcompat.__file__).parent.parent
# Package -> the packages it may import besides itself.
_BELOW = {
  'slimcompat': set(),
  'nets': {'slimcompat'},
  'datasets': {'slimcompat'},
  'slimtrain': {'nets', 'datasets', 'slimcompat'},
}
# Everybody but slimcompat takes these from it.
_TENSORFLOW = {'tensorflow', 'tf_slim', 'keras', 'tf_keras'}
_OPENS_IMAGES = 'opens images past datasets.image_decoding, which names the formats'
_VAGUE_NAME = re.compile(r'(.*_)?(utils?|misc|helpers?)')
# TensorFlow's functions that take a path for a pattern, or write absolute paths.
_TAKES_PATTERNS = {
  'NewCheckpointReader',
  'checkpoint_exists',
  'get_checkpoint_mtimes',
  'get_checkpoint_state',
  'get_matching_files',
  'latest_checkpoint',
  'list_variables',
  'load_checkpoint',
  'load_variable',
  'match_filenames_once',
  'remove_checkpoint',
  'update_checkpoint_state',
}
_PATTERN_CALLS = ('tf.io.gfile.glob', 'tf.gfile.Glob', 'tf.data.Dataset.list_files')
_OWNS_CHECKPOINTS = 'slimcompat/checkpoint_directory.py'
# slim's own names, which users import, and their tests.
_FROZEN_NAMES = (
  'datasets/dataset_utils.py',
  'nets/*_utils.py',
  'nets/*/*_utils.py',
  'tests/*/test_*_utils.py',
)


def _sources():
  folders = [_ROOT / package for package in (*_BELOW, 'tests', 'benchmarks', 'scripts')]
  files = [*_ROOT.glob('*.py'), *(file for folder in folders for file in folder.rglob('*.py'))]
  return sorted(file.relative_to(_ROOT).as_posix() for file in files)


# The scripts in the root, which stand above all packages and import none of each other.
_SCRIPTS = {pathlib.PurePosixPath(file).stem for file in _sources() if '/' not in file}


def _imported_modules(tree, package):
  """Yields the full name of each module, or name in one, that is imported anywhere in `tree`."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      parts = list(package[: len(package) - node.level + 1]) if node.level else []
      parts += [node.module] if node.module else []
      yield from ('.'.join([*parts, alias.name]) for alias in node.names)


def _attributes(tree):
  """Yields each attribute, with what it is of, that `tree` uses."""
  return (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def _names(tree):
  """Yields each name and attribute that `tree` uses."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Name):
      yield node.id
    elif isinstance(node, ast.Attribute):
      yield node.attr


def _opens_images(tree):
  """Returns whether `tree` asks Pillow to open an image."""
  is_asked = any(
    isinstance(node, ast.Attribute)
    and node.attr == 'open'
    and ast.unparse(node.value).split('.')[-1] == 'Image'
    for node in ast.walk(tree)
  )
  names = {'PIL.Image.open', 'PIL.ImageFile', 'PIL.EpsImagePlugin'}
  return is_asked or not names.isdisjoint(_imported_modules(tree, ()))


def violations(file, source):
  """Returns a sentence for each rule that the `source` of `file`, relative to the root, breaks."""
  path = pathlib.PurePosixPath(file)
  found = []
  is_frozen = any(path.match(pattern) for pattern in _FROZEN_NAMES)
  if not is_frozen and any(map(_VAGUE_NAME.fullmatch, path.with_suffix('').parts)):
    found.append('its name says nothing')
  top = path.parts[0] if len(path.parts) > 1 else ''
  if top == 'tests':
    return found
  tree = ast.parse(source)
  imported = {'.'.join(name.split('.')[:2]) for name in _imported_modules(tree, path.parts[:-1])}
  allowed = _BELOW[top] | {top} if top in _BELOW else set(_BELOW)
  for name in sorted(imported):
    package = name.split('.')[0]
    if package in {*_BELOW, *_SCRIPTS} - allowed:
      found.append(f'imports {package}, which is not below it')
    if package in _TENSORFLOW and top != 'slimcompat':
      found.append(f'imports {name} past slimcompat')
    if name == 'tensorflow.contrib':
      found.append('imports tensorflow.contrib')
  if file != _OWNS_CHECKPOINTS:
    for name in sorted(_TAKES_PATTERNS & set(_names(tree))):
      found.append(f'calls {name}, which takes a path for a pattern')
    are_meant = file == 'datasets/verification.py'  # A dataset's data_sources are patterns.
    if not are_meant and any(ast.unparse(node) in _PATTERN_CALLS for node in _attributes(tree)):
      found.append('lists files by a pattern of TensorFlow')
  may_use_flags = not top or file == 'slimtrain/settings.py'
  if not may_use_flags and ('absl.flags' in imported or 'FLAGS' in _names(tree)):
    found.append('uses flags')
  if file != 'datasets/image_decoding.py' and _opens_images(tree):
    found.append(_OPENS_IMAGES)
  return found


@pytest.mark.parametrize('file', _sources())
def test_rules(file):
  assert violations(file, (_ROOT / file).read_text()) == []


def test_every_package_has_its_rules():
  packages = {init.parent.name for init in _ROOT.glob('*/__init__.py')}
  assert packages - {'tests'} == set(_BELOW)


def test_the_sources_are_found():
  assert {'slimtrain/settings.py', 'nets/vgg.py', 'slimcompat/__init__.py'} <= set(_sources())


@pytest.mark.parametrize(
  ('file', 'source', 'expected'),
  [
    ('nets/a.py', 'import datasets', ['imports datasets, which is not below it']),
    ('nets/a.py', 'from slimtrain import losses', ['imports slimtrain, which is not below it']),
    ('datasets/a.py', 'import nets.vgg', ['imports nets, which is not below it']),
    ('slimcompat/a.py', 'from nets import vgg', ['imports nets, which is not below it']),
    ('slimtrain/preprocessing/a.py', 'from nets import vgg\nfrom slimtrain import losses', []),
    (
      'slimtrain/a.py',
      'def f():\n  import train_image_classifier',
      ['imports train_image_classifier, which is not below it'],
    ),
    ('a.py', 'import nets, datasets, slimtrain, slimcompat', []),
    ('a.py', 'import tf_slim', ['imports tf_slim past slimcompat']),
    ('nets/a.py', 'from tf_slim.layers import layers', ['imports tf_slim.layers past slimcompat']),
    ('nets/a.py', 'from slimcompat import slim, tf', []),
    (
      'benchmarks/a.py',
      'import tensorflow.python.ops.nn as n',
      ['imports tensorflow.python past slimcompat'],
    ),
    ('nets/a.py', 'import tensorflow as tf', ['imports tensorflow past slimcompat']),
    ('slimcompat/a.py', 'from tensorflow.python.ops import nn', []),
    *(
      ('slimtrain/a.py', source, [_OPENS_IMAGES])
      for source in (
        'from PIL import Image\nImage.open(path)',
        'import PIL.Image\nPIL.Image.open(path, formats=["PNG"])',
        'from PIL import Image\nread = Image.open',
        'from PIL.Image import open as read',
        'from PIL import ImageFile',
      )
    ),
    (
      'slimcompat/a.py',
      'from tensorflow.contrib import slim',
      ['imports tensorflow.contrib'],
    ),
    ('nets/deep/a.py', 'from .. import vgg', []),
    ('nets/a.py', 'from . import vgg', []),
    ('nets/a.py', 'from absl import flags', ['uses flags']),
    ('slimtrain/a.py', 'import absl.flags', ['uses flags']),
    ('slimtrain/a.py', 'def f(flags):\n  return flags.FLAGS.x', ['uses flags']),
    ('benchmarks/a.py', 'x = FLAGS', ['uses flags']),
    ('slimtrain/settings.py', 'from absl import flags\nFLAGS = flags.FLAGS', []),
    ('a.py', 'print(FLAGS.x)', []),
    (
      'slimtrain/a.py',
      'tf.train.latest_checkpoint(x)',
      ['calls latest_checkpoint, which takes a path for a pattern'],
    ),
    ('slimcompat/checkpoint_directory.py', 'tf.train.NewCheckpointReader(x)', []),
    ('datasets/a.py', 'tf.io.gfile.glob(x)', ['lists files by a pattern of TensorFlow']),
    ('slimtrain/utils.py', '', ['its name says nothing']),
    ('slimtrain/misc/a.py', '', ['its name says nothing']),
    ('datasets/image_helpers.py', '', ['its name says nothing']),
    ('tests/train_utils.py', 'import tf_slim', ['its name says nothing']),
    ('datasets/dataset_utils.py', '', []),
    ('nets/resnet_utils.py', '', []),
    ('nets/nasnet/nasnet_utils.py', '', []),
    ('nets/utils.py', '', ['its name says nothing']),
    ('slimtrain/miscellany.py', '', []),
  ],
)
def test_the_rules_can_be_broken(file, source, expected):
  assert violations(file, source) == expected
