"""PNASNet-5: one cell, found by search in order of growing size, that also halves the size.

C. Liu et al., "Progressive Neural Architecture Search", 2017, https://arxiv.org/abs/1712.00559:
figure 1 (the cell and how it stacks) and section 5 (216 filters and 4 cells between reductions
for the large net, 54 and 3 for the mobile one). As in the authors' release, which is NASNet's
frame around this cell: two strided cells after the first convolution, and a second classifier
before the last reduction.
"""

from nets.nasnet import nasnet, nasnet_utils, settings


class PNasNetNormalCell(nasnet_utils.TableCell):
  """PNASNet-5's cell: figure 1 of the paper, left."""

  table = nasnet_utils.CellTable(
    combinations=[
      nasnet_utils.Combination(1, 'separable_5x5_2', 1, 'max_pool_3x3'),
      nasnet_utils.Combination(0, 'separable_7x7_2', 0, 'max_pool_3x3'),
      nasnet_utils.Combination(0, 'separable_5x5_2', 0, 'separable_3x3_2'),
      nasnet_utils.Combination(4, 'separable_3x3_2', 0, 'max_pool_3x3'),
      nasnet_utils.Combination(1, 'separable_3x3_2', 0, 'none'),
    ],
    outputs=[2, 3, 4, 5, 6],
  )


def large_imagenet_config() -> settings.Settings:
  """Returns the settings of `build_pnasnet_large`: N=4, F=216 of the paper's table 5."""
  return settings.Settings(
    num_cells=12,
    num_conv_filters=216,
    stem_multiplier=3.0,
    drop_path_keep_prob=0.6,
    dense_dropout_keep_prob=0.5,
    skip_reduction_layer_input=True,
  )


def mobile_imagenet_config() -> settings.Settings:
  """Returns the settings of `build_pnasnet_mobile`: N=3, F=54 of the paper's table 4."""
  return settings.Settings(
    num_cells=9,
    num_conv_filters=54,
    stem_multiplier=1.0,
    drop_path_keep_prob=1.0,
    dense_dropout_keep_prob=0.5,
    skip_reduction_layer_input=True,
  )


def pnasnet_large_arg_scope(
  weight_decay: float = 4e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-3
) -> dict:
  """Returns the arg scope for `build_pnasnet_large`; see `nasnet.nasnet_large_arg_scope`."""
  return nasnet.nasnet_large_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def pnasnet_mobile_arg_scope(
  weight_decay: float = 4e-5, batch_norm_decay: float = 0.9997, batch_norm_epsilon: float = 1e-3
) -> dict:
  """Returns the arg scope for `build_pnasnet_mobile`; see `nasnet.nasnet_mobile_arg_scope`."""
  return nasnet.nasnet_mobile_arg_scope(weight_decay, batch_norm_decay, batch_norm_epsilon)


def _places(config):
  """Returns the places of the cells; a strided one halves the size."""
  reductions = nasnet_utils.calc_reduction_layers(config.num_cells, config.num_reduction_layers)
  places = []
  scaling = 1.0
  for index in range(config.num_cells):
    stride, previous = 1, -2
    if index in reductions:
      stride = 2
      scaling *= config.filter_scaling_rate
      previous = -2 if config.skip_reduction_layer_input else -3
    places.append(nasnet.Place(f'cell_{index}', f'Cell_{index}', stride, scaling, previous))
  return places


_DESIGN = nasnet.Design({1: PNasNetNormalCell, 2: PNasNetNormalCell}, _places)
build_pnasnet_large = nasnet.imagenet_net(
  'build_pnasnet_large', large_imagenet_config, _DESIGN, image_size=331
)
build_pnasnet_mobile = nasnet.imagenet_net(
  'build_pnasnet_mobile', mobile_imagenet_config, _DESIGN, image_size=224
)
