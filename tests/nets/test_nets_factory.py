"""The table of nets and the function that builds them by name."""

import numpy as np
import pytest

from nets import nets_factory, released_checkpoints, vgg
from slimcompat import errors, slim, tables, tf


def my_net(images, num_classes, is_training=True, scope='my_net'):
  """A net as a user of slim writes it."""
  with tf.variable_scope(scope, 'my_net', [images]):
    net = slim.dropout(slim.flatten(images), is_training=is_training)
    return slim.fully_connected(net, num_classes, activation_fn=None), {}


my_net.default_image_size = 8


def my_arg_scope(weight_decay=0.0):
  with slim.arg_scope(
    [slim.fully_connected],
    weights_regularizer=slim.l2_regularizer(weight_decay),
    weights_initializer=tf.zeros_initializer(),
    biases_initializer=tf.constant_initializer(7.0),
  ) as scope:
    return scope


@pytest.fixture
def zoo(monkeypatch):
  """A table that the test may add to."""
  table = tables.Table('net', nets_factory.NETWORKS.values())
  monkeypatch.setattr(nets_factory, 'NETWORKS', table)
  return table


def test_image_sizes(reference):
  network = reference.network
  network_fn = nets_factory.get_network_fn(network.name, 10)
  assert network_fn.default_image_size == network.image_size
  assert network.function.default_image_size == network.image_size


def test_functions_have_their_image_size():
  assert vgg.vgg_16.default_image_size == 224


def test_a_net_of_ones_own(zoo):
  nets_factory.register(nets_factory.Network('my_net', my_net, my_arg_scope))
  assert nets_factory.networks_map['my_net'] is my_net
  assert nets_factory.arg_scopes_map['my_net'] is my_arg_scope
  assert list(nets_factory.networks_map) == list(zoo)
  network_fn = nets_factory.get_network_fn('my_net', 3, weight_decay=0.5, is_training=False)
  assert network_fn.default_image_size == 8
  logits, _ = network_fn(tf.ones([2, 8, 8, 1]), scope='elsewhere')
  assert len(tf.trainable_variables('elsewhere')) == 2
  assert len(tf.losses.get_regularization_losses()) == 1
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    np.testing.assert_array_equal(session.run(logits), np.full([2, 3], 7.0))


def test_the_row_may_give_the_image_size():
  row = nets_factory.Network('my_net', my_net, my_arg_scope, image_size=16)
  assert row.image_size == 16


def test_refuses_a_net_without_image_size():
  with pytest.raises(errors.InputError, match="'my_net' has no image size; pass image_size=224"):
    nets_factory.Network('my_net', lambda images: images, my_arg_scope)


def test_refuses_a_name_twice(zoo):
  with pytest.raises(errors.InputError, match="The net 'lenet' is already registered"):
    nets_factory.register(nets_factory.Network('lenet', my_net, my_arg_scope))


@pytest.mark.parametrize(
  'lookup',
  [
    lambda name: nets_factory.get_network_fn(name, 10),
    lambda name: nets_factory.networks_map[name],
    lambda name: nets_factory.arg_scopes_map[name],
  ],
  ids=['get_network_fn', 'networks_map', 'arg_scopes_map'],
)
def test_refuses_an_unknown_name(lookup):
  with pytest.raises(errors.InputError, match=r"no net 'vgg16'. Did you mean 'vgg_16'"):
    lookup('vgg16')


def test_refuses_a_negative_number_of_classes():
  with pytest.raises(errors.InputError, match=r'num_classes is -1; .* 2 or more'):
    nets_factory.get_network_fn('lenet', -1)


def test_one_number_is_enough_for_regression():
  logits, _ = nets_factory.get_network_fn('lenet', 1)(tf.zeros([2, 28, 28, 1]))
  assert logits.shape == [2, 1]


@pytest.mark.parametrize('num_classes', [0, None])
def test_no_classes_give_features(num_classes):
  features, end_points = nets_factory.get_network_fn('lenet', num_classes)(tf.zeros([2, 28, 28, 1]))
  assert features is end_points['fc3']
  assert not tf.global_variables('LeNet/fc4')


def test_refuses_batch_norm_decay_without_batch_norm():
  with pytest.raises(errors.InputError, match=r"batch_norm_decay is 0\.9, but the net 'lenet' has"):
    nets_factory.get_network_fn('lenet', 10, batch_norm_decay=0.9)


@pytest.mark.parametrize('decay', [-0.1, 1.0, 9])
def test_refuses_batch_norm_decay_out_of_range(decay):
  with pytest.raises(errors.InputError, match=f'batch_norm_decay is {decay}; .* below 1'):
    nets_factory.get_network_fn('mobilenet_v1', 10, batch_norm_decay=decay)


def test_refuses_images_of_another_rank(reference):
  images = tf.zeros([2, 224])
  with pytest.raises(errors.InputError, match=r'shape \(2, 224\); the net takes \[batch, '):
    nets_factory.get_network_fn(reference.network.name, 10)(images)


def test_refuses_an_unknown_number_of_channels(reference):
  images = tf.placeholder(tf.float32, [*reference.golden['input_shape'][:-1], None])
  with pytest.raises(errors.InputError, match='the number of channels is unknown'):
    nets_factory.get_network_fn(reference.network.name, 10)(images)


@pytest.mark.parametrize('name, min_size', [('lenet', 4), ('cifarnet', 4), ('vgg_16', 224)])
def test_refuses_too_small_images(name, min_size):
  network_fn = nets_factory.get_network_fn(name, 10)
  size = min_size - 1
  with pytest.raises(errors.InputError, match=f'{min_size}x{size} pixels.*{min_size}x{min_size}'):
    network_fn(tf.zeros([1, min_size, size, 3]))
  logits, _ = network_fn(tf.zeros([1, min_size, min_size, 3]))
  assert logits.shape == [1, 10]


@pytest.mark.parametrize('name', ['lenet', 'cifarnet'])
def test_refuses_an_unknown_size_below_dense_layers(name):
  images = tf.placeholder(tf.float32, [None, None, 28, 1])
  with pytest.raises(errors.InputError, match='known height and width'):
    nets_factory.get_network_fn(name, 10)(images)


@pytest.mark.parametrize('name', ['lenet', 'cifarnet', 'vgg_a', 'resnet_v1_50', 'mobilenet_v1'])
def test_scope_and_reuse(name):
  network_fn = nets_factory.get_network_fn(name, 10)
  images = tf.placeholder(tf.float32, [None, *[network_fn.default_image_size] * 2, 3])
  network_fn(images, scope='mine')
  variables = tf.global_variables()
  assert all(variable.op.name.startswith('mine/') for variable in variables)
  logits, _ = network_fn(images, scope='mine', reuse=True)
  assert logits.shape.as_list() == [None, 10]
  assert tf.global_variables() == variables


def test_checkpoints_are_of_nets_in_the_table():
  assert set(released_checkpoints.CHECKPOINTS) <= set(nets_factory.NETWORKS)
  for name, checkpoints in released_checkpoints.CHECKPOINTS.items():
    assert nets_factory.NETWORKS[name].checkpoints == checkpoints
