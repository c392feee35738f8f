"""A clean copy of a directory of records: all that can be trained with, and nothing else."""

import dataclasses
import os
import tempfile
from typing import NamedTuple

import numpy as np

from datasets import (
  dataset_info,
  dataset_utils,
  integrity,
  label_files,
  record_sets,
  shards,
  user_files,
)
from slimcompat import errors, tf


class Repaired(NamedTuple):
  """What `repair` did."""

  num_kept: int  # Records.
  problems: list[integrity.Problem]  # Those of the records left out or mended, by the originals.


def refuse_to_overwrite(output_dir: str | None):
  """Raises InputError unless clean copies can go to `output_dir`."""
  if not output_dir:
    raise errors.InputError(
      'Repairing needs --output_dir, the directory for the copies: the originals stay as they are.'
    )
  if os.path.isdir(output_dir) and os.listdir(output_dir):
    raise errors.InputError(
      f'{output_dir} is not empty, and clean copies never replace anything. Give --output_dir a new'
      ' directory.'
    )


def repair(record_set: record_sets.RecordSet, output_dir: str) -> Repaired:
  """Writes the good records of a RecordSet into `output_dir`, under the same file names.

  A file without good records is left out. Where there is a dataset_info.json, a new one counts
  what was kept.

  Raises:
    InputError: when the directory is not empty or cannot be written to, or nothing is left.
  """
  refuse_to_overwrite(output_dir)
  try:
    os.makedirs(output_dir, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=shards.UNFINISHED_PREFIX) as unfinished:
      splits, problems = {}, []
      with integrity.progress_bar(record_set, 'Copying records') as bar:
        for split_name in record_set.files:
          split = _copy_split(record_set, split_name, unfinished, problems, bar)
          if split.shards:
            splits[split_name] = split
      for name in os.listdir(unfinished):
        os.replace(os.path.join(unfinished, name), os.path.join(output_dir, name))
    if not splits:
      raise errors.InputError(
        f'{record_set.dataset_dir} has no good record, so there is nothing to write to'
        f' {output_dir}. Convert the data again.'
      )
    labels_path = label_files.find(record_set.dataset_dir, record_set.layout.record_label_key)
    if labels_path:
      dataset_utils.write_label_file(label_files.read(labels_path), output_dir)
    if record_set.info:
      info = dataclasses.replace(record_set.info, splits=splits, made_of={'repaired': 'true'})
      dataset_info.write(info, output_dir)
  except (OSError, tf.errors.OpError) as error:
    raise errors.InputError(
      f'Cannot write clean copies to {output_dir}: {getattr(error, "strerror", "") or error}. Make'
      ' room or give another directory.'
    ) from error
  num_kept = sum(split.num_examples for split in splits.values())
  return Repaired(num_kept, problems)


def _copy_split(record_set, split_name, folder, problems, bar):
  """Copies the good records of a split into `folder`; returns its dataset_info.Split.

  Appends the Problems of the others to `problems`.
  """
  problems += [
    integrity.Problem(path, None, complaint)
    for path, complaint in record_set.unreadable_files(split_name).items()
  ]
  info = record_set.info
  num_classes = info.num_classes if info and info.task != 'regression' else 0
  class_counts = np.zeros(num_classes, int)
  written = []
  with integrity.Checker(record_set.datasets[split_name]) as checker:
    for path in record_set.present_files(split_name):
      name = os.path.basename(path)
      copy = os.path.join(folder, name)
      num_records = 0
      with tf.io.TFRecordWriter(copy) as writer:
        for record in checker.check(path):
          if record.complaint:
            problems.append(integrity.Problem(path, record.number, record.complaint))
          if record.payload is not None:
            writer.write(record.payload)
            num_records += 1
            if num_classes:
              class_counts[list(record_set.stored_image(record.payload).labels)] += 1
      user_files.flush_to_disk(copy)
      if num_records:
        written.append(dataset_info.Shard(name, num_records, os.path.getsize(copy)))
      else:
        os.unlink(copy)
      bar.update()
  return dataset_info.Split(tuple(written), tuple(class_counts.tolist()))


def report(repaired: Repaired, output_dir: str) -> str:
  """Returns lines on what `repair` left out or mended."""
  lines = [str(problem) for problem in repaired.problems]
  return '\n'.join([*lines, f'{output_dir} holds the {repaired.num_kept:,} good records.'])
