"""Anomalies of a run in its four stages: preprocessing, fusion, training, output.

Each line says what was seen, the likely cause and where to look. Thresholds are relative: to the
preceding rows of the same log, or to what the same days would show by chance.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax import files
from fusionjax.config import Config
from fusionjax.scores.intervals import ByDay
from fusionjax.train.hooks.metrics import tensorboard_text

STAGES = ("preprocessing", "fusion", "training", "output")
_WINDOW = 20  # logged rows that a row is compared with
_SURE, _SURE_DAYS = 0.99, 120  # level of the intervals, and days below which there is none


def logs(run: Path) -> dict[Path, pd.DataFrame]:
    """The log of every training below a folder, by the training's folder; a row a report."""
    return {
        path.parent: pd.DataFrame([*files.json_lines(path)])
        for path in sorted(run.glob("**/metrics.jsonl"))
    }


def diagnose(folder: Path, config: Config, outcomes: str | None = None) -> dict[str, list[str]]:
    """Anomalies of a run, by stage; also written to ``diagnostics.json`` and TensorBoard.

    Args:
      folder: of the run.
      config: of the run.
      outcomes: name of the file of scored forecasts; without it the output is not diagnosed.
    """
    anomalies: dict[str, list[str]] = {stage: [] for stage in STAGES}
    audit = folder / "audit.json"
    if audit.exists():
        for finding in json.loads(audit.read_text())["findings"]:
            if finding["level"] != "fine":
                line = f"{finding['code']}: {finding['what']}. Look: {finding['do']}"
                anomalies["preprocessing"].append(line)
    trainings = logs(folder)
    anomalies["training"] += disagreement([*trainings])
    for seed, log in trainings.items():
        fusion = seed / "fusion.json"
        if fusion.exists():
            lines = json.loads(fusion.read_text())["anomalies"]
            anomalies["fusion"] += [f"{seed.name}: {line}" for line in lines]
        anomalies["training"] += [
            f"{seed.name}: {x}" for x in of_training(log, fresh=not config.stacked_heads)
        ]
    if outcomes is not None:
        anomalies["output"] = of_output(pd.read_parquet(folder / f"{outcomes}.parquet"), config)
    files.write_text(folder / "diagnostics.json", json.dumps(anomalies, indent=1))
    for seed in trainings:
        tensorboard_text(
            seed, {f"diagnostics/{stage}": lines for stage, lines in anomalies.items()}
        )
    return anomalies


def disagreement(seeds: list[Path]) -> list[str]:
    """A line if the seeds of a run do not keep the same modalities: which keep what."""
    by_kept: dict[tuple[str, ...], list[str]] = {}
    for seed in seeds:
        if (path := seed / "fusion.json").exists():
            fusion = json.loads(path.read_text())
            pairs = zip(fusion["modalities"], fusion["kept"], strict=True)
            by_kept.setdefault(tuple(n for n, kept in pairs if kept), []).append(seed.name)
    if len(by_kept) < 2:
        return []
    sets = "; ".join(f"{', '.join(who)}: {', '.join(kept)}" for kept, who in by_kept.items())
    return [f"seeds disagree on the modalities to keep, and are averaged all the same: {sets}"]


def of_training(log: pd.DataFrame, *, fresh: bool = True) -> list[str]:
    """Anomalies of a training's log with columns step, loss, grad_norm, steps_per_second.

    A value is one if it exceeds the 20 rows before it by more than their range; of independent,
    equally distributed normal values fewer than one in a thousand does.

    Args:
      log: of the training.
      fresh: whether it began from nothing; one that begins from experts may find little to add.
    """
    lines = []
    loss, grad = log["loss"].to_numpy(float), log["grad_norm"].to_numpy(float)
    step = log["step"].to_numpy()
    nonfinite = ~(np.isfinite(loss) & np.isfinite(grad))
    if nonfinite.any():
        lines.append(
            f"the loss or its gradient is not finite from step {step[nonfinite][0]} on: an "
            "input is not, or the learning rate is far too high. Look: the batch of that step"
        )
        return lines
    spikes = step[_beyond(loss)]
    if len(spikes):
        lines.append(
            f"the loss jumps {len(spikes)} time(s), first at step {spikes[0]}: a damaged sample or "
            "too high a learning rate. Look: grad_norm there, train.learning_rate"
        )
    log_norm = np.log(np.maximum(grad, 1e-30))
    burst, fading = step[_beyond(log_norm)], step[_beyond(-log_norm)]
    if len(burst):
        lines.append(
            f"the gradient bursts {len(burst)} time(s), first at step {burst[0]}: clipping hides "
            "it from the loss. Look: outliers in the audit, train.learning_rate"
        )
    if len(fading):
        lines.append(
            f"the gradient fades at step {fading[0]}: nothing is learned any more, by a saturated "
            "head or a dead encoder. Look: the fusion's contributions"
        )
    quarter = max(len(loss) // 4, 1)
    if fresh and len(loss) >= _WINDOW and loss[-quarter:].mean() > loss[:quarter].mean():
        lines.append(
            "the loss is no lower in the last quarter than in the first: nothing is learned, or "
            "the learning rate is too high. Look: fusionjax train --sanity_checks"
        )
    speed = np.log(log["steps_per_second"].to_numpy(float)[1:])  # the first row waits to compile
    slow = step[1:][_beyond(-speed)]
    if len(slow):
        lines.append(
            f"steps become slower than ever before {len(slow)} time(s), first at step {slow[0]}: "
            "the feed or the machine is busy. Look: benchmarks/feeding.py"
        )
    return lines


def of_output(rows: pd.DataFrame, config: Config) -> list[str]:
    """Anomalies of forecasts, head by head, beyond 99 % intervals over days."""
    days, day = np.unique(rows["target_day"].to_numpy(), return_inverse=True)
    lines = []
    for name, head in config.targets.items():
        for at, horizon in enumerate(head.horizons):
            end, names = head.suffix(at), rows.columns.tolist()
            own = {c: c.removesuffix(end) for c in names if c.endswith(end)}
            if not own:  # scored before further horizons were
                continue
            others = [c for c in own.values() if c in rows] if at else []
            by_day = ByDay(day, len(days), horizon, _SURE, _SURE_DAYS)
            found = head.one(at).anomalies(rows.drop(columns=others).rename(columns=own), by_day)
            lines += [f"{name} at {horizon} sessions: {x}" if at else x for x in found]
    return lines


def _beyond(x: np.ndarray) -> np.ndarray:
    """Which values exceed the 20 before them by more than their range."""
    out = np.zeros(len(x), bool)
    if len(x) > _WINDOW:
        before = np.lib.stride_tricks.sliding_window_view(x, _WINDOW)[:-1]
        top = before.max(1)
        out[_WINDOW:] = x[_WINDOW:] > top + (top - before.min(1))
    return out
