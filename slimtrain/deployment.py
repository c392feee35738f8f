"""Clones of a model on several devices, and the session they run in."""

import contextlib
import dataclasses
import re
from typing import NamedTuple

from slimcompat import errors, tf
from slimtrain import settings as settings_lib


@dataclasses.dataclass(frozen=True)
class DeploymentSettings(settings_lib.Settings):
  """Devices."""

  num_clones: int = settings_lib.setting(
    1, 'Copies of the model, each on a GPU of its own with a batch of its own.', lower=1
  )
  clone_on_cpu: bool = settings_lib.setting(False, 'Whether the clones run on the CPU.')
  legacy_clone_decay: bool = settings_lib.setting(
    False,
    "Whether --num_epochs_per_decay counts one clone's examples alone, as slim does, so that the"
    ' learning rate falls later the more clones there are.',
  )


@dataclasses.dataclass(frozen=True)
class SessionSettings(settings_lib.Settings):
  """Session."""

  gpu_memory_fraction: float | None = settings_lib.setting(
    None, "Share of each GPU's memory to take at most. Unset: all.", above=0, upper=1
  )
  gpu_memory_growth: bool = settings_lib.setting(
    False, 'Whether GPU memory is taken only when needed.'
  )
  log_device_placement: bool = settings_lib.setting(
    False, 'Whether to print the device of each op.'
  )
  mixed_precision: str = settings_lib.setting(
    'none',
    'What convolutions and matrix products compute in, where it is faster; variables stay float32.'
    ' bfloat16 on a CPU, float16 on a GPU, whose training scales the loss.',
    choices=('none', 'bfloat16', 'float16'),
  )
  xla: bool = settings_lib.setting(
    False, 'Whether XLA compiles parts of the graph: often faster on a GPU, seldom on a CPU.'
  )
  intra_op_threads: int | None = settings_lib.setting(
    None, 'Threads that share the work of one op. Unset: as many as cores.', lower=1
  )
  inter_op_threads: int | None = settings_lib.setting(
    None, 'Ops that run at the same time. Unset: as many as cores.', lower=1
  )


class Clone(NamedTuple):
  """One copy of the model."""

  model: object  # What the builder returned.
  scope: str  # Name scope of its ops, with a slash at the end; '' for the only clone.
  device: str


def session_config(settings):
  """Returns the tf.ConfigProto of SessionSettings `settings`.

  Soft placement is on: a model placed on a GPU runs on a machine without one.

  Raises:
    InputError: when this machine cannot compute in `settings.mixed_precision`.
  """
  config = tf.ConfigProto(
    allow_soft_placement=True,
    log_device_placement=settings.log_device_placement,
    intra_op_parallelism_threads=settings.intra_op_threads or 0,
    inter_op_parallelism_threads=settings.inter_op_threads or 0,
  )
  rewrites = config.graph_options.rewrite_options
  if settings.mixed_precision != 'none':
    _check_precision(settings.mixed_precision)
  if settings.mixed_precision == 'bfloat16':
    rewrites.auto_mixed_precision_onednn_bfloat16 = rewrites.ON
  elif settings.mixed_precision == 'float16':
    rewrites.auto_mixed_precision = rewrites.ON
  if settings.xla:
    optimizer_options = config.graph_options.optimizer_options
    optimizer_options.global_jit_level = optimizer_options.ON_1
    optimizer_options.cpu_global_jit = True
  config.gpu_options.allow_growth = settings.gpu_memory_growth
  if settings.gpu_memory_fraction is not None:
    config.gpu_options.per_process_gpu_memory_fraction = settings.gpu_memory_fraction
  return config


def start_runtime(settings):
  """Starts TensorFlow's threads: their number is that of a process's first session."""
  with tf.Session(graph=tf.Graph(), config=session_config(settings)):
    pass


def input_device(settings):
  """Returns the device that batches are copied to ahead of the step, None if to none.

  Only a single clone's: several take turns with the batches, which stay in the CPU's memory.
  """
  is_on_gpu = settings.num_clones == 1 and not settings.clone_on_cpu and _has_gpu()
  return '/device:GPU:0' if is_on_gpu else None


def _has_gpu():
  return bool(tf.config.list_physical_devices('GPU'))


def _check_precision(precision):
  has_gpu = _has_gpu()
  if precision == 'float16' and not has_gpu:
    raise errors.InputError(
      '--mixed_precision=float16 needs a GPU, and TensorFlow finds none. On a CPU choose bfloat16,'
      ' or none.'
    )
  if precision == 'bfloat16' and has_gpu:
    raise errors.InputError(
      '--mixed_precision=bfloat16 is made for CPUs, and TensorFlow would use the GPU. Choose'
      ' float16, or none.'
    )
  if precision == 'bfloat16' and not has_avx512():
    raise errors.InputError(
      '--mixed_precision=bfloat16 needs a processor with AVX-512, which this one lacks: it would'
      ' compute in float32 all the same. Choose none.'
    )


def has_avx512():
  """Returns whether the processor can compute in bfloat16, as far as Linux tells."""
  with contextlib.suppress(OSError), open('/proc/cpuinfo', encoding='utf-8') as file:
    return re.search(r'^flags\s*:.*\bavx512(bw|_bf16)\b', file.read(), re.MULTILINE) is not None
  return False


def make_clones(settings, build):
  """Returns the Clones of a model, which share its variables.

  The first clone's device keeps the variables, from where the others fetch them and where their
  gradients are added up: from GPU to GPU, where the machine lets them, without the CPU's memory.

  Args:
    settings: DeploymentSettings.
    build: a function without arguments that builds the model with its losses.
  """
  clones = []
  for index in range(settings.num_clones):
    device = '/device:CPU:0' if settings.clone_on_cpu else f'/device:GPU:{index}'
    # The only clone keeps the plain names of its ops, and so of its losses' summaries.
    scope_name = f'clone_{index}' if settings.num_clones > 1 else ''
    with (
      tf.name_scope(scope_name or None) as scope,
      tf.device(device),
      tf.variable_scope(tf.get_variable_scope(), reuse=True if index else None),
    ):
      clones.append(Clone(build(), scope or '', device))
  return clones


class Losses(NamedTuple):
  """The loss of all clones and its parts, as scalar tensors."""

  total: tf.Tensor
  clones: list  # Each clone's own loss.
  regularization: tf.Tensor | None


def compute_gradients(clones, optimizer, variables):
  """Returns the Losses, and the (gradient, variable) pairs of their sum.

  The losses of the clones are averaged; the regularization counts once.

  Raises:
    InputError: when a variable has no gradient at all.
  """
  clone_losses, gradients = [], []
  regularization_losses = tf.losses.get_regularization_losses()
  regularization = None
  for clone in clones:
    with tf.name_scope(clone.scope or None), tf.device(clone.device):
      loss = tf.add_n(tf.losses.get_losses(clone.scope or None), name='clone_loss')
      clone_losses.append(loss)
      share = loss if len(clones) == 1 else tf.divide(loss, len(clones), name='scaled_clone_loss')
      if clone is clones[0] and regularization_losses:
        regularization = tf.add_n(regularization_losses, name='regularization_loss')
        share += regularization
      gradients.append(optimizer.compute_gradients(share, variables))
  with tf.device(clones[0].device):
    summed = [
      (_sum_gradients([gradient for gradient, _ in pairs if gradient is not None]), pairs[0][1])
      for pairs in zip(*gradients, strict=True)
    ]
  total = tf.add_n(clone_losses) / len(clones)
  if regularization is not None:
    total += regularization
  if all(gradient is None for gradient, _ in summed):
    raise errors.InputError(
      f'The loss depends on none of the {len(variables)} variables to train, such as'
      f' {variables[0].op.name}. Choose other --trainable_scopes.'
    )
  return Losses(total, clone_losses, regularization), summed


def _sum_gradients(gradients):
  if len(gradients) < 2:
    return gradients[0] if gradients else None
  return tf.add_n(gradients)
