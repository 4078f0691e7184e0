"""Samples that a training does not take at face value: taken out, or weighed less, on file.

``samples.json`` in a training's folder: written when a sample broke the loss, or by a person
(launch/samples.py), and read when training starts or goes on.
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

    weight: float  # 0: taken out
    since: int  # the step from which it counts
    why: str
    sample: dict[str, Any]  # where it comes from


def read(folder: Path) -> dict[int, Entry]:
    """By ``sample_id``; empty where there is no file.

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
    """The samples that one training excludes or weighs anew, over all its restarts.

    Args:
      folder: of the training; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._entries = {} if folder is None else read(folder)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def excluded(self) -> int:
        """How many samples have no weight at all."""
        return sum(e.weight == 0 for e in self._entries.values())

    @property
    def weights(self) -> dict[int, tuple[float, int]]:
        """What a feed asks: weight and first step, by ``sample_id``."""
        return {row: (entry.weight, entry.since) for row, entry in self._entries.items()}

    def add(self, samples: list[dict[str, Any]], step: int, why: str) -> None:
        """Excludes samples, as ``Windows.describe`` gives them, from a step on."""
        self._entries |= {s["sample_id"]: Entry(0.0, step, why, s) for s in samples}
        if self._folder is not None and processes.first():
            write(self._folder, self._entries)

    def without_excluded(self, training_data: TrainingData, step: int) -> TrainingData:
        """The training data without the samples that were excluded by a step."""
        excluded = (row for row, e in self._entries.items() if e.weight == 0 and e.since <= step)
        out = np.array([*excluded], int)

        def kept(samples: Samples | None) -> Samples | None:
            return None if samples is None else samples.take(~np.isin(samples.row, out))

        whole = kept(training_data.all)
        assert whole is not None
        return (
            TrainingData(whole, kept(training_data.inner), kept(training_data.meta))
            if len(out)
            else training_data
        )
