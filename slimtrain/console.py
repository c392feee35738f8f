"""What a person reads while a script runs: plain lines on the standard output."""

import logging
import sys
import warnings

_LOGGER = logging.getLogger('slimtrain')
_LOGGER.addHandler(logging.NullHandler())


def start():
  """Sends the lines of `say` to the standard output, and only warnings of TensorFlow after them.

  Without this, as in a notebook, they go to the logger 'slimtrain', where nobody has to look.
  """
  handler = logging.StreamHandler(sys.stdout)
  handler.setFormatter(logging.Formatter('%(message)s'))
  _LOGGER.handlers = [handler]
  _LOGGER.setLevel(logging.INFO)
  _LOGGER.propagate = False
  logging.getLogger('tensorflow').setLevel(logging.WARNING)
  # slim.learning closes its writer while a thread still counts steps with it; nothing is lost.
  warnings.filterwarnings('ignore', message='Attempting to use a closed FileWriter')


def say(line):
  """Writes one line."""
  _LOGGER.info('%s', line)
