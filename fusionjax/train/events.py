"""What happened in a training, each with a code that docs/operations.md explains."""

import time
from pathlib import Path
from typing import Any

from fusionjax import files
from fusionjax.parallel import processes
from fusionjax.train.telemetry import say

CODES = {
    "T1": "goes on from a checkpoint",
    "T2": "stopped as asked",
    "T3": "modalities were weighed, and some dropped",
    "T4": "something is odd about the fusion",
    "T5": "a process holds the others up",
    "T6": "the clock went back",
    "G1": "updates were skipped",
    "G2": "the loss rebounded: back to the best state",
    "G3": "the loss rebounded: told only",
    "N1": "a step was non-finite",
    "N2": "samples were taken out",
    "N3": "the number was not lost again",
    "N4": "the model lost it: back to the best state",
    "C1": "a checkpoint could not be written",
    "C2": "a checkpoint is damaged",
    "C3": "an older checkpoint took its place",
    "S1": "samples have weights of their own",
}
_FILE = "events.jsonl"


def tell(code: str, text: str, folder: Path | None = None, **facts: Any) -> None:
    """Says what happened and, where there is a folder, puts it on record in ``events.jsonl``.

    Args:
      code: of ``CODES``.
      text: in words.
      folder: of the training.
      facts: that programs may want, such as ``step``.
    """
    assert code in CODES, code
    say(f"{code} {text}")
    if folder is not None and processes.first():
        folder.mkdir(parents=True, exist_ok=True)
        row = {"code": code, "at": round(time.time(), 3), "text": text, **facts}
        files.add_json_line(folder / _FILE, row)


def told(folder: Path) -> list[dict[str, Any]]:
    """What is on record, oldest first; a line that a kill cut short is left out."""
    return [*files.json_lines(folder / _FILE)]
