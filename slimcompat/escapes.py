r"""Text from data, made safe for consoles, CSV files and label files.

Names of files and classes come from strangers. A character that cannot be seen, or that does
something to a terminal, is written as an escape:

    \x1b            a control character below U+0080, here the one that begins terminal codes
    \u202e, ...     any other invisible character, such as one that reverses the text after it
    \xe9            a byte of a file name that is not UTF-8, always \x80 or higher
    \ud800          half of a surrogate pair
"""

import re
import unicodedata

from slimcompat import errors

# Format characters that words and emoji of living scripts need: joiners, the soft hyphen, and the
# tags in the flags of regions.
_WANTED = {'\u00ad', '\u200c', '\u200d', *map(chr, range(0xE0020, 0xE0080))}
# Control, format, surrogate, line separator, paragraph separator.
_UNSAFE_CATEGORIES = {'Cc', 'Cf', 'Cs', 'Zl', 'Zp'}
# What Python's os.fsdecode makes of the bytes 0x80 to 0xff that are not UTF-8.
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
_ESCAPE = re.compile(r'\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))')
_BACKSLASH_OF_ESCAPE = re.compile(rf'\\(?={_ESCAPE.pattern[2:]})')
# What makes a spreadsheet take a cell for a formula, also after spaces and as wide characters.
_FORMULA = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r'[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(inf|nan)', re.ASCII | re.IGNORECASE)


def for_console(text: str, keeps_lines: bool = True) -> str:
  """Returns `text` with every character that could mislead a reader or a terminal escaped.

  Args:
    text: any text; one that has nothing to escape is returned as it is.
    keeps_lines: keep line breaks and tabs, as in a message of several lines. False suits a name.
  """
  kept = '\n\t' if keeps_lines else ''
  return _escaped(str(text), kept)


def for_csv(cell):
  r"""Returns a cell that no spreadsheet runs as a formula, and that is valid UTF-8 in one line.

  Numbers, and text that is a number such as `-1.5`, stay as they are. Other text is escaped as on a
  console; if it begins with `=`, `+`, `-` or `@`, an apostrophe goes before it. `from_csv` gives
  back the exact text: a backslash that looks like an escape becomes `\x5c`, and text that begins
  with apostrophes and one of these signs gets one more.
  """
  if not isinstance(cell, str):
    return cell
  # Most cells are plain words and numbers, and there may be millions.
  is_plain = cell.isascii() and cell.isprintable() and cell[:1].isalnum() and '\\' not in cell
  if is_plain or _NUMBER.fullmatch(cell):
    return cell
  escaped = _escaped(_BACKSLASH_OF_ESCAPE.sub(r'\\x5c', cell), '')
  return f"'{escaped}" if _FORMULA.match(escaped) else escaped


def from_csv(cell: str) -> str:
  """Returns the text of which `for_csv` made `cell`."""
  if cell.startswith("'") and _FORMULA.match(cell):
    cell = cell[1:]
  return _ESCAPE.sub(_unescaped, cell)


def for_names(text: str) -> str:
  """Returns the name of a file or folder with the bytes that are not UTF-8 escaped."""
  return ''.join(_escape(c) if unicodedata.category(c) == 'Cs' else c for c in text)


def check_name(name: str, source: str):
  """Raises InputError unless `name` can be the name of a class in a line of labels.txt.

  Args:
    name: of the class; bytes that are not UTF-8 are to be escaped by `for_names` before.
    source: what gave the name, to begin the sentence with, such as 'Line 3 of list.csv'.
  """
  if not name.strip():
    raise errors.InputError(
      f'{for_console(source)} gives a class the name {name!r}; a name must have at least one'
      ' visible character. Name the class.'
    )
  for character in name:
    if unicodedata.category(character) in ('Cc', 'Cs', 'Zl', 'Zp'):
      shown = for_console(name, keeps_lines=False)
      raise errors.InputError(
        f'{for_console(source)} gives a class the name "{shown}", which contains'
        f' {_escape(character)}; a name must fit into one line of labels.txt, without control'
        ' characters. Rename the class.'
      )


def _escaped(text, kept):
  if text.isascii() and text.isprintable():
    return text
  return ''.join(_escape(c) if _is_unsafe(c) and c not in kept else c for c in text)


def _is_unsafe(character):
  return unicodedata.category(character) in _UNSAFE_CATEGORIES and character not in _WANTED


def _escape(character):
  code = ord(character)
  if code < 0x80:
    return f'\\x{code:02x}'
  if _FIRST_BYTE <= code <= _LAST_BYTE:
    return f'\\x{code - 0xDC00:02x}'
  return f'\\u{code:04x}' if code < 0x10000 else f'\\U{code:08x}'


def _unescaped(match):
  code = int(match[1] or match[2] or match[3], 16)
  if match[1] and code >= 0x80:
    code += 0xDC00
  return chr(code) if code < 0x110000 else match[0]
