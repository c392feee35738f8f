"""OverFeat, the fast model.

P. Sermanet et al., "OverFeat: Integrated Recognition, Localization and Detection using
Convolutional Networks", 2013, https://arxiv.org/abs/1312.6229, table 1. Against the table, the
first convolution has 64 filters, not 96. Fully connected layers are convolutions, as in the
paper's dense evaluation (section 3.5).
"""

from nets import alexnet
from slimcompat import tf

STAGES = (
  alexnet.Stage(64, 11, stride=4, padding='VALID', pool_size=2),
  alexnet.Stage(256, 5, padding='VALID', pool_size=2),
  alexnet.Stage(512, 3),
  alexnet.Stage(1024, 3),
  alexnet.Stage(1024, 3, pool_size=2),
)

overfeat = alexnet.of_stages('overfeat', STAGES, 6, (3072, 4096), image_size=231)


def overfeat_arg_scope(weight_decay: float = 0.0005) -> dict:
  """Returns the arg scope that `overfeat` is to be built under."""
  return alexnet.stages_arg_scope(weight_decay, tf.zeros_initializer())
