"""Names of classes from folders and lists: each usable, and no two that a person takes for one."""

import fractions
import re
import unicodedata
from collections.abc import Iterable

from slimcompat import errors, escapes

# Letters of Cyrillic and Greek that look like Latin ones, and these.
_LOOKALIKES = str.maketrans(
  'АВЕЅІЈКМНОРСТУХаеѕіјорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο',  # noqa: RUF001
  'ABESIJKMHOPCTYXaesijopcyxABEZHIKMNOPTYXo',
) | str.maketrans(dict.fromkeys('\u2010\u2011\u2012\u2013\u2014\u2015\u2212', '-'))
_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?', re.IGNORECASE)


def check(names: Iterable[str], place: str):
  """Raises InputError for a name that cannot be a class's, and for two that are easily confused.

  Those are names that differ in their case alone, in spaces or dashes between words, in how their
  characters are stored (NFC and NFD, full-width, look-alikes of other alphabets), or as numbers
  not at all. Names of one letter may differ in case.

  Args:
    names: of the classes, each once.
    place: what has them, a folder or a list, for the sentence.
  """
  spellings = {}
  for name in names:
    escapes.check_name(name, place)
    other = spellings.setdefault(folded(name), name)
    if other != name:
      raise errors.InputError(
        f'{place} has the classes {_spelled(other)} and {_spelled(name)}, which look like one.'
        ' Give both the same name, or names that differ more.'
      )


def folded(name: str) -> str:
  """Returns what names that are easily confused have in common."""
  if _NUMBER.fullmatch(name.strip()):
    return str(as_number(name.strip()))
  text = unicodedata.normalize('NFKC', name)
  text = ''.join(c for c in text if unicodedata.category(c) not in ('Cf', 'Cc'))
  text = unicodedata.normalize('NFKC', text.translate(_LOOKALIKES)).strip()
  if len(text) > 1:
    text = text.casefold()
  return re.sub(r'(?<=\w)[\s_-]+(?=\w)', ' ', text)


def as_number(name: str) -> fractions.Fraction:
  """Returns the number that a name stands for. Raises ValueError where it is none."""
  if not _NUMBER.fullmatch(name):
    raise ValueError(f'{name!r} is not a number')
  return fractions.Fraction(name)


def in_order(names: Iterable[str]) -> list[str]:
  """Returns names sorted as numbers where all are numbers, else as text."""
  names = list(names)
  try:
    return sorted(names, key=lambda name: (as_number(name), name))
  except ValueError:
    return sorted(names)


def _spelled(name):
  """Returns a name with all that is not ASCII, and its ends, in sight."""
  return repr(name) if name.isascii() else f'{name!r} ({name!a})'
