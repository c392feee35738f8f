"""Compiling arithmetic with XLA, which makes one loop over an array out of many ops."""

from collections.abc import Callable

import tensorflow


def compiled(function: Callable) -> Callable:
  """Returns `function` of tensors of static shape, compiled when it first runs.

  It can be called in a graph and in a function of tf.data. Arguments that are no tensors are
  constants of the compiled function. It must not draw random numbers or create variables.
  """
  return tensorflow.function(function, jit_compile=True, autograph=False)
