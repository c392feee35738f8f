"""slim.learning.train under a Supervisor of one's own; it has no argument for one."""

import contextlib
import types

import tf_slim as slim


@contextlib.contextmanager
def supervised_by(make_supervisor):
  """Has slim.learning.train make its Supervisor with `make_supervisor` in the block.

  Args:
    make_supervisor: a function with the keyword arguments of tf.train.Supervisor.
  """
  original = slim.learning.supervisor
  slim.learning.supervisor = types.SimpleNamespace(
    Supervisor=_Maker(make_supervisor, original.Supervisor.USE_DEFAULT)
  )
  try:
    yield
  finally:
    slim.learning.supervisor = original


class _Maker:
  """Stands for the class, of which slim.learning uses the constructor and one name."""

  def __init__(self, make, use_default):
    self._make = make
    self.USE_DEFAULT = use_default

  def __call__(self, **kwargs):
    return self._make(**kwargs)
