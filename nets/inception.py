"""All Inception nets in one place: `inception.inception_v3`, `inception.inception_v3_base`, ..."""

from nets.inception_v1 import inception_v1, inception_v1_arg_scope, inception_v1_base

__all__ = ['inception_v1', 'inception_v1_arg_scope', 'inception_v1_base']
