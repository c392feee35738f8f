"""The benchmarks run and report; how fast anything is does not matter here."""

import csv
import dataclasses
import importlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import flags

from benchmarks import (
  classification_throughput,
  cluster,
  conversion_throughput,
  end_to_end,
  evaluation_throughput,
  graph_building,
  host_overhead,
  input_throughput,
  memory,
  peers,
  pictures,
  protocol,
  report,
  startup,
  stopwatch,
  train_throughput,
)
from slimcompat import errors
from slimtrain import settings as settings_lib

SHORT = {'pairs': 1, 'seconds': 0.1, 'num_pictures': 40}


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """The pictures that all benchmarks here share."""
  return tmp_path_factory.mktemp('pictures')


@pytest.fixture
def in_process(monkeypatch):
  """Runs cases in this process, where TensorFlow is loaded already."""

  def call(function, arguments, num_cores=None):
    del num_cores
    module, name = function.split(':')
    return getattr(importlib.import_module(module), name)(**arguments)

  monkeypatch.setattr(protocol, 'call', call)


def read_rows(results_dir, script):
  """Returns the lines of the CSV of `script`, by what and unit."""
  (path,) = results_dir.glob(f'{script}-*.csv')
  with open(path, newline='') as opened:
    return {(line['what'], line['unit']): line for line in csv.DictReader(opened)}


NET = 'mobilenet_v1_025'
RATIO = 'ratio, 95%'
# Script -> its settings, and rows that its CSV must have.
BENCHMARKS = {
  input_throughput: (
    input_throughput.InputSettings(kinds='smooth', batch_size=8, image_size=32, **SHORT),
    [
      ('plain tf.data, resized first (smooth)', 'images/s'),
      ('ours, --fast_jpeg (smooth)', 'images/s'),
      ('ours, --cache=decoded (smooth) / plain tf.data (smooth)', RATIO),
      ('ours, vgg, --fast_jpeg (smooth) / ours, vgg (smooth)', RATIO),
    ],
  ),
  train_throughput: (
    train_throughput.TrainSettings(model_names=NET, batch_size=2, image_size=32, **SHORT),
    [(f'{NET}, float32', 'images/s')],
  ),
  end_to_end: (
    end_to_end.EndToEndSettings(
      model_names='mobilenet_v1', kind='smooth', batch_size=2, image_size=32, **SHORT
    ),
    [
      ('mobilenet_v1, synthetic', 'images/s'),
      ('mobilenet_v1, from files / mobilenet_v1, synthetic', RATIO),
    ],
  ),
  host_overhead: (
    protocol.BenchmarkSettings(**SHORT),
    [
      ('bare session.run', 'steps/s'),
      ('the script, --steps_per_run=10 / bare session.run', RATIO),
    ],
  ),
  startup: (
    startup.StartupSettings(model_name=NET, batch_size=2, **SHORT),
    [('--help', 's'), (f"first step of {NET} - TensorFlow's import", 's, 95%')],
  ),
  cluster: (
    cluster.ClusterBenchmarkSettings(num_steps=100, **SHORT),
    [
      ('lenet, 2 workers / lenet, 1 process', RATIO),
      ('lenet, 1 thread, 1 worker', 'ms/step'),
    ],
  ),
  graph_building: (
    graph_building.GraphBuildingSettings(model_names=f'lenet,{NET}', **SHORT),
    [('2 training graphs', 's'), ('2 training graphs / bare ops', RATIO)],
  ),
  conversion_throughput: (
    protocol.BenchmarkSettings(**SHORT),
    [('smooth pictures', 'images/s'), ('detailed pictures', 'MB/s')],
  ),
  evaluation_throughput: (
    evaluation_throughput.EvaluationBenchmarkSettings(
      model_names=NET, batch_size=4, image_size=32, **SHORT
    ),
    [(f'{NET}, evaluation', 'images/s')],
  ),
  classification_throughput: (
    classification_throughput.ClassificationBenchmarkSettings(
      model_names=NET, batch_size=4, image_size=32, **SHORT
    ),
    [(f'{NET}, classification / {NET}, evaluation', 'ratio, 95%')],
  ),
}


def name_of(module):
  return module.__name__.rpartition('.')[2]


@pytest.mark.parametrize('module', BENCHMARKS, ids=name_of)
def test_benchmark_writes_its_rows(module, data_dir, tmp_path, in_process):
  settings, expected = BENCHMARKS[module]
  places = {'data_dir': str(data_dir), 'results_dir': str(tmp_path)}
  module.main(dataclasses.replace(settings, **places))
  rows = read_rows(tmp_path, name_of(module))
  assert set(expected) <= set(rows)
  # Not above 0: what more images take longer is lost in the noise here.
  assert all(float(row['median']) for row in rows.values())


def test_script_writes_its_rows(data_dir, tmp_path):
  finished = subprocess.run(  # noqa: S603
    [
      *(sys.executable, '-m', 'benchmarks.memory', '--steps=20', '--early_step=5'),
      *(f'--data_dir={data_dir}', f'--results_dir={tmp_path}'),
    ],
    cwd=protocol.ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stderr
  rows = read_rows(tmp_path, 'memory')
  ops = [rows['lenet on digits', f'ops at step {step}']['median'] for step in (5, 20)]
  assert ops[0] == ops[1]
  assert re.search(r'^lenet on digits +end / early +\d', finished.stdout, re.MULTILINE)


@pytest.mark.parametrize(
  'settings',
  [*(settings for settings, _ in BENCHMARKS.values()), memory.MemorySettings()],
  ids=lambda settings: type(settings).__name__,
)
def test_settings_become_flags(settings):
  values = flags.FlagValues()
  settings_lib.define_flags(settings, values)
  values(['benchmark', '--pairs=7'])
  assert settings_lib.from_flags(type(settings), values).pairs == 7


def test_runs_alternate_and_are_compared_in_pairs(monkeypatch):
  calls = []

  def call(function, arguments, num_cores):
    calls.append((function, num_cores))
    speed = {'f': 10, 'g': 20}[function] * len(calls)
    return {'images/s': speed, 'MB/s': 1, protocol.CPU_TIME: 5}

  monkeypatch.setattr(protocol, 'call', call)
  cases = [protocol.Case('A', 'f', {}, num_cores=1, notes='n'), protocol.Case('B', 'g', {})]
  comparisons = [protocol.Comparison('B', 'A'), protocol.Comparison('A', 'B', '-')]
  settings = protocol.BenchmarkSettings(pairs=2)
  rows = {(row.what, row.unit): row for row in protocol.measure(cases, comparisons, settings)}
  assert calls == [('f', 1), ('g', None), ('g', None), ('f', 1)]
  assert rows['A', 'images/s'].runs == [10, 40]
  assert rows['A', 'images/s'][3:] == (10, 40, 5, 'n')
  assert rows['A', 'images/s'].median == 25
  assert rows['B / A', 'ratio, 95%'].runs == [4, 1.5]
  assert rows['A - B', 'images/s, 95%'].runs == [-30, -20]
  assert ('B', 'MB/s') in rows


def test_noise_check_measures_the_first_case_again(monkeypatch):
  monkeypatch.setattr(protocol, 'call', lambda *_: {'s': 2.0})
  settings = protocol.BenchmarkSettings(pairs=1, check_noise=True)
  rows = protocol.measure([protocol.Case('A', 'f', {})], [], settings)
  assert [row.what for row in rows] == ['A', 'A (again)', 'A (again) / A']
  assert rows[-1].runs == [1]


def test_interval_holds_the_median_and_narrows():
  noise = np.random.RandomState(1).normal(1, 0.1, 500)
  low, high = protocol.bootstrap_interval(noise)
  assert low < np.median(noise) < high < low + 0.05
  assert protocol.bootstrap_interval([2.0]) == (2, 2)


def test_a_failed_run_ends_the_benchmark():
  with pytest.raises(errors.InputError, match='failed for the reason above'):
    protocol.call('benchmarks.startup:no_such', {})


def test_report_keeps_rows_of_other_cases(tmp_path):
  settings = protocol.BenchmarkSettings(results_dir=str(tmp_path), data_dir=str(tmp_path))
  for what, number in (('A', 1.0), ('B', 2.0), ('A', 3.0)):
    with protocol.Report('some', settings) as kept:
      kept.add([protocol.Row(what, 's', [number], number, number)])
  rows = read_rows(tmp_path, 'some')
  assert [(what, row['median']) for (what, _), row in rows.items()] == [('A', '3'), ('B', '2')]
  (path,) = tmp_path.glob('*.csv')
  assert '| A | s | 3 | 3 | 3 |  |  |' in report.format_table(path).splitlines()


@pytest.fixture
def clock(monkeypatch):
  """A clock that stands still: clock[0] is the time."""
  now = [0.0]
  monkeypatch.setattr(stopwatch.time, 'perf_counter', lambda: now[0])
  return now


def test_stopwatch_leaves_out_the_warm_up(clock):
  watch = stopwatch.Stopwatch(seconds=8)
  for step in range(1, 100):
    clock[0] += 3 if step <= 10 else 0.5  # The first 5 steps took more than 10 seconds.
    watch.mark(step, cpu_secs=clock[0] / 2)
    if watch.is_done:
      break
  # From the fifth step, at 15 seconds, on.
  assert step == 8
  assert watch.result(6)['images/s'] == pytest.approx(2)


def test_stopwatch_waits_for_the_steps_asked_for(clock):
  watch = stopwatch.Stopwatch(seconds=8, warm_up_steps=20)
  for step in range(1, 100):
    clock[0] += 3 if step <= 20 else 0.5
    watch.mark(step, cpu_secs=clock[0] / 2)
    if watch.is_done:
      break
  assert step == 36
  assert watch.result(6) == {'images/s': 12, protocol.CPU_TIME: pytest.approx(1000 / 24)}
  assert watch.result(6, 'steps/s')['steps/s'] == 2


@pytest.mark.parametrize(('kind', 'kilobytes'), [('smooth', 73), ('detailed', 108)])
def test_pictures_are_as_large_as_photographs(kind, kilobytes):
  rng = np.random.RandomState(0)
  sizes = []
  for _ in range(4):
    encoded = io.BytesIO()
    pictures.draw(rng, pictures.KINDS[kind]).save(encoded, 'JPEG', quality=pictures.QUALITY)
    sizes.append(len(encoded.getvalue()) / 1000)
  assert np.mean(sizes) == pytest.approx(kilobytes, rel=0.06)


@pytest.mark.parametrize('net', peers.NETS)
@pytest.mark.parametrize('name', ['keras', 'torch'])
def test_a_twin_does_the_same_work(name, net):
  pytest.importorskip(name)
  assert peers.check(peers.PEERS[name], net).endswith(' GMACs')


def test_a_twin_of_other_work_is_refused(monkeypatch):
  monkeypatch.setattr(protocol, 'call', lambda *_: 0.6e9)
  with pytest.raises(errors.InputError, match=r'0\.569 GMACs, and that of keras 0\.600'):
    peers.check(peers.PEERS['keras'], 'mobilenet_v1')


def test_an_absent_peer_is_refused():
  peer = dataclasses.replace(peers.PEERS['torch'], package='no_such_package')
  with pytest.raises(errors.InputError, match='needs no_such_package, which is not installed'):
    peers.check(peer, 'mobilenet_v1')
