"""Files of class names, in all the forms that programs write them.

| form | a file of two classes |
|---|---|
| label:name, as `labels.txt` has it | `0:daisy`, `1:rose` |
| a name in a line, in the order of the labels | `daisy`, `rose` |
| label and name, or name and label, with a space, tab or comma between | `0 daisy`, `rose,1` |
| a label map | `item { id: 1 name: 'daisy' } item { id: 2 name: 'rose' }` |
| JSON, an object or a list | `{"0": "daisy", "1": "rose"}`, `["daisy", "rose"]` |

Text is UTF-8, or UTF-16 that says so by its byte order mark; lines end as anywhere, and empty ones
are left out. Lines that all begin with a number and a colon are the first form, whatever the names.
Those of the third are told from names with numbers in them by the numbers, which must be all from 0
or 1 on; otherwise each line is a name.
"""

import codecs
import json
import os
import re

from datasets import user_files
from slimcompat import errors, escapes, tf

_MAX_BYTES = 1 << 25  # 20,000 classes with names of 1,000 letters have fewer.
_MAX_LABEL = 9_999_999
_FORMS = 'Write label:name in each line, such as 0:daisy, or a name in each.'
_NUMBERED = re.compile(r'\s*([+-]?[0-9]+)\s*:(.*)')
_NUMBER_FIRST = re.compile(r'\s*([0-9]+)(?:\s*[,;\t]\s*|\s+)(\S.*)')
_NUMBER_LAST = re.compile(r'(.*\S)(?:\s*[,;:\t]\s*|\s+)([0-9]+)\s*')
_HEADER = re.compile(
  r'\W*(?:(?:class_?|label_?)?(?:id|index|idx|number)|label|class)\W+'
  r'(?:(?:class_?|label_?)?name|class|label|text)\W*|'
  r'\W*(?:(?:class_?|label_?)?name|class|label|text)\W+'
  r'(?:(?:class_?|label_?)?(?:id|index|idx|number)|label|class)\W*',
  re.IGNORECASE,
)
_STRING = r'"(?:[^"\\\n]|\\.)*"|' r"'(?:[^'\\\n]|\\.)*'"
_ITEM_BEGIN = re.compile(r'\s*item\s*:?\s*\{')
_ITEM = re.compile(rf'\s*item\s*:?\s*\{{((?:{_STRING}|[^{{}}"\'])*)\}}[\s,;]*')
_FIELD = re.compile(rf'(\w+)\s*:\s*({_STRING}|[^\s,;"\']+)[\s,;]*')
_COMMENT = re.compile(r'^\s*#.*$', re.MULTILINE)
_ESCAPED = re.compile(r'\\(["\'\\])')


def read(path: str) -> dict[int, str]:
  """Returns the class names by label in a file, in any of the forms above.

  Raises:
    InputError: when it cannot be read, is ambiguous, or has a name that no class can have.
  """
  text = read_text(path)
  lines = [
    (number, line)
    for number, line in enumerate(re.split('\r\n|\n|\r', text), start=1)
    if line.strip()
  ]
  stripped = text.lstrip()
  if _ITEM_BEGIN.match(_COMMENT.sub('', text)):
    pairs = _parse_label_map(_COMMENT.sub('', text), path)
  elif stripped[:1] == '{' or re.match(r'\[\s*("|\])', stripped):
    pairs = _parse_json(text, path)
  else:
    pairs = _parse_lines(lines, path)
  names = {}
  for where, label, name in pairs:
    escapes.check_name(name, f'{where} of {path}')
    if names.setdefault(label, name) != name:
      raise errors.InputError(
        f'{where} of {path} names the label {label} {name!r}, which is {names[label]!r} already.'
        ' Leave one of them out.'
      )
  if names and not -_MAX_LABEL <= min(names) <= max(names) <= _MAX_LABEL:
    raise errors.InputError(
      f'{path} names the label {max(names, key=abs)}; labels go up to {_MAX_LABEL}. {_FORMS}'
    )
  return names


def read_text(path: str) -> str:
  """Returns the text of a file of names.

  Raises:
    InputError: when it cannot be read, or is not text.
  """
  try:
    content = _read_bytes(path)
  except (OSError, tf.errors.OpError) as error:
    reason = getattr(error, 'strerror', None) or getattr(error, 'message', None) or error
    raise errors.InputError(
      f'The class names in {path} cannot be read: {reason}. Give a file of names.'
    ) from error
  return _decode(content, path)


def _read_bytes(path):
  if '://' not in path:
    return user_files.read_bytes(path, _MAX_BYTES)
  with tf.io.gfile.GFile(path, 'rb') as file:
    content = file.read(_MAX_BYTES + 1)
  if len(content) > _MAX_BYTES:
    raise OSError(None, f'it has more than {_MAX_BYTES:,} bytes', path)
  return content


def _decode(content, path):
  """Returns the text of a file."""
  encoding, name = 'utf-8-sig', 'UTF-8'
  if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    encoding, name = 'utf-16', 'UTF-16'
  try:
    text = content.decode(encoding)
  except UnicodeDecodeError as error:
    number = content.count(b'\n', 0, error.start) + 1
    line = content.split(b'\n')[number - 1].rstrip(b'\r')[:80]
    raise errors.InputError(
      f'Line {number} of {path} is {line!r}, which is not {name}. Save the file as UTF-8.'
    ) from error
  if '\0' in text:
    raise errors.InputError(
      f'{path} has bytes of 0, as UTF-16 without a byte order mark has, or no text at all. Save'
      ' the file as UTF-8.'
    )
  return text


def _parse_lines(lines, path):
  """Returns (where, label, name) for each of (number, line)."""
  matches = [_NUMBERED.fullmatch(line) for _, line in lines]
  if all(matches):
    names = [match[2] for match in matches]
    # As people write it; a name that begins with a space itself stays as it is.
    if all(name.startswith(' ') for name in names):
      names = [name.strip() for name in names]
    numbers = [int(match[1]) for match in matches]
  elif any(matches):
    number, line = lines[[bool(match) for match in matches].index(False)]
    raise errors.InputError(
      f'Line {number} of {path} is {_shown(line)}; other lines are a label and a name, such as'
      f' 0:daisy, so this must be, too. {_FORMS}'
    )
  else:
    lines, numbers, names = _parse_pairs(lines) or _as_names(lines)
  return [
    (f'Line {number}', label, name)
    for (number, _), label, name in zip(lines, numbers, names, strict=True)
  ]


def _parse_pairs(lines):
  """Returns (lines, labels, names) of lines with both; None unless all labels are there once."""
  for some in (lines, lines[1:] if lines and _HEADER.fullmatch(lines[0][1]) else []):
    for pattern, label_at, name_at in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
      matches = [pattern.fullmatch(line) for _, line in some]
      if not some or not all(matches):
        continue
      numbers = [int(match[label_at]) for match in matches]
      names = [_unquoted(match[name_at].strip()) for match in matches]
      first = min(numbers)
      is_complete = sorted(numbers) == list(range(first, first + len(numbers)))
      # 'class 1', 'class 2' are names.
      if first <= 1 and is_complete and (len(set(names)) == len(names)):
        return some, numbers, names
  return None


def _as_names(lines):
  return lines, range(len(lines)), [_unquoted(line.strip()) for _, line in lines]


def _unquoted(name):
  is_quoted = len(name) > 2 and name[0] == name[-1] == '"'
  return name[1:-1].replace('""', '"') if is_quoted else name


def _parse_label_map(text, path):
  """Returns (where, label, name) of a StringIntLabelMap in protobuf's text format."""
  pairs = []
  place = 0
  while place < len(text.rstrip()):
    item = _ITEM.match(text, place)
    number = text.count('\n', 0, place) + 1
    fields = dict(_FIELD.findall(item[1])) if item else {}
    rest = _FIELD.sub('', item[1]).strip() if item else ''
    name = fields.get('display_name') or fields.get('name')
    if rest or name is None or not re.fullmatch('[0-9]+', fields.get('id', '')):
      raise errors.InputError(
        f'The item after line {number} of {path} is not of a label map. Write'
        " item { id: 1 name: 'daisy' } for each class, or label:name in each line."
      )
    pairs.append((f'The item {fields["id"]}', int(fields['id']), _ESCAPED.sub(r'\1', name[1:-1])))
    place = item.end()
  return pairs


def _parse_json(text, path):
  """Returns (where, label, name) of a JSON object or list."""
  try:
    content = json.loads(text)
    items = enumerate(content) if isinstance(content, list) else content.items()
    # With the number of a synset before it, as in imagenet_class_index.json.
    pairs = [(label, name[-1] if isinstance(name, list) else name) for label, name in items]
    if all(isinstance(name, int) for _, name in pairs):
      pairs = [(label, name) for name, label in pairs]
    pairs = [(int(label), name) for label, name in pairs]
    if not all(isinstance(name, str) for _, name in pairs):
      raise ValueError('a name is not text')
  except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
    raise errors.InputError(
      f'{path} is not JSON of class names: {error}. Write {{"0": "daisy", "1": "rose"}},'
      ' ["daisy", "rose"], or label:name in each line.'
    ) from error
  return [(f'The label {label}', label, name) for label, name in pairs]


def _shown(line):
  return repr(line[:80])


def find(dataset_dir: str, label_key: str | None = None) -> str | None:
  """Returns the path of the class names of a directory of records, or None.

  That is labels.txt; or, as TensorFlow Datasets name it, KEY.labels.txt, which is that of
  `label_key`, or the only one.
  """
  path = os.path.join(dataset_dir, 'labels.txt')
  if tf.io.gfile.exists(path):
    return path
  if not tf.io.gfile.isdir(dataset_dir):
    return None
  names = [name for name in tf.io.gfile.listdir(dataset_dir) if name.endswith('.labels.txt')]
  if f'{label_key}.labels.txt' in names:
    names = [f'{label_key}.labels.txt']
  return os.path.join(dataset_dir, names[0]) if len(names) == 1 else None
