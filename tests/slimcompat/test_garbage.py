"""The collector's pause."""

import gc

import pytest

from slimcompat import garbage


@pytest.mark.parametrize('was_enabled', [True, False])
def test_the_collector_is_left_as_it_was(was_enabled):
  try:
    (gc.enable if was_enabled else gc.disable)()
    with pytest.raises(KeyError), garbage.not_collected():
      assert not gc.isenabled()
      raise KeyError
    assert gc.isenabled() == was_enabled
  finally:
    gc.enable()
