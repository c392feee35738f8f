"""Settings, the flags made of them, and what the command line does with them."""

import dataclasses
import json
import pathlib

import pytest
from absl import flags

from datasets import conversion
from slimcompat import errors
from slimtrain import classification, evaluation, evaluation_runs, export, training
from slimtrain import settings as settings_lib

SCRIPTS = {
  'train_image_classifier': training.TrainingSettings,
  'eval_image_classifier': evaluation_runs.EvaluationRunSettings,
  'export_inference_graph': export.ExportSettings,
  'download_and_convert_data': conversion.ConversionSettings,
  'classify_images': classification.ClassificationSettings,
}
SLIM_FLAGS = [
  (path.stem, name, flag)
  for path in sorted((pathlib.Path(__file__).parents[1] / 'goldens' / 'flags').glob('*.json'))
  for name, flag in json.loads(path.read_text()).items()
]


def parse(settings_class, *args):
  values = flags.FlagValues()
  settings_lib.define_flags(settings_class(), values)
  values(['script', *args])
  return settings_lib.from_flags(settings_class, values)


@pytest.mark.parametrize(
  ('script', 'name', 'flag'), SLIM_FLAGS, ids=[f'{s}-{n}' for s, n, _ in SLIM_FLAGS]
)
def test_has_every_flag_of_slim(script, name, flag):
  values = flags.FlagValues()
  settings_lib.define_flags(SCRIPTS[script](), values)
  assert values[name].flag_type() == flag['type']
  assert values[name].default == flag['default']
  assert values[name].help


@pytest.mark.parametrize('script', SCRIPTS)
def test_defaults_survive_the_flags(script):
  assert parse(SCRIPTS[script]) == SCRIPTS[script]()


def test_flags_reach_their_groups():
  settings = parse(
    training.TrainingSettings,
    '--batch_size=7',
    '--model_name=lenet',
    '--clone_on_cpu',
    '--nouse_grayscale',
    '--moving_average_decay=0.9',
  )
  assert settings.data.batch_size == 7
  assert settings.model.model_name == 'lenet'
  assert settings.devices.clone_on_cpu is True
  assert settings.data.use_grayscale is False
  assert settings.moving_average_decay == 0.9


def test_a_flag_of_several_strings_is_repeated():
  settings = parse(classification.ClassificationSettings, '--images=a,b', '--images=c')
  assert settings.sources.images == ('a,b', 'c')
  assert parse(classification.ClassificationSettings).sources.images == ()
  lines = settings_lib.to_flagfile(settings).splitlines()
  assert '--images=a,b' in lines
  assert '--images=c' in lines


def test_groups_may_have_other_defaults():
  assert parse(evaluation.EvaluationSettings).data.batch_size == 100


@pytest.mark.parametrize(
  ('args', 'sentence'),
  [
    (['--batch_size=0'], '--batch_size=0 is not allowed; it must be at least 1.'),
    (['--learning_rate=0'], '--learning_rate=0.0 is not allowed; it must be more than 0.'),
    (['--momentum=1'], '--momentum=1.0 is not allowed; it must be less than 1.'),
    (['--gpu_memory_fraction=1.5'], 'it must be at most 1.'),
    (['--optimizer=adm'], "no optimizer 'adm'. Did you mean 'adam'?"),
    (['--model_name=lenett'], "Did you mean 'lenet'?"),
    (['--dataset_name=digit'], "Did you mean 'digits'?"),
    (['--preprocessing_name=vg'], "Did you mean 'vgg'?"),
    (['--learning_rate_decay_type=exp'], 'Known: cosine, cosine_restarts, exponential, fixed,'),
    (['--quantize_delay=0'], '--quantize_delay=0 is not supported.'),
    (['--job_name=boss'], "no value of --job_name 'boss'"),
    (['--ignore_missing_vars'], 'there is no --checkpoint_path'),
    (['--checkpoint_exclude_scopes=a'], 'there is no --checkpoint_path'),
  ],
  ids=lambda value: value[0] if isinstance(value, list) else '',
)
def test_refuses_in_a_sentence(args, sentence):
  with pytest.raises(errors.InputError) as error:
    parse(training.TrainingSettings, *args)
  assert sentence in str(error.value)
  assert '\n' not in str(error.value)


def test_settings_are_checked_without_flags_too():
  with pytest.raises(errors.InputError, match='at least 1'):
    training.TrainingSettings(log_every_n_steps=0)
  with pytest.raises(dataclasses.FrozenInstanceError):
    training.TrainingSettings().train_dir = 'elsewhere'


@pytest.mark.parametrize(
  ('names', 'parts'), [(None, []), ('', []), ('a', ['a']), ('a, b/c ,', ['a', 'b/c'])]
)
def test_split_names(names, parts):
  assert settings_lib.split_names(names) == parts


def test_import_plugin_runs_the_file(tmp_path):
  (tmp_path / 'neighbour_of_plugin.py').write_text('VALUE = 3')
  plugin = tmp_path / 'my_plugin.py'
  plugin.write_text('import neighbour_of_plugin\nVALUE = neighbour_of_plugin.VALUE')
  settings_lib.import_plugin(str(plugin))
  import my_plugin

  assert my_plugin.VALUE == 3


@pytest.mark.parametrize(
  ('name', 'content', 'sentence'),
  [
    ('missing.py', None, 'there is no such file'),
    ('broken_plugin.py', 'import nothing_of_the_sort', 'ModuleNotFoundError'),
    ('plugin.txt', '', 'must end in .py'),
  ],
)
def test_import_plugin_refuses(tmp_path, name, content, sentence):
  if content is not None:
    (tmp_path / name).write_text(content)
  with pytest.raises(errors.InputError, match=sentence):
    settings_lib.import_plugin(str(tmp_path / name))


def test_replace_finds_the_group():
  settings = settings_lib.replace(training.TrainingSettings(), model_name='lenet', seed=3)
  assert (settings.model.model_name, settings.seed) == ('lenet', 3)
  assert settings_lib.replace(settings) == settings
  with pytest.raises(errors.InputError, match='There are no settings sede, x'):
    settings_lib.replace(settings, sede=3, x=1)
  with pytest.raises(errors.InputError, match='--seed=-1 is not allowed'):
    settings_lib.replace(settings, seed=-1)
