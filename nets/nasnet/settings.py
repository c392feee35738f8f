"""The sizes and probabilities of a net of cells, which people change before they build it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from slimcompat import errors, tables

_TRUTH = {'true': True, '1': True, 'false': False, '0': False}


@dataclasses.dataclass(slots=True)
class Settings:
  """What a net of cells is built from.

  It has the methods of TensorFlow 1's HParams that slim's users call, and so is not frozen:

      config = nasnet.cifar_config()
      config.set_hparam('drop_path_keep_prob', 1.0)
      config.parse('num_cells=6,use_aux_head=0')
  """

  num_cells: int  # Cells after the stem; NASNet's reduction cells are not counted.
  num_conv_filters: int  # Filters of each operation in the first of those cells.
  stem_multiplier: float  # The factor on the filters of the first convolution.
  drop_path_keep_prob: float  # In the last cell when training ends, in (0, 1].
  dense_dropout_keep_prob: float  # The part of the features that dropout keeps, in (0, 1].
  skip_reduction_layer_input: bool  # Whether a halved cell's output skips the next cell.
  total_training_steps: int = 250_000  # Until dropping of paths has reached its full rate.
  filter_scaling_rate: float = 2.0  # The factor on the filters wherever the size is halved.
  num_reduction_layers: int = 2  # How often the cells after the stem halve the size.
  use_aux_head: bool = True  # Whether a second classifier trains the cells in the middle.
  use_bounded_activation: bool = False  # Whether all activations stay in [-6, 6].
  data_format: str = 'NHWC'  # Or 'NCHW', of the features; the images are always NHWC.

  def set_hparam(self, name: str, value: Any):
    """Sets one setting.

    Raises:
      InputError: when there is no such setting, or `value` is not of its type.
    """
    if name not in self.values():
      raise tables.UnknownNameError(tables.unknown_name('setting', name, self.values()))
    kind = type(getattr(self, name))
    converted = _converted(kind, value)
    if converted is None:
      raise errors.InputError(f'{name} is {value!r}; it must be of the type {kind.__name__}.')
    setattr(self, name, converted)

  def override_from_dict(self, values: Mapping[str, Any]) -> 'Settings':
    """Sets all of `values` and returns the settings; see `set_hparam`."""
    for name, value in values.items():
      self.set_hparam(name, value)
    return self

  def parse(self, text: str) -> 'Settings':
    """Sets what `text`, such as 'num_cells=6,use_aux_head=0', says, and returns the settings.

    Raises:
      InputError: as `set_hparam`, or when a part of `text` is not 'name=value'.
    """
    for part in filter(None, text.split(',')):
      name, separator, value = part.partition('=')
      if not separator:
        raise errors.InputError(f'The settings have the part {part!r}; write name=value.')
      self.set_hparam(name.strip(), value.strip())
    return self

  def values(self) -> dict[str, Any]:
    """Returns all settings by name."""
    return dataclasses.asdict(self)


def _converted(kind, value):
  """Returns `value` as one of `kind`, or None where that would change what it says."""
  if kind is bool:
    return _TRUTH.get(str(value).lower())
  if kind is str or isinstance(value, kind):
    return value if isinstance(value, kind) else None
  try:
    converted = kind(value)
  except (TypeError, ValueError):
    return None
  return converted if isinstance(value, str) or converted == value else None
