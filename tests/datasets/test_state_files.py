"""JSON files of our own are checked when they are read."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import pytest

from datasets import state_files
from slimcompat import errors


@dataclasses.dataclass(frozen=True)
class Inner:
  """Part of an Outer."""

  size: int


@dataclasses.dataclass(frozen=True)
class Outer:
  """Something to be read."""

  name: str
  rate: float
  flags: tuple[bool, ...]
  pairs: list[tuple[int, float | None]]
  inner: Mapping[str, Inner]
  note: str | None = None

  def __post_init__(self):
    if self.rate < 0:
      raise state_files.FormatError(f'rate is {self.rate}')


WHOLE = (
  '{"name": "a", "rate": 1, "flags": [true], "pairs": [[1, null], [2, 0.5]],'
  ' "inner": {"x": {"size": 3}}}'
)


def test_what_is_whole():
  found = state_files.loads(WHOLE, Outer)
  assert found == Outer('a', 1.0, (True,), [(1, None), (2, 0.5)], {'x': Inner(3)})
  assert isinstance(found.rate, float)
  assert state_files.loads('{"a": [1, {}]}', dict[str, Any]) == {'a': [1, {}]}


@pytest.mark.parametrize(
  ('old', 'new', 'sentence'),
  [
    ('"a"', '1', 'name is 1, not of the type str'),
    ('"rate": 1,', '', "it lacks 'rate'"),
    ('1,', '"1",', 'rate is "1", not of the type float'),
    ('1,', 'true,', 'rate is true, not of the type float'),
    ('1,', 'NaN,', 'it is not JSON: NaN is not a number'),
    ('1,', '-1,', r'rate is -1\.0'),
    ('[true]', '[1]', r'flags\[0\] is 1, not of the type bool'),
    ('[true]', '{}', 'flags is {}, not of the type list'),
    ('[1, null]', '[1]', r'pairs\[0\] has 1 values, not 2'),
    ('[1, null]', '[true, null]', r'pairs\[0\]\[0\] is true, not of the type int'),
    ('{"size": 3}', '{"size": 3.5}', r"inner\['x'\]\.size is 3\.5, not of the type int"),
    ('{"size": 3}', '[]', r"inner\['x'\] is \[\], not of the type dict"),
    ('"name"', '"other": 1, "name"', "it has a key 'other', which is not known"),
    (WHOLE, '', 'it is not JSON'),
    (WHOLE, WHOLE[:-9], 'it is not JSON'),
    (WHOLE, 'null', 'it is null, not of the type dict'),
    (WHOLE, '[' * 100_000, 'it is nested too deeply'),
  ],
)
def test_what_is_damaged(tmp_path, old, new, sentence):
  path = tmp_path / 'file.json'
  path.write_text(WHOLE.replace(old, new))
  with pytest.raises(errors.InputError, match=rf'{path} is damaged \({sentence}.*\)\. Mend it\.'):
    state_files.read_json(str(path), Outer, 'Mend it.')


def test_bytes_that_are_no_text(tmp_path):
  path = tmp_path / 'file.json'
  path.write_bytes(b'{"name": "\xe9"}')
  with pytest.raises(errors.InputError, match='is damaged'):
    state_files.read_json(str(path), Outer, 'Mend it.')


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo])
def test_what_is_no_file(tmp_path, make):
  assert state_files.read_json(str(tmp_path / 'file.json'), Outer, 'Mend it.') is None
  make(tmp_path / 'file.json')
  with pytest.raises(errors.InputError, match=r'cannot be read: it is .* Mend it\.'):
    state_files.read_json(str(tmp_path / 'file.json'), Outer, 'Mend it.')


def test_setting_aside(tmp_path):
  path = tmp_path / 'file.json'
  for content in 'ab':
    path.write_text(content)
    state_files.set_aside(str(path))
  names = {'file.json.damaged': 'a', 'file.json.damaged-2': 'b'}
  assert {file.name: file.read_text() for file in tmp_path.iterdir()} == names
