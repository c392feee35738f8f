"""The exception for what a user can mend."""


class InputError(ValueError):
  """Settings or files are at fault, not the program.

  The message says what was received, what is allowed and what to do next. Scripts print it as
  one sentence, without a traceback, and exit with code 1.
  """
