"""Progress of every training in a folder of runs, read from the files it writes."""

import hashlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from fusionjax import files
from fusionjax.errors import InputError
from fusionjax.train.goodput import COMPILING, FAILED, FILE, RUNNING

_SILENT = 3.0  # intervals between log rows after which a training counts as silent
_LEAST = 60.0  # seconds before one counts as silent
_COMPILES = 1800.0  # seconds that a program for many devices may take
_GROUPS = "groups"
DONE = "done"


def keep_group(runs: Path, states: dict[str, str]) -> None:
    """Writes the state of each config of a group; one file for each list of configs."""
    name = hashlib.sha256("\n".join(states).encode()).hexdigest()[:12]
    files.write_text(runs / _GROUPS / f"{name}.json", json.dumps(states, indent=1))


def look(runs: Path) -> pd.DataFrame:
    """A row for each training and each unfinished config of a group, the latest active first.

    Raises:
      InputError: there is no training.
    """
    rows = [_row(path, runs) for path in sorted(runs.glob(f"**/{FILE}"))]
    rows += [row for path in sorted(runs.glob(f"{_GROUPS}/*.json")) for row in _group(path)]
    if not rows:
        raise InputError(f"{runs}: no training here; give the folder that holds the run folders")
    frame = pd.DataFrame(rows).sort_values("ago")
    return frame.assign(ago=frame["ago"].map(_span), left=frame["left"].map(_span))


def _row(path: Path, runs: Path) -> dict[str, Any]:
    goodput = json.loads(path.read_text())
    rows = [*files.json_lines(path.with_name("metrics.jsonl"))]
    last = rows[-1] if rows else {}
    step, steps, ago = goodput["step"], goodput["steps"], time.time() - goodput["at"]
    rate = last.get("steps_per_second", float("nan"))
    interval = (last["step"] - rows[-2]["step"]) / rate if len(rows) > 1 else _LEAST
    state = goodput.get("state", RUNNING)  # runs before 2026-12 have none
    patience = {RUNNING: max(_SILENT * interval, _LEAST), COMPILING: _COMPILES}
    if step >= steps and state != FAILED:
        state = DONE
    elif ago > patience.get(state, math.inf):
        state = "silent"
    return {
        "training": str(path.parent.relative_to(runs)),
        "state": state,
        "step": f"{step:,} of {steps:,}",
        "loss": last.get("loss", float("nan")),
        "steps/s": rate,
        "left": 0.0 if step >= steps else (steps - step) / rate,
        "goodput": goodput["goodput"],
        "MFU": last.get("mfu", float("nan")),
        "ago": ago,
    }


def _group(path: Path) -> Iterator[dict[str, Any]]:
    nothing = dict.fromkeys(("loss", "steps/s", "left", "goodput", "MFU"), float("nan"))
    ago = time.time() - path.stat().st_mtime
    for config, state in json.loads(path.read_text()).items():
        if state != DONE:
            yield {"training": config, "state": state, "step": "–", **nothing, "ago": ago}


def _span(seconds: float) -> str:
    if math.isnan(seconds):
        return "–"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}"
