"""A --plugin that kills its process at a moment that KILL_AT names, such as 'before copy 2'.

The number counts moments of that name. All that are reached are listed in the file of KILL_LOG.
"""

import collections
import os
import shutil
import signal

from slimtrain import evaluation, run_log, saving

_counts = collections.Counter()


def _reach(moment):
  _counts[moment] += 1
  reached = f'{moment} {_counts[moment]}'
  if 'KILL_LOG' in os.environ:
    with open(os.environ['KILL_LOG'], 'a', encoding='utf-8') as log:
      log.write(f'{reached}\n')
  if reached == os.environ.get('KILL_AT'):
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(owner, name, describe):
  original = getattr(owner, name)

  def wrapped(*args, **kwargs):
    what = describe(*args)
    _reach(f'before {what}')
    if what.startswith(('copy', 'append')):
      _do_half(what, *args)
    result = original(*args, **kwargs)
    _reach(f'after {what}')
    return result

  setattr(owner, name, wrapped)


def _do_half(what, *args):
  """Kills in the middle, or does nothing."""
  moment = f'amid {what}'
  if f'{moment} {_counts[moment] + 1}' == os.environ.get('KILL_AT'):
    if what.startswith('copy'):
      with open(args[0], 'rb') as file:
        content = file.read()
      target, content = args[1], content[: len(content) // 2]
    else:
      target, content = args[0], args[1].encode()[: len(args[1]) // 2]
    with open(target, 'ab') as file:
      file.write(content)
  _reach(moment)


def _tail(path):
  return '/'.join(os.path.abspath(path).split('/')[-2:])


_wrap(os, 'replace', lambda source, target: f'replace {_tail(target)}')
_wrap(os, 'remove', lambda path: f'remove {_tail(path)}')
_wrap(shutil, 'copyfile', lambda source, target: f'copy {_tail(target)}')
_wrap(evaluation, 'evaluate', lambda settings: 'evaluate')
_wrap(run_log, '_append', lambda path, text: f'append {_tail(path)}')
_wrap(saving.Saver, 'save', lambda *unused: 'save')
