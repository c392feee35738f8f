"""VGG beyond its 224x224 pixels, and the layers it shares with AlexNet and OverFeat."""

import pytest

from nets import vgg
from slimcompat import errors, tf


def images(height, width):
  return tf.placeholder(tf.float32, [2, height, width, 3])


def test_names_of_the_paper():
  assert vgg.vgg_d is vgg.vgg_16
  assert vgg.vgg_e is vgg.vgg_19


def test_larger_images_give_a_map_of_logits():
  logits, _ = vgg.vgg_a(images(256, 320), num_classes=10, spatial_squeeze=False)
  assert logits.shape == [2, 2, 4, 10]


def test_global_pool_makes_one_position_of_any_size():
  logits, end_points = vgg.vgg_a(images(None, 320), num_classes=10, global_pool=True)
  assert logits.shape == [2, 10]
  assert end_points['global_pool'].shape == [2, 1, 1, 4096]


def test_refuses_to_squeeze_a_map():
  with pytest.raises(errors.InputError, match=r'2x4 positions of logits.*global_pool=True'):
    vgg.vgg_a(images(256, 320), num_classes=10)


def test_same_padding_admits_small_images():
  logits, _ = vgg.vgg_a(images(32, 63), num_classes=10, fc_conv_padding='SAME')
  assert logits.shape == [2, 10]
  with pytest.raises(errors.InputError, match='31x64 pixels, smaller than the 32x32'):
    vgg.vgg_a(images(31, 64), num_classes=10, fc_conv_padding='SAME')


def test_refuses_another_padding():
  with pytest.raises(errors.InputError, match=r"no fc_conv_padding 'VALD'. Did you mean 'VALID'"):
    vgg.vgg_a(images(224, 224), fc_conv_padding='VALD')


@pytest.mark.parametrize('num_classes', [0, None])
def test_no_classes_give_features(num_classes):
  features, end_points = vgg.vgg_a(images(224, 224), num_classes)
  assert features.shape == [2, 1, 1, 4096]
  assert features is end_points['vgg_a/fc7']
  assert not tf.global_variables('vgg_a/fc8')
