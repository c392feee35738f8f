"""Keras' choice of base classes, made without work where it is made already."""


def swap_class(cls: type, v2_cls: type, v1_cls: type, use_v2: bool) -> type:
  """Gives `cls` the bases that it needs in eager mode (`use_v2`) or in graphs; returns it.

  TensorFlow calls this for every layer that is made, and its own version assigns the bases each
  time, mostly to what they are: that empties Python's caches of attributes, and cost a tenth of the
  time in which a net is built.

  Args:
    cls: a class derived from `v2_cls` or `v1_cls`, or one of them, which is then replaced.
    v2_cls: the base class of eager mode.
    v1_cls: the base class of graphs, perhaps derived from `v2_cls`.
    use_v2: which of the two is wanted.
  """
  if cls in (v2_cls, v1_cls):
    return v2_cls if use_v2 else v1_cls
  unwanted = v1_cls if use_v2 else v2_cls
  bases = tuple(
    swap_class(base, v2_cls, v1_cls, use_v2) if issubclass(base, unwanted) else base
    for base in cls.__bases__
  )
  if bases != cls.__bases__:
    cls.__bases__ = bases
  return cls
