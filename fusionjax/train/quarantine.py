"""Samples that a training does not take at face value: taken out, or weighed less, on file.

``samples.json`` in a training's folder: written when a sample broke the loss, or by a person
(launch/samples.py), and read when training starts or goes on.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from fusionjax import files
from fusionjax.errors import InputError

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


def weights(entries: dict[int, Entry]) -> dict[int, tuple[float, int]]:
    """What a feed asks: weight and first step, by ``sample_id``."""
    return {row: (entry.weight, entry.since) for row, entry in entries.items()}
