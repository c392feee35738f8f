"""Traces of a session.run, in the format of Chrome's viewer."""

from tensorflow.python.client import timeline

from slimcompat import tf


def chrome_trace(run_metadata: tf.RunMetadata) -> str:
  """Returns the JSON of a trace: each op by device and thread, and the memory over time.

  Args:
    run_metadata: of a session.run whose tf.RunOptions asked for FULL_TRACE.
  """
  trace = timeline.Timeline(run_metadata.step_stats)
  return trace.generate_chrome_trace_format(show_memory=True)
