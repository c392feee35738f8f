"""CSV files: what is written is read back, and no other module writes any."""

import ast
import io
import pathlib

import pytest

from datasets import csv_files

ROOT = pathlib.Path(csv_files.__file__).parents[1]
NAMES = [
  '=1+1',
  '-x',
  '-1.5',
  "'=a",
  'caf\udce9',
  'a\nb',
  'a,b;c"d',
  '\x1b[2J',
  '\u202e',
  'a\\x41',
  '',
]


def test_rows_are_read_back():
  text = csv_files.to_text([NAMES, ['x', *NAMES[1:]]])
  text.encode()
  assert text.count('\n') == 2
  assert text.isprintable() or text.replace('\n', '').isprintable()
  assert list(csv_files.read(io.StringIO(text))) == [NAMES, ['x', *NAMES[1:]]]


def test_records_are_read_back():
  records = [{'a': '=1', 'b': '2'}, {'=c': '3'}]
  text = csv_files.to_text(csv_files.to_rows(records))
  assert text == "a,b,'=c\n'=1,2,\n,,3\n"
  read = csv_files.read_records(io.StringIO(text))
  assert read == [{'a': '=1', 'b': '2', '=c': ''}, {'a': '', 'b': '', '=c': '3'}]


def test_numbers_stay_numbers():
  assert csv_files.to_text([[-1.5, '-1.5', 1e-9, -3]]) == '-1.5,-1.5,1e-09,-3\n'


@pytest.mark.parametrize('package', ['slimtrain', 'datasets', 'slimcompat'])
def test_all_files_are_written_here(package):
  for path in (ROOT / package).rglob('*.py'):
    used = {
      node.attr
      for node in ast.walk(ast.parse(path.read_text()))
      if isinstance(node, ast.Attribute) and getattr(node.value, 'id', '') == 'csv'
    }
    assert path.name == 'csv_files.py' or not used & {'writer', 'DictWriter', 'DictReader'}, path
