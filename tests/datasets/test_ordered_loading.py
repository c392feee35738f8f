"""Files are loaded in threads, in their order, and never more of them than memory is for."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from datasets import ordered_loading, shards

_LIMIT = 100


def _example(number, num_bytes):
  return shards.EncodedExample(bytes(num_bytes), 'png', 1, 1, 1, number)


class _Meter:
  """Counts the bytes that are there at the same time."""

  def __init__(self):
    self.now = self.most = 0
    self._lock = threading.Lock()

  def add(self, num_bytes):
    with self._lock:
      self.now += num_bytes
      self.most = max(self.most, self.now)


@pytest.mark.parametrize('num_workers', [1, 2, 8])
@pytest.mark.parametrize('largest', [10, 100])
def test_memory_is_bounded_by_all_workers_together(num_workers, largest):
  draw = np.random.RandomState(num_workers)
  needs = [int(draw.randint(1, largest + 1)) for _ in range(200)]
  meter = _Meter()

  def load(number, reserve):
    if number % 10 == 3:
      return shards.Reject(str(number), 'it is empty')
    reserve(needs[number])
    meter.add(needs[number])
    time.sleep(0.001 * (number % 3))
    meter.add(-needs[number])
    return _example(number, needs[number] // 3)

  with concurrent.futures.ThreadPoolExecutor(num_workers) as pool:
    loaded = ordered_loading.load_all(
      range(200), load, pool, num_workers, lambda: None, memory_bytes=_LIMIT
    )
    for number, example in enumerate(loaded):
      if number % 10 == 3:
        assert example.name == str(number)
      else:
        assert example.label == number
  assert 0 < meter.most <= _LIMIT


def test_one_that_takes_more_is_loaded_alone():
  meter = _Meter()

  def load(number, reserve):
    need = 10 * _LIMIT if number == 5 else 30
    reserve(need)
    meter.add(need)
    time.sleep(0.002)
    meter.add(-need)
    return _example(number, 10)

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    loaded = ordered_loading.load_all(range(30), load, pool, 4, lambda: None, memory_bytes=_LIMIT)
    assert [example.label for example in loaded] == list(range(30))
  assert meter.most == 10 * _LIMIT


@pytest.mark.parametrize('ending', ['closed', 'failure'])
def test_nothing_waits_for_ever_at_an_end(ending):
  def load(number, reserve):
    if ending == 'failure' and number == 2:
      raise RuntimeError('a fault of the program')
    reserve(_LIMIT)
    return _example(number, _LIMIT)

  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    loaded = ordered_loading.load_all(range(30), load, pool, 4, lambda: None, memory_bytes=_LIMIT)
    assert next(loaded).label == 0
    if ending == 'closed':
      loaded.close()
    else:
      with pytest.raises(RuntimeError, match='a fault of the program'):
        list(loaded)
