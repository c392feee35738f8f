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
  sha256: str | None = None  # Of the archive; None: not published.


_MODELS = 'http://download.tensorflow.org/models'
_MOBILENET_V2 = 'https://storage.googleapis.com/mobilenet_v2/checkpoints'
_MOBILENET_V3 = 'https://storage.googleapis.com/mobilenet_v3/checkpoints'
_NASNET = 'https://storage.googleapis.com/download.tensorflow.org/models'
# Made without ImageNet's background class 0.
_OFFSET = {'labels_offset': 1}
_AT_299 = {'image_size': 299, 'preprocessing': 'inception'}

# Accuracies: https://github.com/tensorflow/models/tree/master/research/slim, "Pre-trained Models",
# and its page on MobileNets. SHA-256: Open Model Zoo (Inception V1 and MobileNet V2) and a public
# Yocto recipe (MobileNets), which agree on MobileNet V2.
CHECKPOINTS = {
  'vgg_16': (Checkpoint('VGG 16', f'{_MODELS}/vgg_16_2016_08_28.tar.gz', 71.5, 89.8, **_OFFSET),),
  'vgg_19': (Checkpoint('VGG 19', f'{_MODELS}/vgg_19_2016_08_28.tar.gz', 71.1, 89.8, **_OFFSET),),
  'inception_v1': (
    Checkpoint(
      'Inception V1',
      f'{_MODELS}/inception_v1_2016_08_28.tar.gz',
      69.8,
      89.6,
      sha256='7a620c430fcaba8f8f716241f5148c4c47c035cce4e49ef02cfbe6cd1adf96a6',
    ),
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
      sha256='1ccb74dbd9c5f7aea879120614e91617db9534bdfaa53dfea54b7c14162e126b',
    ),
  ),
  'mobilenet_v1_050': (
    Checkpoint(
      'MobileNet_v1_0.50_160',
      f'{_MODELS}/mobilenet_v1_2018_02_22/mobilenet_v1_0.5_160.tgz',
      59.1,
      81.9,
      image_size=160,
      sha256='fb01b76ca1fb053e5f98d297e21c6c53d0d9f6a8b02ad2e88ac22b33b2adf729',
    ),
  ),
  'mobilenet_v1_025': (
    Checkpoint(
      'MobileNet_v1_0.25_128',
      f'{_MODELS}/mobilenet_v1_2018_02_22/mobilenet_v1_0.25_128.tgz',
      41.5,
      66.3,
      image_size=128,
      sha256='34c52de7562259f66399993ef5ea222cc625d2e6f6f886a01fdc6cc99a0c7ee6',
    ),
  ),
  'mobilenet_v2': (
    Checkpoint(
      'MobileNet_v2_1.0_224',
      f'{_MOBILENET_V2}/mobilenet_v2_1.0_224.tgz',
      71.9,
      91.0,
      sha256='318084bc1b63d6d7b854553e09cdf77078b1c0168be27c59a0d44253b5ed49dc',
    ),
  ),
  'mobilenet_v2_140': (
    Checkpoint(
      'MobileNet_v2_1.4_224',
      f'{_MOBILENET_V2}/mobilenet_v2_1.4_224.tgz',
      74.9,
      92.5,
      sha256='a20d0c8d698502dc6a620528871c97a588885df7737556243a3412b39fce85e0',
    ),
  ),
  'mobilenet_v3_small': (
    Checkpoint(
      'MobileNet_v3_small_1.0_224',
      f'{_MOBILENET_V3}/v3-small_224_1.0_float.tgz',
      67.5,
      sha256='e60ad9f450f892ae56f8b9122ffc750d88940d9e6b63f6dc70649179fb3a9065',
    ),
  ),
  'mobilenet_v3_large': (
    Checkpoint(
      'MobileNet_v3_large_1.0_224',
      f'{_MOBILENET_V3}/v3-large_224_1.0_float.tgz',
      75.2,
      sha256='9be8563f92022f412c82f2811d670888d6db998e2da9af3e71415fdde2f4f504',
    ),
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
