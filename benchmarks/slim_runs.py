"""Timed runs of slimtrain: its input, its training step, and its script.

The functions take `values`, a dict from the names of train_image_classifier.py's flags to values.
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks import protocol, stopwatch
from nets import costs, nets_factory
from slimcompat import tf
from slimtrain import deployment, inputs, models, train_step, training
from slimtrain import settings as settings_lib

# What all runs share: the optimizer of the papers, at a rate that random labels don't upset.
COMMON = {'optimizer': 'momentum', 'learning_rate': 0.001, 'dataset_name': 'image_folder'}
NUM_CLASSES = 1000  # Of synthetic images.
_CLOCK_TICKS = os.sysconf('SC_CLK_TCK')  # In a second.
_LINE = re.compile(r'global step (\d+): ')


def make_settings(values):
  """Returns the TrainingSettings with `values`, whatever group they stand in."""
  return settings_lib.replace(training.TrainingSettings(), **{**COMMON, **values})


def count_macs(model_name, num_classes=NUM_CLASSES):
  """Returns the multiply-accumulate operations for an image of the net's own size."""
  return sum(layer.num_macs for layer in costs.list_layers(model_name, num_classes))


def time_input(values, seconds, warm_up_steps=None):
  """Returns the images/s of the input alone."""
  settings = make_settings(values)
  with tf.Graph().as_default():
    batches = train_step.make_batches(settings, inputs.load_data(settings.data))
    return time_batches(
      batches,
      settings.data.batch_size,
      seconds,
      deployment.session_config(settings.session),
      warm_up_steps,
    )


def time_batches(batches, batch_size, seconds, config, warm_up_steps=None):
  """Returns the images/s at which a tf.data.Dataset gives batches of `batch_size`."""
  iterator = tf.data.make_initializable_iterator(batches)
  take = tf.group(*tf.nest.flatten(iterator.get_next()))
  with tf.Session(config=config) as session:
    session.run([iterator.initializer, tf.tables_initializer()])
    watch = stopwatch.time_loop(lambda: session.run(take), seconds, warm_up_steps=warm_up_steps)
  return watch.result(images_per_step=batch_size)


def time_step(values, seconds, is_synthetic=True, num_classes=NUM_CLASSES, unit='images/s'):
  """Returns the rate of a bare loop of session.run of the training step.

  Args:
    values: see above.
    seconds: how long to time.
    is_synthetic: whether one batch of random images, in memory, is all the input; otherwise it
      comes from the files.
    num_classes: of synthetic images.
    unit: 'images/s' or 'steps/s'.
  """
  settings = make_settings(values)
  if is_synthetic:
    data = inputs.Data(dataset=None, files=[], num_examples=1_281_167, num_classes=num_classes)
  else:
    data = inputs.load_data(settings.data)
  with tf.Graph().as_default() as graph:
    if is_synthetic:
      batches = tf.data.Dataset.from_tensors(random_batch(settings, num_classes)).repeat()
    else:
      batches = train_step.make_batches(settings, data)
    step = train_step.build(settings, data, batches)
    initializers = [
      tf.global_variables_initializer(),
      tf.local_variables_initializer(),
      tf.tables_initializer(),
    ]
    graph.finalize()
    with tf.Session(config=deployment.session_config(settings.session)) as session:
      for initializer in initializers:
        session.run(initializer)
      watch = stopwatch.time_loop(
        lambda: session.run(step.run_op), seconds, steps_per_run=settings.steps_per_run
      )
  return watch.result(settings.data.batch_size, unit)


def random_batch(settings, num_classes):
  """Returns an inputs.Batch of NumPy arrays."""
  size = models.image_size(settings.model, settings.train_image_size)
  channels = nets_factory.NETWORKS[settings.model.model_name].num_channels
  batch_size = settings.data.batch_size
  images, labels = random_arrays(batch_size, size, channels, num_classes)
  return inputs.Batch(images, labels, np.zeros((batch_size, 2), np.int64))


def random_arrays(batch_size, image_size, channels=3, num_classes=NUM_CLASSES):
  """Returns NumPy arrays of images in [-1, 1] and of labels."""
  rng = np.random.RandomState(0)
  images = rng.uniform(-1, 1, (batch_size, image_size, image_size, channels)).astype(np.float32)
  return images, rng.randint(num_classes, size=batch_size).astype(np.int64)


def time_script(values, seconds, unit='images/s', warm_up_steps=None):
  """Returns the rate at which train_image_classifier.py logs its steps."""
  watch = stopwatch.Stopwatch(seconds, warm_up_steps)
  with script_steps(values) as (process, steps):
    for step in steps:
      watch.mark(step, _cpu_secs(process.pid))
      if watch.is_done:
        break
  if not watch.is_done:
    raise RuntimeError('The training ended before its time.')
  return watch.result(values['batch_size'], unit)


@contextlib.contextmanager
def script_steps(values):
  """Runs train_image_classifier.py; yields its process and an iterator over the steps logged."""
  flags = [f'--{name}={value}' for name, value in {**COMMON, **values}.items()]
  with tempfile.TemporaryDirectory() as train_dir:
    process = subprocess.Popen(  # noqa: S603
      [sys.executable, 'train_image_classifier.py', *flags, f'--train_dir={train_dir}'],
      cwd=protocol.ROOT,
      stdout=subprocess.PIPE,
      text=True,
    )
    try:
      matches = map(_LINE.match, process.stdout)
      yield process, (int(match[1]) for match in matches if match)
    finally:
      process.kill()
      process.communicate()


def _cpu_secs(pid):
  """Returns the seconds of all cores that a process took so far."""
  with open(f'/proc/{pid}/stat') as stat:
    # After the name, which may hold anything, in parentheses: fields 3 and on; 14 and 15 count.
    fields = stat.read().rpartition(')')[2].split()
  return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS
