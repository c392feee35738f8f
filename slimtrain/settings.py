"""Frozen dataclasses of settings, and the absl flags made from them.

A settings class stands beside the code that reads it. Each field made by `setting` becomes the
flag of the same name, one that may be repeated where the field is a tuple of strings; a field made
by `group` holds another settings object, whose flags stand under a heading of their own in
`--help`. Library code takes settings objects, so that a test or
a notebook needs no flags.
"""

import dataclasses
import importlib.util
import operator
import os
import signal
import sys
import traceback
import types
import typing

from absl import app, flags

from slimcompat import errors, paths, tables
from slimtrain import console, files, interruption

FLAGS = flags.FLAGS

_BOUNDS = (
  ('lower', operator.ge, 'at least'),
  ('above', operator.gt, 'more than'),
  ('upper', operator.le, 'at most'),
  ('below', operator.lt, 'less than'),
)


def setting(default, help, **limits):
  """Returns a dataclass field that becomes a flag.

  Args:
    default: the value when the flag is not given.
    help: a sentence for `--help`.
    **limits: any of `choices` (a table, other names, or a function returning them), `lower` and
      `upper` (inclusive bounds), `above` and `below` (exclusive ones), `refused` (why only the
      default is allowed, as a sentence), and `path` (a paths.Kind: the value is the path that it
      returns, or the tuple of those).
  """
  return dataclasses.field(default=default, metadata={'help': help, **limits})


def group(settings_class, **defaults):
  """Returns a field that holds a `settings_class`, made with `defaults` when not given."""
  return dataclasses.field(default_factory=lambda: settings_class(**defaults))


class Settings:
  """Base of the settings classes: values outside their limits raise InputError when made."""

  def __post_init__(self):
    check(self)


def check(settings):
  """Makes paths of what the user gave as such; raises InputError when a value is not allowed."""
  for field in dataclasses.fields(settings):
    value = getattr(settings, field.name)
    limits = field.metadata
    if value is None or not limits:
      continue
    if 'path' in limits:
      # Frozen, but not before it is whole.
      object.__setattr__(settings, field.name, _as_path(field, value))
    shown = f'--{field.name}={value}'
    if 'choices' in limits and value not in (names := _choices(limits)):
      noun = getattr(names, 'noun', f'value of --{field.name}')
      raise errors.InputError(f'{shown}: {tables.unknown_name(noun, value, names)}')
    for limit, is_kept, words in _BOUNDS:
      if limit in limits and not is_kept(value, limits[limit]):
        raise errors.InputError(f'{shown} is not allowed; it must be {words} {limits[limit]}.')
    if 'refused' in limits and value != field.default:
      raise errors.InputError(f'{shown} is not supported. {limits["refused"]}')


def _as_path(field, value):
  make, name = field.metadata['path'], f'--{field.name}'
  if isinstance(value, tuple):
    return tuple(make(part, name) for part in value)
  return make(os.fspath(value), name)


def split_names(names):
  """Returns the parts of a comma-separated string, without blanks; none for None."""
  return [name.strip() for name in (names or '').split(',') if name.strip()]


def split_numbers(numbers):
  """Returns the floats of a comma-separated string. Raises InputError."""
  try:
    return [float(number) for number in split_names(numbers)]
  except ValueError as error:
    raise errors.InputError(
      f'{numbers!r} is no list of numbers. Separate them by commas, as in 0.1,0.01.'
    ) from error


def _choices(limits):
  choices = limits['choices']
  return choices() if callable(choices) else choices


def _described_choices(limits):
  """Yields the names to choose from, each with the settings that its row reads."""
  choices = _choices(limits)
  for name in choices:
    reads = getattr(choices[name], 'reads', ()) if isinstance(choices, tables.Table) else ()
    yield f'{name} ({", ".join("--" + flag for flag in reads)})' if reads else str(name)


def _is_setting(field):
  return 'help' in field.metadata


def _groups(settings, seen=None):
  """Yields (heading, settings object) for `settings` and the groups within it."""
  yield (type(settings).__doc__ or type(settings).__name__).splitlines()[0].rstrip('.'), settings
  for field in dataclasses.fields(settings):
    if not _is_setting(field):
      yield from _groups(getattr(settings, field.name))


def _help(field):
  """Returns the flag's help with its limits, as they are now: a plugin may have added choices."""
  limits = field.metadata
  words = [limits['help']]
  if 'choices' in limits:
    words.append(f'One of: {", ".join(_described_choices(limits))}.')
  bounds = [f'{words} {limits[limit]}' for limit, _, words in _BOUNDS if limit in limits]
  if bounds:
    words.append(f'Must be {" and ".join(bounds)}.')
  if 'refused' in limits:
    words.append(f'Not supported: {limits["refused"]}')
  return ' '.join(words)


_FLAG_MAKERS = {
  bool: lambda *args, **kwargs: flags.DEFINE_flag(flags.BooleanFlag(*args), **kwargs),
  int: lambda *args, **kwargs: flags.DEFINE(flags.IntegerParser(), *args, **kwargs),
  float: lambda *args, **kwargs: flags.DEFINE(flags.FloatParser(), *args, **kwargs),
  str: lambda *args, **kwargs: flags.DEFINE(
    flags.ArgumentParser(), *args, serializer=flags.ArgumentSerializer(), **kwargs
  ),
  tuple: lambda *args, **kwargs: flags.DEFINE_multi_string(*args, **kwargs),
}


def _value_type(settings_class, name):
  """Returns the type of a field's value other than None."""
  annotation = typing.get_type_hints(settings_class)[name]
  if typing.get_origin(annotation) is tuple:
    return tuple
  if isinstance(annotation, types.UnionType):
    return next(part for part in typing.get_args(annotation) if part is not types.NoneType)
  return annotation


def replace(settings, **values):
  """Returns `settings` with `values`, by the names of their flags, whatever group they stand in.

  Raises:
    InputError: when there is no such setting, or a value is not allowed.
  """
  new = _replace(settings, values)
  if values:
    raise errors.InputError(f'There are no settings {", ".join(values)}.')
  return new


def _replace(settings, values):
  """Returns `settings` with those of `values` that are theirs, which are taken out of it."""
  new = {}
  for field in dataclasses.fields(settings):
    if not _is_setting(field):
      new[field.name] = _replace(getattr(settings, field.name), values)
    elif field.name in values:
      new[field.name] = values.pop(field.name)
  return dataclasses.replace(settings, **new)


def values(settings):
  """Returns {name of the flag: value} of a settings object and its groups."""
  return {
    field.name: getattr(part, field.name)
    for _, part in _groups(settings)
    for field in filter(_is_setting, dataclasses.fields(part))
  }


def find(settings, name):
  """Returns the value of the setting `name`, whatever group it stands in. Raises KeyError."""
  for _, part in _groups(settings):
    if name in (field.name for field in dataclasses.fields(part) if _is_setting(field)):
      return getattr(part, name)
  raise KeyError(name)


def define_flags(defaults, flag_values=FLAGS):
  """Defines a flag for every field of the settings object `defaults` and of its groups."""
  for heading, settings in _groups(defaults):
    for field in filter(_is_setting, dataclasses.fields(settings)):
      make = _FLAG_MAKERS[_value_type(type(settings), field.name)]
      make(
        field.name,
        getattr(settings, field.name),
        _help(field),
        flag_values=flag_values,
        module_name=heading,
      )


def from_flags(settings_class, flag_values=FLAGS):
  """Returns a `settings_class` with the values of the parsed flags. Raises InputError."""
  values = {}
  for field in dataclasses.fields(settings_class):
    if _is_setting(field):
      value = flag_values[field.name].value
      values[field.name] = tuple(value) if isinstance(value, list) else value
    else:
      values[field.name] = from_flags(type(field.default_factory()), flag_values)
  settings = settings_class(**values)
  check(settings)
  return settings


def to_flagfile(settings):
  """Returns the text of a file from which `--flagfile=` makes the same `settings` again."""
  lines = []
  if 'plugin' in FLAGS and FLAGS.is_parsed() and FLAGS.plugin:
    lines.append(f'--plugin={FLAGS.plugin}')
  for heading, part in _groups(settings):
    lines.append(f'# {heading}')
    values = ((field.name, getattr(part, field.name)) for field in dataclasses.fields(part))
    for name, value in values:
      if value is not None and not dataclasses.is_dataclass(value):
        parts = value if isinstance(value, tuple) else (value,)
        lines += [f'--{name}={part}' for part in parts]
  return '\n'.join(lines) + '\n'


def import_plugin(path):
  """Runs the Python file `path`, which may register nets, datasets and other rows.

  Raises:
    InputError: when there is no such file, or it raises.
  """
  path = paths.local(path, '--plugin')
  if not os.path.isfile(path):
    raise errors.InputError(f'--plugin={path}: there is no such file. Give the path of a .py file.')
  name = os.path.splitext(os.path.basename(path))[0]
  spec = importlib.util.spec_from_file_location(name, path)
  if spec is None:
    raise errors.InputError(f'--plugin={path} is not a Python file; its name must end in .py.')
  module = importlib.util.module_from_spec(spec)
  # What the plugin defines can then be imported by name, and it can import its neighbours.
  sys.modules[name] = module
  sys.path.append(os.path.dirname(os.path.abspath(path)))
  try:
    spec.loader.exec_module(module)
  except Exception as error:
    raise errors.InputError(
      f'--plugin={path} could not be imported: {type(error).__name__}: {error}'
    ) from error


def run(defaults, action, complete=None, operands=None, leave=sys.exit):
  """Runs a script: defines the flags of `defaults`, parses the command line, calls `action`.

  Args:
    defaults: the script's settings object, with its default values.
    action: a function of the settings object that the flags gave.
    complete: a function of that object and the set of the names of the flags that were given,
      which returns the settings to act on: others may follow from what a checkpoint is.
    operands: the name of the setting, a tuple of strings, that takes the words of the command line
      that are no flags; None refuses such words.
    leave: a function of the exit code that ends the process.

  Exits with 0, or with 1 after one sentence on the standard error when the input is at fault;
  an error may have an `exit_code` of its own.
  """
  define_flags(defaults)
  flags.DEFINE(
    flags.ArgumentParser(),
    'plugin',
    None,
    'Python files, separated by commas, that register nets, datasets, preprocessings or other'
    ' rows before anything is looked up.',
    module_name=next(_groups(defaults))[0],
  )

  def act(argv):
    if operands:
      FLAGS[operands].value = [*FLAGS[operands].value, *argv[1:]]
    elif len(argv) > 1:
      raise errors.InputError(f'{argv[1]!r} is not a flag; flags look like --name=value.')
    for path in paths.split(FLAGS.plugin):
      import_plugin(path)
    settings = from_flags(type(defaults))
    if complete:
      settings = complete(settings, {name for name in FLAGS if FLAGS[name].present})
    with interruption.raised():
      action(settings)

  def main(argv):
    leave(console.finish(_exit_code(act, argv)))

  def parse(argv):
    try:
      if any(word in ('--help', '-help', '-h', '-?') for word in argv[1:]):
        _print_help(defaults, argv)
        sys.exit(console.finish(0))
      return FLAGS(argv)
    except (flags.Error, errors.InputError) as error:
      leave(console.finish(_fail(error)))
    except OSError as error:  # The help found no reader, or no room.
      sys.exit(console.finish(0, error))

  console.start()
  # Flags may then stand after such words as well.
  FLAGS.set_gnu_getopt(bool(operands))
  app.run(main, flags_parser=parse)


def _exit_code(act, argv):
  """Calls `act` of `argv`; returns the exit code, having said what went wrong."""
  try:
    act(argv)
  except errors.InputError as error:
    return _fail(error)
  except interruption.EndedError as error:
    error.args = (f'{signal.Signals(error.signal_number).name} ended it. What is finished stays.',)
    return _fail(error)
  except KeyboardInterrupt:
    return 128 + signal.SIGINT
  except SystemExit as error:
    return error.code
  except Exception as error:
    # What stands in the way of a file is no fault of the program's, and named.
    is_of_file = isinstance(error, OSError) and error.filename is not None
    if is_of_file or files.is_of_disk(error):
      return _fail(files.explain(error))
    console.complain(traceback.format_exc().rstrip())
    return 1
  return 0


def _fail(error):
  """Says what is wrong in a sentence; returns the exit code."""
  console.complain(f'{os.path.basename(sys.argv[0])}: error: {error}')
  return getattr(error, 'exit_code', 1)


def _print_help(defaults, argv):
  """Writes the script's purpose and all its flags, by group, to the standard output."""
  plugins = flags.FlagValues()
  flags.DEFINE_string('plugin', None, '', flag_values=plugins)
  plugins([argv[0], *(word for word in argv[1:] if word.lstrip('-').startswith('plugin='))])
  for path in paths.split(plugins.plugin):
    import_plugin(path)
  write = sys.stdout.write
  write(f'{(sys.modules["__main__"].__doc__ or "").strip()}\n')
  for heading, settings in _groups(defaults):
    for field in filter(_is_setting, dataclasses.fields(settings)):
      FLAGS[field.name].help = _help(field)
    write(f'{FLAGS.module_help(heading)}\n')
  write('\nMore flags, of absl: --helpfull. Flags may stand in a file: --flagfile=FILE.\n')
