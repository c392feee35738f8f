"""slim's image-classification nets; `nets_factory.NETWORKS` is the table of them."""

import slimcompat  # noqa: F401  A user's own `import tf_slim` works once this ran.
