"""Parameters and MACs of nets, against counts of TensorFlow 1.15's graphs and by hand."""

import pathlib
import re

import pytest

from nets import __main__ as command
from nets import costs, nets_factory

README = (pathlib.Path(__file__).resolve().parents[2] / 'README.md').read_text()
ROWS = dict(re.findall(r'^(\| (\w+) \| .*\|)$', README, re.MULTILINE))
ROWS = {name: line for line, name in ROWS.items() if name in nets_factory.NETWORKS}
# Quick to build, and one with a second head, a kernel that is not square, groups of channels.
QUICK = ('lenet', 'cifarnet', 'alexnet_v2', 'mobilenet_v1_025', 'vgg_16', 'resnet_v1_50')


@pytest.mark.parametrize(
  ('name', 'gmacs'),
  # Counted in the original's graphs under TensorFlow 1.15.
  [('vgg_16', 15.470), ('resnet_v1_50', 3.482), ('inception_v3', 5.719), ('mobilenet_v1', 0.569)],
)
def test_gmacs(name, gmacs):
  assert sum(layer.num_macs for layer in costs.list_layers(name)) / 1e9 == pytest.approx(
    gmacs, abs=0.0005
  )


def test_layers_of_lenet():
  assert costs.list_layers('lenet') == [
    costs.Layer('LeNet/conv1', (28, 28, 32), 5 * 5 * 32 + 32, 28 * 28 * 5 * 5 * 32),
    costs.Layer('LeNet/conv2', (14, 14, 64), 5 * 5 * 32 * 64 + 64, 14 * 14 * 5 * 5 * 32 * 64),
    costs.Layer('LeNet/fc3', (1024,), 3136 * 1024 + 1024, 3136 * 1024),
    costs.Layer('LeNet/fc4', (10,), 1024 * 10 + 10, 1024 * 10),
  ]


def test_batch_norm_counts_with_its_layer():
  layers = {layer.scope: layer for layer in costs.list_layers('mobilenet_v1_025')}
  depthwise = layers['MobilenetV1/Conv2d_1_depthwise']
  # Of 8 channels: 3x3 weights, gamma and beta; the moving statistics are not trained.
  assert depthwise.num_parameters == 8 * (9 + 2)
  assert depthwise.num_macs == 112 * 112 * 8 * 9


def test_readme_shows_every_net():
  assert list(ROWS) == list(nets_factory.NETWORKS)


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in nets_factory.NETWORKS
  ],
)
def test_readme_shows_what_the_command_prints(name):
  *_, row = command.zoo_table([name])
  assert ROWS[name] == row


def test_command_prints_one_net(capsys):
  assert command.main(['lenet']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 6
  assert lines[1].split() == ['LeNet/conv1', '28x28x32', '832', '627,200']
  assert lines[-1].split() == ['total', '3,274,634', f'{13_883_904:,}']


def test_command_refuses_in_a_sentence(capsys):
  assert command.main(['lenett']) == 1
  assert "Did you mean 'lenet'?" in capsys.readouterr().err
  assert command.main(['lenet', 'vgg_16']) == 1
