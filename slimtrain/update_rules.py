"""Optimizers that TensorFlow 1 has not: their rules, and what makes a tf.train.Optimizer of one.

All decay the weights apart from the gradients (I. Loshchilov and F. Hutter, "Decoupled Weight
Decay Regularization", https://arxiv.org/abs/1711.05101), in proportion to the learning rate.
"""

from collections.abc import Callable
from typing import NamedTuple

from slimcompat import tf


class Gradient(NamedTuple):
  """What an update follows from, besides the slots of the optimizer."""

  gradient: tf.Tensor  # Of the shape of the variable.
  value: tf.Tensor  # Of the variable.
  rate: tf.Tensor  # The learning rate.
  step: tf.Tensor  # Counted from 1.
  decay: float  # The strength of weight decay for this variable.
  is_layer: bool  # Whether the norms of the variable and its update say something.


class RuleOptimizer(tf.train.Optimizer):
  """Updates variables, of dense gradients, by a rule."""

  def __init__(self, name, learning_rate, slots, rule: Callable, decay, spares_vectors):
    """Makes an optimizer.

    Args:
      name: of the slots in checkpoints.
      learning_rate: scalar.
      slots: the names of tensors like the variable, that start as zeros.
      rule: a function of a Gradient and of the slots, that returns what to subtract from the
        variable, and the slots' next values.
      decay: the strength of weight decay.
      spares_vectors: whether variables of fewer than 2 dimensions, biases and those of batch
        norm, are neither decayed nor updated in proportion to their norm.
    """
    super().__init__(use_locking=False, name=name)
    self._learning_rate = learning_rate
    self._slot_names_in_order = slots
    self._rule = rule
    self._decay = decay
    self._spares_vectors = spares_vectors

  def _create_slots(self, var_list):
    for variable in var_list:
      for slot in self._slot_names_in_order:
        self._zeros_slot(variable, slot, self._name)
    first = min(var_list, key=lambda variable: variable.name)
    self._create_non_slot_variable(initial_value=1.0, name='step', colocate_with=first)

  def _step(self):
    return self._get_non_slot_variable('step', graph=tf.get_default_graph())

  def _apply_dense(self, grad, var):
    slots = [self.get_slot(var, name) for name in self._slot_names_in_order]
    is_spared = self._spares_vectors and var.shape.ndims < 2
    step = tf.convert_to_tensor(self._step())
    decay = 0.0 if is_spared else self._decay
    given = Gradient(
      grad, tf.convert_to_tensor(var), self._learning_rate, step, decay, not is_spared
    )
    change, *new_values = self._rule(given, *map(tf.convert_to_tensor, slots))
    # Nothing is written before all was read.
    with tf.control_dependencies([change, *new_values]):
      writes = [tf.assign(slot, value) for slot, value in zip(slots, new_values, strict=True)]
      return tf.group(tf.assign_sub(var, change), *writes)

  def _resource_apply_dense(self, grad, handle):
    return self._apply_dense(grad, handle)

  def _finish(self, update_ops, name_scope):
    with tf.control_dependencies(update_ops), tf.colocate_with(self._step()):
      return tf.group(*update_ops, tf.assign_add(self._step(), 1.0), name=name_scope)


def adamw(beta1, beta2, epsilon):
  """Returns the rule of AdamW, algorithm 2 of the paper above, with the slots m and v."""

  def rule(given, first, second):
    change, first, second = _adam(given, first, second, beta1, beta2, epsilon)
    return given.rate * (change + given.decay * given.value), first, second

  return rule


def lamb(beta1, beta2, epsilon):
  """Returns the rule of LAMB, with the slots m and v.

  Y. You et al., "Large Batch Optimization for Deep Learning", https://arxiv.org/abs/1904.00962,
  algorithm 2.
  """

  def rule(given, first, second):
    change, first, second = _adam(given, first, second, beta1, beta2, epsilon)
    change += given.decay * given.value
    if given.is_layer:
      change *= _ratio(tf.norm(given.value), tf.norm(change))
    return given.rate * change, first, second

  return rule


def lars(momentum, trust):
  """Returns the rule of LARS, with the slot momentum.

  Y. You et al., "Large Batch Training of Convolutional Networks",
  https://arxiv.org/abs/1708.03888, algorithm 1; `trust` is its eta.
  """

  def rule(given, velocity):
    change = given.gradient + given.decay * given.value
    if given.is_layer:
      norm = tf.norm(given.value)
      change *= _ratio(trust * norm, tf.norm(given.gradient) + given.decay * norm)
    velocity = momentum * velocity + given.rate * change
    return velocity, velocity

  return rule


def lion(beta1, beta2):
  """Returns the rule of Lion, with the slot m.

  X. Chen et al., "Symbolic Discovery of Optimization Algorithms",
  https://arxiv.org/abs/2302.06675, algorithm 2.
  """

  def rule(given, mean):
    change = tf.sign(beta1 * mean + (1 - beta1) * given.gradient)
    mean = beta2 * mean + (1 - beta2) * given.gradient
    return given.rate * (change + given.decay * given.value), mean

  return rule


def _adam(given, first, second, beta1, beta2, epsilon):
  first = beta1 * first + (1 - beta1) * given.gradient
  second = beta2 * second + (1 - beta2) * tf.square(given.gradient)
  unbiased = first / (1 - tf.pow(beta1, given.step))
  scale = tf.sqrt(second / (1 - tf.pow(beta2, given.step))) + epsilon
  return unbiased / scale, first, second


def _ratio(numerator, denominator):
  """Returns the quotient, and 1 where one of them is 0: of weights or gradients that are."""
  is_usable = tf.logical_and(numerator > 0, denominator > 0)
  return tf.where(is_usable, numerator / denominator, tf.ones_like(numerator))
