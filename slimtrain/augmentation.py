"""What training does to images and batches beside their preprocessing, whichever that is."""

import dataclasses

from slimcompat import errors, tf
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import mixing, rand_augment, random_erasing


@dataclasses.dataclass(frozen=True)
class AugmentationSettings(settings_lib.Settings):
  """Augmentation."""

  rand_augment_layers: int = settings_lib.setting(
    0,
    'RandAugment: how many distortions drawn at random an image gets, before its preprocessing, or'
    ' after its crop where no more is decoded. 2 is usual. They move, turn and shear: not for'
    ' targets that are positions.',
    lower=0,
  )
  rand_augment_magnitude: float = settings_lib.setting(
    9.0, 'RandAugment: their strength.', lower=0, upper=rand_augment.MAX_MAGNITUDE
  )
  random_erasing_probability: float = settings_lib.setting(
    0.0,
    'How likely noise replaces a rectangle of an image, after its preprocessing.',
    lower=0,
    upper=1,
  )
  mixup_alpha: float = settings_lib.setting(
    0.0,
    'mixup: images and labels of a batch are mixed in pairs, by a share of the distribution'
    ' Beta(alpha, alpha). 0.2 is usual; 0: none.',
    lower=0,
  )
  cutmix_alpha: float = settings_lib.setting(
    0.0,
    'CutMix: a rectangle of each image comes from another, and so does that part of the label.'
    ' 1 is usual; 0: none. With mixup, too, a batch gets one of both at random.',
    lower=0,
  )

  @property
  def mixes(self):
    """Whether examples are mixed."""
    return bool(self.mixup_alpha or self.cutmix_alpha)


def check(settings, task, batch_size):
  """Raises InputError when examples cannot be mixed.

  Args:
    settings: AugmentationSettings.
    task: one of dataset_info.TASKS.
    batch_size: an int.
  """
  if settings.mixes and batch_size < 2:
    raise errors.InputError(
      f'--batch_size={batch_size} leaves nothing to mix an example with. Give larger batches, or'
      ' leave --mixup_alpha and --cutmix_alpha out.'
    )
  if settings.cutmix_alpha and task == 'regression':
    raise errors.InputError(
      f'--cutmix_alpha={settings.cutmix_alpha} is for classes: what numbers belong to a patchwork'
      ' of two images, nobody knows. Leave the flag out; --mixup_alpha mixes images as wholes.'
    )


def distort(settings, image):
  """Returns `image`, uint8 `[height, width, channels]`, after RandAugment."""
  return rand_augment.distort(image, settings.rand_augment_layers, settings.rand_augment_magnitude)


def erase(settings, image):
  """Returns the preprocessed `image` `[height, width, channels]`, perhaps with noise in it."""
  if not settings.random_erasing_probability:
    return image
  return random_erasing.erase(image, settings.random_erasing_probability)


def mix(settings, batch, num_classes):
  """Returns an inputs.Batch with its examples mixed, and so its labels float `[batch, classes]`."""
  height, width = tf.unstack(tf.shape(batch.images)[1:3])
  shares = mixing.draw_shares(height, width, settings.mixup_alpha, settings.cutmix_alpha)
  share = tf.reduce_mean(shares)
  labels = batch.labels
  if labels.dtype.is_integer:
    labels = tf.one_hot(labels, num_classes)
  return batch._replace(
    images=tf.ensure_shape(mixing.mix(batch.images, shares), batch.images.shape),
    labels=mixing.mix(labels, share),
    example_weights=tf.nest.map_structure(
      lambda weights: mixing.mix(weights, share), batch.example_weights
    ),
  )
