"""CSV files that the product writes, and reads again: every cell is escaped, and back."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from slimcompat import escapes


class Writer:
  """Writes rows to a text file, which is best opened with newline=''."""

  def __init__(self, file: TextIO):
    self._writer = csv.writer(file, lineterminator='\n')

  def write_row(self, row: Iterable):
    """Writes the cells of a row."""
    self._writer.writerow([escapes.for_csv(cell) for cell in row])

  def write_rows(self, rows: Iterable[Iterable]):
    """Writes rows."""
    self._writer.writerows([escapes.for_csv(cell) for cell in row] for row in rows)


def to_text(rows: Iterable[Iterable]) -> str:
  """Returns rows as the text of a CSV file."""
  text = io.StringIO()
  Writer(text).write_rows(rows)
  return text.getvalue()


def to_rows(records: Sequence[dict]) -> Iterator[list]:
  """Yields the header and rows of dicts, with a column for each name in any of them."""
  columns = list(dict.fromkeys(name for record in records for name in record))
  yield columns
  for record in records:
    yield [record.get(name, '') for name in columns]


def read(file: TextIO) -> Iterator[list[str]]:
  """Yields the rows of a file that `Writer` wrote. Raises csv.Error when it is damaged."""
  for row in csv.reader(file):
    yield [escapes.from_csv(cell) for cell in row]


def read_records(file: TextIO) -> list[dict[str, str]]:
  """Returns the rows below the header as dicts; cells without a column are left out."""
  rows = read(file)
  columns = next(rows, [])
  return [dict(zip(columns, row, strict=False)) for row in rows if row]
