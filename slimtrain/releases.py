"""Released checkpoints: fetched once into the user's cache, checked, and used as they were made."""

import dataclasses
import os
import urllib.parse

from datasets import downloads, state_files, user_files
from nets import nets_factory
from slimcompat import errors, slim, tf
from slimtrain import checkpoint_files, checkpoints, console, files, model_facts

IMAGENET = 'imagenet'  # The --checkpoint_path that stands for what was released for the net.
_MAX_BYTES = 2 * 10**9  # Of an archive.
_HASHES_FILE = 'sha256.json'  # In the cache: {path of a file there: its SHA-256 when it was new}.


def is_chosen(checkpoint_path, mirror):
  """Returns whether `--checkpoint_path` stands for what was released for the net.

  Raises:
    InputError: when a `--checkpoint_mirror` is given for another checkpoint.
  """
  if checkpoint_path == IMAGENET:
    return True
  if mirror:
    raise errors.InputError(
      f'--checkpoint_mirror={mirror} is for --checkpoint_path={IMAGENET} alone. Set both, or'
      ' leave it out.'
    )
  return False


def fill_in(settings, image_size_flag):
  """Returns settings with the values that a net's released checkpoint was made with.

  What the user has set stays, and a line says so. The labels' offset is that of ImageNet's labels,
  so it is for that data set alone.

  Args:
    settings: with `model`, `data` and the field `image_size_flag`.
    image_size_flag: the name of the field and the flag for pixels per side.

  Raises:
    InputError: when nothing was released for the net.
  """
  network = nets_factory.NETWORKS[settings.model.model_name]
  release = find_release(network)
  data = settings.data
  offset = network.labels_offset if release.labels_offset is None else release.labels_offset
  released = {image_size_flag: release.image_size, 'preprocessing_name': release.preprocessing}
  if data.dataset_name == IMAGENET:
    # slim's default 0 cannot be told from a 0 that was given, which would fit no such checkpoint.
    released['labels_offset'] = offset or None
  taken = {}
  for name, value in released.items():
    given = getattr(settings if name == image_size_flag else data, name)
    if value is None or given == value:
      continue
    if given:
      console.say(
        f'--{name}={given} is kept, though {release.name} was released with --{name}={value}.'
      )
    else:
      taken[name] = value
  if not taken:
    return settings
  words = ', '.join(f'--{name}={value}' for name, value in taken.items())
  console.say(f'As {release.name} was released: {words}.')
  size = {name: taken.pop(name) for name in (image_size_flag,) if name in taken}
  return dataclasses.replace(settings, data=dataclasses.replace(data, **taken), **size)


def fetched(settings):
  """Returns TrainingSettings `settings` that start from the net's released checkpoint, now here.

  Raises:
    InputError: as `fetch`.
  """
  fine_tuning = settings.fine_tuning
  path = fetch(settings.model.model_name, fine_tuning.checkpoint_mirror)
  fine_tuning = dataclasses.replace(fine_tuning, checkpoint_path=path, checkpoint_mirror=None)
  return dataclasses.replace(settings, fine_tuning=fine_tuning)


def fetch(model_name, mirror=None):
  """Returns the path of a net's released checkpoint, from the cache or else from the network.

  Args:
    model_name: a row of nets_factory.NETWORKS.
    mirror: a URL that replaces that of the release up to the name of its file.

  Raises:
    InputError: when nothing was released for the net, it cannot be fetched, it changed since it
      was fetched first, or it is not of the net.
  """
  network = nets_factory.NETWORKS[model_name]
  release = find_release(network)
  # What was released with http is there with https, too.
  url = release.url.replace('http://', 'https://', 1)
  archive = os.path.basename(urllib.parse.urlsplit(url).path)
  cache_dir = os.path.join(user_files.cache_dir(), 'checkpoints')
  files.check_writable('checkpoint_path', cache_dir)
  folder = os.path.join(cache_dir, archive.removesuffix('.tgz').removesuffix('.tar.gz'))
  hashes = _read_hashes(cache_dir)
  found = {}
  if not os.path.isdir(folder):
    console.say(f'Fetching {release.name} to {folder}.')
    path = os.path.join(cache_dir, archive)
    is_the_users = os.path.isfile(path)
    found[archive] = downloads.obtain(
      url, path, release.sha256, mirror, hashes.get(archive), _MAX_BYTES
    )
    if is_the_users or found[archive] == release.sha256:
      hashes = {
        name: digest for name, digest in hashes.items() if not _is_of(name, archive, folder)
      }
    downloads.unpack(path, folder)
    os.remove(path)
  checkpoint = _find_checkpoint(folder)
  for path in _files_of(checkpoint):
    found[os.path.relpath(path, cache_dir)] = downloads.find_sha256(path)
  for name, digest in found.items():
    if hashes.get(name, digest) != digest:
      raise errors.InputError(
        f'{os.path.join(cache_dir, name)} is not the file any more that was fetched first: its'
        f' SHA-256 was {hashes[name]} and is {digest}. Remove {folder} to fetch it again.'
      )
  if not found.keys() <= hashes.keys():
    _check(network, release, checkpoint, folder)
    files.write_json(os.path.join(cache_dir, _HASHES_FILE), {**hashes, **found})
  return checkpoint


def find_release(network):
  """Returns the released_checkpoints.Checkpoint of a net. Raises InputError if there is none."""
  if not network.checkpoints:
    having = [row.name for row in nets_factory.NETWORKS.values() if row.checkpoints]
    raise errors.InputError(
      f'--checkpoint_path={IMAGENET}: nothing was released for {network.name}. There are'
      f' checkpoints of {", ".join(having)}.'
    )
  return network.checkpoints[0]


def _find_checkpoint(folder):
  """Returns the path of the checkpoint in `folder`."""
  paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
  found = [path.removesuffix('.index') for path in paths if path.endswith('.index')]
  if not found:
    # Of the format V1, which is one file.
    found = [path for path in paths if path.endswith('.ckpt')]
  if len(found) > 1:
    # Archives of MobileNet V3 have the moving averages, under plain names, beside the weights.
    found = [path for path in found if os.path.basename(os.path.dirname(path)) == 'ema']
  if len(found) != 1:
    raise errors.InputError(f'{folder} does not hold one checkpoint. Remove it to fetch it again.')
  return found[0]


def _files_of(checkpoint):
  """Returns the paths of the files that the values are in."""
  directory, start = os.path.split(checkpoint)
  return sorted(
    os.path.join(directory, name)
    for name in os.listdir(directory)
    if name == start or name.startswith((f'{start}.index', f'{start}.data-'))
  )


def _check(network, release, checkpoint, folder):
  """Raises InputError unless the net's variables are all there, in their shapes and readable."""
  try:
    file = checkpoint_files.CheckpointFile(checkpoint)
    for name in file.shapes:
      file.value(name)
    num_classes = model_facts.count_classes(network, file.shapes)
    size = release.image_size or network.image_size
    with tf.Graph().as_default():
      network_fn = nets_factory.get_network_fn(network.name, num_classes)
      network_fn(tf.placeholder(tf.float32, [1, size, size, network.num_channels]))
      plan = checkpoints.plan_restore(checkpoint, slim.get_model_variables())
    if plan.missing:
      raise errors.InputError(
        f'It lacks {len(plan.missing)} variables, such as {plan.missing[0].op.name}.'
      )
  except errors.InputError as error:
    raise errors.InputError(
      f'What was fetched as {release.name} is no checkpoint of {network.name}. {error} Remove'
      f' {folder} to fetch it again.'
    ) from error


def _is_of(name, archive, folder):
  """Returns whether `name`, in sha256.json, is an archive or a file unpacked from it."""
  return name == archive or name.startswith(os.path.basename(folder) + '/')


def _read_hashes(cache_dir):
  path = os.path.join(cache_dir, _HASHES_FILE)
  advice = 'Remove it; what is fetched is then remembered anew.'
  return state_files.read_json(path, dict[str, str], advice) or {}
