"""Python's garbage collector while graphs are built."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def not_collected() -> Iterator[None]:
  """Pauses the collector: a graph grows by millions of objects, all of them in use.

  The collector would look through all of TensorFlow's again and again, for a tenth of the time.
  """
  was_enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    if was_enabled:
      gc.enable()
