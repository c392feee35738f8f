"""Keras' classes get the bases of graphs or of eager mode, as often as the mode changes."""

import pytest

from slimcompat import class_bases


class _Eager:
  pass


class _Graph(_Eager):
  pass


def _make_classes(base):
  """Returns a class two steps below `base`, with another base beside it."""
  other = type('Other', (), {})
  middle = type('Middle', (base, other), {})
  return middle, type('Leaf', (middle,), {})


@pytest.mark.parametrize('base', [_Eager, _Graph])
def test_bases_follow_the_mode(base):
  middle, leaf = _make_classes(base)
  other = middle.__bases__[1]
  for use_v2 in (True, False, False, True, True):
    assert class_bases.swap_class(leaf, _Eager, _Graph, use_v2) is leaf
    assert leaf.__bases__ == (middle,)
    assert middle.__bases__ == (_Eager if use_v2 else _Graph, other)


@pytest.mark.parametrize('cls', [_Eager, _Graph])
def test_the_base_class_itself_is_replaced(cls):
  assert class_bases.swap_class(cls, _Eager, _Graph, True) is _Eager
  assert class_bases.swap_class(cls, _Eager, _Graph, False) is _Graph


def test_bases_that_fit_are_not_assigned():
  assignments = []

  class Watcher(type):
    def __setattr__(cls, name, value):
      assignments.append(name)
      super().__setattr__(name, value)

  leaf = Watcher('Leaf', (_Graph,), {})
  class_bases.swap_class(leaf, _Eager, _Graph, False)
  assert assignments == []
  class_bases.swap_class(leaf, _Eager, _Graph, True)
  assert assignments == ['__bases__']
