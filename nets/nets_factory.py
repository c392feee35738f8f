"""The zoo: every net that can be picked by name, one row each.

    network_fn = nets_factory.get_network_fn('resnet_v1_50', num_classes=1000, is_training=True)
    logits, end_points = network_fn(images)

A net of one's own, written as for slim, joins with one call and is then found everywhere:

    nets_factory.register(nets_factory.Network('my_net', my_net.my_net, my_net.my_net_arg_scope))
"""

import collections.abc
import dataclasses
import functools
import inspect
from collections.abc import Callable

from nets import (
  alexnet,
  cifarnet,
  i3d,
  inception,
  lenet,
  mobilenet_v1,
  overfeat,
  released_checkpoints,
  resnet_v1,
  resnet_v2,
  s3dg,
  vgg,
)
from nets.mobilenet import mobilenet_v2, mobilenet_v3
from nets.nasnet import nasnet, pnasnet
from slimcompat import errors, garbage, slim, tables


@dataclasses.dataclass(frozen=True)
class Network:
  """A net and what goes with it."""

  name: str
  # function(images, num_classes=, is_training=, reuse=, scope=) -> (logits, end_points)
  function: Callable
  arg_scope: Callable  # arg_scope(weight_decay=) -> the scope to build the function under.
  preprocessing: str = 'inception'  # A row of preprocessing_factory.PREPROCESSINGS.
  paper: str = ''  # Authors, year, URL.
  # Variable scopes whose shapes depend on the number of classes, for fine-tuning to leave out.
  classifier_scopes: tuple[str, ...] = ()
  checkpoints: tuple[released_checkpoints.Checkpoint, ...] = ()
  # Subtracted from a data set's labels: 1 where they count a background class the net lacks.
  labels_offset: int = 0
  is_video: bool = False  # Takes [batch, frames, height, width, channels].
  num_channels: int = 3  # Of the images the net was designed for.
  # Pixels per side the net was designed for; None takes it from function.default_image_size.
  image_size: int | None = None

  def __post_init__(self):
    if self.image_size is not None:
      return
    try:
      object.__setattr__(self, 'image_size', self.function.default_image_size)
    except AttributeError:
      raise errors.InputError(
        f'The net {self.name!r} has no image size; pass image_size=224, say, or set'
        ' default_image_size on its function.'
      ) from None

  @property
  def has_batch_norm_decay(self) -> bool:
    """Whether the arg scope can be given a decay of batch norm's moving statistics."""
    return 'batch_norm_decay' in inspect.signature(self.arg_scope).parameters


_VGG = {
  'arg_scope': vgg.vgg_arg_scope,
  'preprocessing': 'vgg',
  'paper': 'K. Simonyan and A. Zisserman, 2014, https://arxiv.org/abs/1409.1556',
}
_RESNET_V1 = {
  'arg_scope': resnet_v1.resnet_arg_scope,
  'preprocessing': 'vgg',
  'paper': 'K. He, X. Zhang, S. Ren and J. Sun, 2015, https://arxiv.org/abs/1512.03385',
}
_RESNET_V2 = {
  'arg_scope': resnet_v2.resnet_arg_scope,
  'preprocessing': 'vgg',
  'paper': 'K. He, X. Zhang, S. Ren and J. Sun, 2016, https://arxiv.org/abs/1603.05027',
}
_MOBILENET_V1 = {
  'arg_scope': mobilenet_v1.mobilenet_v1_arg_scope,
  'preprocessing': 'inception',
  'paper': 'A. G. Howard et al., 2017, https://arxiv.org/abs/1704.04861',
  'classifier_scopes': ('MobilenetV1/Logits',),
}
_MOBILENET_V2 = {
  'arg_scope': mobilenet_v2.training_scope,
  'preprocessing': 'inception',
  'paper': 'M. Sandler et al., 2018, https://arxiv.org/abs/1801.04381',
  'classifier_scopes': ('MobilenetV2/Logits',),
}
_MOBILENET_V3 = {
  'arg_scope': mobilenet_v3.training_scope,
  'preprocessing': 'inception',
  'paper': 'A. Howard et al., 2019, https://arxiv.org/abs/1905.02244',
  'classifier_scopes': ('MobilenetV3/Logits',),
}
_MOBILENET_EDGETPU = {
  'arg_scope': mobilenet_v3.training_scope,
  'preprocessing': 'inception',
  'paper': 'S. Gupta and B. Akin, 2020, https://arxiv.org/abs/2003.02838',
  'classifier_scopes': ('MobilenetEdgeTPU/Logits',),
}
_NASNET_PAPER = (
  'B. Zoph, V. Vasudevan, J. Shlens and Q. V. Le, 2017, https://arxiv.org/abs/1707.07012'
)
_PNASNET_PAPER = 'C. Liu et al., 2017, https://arxiv.org/abs/1712.00559'

_ROWS = [
  Network(
    'alexnet_v2',
    alexnet.alexnet_v2,
    alexnet.alexnet_v2_arg_scope,
    preprocessing='vgg',
    paper='A. Krizhevsky, 2014, https://arxiv.org/abs/1404.5997',
    classifier_scopes=('alexnet_v2/fc8',),
  ),
  Network(
    'cifarnet',
    cifarnet.cifarnet,
    cifarnet.cifarnet_arg_scope,
    preprocessing='cifarnet',
    paper='A. Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf',
    classifier_scopes=('CifarNet/logits',),
  ),
  Network(
    'overfeat',
    overfeat.overfeat,
    overfeat.overfeat_arg_scope,
    preprocessing='vgg',
    paper='P. Sermanet et al., 2013, https://arxiv.org/abs/1312.6229',
    classifier_scopes=('overfeat/fc8',),
  ),
  Network('vgg_a', vgg.vgg_a, **_VGG, classifier_scopes=('vgg_a/fc8',)),
  Network('vgg_16', vgg.vgg_16, **_VGG, classifier_scopes=('vgg_16/fc8',)),
  Network('vgg_19', vgg.vgg_19, **_VGG, classifier_scopes=('vgg_19/fc8',)),
  Network(
    'inception_v1',
    inception.inception_v1,
    inception.inception_v1_arg_scope,
    preprocessing='inception',
    paper='C. Szegedy et al., 2014, https://arxiv.org/abs/1409.4842',
    classifier_scopes=('InceptionV1/Logits',),
  ),
  Network(
    'inception_v2',
    inception.inception_v2,
    inception.inception_v2_arg_scope,
    preprocessing='inception',
    paper='S. Ioffe and C. Szegedy, 2015, https://arxiv.org/abs/1502.03167',
    classifier_scopes=('InceptionV2/Logits',),
  ),
  Network(
    'inception_v3',
    inception.inception_v3,
    inception.inception_v3_arg_scope,
    preprocessing='inception',
    paper='C. Szegedy et al., 2015, https://arxiv.org/abs/1512.00567',
    classifier_scopes=('InceptionV3/Logits', 'InceptionV3/AuxLogits'),
  ),
  Network(
    'inception_v4',
    inception.inception_v4,
    inception.inception_v4_arg_scope,
    preprocessing='inception',
    paper='C. Szegedy et al., 2016, https://arxiv.org/abs/1602.07261',
    classifier_scopes=('InceptionV4/Logits', 'InceptionV4/AuxLogits'),
  ),
  Network(
    'inception_resnet_v2',
    inception.inception_resnet_v2,
    inception.inception_resnet_v2_arg_scope,
    preprocessing='inception',
    paper='C. Szegedy et al., 2016, https://arxiv.org/abs/1602.07261',
    classifier_scopes=('InceptionResnetV2/Logits', 'InceptionResnetV2/AuxLogits'),
  ),
  Network(
    'i3d',
    i3d.i3d,
    i3d.i3d_arg_scope,
    paper='J. Carreira and A. Zisserman, 2017, https://arxiv.org/abs/1705.07750',
    classifier_scopes=('InceptionV1/Logits',),
    is_video=True,
  ),
  Network(
    's3dg',
    s3dg.s3dg,
    s3dg.s3dg_arg_scope,
    paper='S. Xie, C. Sun, J. Huang, Z. Tu and K. Murphy, 2017, https://arxiv.org/abs/1712.04851',
    classifier_scopes=('InceptionV1/Logits',),
    is_video=True,
  ),
  Network(
    'lenet',
    lenet.lenet,
    lenet.lenet_arg_scope,
    preprocessing='lenet',
    paper='Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, 1998,'
    ' http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf',
    classifier_scopes=('LeNet/fc4',),
    num_channels=1,
  ),
  Network(
    'resnet_v1_50',
    resnet_v1.resnet_v1_50,
    **_RESNET_V1,
    classifier_scopes=('resnet_v1_50/logits',),
  ),
  Network(
    'resnet_v1_101',
    resnet_v1.resnet_v1_101,
    **_RESNET_V1,
    classifier_scopes=('resnet_v1_101/logits',),
  ),
  Network(
    'resnet_v1_152',
    resnet_v1.resnet_v1_152,
    **_RESNET_V1,
    classifier_scopes=('resnet_v1_152/logits',),
  ),
  Network(
    'resnet_v1_200',
    resnet_v1.resnet_v1_200,
    **_RESNET_V1,
    classifier_scopes=('resnet_v1_200/logits',),
  ),
  Network(
    'resnet_v2_50',
    resnet_v2.resnet_v2_50,
    **_RESNET_V2,
    classifier_scopes=('resnet_v2_50/logits',),
  ),
  Network(
    'resnet_v2_101',
    resnet_v2.resnet_v2_101,
    **_RESNET_V2,
    classifier_scopes=('resnet_v2_101/logits',),
  ),
  Network(
    'resnet_v2_152',
    resnet_v2.resnet_v2_152,
    **_RESNET_V2,
    classifier_scopes=('resnet_v2_152/logits',),
  ),
  Network(
    'resnet_v2_200',
    resnet_v2.resnet_v2_200,
    **_RESNET_V2,
    classifier_scopes=('resnet_v2_200/logits',),
  ),
  Network('mobilenet_v1', mobilenet_v1.mobilenet_v1, **_MOBILENET_V1),
  Network('mobilenet_v1_075', mobilenet_v1.mobilenet_v1_075, **_MOBILENET_V1),
  Network('mobilenet_v1_050', mobilenet_v1.mobilenet_v1_050, **_MOBILENET_V1),
  Network('mobilenet_v1_025', mobilenet_v1.mobilenet_v1_025, **_MOBILENET_V1),
  Network('mobilenet_v2', mobilenet_v2.mobilenet, **_MOBILENET_V2),
  Network('mobilenet_v2_140', mobilenet_v2.mobilenet_v2_140, **_MOBILENET_V2),
  Network('mobilenet_v2_050', mobilenet_v2.mobilenet_v2_050, **_MOBILENET_V2),
  Network('mobilenet_v2_035', mobilenet_v2.mobilenet_v2_035, **_MOBILENET_V2),
  Network('mobilenet_v3_small', mobilenet_v3.small, **_MOBILENET_V3),
  Network('mobilenet_v3_large', mobilenet_v3.large, **_MOBILENET_V3),
  Network('mobilenet_v3_small_minimalistic', mobilenet_v3.small_minimalistic, **_MOBILENET_V3),
  Network('mobilenet_v3_large_minimalistic', mobilenet_v3.large_minimalistic, **_MOBILENET_V3),
  Network('mobilenet_edgetpu', mobilenet_v3.edge_tpu, **_MOBILENET_EDGETPU),
  Network('mobilenet_edgetpu_075', mobilenet_v3.edge_tpu_075, **_MOBILENET_EDGETPU),
  Network(
    'nasnet_cifar',
    nasnet.build_nasnet_cifar,
    nasnet.nasnet_cifar_arg_scope,
    preprocessing='cifarnet',
    paper=_NASNET_PAPER,
    classifier_scopes=('final_layer/FC', 'aux_11/aux_logits/FC'),
  ),
  Network(
    'nasnet_mobile',
    nasnet.build_nasnet_mobile,
    nasnet.nasnet_mobile_arg_scope,
    paper=_NASNET_PAPER,
    classifier_scopes=('final_layer/FC', 'aux_7/aux_logits/FC'),
  ),
  Network(
    'nasnet_large',
    nasnet.build_nasnet_large,
    nasnet.nasnet_large_arg_scope,
    paper=_NASNET_PAPER,
    classifier_scopes=('final_layer/FC', 'aux_11/aux_logits/FC'),
  ),
  Network(
    'pnasnet_large',
    pnasnet.build_pnasnet_large,
    pnasnet.pnasnet_large_arg_scope,
    paper=_PNASNET_PAPER,
    classifier_scopes=('final_layer/FC', 'aux_7/aux_logits/FC'),
  ),
  Network(
    'pnasnet_mobile',
    pnasnet.build_pnasnet_mobile,
    pnasnet.pnasnet_mobile_arg_scope,
    paper=_PNASNET_PAPER,
    classifier_scopes=('final_layer/FC', 'aux_5/aux_logits/FC'),
  ),
]
NETWORKS = tables.Table(
  'net',
  [
    dataclasses.replace(row, checkpoints=released_checkpoints.CHECKPOINTS.get(row.name, ()))
    for row in _ROWS
  ],
)


def register(network: Network) -> Network:
  """Adds a row to the zoo and returns it. Raises InputError when its name is taken."""
  return NETWORKS.register(network)


class _Column(collections.abc.Mapping):
  """One field of every row, by the row's name; rows registered later show, too."""

  def __init__(self, field):
    self._field = field

  def __getitem__(self, name):
    return getattr(NETWORKS[name], self._field)

  def __iter__(self):
    return iter(NETWORKS)

  def __len__(self):
    return len(NETWORKS)


networks_map = _Column('function')
arg_scopes_map = _Column('arg_scope')


def get_network_fn(
  name: str,
  num_classes: int | None,
  weight_decay: float = 0.0,
  is_training: bool = False,
  batch_norm_decay: float | None = None,
) -> Callable:
  """Returns the function that builds a net under its arg scope.

  Args:
    name: a row of NETWORKS.
    num_classes: the number of logits; 0 or None gives the net's features instead.
    weight_decay: the weight of the L2 losses that the net adds to the regularization losses.
    is_training: whether dropout drops and batch norm uses and averages the batch's statistics.
    batch_norm_decay: the decay of those averages, in [0, 1); None leaves the net's own.

  Returns:
    network_fn(images, **kwargs) -> (logits, end_points), with the further arguments of the net's
    own function, and with `default_image_size`, in pixels per side.

  Raises:
    InputError: when there is no such net, the number of classes is negative, or
      `batch_norm_decay` is out of range or given for a net that cannot take it.
  """
  network = NETWORKS[name]
  if num_classes and num_classes < 1:
    raise errors.InputError(
      f'num_classes is {num_classes}; a classifier needs 2 or more, and one number that is learnt'
      " needs 1. Use 0 or None for the net's features."
    )
  scope_settings = {'weight_decay': weight_decay}
  if batch_norm_decay is not None:
    if not network.has_batch_norm_decay:
      raise errors.InputError(
        f'batch_norm_decay is {batch_norm_decay}, but the net {name!r} has no batch norm to apply'
        ' it to. Leave it unset.'
      )
    if not 0 <= batch_norm_decay < 1:
      raise errors.InputError(
        f'batch_norm_decay is {batch_norm_decay}; it must be at least 0 and below 1, such as 0.9.'
      )
    scope_settings['batch_norm_decay'] = batch_norm_decay

  @functools.wraps(network.function)
  def network_fn(images, **kwargs):
    with garbage.not_collected(), slim.arg_scope(network.arg_scope(**scope_settings)):
      return network.function(images, num_classes=num_classes, is_training=is_training, **kwargs)

  network_fn.default_image_size = network.image_size
  return network_fn
