"""Trained models: a checkpoint, what it is of, and its weights put into a graph."""

import dataclasses
from typing import NamedTuple

from nets import nets_factory
from slimcompat import errors, slim
from slimtrain import checkpoints, model_facts, models, releases, variable_scopes


class TrainedModel(NamedTuple):
  """A checkpoint, and how it is to be used."""

  checkpoint: str  # As checkpoints.find returned it.
  facts: model_facts.ModelFacts
  uses_averages: bool  # Of the moving averages of the weights, or the weights.


def find(checkpoint_path, model_name=None, use_moving_averages=None, mirror=None):
  """Returns the TrainedModel at `checkpoint_path`.

  Args:
    checkpoint_path: a checkpoint, a directory whose newest one is taken, or `imagenet`: the one
      that was released for the net `model_name`.
    model_name: the net; None leaves it to the checkpoint.
    use_moving_averages: whether to use those; None: when the checkpoint has them.
    mirror: a URL to fetch what was released from.

  Raises:
    InputError: when there is no such checkpoint, it is of another net, or it has no averages.
  """
  if releases.is_chosen(checkpoint_path, mirror):
    checkpoint, facts = _find_released(model_name, mirror)
  else:
    checkpoint = checkpoints.find(checkpoint_path)
    facts = model_facts.read(checkpoint)
    if facts is None:
      facts = model_facts.infer(checkpoint, model_name)
    elif model_name and model_name != facts.model_name:
      raise errors.InputError(
        f'--model_name={model_name} contradicts the {model_facts.FILE_NAME} of {checkpoint}, which'
        f' is of {facts.model_name}. Leave the flag out.'
      )
  return TrainedModel(checkpoint, facts, choose_weights(checkpoint, use_moving_averages))


def _find_released(model_name, mirror):
  if not model_name:
    raise errors.InputError(
      f'--checkpoint_path={releases.IMAGENET} needs --model_name, the net whose released'
      ' checkpoint is meant.'
    )
  checkpoint = releases.fetch(model_name, mirror)
  facts = model_facts.infer(checkpoint, model_name)
  release = releases.find_release(nets_factory.NETWORKS[model_name])
  known = {
    'image_size': release.image_size,
    'preprocessing_name': release.preprocessing,
    'labels_offset': release.labels_offset,
  }
  known = {name: value for name, value in known.items() if value is not None}
  return checkpoint, dataclasses.replace(facts, **known)


def has_averages(checkpoint):
  """Returns whether a checkpoint holds moving averages of weights."""
  ending = f'/{variable_scopes.MOVING_AVERAGE_SLOT}'
  return any(name.endswith(ending) for name in checkpoints.saved_shapes(checkpoint))


def choose_weights(checkpoint, use_moving_averages=None):
  """Returns whether the moving averages of a checkpoint are used; None: when it has them.

  Raises:
    InputError: when they are asked for and not there.
  """
  has_them = has_averages(checkpoint)
  if use_moving_averages and not has_them:
    raise errors.InputError(
      f'{checkpoint} holds no moving averages: leave --moving_average_decay and'
      ' --use_moving_averages out.'
    )
  return has_them if use_moving_averages is None else use_moving_averages


def build(trained, images):
  """Returns the models.Model that a TrainedModel makes of preprocessed images, for evaluation."""
  facts = trained.facts
  network_fn = nets_factory.get_network_fn(facts.model_name, facts.num_classes, is_training=False)
  return models.Model(*network_fn(images))


def plan_restore(checkpoint, uses_averages, num_classes=None):
  """Returns the checkpoints.RestorePlan of every variable of the net in the graph.

  Args:
    checkpoint: as checkpoints.find returned it.
    uses_averages: whether the variables get the moving averages.
    num_classes: as for checkpoints.plan_restore.

  Raises:
    InputError: when the checkpoint is of another net or lacks a variable.
  """
  variables = slim.get_model_variables()
  if uses_averages:
    # The decay only matters where averages are made.
    variables = checkpoints.make_moving_averages(decay=0.5).variables_to_restore(variables)
  plan = checkpoints.plan_restore(checkpoint, variables, num_classes=num_classes)
  if plan.missing:
    raise errors.InputError(
      f'{checkpoint} lacks {len(plan.missing)} variables of the net, such as'
      f' {plan.missing[0].op.name}. Choose the --model_name that it was made with.'
    )
  return plan


def make_restore_fn(trained):
  """Returns a function of a session that restores the net of the graph from a TrainedModel."""
  plan = plan_restore(trained.checkpoint, trained.uses_averages)
  return checkpoints.make_restore_fn(plan)
