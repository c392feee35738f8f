"""PyTorch twins of two of slim's nets, doing the same work; needs torch, which nothing else does.

Run as people run it on a CPU: channels last, and bfloat16 by autocast. The weight decay is the
optimizer's, on all parameters.
"""

import torch
from torch import nn

from benchmarks import slim_runs, stopwatch

_WEIGHT_DECAY = 0.00004


def _conv(depth_in, depth, kernel, stride=1, activation=nn.ReLU, groups=1):
  layers = [
    nn.Conv2d(depth_in, depth, kernel, stride, kernel // 2, groups=groups, bias=False),
    nn.BatchNorm2d(depth),
  ]
  return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class _Unit(nn.Module):
  """A residual unit that strides in its 3x3 convolution."""

  def __init__(self, depth_in, depth, stride):
    super().__init__()
    self.shortcut = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
    if depth_in != 4 * depth:
      self.shortcut = _conv(depth_in, 4 * depth, 1, stride, activation=None)
    self.residual = nn.Sequential(
      _conv(depth_in, depth, 1),
      _conv(depth, depth, 3, stride),
      _conv(depth, 4 * depth, 1, activation=None),
    )

  def forward(self, net):
    return nn.functional.relu(self.shortcut(net) + self.residual(net))


def resnet_v1_50(num_classes):
  """Returns ResNet-50 with slim's strides: in the last unit of a block."""
  layers, depth_in = [_conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
  for depth, num_units, last_stride in ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1)):
    for unit in range(num_units):
      layers.append(_Unit(depth_in, depth, last_stride if unit == num_units - 1 else 1))
      depth_in = 4 * depth
  return _classifier(layers, depth_in, num_classes)


def mobilenet_v1(num_classes):
  """Returns MobileNet v1 of full width."""
  layers, depth_in = [_conv(3, 32, 3, 2, nn.ReLU6)], 32
  strides_and_depths = [(1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)]
  for stride, depth in [*strides_and_depths, *[(1, 512)] * 5, (2, 1024), (1, 1024)]:
    layers.append(_conv(depth_in, depth_in, 3, stride, nn.ReLU6, groups=depth_in))
    layers.append(_conv(depth_in, depth, 1, activation=nn.ReLU6))
    depth_in = depth
  return _classifier(layers, depth_in, num_classes)


NETS = {'resnet_v1_50': resnet_v1_50, 'mobilenet_v1': mobilenet_v1}


def _classifier(layers, depth, num_classes):
  return nn.Sequential(
    *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(depth, num_classes)
  )


def count_macs(model_name, num_classes=slim_runs.NUM_CLASSES):
  """Returns the multiply-accumulate operations for an image."""
  macs = []

  def add(layer, inputs, output):
    positions = output[0, 0].numel() if output.dim() == 4 else 1
    macs.append(positions * layer.weight.numel())

  model = NETS[model_name](num_classes).eval()
  for layer in model.modules():
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
      layer.register_forward_hook(add)
  model(torch.zeros(1, 3, 224, 224))
  return sum(macs)


def time_training(model_name, batch_size, seconds, precision='none'):
  """Returns the images/s of training steps on one batch of random images."""
  arrays = slim_runs.random_arrays(batch_size, 224)
  images, labels = map(torch.from_numpy, arrays)
  images = images.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
  model = NETS[model_name](slim_runs.NUM_CLASSES).to(memory_format=torch.channels_last).train()
  optimizer = torch.optim.SGD(
    model.parameters(),
    slim_runs.COMMON['learning_rate'],
    momentum=0.9,
    weight_decay=_WEIGHT_DECAY,
  )

  def run_step():
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bfloat16'):
      loss = nn.functional.cross_entropy(model(images).float(), labels)
    loss.backward()
    optimizer.step()

  return stopwatch.time_loop(run_step, seconds).result(images_per_step=batch_size)
