"""Every command in docs/ runs as it is written there, but for the number of steps."""

import dataclasses
import os
import pathlib
import re
import subprocess

import pytest

from datasets import image_folder
from tests import shapes, warm_python

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / 'docs'
CHECKPOINT = ROOT / 'tests' / 'goldens' / 'checkpoints' / 'mobilenet_v1_025_v1'
BLOCK = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
# What begins a command that is only shown: it needs the network, a GPU, or a person.
ONLY_SHOWN = {
  'IMAGE_DIR=~/persons': 'pictures of persons',
  'curl': 'a server',
  'docker': 'images of the net',
  'environment/bin/pip': 'the net',
  'nvidia-smi': "NVIDIA's driver",
  'pip': 'the net',
  'python3': 'an environment of its own',
  'ssh': 'another machine',
  'tensorboard': 'a browser',
  'xxd': 'a program of the editor Vim',
}
# Made small for the test: (pattern, what stands in its place).
SMALLER = (
  (r'--max_number_of_steps=2200', '--max_number_of_steps=3 --batch_size=8'),
  (r'--max_number_of_steps=(?!3 )\d+', '--max_number_of_steps=2 --batch_size=8'),
  (r'--unfreeze_at_step=\d+', '--unfreeze_at_step=1'),
  # Fetched from the net.
  (r'--checkpoint_path=imagenet', f'--checkpoint_path={CHECKPOINT}'),
)


@dataclasses.dataclass(frozen=True)
class Page:
  """A page of docs/, and what its commands must say."""

  name: str
  said: tuple[str, ...]  # Regular expressions of lines of the output, in their order.
  dataset_name: str | None = None  # Of records that are in $DATA_DIR before.


PAGES = (
  Page(
    'train_on_your_images.md',
    (
      r'images/s|images',
      r'54 images for train.* 6 images for validation',
      r'^global step 2: loss',
      r'^global step 3: loss',
      r'^eval/Accuracy\[',
      r'^Of 60 images: ',
      r'^Classifying 6 images by the weights of .*/best/',
      r'^Written: .*/sorted, .*/explained\.$',
      r'of 2 numbers \(age, weight\)',
      r'/0000.jpg: age -?[\d.e-]+, weight -?[\d.e-]+$',
    ),
  ),
  Page(
    'fine_tune.md',
    (
      r'^    135 restored',
      r'^      2 skipped for shape, first MobilenetV1/Logits/Conv2d_1c_1x1/weights$',
      r'MobilenetV1/Logits/Conv2d_1c_1x1/biases',
      r'^    137 restored',
      r'^Evaluating the weights of ',
      r'^\(60, 256\)$',
    ),
  ),
  Page(
    'deploy.md',
    (
      r'^global step 2: loss',
      r'^saved_model, image_bytes  ',
      r'/circle/0000.jpg: \w+ [\d.]+%$',
      r'/square/0000.jpg: \w+ [\d.]+%$',
      r'^tflite, int8  ',
      r'^labels.txt ',
      r'^LiteRT: \w+ [\d.]+%$',
      r'^onnx  ',
      r'^ONNX Runtime: \w+ [\d.]+%$',
      r'^frozen  ',
      r'^Frozen graph: \w+ [\d.]+%$',
    ),
    dataset_name='image_folder',
  ),
  Page(
    'coming_from_slim.md',
    (
      r'^    135 restored',
      r'^eval/Accuracy\[',
      r'^Wrote .*graph\.pb',
      r'MobilenetV1/Logits/Conv2d_1c_1x1/weights',
      r'0000.jpg: \d+ [\d.]+%, \d+ [\d.]+%$',
      r'^global step 2: loss',
      r'\(my_net, 64 pixels\)',
    ),
    dataset_name='flowers',
  ),
  Page(
    'evaluation.md',
    (
      r'^global step 2: loss',
      r'^Report: .*/run/report/report.html$',
      r'^eval/Recall_2\[',
      r'^Images of 112 pixels a side, where training had 96\.$',
      r'^Evaluating the weights of .*/best/model.ckpt-',
      r'^Report: .*/run/averaged/report.html$',
      r'^Only A is right on \d+ examples',
      r"\(McNemar's test\)",
      r'^2 checkpoints, 0 of them evaluated before\.$',
      r'^Training has ended\.$',
    ),
    dataset_name='image_folder',
  ),
  Page(
    'cluster.md',
    (
      r'^1 parameter servers at 127.0.0.1:\d+, 2 workers at ',
      r'^global step \d: loss',
      r'^Cluster of 1 ps and 2 workers: step \d+, .* exit codes 0 0 0, logs in ',
    ),
  ),
  Page(
    'troubleshooting.md',
    (
      r'^All records of .* are good\.$',
      r'^global step 2: loss',
      r'^examples\[54\]',
      r'MobilenetV1/Conv2d_0/weights',
      r'circle [\d.]+%',
      r'^\[.*\]$',
      r'^examples\[6\]',
    ),
    dataset_name='image_folder',
  ),
)


def blocks(name, kind):
  """Returns the blocks of a page that are marked as `kind`."""
  return [text for mark, text in BLOCK.findall((DOCS / name).read_text()) if mark == kind]


def test_every_page_is_in_the_table():
  assert sorted(page.name for page in PAGES) == sorted(path.name for path in DOCS.glob('*.md'))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_what_is_only_shown_cannot_run_here(page):
  marks = {mark for mark, _ in BLOCK.findall((DOCS / page.name).read_text())}
  assert marks <= {'sh', 'console', 'text'}
  for text in blocks(page.name, 'console'):
    for command in text.replace('\\\n', ' ').splitlines():
      assert command.split()[0] in ONLY_SHOWN


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
  text = (DOCS / page.name).read_text()
  for target, anchor in re.findall(r'\]\(([^)#:]*)(?:#([^)]*))?\)', text):
    linked = (DOCS / target).resolve() if target else DOCS / page.name
    assert linked.exists(), target
    if anchor:
      linked_text = linked.read_text()
      headings = re.findall(r'^#+ (.*)$', linked_text, re.MULTILINE)
      anchors = {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-') for heading in headings}
      assert anchor in anchors | set(re.findall(r'<a id="(.*?)">', linked_text)), anchor


@pytest.fixture(scope='module')
def python_dir(tmp_path_factory):
  """The folder of a `python` that starts at once."""
  folder = tmp_path_factory.mktemp('python')
  with warm_python.start(folder):
    yield folder


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_run_in_their_order(tmp_path, python_dir, page):
  script = '\n'.join(blocks(page.name, 'sh'))
  for pattern, replacement in SMALLER:
    script = re.sub(pattern, replacement, script)
  _write_images(tmp_path / 'images')
  if page.dataset_name:
    image_folder.convert(
      str(tmp_path / 'images'), str(tmp_path / 'data'), _name_in_files(page.dataset_name)
    )
  # In a folder of its own, which files may be written to, with the scripts of the checkout.
  folder = tmp_path / 'checkout'
  folder.mkdir()
  for path in ROOT.glob('*.py'):
    (folder / path.name).symlink_to(path)
  finished = subprocess.run(  # noqa: S603
    ['/bin/bash', '-euxo', 'pipefail', '-c', script],
    cwd=folder,
    env={
      **os.environ,
      'PATH': f'{python_dir}:{os.environ["PATH"]}',
      'IMAGE_DIR': str(tmp_path / 'images'),
      'DATA_DIR': str(tmp_path / 'data'),
      'TRAIN_DIR': str(tmp_path / 'run'),
      'CHECKPOINT_PATH': str(CHECKPOINT),
    },
    capture_output=True,
    text=True,
    check=False,
  )
  assert finished.returncode == 0, finished.stdout + finished.stderr
  rest = finished.stdout
  for pattern in page.said:
    found = re.search(pattern, rest, re.MULTILINE)
    assert found, f'{pattern!r} is not said after the lines before in:\n{finished.stdout}'
    rest = rest[found.end() :]


def _write_images(folder):
  shapes.write(folder)
  rows = [
    f'{path.relative_to(folder)},{number % 9},{number / 10}'
    for number, path in enumerate(sorted(folder.rglob('*.jpg')))
  ]
  (folder / 'numbers.csv').write_text('\n'.join(['path,age,weight', *rows]))


def _name_in_files(dataset_name):
  return None if dataset_name == 'image_folder' else dataset_name
