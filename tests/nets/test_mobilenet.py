"""MobileNet v2 and v3 with other arguments than the goldens have, and their blocks."""

import functools

import numpy as np
import pytest

from nets.mobilenet import conv_blocks, mobilenet, mobilenet_v2, mobilenet_v3
from slimcompat import errors, slim, tf

# Nets of which no layer up to the named one looks at the whole image.
LOCAL_NETS = {
  'mobilenet_v2_035': (mobilenet_v2.mobilenet_v2_035, 'layer_19'),
  'v3_small_minimalistic': (mobilenet_v3.small_minimalistic, 'layer_13'),
  'edge_tpu_075': (mobilenet_v3.edge_tpu_075, 'layer_24'),
}
NETS = {
  'mobilenet_v2_035': mobilenet_v2.mobilenet_v2_035,
  'v3_small': mobilenet_v3.small,
  'edge_tpu_075': mobilenet_v3.edge_tpu_075,
}


def images_of(height, width, batch=2):
  return np.random.RandomState(0).uniform(-1, 1, [batch, height, width, 3]).astype('float32')


def run(tensors, feed=None):
  """Returns the tensors' values with weights that depend on the variables' order alone."""
  rng = np.random.RandomState(1)
  values = {}
  for variable in tf.global_variables():
    shape = variable.shape.as_list()
    is_depthwise = variable.op.name.endswith('depthwise_weights')
    fan_in = np.prod(shape[:2] if is_depthwise else shape[:-1])
    value = np.sqrt(2 / fan_in) * rng.standard_normal(shape)
    if variable.op.name.endswith(('gamma', 'moving_variance')):
      value = 1 + 0.1 * np.abs(value)
    values[variable.initializer.inputs[1]] = value
  with tf.Session() as session:
    session.run([variable.initializer for variable in tf.global_variables()], values)
    return session.run(tensors, feed)


def assert_close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
  ('value', 'divisor', 'min_value', 'expected'),
  [
    (32, 8, None, 32),
    (44.8, 8, None, 48),  # 1.4 times 32.
    (11.2, 8, None, 16),  # 8 would lose more than a tenth.
    (18, 8, None, 24),
    (17, 8, None, 16),
    (3, 8, None, 8),
    (3, 8, 1, 9),  # One and a divisor, as in released code; so are the variables.
    (3.4, 1, None, 4),
    (5, 1, 16, 16),
  ],
)
def test_make_divisible(value, divisor, min_value, expected):
  assert conv_blocks.make_divisible(value, divisor, min_value) == expected


def depths(network, **kwargs):
  _, end_points = network(tf.placeholder(tf.float32, [1, 64, 64, 3]), **kwargs, base_only=True)
  return [tensor.shape.as_list()[-1] for name, tensor in end_points.items() if '/' not in name]


def test_divisible_by_and_min_depth():
  built = depths(
    mobilenet_v2.mobilenet,
    depth_multiplier=0.3,
    divisible_by=1,
    min_depth=7,
    final_endpoint='layer_8',
  )
  # Of 32, 16, 24, 24, 32, 32, 32 and 64.
  assert built == [10, 7, 7, 7, 10, 10, 10, 19]


@pytest.mark.parametrize(
  ('network', 'conv_defs', 'multiplier', 'finegrain', 'expected'),
  [
    (mobilenet_v2.mobilenet, mobilenet_v2.V2_DEF, 0.5, False, 640),
    (mobilenet_v2.mobilenet, mobilenet_v2.V2_DEF, 0.5, True, 1280),
    (mobilenet_v2.mobilenet, mobilenet_v2.V2_DEF, 1.4, True, 1792),
    (mobilenet_v3.mobilenet, mobilenet_v3.V3_SMALL, 0.5, False, 512),
    (mobilenet_v3.mobilenet, mobilenet_v3.V3_SMALL, 0.5, True, 1024),
    (mobilenet_v3.mobilenet, mobilenet_v3.V3_SMALL, 1.5, True, 1024),
  ],
)
def test_finegrain_classification_mode(network, conv_defs, multiplier, finegrain, expected):
  last_layer = {**conv_defs, 'spec': conv_defs['spec'][-1:]}
  built = depths(
    network,
    conv_defs=last_layer,
    depth_multiplier=multiplier,
    finegrain_classification_mode=finegrain,
  )
  assert built == [expected]


@pytest.mark.parametrize(
  ('conv_defs', 'last_layer', 'expected'),
  [
    (mobilenet_v3.V3_LARGE_DETECTION, 'layer_17', [112, 80, 80, 80, 480]),
    (mobilenet_v3.V3_SMALL_DETECTION, 'layer_13', [48, 48, 48, 48, 288]),
  ],
  ids=['large', 'small'],
)
def test_detection_halves_the_last_layers(conv_defs, last_layer, expected):
  built = depths(mobilenet_v3.mobilenet, conv_defs=conv_defs, final_endpoint=last_layer)
  assert built[-5:] == expected


@pytest.mark.parametrize(
  ('network', 'scope', 'names'),
  [
    (
      mobilenet_v2.mobilenet,
      'MobilenetV2',
      ['Conv/Relu6', 'expanded_conv/project/Identity', 'Conv_1/Relu6'],
    ),
    (
      mobilenet_v3.small,
      'MobilenetV3',
      ['Conv/hard_swish/mul', 'expanded_conv_10/output', 'Conv_1/hard_swish/mul'],
    ),
  ],
)
def test_op_names(network, scope, names):
  """Scripts that freeze or read a graph name its ops."""
  images = tf.placeholder(tf.float32, [1, 64, 64, 3])
  network(images)
  network(images, reuse=True)
  names = [
    'input',
    *names,
    'expanded_conv_2/expand/weights',
    'expanded_conv_2/input',
    'expanded_conv_2/expansion_output',
    'expanded_conv_2/depthwise_output',
    'expanded_conv_2/output',
    'embedding',
    'Logits/AvgPool',
    'Logits/output',
    'Predictions/Reshape_1',
  ]
  graph_names = {operation.name for operation in tf.get_default_graph().get_operations()}
  assert {f'{scope}/{name}' for name in names} <= graph_names
  assert f'{scope}_1/expanded_conv_2/output' in graph_names


@pytest.mark.parametrize('name', LOCAL_NETS)
def test_output_stride_refines_the_features(name):
  """Dilated features are the strided ones and new ones between them."""
  network, last_layer = LOCAL_NETS[name]
  # Odd at every stride, so that 'SAME' pads both sides alike.
  images = tf.constant(images_of(65, 65))
  build = functools.partial(network, images, base_only=True, final_endpoint=last_layer)
  nets = [build(), build(output_stride=16, reuse=True), build(output_stride=8, reuse=True)]
  strided, fine, finer = run([net for net, _ in nets])
  assert [net.shape[1] for net in (strided, fine, finer)] == [3, 5, 9]
  assert_close(fine[:, ::2, ::2], strided)
  assert_close(finer[:, ::2, ::2], fine)


def test_output_stride_of_a_whole_classifier():
  images = tf.placeholder(tf.float32, [2, 64, 64, 3])
  logits, end_points = mobilenet_v3.small(images, 10, output_stride=8, use_explicit_padding=True)
  assert end_points['layer_13'].shape[1:3] == [8, 8]
  assert logits.shape == [2, 10]


@pytest.mark.parametrize('name', NETS)
def test_explicit_padding(name):
  """Where sizes are odd, 'SAME' pads both sides alike, as explicit padding always does."""
  images = tf.constant(images_of(65, 65))
  _, same = NETS[name](images, 10)
  _, explicit = NETS[name](images, 10, use_explicit_padding=True, reuse=True)
  same, explicit = run([same, explicit])
  assert same.keys() == explicit.keys()
  for end_point, value in same.items():
    assert_close(explicit[end_point], value)


def test_explicit_padding_of_even_sizes():
  """One pixel at the top and the left, where 'SAME' has none."""
  images = images_of(64, 64)
  shifted_images = np.pad(images, [[0, 0], [1, 0], [1, 0], [0, 0]])[:, :-1, :-1]
  build = functools.partial(mobilenet_v2.mobilenet_base, final_endpoint='layer_1')
  same, _ = build(tf.constant(images))
  explicit, _ = build(tf.constant(images), use_explicit_padding=True, reuse=True)
  shifted, _ = build(tf.constant(shifted_images), reuse=True)
  same, explicit, shifted = run([same, explicit, shifted])
  assert np.abs(same - explicit).max() > 1e-2
  # The last row and column of the images are not in the shifted ones.
  assert_close(explicit[:, :-1, :-1], shifted[:, :-1, :-1])


@pytest.mark.parametrize('name', NETS)
def test_unknown_sizes(name):
  value = images_of(64, 64)
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  unknown, _ = NETS[name](images, 10)
  assert unknown.shape.as_list() == [None, 10]
  known, _ = NETS[name](tf.constant(value), 10, reuse=True)
  unknown, known = run([unknown, known], {images: value})
  assert_close(unknown, known)


@pytest.mark.parametrize(
  ('size', 'expected'), [((5, 5), (1, 1)), ((7, 14), (1, 8)), ((3, 9), (1, 3))]
)
def test_reduce_to_1x1(size, expected):
  value = images_of(*size)
  reduced = run(mobilenet_v3.reduce_to_1x1(tf.constant(value), default_size=7, stride=1))
  assert reduced.shape[1:3] == expected
  height, width = size if size[0] == size[1] else (min(size[0], 7), min(size[1], 7))
  assert_close(reduced[:, 0, 0], value[:, :height, :width].mean((1, 2)))


def test_global_pool_maximum():
  value = images_of(5, 3)
  pooled = mobilenet.global_pool(tf.constant(value), tf.nn.max_pool2d)
  assert_close(run(pooled)[:, 0, 0], value.max((1, 2)))


def test_reduce_mean_for_pooling():
  images = tf.constant(images_of(32, 32))
  build = functools.partial(mobilenet_v2.mobilenet, images, None, final_endpoint='layer_2')
  pooled, _ = build()
  mean, _ = build(use_reduce_mean_for_pooling=True, reuse=True)
  pooled, mean = run([pooled, mean])
  assert pooled.shape == (2, 1, 1, 16)
  assert_close(mean, pooled)


@pytest.mark.parametrize(
  ('network', 'kwargs', 'shape', 'message'),
  [
    (mobilenet_v2.mobilenet, {}, [64, 64, 3], r'shape \(64, 64, 3\)'),
    (mobilenet_v2.mobilenet, {}, [1, 64, 64, None], 'number of channels is unknown'),
    (mobilenet_v2.mobilenet, {'depth_multiplier': 0}, None, 'depth_multiplier is 0; it must be'),
    (mobilenet_v3.small, {'depth_multiplier': -1}, None, 'depth_multiplier is -1; it must be'),
    (mobilenet_v2.mobilenet, {'final_endpoint': 'layer_20'}, None, "no final_endpoint 'layer_20'"),
    (mobilenet_v3.small, {'final_endpoint': 'Conv'}, None, "no final_endpoint 'Conv'"),
    (mobilenet_v2.mobilenet, {'output_stride': 5}, None, 'Known: 1, 2, 4, 8, 16, 32'),
    (mobilenet_v3.small, {'output_stride': 0}, None, 'no output_stride 0'),
    (mobilenet.mobilenet, {'conv_defs': mobilenet_v2.V2_DEF, 'multiplier': 0}, None, 'multiplier'),
  ],
)
def test_refused(network, kwargs, shape, message):
  images = tf.placeholder(tf.float32, shape or [1, 64, 64, 3])
  with pytest.raises(errors.InputError, match=message):
    network(images, **kwargs)


def test_variants_keep_what_callers_set():
  assert mobilenet_v3.edge_tpu_075.default_image_size == 224
  images = tf.placeholder(tf.float32, [1, 32, 32, 3])
  mobilenet_v3.edge_tpu_075(images, None, scope='Mine', depth_multiplier=0.5)
  variables = {variable.op.name: variable.shape[-1] for variable in tf.global_variables()}
  assert variables['Mine/Conv/weights'] == 16


def test_prediction_fn():
  images = tf.placeholder(tf.float32, [1, 32, 32, 3])
  _, end_points = mobilenet_v2.mobilenet(images, 10, prediction_fn=None)
  assert 'Predictions' not in end_points
  _, end_points = mobilenet_v2.mobilenet(images, 10, prediction_fn=tf.sigmoid, reuse=True)
  assert end_points['Predictions'].op.type == 'Sigmoid'


def test_activation_fn():
  images = tf.placeholder(tf.float32, [1, 32, 32, 3])
  mobilenet_v2.mobilenet(images, 10, activation_fn=tf.nn.elu, final_endpoint='layer_3')
  types = {operation.type for operation in tf.get_default_graph().get_operations()}
  assert 'Elu' in types
  assert 'Relu6' not in types


@pytest.mark.parametrize(
  ('network', 'kwargs'),
  [
    (mobilenet_v2.mobilenet_base_group_norm, {'groups': 4}),
    (mobilenet_v3.mobilenet_base, {'use_groupnorm': True}),
  ],
  ids=['v2', 'v3'],
)
def test_group_norm(network, kwargs):
  with slim.arg_scope(mobilenet.training_scope()):
    net, _ = network(tf.constant(images_of(64, 64)), **kwargs, final_endpoint='layer_5')
  names = [variable.op.name for variable in tf.global_variables()]
  assert any('/GroupNorm/' in name for name in names)
  assert not any('/BatchNorm/' in name for name in names)
  assert not tf.get_collection(tf.GraphKeys.UPDATE_OPS)
  assert np.isfinite(run(net)).all()


@pytest.mark.parametrize(
  ('scope_args', 'net_args', 'expected'),
  [
    ({}, {}, True),
    ({}, {'is_training': False}, False),
    ({'is_training': False}, {}, False),
    ({'is_training': False}, {'is_training': True}, True),
    (None, {}, False),
    (None, {'is_training': True}, True),
    ({'is_training': None}, {}, True),
  ],
)
def test_is_training(scope_args, net_args, expected):
  images = tf.placeholder(tf.float32, [4, 32, 32, 3])
  with slim.arg_scope({} if scope_args is None else mobilenet_v2.training_scope(**scope_args)):
    mobilenet_v2.mobilenet(images, final_endpoint='layer_2', **net_args)
  names = {operation.name for operation in tf.get_default_graph().get_operations()}
  assert any('Logits/Dropout/dropout' in name for name in names) == expected
  assert bool(tf.get_collection(tf.GraphKeys.UPDATE_OPS)) == expected


@pytest.mark.parametrize(
  ('scope_args', 'decay', 'keep_prob'),
  [
    ({}, 0.997, 0.8),
    ({'bn_decay': 0.9}, 0.9, 0.8),
    ({'bn_decay': 0.9, 'batch_norm_decay': 0.0}, 0.0, 0.8),
    ({'bn_decay': None, 'dropout_keep_prob': None}, None, None),
  ],
)
def test_training_scope(scope_args, decay, keep_prob):
  with slim.arg_scope(mobilenet_v3.training_scope(**scope_args)) as scope:
    assert scope[slim.arg_scope_func_key(slim.batch_norm)].get('decay') == decay
    assert scope[slim.arg_scope_func_key(slim.dropout)].get('keep_prob') == keep_prob


def test_initial_weights():
  """The table's deviation, or Xavier's for as many inputs and outputs."""
  images = tf.placeholder(tf.float32, [4, 8, 8, 64])
  tf.set_random_seed(1)
  for stddev in (0.09, -1):
    with slim.arg_scope(mobilenet.training_scope(stddev=stddev)):
      slim.conv2d(images, 64, [1, 1])
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    normal, xavier = session.run(slim.get_variables_by_suffix('weights'))
  # A normal distribution, truncated at twice its deviation, has 0.88 of it left.
  assert normal.std() == pytest.approx(0.88 * 0.09, rel=0.05)
  assert xavier.std() == pytest.approx(np.sqrt(2 / (64 + 64)), rel=0.05)


def weight_shapes():
  return {
    variable.op.name: variable.shape.as_list()[-2:]
    for variable in slim.get_variables_by_suffix('weights')
  }


def features_of(channels):
  values = np.random.RandomState(0).uniform(-1, 1, [2, 5, 5, channels])
  return tf.constant(values.astype('float32'))


def test_split_conv():
  features = features_of(40)
  net = conv_blocks.split_conv(features, 24, num_ways=3, scope='conv', activation_fn=None)
  assert weight_shapes() == {
    'conv_part_0/weights': [16, 8],
    'conv_part_1/weights': [16, 8],
    'conv_part_2/weights': [8, 8],
  }
  (last_weights,) = slim.get_variables('conv_part_2/weights')
  (last_biases,) = slim.get_variables('conv_part_2/biases')
  net, features, weights, biases = run([net, features, last_weights, last_biases])
  assert_close(net[..., -8:], features[..., -8:] @ weights[0, 0] + biases)


@pytest.mark.parametrize(('num_ways', 'num_outputs'), [(1, 24), (2, 8)])
def test_split_conv_that_stays_whole(num_ways, num_outputs):
  conv_blocks.split_conv(features_of(16), num_outputs, num_ways, scope='conv')
  assert weight_shapes() == {'conv/weights': [16, num_outputs]}


def test_split_conv_refuses_a_remainder():
  with pytest.raises(errors.InputError, match='20 channels cannot be split into parts of'):
    conv_blocks.split_conv(features_of(16), 20, num_ways=2, scope='conv')


@pytest.mark.parametrize('scope', [None, 'Conv2d_1'])
def test_split_separable_conv2d(scope):
  end_points = {}
  net = conv_blocks.split_separable_conv2d(
    features_of(8), 16, scope, normalizer_fn=slim.batch_norm, stride=2, endpoints=end_points
  )
  assert net.shape == [2, 3, 3, 16]
  prefix = 'Conv2d_1_' if scope else ''
  assert end_points.keys() == {f'{prefix}depthwise', f'{prefix}pointwise'}
  assert end_points[f'{prefix}pointwise'] is net
  folder = '' if scope else 'separable/'
  names = {variable.op.name for variable in slim.get_variables_by_suffix('weights')}
  assert names == {
    f'{folder}{prefix}depthwise/depthwise_weights',
    f'{folder}{prefix}pointwise/weights',
  }


@pytest.mark.parametrize(
  ('location', 'depthwise_inputs', 'expanded_size'),
  [('input', 8, 3), ('expansion', 48, 5), ('output', 16, 5), (None, None, 5)],
)
def test_depthwise_location(location, depthwise_inputs, expanded_size):
  end_points = {}
  net = conv_blocks.expanded_conv(
    features_of(8), 16, stride=2, depthwise_location=location, endpoints=end_points
  )
  assert net.shape == [2, 3 if location else 5, 3 if location else 5, 16]
  assert end_points['expansion_output'].shape == [2, expanded_size, expanded_size, 48]
  assert end_points['projection_output'].shape[-1] == 16
  depthwise = slim.get_variables_by_suffix('depthwise_weights')
  assert [variable.shape[2] for variable in depthwise] == ([depthwise_inputs] if location else [])
  assert ('depthwise_output' in end_points) == bool(location)


@pytest.mark.parametrize(
  ('residual', 'stride', 'num_outputs', 'added'),
  [(True, 1, 8, 1), (False, 1, 8, 0), (True, 1, 16, 0), (True, 2, 8, 0), ('twice', 1, 8, 2)],
)
def test_residual(residual, stride, num_outputs, added):
  if residual == 'twice':
    residual = lambda input_tensor, output_tensor: 2 * input_tensor + output_tensor  # noqa: E731
  features = features_of(8)
  end_points = {}
  net = conv_blocks.expanded_conv(
    features, num_outputs, stride=stride, residual=residual, endpoints=end_points
  )
  net, features, projection = run([net, features, end_points['projection_output']])
  assert_close(net, projection + added * features if added else projection)


def test_no_expansion_to_the_input_s_own_depth():
  conv_blocks.expanded_conv(features_of(8), 16, conv_blocks.expand_input_by_factor(1))
  assert not slim.get_variables(suffix='expand/weights')


@pytest.mark.parametrize(
  ('kwargs', 'message'),
  [
    ({'depthwise_location': 'middle'}, "depthwise_location is 'middle'; it can be"),
    ({'use_explicit_padding': True, 'padding': 'VALID'}, "the padding is 'VALID'"),
  ],
)
def test_expanded_conv_refuses(kwargs, message):
  with pytest.raises(errors.InputError, match=message):
    conv_blocks.expanded_conv(features_of(8), 16, **kwargs)


def squeezed_and_excited(means, squeeze, excite, squeeze_bias, excite_bias):
  squeezed = np.maximum(means @ squeeze[0, 0] + squeeze_bias, 0)
  assert squeezed.shape[-1] == 8
  return squeezed @ excite[0, 0] + excite_bias


def test_squeeze_excite():
  features = features_of(32)
  net = mobilenet_v3.squeeze_excite(features)
  weights = slim.get_variables_by_suffix('weights') + slim.get_variables_by_suffix('biases')
  net, features, *weights = run([net, features, *weights])
  gates = squeezed_and_excited(features.mean((1, 2), keepdims=True), *weights)
  assert_close(net, features * np.clip(gates + 3, 0, 6) * 0.16667)


def test_squeeze_excite_over_windows():
  """Windows of the whole size change nothing; a corner's gate is of the window there."""
  features = features_of(24)
  outputs = []
  for pool in (None, (5, 5), (3, 3)):
    with tf.variable_scope('net', reuse=bool(outputs)):
      outputs.append(conv_blocks.squeeze_excite(features, gating_fn=tf.identity, pool=pool))
  weights = slim.get_variables_by_suffix('weights') + slim.get_variables_by_suffix('biases')
  (whole, same, windows), features, *weights = run([outputs, features, *weights])
  assert_close(same, whole)
  gates = squeezed_and_excited(features[:, 2:, :3].mean((1, 2)), *weights)
  assert_close(windows[:, 4, 0], features[:, 4, 0] * gates)


def test_own_layers():
  """A table of one's own: any function, its own rule for the width, defaults and overrides."""

  def double_depth(params, multiplier):
    params['num_outputs'] = int(2 * multiplier * params['num_outputs'])

  def block(net, stride, num_outputs):
    with tf.variable_scope('block'):
      net = slim.conv2d(net, num_outputs, [1, 1], stride=stride)
      return tf.identity(net, 'my_output')

  conv_defs = {
    'defaults': {(slim.conv2d,): {'activation_fn': tf.nn.elu, 'normalizer_fn': slim.batch_norm}},
    'overrides': {(slim.conv2d,): {'normalizer_fn': None}},
    'spec': [
      mobilenet.op(slim.conv2d, num_outputs=10, kernel_size=[3, 3], stride=2),
      mobilenet.op(block, double_depth, num_outputs=10),
      mobilenet.op(slim.conv2d, num_outputs=10, kernel_size=[1, 1]),
    ],
  }
  net, end_points = mobilenet.mobilenet_base(
    tf.placeholder(tf.float32, [1, 8, 8, 3]), conv_defs, 0.5, final_endpoint='layer_2'
  )
  assert {name: tensor.shape.as_list() for name, tensor in end_points.items()} == {
    'layer_1': [1, 4, 4, 8],
    'layer_2': [1, 4, 4, 10],
    'layer_2/my_output': [1, 4, 4, 10],
  }
  assert net is end_points['layer_2']
  names = [variable.op.name for variable in tf.global_variables()]
  assert names == [
    f'Mobilenet/{scope}/{leaf}'
    for scope in ('Conv', 'block/Conv')
    for leaf in ('weights', 'biases')
  ]


@pytest.mark.parametrize(
  'network',
  [mobilenet_v2.mobilenet_v2_035, mobilenet_v3.small],
  ids=['mobilenet_v2_035', 'v3_small'],
)
def test_learns_a_batch(network):
  images = tf.constant(images_of(32, 32, batch=8))
  tf.set_random_seed(1)
  with slim.arg_scope(mobilenet.training_scope(weight_decay=0.0)):
    logits, _ = network(images, 8)
  loss = tf.losses.sparse_softmax_cross_entropy(range(8), logits)
  step = slim.learning.create_train_op(loss, tf.train.AdamOptimizer(0.003))
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    losses = [session.run(step) for _ in range(25)]
  assert max(losses[-5:]) < losses[0] / 2
