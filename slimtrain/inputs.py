"""From TFRecord files to batches of preprocessed images, with tf.data."""

import contextlib
import dataclasses
import functools
import os
import random
import re
import warnings
from typing import NamedTuple

from datasets import (
  dataset_factory,
  dataset_info,
  records,
  sound_records,
  verification,
)
from slimcompat import errors, paths, slim, tf
from slimtrain import augmentation as augmentation_lib
from slimtrain import console, example_weights
from slimtrain import examples as examples_lib
from slimtrain import settings as settings_lib
from slimtrain.preprocessing import preprocessing_factory, randomness


@dataclasses.dataclass(frozen=True)
class DataSettings(settings_lib.Settings):
  """Data."""

  dataset_name: str = settings_lib.setting(
    'imagenet', 'The dataset.', choices=dataset_factory.DATASETS
  )
  dataset_split_name: str = settings_lib.setting('train', 'The split of the dataset.')
  dataset_dir: str | None = settings_lib.setting(
    None, 'The directory with its TFRecord files. digits needs none.', path=paths.data
  )
  labels_offset: int = settings_lib.setting(
    0,
    'single_label: subtracted from the labels and from the number of classes. 1 for VGG and ResNet'
    " v1 weights, made without ImageNet's background class 0.",
    lower=0,
  )
  batch_size: int = settings_lib.setting(32, 'Examples in a batch, of each clone.', lower=1)
  preprocessing_name: str | None = settings_lib.setting(
    None,
    'How images are preprocessed. Unset: as --model_name says. Where targets of regression are'
    ' positions or sizes in the image, choose one that neither crops nor flips.',
    choices=lambda: preprocessing_factory.known_names(),
  )
  preprocessing: preprocessing_factory.PreprocessingSettings = settings_lib.group(
    preprocessing_factory.PreprocessingSettings
  )
  use_grayscale: bool = settings_lib.setting(False, 'Whether images are made gray, 1 channel.')
  num_readers: int = settings_lib.setting(4, 'Files read at the same time.', lower=1)
  num_preprocessing_threads: int = settings_lib.setting(
    4, 'Images preprocessed at the same time, where there are not more cores.', lower=1
  )
  input_timeout_secs: float = settings_lib.setting(
    120.0,
    'Seconds in which nothing is read or decoded after which an input without a first batch counts'
    ' as stuck.',
    above=0,
  )
  input_mode: str = settings_lib.setting(
    'tfrecord',
    'Where images are taken from: the TFRecords; the image files in --image_dir that the records'
    ' name; or memory, where all are decoded before the first step. Examples and their order are'
    ' the same.',
    choices=('tfrecord', 'files', 'memory'),
  )
  image_dir: str | None = settings_lib.setting(
    None, 'files: the folder that was converted, with the image files.', path=paths.image
  )
  record_errors: str = settings_lib.setting(
    'stop',
    'What follows a bad record: the run ends and names it; or it is left out. For that, every'
    ' record is read and decoded once before the first step, which is remembered.',
    choices=('stop', 'skip'),
  )
  max_skipped_records: int | None = settings_lib.setting(
    None,
    '--record_errors=skip: bad records left out at most; with more the run ends and lists them.'
    ' Unset: any number.',
    lower=0,
  )
  layout: records.RecordSettings = settings_lib.group(records.RecordSettings)
  example_weight_key = None  # Only training weighs.

  def __post_init__(self):
    super().__post_init__()
    if (self.input_mode == 'files') != (self.image_dir is not None):
      raise errors.InputError(
        f'--input_mode={self.input_mode} with --image_dir={self.image_dir} makes no sense: files'
        ' needs it, the folder of the image files, and the others have no use for it.'
      )


@dataclasses.dataclass(frozen=True)
class TrainingDataSettings(DataSettings):
  """Data."""

  shuffle_buffer_size: int = settings_lib.setting(
    2048,
    'Examples out of which the next is drawn, after the files were shuffled. Each is held as it is'
    ' in its file.',
    lower=1,
  )
  cache: str = settings_lib.setting(
    'none',
    'What stays in memory after the first epoch: the records, or the decoded images, of height x'
    ' width x channels bytes each.',
    choices=('none', 'records', 'decoded'),
  )
  deterministic_input: bool = settings_lib.setting(
    False,
    'Whether order and distortions follow from --seed alone, also after the run was continued.',
  )
  fast_jpeg: bool = settings_lib.setting(
    False,
    'Whether JPEGs of which training crops a part are decoded faster and less exactly, and large'
    ' ones at 1/2, 1/4 or 1/8 of their size as long as the crop is not enlarged. The preprocessing'
    ' vgg then crops before it resizes: to whole pixels.',
  )
  example_weight_key: str | None = settings_lib.setting(
    None,
    'The key, in a record, of a float by which the loss of its example is multiplied. Unset: all'
    ' count the same.',
  )
  augmentation: augmentation_lib.AugmentationSettings = settings_lib.group(
    augmentation_lib.AugmentationSettings
  )

  def __post_init__(self):
    super().__post_init__()
    if self.cache != 'none' and self.input_mode != 'tfrecord':
      raise errors.InputError(
        f'--cache={self.cache} is for --input_mode=tfrecord; {self.input_mode} keeps what it needs'
        ' in memory. Leave one of them out.'
      )
    if self.fast_jpeg and self.input_mode == 'memory':
      raise errors.InputError(
        '--fast_jpeg and --input_mode=memory exclude each other: images are decoded once, as a'
        ' whole. Leave one of them out.'
      )


class Data(NamedTuple):
  """A dataset whose files were checked."""

  dataset: slim.dataset.Dataset
  files: list  # Paths of the TFRecord files.
  num_examples: int
  # Of the net: the dataset's less the labels' offset. For regression, the number of targets.
  num_classes: int
  class_counts: tuple | None = None  # Examples of each; None where dataset_info.json is missing.
  task: str = dataset_info.TASKS[0]
  good: sound_records.GoodRecords | None = None  # None where all records are read.
  compressions: tuple[str, ...] = ()  # Of each file, as tf.data names them; none: of no file.
  counts: tuple[int, ...] = ()  # Examples in each file.

  @property
  def skipped(self):
    """A sentence on each bad record left out so far, or several."""
    return self.good.skipped if self.good else ()

  @property
  def num_skipped(self):
    """How many bad records have been left out so far."""
    return self.good.num_skipped if self.good else 0

  image_bits: int | None = None  # Of the values of images of 16, where converting took fewer.


class Batch(NamedTuple):
  """What a step works on."""

  images: tf.Tensor  # [batch, height, width, channels], in the range of the preprocessing.
  # int64 [batch] in [0, num_classes); of other tasks, and mixed ones, float32 [batch, classes].
  labels: tf.Tensor
  records: tf.Tensor  # int64 [batch, 2]: the file, as an index of Data.files, and the record in it.
  example_weights: tf.Tensor | tuple = ()  # [batch]; () for all alike.
  texts: tf.Tensor | tuple = ()  # Strings [batch, keys] of the records; () where none are read.


def load_data(settings):
  """Returns the Data of DataSettings `settings`, having checked its files.

  Raises:
    InputError: when files are missing, empty, cut or damaged, or labels lie outside the classes.
  """
  name = settings.dataset_name
  dataset_dir = settings.dataset_dir
  if not dataset_dir:
    dataset_dir = dataset_factory.default_dir(name)
  dataset = dataset_factory.get_dataset(
    name,
    settings.dataset_split_name,
    dataset_dir,
    settings=settings.layout,
    image_dir=settings.image_dir,
  )
  num_classes = dataset.num_classes - settings.labels_offset
  if dataset.task != 'single_label' and settings.labels_offset:
    raise errors.InputError(
      f'--labels_offset={settings.labels_offset} is for datasets with one label per image, but the'
      f' task of {name} is {dataset.task}. Leave the flag out.'
    )
  if dataset.task == 'multi_label' and num_classes < 2:
    raise errors.InputError(
      f'{name} has one class only, which applies to an image or not. Make that two classes, and the'
      ' task single_label.'
    )
  if dataset.task == 'single_label' and num_classes < 2:
    raise errors.InputError(
      f'--labels_offset={settings.labels_offset} leaves {num_classes} of the'
      f' {dataset.num_classes} classes of {name}; a classifier needs at least 2. Leave the flag'
      ' out, or use 1 where class 0 is a background that no example has.'
    )
  ignored = verification.describe_ignored(dataset.data_sources)
  if ignored:
    console.say(ignored)
  counts, good = _check_records(dataset, settings)
  files = list(counts)
  if dataset.task == 'multi_label' and isinstance(dataset.decoder, records.Decoder):
    verification.check_label_key(files[0], dataset.decoder.label_key)
  info = dataset_info.read(os.path.dirname(files[0]))
  split = info.splits.get(settings.dataset_split_name) if info else None
  is_whole = split and {os.path.basename(file) for file in files} == {
    shard.file_name for shard in split.shards
  }
  has_counts = is_whole and dataset.task != 'regression'
  class_counts = split.class_counts[settings.labels_offset :] if has_counts else None
  compressions = tuple(map(verification.compression, files))
  data = Data(
    dataset,
    files,
    sum(counts.values()),
    num_classes,
    class_counts,
    dataset.task,
    compressions=compressions if any(compressions) else (),
    counts=tuple(counts.values()),
    image_bits=info.image_bits if info else None,
    good=good,
  )
  for sentence in data.skipped:
    console.say(f'Skipped: {sentence}')
  return data


def _check_records(dataset, settings):
  """Returns the number of records by file, and the GoodRecords where bad ones are left out."""
  of_labels = (dataset.num_classes, settings.labels_offset)
  if settings.record_errors == 'stop':
    return verification.check_records(dataset, *of_labels), None
  found = sound_records.find(dataset, *of_labels, settings.max_skipped_records)
  good = sound_records.GoodRecords(
    found, settings.max_skipped_records, lambda sentence: console.say(f'Skipped: {sentence}')
  )
  return {path: contents.num_records for path, contents in found.items()}, good


def make_training_batches(
  data, settings, model_name, image_size, seed=None, num_seen=0, share=(0, 1)
):
  """Returns an endless tf.data.Dataset of full, shuffled Batches.

  Args:
    data: a Data.
    settings: TrainingDataSettings.
    model_name: the net, which chooses the preprocessing when `settings` don't.
    image_size: pixels per side.
    seed: an int from which the order of the examples follows, and with
      `settings.deterministic_input` all else; None is another one each time.
    num_seen: the examples that the run has already been given, when it is continued; an int, or
      an int64 scalar.
    share: (number of this worker, number of workers): of each epoch's examples each gets its own,
      as many as the others, up to one.
  """
  preprocessing = preprocessing_factory.find(settings.preprocessing_name or model_name)
  decoder = data.dataset.decoder
  is_decoded = settings.cache == 'decoded' or settings.input_mode == 'memory'
  windowed = preprocessing.windowed
  cuts_early = (
    windowed is not None
    and (windowed.is_exact or settings.fast_jpeg)
    and isinstance(decoder, records.Decoder)
    and decoder.varies_in_size
    and settings.cache != 'decoded'
  )
  more = preprocessing_factory.arguments(
    preprocessing, settings.preprocessing, settings.dataset_dir
  )
  preprocess = (
    windowed.preprocess
    if cuts_early
    else functools.partial(preprocessing.preprocess_image, is_training=True)
  )
  augmentation_lib.check(settings.augmentation, data.task, settings.batch_size)
  if settings.example_weight_key:
    example_weights.check(settings.example_weight_key, data.files[0])

  def choose_window(image_shape, window_seed):
    with randomness.seeded(window_seed):
      return windowed.choose(image_shape, image_size, image_size)

  def decode(source, record):
    if cuts_early:
      # Drawn here, for in the branches that decode, a graph's seed would give the numbers again
      # that it gives outside.
      window_seed = randomness.seed()
      image, label = decoder.decode_window(
        record,
        lambda shape: choose_window(shape, window_seed),
        fast_size=image_size if settings.fast_jpeg else None,
      )
      return image, *examples_lib.rest(data, settings, source, record, label)
    return examples_lib.decode(data, settings, source, record)

  # Without autograph's conversion, which would wrap up the errors.
  @tf.autograph.experimental.do_not_convert
  def make_example(index, example):
    index = number_of_all(index)
    is_seeded = settings.deterministic_input
    with randomness.seeded(tf.stack([seed, index])) if is_seeded else contextlib.nullcontext():
      if kept is not None:
        example = kept.fetch(example)
      image, *rest = example if is_decoded else decode(*example)
      if is_decoded and cuts_early:
        # With the numbers of the other input modes.
        corner, size, *_ = choose_window(tf.shape(image), randomness.seed())
        image = tf.slice(image, corner, size)
      image = augmentation_lib.distort(settings.augmentation, image)
      image = preprocess(
        image, image_size, image_size, use_grayscale=settings.use_grayscale, **more
      )
      image = augmentation_lib.erase(settings.augmentation, image)
    if is_seeded:
      _check_reproducible(preprocessing.name)
    return Batch(image, *rest)

  @tf.autograph.experimental.do_not_convert
  def mix(number, batch):
    number = number_of_all(number)
    # Numbers below 0, for those from 0 on are the examples'.
    is_seeded = settings.deterministic_input
    with (
      randomness.seeded(tf.stack([seed, -1 - number])) if is_seeded else contextlib.nullcontext()
    ):
      return augmentation_lib.mix(settings.augmentation, batch, data.num_classes)

  worker, num_workers = share
  num_seen //= num_workers

  def number_of_all(number):
    """Returns the number among those of all workers."""
    return number * num_workers + worker if num_workers > 1 else number

  if seed is None:
    seed = random.SystemRandom().getrandbits(31)
  kept = _keep(data, settings)
  examples = examples_lib.in_epochs(
    data, settings, kept, decode if is_decoded else None, seed, num_seen, share
  )
  with warnings.catch_warnings():
    # That the graph's seed reaches the distortions is what is wanted.
    warnings.filterwarnings('ignore', 'Seed .* from outer graph')
    examples = examples.map(make_example, num_parallel_calls=examples_lib.num_threads(settings))
    batches = examples.batch(settings.batch_size, drop_remainder=True)
    if settings.augmentation.mixes:
      numbered = batches.enumerate(num_seen // settings.batch_size)
      batches = numbered.map(mix, num_parallel_calls=examples_lib.num_threads(settings))
  return made_ahead(batches, settings, is_ordered=settings.deterministic_input)


def make_evaluation_batches(data, settings, model_name, image_size, texts=None, whole=False):
  """Returns a tf.data.Dataset of Batches that holds every example once; the last may be smaller.

  The first arguments are those of `make_training_batches`.

  Args:
    texts: {key: dtype} of what is read of each record, as record_texts.find returns them.
    whole: whether a preprocessing that can cuts nothing off the images.
  """
  name = settings.preprocessing_name or model_name
  preprocess = preprocessing_factory.get_preprocessing(
    name, False, settings.use_grayscale, settings.preprocessing, settings.dataset_dir
  )
  if whole:
    preprocess = functools.partial(preprocess, **preprocessing_factory.find(name).cuts_nothing)

  @tf.autograph.experimental.do_not_convert
  def make_example(*example):
    if kept is not None:
      example = kept.fetch(*example)
    if settings.input_mode != 'memory':
      example = examples_lib.decode(data, settings, *example, texts)
    image, label, source, *read = example
    return Batch(preprocess(image, image_size, image_size), label, source, (), *read)

  kept = _keep(data, settings, texts)
  examples = examples_lib.read(examples_lib.list_files(data), data, settings.num_readers, kept)
  examples = examples.map(make_example, num_parallel_calls=examples_lib.num_threads(settings))
  return made_ahead(examples.batch(settings.batch_size), settings, is_ordered=True)


def _keep(data, settings, texts=None):
  with explained_errors(data, settings):
    return examples_lib.keep(data, settings, texts)


def _check_reproducible(preprocessing_name):
  """Raises InputError when an op of the function being built draws numbers of its own."""
  for op in tf.get_default_graph().get_operations():
    if op.op_def.is_stateful and ('Random' in op.type or op.type.startswith('SampleDistorted')):
      raise errors.InputError(
        f'--deterministic_input: the preprocessing {preprocessing_name!r} draws random numbers with'
        f' {op.type}, in an order that no seed determines. Draw them with the functions of'
        ' slimtrain.preprocessing.randomness, or leave the flag out.'
      )


def made_ahead(batches, settings, is_ordered):
  """Returns `batches` made ahead of the step in threads that do nothing else.

  Args:
    batches: a tf.data.Dataset.
    settings: DataSettings, or others with `num_preprocessing_threads`.
    is_ordered: whether their order is kept.
  """
  options = tf.data.Options()
  options.deterministic = is_ordered
  options.experimental_optimization.map_and_batch_fusion = True
  options.threading.private_threadpool_size = examples_lib.num_threads(settings)
  options.threading.max_intra_op_parallelism = 1
  # Parallelism is set. The thread that would tune it sleeps for up to a minute, and closing a
  # session waits for it.
  options.autotune.enabled = False
  return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


@contextlib.contextmanager
def explained_errors(data, settings):
  """Turns the errors that a bad record causes into an InputError that names it.

  Args:
    data: the Data that the block reads.
    settings: its DataSettings.
  """
  try:
    yield
  except tf.errors.OpError as error:
    if data.good and data.good.error:
      raise data.good.error from error
    if not isinstance(error, (tf.errors.InvalidArgumentError, tf.errors.DataLossError)):
      raise
    marked = re.search(f'{examples_lib.MARK}(.*?[.])\\]', error.message, re.DOTALL)
    # Paths stand in quotes there, which are escaped.
    sentence = marked and marked.group(1).replace('\\"', '')
    if sentence is None:
      sentence = verification.find_bad_record(
        data.dataset, data.dataset.num_classes, settings.labels_offset
      )
    if sentence is None:
      raise
    raise errors.InputError(f'{sentence} Mend the file, or convert the data again.') from error
