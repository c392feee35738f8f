"""The weights that were released for the nets, trained on ImageNet, by the net's name."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Checkpoint:
  """Weights released for a net; what is not None differs from the net's own row."""

  name: str
  url: str
  top1: float  # Percent of ImageNet's validation images, one centre crop, as released.
  top5: float | None = None  # None: not published.
  image_size: int | None = None
  preprocessing: str | None = None
  labels_offset: int | None = None


_MODELS = 'http://download.tensorflow.org/models'
_MOBILENET_V2 = 'https://storage.googleapis.com/mobilenet_v2/checkpoints'
_MOBILENET_V3 = 'https://storage.googleapis.com/mobilenet_v3/checkpoints'
_NASNET = 'https://storage.googleapis.com/download.tensorflow.org/models'
# Made without ImageNet's background class 0.
_OFFSET = {'labels_offset': 1}
_AT_299 = {'image_size': 299, 'preprocessing': 'inception'}

# Accuracies: https://github.com/tensorflow/models/tree/master/research/slim, "Pre-trained Models",
# and its page on MobileNets.
CHECKPOINTS = {
  'vgg_16': (Checkpoint('VGG 16', f'{_MODELS}/vgg_16_2016_08_28.tar.gz', 71.5, 89.8, **_OFFSET),),
  'vgg_19': (Checkpoint('VGG 19', f'{_MODELS}/vgg_19_2016_08_28.tar.gz', 71.1, 89.8, **_OFFSET),),
  'inception_v1': (
    Checkpoint('Inception V1', f'{_MODELS}/inception_v1_2016_08_28.tar.gz', 69.8, 89.6),
  ),
  'inception_v2': (
    Checkpoint('Inception V2', f'{_MODELS}/inception_v2_2016_08_28.tar.gz', 73.9, 91.8),
  ),
  'inception_v3': (
    Checkpoint('Inception V3', f'{_MODELS}/inception_v3_2016_08_28.tar.gz', 78.0, 93.9),
  ),
  'inception_v4': (
    Checkpoint('Inception V4', f'{_MODELS}/inception_v4_2016_09_09.tar.gz', 80.2, 95.2),
  ),
  'inception_resnet_v2': (
    Checkpoint(
      'Inception-ResNet-v2', f'{_MODELS}/inception_resnet_v2_2016_08_30.tar.gz', 80.4, 95.3
    ),
  ),
  'resnet_v1_50': (
    Checkpoint('ResNet V1 50', f'{_MODELS}/resnet_v1_50_2016_08_28.tar.gz', 75.2, 92.2, **_OFFSET),
  ),
  'resnet_v1_101': (
    Checkpoint(
      'ResNet V1 101', f'{_MODELS}/resnet_v1_101_2016_08_28.tar.gz', 76.4, 92.9, **_OFFSET
    ),
  ),
  'resnet_v1_152': (
    Checkpoint(
      'ResNet V1 152', f'{_MODELS}/resnet_v1_152_2016_08_28.tar.gz', 76.8, 93.2, **_OFFSET
    ),
  ),
  'resnet_v2_50': (
    Checkpoint('ResNet V2 50', f'{_MODELS}/resnet_v2_50_2017_04_14.tar.gz', 75.6, 92.8, **_AT_299),
  ),
  'resnet_v2_101': (
    Checkpoint(
      'ResNet V2 101', f'{_MODELS}/resnet_v2_101_2017_04_14.tar.gz', 77.0, 93.7, **_AT_299
    ),
  ),
  'resnet_v2_152': (
    Checkpoint(
      'ResNet V2 152', f'{_MODELS}/resnet_v2_152_2017_04_14.tar.gz', 77.8, 94.1, **_AT_299
    ),
  ),
  'mobilenet_v1': (
    Checkpoint(
      'MobileNet_v1_1.0_224',
      f'{_MODELS}/mobilenet_v1_2018_02_22/mobilenet_v1_1.0_224.tgz',
      70.9,
      89.9,
    ),
  ),
  'mobilenet_v1_050': (
    Checkpoint(
      'MobileNet_v1_0.50_160',
      f'{_MODELS}/mobilenet_v1_2018_02_22/mobilenet_v1_0.5_160.tgz',
      59.1,
      81.9,
      image_size=160,
    ),
  ),
  'mobilenet_v1_025': (
    Checkpoint(
      'MobileNet_v1_0.25_128',
      f'{_MODELS}/mobilenet_v1_2018_02_22/mobilenet_v1_0.25_128.tgz',
      41.5,
      66.3,
      image_size=128,
    ),
  ),
  'mobilenet_v2': (
    Checkpoint('MobileNet_v2_1.0_224', f'{_MOBILENET_V2}/mobilenet_v2_1.0_224.tgz', 71.9, 91.0),
  ),
  'mobilenet_v2_140': (
    Checkpoint('MobileNet_v2_1.4_224', f'{_MOBILENET_V2}/mobilenet_v2_1.4_224.tgz', 74.9, 92.5),
  ),
  'mobilenet_v3_small': (
    Checkpoint('MobileNet_v3_small_1.0_224', f'{_MOBILENET_V3}/v3-small_224_1.0_float.tgz', 67.5),
  ),
  'mobilenet_v3_large': (
    Checkpoint('MobileNet_v3_large_1.0_224', f'{_MOBILENET_V3}/v3-large_224_1.0_float.tgz', 75.2),
  ),
  'mobilenet_v3_small_minimalistic': (
    Checkpoint(
      'MobileNet_v3_small_minimalistic_224',
      f'{_MOBILENET_V3}/v3-small-minimalistic_224_1.0_float.tgz',
      61.9,
    ),
  ),
  'mobilenet_v3_large_minimalistic': (
    Checkpoint(
      'MobileNet_v3_large_minimalistic_224',
      f'{_MOBILENET_V3}/v3-large-minimalistic_224_1.0_float.tgz',
      72.3,
    ),
  ),
  'nasnet_mobile': (
    Checkpoint('NASNet-A_Mobile_224', f'{_NASNET}/nasnet-a_mobile_04_10_2017.tar.gz', 74.0, 91.6),
  ),
  'nasnet_large': (
    Checkpoint('NASNet-A_Large_331', f'{_NASNET}/nasnet-a_large_04_10_2017.tar.gz', 82.7, 96.2),
  ),
  'pnasnet_large': (
    Checkpoint('PNASNet-5_Large_331', f'{_NASNET}/pnasnet-5_large_2017_12_13.tar.gz', 82.9, 96.2),
  ),
  'pnasnet_mobile': (
    Checkpoint('PNASNet-5_Mobile_224', f'{_NASNET}/pnasnet-5_mobile_2017_12_13.tar.gz', 74.2, 91.9),
  ),
}
