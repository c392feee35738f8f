"""AlexNet and OverFeat on images of other sizes than their own."""

import pytest

from nets import alexnet, overfeat
from slimcompat import errors, tf

# The least size in pixels, and the size that gives 2x2 positions of logits.
NETS = {'alexnet_v2': (alexnet.alexnet_v2, 195, 227), 'overfeat': (overfeat.overfeat, 231, 263)}


@pytest.fixture(params=NETS)
def row(request):
  return NETS[request.param]


def test_least_size(row):
  net_fn, least, _ = row
  assert net_fn(tf.zeros([1, least, least, 3]), 5)[0].shape == [1, 5]
  with pytest.raises(errors.InputError, match=f'{least - 1}x{least} pixels.*{least}x{least}'):
    net_fn(tf.zeros([1, least - 1, least, 3]), 5)


def test_larger_images(row):
  net_fn, _, larger = row
  images = tf.zeros([1, larger, larger, 3])
  with pytest.raises(errors.InputError, match='2x2 positions'):
    net_fn(images, 5)
  logits, _ = net_fn(images, 5, spatial_squeeze=False, scope='map')
  assert logits.shape == [1, 2, 2, 5]
  logits, end_points = net_fn(images, 5, global_pool=True, scope='pooled')
  assert logits.shape == [1, 5]
  assert end_points['global_pool'].shape == [1, 1, 1, 4096]
  # One pixel less gives one position less.
  net_fn(tf.zeros([1, larger - 1, larger - 1, 3]), 5, scope='less')


def test_features_of_images_of_unknown_size(row):
  net_fn, _, _ = row
  features, end_points = net_fn(tf.placeholder(tf.float32, [None, None, None, 3]), None)
  assert features.shape.as_list()[-1] == 4096
  assert list(end_points)[-1].endswith('/fc7')
