"""Installs slimtrain: `pip install -e .`, from a checkout."""

import setuptools

# Older ones of onnx suit the protobuf of older TensorFlows; pip chooses. 1.19.0 does not say that
# TensorFlow 2.16 and 2.17 have an ml_dtypes too old for it.
_ONNX = ['onnx>=1.16,!=1.19.0', 'onnxruntime>=1.18', 'tf2onnx>=1.17']

setuptools.setup(
  name='slimtrain',
  version='0.1.0',
  description="TF-Slim's image-classification library, alive on today's TensorFlow.",
  license='Apache-2.0',
  python_requires='>=3.10,<3.14',
  packages=setuptools.find_packages(
    include=['slimcompat*', 'nets*', 'datasets*', 'slimtrain*'],
  ),
  package_data={'datasets': ['*.gz', '*.npz', '*.txt']},
  py_modules=[
    'benchmark_model',
    'classify_images',
    'download_and_convert_data',
    'eval_image_classifier',
    'export_inference_graph',
    'find_learning_rate',
    'inspect_checkpoint',
    'inspect_dataset',
    'launch_local_cluster',
    'train_image_classifier',
  ],
  install_requires=[
    'absl-py',
    'flatbuffers',
    'numpy',
    'pillow>=11',
    # TensorFlow 2.21 no longer installs it.
    'tensorboard',
    'tensorflow>=2.16,<2.22',
    'tf-slim==1.1.0',
    'tqdm',
  ],
  extras_require={
    'gpu': ['tensorflow[and-cuda]>=2.16,<2.22'],
    'onnx': _ONNX,
    'plots': ['matplotlib'],
    'dev': [
      'ai-edge-litert',
      'matplotlib',
      'pytest',
      'pytest-xdist',
      'ruff',
      'scikit-learn',
      *_ONNX,
    ],
  },
)
