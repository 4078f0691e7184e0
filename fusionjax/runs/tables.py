"""Runs as tables and lines: a list of them, one in full, several beside each other."""

from pathlib import Path
from typing import Any

import pandas as pd

from fusionjax import ledger
from fusionjax.config import Config, changes
from fusionjax.data.upkeep import in_words
from fusionjax.errors import InputError
from fusionjax.runs.stored import StoredRun
from fusionjax.train.hooks.metrics import last_metrics


def listed(runs: list[StoredRun]) -> pd.DataFrame:
    """A row for each run: config, seeds, steps, state, newest score and size."""
    return pd.DataFrame([_row(run) for run in runs]).set_index("run")


def _row(run: StoredRun) -> dict[str, Any]:
    made, steps = run.steps
    return {
        "run": str(run.folder),
        "config": "–" if run.info is None else run.info.config.name,
        "seeds": len(run.seeds),
        "steps": f"{made:,} of {steps:,}",
        "state": run.state,
        "score": run.last_score,
        "size": in_words(run.size),
    }


def described(run: StoredRun, children: list[str], services: list[str]) -> list[str]:
    """Lines on a run: what it is, where it comes from, who needs it, what its config changes."""
    made, steps = run.steps
    seeds = ", ".join(s.name for s in run.seeds)
    lines = [
        f"{run.folder}: {run.state}, {made:,} of {steps:,} steps, {in_words(run.size)}",
        f"seeds: {seeds}",
    ]
    if run.info is None:
        return [*lines, "no checkpoint that can be read"]
    info = run.info
    lines += [
        f"data: {info.fingerprint}, learned from {info.trained_from} to {info.trained_until}",
        f"parent: {'none' if run.parent is None else run.parent}",
        f"children: {', '.join(children) or 'none'}",
        f"services: {', '.join(services) or 'none'}",
        f"config {info.config.name}, as it differs from the defaults:",
    ]
    return lines + [f"  {line}" for line in changes(Config(), info.config)]


def metrics(run: StoredRun) -> pd.DataFrame:
    """The last logged metrics of its training, averaged over seeds; empty before the first."""
    logged = [seed for seed in run.seeds if (seed / "metrics.jsonl").is_file()]
    try:
        rows = last_metrics(logged) if logged else {}
    except (IndexError, KeyError):  # nothing was logged yet
        rows = {}
    return pd.DataFrame({"metric": list(rows), "value": list(rows.values())})


def scores(runs: list[StoredRun]) -> pd.DataFrame:
    """Every metric of every scored split, a column for each run."""
    columns = {
        str(run.folder): {
            f"{split}: {metric}": value
            for split, scored in run.scores.items()
            for metric, value in scored.metrics.items()
        }
        for run in runs
    }
    return pd.DataFrame(columns, dtype=float).rename_axis("metric")


def compared(runs: list[StoredRun]) -> list[str]:
    """How the configs and the data of further runs differ from the first one's.

    Raises:
      InputError: fewer than two runs, or one without a checkpoint.
    """
    if len(runs) < 2:
        raise InputError("fusionjax runs compare: expected two runs or more")
    for run in runs:
        if run.info is None:
            raise InputError(f"{run.folder}: no checkpoint that can be read; leave it out")
    first, lines = runs[0], []
    assert first.info is not None
    for other in runs[1:]:
        assert other.info is not None
        lines.append(f"from {first.folder} to {other.folder}:")
        found = changes(first.info.config, other.info.config)
        if first.info.fingerprint != other.info.fingerprint:
            was, now = (i.fingerprint[:12] for i in (first.info, other.info))
            found.append(f"data: was {was}, now {now}")
        lines += [f"  {line}" for line in found] or ["  trained with the same config"]
    return lines


def records(run: StoredRun, all_records: list[ledger.Record]) -> list[ledger.Record]:
    """The ledger's records of a run."""
    own = run.folder.resolve()
    return [r for r in all_records if r.run and Path(r.run).resolve() == own]
