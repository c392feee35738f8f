"""How fast a trained model is, by the size of the batch: what benchmark_model.py measures."""

import contextlib
import dataclasses
import os
import re
import time

import numpy as np

from nets import costs, nets_factory
from slimcompat import errors, paths, tf
from slimtrain import console, deployment, exported_models, files, trained_models
from slimtrain import settings as settings_lib

_NUM_WARM_UP = 3  # Runs of a batch that are not counted: TensorFlow plans memory in the first.
_MIN_RUNS = 10  # For the percentiles to say something.
_PERCENTILES = (50, 90, 99)
_STATUS_FILE = '/proc/self/status'
_RESET_FILE = '/proc/self/clear_refs'


@dataclasses.dataclass(frozen=True)
class ModelBenchmarkSettings(settings_lib.Settings):
  """Run."""

  checkpoint_path: str | None = settings_lib.setting(
    None,
    'A checkpoint, or a directory whose newest one is taken; or imagenet: the one that was released'
    ' for --model_name. Or what export_inference_graph.py wrote as frozen, saved_model, tflite or'
    ' onnx.',
    path=paths.local,
  )
  checkpoint_mirror: str | None = settings_lib.setting(
    None, 'A URL to fetch the released checkpoint from, in place of all before its file name.'
  )
  model_name: str | None = settings_lib.setting(
    None,
    'The net. Unset: as model.json or the variables say.',
    choices=nets_factory.NETWORKS,
  )
  batch_sizes: str = settings_lib.setting(
    '1,8,32', 'Sizes of batches to measure, separated by commas.'
  )
  seconds: float = settings_lib.setting(
    5.0, f'Seconds to measure each; {_MIN_RUNS} batches at least.', above=0
  )
  output_file: str | None = settings_lib.setting(
    None, 'A .json file for the figures.', path=paths.local
  )
  overwrite: bool = settings_lib.setting(False, 'Whether --output_file may be there already.')
  session: deployment.SessionSettings = settings_lib.group(deployment.SessionSettings)

  def __post_init__(self):
    super().__post_init__()
    sizes = settings_lib.split_names(self.batch_sizes)
    if not sizes or not all(size.isdecimal() and int(size) for size in sizes):
      raise errors.InputError(
        f'--batch_sizes={self.batch_sizes} are no sizes of batches; give some, such as 1,8,32.'
      )
    if self.output_file and os.path.lexists(self.output_file) and not self.overwrite:
      raise errors.InputError(
        f'--output_file={self.output_file} is there already. Give another one, or --overwrite.'
      )


def benchmark(settings):
  """Measures as ModelBenchmarkSettings `settings` say; returns the figures, a dict.

  The images are random, in memory and preprocessed: nothing is read or decoded. A run begins with a
  NumPy array and ends with one.

  Raises:
    InputError: when the settings or the model are at fault.
  """
  if not settings.checkpoint_path:
    raise errors.InputError(
      '--checkpoint_path is missing; give a checkpoint, the directory of a run, or an exported'
      ' model.'
    )
  if settings.output_file:
    files.check_writable('output_file', os.path.dirname(settings.output_file) or '.')
  deployment.start_runtime(settings.session)
  with contextlib.ExitStack() as stack:
    kind, facts, run = _open(settings, stack)
    layers = costs.list_layers(
      facts.model_name, facts.num_classes, facts.image_size, facts.num_channels
    )
    result = {
      'model': settings.checkpoint_path,
      'format': kind,
      'model_name': facts.model_name,
      'image_size': facts.image_size,
      'parameters': sum(layer.num_parameters for layer in layers),
      'macs': sum(layer.num_macs for layer in layers),
      'batches': [],
    }
    console.say(
      f'{settings.checkpoint_path} ({kind}): {facts.model_name}, {facts.image_size} pixels,'
      f' {result["parameters"] / 1e6:.3f} M parameters, {result["macs"] / 1e9:.4f} GMACs an image.'
    )
    console.say(
      f'{"batch":>6}{"images/s":>11}{"GMAC/s":>9}{"median ms":>11}{"90%":>9}{"99%":>9}  MB'
    )
    for size in map(int, settings_lib.split_names(settings.batch_sizes)):
      row = _measure(run, _random_images(facts, size), settings.seconds)
      result['batches'].append(row)
      speed = row['images_per_sec'] * result['macs'] / 1e9
      shown = ''.join(f'{row[f"p{percent}_ms"]:9.2f}' for percent in _PERCENTILES[1:])
      memory = '' if row['peak_mb'] is None else f'{row["peak_mb"]:6.0f}'
      console.say(
        f'{size:6d}{row["images_per_sec"]:11.1f}{speed:9.2f}{row["p50_ms"]:11.2f}{shown}{memory}'
      )
  if settings.output_file:
    files.write_json(settings.output_file, result)
    console.say(f'Written: {settings.output_file}.')
  return result


def _open(settings, stack):
  """Returns (format, ModelFacts, function of a batch of images) of a model.

  Args:
    settings: ModelBenchmarkSettings.
    stack: an ExitStack, as long as which the function works.
  """
  path = settings.checkpoint_path
  if exported_models.is_exported(path):
    exported = exported_models.load(path)
    if settings.model_name not in (None, exported.facts.model_name):
      raise errors.InputError(
        f'--model_name={settings.model_name} contradicts {path}, which is of'
        f' {exported.facts.model_name}. Leave the flag out.'
      )
    return exported.format, exported.facts, exported.run
  trained = trained_models.find(path, settings.model_name, mirror=settings.checkpoint_mirror)
  stack.enter_context(tf.Graph().as_default())
  images = tf.placeholder(tf.float32, [None, *_image_shape(trained.facts)])
  logits = trained_models.build(trained, images).logits
  restore = trained_models.make_restore_fn(trained)
  config = deployment.session_config(settings.session)
  session = stack.enter_context(tf.Session(config=config))
  restore(session)
  return 'checkpoint', trained.facts, session.make_callable(logits, [images])


def _image_shape(facts):
  is_video = nets_factory.NETWORKS[facts.model_name].is_video
  frames = [costs.NUM_FRAMES] if is_video else []
  return [*frames, facts.image_size, facts.image_size, facts.num_channels]


def _random_images(facts, batch_size):
  shape = [batch_size, *_image_shape(facts)]
  return np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)


def _measure(run, images, seconds):
  """Returns the figures of running a batch again and again, a dict."""
  for _ in range(_NUM_WARM_UP):
    run(images)
  can_reset = _reset_peak()
  latencies = []
  start_secs = time.perf_counter()
  while len(latencies) < _MIN_RUNS or time.perf_counter() - start_secs < seconds:
    begin_secs = time.perf_counter()
    run(images)
    latencies.append(time.perf_counter() - begin_secs)
  return {
    'batch_size': len(images),
    'runs': len(latencies),
    'images_per_sec': len(images) * len(latencies) / sum(latencies),
    **{f'p{percent}_ms': 1000 * np.percentile(latencies, percent) for percent in _PERCENTILES},
    'peak_mb': _peak_megabytes() if can_reset else None,
  }


def _reset_peak():
  """Lets the peak of the resident memory start anew; returns whether this machine can."""
  try:
    with open(_RESET_FILE, 'w') as file:
      file.write('5')  # Linux, Documentation/filesystems/proc.rst, section 3.
  except OSError:
    return False
  return True


def _peak_megabytes():
  with open(_STATUS_FILE) as file:
    return int(re.search(r'VmHWM:\s*(\d+) kB', file.read())[1]) / 1000
