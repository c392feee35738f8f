"""TF-Slim 1.1.0 and the `tf.compat.v1` API, working on TensorFlow 2.16 to 2.21.

    from slimcompat import slim, tf

`slim` is the installed `tf_slim` package, repaired in place, so that a user's own
`import tf_slim as slim` gives the same working modules once anything here was imported.
`tf` is `tensorflow.compat.v1` with TensorFlow 2's behaviour switched off. Neither tf_keras nor
an environment variable is needed.

This package knows nothing of the rest of the product. It is the only one that imports `tf_slim`
or anything below `tensorflow.python`.
"""

from slimcompat import quiet

with quiet.imports():
  import tensorflow.compat.v1 as tf

  tf.disable_v2_behavior()

  from slimcompat import moved_names

  moved_names.restore()

  import tf_slim as slim

quiet.deprecations()

__all__ = ['slim', 'tf']
