"""Tables of named rows: nets, datasets, preprocessings, optimizers and whatever else is picked
by name."""

import collections.abc
import difflib

from slimcompat import errors


class UnknownNameError(errors.InputError, KeyError):
  """A name that stands in no row; says which do."""

  # KeyError would print the repr of the message.
  __str__ = errors.InputError.__str__


class Table(collections.abc.Mapping):
  """A mapping from names to rows, in the order of registration.

  A row is any object with a `name`.
  """

  def __init__(self, noun, rows=()):
    """Makes a table of `rows`; `noun` says in messages what a row is ('net', 'dataset')."""
    self.noun = noun
    self._rows = {}
    for row in rows:
      self.register(row)

  def register(self, row):
    """Adds `row` and returns it. Raises InputError when its name is taken."""
    if row.name in self._rows:
      raise errors.InputError(
        f'The {self.noun} {row.name!r} is already registered; choose another name.'
      )
    self._rows[row.name] = row
    return row

  def __getitem__(self, name):
    try:
      return self._rows[name]
    except KeyError:
      raise UnknownNameError(unknown_name(self.noun, name, self._rows)) from None

  def __iter__(self):
    return iter(self._rows)

  def __len__(self):
    return len(self._rows)


def unknown_name(noun, name, known):
  """Returns the sentence for a `name` that is none of the `known` ones, nearest first."""
  known = list(map(str, known))
  nearest = difflib.get_close_matches(str(name), known, n=1)
  guess = f' Did you mean {nearest[0]!r}?' if nearest else ''
  return f'There is no {noun} {name!r}.{guess} Known: {", ".join(known) or "none"}.'
