"""Image datasets as TFRecords: readers and converters; `dataset_factory.DATASETS` is the table."""

import slimcompat  # noqa: F401  A user's own `import tf_slim` works once this ran.
