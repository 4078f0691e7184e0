"""The samples that a training excludes or gives another weight, in ``samples.json`` of its folder.

Written when a sample makes the loss non-finite, or by a person (fusionjax samples); read when
training starts or resumes.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from fusionjax import files
from fusionjax.data.samples import Samples, TrainingData
from fusionjax.errors import InputError
from fusionjax.parallel import processes

_FILE = "samples.json"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One sample's weight and the reason for it."""

    weight: float  # 0: excluded
    since: int  # the first step it applies to
    why: str
    sample: dict[str, Any]  # where it comes from


def read(folder: Path) -> dict[int, Entry]:
    """The entries by ``sample_id``; empty without a file.

    Raises:
      InputError: the file is damaged.
    """
    path = folder / _FILE
    if not path.exists():
        return {}
    try:
        return {int(row): Entry(**entry) for row, entry in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as e:
        raise InputError(
            f"{path}: no list of samples ({e}); delete it to give every sample its full weight"
        ) from e


def write(folder: Path, entries: dict[int, Entry]) -> None:
    """Replaces the list."""
    rows = {str(row): dataclasses.asdict(entry) for row, entry in sorted(entries.items())}
    files.write_text(folder / _FILE, json.dumps(rows, indent=1))


class Exclusions:
    """The samples that one training excludes or reweights, over all its restarts.

    Args:
      folder: of the training; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._entries = {} if folder is None else read(folder)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def excluded(self) -> int:
        """The number of samples of weight 0."""
        return sum(e.weight == 0 for e in self._entries.values())

    @property
    def weights(self) -> dict[int, tuple[float, int]]:
        """Weight and first step by ``sample_id``, for a batch source."""
        return {row: (entry.weight, entry.since) for row, entry in self._entries.items()}

    def add(self, samples: list[dict[str, Any]], step: int, why: str) -> None:
        """Excludes samples, as ``Windows.describe`` returns them, from a step on."""
        self._entries |= {s["sample_id"]: Entry(0.0, step, why, s) for s in samples}
        if self._folder is not None and processes.first():
            write(self._folder, self._entries)

    def without_excluded(self, training_data: TrainingData, step: int) -> TrainingData:
        """The training data without the samples excluded at ``step``."""
        excluded = (row for row, e in self._entries.items() if e.weight == 0 and e.since <= step)
        rows = np.array([*excluded], int)

        def remaining(samples: Samples | None) -> Samples | None:
            return None if samples is None else samples.take(~np.isin(samples.row, rows))

        every = remaining(training_data.all)
        assert every is not None
        return (
            TrainingData(every, remaining(training_data.inner), remaining(training_data.meta))
            if len(rows)
            else training_data
        )
