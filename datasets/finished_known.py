"""Known datasets that are already there, converted by us or by slim."""

import os
import re
import sys
from collections.abc import Mapping

from datasets import (
  dataset_factory,
  dataset_info,
  dataset_utils,
  finished,
  shards,
  verification,
)
from slimcompat import errors


def find(
  row: dataset_factory.KnownDataset,
  dataset_dir: str,
  made_of: Mapping[str, str],
  defaults: Mapping[str, str],
) -> dataset_info.DatasetInfo | None:
  """Returns the known dataset `row` if it is in a directory, whole, made by slim or by us.

  Args:
    row: of DATASETS.
    dataset_dir: the directory, which need not exist.
    made_of: as in `finished.is_finished`.
    defaults: as in `finished.is_finished`.

  Raises:
    InputError: as `finished.is_finished` does, and when slim's files are there but lack records.
  """
  info = dataset_info.read(dataset_dir)
  if info is None:
    return _find_slims(row, dataset_dir)
  if info.name != row.name or not finished.is_finished(info, made_of, defaults, dataset_dir):
    return None
  return info


def _find_slims(row, dataset_dir):
  """Returns the DatasetInfo of a directory that slim made, None of another."""
  # slim wrote labels.txt last. A conversion of ours that was interrupted leaves a folder.
  if not os.path.isdir(dataset_dir) or not dataset_utils.has_labels(dataset_dir):
    return None
  if any(name.startswith(shards.UNFINISHED_PREFIX) for name in os.listdir(dataset_dir)):
    return None
  splits = {}
  for split_name in row.splits:
    dataset = dataset_factory.get_dataset(row.name, split_name, dataset_dir)
    try:
      verification.list_files(dataset.data_sources)
    except errors.InputError:
      return None
    counts = verification.check_records(dataset, row.num_classes)
    _check_counts(row, split_name, counts, dataset_dir)
    splits[split_name] = dataset_info.Split(
      tuple(
        dataset_info.Shard(os.path.basename(path), count, os.path.getsize(path))
        for path, count in counts.items()
      ),
      (),
    )
  names = dataset.labels_to_names
  return dataset_info.DatasetInfo(
    row.name, tuple(names[label] for label in sorted(names)), row.channels, (), (), splits
  )


def _check_counts(row, split_name, counts, dataset_dir):
  """Raises InputError unless the counts of records by file are those of a whole split."""
  num_records, expected = sum(counts.values()), row.split_sizes[split_name]
  if num_records == expected:
    return
  if not _is_even(counts):
    raise errors.InputError(
      f'{dataset_dir} holds the files of {row.name}, but {num_records:,} records for {split_name}'
      f' in place of {expected:,}. Move them away to convert again, or give another --dataset_dir.'
    )
  sys.stderr.write(
    f'{row.name} has {expected:,} images for {split_name}, but {dataset_dir} holds'
    f' {num_records:,}.\n'
  )


def _is_even(counts):
  """Returns whether several shards are complete, and hold as many records each as converters write.

  slim's, or one that was made from it for other images, fills all but the last one alike; ours make
  them differ by one at most.
  """
  places = [re.search(r'(\d{5})-of-(\d{5})', os.path.basename(path)) for path in counts]
  if len(counts) < 2 or not all(places):
    return False
  complete = {f'{shard:05d}-of-{len(counts):05d}' for shard in range(len(counts))}
  if {match[0] for match in places} != complete:
    return False
  *others, last = counts.values()
  return max(counts.values()) - min(counts.values()) <= 1 or (
    len(set(others)) == 1 and last <= others[0]
  )
