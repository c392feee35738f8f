"""Which net a checkpoint looks like."""

import json

import pytest

from nets import nets_factory
from slimtrain import variants

# The others take seconds each.
QUICK = ('cifarnet', 'lenet', 'mobilenet_v1_025', 'resnet_v1_50', 's3dg', 'vgg_19')


def golden_shapes(goldens, name):
  golden = json.loads((goldens / 'nets' / f'{name}.json').read_text())
  return dict(golden['variables']), golden['input_shape'][-1]


@pytest.mark.parametrize(
  'name',
  [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in nets_factory.NETWORKS
  ],
)
def test_every_net_is_known_by_its_variables(name, goldens):
  shapes, num_channels = golden_shapes(goldens, name)
  assert variants.find(shapes) == (name, num_channels)


def test_the_optimizers_variables_do_not_matter(goldens):
  shapes, _ = golden_shapes(goldens, 'mobilenet_v1_025')
  slots = {f'{name}/Momentum': shape for name, shape in shapes.items()}
  assert variants.find({**shapes, **slots, 'global_step': []}) == ('mobilenet_v1_025', 3)


def test_the_classifier_may_be_missing(goldens):
  shapes, _ = golden_shapes(goldens, 'cifarnet')
  body = {name: shape for name, shape in shapes.items() if '/logits/' not in name}
  assert variants.find(body) == ('cifarnet', 3)


@pytest.mark.parametrize(
  'change',
  [{'CifarNet/fc4/biases': [191]}, {'CifarNet/logits/weights': [191, 10]}],
  ids=['body', 'classifier'],
)
def test_no_net_fits(goldens, change):
  shapes, _ = golden_shapes(goldens, 'cifarnet')
  assert variants.find({**shapes, **change}) is None


def test_nothing_is_like_no_net():
  assert variants.find({}) is None
