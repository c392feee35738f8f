"""Clones: their gradients, losses and names; the session's configuration."""

import numpy as np
import pytest

from slimcompat import errors, slim, tf
from slimtrain import deployment

IMAGES = np.random.RandomState(0).standard_normal((8, 5)).astype('float32')
TARGETS = np.random.RandomState(1).standard_normal((8, 2)).astype('float32')


def one_step(num_clones):
  """Returns the losses and the weights after one step on the same 8 examples."""
  with tf.Graph().as_default():
    parts = iter(range(num_clones))
    size = len(IMAGES) // num_clones

    def build():
      start = next(parts) * size
      outputs = slim.fully_connected(
        tf.constant(IMAGES[start : start + size]),
        2,
        activation_fn=None,
        weights_initializer=tf.constant_initializer(0.3),
        weights_regularizer=slim.l2_regularizer(0.1),
        scope='fc',
      )
      return tf.losses.mean_squared_error(TARGETS[start : start + size], outputs)

    clones = deployment.make_clones(deployment.DeploymentSettings(num_clones=num_clones), build)
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    losses, gradients = deployment.compute_gradients(clones, optimizer, tf.trainable_variables())
    train_op = optimizer.apply_gradients(gradients)
    with tf.Session(config=deployment.session_config(deployment.SessionSettings())) as session:
      session.run(tf.global_variables_initializer())
      total, regularization = session.run([losses.total, losses.regularization])
      session.run(train_op)
      weights = session.run(tf.trainable_variables())
    scopes = [clone.scope for clone in clones]
    names = [variable.op.name for variable in tf.global_variables()]
  return total, regularization, weights, scopes, names


@pytest.mark.parametrize('num_clones', [2, 4])
def test_clones_on_parts_of_a_batch_equal_one_on_the_whole(num_clones):
  total, regularization, weights, scopes, names = one_step(num_clones)
  expected = one_step(1)
  assert total == pytest.approx(expected[0], rel=1e-6)
  assert regularization == pytest.approx(expected[1], rel=1e-6)
  for value, reference in zip(weights, expected[2], strict=True):
    np.testing.assert_allclose(value, reference, rtol=1e-5)
  assert scopes == [f'clone_{index}/' for index in range(num_clones)]
  assert names == expected[4]


def test_the_only_clone_has_plain_names():
  assert one_step(1)[3] == ['']


@pytest.mark.parametrize(('clone_on_cpu', 'device'), [(False, 'GPU:0'), (True, 'CPU:0')])
def test_variables_live_with_the_first_clone(clone_on_cpu, device):
  settings = deployment.DeploymentSettings(num_clones=2, clone_on_cpu=clone_on_cpu)
  deployment.make_clones(settings, lambda: slim.fully_connected(tf.ones([1, 2]), 2, scope='fc'))
  assert all(device in variable.device for variable in tf.global_variables())


def test_a_loss_without_variables_is_refused():
  def build():
    tf.losses.add_loss(tf.constant(1.0))

  variable = tf.get_variable('unrelated', [2])
  clones = deployment.make_clones(deployment.DeploymentSettings(), build)
  with pytest.raises(errors.InputError, match=r'depends on none of the 1 variables.*unrelated'):
    deployment.compute_gradients(clones, tf.train.GradientDescentOptimizer(0.1), [variable])


def test_session_config():
  config = deployment.session_config(
    deployment.SessionSettings(
      gpu_memory_fraction=0.25, gpu_memory_growth=True, log_device_placement=True
    )
  )
  assert config.allow_soft_placement
  assert config.log_device_placement
  assert config.gpu_options.allow_growth
  assert config.gpu_options.per_process_gpu_memory_fraction == 0.25


def test_session_config_of_speed():
  config = deployment.session_config(
    deployment.SessionSettings(xla=True, intra_op_threads=3, inter_op_threads=1)
  )
  assert config.intra_op_parallelism_threads == 3
  assert config.inter_op_parallelism_threads == 1
  assert config.graph_options.optimizer_options.global_jit_level == 1
  assert config.graph_options.optimizer_options.cpu_global_jit


def test_float16_needs_a_gpu():
  with pytest.raises(errors.InputError, match='float16 needs a GPU'):
    deployment.session_config(deployment.SessionSettings(mixed_precision='float16'))


@pytest.mark.parametrize('has_avx512', [True, False])
def test_bfloat16_needs_avx512(monkeypatch, has_avx512):
  monkeypatch.setattr(deployment, 'has_avx512', lambda: has_avx512)
  settings = deployment.SessionSettings(mixed_precision='bfloat16')
  if has_avx512:
    options = deployment.session_config(settings).graph_options.rewrite_options
    assert options.auto_mixed_precision_onednn_bfloat16 == options.ON
  else:
    with pytest.raises(errors.InputError, match='AVX-512'):
      deployment.session_config(settings)


@pytest.mark.skipif(not deployment.has_avx512(), reason='needs a processor with AVX-512')
def test_bfloat16_convolves_in_bfloat16():
  images = np.random.RandomState(0).uniform(-1, 1, (4, 32, 32, 16)).astype('float32')
  with tf.Graph().as_default():
    outputs = slim.conv2d(tf.constant(images) * tf.Variable(1.0), 32, 3, scope='conv')
    values = {}
    for precision in ('none', 'bfloat16'):
      settings = deployment.SessionSettings(mixed_precision=precision)
      with tf.Session(config=deployment.session_config(settings)) as session:
        tf.set_random_seed(1)
        session.run([variable.initializer for variable in tf.global_variables()][:1])
        session.run([tf.assign(v, tf.fill(v.shape, 0.01)) for v in tf.global_variables()[1:]])
        values[precision] = session.run(outputs)
  assert values['none'].dtype == values['bfloat16'].dtype == np.float32
  difference = np.abs(values['bfloat16'] - values['none']).max()
  assert 0 < difference < 0.02 * np.abs(values['none']).max()


@pytest.mark.parametrize(
  ('has_gpu', 'changes', 'device'),
  [
    (True, {}, '/device:GPU:0'),
    (True, {'num_clones': 2}, None),
    (True, {'clone_on_cpu': True}, None),
    (False, {}, None),
  ],
)
def test_input_device(monkeypatch, has_gpu, changes, device):
  monkeypatch.setattr(deployment, '_has_gpu', lambda: has_gpu)
  assert deployment.input_device(deployment.DeploymentSettings(**changes)) == device
