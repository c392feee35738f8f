"""What every test shares: a fresh default graph, and the slow tests' switch."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
  sys.path.insert(0, str(ROOT))

from slimcompat import tf  # noqa: E402
from tests import shapes  # noqa: E402

GOLDENS = ROOT / 'tests' / 'goldens'


def pytest_addoption(parser):
  parser.addoption('--slow', action='store_true', help='Run the tests that take minutes, too.')


def pytest_collection_modifyitems(config, items):
  if config.getoption('--slow'):
    return
  skip = pytest.mark.skip(reason='takes minutes; run with --slow')
  for item in items:
    if item.get_closest_marker('slow'):
      item.add_marker(skip)


@pytest.fixture(autouse=True)
def graph():
  """A new default graph for each test."""
  with tf.Graph().as_default() as fresh:
    yield fresh


@pytest.fixture
def goldens():
  """The folder of reference values."""
  return GOLDENS


@pytest.fixture(scope='session')
def shapes_dir(tmp_path_factory):
  """A folder with 20 JPEGs of 64x64 pixels in each of 3 class folders."""
  folder = tmp_path_factory.mktemp('shapes') / 'shapes'
  shapes.write(folder)
  return folder
