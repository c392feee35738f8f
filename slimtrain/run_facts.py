"""What a train_dir says of each time it ran: run.json."""

import contextlib
import datetime
import hashlib
import os
import platform
import subprocess
import sys
import typing
from importlib import metadata

import numpy as np

from datasets import dataset_info, state_files
from slimcompat import errors, tf
from slimtrain import console, files
from slimtrain import settings as settings_lib

RUN_FILE = 'run.json'
_PACKAGES = ('slimtrain', 'tensorflow', 'tf_slim', 'numpy')
# Flags that each task of a cluster may have its own of.
_OF_A_TASK = {
  'cache',
  'checkpoint_exclude_scopes',
  'checkpoint_include_scopes',
  'checkpoint_mirror',
  'checkpoint_name_map',
  'checkpoint_path',
  'cluster_timeout_secs',
  'debug_dump',
  'dataset_dir',
  'early_stop_patience',
  'eval_every_epochs',
  'eval_every_steps',
  'eval_split',
  'gpu_memory_fraction',
  'gpu_memory_growth',
  'ignore_missing_vars',
  'image_dir',
  'input_mode',
  'input_timeout_secs',
  'inter_op_threads',
  'intra_op_threads',
  'job_name',
  'keep_best',
  'log_device_placement',
  'log_every_n_steps',
  'master',
  'num_preprocessing_threads',
  'num_readers',
  'save_interval_secs',
  'save_interval_steps',
  'save_summaries_secs',
  'step_timeout_secs',
  'summarize_activations',
  'summarize_weights',
  'task',
  'trace_every_n_steps',
}


def shared(settings, data):
  """Returns {name: value} of what the tasks of a cluster must have in common, as JSON has it.

  `train_dir` is among it, which only the chief has.
  """
  facts = {
    name: value for name, value in settings_lib.values(settings).items() if name not in _OF_A_TASK
  }
  facts['number of examples'] = data.num_examples
  facts['number of classes'] = data.num_classes
  facts.update((f'version of {name}', value) for name, value in _versions().items())
  facts['train_dir'] = os.path.abspath(settings.train_dir)
  return facts


def write_run(settings, data, first_step):
  """Adds to run.json what this run is: software, machine, data, command.

  Args:
    settings: TrainingSettings.
    data: the inputs.Data.
    first_step: the steps made before.
  """
  path = os.path.join(settings.train_dir, RUN_FILE)
  shapes = [variable.shape.as_list() for variable in tf.trainable_variables()]
  entry = {
    'started': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
    'first_step': first_step,
    'last_step': settings.max_number_of_steps,
    'command': sys.argv,
    'versions': {'python': platform.python_version(), **_versions()},
    'machine': {
      'system': platform.platform(),
      'processor': _processor(),
      'cores': os.cpu_count(),
      'gpus': [device.name for device in tf.config.list_physical_devices('GPU')],
    },
    'git': _git_state(),
    'data': {
      'name': settings.data.dataset_name,
      'split': settings.data.dataset_split_name,
      'examples': data.num_examples,
      'class_counts': data.class_counts,
      'skipped': data.num_skipped,
      'hash': _hash_of_data(data),
    },
    'trained_parameters': int(sum(np.prod(shape, dtype=np.int64) for shape in shapes)),
    'seed': settings.seed,
  }
  try:
    runs = _read(path)
  except errors.InputError:
    runs = []
    console.say(
      f'{path} is damaged; it is now {state_files.set_aside(path)}, and a new one begins.'
    )
  files.write_json(path, [*runs, entry])


def write_end(train_dir, last_step):
  """Says in run.json that the run has ended by itself, and after which step."""
  path = os.path.join(train_dir, RUN_FILE)
  runs = read_runs(path)
  if runs and 'finished' not in runs[-1]:
    finished = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
    runs[-1] = {**runs[-1], 'last_step': last_step, 'finished': finished}
    with contextlib.suppress(OSError):  # A full disk is no reason for the run to fail at its end.
      files.write_json(path, runs)


def read_runs(path):
  """Returns the entries of a run.json, the last run's last; none of a file that says nothing."""
  try:
    return _read(path)
  except errors.InputError:
    return []


def _read(path):
  advice = 'Remove it; the next run begins a new one.'
  return state_files.read_json(path, list[dict[str, typing.Any]], advice) or []


def _versions():
  versions = {}
  for name in _PACKAGES:
    try:
      versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      versions[name] = None
  return versions


def _processor():
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      return next(line.split(':')[1].strip() for line in file if line.startswith('model name'))
  except (OSError, StopIteration):
    return platform.processor()


def _git_state():
  """Returns the commit of the folder that the run started in, and whether files differ from it."""
  try:
    results = [
      subprocess.run(  # noqa: S603
        ['git', *words],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
      ).stdout.strip()
      for words in (('rev-parse', 'HEAD'), ('status', '--porcelain', '--untracked-files=no'))
    ]
  except (OSError, subprocess.SubprocessError):
    return None
  return {'commit': results[0], 'is_changed': bool(results[1])}


def _hash_of_data(data):
  """Returns a hash of what dataset_info.json says, or of the files' names and sizes."""
  info = os.path.join(os.path.dirname(data.files[0]), dataset_info.FILE_NAME)
  digest = hashlib.sha256()
  if tf.io.gfile.exists(info):
    with tf.io.gfile.GFile(info, 'rb') as file:
      digest.update(file.read())
  else:
    for path in data.files:
      digest.update(f'{os.path.basename(path)} {tf.io.gfile.stat(path).length}\n'.encode())
  return digest.hexdigest()
