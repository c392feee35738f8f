"""Prints the CSVs in a directory as tables in Markdown.

python -m benchmarks.report benchmarks/results
"""

import csv
import pathlib
import sys

_COLUMNS = ('what', 'unit', 'median', 'low', 'high', 'CPU ms/image', 'notes')


def format_table(path):
  """Returns the table of the CSV `path`, under its name."""
  with open(path, newline='') as opened:
    lines = list(csv.DictReader(opened))
  rows = [_COLUMNS, ['---'] * len(_COLUMNS), *([line[name] for name in _COLUMNS] for line in lines)]
  return '\n'.join([f'`{path.name}`', '', *(f'| {" | ".join(row)} |' for row in rows), ''])


if __name__ == '__main__':
  for file in sorted(pathlib.Path(sys.argv[1]).glob('*.csv')):
    sys.stdout.write(f'{format_table(file)}\n')
