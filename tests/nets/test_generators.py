"""The nets that make and judge images: DCGAN, pix2pix and CycleGAN."""

import functools

import numpy as np
import pytest

from nets import cyclegan, dcgan, pix2pix
from slimcompat import errors, slim, tf

BLOCKS = [pix2pix.Block(4, 0.5), pix2pix.Block(8, 0), pix2pix.Block(8, 0)]
SIZE = 16


def _images(channels=3, size=SIZE):
  return tf.random.stateless_uniform([2, size, size, channels], [1, 2], -1.0, 1.0)


def _dcgan_generator():
  noise = tf.random.stateless_normal([2, 5], [1, 2])
  return dcgan.generator(noise, depth=4, final_size=SIZE)


def _pix2pix_generator(**kwargs):
  with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
    return pix2pix.pix2pix_generator(_images(), 3, BLOCKS, **kwargs)


def _pix2pix_discriminator():
  with slim.arg_scope(pix2pix.pix2pix_arg_scope()):
    return pix2pix.pix2pix_discriminator(_images(6), [4, 8, 8])


def _cyclegan(method):
  return cyclegan.cyclegan_generator_resnet(
    _images(),
    num_resnet_blocks=2,
    num_filters=4,
    upsample_fn=functools.partial(cyclegan.cyclegan_upsample, method=method),
  )


IMAGES = [2, SIZE, SIZE, 3]
# Each name: the net, the shape of its output and its end points.
NETS = {
  'dcgan generator': (_dcgan_generator, IMAGES, 'deconv1 deconv2 deconv3 logits'),
  'dcgan discriminator': (
    lambda: dcgan.discriminator(_images(), depth=4),
    [2, 1],
    'conv1 conv2 conv3 conv4 logits',
  ),
  **{
    f'pix2pix generator, {method}': (
      functools.partial(_pix2pix_generator, upsample_method=method),
      IMAGES,
      'encoder0 encoder1 encoder2 decoder0 decoder1 decoder2 logits predictions',
    )
    for method in pix2pix.UPSAMPLE_METHODS
  },
  # 16 pixels: 20 padded give 9, 13 give 5, 9 give 6, 10 give 7.
  'pix2pix discriminator': (
    _pix2pix_discriminator,
    [2, 7, 7, 1],
    'conv0 conv1 conv2 logits predictions',
  ),
  **{
    f'cyclegan generator, {method}': (
      functools.partial(_cyclegan, method),
      IMAGES,
      'encoder_0 encoder_1 encoder_2 resnet_block_0 resnet_block_1 decoder1 decoder2 logits'
      ' predictions',
    )
    for method in cyclegan.UPSAMPLE_METHODS
  },
}


@pytest.mark.parametrize('name', NETS)
def test_shapes_and_a_training_step(name):
  """The step changes every variable, and the loss falls."""
  net_fn, shape, end_point_names = NETS[name]
  tf.set_random_seed(1)
  output, end_points = net_fn()
  assert output.shape == shape
  assert end_points.keys() == set(end_point_names.split())
  loss = tf.reduce_mean(tf.square(output - 0.5))
  optimizer = tf.train.GradientDescentOptimizer(0.01)
  gradients = optimizer.compute_gradients(loss)
  largest = [tf.reduce_max(tf.abs(gradient)) for gradient, _ in gradients]
  step = slim.learning.create_train_op(loss, optimizer)
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    first = session.run([loss, *largest])
    assert np.isfinite(first).all()
    for (_, variable), value in zip(gradients, first[1:], strict=True):
      assert value > 0, variable.op.name
    for _ in range(20):
      session.run(step)
    assert session.run(loss) < first[0]


def test_variables():
  """Scopes that checkpoints depend on."""
  with tf.variable_scope('pix2pix'):
    _pix2pix_generator()
  with tf.variable_scope('cyclegan'):
    _cyclegan('conv2d_transpose')
  dcgan.discriminator(_images(size=4), depth=4)
  dcgan.generator(tf.zeros([2, 5]), depth=4, final_size=8)
  names = {variable.op.name for variable in tf.trainable_variables()}
  assert names >= {
    'pix2pix/encoder/Conv/biases',
    'pix2pix/encoder/Conv_1/InstanceNorm/gamma',
    'pix2pix/encoder/Conv_2/biases',
    'pix2pix/decoder/Conv_2/InstanceNorm/beta',
    'pix2pix/output/Conv/biases',
    'cyclegan/input/Conv/InstanceNorm/beta',
    'cyclegan/encoder/Conv_1/weights',
    'cyclegan/residual_blocks/block_1/Conv_1/InstanceNorm/gamma',
    'cyclegan/decoder/decoder2/upconv/Conv2d_transpose/biases',
    'cyclegan/output/Conv/biases',
    'Discriminator/conv1/biases',
    'Discriminator/conv2/BatchNorm/beta',
    'Discriminator/Conv/weights',
    'Generator/deconv1/BatchNorm/beta',
    'Generator/deconv2/biases',
    'Generator/logits/weights',
  }


def test_a_discriminator_judges_two_batches_with_the_same_variables():
  _, shape, _ = NETS['dcgan discriminator']
  for reuse in (None, True):
    logits, _ = dcgan.discriminator(_images(), depth=4, reuse=reuse)
    assert logits.shape == shape
  names = [variable.op.name for variable in tf.global_variables()]
  assert len(names) == len(set(names))


@pytest.mark.parametrize('generator', ['pix2pix', 'cyclegan'])
def test_sizes_may_be_unknown(generator):
  images = tf.placeholder(tf.float32, [None, None, None, 3])
  if generator == 'pix2pix':
    _, end_points = pix2pix.pix2pix_generator(images, 3, BLOCKS)
  else:
    upsample_fn = functools.partial(cyclegan.cyclegan_upsample, method='bilinear_upsample_conv')
    _, end_points = cyclegan.cyclegan_generator_resnet(
      images, num_resnet_blocks=1, num_filters=4, upsample_fn=upsample_fn
    )
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    for height, width in ((16, 24), (32, 8)):
      feed = {images: np.ones([1, height, width, 3])}
      predictions = session.run(end_points['predictions'], feed)
      assert predictions.shape == (1, height, width, 3)
      assert np.abs(predictions).max() < 1


def test_pix2pix_drops_in_evaluation_too():
  images = _pix2pix_generator(is_training=False)[0]
  with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    assert np.abs(session.run(images) - session.run(images)).max() > 0


REFUSED = {
  'dcgan, rank': (lambda: dcgan.discriminator(tf.zeros([2, 8, 8])), r'\(2, 8, 8\)'),
  'dcgan, not square': (lambda: dcgan.discriminator(tf.zeros([2, 8, 4, 3])), 'size, size'),
  'dcgan, unknown size': (
    lambda: dcgan.discriminator(tf.placeholder(tf.float32, [2, None, None, 3])),
    'known size',
  ),
  'dcgan, no power of 2': (lambda: dcgan.discriminator(tf.zeros([2, 12, 12, 3])), '12.*power'),
  'dcgan, noise': (lambda: dcgan.generator(tf.zeros([2, 1, 1, 5])), r'\(2, 1, 1, 5\)'),
  'dcgan, final size': (lambda: dcgan.generator(tf.zeros([2, 5]), final_size=24), '24.*power'),
  'dcgan, small': (lambda: dcgan.generator(tf.zeros([2, 5]), final_size=4), '4.*at least 8'),
  'pix2pix, size': (
    lambda: pix2pix.pix2pix_generator(tf.zeros([2, 250, 256, 3]), 3),
    '250x256.*multiples of 128',
  ),
  'pix2pix, method': (
    lambda: _pix2pix_generator(upsample_method='nn_upsample'),
    "Did you mean 'nn_upsample_conv'",
  ),
  'pix2pix, depths': (
    lambda: pix2pix.pix2pix_discriminator(tf.zeros(IMAGES), [64]),
    r'\[64\].*two depths',
  ),
  'cyclegan, size': (
    lambda: cyclegan.cyclegan_generator_resnet(tf.zeros([2, 18, 16, 3])),
    '18x16.*multiples of 4',
  ),
  'cyclegan, small': (
    lambda: cyclegan.cyclegan_generator_resnet(tf.zeros([2, 4, 4, 3])),
    '4x4.*8x8',
  ),
  'cyclegan, method': (
    lambda: _cyclegan('bilinear_upsample'),
    "Did you mean 'bilinear_upsample_conv'",
  ),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(case):
  call, message = REFUSED[case]
  with pytest.raises(errors.InputError, match=message):
    call()
