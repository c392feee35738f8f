"""Tests of escapes: nothing from data reaches a terminal, spreadsheet or label file raw."""

import random

import pytest

from slimcompat import errors, escapes


@pytest.mark.parametrize(
  ('text', 'shown'),
  [
    ('plain', 'plain'),
    ('café 日本 😀 שלום', 'café 日本 😀 שלום'),
    ('C:\\new\\x', 'C:\\new\\x'),
    ('👩\u200d👧', '👩\u200d👧'),
    ('\x1b[31mred\x1b]0;title\x07', '\\x1b[31mred\\x1b]0;title\\x07'),
    ('\x9b31m', '\\u009b31m'),
    ('\x85\u2028\u2029', '\\u0085\\u2028\\u2029'),
    ('a\u202egpj.exe\u2066', 'a\\u202egpj.exe\\u2066'),
    ('\u200b\ufeff\u200f', '\\u200b\\ufeff\\u200f'),
    ('\rover\x08\x7f\x00', '\\x0dover\\x08\\x7f\\x00'),
    ('caf\udce9', 'caf\\xe9'),
    ('\ud800', '\\ud800'),
    ('\U000e0001', '\\U000e0001'),
  ],
)
def test_for_console(text, shown):
  assert escapes.for_console(text) == shown


def test_lines_are_kept_or_escaped():
  assert escapes.for_console('a\n\tb') == 'a\n\tb'
  assert escapes.for_console('a\n\tb', keeps_lines=False) == 'a\\x0a\\x09b'


@pytest.mark.parametrize('cell', [-1.5, 3, None, '-1.5', '+3', '1e-05', '-inf', 'nan', '.5', '-3.'])
def test_numbers_stay_numbers_in_csv(cell):
  assert escapes.for_csv(cell) is cell


@pytest.mark.parametrize(
  ('cell', 'written'),
  [
    ('=1+1', "'=1+1"),
    ('+cmd', "'+cmd"),
    ('-2+3', "'-2+3"),
    ('@SUM(A1)', "'@SUM(A1)"),
    ('\t=1', '\\x09=1'),
    ('\r=1', '\\x0d=1'),
    (' =1', "' =1"),
    ('\uff1d1', "'\uff1d1"),
    ("'=1", "''=1"),
    ("'tis", "'tis"),
    ('a\nb', 'a\\x0ab'),
    ('caf\udce9.jpg', 'caf\\xe9.jpg'),
    ('a\\xe9', 'a\\x5cxe9'),
    ('C:\\new', 'C:\\new'),
  ],
)
def test_for_csv(cell, written):
  assert escapes.for_csv(cell) == written
  assert escapes.from_csv(written) == cell


def test_csv_gives_back_any_text():
  draw = random.Random(0)  # noqa: S311
  alphabet = "ab='+-@ \\xuU0159ef\t\r\n\x1b\x85\xe9\udce9\udc85\ud800\u202e\U000e0001\uff1d"
  for _ in range(20000):
    text = ''.join(draw.choices(alphabet, k=draw.randrange(12)))
    written = escapes.for_csv(text)
    assert escapes.from_csv(written) == text
    written.encode()


@pytest.mark.parametrize('name', ['daisy', 'z:evil', "d'or", '=1', 'שלום\u200f', 'C:\\x', ' a '])
def test_good_names_pass(name):
  escapes.check_name(name, 'labels.txt')


@pytest.mark.parametrize(
  ('name', 'shown'),
  [
    ('z\n0:evil', 'z\\x0a0:evil'),
    ('z\r', 'z\\x0d'),
    ('\x1b[2J', '\\x1b[2J'),
    ('a\x85b', '\\u0085'),
    ('a\u2028b', '\\u2028'),
    ('a\x00', '\\x00'),
    ('a\tb', '\\x09'),
    ('caf\udce9', '\\xe9'),
    ('', "''"),
    ('  ', "'  '"),
  ],
)
def test_bad_names_are_refused(name, shown):
  with pytest.raises(errors.InputError) as caught:
    escapes.check_name(name, 'Line 3 of list.csv')
  assert 'Line 3 of list.csv' in str(caught.value)
  assert shown in str(caught.value)
  str(caught.value).encode()


def test_names_that_are_not_utf8_can_be_names_of_classes():
  assert escapes.for_names('caf\udce9 é') == 'caf\\xe9 é'
  escapes.check_name(escapes.for_names('caf\udce9'), 'photos')
