"""Training, evaluation and fine-tuning of image-classification nets."""

import slimcompat  # noqa: F401  A user's own `import tf_slim` works once this ran.
