import types

import pytest

from slimcompat import errors, tables


def _row(name):
  return types.SimpleNamespace(name=name)


@pytest.fixture
def table():
  return tables.Table('net', [_row('vgg_16'), _row('lenet')])


def test_rows_by_name_in_the_order_of_registration(table):
  added = _row('alexnet')
  assert table.register(added) is added
  assert list(table) == ['vgg_16', 'lenet', 'alexnet']
  assert len(table) == 3
  assert table['alexnet'] is added
  assert 'lenet' in table
  assert 'lenett' not in table
  assert table.get('lenett') is None


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('vgg16', "There is no net 'vgg16'. Did you mean 'vgg_16'? Known: vgg_16, lenet."),
    ('zebra', "There is no net 'zebra'. Known: vgg_16, lenet."),
    (None, 'There is no net None. Known: vgg_16, lenet.'),
  ],
)
def test_unknown_name(table, name, message):
  with pytest.raises(errors.InputError) as caught:
    table[name]
  assert str(caught.value) == message


def test_unknown_name_is_a_lookup_error(table):
  # slim's own maps were dicts, and people catch what a dict raises.
  with pytest.raises(KeyError):
    table['vgg16']


def test_unknown_name_in_an_empty_table():
  with pytest.raises(errors.InputError, match=r"There is no loss 'hinge'. Known: none."):
    tables.Table('loss')['hinge']


def test_duplicate(table):
  with pytest.raises(errors.InputError, match="net 'lenet' is already registered"):
    table.register(_row('lenet'))
  assert len(table) == 2


def test_duplicate_among_the_first_rows():
  with pytest.raises(errors.InputError, match="'lenet' is already registered"):
    tables.Table('net', [_row('lenet'), _row('lenet')])


def test_input_error_is_a_value_error():
  assert issubclass(errors.InputError, ValueError)
