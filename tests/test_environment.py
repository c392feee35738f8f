"""scripts/environment.sh: which Python the virtual environments are made with."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A Python that says which version it is, makes environments that do, and records what pip gets.
PYTHON = """#!/bin/bash
version='{version}'
case "$1 $2" in
  '--version '*) echo "Python $version"; exit ;;
  '-m pip') echo "$0 $*" >> "$COMMANDS"; exit ;;
  '-m ensurepip') exit ;;
  '-m venv')
    echo "$0 $*" >> "$COMMANDS"
    mkdir -p "$3/bin"
    touch "$3/pyvenv.cfg"
    cp "$0" "$3/bin/python"
    exit ;;
esac
[ "$1" = -c ] || exit 9
newest="${{2##*<= (3, }}"
IFS=. read -r major minor _ <<< "$version"
{more}
[ "$major" = 3 ] && [ "$minor" -ge 10 ] && [ "$minor" -le "${{newest%%)*}}" ]
"""
UV = """#!/bin/bash
echo "uv $*" >> "$COMMANDS"
[ -n "$UV_HAS_PYTHON" ] || exit 2
folder="${@: -1}"
mkdir -p "$folder/bin"
touch "$folder/pyvenv.cfg"
cp "$UV_HAS_PYTHON" "$folder/bin/python"
"""


def write_program(path, text):
  path.write_text(text)
  path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
  """A folder with what make_environment reads."""
  folder = tmp_path / 'check out'
  (folder / 'scripts').mkdir(parents=True)
  shutil.copy(ROOT / 'scripts' / 'environment.sh', folder / 'scripts')
  (folder / 'setup.py').write_text('')
  return folder


def make(checkout, pythons, requirements=(), uv=None, **env):
  """Runs make_environment with only these {name: version} on the PATH; returns what happened."""
  programs = checkout.parent / 'bin'
  programs.mkdir(exist_ok=True)
  for tool in ('bash', 'cat', 'cp', 'ls', 'mkdir', 'rm', 'touch'):
    if not (programs / tool).exists():
      (programs / tool).symlink_to(shutil.which(tool))
  for name, version in pythons.items():
    write_program(programs / name, PYTHON.format(version=version, more=env.get('MORE', '')))
  if uv is not None:
    write_program(programs / 'uv', UV)
    if uv:
      write_program(checkout.parent / 'managed', PYTHON.format(version=uv, more=''))
      env['UV_HAS_PYTHON'] = str(checkout.parent / 'managed')
  commands = checkout.parent / 'commands'
  commands.write_text('')
  words = ' '.join(f"'{word}'" for word in ('.venv', '.[dev]', *requirements))
  finished = subprocess.run(  # noqa: S603
    [
      '/bin/bash',
      '-c',
      f'set -euo pipefail; source scripts/environment.sh; make_environment {words}; "$PYTHON"'
      ' --version',
    ],
    cwd=checkout,
    env={'PATH': str(programs), 'COMMANDS': str(commands), **env},
    capture_output=True,
    text=True,
    check=False,
  )
  return finished, commands.read_text()


@pytest.mark.parametrize(
  ('pythons', 'requirements', 'chosen'),
  [
    ({'python3': '3.14.0', 'python3.13': '3.13.1', 'python3.10': '3.10.2'}, (), '3.13.1'),
    ({'python3': '3.14.0', 'python3.12': '3.12.1'}, (), '3.12.1'),
    ({'python3': '3.14.0', 'python3.11': '3.11.1', 'python3.10': '3.10.2'}, (), '3.11.1'),
    ({'python3': '3.14.0', 'python3.10': '3.10.2', 'python3.9': '3.9.1'}, (), '3.10.2'),
    ({'python3': '3.11.4'}, (), '3.11.4'),
    ({'python': '3.12.4'}, (), '3.12.4'),
    ({'python3': '3.9.1', 'python': '3.12.4'}, (), '3.12.4'),
    # A version manager's placeholder, which does not run.
    ({'python3.13': '0', 'python3': '3.12.4'}, (), '3.12.4'),
    ({'python3.13': '3.13.1', 'python3.12': '3.12.1'}, ('tensorflow==2.16.2',), '3.12.1'),
    ({'python3.13': '3.13.1', 'python3.12': '3.12.1'}, ('tensorflow==2.19.1',), '3.12.1'),
    ({'python3.13': '3.13.1', 'python3.12': '3.12.1'}, ('tensorflow==2.20.0',), '3.13.1'),
  ],
)
def test_the_newest_python_that_tensorflow_has(checkout, pythons, requirements, chosen):
  finished, commands = make(checkout, pythons, requirements)
  assert finished.returncode == 0, finished.stderr
  assert finished.stdout.splitlines()[-1] == f'Python {chosen}'
  options = '--quiet --disable-pip-version-check -e'
  assert f'-m pip install {options} {" ".join((".[dev]", *requirements))}\n' in commands
  # What is there is used.
  finished, commands = make(checkout, pythons, requirements)
  assert finished.stdout == f'Python {chosen}\n'
  assert commands == ''


def test_the_python_that_is_named_goes_first(checkout):
  pythons = {'python3.13': '3.13.1', 'mine': '3.11.9', 'newer': '3.14.0'}
  finished, _ = make(checkout, pythons, PYTHON_FOR_VENV='mine')
  assert finished.stdout.splitlines()[-1] == 'Python 3.11.9'
  shutil.rmtree(checkout / '.venv')
  finished, _ = make(checkout, pythons, PYTHON_FOR_VENV='newer')
  assert finished.stdout.splitlines()[-1] == 'Python 3.13.1'
  assert 'PYTHON_FOR_VENV=newer is passed over: Python 3.14.0, and' in finished.stderr
  shutil.rmtree(checkout / '.venv')
  finished, _ = make(checkout, pythons, PYTHON_FOR_VENV='/none')
  assert 'PYTHON_FOR_VENV=/none is passed over: it does not run, and' in finished.stderr


@pytest.mark.parametrize('pythons', [{'python3': '3.14.0'}, {}], ids=['3.14', 'none'])
def test_uv_is_asked_for_a_python(checkout, pythons):
  finished, commands = make(checkout, pythons, uv='3.13.5')
  assert finished.returncode == 0, finished.stderr
  assert commands.splitlines()[0] == 'uv venv --quiet --seed --python 3.13 .venv'
  assert finished.stdout.splitlines()[-1] == 'Python 3.13.5'


def test_uv_without_a_python(checkout):
  finished, _ = make(checkout, {'python3': '3.14.0'}, uv='')
  assert finished.returncode == 1
  assert finished.stderr.startswith('uv cannot provide Python 3.13. TensorFlow needs Python 3.10')


@pytest.mark.parametrize(
  ('pythons', 'described'),
  [
    ({'python3': '3.14.0'}, 'Python 3.14.0'),
    ({'python3': '3.9.7'}, 'Python 3.9.7'),
    ({}, 'it does not run'),
  ],
)
def test_no_python_that_tensorflow_has(checkout, pythons, described):
  finished, commands = make(checkout, pythons)
  assert (finished.returncode, commands, finished.stdout) == (1, '', '')
  assert finished.stderr == (
    'TensorFlow needs Python 3.10 to 3.13 with its modules venv and ensurepip, and none was found'
    f" (python3: {described}). Install one, such as with 'apt install python3.12 python3.12-venv',"
    " 'brew install python@3.13' or 'uv python install 3.13', or name one in PYTHON_FOR_VENV.\n"
  )
  assert not (checkout / '.venv').exists()


def test_what_an_environment_holds_stays(checkout):
  """The user's own, and one that was interrupted."""
  make(checkout, {'python3.13': '3.13.1'})
  (checkout / '.venv' / 'mine').write_text('')
  (checkout / '.venv' / 'installed').unlink()
  finished, commands = make(checkout, {'python3.13': '3.13.1'})
  assert finished.stdout.startswith('Bringing .venv up to date.')
  assert 'pip install' in commands
  assert (checkout / '.venv' / 'mine').exists()


@pytest.mark.parametrize('version', ['3.14.0', '0'])
def test_an_environment_of_no_use_is_replaced(checkout, version):
  make(checkout, {'python3.13': '3.13.1'})
  write_program(checkout / '.venv' / 'bin' / 'python', PYTHON.format(version=version, more=''))
  finished, _ = make(checkout, {'python3.13': '3.13.1'})
  assert finished.stdout.splitlines()[-1] == 'Python 3.13.1'


def test_a_folder_that_is_no_environment_stays(checkout):
  (checkout / '.venv').mkdir()
  (checkout / '.venv' / 'thesis.txt').write_text('all of it')
  finished, _ = make(checkout, {'python3.13': '3.13.1'})
  assert finished.returncode == 1
  assert finished.stderr.endswith(
    '.venv is not a virtual environment. Move it away, and run this again.\n'
  )
  assert (checkout / '.venv' / 'thesis.txt').read_text() == 'all of it'


def test_no_script_writes_to_a_shared_folder():
  for path in (ROOT / 'quickstart.sh', *(ROOT / 'scripts').glob('*.sh')):
    assert '/tmp' not in path.read_text(), path  # noqa: S108
  ignored = (ROOT / '.gitignore').read_text().splitlines()
  assert {'/runs/', '/data/'} <= set(ignored)
