"""The four stages of a run: preprocessing, fusion, training, output, and what is odd about each.

Every line says what was seen, the likely cause and where to look. Thresholds come from a reference:
rows of the same log just before, or what the same days would show by chance.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax import files
from fusionjax.config import Config
from fusionjax.scores.bootstrap import ByDay, Draws
from fusionjax.train.hooks.metrics import tensorboard_text

STAGES = ("preprocessing", "fusion", "training", "output")
_WINDOW = 20  # logged rows that a row is compared with
_SURE = 0.99  # of an interval that should hold what is not odd


def logs(run: Path) -> dict[Path, pd.DataFrame]:
    """What every training below a folder logged, a row a report."""
    return {
        path.parent: pd.DataFrame([*files.json_lines(path)])
        for path in sorted(run.glob("**/metrics.jsonl"))
    }


def diagnose(folder: Path, config: Config, outcomes: str | None = None) -> dict[str, list[str]]:
    """What is odd about a run, by stage; written to ``diagnostics.json`` and TensorBoard.

    Args:
      folder: of the run.
      config: of the run.
      outcomes: name of the file of scored forecasts; without one nothing is said of the output.
    """
    found: dict[str, list[str]] = {stage: [] for stage in STAGES}
    audited = folder / "audit.json"
    if audited.exists():
        for f in json.loads(audited.read_text())["findings"]:
            if f["level"] != "fine":
                found["preprocessing"].append(f"{f['code']}: {f['what']}. Look: {f['do']}")
    trainings = logs(folder)
    for seed, log in trainings.items():
        diagnosed = seed / "fusion.json"
        if diagnosed.exists():
            told = json.loads(diagnosed.read_text())["anomalies"]
            found["fusion"] += [f"{seed.name}: {line}" for line in told]
        found["training"] += [f"{seed.name}: {x}" for x in of_training(log)]
    if outcomes is not None:
        found["output"] = of_output(pd.read_parquet(folder / f"{outcomes}.parquet"), config)
    files.write_text(folder / "diagnostics.json", json.dumps(found, indent=1))
    for seed in trainings:
        tensorboard_text(seed, {f"diagnostics/{stage}": lines for stage, lines in found.items()})
    return found


def of_training(log: pd.DataFrame) -> list[str]:
    """What is odd about a training's log: step, loss, grad_norm, steps_per_second a row.

    A value is odd if it lies farther beyond the 20 rows before it than those are wide. Of values
    that are drawn alike, normally distributed, fewer than one in a thousand does.
    """
    found = []
    loss, grad = log["loss"].to_numpy(float), log["grad_norm"].to_numpy(float)
    step = log["step"].to_numpy()
    bad = ~(np.isfinite(loss) & np.isfinite(grad))
    if bad.any():
        found.append(
            f"the loss or its gradient is not finite from step {step[bad][0]} on: a value among "
            "the inputs is not, or the learning rate is far too high. Look: the batch of that step"
        )
        return found
    spikes = step[_beyond(loss)]
    if len(spikes):
        found.append(
            f"the loss jumps {len(spikes)} time(s), first at step {spikes[0]}: a damaged sample or "
            "too high a learning rate. Look: grad_norm there, train.learning_rate"
        )
    size = np.log(np.maximum(grad, 1e-30))
    burst, faded = step[_beyond(size)], step[_beyond(-size)]
    if len(burst):
        found.append(
            f"the gradient bursts {len(burst)} time(s), first at step {burst[0]}: clipping hides "
            "it from the loss. Look: outliers in the audit, train.learning_rate"
        )
    if len(faded):
        found.append(
            f"the gradient fades at step {faded[0]}: nothing is learned any more, by a saturated "
            "head or a dead encoder. Look: the fusion's contributions"
        )
    quarter = max(len(loss) // 4, 1)
    if len(loss) >= _WINDOW and loss[-quarter:].mean() > loss[:quarter].mean():
        found.append(
            "the loss is no lower in the last quarter than in the first: nothing is learned, or "
            "the learning rate is too high. Look: launch/train.py --ladder"
        )
    speed = np.log(log["steps_per_second"].to_numpy(float)[1:])  # the first row waits to compile
    slow = step[1:][_beyond(-speed)]
    if len(slow):
        found.append(
            f"steps become slower than ever before {len(slow)} time(s), first at step {slow[0]}: "
            "the feed or the machine is busy. Look: benchmarks/feeding.py"
        )
    return found


def of_output(rows: pd.DataFrame, config: Config) -> list[str]:
    """What is odd about forecasts, beyond 99 % intervals of a day-block bootstrap, head by head."""
    days, day = np.unique(rows["target_day"].to_numpy(), return_inverse=True)
    heads = config.targets.values()
    draws = Draws.of_days(len(days), max(head.horizons[0] for head in heads), config)
    by_day = ByDay(day, draws, _SURE)
    return [line for head in heads for line in head.odd(rows, by_day)]


def _beyond(x: np.ndarray) -> np.ndarray:
    """Which values lie farther above the 20 before them than those are wide."""
    out = np.zeros(len(x), bool)
    if len(x) > _WINDOW:
        before = np.lib.stride_tricks.sliding_window_view(x, _WINDOW)[:-1]
        top = before.max(1)
        out[_WINDOW:] = x[_WINDOW:] > top + (top - before.min(1))
    return out
