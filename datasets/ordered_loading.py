"""Loading files in threads, in their order, within a bound of memory that all of them share."""

import collections
import concurrent.futures
import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence

from datasets import image_sources, shards

# For all images that are being loaded or wait to be written; one that takes more is loaded alone.
MEMORY_BYTES = 250_000_000
# An image, its record, and that serialized.
_COPIES_TO_WRITE = 3
# Of the C library of GNU: blocks of so many bytes and more go back to the system at once. By itself
# it raises the limit to 32 MB, and a quarter of the memory of large images stays in pieces.
_M_MMAP_THRESHOLD = -3
_BLOCK_BYTES = 2**22

Loaded = shards.EncodedExample | shards.Reject


def load_all(
  files: Sequence[image_sources.LabelledFile],
  load: Callable[[image_sources.LabelledFile, Callable[[int], None]], Loaded],
  pool: concurrent.futures.Executor,
  num_workers: int,
  update: Callable[[], object],
  memory_bytes: int = MEMORY_BYTES,
) -> Iterator[Loaded]:
  """Yields what `load` makes of files, in their order.

  Args:
    files: the files.
    load: a function of a file, and of a function that it calls with the number of bytes that it
      takes before it takes them.
    pool: what runs `load`, taking files in their order.
    num_workers: how many it runs at the same time.
    update: called after each.
    memory_bytes: for all that are loaded and not yet taken by the caller; counted as so many until
      the caller asks for the next one.
  """
  with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES)
  memory = _Memory(memory_bytes)
  pending = collections.deque()

  def load_in_turn(turn, file):
    """Returns what a file becomes, and the bytes to give back once it is written."""
    taken = []

    def reserve(num_bytes):
      memory.take(turn, num_bytes)
      taken.append(num_bytes)

    loaded = load(file, reserve)
    if not taken:
      reserve(0)
    num_bytes = 0
    if isinstance(loaded, shards.EncodedExample):
      num_bytes = _COPIES_TO_WRITE * len(loaded.data)
    memory.give_back(taken[0] - num_bytes)
    return [loaded], num_bytes

  def next_result():
    # Popped, because a name would keep it in memory.
    loaded, num_bytes = pending.popleft().result()
    yield loaded.pop()
    memory.give_back(num_bytes)
    update()

  try:
    for turn, file in enumerate(files):
      pending.append(pool.submit(load_in_turn, turn, file))
      # Enough for the workers never to wait.
      if len(pending) > 8 * num_workers:
        yield from next_result()
    while pending:
      yield from next_result()
  finally:
    memory.close()
    for future in pending:
      future.cancel()


class _Memory:
  """Bytes that threads take in turns, in the order in which they are given back.

  So whoever is waited for never waits for one that comes later.
  """

  def __init__(self, num_bytes):
    self._num_bytes = num_bytes
    self._num_taken = 0
    self._turn = 0
    self._is_closed = False
    self._changed = threading.Condition()

  def take(self, turn, num_bytes):
    """Waits for the turn, and until so many bytes are free, or all where they are not enough."""
    with self._changed:
      self._changed.wait_for(lambda: self._is_closed or self._is_free(turn, num_bytes))
      if self._is_closed:
        raise concurrent.futures.CancelledError
      self._turn += 1
      self._num_taken += num_bytes
      self._changed.notify_all()

  def _is_free(self, turn, num_bytes):
    is_room = self._num_taken <= 0 or self._num_taken + num_bytes <= self._num_bytes
    return turn == self._turn and is_room

  def give_back(self, num_bytes):
    """Gives back so many bytes; takes them, without waiting, when the number is negative."""
    with self._changed:
      self._num_taken -= num_bytes
      self._changed.notify_all()

  def close(self):
    """Ends all waiting."""
    with self._changed:
      self._is_closed = True
      self._changed.notify_all()
