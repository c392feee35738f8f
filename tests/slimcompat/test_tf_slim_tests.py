"""tf_slim 1.1.0's own tests, run from its installed package with slimcompat loaded first.

How they count, on TensorFlow 2.21 and Python 3.11: pytest and unittest find 1,535. Of these 165
are no tests but `TestCase.test_session`, an old method of TensorFlow's whose name looks like one
(160 skip themselves, 5 pass with nothing to do), and 1 is skipped by tf_slim. So 1,369 run.

Each environment takes two cores 3 to 5 minutes, besides what pip downloads.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import slimcompat

_TENSORFLOW = os.environ.get('TF_SLIM_TESTS_TENSORFLOW', '2.21.*')
# What pip is asked for.
_NUMPY = {'numpy-1.26': 'numpy==1.26.*', 'newest-numpy': 'numpy'}
_COLLECTED = 1535
_NOT_FAILED_WITH_NUMPY_1 = 1525

# tf_slim's evaluation_test imports one decorator of nose, which no longer runs on Python 3.12.
_NOSE_TOOLS = """
def nottest(function):
  function.__test__ = False
  return function
"""


@dataclasses.dataclass(frozen=True)
class Fault:
  """A fault of some tests of tf_slim's, in their own lines."""

  cause: str
  evidence: str  # A regular expression that the last lines of the failure match.
  tests: tuple  # module.Class.test, the module below tf_slim.


def _tests(module_and_class, names):
  return tuple(f'{module_and_class}.{name}' for name in names.split())


_FAULTS = (
  Fault(
    'NumPy 1.24 removed np.object.',
    "module 'numpy' has no attribute 'object'",
    _tests(
      'layers.sparse_ops_test.DenseToSparseTensorTest',
      'test_dense_to_sparse_tensor_1d_str test_dense_to_sparse_tensor_1d_str_special_ignore',
    ),
  ),
  Fault(
    'NumPy 1.24 removed np.float.',
    "module 'numpy' has no attribute 'float'",
    ('losses.metric_learning_test.NpairsLossMultiLabelTest.testNpairsMultiLabel',),
  ),
  Fault(
    'The test passes log_usage to a hook of TensorFlow that no longer takes it.',
    r"DumpingDebugHook.__init__\(\) got an unexpected keyword argument 'log_usage'",
    ('evaluation_test.SingleEvaluationTest.testAdditionalHooks',),
  ),
  Fault(
    "The test spells out the name of the last op in TensorFlow's dropout, now a SelectV2.",
    r'dropout/dropout_1/selectv2(.|\n)*dropout/dropout_1/mul_1',
    ('layers.layers_test.DropoutTest.testCreateDropout',),
  ),
  Fault(
    'An earlier test of the file turns resource variables on for good, and those are no longer'
    ' instances of the tf.compat.v1.Variable that this test expects.',
    'AssignAddVariableOp.* is not an instance of',
    ('metrics.metric_ops_test.CountTest.testReturnType',),
  ),
  Fault(
    "The test expects /cpu:0 of a variable; TensorFlow's TestCase.cached_session put all on it"
    ' once, and no longer does.',
    'Devices /job:ps/task:0 and /job:ps/task:0/device:CPU:0 are not equal',
    ('ops.variables_test.VariablesTest.testVariableWithReplicaDeviceSetter',),
  ),
)
_FAULTS_WITH_NUMPY_1 = (
  Fault(
    'NumPy 1.24 removed np.bool, which NumPy 2 has again.',
    "module 'numpy' has no attribute 'bool'",
    ('layers.sparse_ops_test.DenseToSparseTensorTest.test_dense_to_sparse_tensor_1d_bool',),
  ),
)
_FAULTS_WITH_NEWEST_NUMPY = (
  Fault(
    'setUp passes an array of one label to int(), which wants a number.',
    'only 0-dimensional arrays can be converted to Python scalars',
    (
      *_tests(
        'learning_test.TrainBNClassifierTest',
        'testTrainWithNoInitAssignCanAchieveZeroLoss test_session',
      ),
      *_tests(
        'learning_test.TrainTest',
        'testResumeTrainAchievesRoughlyTheSameLoss'
        ' testTrainAllVarsHasLowerLossThanTrainSubsetOfVars testTrainWithAlteredGradients'
        ' testTrainWithEpochLimit testTrainWithInitFromCheckpoint testTrainWithInitFromFn'
        ' testTrainWithLocalVariable testTrainWithNoInitAssignCanAchieveZeroLoss'
        ' testTrainWithNonDefaultGraph'
        ' testTrainWithNoneAsInitWhenUsingVarsRaisesError testTrainWithNoneAsLogdir'
        ' testTrainWithNoneAsLogdirWhenUsingSaverRaisesError'
        ' testTrainWithNoneAsLogdirWhenUsingSummariesRaisesError'
        ' testTrainWithNoneAsLogdirWhenUsingTraceRaisesError testTrainWithSessionConfig'
        ' testTrainWithTrace testTrainingSubsetsOfVariablesOnlyUpdatesThoseVariables test_session',
      ),
      *_tests(
        'training.evaluation_test.EvaluateOnceTest',
        'testEvalOpAndFinalOp testEvaluatePerfectModel testOnlyFinalOp',
      ),
      *_tests(
        'training.evaluation_test.EvaluateRepeatedlyTest',
        'testEvaluatePerfectModel testEvaluateWithEvalFeedDict testEvaluationLoopTimeout'
        ' testEvaluationLoopTimeoutWithTimeoutFn testSummariesAreFlushedToDisk'
        ' testSummaryAtEndHookWithoutSummaries',
      ),
      *_tests(
        'training.training_test.TrainBatchNormClassifierTest',
        'testTrainWithNoInitAssignCanAchieveZeroLoss',
      ),
      *_tests(
        'training.training_test.TrainTest',
        'testCanAchieveZeroLoss testResumeTrainAchievesRoughlyTheSameLoss'
        ' testTrainAllVarsHasLowerLossThanTrainSubsetOfVars testTrainWithAlteredGradients'
        ' testTrainWithInitFromCheckpoint testTrainWithLocalVariable'
        ' testTrainingSubsetsOfVariablesOnlyUpdatesThoseVariables',
      ),
    ),
  ),
  Fault(
    'NumPy 2.3 removed ndarray.tostring.',
    "'numpy.ndarray' object has no attribute 'tostring'",
    _tests(
      'data.tfexample_decoder_test.TFExampleDecoderTest',
      'testDecodeExampleWithRAWEncoding testDecodeExampleWithRawEncoding'
      ' testDecodeExampleWithRawEncodingFloatDtype',
    ),
  ),
  Fault(
    'NumPy 2 removed np.product.',
    "module 'numpy' has no attribute 'product'",
    (
      'metrics.metric_ops_large_test.StreamingPrecisionRecallAtEqualThresholdsLargeTest'
      '.testLargeCase',
    ),
  ),
  Fault(
    'The test rounds to 7 places the difference of a Python float and a float32, which NumPy 2'
    ' leaves a float32.',
    r'0.6666666666666666 != np.float32\(0.6666666\) within 7 places',
    ('metrics.classification_test.F1ScoreTest.testSomeCorrect',),
  ),
)
# Not the test's fault: batch_norm refuses this argument, in a sentence.
_REFUSED = Fault(
  'TensorFlow 2.16 has no adjustment in batch norm any more.',
  'InputError: batch_norm got adjustment, which TensorFlow 2.16 and later no longer provide',
  ('layers.layers_test.BatchNormTest.testAdjustmentCreated',),
)


@dataclasses.dataclass(frozen=True)
class Run:
  """What came of tf_slim's tests in one environment."""

  numpy: str  # The version installed.
  tests: tuple  # The names of all.
  passed: tuple  # Of those that passed.
  failures: dict  # From the names of the others, but the skipped ones, to their tracebacks.


def _call(command, **arguments):
  done = subprocess.run(  # noqa: S603
    command,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    timeout=3600,
    check=False,
    **arguments,
  )
  return done.returncode, done.stdout


def _make_environment(folder, numpy):
  """Makes a virtual environment in `folder` and returns its Python."""
  python = folder / 'bin' / 'python'
  requirements = [f'tensorflow=={_TENSORFLOW}', numpy, 'tf-slim==1.1.0', 'pytest', 'pytest-xdist']
  pip = [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
  for command in ([sys.executable, '-m', 'venv', folder], [*pip, *requirements]):
    status, output = _call(command)
    assert status == 0, output
  return python


@pytest.fixture(scope='module', params=_NUMPY)
def run(request, tmp_path_factory):
  """Runs tf_slim's tests in an environment of their own."""
  folder = tmp_path_factory.mktemp('tf_slim_tests')
  python = _make_environment(folder / 'environment', _NUMPY[request.param])
  (folder / 'nose').mkdir()
  (folder / 'nose' / '__init__.py').touch()
  (folder / 'nose' / 'tools.py').write_text(_NOSE_TOOLS)
  root = pathlib.Path(slimcompat.__file__).parent.parent
  environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(root), str(folder)])}
  script = 'import numpy, tf_slim; print(numpy.__version__, tf_slim.__path__[0])'
  status, output = _call([python, '-W', 'ignore', '-c', script], env=environment)
  assert status == 0, output
  numpy_version, tf_slim = output.splitlines()[-1].split(' ', 1)

  report = folder / 'report.xml'
  pytest_options = (
    '-p slimcompat -p no:cacheprovider -n 2 --dist loadfile --tb=native -q'
    f' -c {os.devnull} --rootdir={tf_slim} --junitxml={report}'
  )
  command = [python, '-m', 'pytest', *pytest_options.split(), tf_slim]
  status, output = _call(command, env=environment, cwd=folder)
  assert status in (0, 1), output  # 1: some tests failed.
  tests, passed, failures = [], [], {}
  for case in ElementTree.parse(report).iter('testcase'):  # noqa: S314
    name = f'{case.get("classname")}.{case.get("name")}'
    tests.append(name)
    troubles = [child for child in case if child.tag in ('failure', 'error')]
    if troubles:
      failures[name] = '\n'.join(child.text for child in troubles)
    elif case.find('skipped') is None:
      passed.append(name)
  shutil.rmtree(folder / 'environment')  # 2 GB, which pytest would keep for three sessions.
  return Run(numpy_version, tuple(tests), tuple(passed), failures)


def _known_faults(numpy_version):
  is_numpy_1 = numpy_version.startswith('1.')
  return _FAULTS + (_FAULTS_WITH_NUMPY_1 if is_numpy_1 else _FAULTS_WITH_NEWEST_NUMPY)


pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    sys.version_info >= (3, 12),
    reason="tf_slim's tests call unittest's assertRaisesRegexp, which Python 3.12 removed",
  ),
]


def test_all_are_found(run):
  assert len(run.tests) == len(set(run.tests)) == _COLLECTED


def test_nothing_else_fails(run):
  faults = (*_known_faults(run.numpy), _REFUSED)
  known = {name: fault for fault in faults for name in fault.tests}
  assert not set(run.failures) - set(known)
  for name, failure in run.failures.items():
    assert re.search(known[name].evidence, failure), f'{name}: {failure}'


def test_every_failure_is_in_a_line_of_the_test(run):
  """The last line of tf_slim's that a traceback passes through belongs to a test."""
  for name in set(run.failures) - set(_REFUSED.tests):
    lines = re.findall(r'File ".*/tf_slim/(.*\.py)", line', run.failures[name])
    assert lines[-1].endswith('_test.py'), f'{name}: {run.failures[name]}'


def test_counts(run):
  if run.numpy.startswith('1.'):
    assert len(run.tests) - len(run.failures) >= _NOT_FAILED_WITH_NUMPY_1
  placeholders = [name for name in run.tests if name.endswith('.test_session')]
  assert len(placeholders) == 165
  skipped = set(run.tests) - set(placeholders) - set(run.passed) - set(run.failures)
  assert skipped == {
    'ops.variables_test.AssignFromCheckpointFnTest'
    '.testLoadExistingVariablesDifferentShapeDefaultDoesNotAllowReshape'
  }
