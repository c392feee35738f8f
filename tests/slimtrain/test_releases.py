"""Released checkpoints, from a server on this machine."""

import dataclasses
import functools
import gzip
import http.server
import json
import logging
import os
import pathlib
import re
import shutil
import tarfile
import threading

import numpy as np
import pytest

from nets import nets_factory, released_checkpoints
from slimcompat import errors, slim, tf
from slimtrain import checkpoints, evaluation, inputs, models, releases, training

URL = 'http://example.invalid/models'


def tiny(images, num_classes, is_training=False, scope='tiny', reuse=None):
  del is_training
  with tf.variable_scope(scope, 'tiny', [images], reuse=reuse):
    net = slim.conv2d(images, 4, [3, 3], stride=2, scope='conv')
    net = tf.reduce_mean(net, [1, 2])
    logits = slim.fully_connected(net, num_classes, activation_fn=None, scope='logits')
  return logits, {'Predictions': tf.nn.softmax(logits)}


@pytest.fixture
def net(monkeypatch):
  """A net in the table of which a checkpoint was released."""
  release = released_checkpoints.Checkpoint(
    'Tiny', f'{URL}/tiny_2016.tar.gz', 1.0, 2.0, image_size=20, preprocessing='lenet'
  )
  network = nets_factory.Network(
    'tiny',
    tiny,
    lambda weight_decay: {},
    classifier_scopes=('tiny/logits',),
    checkpoints=(release,),
    image_size=24,
    labels_offset=1,
  )
  monkeypatch.setitem(nets_factory.NETWORKS._rows, 'tiny', network)
  return network


def make_archive(
  path, num_classes=10, version=tf.train.SaverDef.V2, leave_out=(), num_files=4, parents=('',)
):
  """Writes what was released; returns the values of the variables."""
  folder = path.parent / 'weights'
  with tf.Graph().as_default(), tf.Session() as session:
    tiny(tf.zeros([1, 20, 20, 1]), num_classes)
    tf.train.get_or_create_global_step()
    session.run(tf.global_variables_initializer())
    variables = {v.op.name: v for v in tf.global_variables() if v.op.name not in leave_out}
    folder.mkdir(parents=True)
    tf.train.Saver(variables, write_version=version).save(session, str(folder / 'tiny.ckpt'))
    values = session.run(variables)
  with tarfile.open(path, 'w:gz') as archive:
    for file in sorted(folder.iterdir())[:num_files]:
      if file.name != 'checkpoint':
        for parent in parents:
          archive.add(file, parent + file.name)
  return values


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """The folder of fetched checkpoints."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / 'slimtrain' / 'checkpoints'


@pytest.fixture
def server(tmp_path, monkeypatch):
  """A server of the folder `served`, as a URL, that lists what it was asked for."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
      requests.append(args[1])

  requests = []
  (tmp_path / 'served').mkdir()
  handler = functools.partial(Handler, directory=str(tmp_path / 'served'))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f'http://127.0.0.1:{running.server_port}/', requests
    running.shutdown()
    thread.join()


@pytest.fixture(autouse=True)
def lines(caplog):
  """What is said."""
  caplog.set_level(logging.INFO, logger='slimtrain')
  return lambda: [record.message for record in caplog.records if record.name == 'slimtrain']


@pytest.fixture
def gray(net, monkeypatch):
  """The net for gray images, such as the digits."""
  network = dataclasses.replace(net, num_channels=1)
  monkeypatch.setitem(nets_factory.NETWORKS._rows, 'tiny', network)
  return network


@pytest.fixture
def released(tmp_path, gray, cache, server):
  """The values that were released, where they can be fetched."""
  del gray, cache, server
  return make_archive(tmp_path / 'served' / 'tiny_2016.tar.gz')


@pytest.mark.parametrize('version', [tf.train.SaverDef.V1, tf.train.SaverDef.V2], ids=['V1', 'V2'])
def test_fetched_once_and_checked(tmp_path, gray, cache, server, version):
  del gray
  url, requests = server
  archive = tmp_path / 'served' / 'tiny_2016.tar.gz'
  values = make_archive(archive, version=version)
  path = releases.fetch('tiny', url)
  assert path == str(cache / 'tiny_2016' / 'tiny.ckpt')
  reader = tf.train.NewCheckpointReader(path)
  for name, value in values.items():
    np.testing.assert_array_equal(reader.get_tensor(name), value)
  hashes = json.loads((cache / 'sha256.json').read_text())
  endings = [''] if version == tf.train.SaverDef.V1 else ['.data-00000-of-00001', '.index']
  names = {f'tiny_2016/tiny.ckpt{ending}' for ending in endings}
  assert set(hashes) == {'tiny_2016.tar.gz'} | names
  num_requests = len(requests)
  assert releases.fetch('tiny', 'http://127.0.0.1:9/') == path
  assert len(requests) == num_requests == 1
  assert not (cache / 'tiny_2016.tar.gz').exists()


def test_of_several_the_averages_are_taken(tmp_path, gray, cache, server):
  del gray
  make_archive(tmp_path / 'served' / 'tiny_2016.tar.gz', parents=('a/ema/', 'a/pristine/'))
  assert releases.fetch('tiny', server[0]) == str(cache / 'tiny_2016' / 'a' / 'ema' / 'tiny.ckpt')


def test_a_changed_archive_is_refused(tmp_path, released, cache, server):
  del released
  releases.fetch('tiny', server[0])
  for file in (cache / 'tiny_2016').iterdir():
    file.unlink()
  (cache / 'tiny_2016').rmdir()
  archive = tmp_path / 'served' / 'tiny_2016.tar.gz'
  archive.write_bytes(archive.read_bytes() + b'\0' * 512)
  with pytest.raises(errors.InputError, match='SHA-256'):
    releases.fetch('tiny', server[0])


def test_a_changed_archive_that_the_user_puts_there_is_taken(tmp_path, released, cache, server):
  del released
  releases.fetch('tiny', server[0])
  shutil.rmtree(cache / 'tiny_2016')
  data = (tmp_path / 'served' / 'tiny_2016.tar.gz').read_bytes()
  archive = cache / 'tiny_2016.tar.gz'
  archive.write_bytes(gzip.compress(gzip.decompress(data)))
  for _ in range(2):
    releases.fetch('tiny', 'http://127.0.0.1:9/')


def test_the_published_digest_counts(released, gray, cache, server, monkeypatch, capsys):
  del released
  release = dataclasses.replace(gray.checkpoints[0], sha256='12')
  network = dataclasses.replace(gray, checkpoints=(release,))
  monkeypatch.setitem(nets_factory.NETWORKS._rows, 'tiny', network)
  monkeypatch.setattr(releases.downloads, '_is_local', lambda mirror: False)
  with pytest.raises(errors.InputError, match=r'in place of 12: .* rename it to'):
    releases.fetch('tiny', server[0])
  # As the message says.
  os.rename(cache / 'tiny_2016.tar.gz.wrong', cache / 'tiny_2016.tar.gz')
  for _ in range(2):
    releases.fetch('tiny', server[0])
  assert 'is not the published file' in capsys.readouterr().err


def test_the_published_file_replaces_what_is_remembered(
  tmp_path, released, gray, cache, server, monkeypatch
):
  del released
  releases.fetch('tiny', server[0])
  shutil.rmtree(cache / 'tiny_2016')
  archive = tmp_path / 'served' / 'tiny_2016.tar.gz'
  archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes())))
  published = releases.downloads.find_sha256(str(archive))
  release = dataclasses.replace(gray.checkpoints[0], sha256=published)
  network = dataclasses.replace(gray, checkpoints=(release,))
  monkeypatch.setitem(nets_factory.NETWORKS._rows, 'tiny', network)
  monkeypatch.setattr(releases.downloads, '_is_local', lambda mirror: False)
  for _ in range(2):
    releases.fetch('tiny', server[0])


def test_digests_are_digests():
  published = [row.sha256 for rows in released_checkpoints.CHECKPOINTS.values() for row in rows]
  published = [digest for digest in published if digest]
  assert len(set(published)) == len(published) == 8
  assert all(re.fullmatch('[0-9a-f]{64}', digest) for digest in published)


def test_a_changed_file_is_refused(released, cache, server):
  del released
  path = pathlib.Path(releases.fetch('tiny', server[0]) + '.data-00000-of-00001')
  data = bytearray(path.read_bytes())
  data[5] ^= 1
  path.write_bytes(data)
  with pytest.raises(errors.InputError, match=r'not the file any more .* Remove \S+tiny_2016 to'):
    releases.fetch('tiny', server[0])
  (cache / 'sha256.json').write_text('[1')
  with pytest.raises(errors.InputError, match=r'sha256\.json is damaged'):
    releases.fetch('tiny', server[0])


@pytest.mark.parametrize(
  ('archive', 'sentence'),
  [
    ({'leave_out': ['tiny/conv/biases']}, 'It lacks 1 variables, such as tiny/conv/biases'),
    ({'leave_out': ['tiny/logits/biases']}, 'Its classifier, .*, is not there'),
    ({'parents': ('a/', 'b/')}, 'does not hold one checkpoint'),
    ({'num_files': 1}, 'does not hold one checkpoint'),
  ],
  ids=['variable', 'classifier', 'two', 'none'],
)
def test_what_is_no_checkpoint_of_the_net_is_refused(
  tmp_path, gray, cache, server, archive, sentence
):
  del gray
  make_archive(tmp_path / 'served' / 'tiny_2016.tar.gz', **archive)
  for _ in range(2):  # It does not become known by that.
    with pytest.raises(errors.InputError, match=sentence):
      releases.fetch('tiny', server[0])
  assert not (cache / 'sha256.json').exists()


def test_other_shapes_are_refused(tmp_path, net, cache, server):
  del net, cache
  make_archive(tmp_path / 'served' / 'tiny_2016.tar.gz')
  sentence = r'Tiny is no checkpoint of tiny\. .* tiny/conv/weights is \[3, 3, 1, 4\] there'
  with pytest.raises(errors.InputError, match=sentence):
    releases.fetch('tiny', server[0])


def test_nothing_there(gray, cache, server):
  del gray, cache
  with pytest.raises(errors.InputError):
    releases.fetch('tiny', server[0])


def test_nets_without_a_release_are_refused_with_those_that_have_one():
  with pytest.raises(
    errors.InputError, match=r'nothing was released for lenet\. .* vgg_16, vgg_19'
  ):
    releases.fetch('lenet')


def test_a_mirror_of_nothing_is_refused():
  assert releases.is_chosen('imagenet', 'http://127.0.0.1/')
  assert not releases.is_chosen('a', None)
  with pytest.raises(errors.InputError, match='--checkpoint_mirror=b is for'):
    releases.is_chosen('a', 'b')


def make_settings(tmp_path, **changes):
  data = {'dataset_name': 'digits', 'batch_size': 4, **changes}
  size, name = data.pop('train_image_size', None), data.pop('model_name', 'tiny')
  mirror = data.pop('mirror', None)
  return training.TrainingSettings(
    train_dir=str(tmp_path / 'run'),
    train_image_size=size,
    max_number_of_steps=2,
    model=models.TrainedModelSettings(model_name=name),
    data=inputs.TrainingDataSettings(**data),
    fine_tuning=checkpoints.FineTuningSettings(
      checkpoint_path='imagenet', checkpoint_mirror=mirror
    ),
  )


@pytest.mark.parametrize(
  ('given', 'size', 'preprocessing', 'offset', 'said'),
  [
    (
      {},
      20,
      'lenet',
      0,
      'As Tiny was released: --train_image_size=20, --preprocessing_name=lenet.',
    ),
    (
      {'train_image_size': 32},
      32,
      'lenet',
      0,
      '--train_image_size=32 is kept, though Tiny was released with --train_image_size=20.',
    ),
    (
      {'preprocessing_name': 'vgg', 'train_image_size': 20},
      20,
      'vgg',
      0,
      '--preprocessing_name=vgg is kept, though Tiny was released with --preprocessing_name=lenet.',
    ),
    (
      {'dataset_name': 'imagenet', 'train_image_size': 20, 'preprocessing_name': 'lenet'},
      20,
      'lenet',
      1,
      'As Tiny was released: --labels_offset=1.',
    ),
  ],
  ids=['none', 'size', 'preprocessing', 'imagenet'],
)
def test_released_values(tmp_path, net, lines, given, size, preprocessing, offset, said):
  del net
  settings = releases.fill_in(make_settings(tmp_path, **given), 'train_image_size')
  assert settings.train_image_size == size
  assert settings.data.preprocessing_name == preprocessing
  assert settings.data.labels_offset == offset
  assert said in lines()


@pytest.mark.parametrize('row', ['resnet_v2_50', 'vgg_16', 'mobilenet_v1_025'])
def test_the_tables_values(tmp_path, row):
  settings = make_settings(tmp_path, model_name=row, dataset_name='imagenet')
  settings = releases.fill_in(settings, 'train_image_size')
  got = settings.train_image_size, settings.data.preprocessing_name, settings.data.labels_offset
  assert (
    got
    == {
      'resnet_v2_50': (299, 'inception', 0),
      'vgg_16': (None, None, 1),
      'mobilenet_v1_025': (128, None, 0),
    }[row]
  )


def test_training_and_evaluation_use_it(tmp_path, released, server, lines):
  settings = make_settings(tmp_path, use_grayscale=True, mirror=server[0])
  training.train(settings)
  assert '      4 restored, first tiny/conv/weights' in lines()
  assert '--checkpoint_path=imagenet' in (tmp_path / 'run' / 'flags.txt').read_text()
  reader = tf.train.NewCheckpointReader(str(tmp_path / 'run' / 'model.ckpt-2'))
  assert reader.get_tensor('tiny/conv/weights').shape == released['tiny/conv/weights'].shape
  # It goes on without the released one.
  for file in (tmp_path / 'served').glob('*'):
    os.replace(file, tmp_path / file.name)
  training.train(dataclasses.replace(settings, max_number_of_steps=3))
  result = evaluation.evaluate(
    evaluation.EvaluationSettings(
      checkpoint_path='imagenet',
      eval_dir=str(tmp_path / 'eval'),
      model=models.ModelSettings(model_name='tiny'),
      data=inputs.DataSettings(
        dataset_name='digits', dataset_split_name='test', use_grayscale=True
      ),
    )
  )
  assert result['global_step'] == 0
  assert 'As Tiny was released: --eval_image_size=20, --preprocessing_name=lenet.' in lines()
