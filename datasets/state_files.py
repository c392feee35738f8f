"""JSON files that the product writes beside data and checkpoints, checked when they are read."""

import collections.abc
import contextlib
import dataclasses
import json
import os
import types
import typing
from collections.abc import Callable

from datasets import user_files
from slimcompat import errors

_MAX_BYTES = 256 << 20  # A model.json of 100,000 classes has 3 MB.
SET_ASIDE_ENDING = '.damaged'


class FormatError(ValueError):
  """Content of another form; says where and what was found."""


def read_json(path: str, kind, advice: str, check: Callable | None = None):
  """Returns the content of a JSON file as a `kind`, None if there is no file.

  Args:
    path: of the file.
    kind: as for `parse`.
    advice: a sentence that says what to do when the file is damaged.
    check: a function of the content that raises FormatError when it cannot be right.

  Raises:
    InputError: when it is not a file, cannot be read, or has another form.
  """
  try:
    content = loads(user_files.read_bytes(path, _MAX_BYTES), kind)
    if check:
      check(content)
    return content
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise errors.InputError(f'{path} cannot be read: {error.strerror}. {advice}') from error
  except FormatError as error:
    raise errors.InputError(f'{path} is damaged ({error}). {advice}') from error


def loads(text: str | bytes, kind):
  """Returns what JSON says, as a `kind`. Raises FormatError."""
  try:
    content = json.loads(text, parse_constant=_refuse_constant)
  except RecursionError:
    raise FormatError('it is nested too deeply') from None
  except ValueError as error:
    raise FormatError(f'it is not JSON: {error}') from None
  return parse(kind, content)


def _refuse_constant(name):
  raise ValueError(f'{name} is not a number')


def parse(kind, value, where: str = 'it'):
  """Returns a value of `json.loads` as a `kind`.

  Args:
    kind: a type: str, int, float, bool, typing.Any, a union, `list[X]`, `tuple[X, ...]`,
      `tuple[X, Y]`, `dict[str, X]`, a mapping, or a dataclass, whose fields are the keys of an
      object; those with a default may be missing, and others may not be there.
    value: the value.
    where: what to call it in messages.

  Raises:
    FormatError: when it is of another one.
  """
  origin = typing.get_origin(kind)
  if kind is typing.Any:
    return value
  if origin in (types.UnionType, typing.Union):
    return _parse_union(typing.get_args(kind), value, where)
  if dataclasses.is_dataclass(kind):
    return _parse_dataclass(kind, value, where)
  if origin in (list, tuple):
    return _parse_sequence(origin, typing.get_args(kind), value, where)
  if origin in (dict, collections.abc.Mapping):
    _, value_kind = typing.get_args(kind)
    items = _check(dict, value, where).items()
    return {key: parse(value_kind, item, f'{where}[{key!r}]') for key, item in items}
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value)
  return _check(kind, value, where)


def _check(kind, value, where):
  # To Python, True is an int.
  if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
    shown = json.dumps(value)
    shown = shown if len(shown) <= 40 else f'{shown[:37]}...'
    name = 'null' if kind is types.NoneType else kind.__name__
    raise FormatError(f'{where} is {shown}, not of the type {name}')
  return value


def _parse_union(kinds, value, where):
  if value is None and types.NoneType in kinds:
    return None
  found = []
  for kind in kinds:
    if kind is not types.NoneType:
      try:
        return parse(kind, value, where)
      except FormatError as error:
        found.append(error)
  raise found[0]


def _parse_sequence(origin, kinds, value, where):
  items = _check(list, value, where)
  if origin is list or kinds[1:] == (...,):
    kinds = [kinds[0]] * len(items)
  if len(kinds) != len(items):
    raise FormatError(f'{where} has {len(items)} values, not {len(kinds)}')
  pairs = enumerate(zip(kinds, items, strict=True))
  return origin(parse(kind, item, f'{where}[{number}]') for number, (kind, item) in pairs)


def _parse_dataclass(kind, value, where):
  content = _check(dict, value, where)
  hints = typing.get_type_hints(kind)
  fields = {field.name: field for field in dataclasses.fields(kind)}
  if unknown := content.keys() - fields.keys():
    raise FormatError(f'{where} has a key {min(unknown)!r}, which is not known')
  values = {}
  for name, field in fields.items():
    if name in content:
      place = name if where == 'it' else f'{where}.{name}'
      values[name] = parse(hints[name], content[name], place)
    elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
      raise FormatError(f'{where} lacks {name!r}')
  try:
    return kind(**values)
  except FormatError:
    raise
  except ValueError as error:  # Of its own checks.
    raise FormatError(str(error)) from None


def set_aside(path: str) -> str:
  """Renames a damaged file, or what lies in its place, and returns its new path.

  The new name ends in `.damaged`, or `.damaged-2` and so on where there are such already.
  """
  number, target = 1, path + SET_ASIDE_ENDING
  while os.path.lexists(target):
    number += 1
    target = f'{path}{SET_ASIDE_ENDING}-{number}'
  os.rename(path, target)
  with contextlib.suppress(OSError):
    user_files.flush_to_disk(os.path.dirname(path) or '.')
  return target
