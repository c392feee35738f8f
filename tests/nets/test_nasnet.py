"""The nets of cells beyond what the goldens pin: settings, cells, dropped paths, refusals."""

import dataclasses

import numpy as np
import pytest

from nets import nets_factory
from nets.nasnet import nasnet, nasnet_utils, pnasnet
from slimcompat import errors, slim, tf

CONFIGS = {
  'nasnet_cifar': nasnet.cifar_config,
  'nasnet_mobile': nasnet.mobile_imagenet_config,
  'nasnet_large': nasnet.large_imagenet_config,
  'pnasnet_large': pnasnet.large_imagenet_config,
  'pnasnet_mobile': pnasnet.mobile_imagenet_config,
}


def build(name, images, num_classes=10, is_training=False, settings='', **keywords):
  """Builds a net of three narrow cells, changed by `settings` as `Settings.parse` reads them."""
  if not isinstance(images, tf.Tensor):
    images = tf.placeholder(tf.float32, images)
  config = CONFIGS[name]().parse('num_cells=3,num_conv_filters=4,stem_multiplier=1')
  config.parse(settings)
  network_fn = nets_factory.get_network_fn(name, num_classes, is_training=is_training)
  return network_fn(images, config=config, **keywords)


def variable_names():
  return {variable.op.name for variable in tf.global_variables()}


def num_ops(kind):
  return sum(op.type == kind for op in tf.get_default_graph().get_operations())


def test_settings_as_people_change_them():
  config = nasnet.cifar_config()
  config.set_hparam('drop_path_keep_prob', 1)
  config.data_format = 'NCHW'
  assert config.parse('num_cells=6, use_aux_head=0,use_bounded_activation=True') is config
  assert config.override_from_dict({'total_training_steps': 10}) is config
  assert dataclasses.replace(nasnet.cifar_config(), **config.values()) == config
  changed = {
    name: value
    for name, value in config.values().items()
    if value != getattr(nasnet.cifar_config(), name)
  }
  assert changed == {
    'drop_path_keep_prob': 1.0,
    'data_format': 'NCHW',
    'num_cells': 6,
    'use_aux_head': False,
    'use_bounded_activation': True,
    'total_training_steps': 10,
  }


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda config: config.set_hparam('num_cell', 3), "Did you mean 'num_cells'"),
    (lambda config: config.set_hparam('num_cells', 3.5), r'num_cells is 3\.5; .* type int'),
    (lambda config: config.set_hparam('num_cells', None), 'num_cells is None; .* type int'),
    (lambda config: config.set_hparam('use_aux_head', 2), 'use_aux_head is 2; .* type bool'),
    (lambda config: config.set_hparam('data_format', 1), 'data_format is 1; .* type str'),
    (lambda config: config.parse('num_cells=six'), "num_cells is 'six'; .* type int"),
    (lambda config: config.parse('num_cells'), "the part 'num_cells'; write name=value"),
  ],
)
def test_settings_refuse(change, message):
  config = nasnet.cifar_config()
  with pytest.raises(errors.InputError, match=message):
    change(config)
  assert config == nasnet.cifar_config()


def test_settings_refuse_a_new_attribute():
  with pytest.raises(AttributeError):
    nasnet.cifar_config().num_cell = 3


@pytest.mark.parametrize(
  'num_cells, num_reduction_layers, indices',
  [
    (18, 2, [6, 12]),
    (12, 2, [4, 8]),
    (9, 2, [3, 6]),
    (10, 2, [3, 6]),
    (10, 3, [2, 5, 7]),
    (5, 0, []),
  ],
)
def test_reductions_are_spread(num_cells, num_reduction_layers, indices):
  assert nasnet_utils.calc_reduction_layers(num_cells, num_reduction_layers) == indices


@pytest.mark.parametrize('data_format', ['NHWC', 'NCHW'])
def test_channels(data_format):
  shape = tf.TensorShape([2, 3, 4, 5])
  channels_axis = {'NHWC': 3, 'NCHW': 1}[data_format]
  functions = [nasnet_utils.get_channel_index, nasnet_utils.get_channel_dim]
  with slim.arg_scope([*functions, nasnet_utils.global_avg_pool], data_format=data_format):
    assert nasnet_utils.get_channel_index() == channels_axis
    assert nasnet_utils.get_channel_dim(shape) == shape[channels_axis]
    assert nasnet_utils.global_avg_pool(tf.zeros(shape)).shape == [2, shape[channels_axis]]


@pytest.mark.parametrize('size', [4, 5])
def test_halving_sees_all_positions(size):
  """Even positions in the first channel, odd ones, with zeros beyond the edge, in the others."""
  pixels = np.random.RandomState(0).uniform(1, 2, [2, size, size, 1]).astype('float32')
  with (
    slim.arg_scope([slim.conv2d], weights_initializer=tf.ones_initializer(), activation_fn=None),
    slim.arg_scope([slim.batch_norm], is_training=False, epsilon=0),
  ):
    net = nasnet_utils.factorized_reduction(tf.constant(pixels), output_filters=3, stride=2)
  even = pixels[:, ::2, ::2]
  odd = np.zeros_like(even)
  odd[:, : size // 2, : size // 2] = pixels[:, 1::2, 1::2]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    net = session.run(net)
  np.testing.assert_allclose(net, np.concatenate([even, odd, odd], axis=-1), rtol=1e-6)


def test_drop_path():
  net = tf.random_uniform([4000, 2, 2, 3], 1, 2, seed=1)
  tf.set_random_seed(1)
  dropped = nasnet_utils.drop_path(net, 0.8)
  assert nasnet_utils.drop_path(net, 0.8, is_training=False) is net
  with tf.Session() as session:
    net, dropped = session.run([net, dropped])
  kept = dropped[:, 0, 0, 0] > 0
  # Of 4000 draws, within four standard deviations.
  assert np.mean(kept) == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / 4000))
  np.testing.assert_allclose(dropped[kept], net[kept] / 0.8, rtol=1e-6)
  assert not dropped[~kept].any()


@pytest.mark.parametrize('step, keep_prob', [(0, 1.0), (500, 0.95), (1000, 0.9), (9000, 0.9)])
@pytest.mark.parametrize('is_global', [True, False])
def test_schedule_of_dropped_paths(monkeypatch, step, keep_prob, is_global):
  """The fifth of 20 cells drops a quarter of the last cell's rate of 0.4."""
  monkeypatch.setattr(nasnet_utils, 'drop_path', lambda net, keep_prob: net * 0 + keep_prob)
  cell = nasnet_utils.NasNetABaseCell(
    num_conv_filters=3,
    operations=['avg_pool_3x3', 'none'],
    used_hiddenstates=[1, 1, 0],
    hiddenstate_indices=[0, 1],
    drop_path_keep_prob=0.6,
    total_num_cells=20,
    total_training_steps=1000,
  )
  current_step = None
  if is_global:
    tf.assign(tf.train.create_global_step(), step, name='set_step')
  else:
    current_step = tf.constant(step)
  net = cell(tf.zeros([1, 4, 4, 3]), scope='cell', cell_num=4, current_step=current_step)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    if is_global:
      session.run('set_step:0')
    np.testing.assert_allclose(session.run(net), np.full([1, 4, 4, 3], keep_prob), rtol=1e-6)


@pytest.mark.parametrize(
  'keywords, makes_step',
  [
    ({'is_training': True}, True),
    ({'is_training': True, 'current_step': 7}, False),
    ({'is_training': True, 'settings': 'drop_path_keep_prob=1'}, False),
    ({'is_training': False}, False),
  ],
  ids=['training', 'own step', 'no dropping', 'evaluating'],
)
def test_global_step(keywords, makes_step):
  """The schedule makes a global step where a trainer finds it, and only if it needs one."""
  with tf.variable_scope('outer'):
    build('nasnet_cifar', [None, 32, 32, 3], final_endpoint='Cell_0', scope='net', **keywords)
  steps = [name for name in variable_names() if not name.startswith('outer/net/')]
  assert steps == ['global_step'] * makes_step
  assert bool(num_ops('RandomUniform')) == (keywords['is_training'] and 'settings' not in keywords)


@pytest.mark.parametrize(
  'cell, operations, indices, used',
  [
    (
      nasnet_utils.NasNetANormalCell,
      'separable_5x5_2 separable_3x3_2 separable_5x5_2 separable_3x3_2 avg_pool_3x3 none'
      ' avg_pool_3x3 avg_pool_3x3 separable_3x3_2 none',
      [0, 1, 1, 1, 0, 1, 1, 1, 0, 0],
      [1, 0, 0, 0, 0, 0, 0],
    ),
    (
      nasnet_utils.NasNetAReductionCell,
      'separable_5x5_2 separable_7x7_2 max_pool_3x3 separable_7x7_2 avg_pool_3x3 separable_5x5_2'
      ' none avg_pool_3x3 separable_3x3_2 max_pool_3x3',
      [0, 1, 0, 1, 0, 1, 3, 2, 2, 0],
      [1, 1, 1, 0, 0, 0, 0],
    ),
    (
      pnasnet.PNasNetNormalCell,
      'separable_5x5_2 max_pool_3x3 separable_7x7_2 max_pool_3x3 separable_5x5_2 separable_3x3_2'
      ' separable_3x3_2 max_pool_3x3 separable_3x3_2 none',
      [1, 1, 0, 0, 0, 0, 4, 0, 1, 0],
      [1, 1, 0, 0, 0, 0, 0],
    ),
  ],
)
def test_tables_as_lists(cell, operations, indices, used):
  assert cell.table.as_lists() == {
    'operations': operations.split(),
    'hiddenstate_indices': indices,
    'used_hiddenstates': used,
  }


def test_refuses_an_unknown_operation():
  cell = nasnet_utils.NasNetABaseCell(4, ['conv_3x3', 'none'], [1, 1, 0], [0, 1], 1.0, 1, 1)
  with pytest.raises(errors.InputError, match="operation 'conv_3x3'; allowed are 'none' and"):
    cell(tf.zeros([1, 4, 4, 3]), scope='cell')


@pytest.mark.parametrize(
  'name, final_endpoint, num_end_points, shape',
  [
    ('nasnet_cifar', 'Stem', 1, [None, 32, 32, 4]),
    ('nasnet_cifar', 'Reduction_Cell_0', 3, [None, 16, 16, 32]),
    ('nasnet_mobile', 'Stem', 1, [None, 9, 9, 8]),
    ('pnasnet_mobile', 'Cell_0', 2, [None, 9, 9, 20]),
    ('pnasnet_large', 'Logits', 6, [None, 10]),
  ],
)
def test_final_endpoint(name, final_endpoint, num_end_points, shape):
  size = 32 if name == 'nasnet_cifar' else 67
  net, end_points = build(name, [None, size, size, 3], final_endpoint=final_endpoint)
  assert list(end_points)[-1] == final_endpoint
  assert len(end_points) == num_end_points
  assert net is end_points[final_endpoint]
  assert net.shape.as_list() == shape


def test_features():
  features, end_points = build('pnasnet_mobile', [2, 67, 67, 3], None, is_training=True)
  assert features is end_points['global_pool']
  assert features.shape == [2, 80]
  assert not end_points.keys() & {'AuxLogits', 'Logits'}
  assert not {name for name in variable_names() if '/FC/' in name}


@pytest.mark.parametrize(
  'keywords, has_aux',
  [
    ({'settings': 'use_aux_head=0'}, False),
    ({'settings': 'num_reduction_layers=1'}, False),
    ({'final_endpoint': 'Cell_1'}, False),
    ({'final_endpoint': 'Reduction_Cell_1'}, True),
  ],
  ids=['off', 'one reduction', 'ends before', 'ends after'],
)
def test_second_classifier(keywords, has_aux):
  _, end_points = build('nasnet_cifar', [2, 32, 32, 3], is_training=True, **keywords)
  assert ('AuxLogits' in end_points) == has_aux
  assert any(name.startswith('aux_1/aux_logits/') for name in variable_names()) == has_aux


@pytest.mark.parametrize(
  'name, is_training, min_size',
  [
    ('nasnet_cifar', True, 9),
    ('nasnet_mobile', False, 19),
    ('pnasnet_mobile', True, 67),
  ],
)
def test_least_size(name, is_training, min_size):
  """Smaller images, of which a cell could not tell a halved one from another, are refused."""
  build(name, [1, 2 * min_size, 2 * min_size, 3], is_training=is_training)
  variables = variable_names()
  with tf.Graph().as_default():
    build(name, [1, min_size, min_size, 3], is_training=is_training)
    assert variable_names() == variables
  with pytest.raises(errors.InputError, match=f'smaller than the {min_size}x{min_size}'):
    build(name, [1, min_size, min_size - 1, 3], is_training=is_training)


@pytest.mark.parametrize(
  'keywords, message',
  [
    ({'images': [2, None, None, 3]}, 'known height and width'),
    ({'final_endpoint': 'Cell_3'}, "no final_endpoint 'Cell_3'.*Known: Stem, Cell_0, "),
    ({'final_endpoint': 'Logits', 'num_classes': None}, "no final_endpoint 'Logits'.*global_pool"),
    ({'settings': 'data_format=NWHC'}, "no data_format 'NWHC'.*Known: NHWC, NCHW"),
    ({'settings': 'drop_path_keep_prob=0'}, 'drop_path_keep_prob is 0.0; .* greater than 0'),
  ],
  ids=['unknown size', 'end point', 'end point without classes', 'data format', 'keep prob'],
)
def test_refusals(keywords, message):
  with pytest.raises(errors.InputError, match=message):
    build('nasnet_cifar', **{'images': [2, 32, 32, 3], **keywords})


def test_channels_first():
  """The same variables give the same logits, and features are laid out as asked for."""
  images = np.random.RandomState(0).uniform(-1, 1, [2, 67, 67, 3]).astype('float32')
  images = tf.constant(images)
  logits, end_points = build('nasnet_mobile', images, is_training=True)
  first_logits, first_end_points = build(
    'nasnet_mobile', images, is_training=True, settings='data_format=NCHW', reuse=True
  )
  batch, height, width, channels = end_points['Cell_2'].shape
  assert first_end_points['Cell_2'].shape == [batch, channels, height, width]
  config = tf.ConfigProto()
  # A CPU has no convolution of this layout.
  config.graph_options.rewrite_options.cpu_layout_conversion = 1
  with tf.Session(config=config) as session:
    session.run(tf.global_variables_initializer())
    aux, first_aux = session.run([end_points['AuxLogits'], first_end_points['AuxLogits']])
  np.testing.assert_allclose(first_aux, aux, rtol=0, atol=1e-5 * np.abs(aux).max())
  assert first_logits.shape == logits.shape == [2, 10]


@pytest.mark.parametrize('name, size', [('nasnet_cifar', 32), ('pnasnet_mobile', 67)])
def test_bounded_activation(name, size):
  build(name, [2, size, size, 3], is_training=True, settings='use_bounded_activation=1')
  assert num_ops('Relu6')
  assert not num_ops('Relu')
