"""Events of a training, each with a code that docs/operations.md explains."""

import time
from pathlib import Path
from typing import Any

from fusionjax import files
from fusionjax.parallel import processes
from fusionjax.telemetry import say

CODES = {
    "T1": "resumed from a checkpoint",
    "T2": "stopped on request",
    "T3": "modalities were selected",
    "T4": "the fusion looks odd",
    "T5": "one process slows the others",
    "T6": "the clock went back",
    "T7": "the network's correction of the experts was judged",
    "T8": "the training is extended",
    "G1": "updates were skipped",
    "G2": "the loss rebounded: the best state was restored",
    "G3": "the loss rebounded: reported only",
    "N1": "a step was non-finite",
    "N2": "samples were excluded",
    "N3": "the step was finite when repeated",
    "N4": "the model is non-finite: the best state was restored",
    "C1": "a checkpoint could not be written",
    "C2": "a checkpoint is damaged",
    "C3": "an older checkpoint is used instead",
    "S1": "samples have weights of their own",
}
_FILE = "events.jsonl"


def tell(code: str, text: str, folder: Path | None = None, **facts: Any) -> None:
    """Prints an event and, if ``folder`` is given, appends it to its ``events.jsonl``.

    Args:
      code: of ``CODES``.
      text: what happened, in words.
      folder: of the training.
      facts: further fields of the line, such as ``step``.
    """
    assert code in CODES, code
    say(f"{code} {text}")
    if folder is not None and processes.first():
        folder.mkdir(parents=True, exist_ok=True)
        row = {"code": code, "at": round(time.time(), 3), "text": text, **facts}
        files.add_json_line(folder / _FILE, row)


def read(folder: Path) -> list[dict[str, Any]]:
    """The recorded events, oldest first; a line that a kill cut short is left out."""
    return [*files.json_lines(folder / _FILE)]
