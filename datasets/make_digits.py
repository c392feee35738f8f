"""Writes digits.csv.gz from scikit-learn's copy of the UCI digits: `python make_digits.py`.

Needs scikit-learn, which nothing else here does. The rows come out in a fixed random order, the
first `digits.NUM_TRAIN` of them being for training; a row is the digit and its 8x8 pixels in
[0, 16], row by row.
"""

import gzip
import os

import numpy as np
from sklearn import datasets

HEADER = """\
Optical Recognition of Handwritten Digits, by E. Alpaydin and C. Kaynak, 1998,
UCI Machine Learning Repository, https://doi.org/10.24432/C50P49. CC BY 4.0.
The 1,797 test digits as scikit-learn selects them (load_digits), in another order."""


def main():
  digits = datasets.load_digits()
  order = np.random.RandomState(0).permutation(len(digits.target))
  table = np.column_stack([digits.target, digits.data])[order].astype(int)
  lines = [f'# {line}' for line in HEADER.splitlines()]
  lines += [','.join(map(str, row)) for row in table]
  path = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'digits.csv.gz')
  # Without name and time in the header the same digits give the same bytes.
  with (
    open(path, 'wb') as file,
    gzip.GzipFile(filename='', fileobj=file, mode='wb', mtime=0) as compressed,
  ):
    compressed.write(('\n'.join(lines) + '\n').encode())


if __name__ == '__main__':
  main()
