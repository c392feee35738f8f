"""Finding checkpoints, and what becomes of each variable when one is restored."""

import os
import pathlib

import numpy as np
import pytest

from nets import nets_factory
from slimcompat import errors, slim, tf
from slimtrain import checkpoints, variable_scopes


def build_net(name, num_classes=10, size=32):
  """Builds a net in the default graph, with a global step."""
  network_fn = nets_factory.get_network_fn(name, num_classes, weight_decay=0.0)
  network_fn(tf.zeros([1, size, size, 3]))
  return tf.train.get_or_create_global_step()


def save_net(directory, name, num_classes=10, version=tf.train.SaverDef.V2, step=12):
  """Saves a freshly initialized net; returns its checkpoint and its values."""
  with tf.Graph().as_default(), tf.Session() as session:
    global_step = build_net(name, num_classes)
    session.run(tf.global_variables_initializer())
    session.run(global_step.assign(step))
    saver = tf.train.Saver(write_version=version)
    checkpoint = saver.save(session, os.path.join(directory, 'model.ckpt'), global_step)
    values = session.run({v.op.name: v for v in tf.global_variables()})
  return checkpoint, values


@pytest.fixture(scope='module')
def cifarnet(tmp_path_factory):
  """A checkpoint of cifarnet with 10 classes at step 12, and its values."""
  return save_net(tmp_path_factory.mktemp('cifarnet'), 'cifarnet')


def plan_start(**settings):
  return checkpoints.plan_start(checkpoints.FineTuningSettings(**settings), num_classes=10)


@pytest.mark.parametrize('version', [tf.train.SaverDef.V1, tf.train.SaverDef.V2], ids=['V1', 'V2'])
def test_both_formats_restore_from_file_and_directory(tmp_path, version):
  checkpoint, values = save_net(tmp_path, 'cifarnet', version=version)
  build_net('cifarnet')
  paths = [checkpoint, str(tmp_path)]
  if version == tf.train.SaverDef.V2:
    paths.append(f'{checkpoint}.index')
  for path in paths:
    plan = plan_start(checkpoint_path=path)
    assert len(plan.restored) == 10
    assert not (plan.excluded or plan.skipped_for_shape or plan.missing)
    assert plan.unused == ['global_step']
    assert checkpoints.saved_step(plan.checkpoint) == 12
    with tf.Session() as session:
      checkpoints.make_restore_fn(plan)(session)
      for variable in slim.get_model_variables():
        np.testing.assert_array_equal(session.run(variable), values[variable.op.name])


def test_a_classifier_for_other_classes_is_left_out(cifarnet):
  build_net('cifarnet', num_classes=3)
  settings = checkpoints.FineTuningSettings(checkpoint_path=cifarnet[0])
  plan = checkpoints.plan_start(settings, num_classes=3)
  skipped = {variable.op.name for variable in plan.skipped_for_shape}
  assert skipped == {'CifarNet/logits/weights', 'CifarNet/logits/biases'}
  assert len(plan.restored) == 8


def test_excluded_scopes_keep_their_initial_values(cifarnet):
  build_net('cifarnet')
  plan = plan_start(
    checkpoint_path=cifarnet[0], checkpoint_exclude_scopes='CifarNet/logits,CifarNet/fc4'
  )
  assert {v.op.name for v in plan.excluded} == {
    f'CifarNet/{scope}/{kind}' for scope in ('fc4', 'logits') for kind in ('weights', 'biases')
  }
  assert len(plan.restored) == 6


def test_report_counts_and_names_the_first_of_each(cifarnet):
  build_net('cifarnet')
  lines = checkpoints.report(
    plan_start(checkpoint_path=cifarnet[0], checkpoint_exclude_scopes='CifarNet/conv1')
  )
  assert lines == [
    f'Restoring from {cifarnet[0]}:',
    '      8 restored, first CifarNet/conv2/weights',
    '      2 excluded, first CifarNet/conv1/weights',
    '      0 skipped for shape',
    '      0 missing',
    '      1 unused, first global_step',
  ]


@pytest.mark.parametrize('ignore', [False, True])
def test_missing_variables(cifarnet, ignore):
  build_net('cifarnet')
  slim.model_variable('CifarNet/new', [2])
  if ignore:
    plan = plan_start(checkpoint_path=cifarnet[0], ignore_missing_vars=True)
    assert [variable.op.name for variable in plan.missing] == ['CifarNet/new']
  else:
    with pytest.raises(errors.InputError, match=r'lacks 1 variables .*CifarNet/new.*--ignore_miss'):
      plan_start(checkpoint_path=cifarnet[0])


def test_only_included_scopes_are_restored(cifarnet):
  build_net('cifarnet')
  plan = plan_start(
    checkpoint_path=cifarnet[0],
    checkpoint_include_scopes='CifarNet/conv, CifarNet/logits',
    checkpoint_exclude_scopes='CifarNet/conv2',
  )
  assert sorted(plan.restored) == [
    f'CifarNet/{scope}/{kind}' for scope in ('conv1', 'logits') for kind in ('biases', 'weights')
  ]
  assert len(plan.excluded) == 6
  assert not plan.missing


def test_renamed_scopes_are_restored(tmp_path):
  # The scopes of this file have other names, and one of its convolutions took the other's place.
  names = {'conv1': 'old/first', 'conv2': 'old/conv1', 'logits': 'old/conv10'}
  with tf.Graph().as_default(), tf.Session() as session:
    build_net('cifarnet')
    session.run(tf.global_variables_initializer())
    variables = {v.op.name.split('/', 1)[-1]: v for v in slim.get_model_variables()}
    values = session.run(variables)
    renamed = {}
    for name, variable in variables.items():
      scope, kind = name.split('/')
      renamed[f'{names.get(scope, "old/" + scope)}/{kind}'] = variable
    checkpoint = tf.train.Saver(renamed).save(session, str(tmp_path / 'renamed'))
  build_net('cifarnet')
  plan = plan_start(
    checkpoint_path=checkpoint,
    checkpoint_name_map='old/=CifarNet/, old/first=CifarNet/conv1, old/conv1/=CifarNet/conv2/,'
    'old/conv10=CifarNet/logits',
  )
  assert len(plan.restored) == len(plan.renamed) == 10
  assert not (plan.missing or plan.unused)
  assert checkpoints.report(plan)[-1].startswith('     10 of those restored renamed, first old/')
  with tf.Session() as session:
    checkpoints.make_restore_fn(plan)(session)
    for variable in slim.get_model_variables():
      expected = values[variable.op.name.split('/', 1)[-1]]
      np.testing.assert_array_equal(session.run(variable), expected)


@pytest.mark.parametrize(
  ('name_map', 'sentence'),
  [
    ('CifarNet/conv3=CifarNet/conv1', "no scope 'CifarNet/conv3'. .* Scopes in the checkpoint"),
    ('CifarNet/conv1=CifarNet/conv7', "no scope 'CifarNet/conv7'. .* Scopes here"),
    ('CifarNet/conv1=CifarNet/conv2', 'makes CifarNet/conv2/.* of both CifarNet/conv'),
    ('CifarNet/conv1', "'CifarNet/conv1' does not say how"),
    ('a=b=c', "'a=b=c' does not say how"),
    ('=', "'=' does not say how"),
    ('a=b,a=c', "'a=c' does not say how"),
  ],
)
def test_name_maps_are_refused(cifarnet, name_map, sentence):
  build_net('cifarnet')
  with pytest.raises(errors.InputError, match=f'--checkpoint_name_map.*{sentence}'):
    plan_start(checkpoint_path=cifarnet[0], checkpoint_name_map=name_map)


@pytest.mark.parametrize(
  ('name', 'value'),
  [('checkpoint_include_scopes', 'CifarNet'), ('checkpoint_name_map', 'a=b')],
)
def test_settings_of_no_checkpoint_are_refused(name, value):
  with pytest.raises(errors.InputError, match=f'--{name} is set, but there'):
    plan_start(**{name: value})


def test_another_net_is_refused(cifarnet):
  build_net('vgg_a', size=224)
  sentence = r'of another net: .*CifarNet/.* vgg_a/.* The checkpoint looks like cifarnet\. '
  with pytest.raises(errors.InputError, match=sentence):
    plan_start(checkpoint_path=cifarnet[0])


def test_another_width_is_refused(tmp_path):
  checkpoint, _ = save_net(tmp_path, 'mobilenet_v1_025')
  build_net('mobilenet_v1_050')
  sentence = r'width .*\[3, 3, 3, 8\].*\[3, 3, 3, 16\].* checkpoint looks like mobilenet_v1_025\.'
  with pytest.raises(errors.InputError, match=sentence):
    plan_start(checkpoint_path=checkpoint)


@pytest.mark.parametrize(
  ('path', 'sentence'),
  [
    ('empty', 'holds no checkpoint'),
    ('missing/model.ckpt-1', 'There is no checkpoint'),
    ('garbage', 'is damaged'),
  ],
)
def test_find_refuses(tmp_path, path, sentence):
  for name in ('empty', 'garbage'):
    (tmp_path / name).mkdir()
  (tmp_path / 'garbage' / 'checkpoint').write_bytes(b'\xff\xfe')
  with pytest.raises(errors.InputError, match=sentence):
    checkpoints.find(str(tmp_path / path))


def test_a_truncated_checkpoint_is_refused(tmp_path):
  checkpoint, _ = save_net(tmp_path, 'cifarnet')
  data = pathlib.Path(f'{checkpoint}.data-00000-of-00001')
  data.write_bytes(data.read_bytes()[:-1000])
  build_net('cifarnet')
  restore = checkpoints.make_restore_fn(plan_start(checkpoint_path=checkpoint))
  with tf.Session() as session, pytest.raises(errors.InputError, match='is damaged'):
    restore(session)


def test_resume_wants_every_variable(tmp_path):
  save_net(tmp_path, 'cifarnet')
  build_net('cifarnet')
  assert checkpoints.plan_resume(str(tmp_path)).restored
  tf.get_variable('CifarNet/conv1/weights/Momentum', [2])
  with pytest.raises(errors.InputError, match='cannot be continued: it lacks 1 variables'):
    checkpoints.plan_resume(str(tmp_path))


def test_resume_of_nothing(tmp_path):
  build_net('cifarnet')
  assert checkpoints.plan_resume(str(tmp_path)) is None


@pytest.mark.parametrize(
  ('scopes', 'count'), [(None, 10), ('CifarNet/logits', 2), ('CifarNet/conv1, CifarNet/fc3', 4)]
)
def test_variables_to_train(scopes, count):
  build_net('cifarnet')
  assert len(variable_scopes.find_trainable('trainable_scopes', scopes)) == count


def test_a_scope_that_matches_nothing_is_refused(cifarnet):
  build_net('cifarnet')
  sentence = "There is no scope 'CifarNet/fc5'. Did you mean 'CifarNet/fc[34]'"
  with pytest.raises(errors.InputError, match=f'--trainable_scopes: {sentence}'):
    variable_scopes.find_trainable('trainable_scopes', 'CifarNet/logits, CifarNet/fc5')
  with pytest.raises(errors.InputError, match=f'--checkpoint_exclude_scopes: {sentence}'):
    plan_start(checkpoint_path=cifarnet[0], checkpoint_exclude_scopes='CifarNet/fc5')
