"""What training does to images, labels and weights of a batch, from flags to the loss."""

import numpy as np
import pytest

from datasets import image_folder
from slimcompat import errors, tf
from slimtrain import augmentation, checkpoints, inputs, models, training
from slimtrain import settings as settings_lib
from tests import scenes, shapes

SETTINGS = inputs.TrainingDataSettings(
  dataset_name='digits', batch_size=10, shuffle_buffer_size=50, deterministic_input=True
)
ALL = {
  'mixup_alpha': 0.4,
  'cutmix_alpha': 1.0,
  'rand_augment_layers': 1,
  'random_erasing_probability': 0.5,
}


def take(count, model_name='lenet', size=28, num_seen=0, seed=5, **changes):
  """Returns the first `count` batches for training, as lists of arrays by their parts."""
  settings = settings_lib.replace(SETTINGS, **changes)
  data = inputs.load_data(settings)
  with tf.Graph().as_default(), tf.Session() as session:
    batches = inputs.make_training_batches(data, settings, model_name, size, seed, num_seen)
    batch = tf.data.make_one_shot_iterator(batches).get_next()
    return inputs.Batch(*zip(*(session.run(batch) for _ in range(count)), strict=True))


@pytest.fixture(scope='module')
def photos_dir(tmp_path_factory):
  """A dataset of 30 JPEGs."""
  folder = tmp_path_factory.mktemp('photos')
  shapes.write(folder / 'images', images_per_class=10)
  image_folder.convert(str(folder / 'images'), str(folder / 'records'), validation_fraction=0.1)
  return str(folder / 'records')


def test_images_and_labels_are_mixed_alike():
  plain, mixed = take(6), take(6, mixup_alpha=1.0)
  for images, labels, own, own_labels in zip(
    mixed.images, mixed.labels, plain.images, plain.labels, strict=True
  ):
    hot = np.eye(10)[own_labels]
    assert labels.dtype == np.float32
    # One share for the batch, found where the two labels differ.
    place = next(i for i in range(5) if own_labels[i] != own_labels[-1 - i])
    share = labels[place][own_labels[place]]
    assert 0 < share < 1
    np.testing.assert_allclose(labels, share * hot + (1 - share) * hot[::-1], atol=1e-6)
    expected = share * own + (1 - share) * own[::-1]
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_cutmix_labels_have_the_shares_of_the_areas():
  plain, mixed = take(6), take(6, cutmix_alpha=1.0)
  for images, labels, own, own_labels in zip(
    mixed.images, mixed.labels, plain.images, plain.labels, strict=True
  ):
    is_own = np.all(images == own, axis=(0, 3))
    is_other = np.all(images == own[::-1], axis=(0, 3))
    assert np.all(is_own | is_other)
    # Where all digits are black on both sides, a pixel is of both.
    place = next(i for i in range(5) if own_labels[i] != own_labels[-1 - i])
    share = labels[place][own_labels[place]]
    assert 1 - is_other.mean() - 1e-6 <= share <= is_own.mean() + 1e-6
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
  ('model_name', 'cache'), [('inception_v1', 'none'), ('cifarnet', 'decoded')]
)
def test_batches_follow_from_the_seed_and_go_on(photos_dir, model_name, cache):
  changes = {
    **ALL,
    'cache': cache,
    'batch_size': 6,
    'dataset_name': 'image_folder',
    'dataset_dir': photos_dir,
  }
  whole = take(7, model_name, 24, **changes)
  rest = take(3, model_name, 24, num_seen=24, **changes)
  other = take(7, model_name, 24, seed=6, **changes)
  for part in ('images', 'labels'):
    np.testing.assert_array_equal(getattr(whole, part)[4:], getattr(rest, part))
    assert np.any(np.array(getattr(whole, part)) != np.array(getattr(other, part)))
  assert len({batch.tobytes() for batch in whole.images}) == 7


def test_without_a_seed_batches_differ():
  changes = {**ALL, 'deterministic_input': False}
  assert np.any(take(2, **changes).images[1] != take(2, **changes).images[1])


@pytest.mark.parametrize('task', ['multi_label', 'regression'])
def test_other_tasks_are_mixed(tmp_path, task):
  scenes.write(tmp_path, task, {'train': 20})
  changes = {'dataset_name': 'image_folder', 'dataset_dir': str(tmp_path), 'batch_size': 4}
  plain, mixed = take(2, size=32, **changes), take(2, size=32, mixup_alpha=0.4, **changes)
  for own, labels in zip(plain.labels, mixed.labels, strict=True):
    low, high = np.minimum(own, own[::-1]), np.maximum(own, own[::-1])
    assert np.all((labels >= low - 1e-6) & (labels <= high + 1e-6))


def train(train_dir, **changes):
  settings = training.TrainingSettings(
    train_dir=str(train_dir),
    max_number_of_steps=3,
    seed=1,
    model=models.TrainedModelSettings(model_name='lenet'),
    data=SETTINGS,
  )
  loss = training.train(settings_lib.replace(settings, **changes))
  reader = tf.train.NewCheckpointReader(checkpoints.find(str(train_dir)))
  return loss, {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_no_mixing_changes_no_bit(tmp_path):
  loss, plain = train(tmp_path / 'plain')
  changes = {
    'mixup_alpha': 0.0,
    'cutmix_alpha': 0.0,
    'rand_augment_layers': 0,
    'random_erasing_probability': 0.0,
  }
  other_loss, other = train(tmp_path / 'other', **changes)
  assert loss == other_loss
  for name, value in plain.items():
    np.testing.assert_array_equal(other[name], value, err_msg=name)


def test_all_of_it_trains_and_goes_on(tmp_path):
  changes = {
    **ALL,
    'num_clones': 2,
    'accumulate_steps': 2,
    'loss': 'focal',
    'class_weights': 'auto',
    'label_smoothing': 0.1,
  }
  _, whole = train(tmp_path / 'whole', **changes)
  train(tmp_path / 'halves', max_number_of_steps=1, **changes)
  loss, halves = train(tmp_path / 'halves', **changes)
  assert np.isfinite(loss)
  for name, value in whole.items():
    np.testing.assert_array_equal(halves[name], value, err_msg=name)


@pytest.mark.parametrize(
  ('changes', 'task', 'sentence'),
  [
    ({'mixup_alpha': 0.2}, 'single_label', '--batch_size=1 leaves nothing to mix'),
    ({'cutmix_alpha': 1.0}, 'regression', '--cutmix_alpha=1.0 is for classes'),
  ],
)
def test_refused(changes, task, sentence):
  batch_size = 1 if task == 'single_label' else 8
  with pytest.raises(errors.InputError, match=sentence):
    augmentation.check(augmentation.AugmentationSettings(**changes), task, batch_size)
