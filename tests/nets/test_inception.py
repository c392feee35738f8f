"""What the Inception nets can do beyond what the goldens pin: variants, sizes, refusals."""

import pytest

from nets import inception, inception_resnet_v2, inception_v4, nets_factory
from slimcompat import errors, slim, tf

NAMES = [name for name in nets_factory.NETWORKS if name.startswith('inception_')]
# (a base, its arguments, the shape of the input) -> the shape of the features. The depths are the
# tables' times the factor.
BASES = {
  'v1': ('inception_v1', {}, [2, 64, 64, 3], [2, 2, 2, 1024]),
  'v1 of features': (
    'inception_v1',
    {'include_root_block': False},
    [2, 28, 28, 192],
    [2, 7, 7, 1024],
  ),
  'v1, early': (
    'inception_v1',
    {'final_endpoint': 'MaxPool_3a_3x3'},
    [2, 64, 64, 3],
    [2, 8, 8, 192],
  ),
  'v2, narrow': ('inception_v2', {'depth_multiplier': 0.5}, [2, 64, 64, 3], [2, 2, 2, 512]),
  'v2, narrowest': (
    'inception_v2',
    {'depth_multiplier': 0.01, 'min_depth': 24},
    [2, 64, 64, 3],
    [2, 2, 2, 96],
  ),
  'v2 of features': (
    'inception_v2',
    {'include_root_block': False},
    [2, 28, 28, 192],
    [2, 7, 7, 1024],
  ),
  'v2, channels first': (
    'inception_v2',
    {'data_format': 'NCHW', 'use_separable_conv': False},
    [2, 3, 64, 96],
    [2, 1024, 2, 3],
  ),
  'v3, narrow': ('inception_v3', {'depth_multiplier': 0.5}, [2, 75, 75, 3], [2, 1, 1, 1024]),
  'v3, early': ('inception_v3', {'final_endpoint': 'Mixed_5d'}, [2, 75, 75, 3], [2, 7, 7, 288]),
  'v3, tiny': ('inception_v3', {'final_endpoint': 'Conv2d_2b_3x3'}, [2, 7, 7, 3], [2, 1, 1, 64]),
  'v4, early': ('inception_v4', {'final_endpoint': 'Mixed_5a'}, [2, 75, 75, 3], [2, 7, 7, 384]),
  'resnet v2, early': (
    'inception_resnet_v2',
    {'final_endpoint': 'Mixed_5b'},
    [2, 299, 299, 3],
    [2, 35, 35, 320],
  ),
  'resnet v2, aligned': (
    'inception_resnet_v2',
    {'final_endpoint': 'Mixed_6a', 'align_feature_maps': True},
    [2, 299, 299, 3],
    [2, 19, 19, 1088],
  ),
}
# (function, its arguments, the shape of the input) -> what the refusal says.
REFUSALS = {
  'rank': ('inception_v1', {}, [32, 32, 3], r'\[batch, height, width, channels\]'),
  'channels': ('inception_v1', {}, [2, 32, 32, None], 'channels'),
  'end point': ('inception_v2_base', {'final_endpoint': 'Mixed_4d_'}, [2, 32, 32, 3], "'Mixed_4d'"),
  'end point of the root': (
    'inception_v1_base',
    {'final_endpoint': 'Conv2d_1a_7x7', 'include_root_block': False},
    [2, 28, 28, 192],
    'Known: Mixed_3b',
  ),
  'depth multiplier of 0': ('inception_v2', {'depth_multiplier': 0}, [2, 32, 32, 3], 'greater'),
  'depth multiplier below 0': ('inception_v3', {'depth_multiplier': -1}, [2, 299, 299, 3], '-1'),
  'data format': ('inception_v2_base', {'data_format': 'NWHC'}, [2, 32, 32, 3], 'NCHW'),
  'separable, channels first': (
    'inception_v2_base',
    {'data_format': 'NCHW'},
    [2, 3, 32, 32],
    'use_separable_conv=False',
  ),
  'too small for v3': ('inception_v3_base', {}, [2, 74, 74, 3], '75x75'),
  'too small for the head of v3': ('inception_v3', {}, [2, 106, 106, 3], '107x107'),
  'too large for the head of v3': ('inception_v3', {}, [2, 400, 400, 3], 'create_aux_logits=False'),
  'too small for v4': ('inception_v4_base', {}, [2, 74, 74, 3], '75x75'),
  'unknown size of v4': ('inception_v4', {}, [2, None, None, 3], 'known height and width'),
  'too small for resnet v2': ('inception_resnet_v2', {}, [2, 106, 106, 3], '107x107'),
  'stride': ('inception_resnet_v2_base', {'output_stride': 32}, [2, 299, 299, 3], '8, 16'),
  'stride 8 to the end': (
    'inception_resnet_v2_base',
    {'output_stride': 8},
    [2, 299, 299, 3],
    'PreAuxLogits',
  ),
}


def test_gathering_module():
  """Everything people reach as `inception.<name>` is there, and is what its own module has."""
  suffixes = ['', '_base', '_arg_scope']
  assert set(inception.__all__) == {name + suffix for name in NAMES for suffix in suffixes}
  for name in NAMES:
    assert getattr(inception, name) is nets_factory.NETWORKS[name].function


@pytest.mark.parametrize(('name', 'keywords', 'shape', 'expected'), BASES.values(), ids=BASES)
def test_base(name, keywords, shape, expected):
  images = tf.placeholder(tf.float32, shape)
  with slim.arg_scope(nets_factory.NETWORKS[name].arg_scope()):
    net, end_points = getattr(inception, f'{name}_base')(images, **keywords)
  assert net.shape.as_list() == expected
  assert next(reversed(end_points.values())) is net
  if 'final_endpoint' in keywords:
    assert next(reversed(end_points)) == keywords['final_endpoint']


@pytest.mark.parametrize(('name', 'keywords', 'shape', 'message'), REFUSALS.values(), ids=REFUSALS)
def test_refusals(name, keywords, shape, message):
  images = tf.placeholder(tf.float32, shape)
  with pytest.raises(errors.InputError, match=message):
    getattr(inception, name)(images, **keywords)


def test_full_first_convolution():
  images = tf.placeholder(tf.float32, [2, 32, 32, 3])
  with slim.arg_scope(inception.inception_v2_arg_scope()):
    inception.inception_v2_base(images, 'Conv2d_1a_7x7', use_separable_conv=False)
  shapes = {variable.op.name: variable.shape.as_list() for variable in tf.trainable_variables()}
  assert shapes == {
    'InceptionV2/Conv2d_1a_7x7/weights': [7, 7, 3, 64],
    'InceptionV2/Conv2d_1a_7x7/BatchNorm/beta': [64],
  }


def test_dilation_in_place_of_stride(recipe):
  """With an output stride of 8, every second position is what a stride of 16 gives."""
  tf.set_random_seed(1)
  images = tf.constant(recipe.input_images([1, 107, 107, 3]))
  with (
    slim.arg_scope(inception.inception_resnet_v2_arg_scope()),
    slim.arg_scope([slim.batch_norm], is_training=False),
  ):
    coarse, _ = inception.inception_resnet_v2_base(images, 'PreAuxLogits', scope='net')
    with tf.variable_scope('net', reuse=True) as scope:
      fine, _ = inception.inception_resnet_v2_base(images, 'PreAuxLogits', 8, scope=scope)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    coarse, fine = session.run([coarse, fine])
  assert fine.shape[1:3] == (9, 9)
  assert abs(fine[:, ::2, ::2] - coarse).max() <= 1e-5 * abs(coarse).max()


@pytest.mark.parametrize(
  ('name', 'keywords'),
  [
    ('inception_v1', {'global_pool': True}),
    ('inception_v2', {'global_pool': True, 'depth_multiplier': 0.1}),
    ('inception_v3', {'global_pool': True, 'depth_multiplier': 0.1, 'create_aux_logits': False}),
    ('inception_v4', {'create_aux_logits': False}),
  ],
)
def test_unknown_sizes(name, keywords, recipe):
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  logits, end_points = nets_factory.get_network_fn(name, 10)(images, **keywords)
  assert 'AuxLogits' not in end_points
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    outputs = [logits, end_points['global_pool']]
    logits, features = session.run(outputs, {images: recipe.input_images([2, 80, 96, 3])})
  assert logits.shape == (2, 10)
  assert features.shape[:3] == (2, 1, 1)


@pytest.mark.parametrize(
  ('block', 'default_scope', 'depth', 'size'),
  [
    ('block_inception_a', 'BlockInceptionA', 384, 9),
    ('block_reduction_a', 'BlockReductionA', 8 + 384 + 256, 4),
    ('block_inception_b', 'BlockInceptionB', 1024, 9),
    ('block_reduction_b', 'BlockReductionB', 8 + 192 + 320, 4),
    ('block_inception_c', 'BlockInceptionC', 1536, 9),
  ],
)
def test_blocks_of_v4(block, default_scope, depth, size):
  block = getattr(inception_v4, block)
  net = tf.placeholder(tf.float32, [2, 9, 9, 8])
  outputs = [block(net), block(net, scope='mine'), block(net, scope='mine', reuse=True)]
  assert {tuple(output.shape.as_list()) for output in outputs} == {(2, size, size, depth)}
  names = {variable.op.name.split('/')[0] for variable in tf.global_variables()}
  assert names == {default_scope, 'mine'}


@pytest.mark.parametrize('block', ['block35', 'block17', 'block8'])
def test_residual_blocks(block):
  """The sum follows `scale` and the activation; `relu6` also bounds what is added."""
  name, block = block, getattr(inception_resnet_v2, block)
  net = tf.random.uniform([2, 5, 5, 8], -2, 2, seed=1)
  keywords = {'scope': 'mine', 'activation_fn': None}
  linear = block(net, **keywords)
  keywords['reuse'] = True
  half = block(net, scale=0.5, **keywords)
  keywords['activation_fn'] = tf.nn.relu6
  bounded = block(net, scale=100, **keywords)
  block(net)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    net, linear, half, bounded = session.run([net, linear, half, bounded])
  residual = linear - net
  assert abs(residual).max() > 0.1
  assert half == pytest.approx(net + residual / 2, abs=1e-5)
  expected = (net + (100 * residual).clip(-6, 6)).clip(0, 6)
  assert bounded == pytest.approx(expected, abs=1e-3)
  assert f'{name.capitalize()}/Conv2d_1x1/biases' in {
    variable.op.name for variable in tf.global_variables()
  }


def test_arg_scope_without_batch_norm():
  images = tf.placeholder(tf.float32, [2, 32, 32, 3])
  with slim.arg_scope(inception.inception_v1_arg_scope(use_batch_norm=False, activation_fn=None)):
    net, _ = inception.inception_v1_base(images, 'Conv2d_1a_7x7')
  assert net.op.type == 'BiasAdd'
  names = [variable.op.name for variable in tf.global_variables()]
  assert names == ['InceptionV1/Conv2d_1a_7x7/weights', 'InceptionV1/Conv2d_1a_7x7/biases']


@pytest.mark.parametrize('name', NAMES)
def test_arg_scope_reaches_batch_norm(name):
  network = nets_factory.NETWORKS[name]
  images = tf.placeholder(tf.float32, [2, 75, 75, 3])
  with slim.arg_scope(
    network.arg_scope(batch_norm_epsilon=0.5, batch_norm_scale=True, activation_fn=tf.nn.tanh)
  ):
    endpoint = 'MaxPool_3a_3x3' if name != 'inception_v4' else 'Mixed_3a'
    getattr(inception, f'{name}_base')(images, endpoint)
  operations = tf.get_default_graph().get_operations()
  normalizations = [op for op in operations if op.type == 'FusedBatchNormV3']
  assert {round(op.get_attr('epsilon'), 3) for op in normalizations} == {0.5}
  gammas = [variable for variable in tf.trainable_variables() if variable.op.name.endswith('gamma')]
  assert len(gammas) == len(normalizations) == len([op for op in operations if op.type == 'Tanh'])
