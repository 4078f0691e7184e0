"""Many settings scored on the same folds; each is recorded when it ends and not run again."""

import dataclasses
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jax.sharding import Mesh

from fusionjax import ledger, streams
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import labels, readings
from fusionjax.evaluate.selection import Selection, objective

Changes = dict[str, Any]
Point = tuple[Changes, ledger.Record, bool]  # a setting, the record of one seed, whether it is new
_OBJECTIVE = "objective"  # minimised: the heads' losses, weighted as in the config


def settings(config: Config) -> list[Changes]:
    """The settings of ``config.sweep``, the config as it is first where the method includes it.

    Raises:
      InputError: a key or a value that the config refuses, or an empty space.
    """
    s = config.sweep
    if not s.space:
        raise InputError(
            "config.sweep.space is empty; expected (dotted key, values) pairs, such as "
            '(("model.width", (16, 32)),)'
        )
    keys, values = [k for k, _ in s.space], [v for _, v in s.space]
    result: list[Changes]
    if s.method == "sensitivity":
        current = ledger.flat(config)
        result = [{}] + [{k: v} for k, tried in s.space for v in tried if v != current.get(k)]
    elif s.method == "grid":
        result = [dict(zip(keys, chosen, strict=True)) for chosen in itertools.product(*values)]
    else:
        total = math.prod(len(v) for v in values)
        points = streams.generator(config.seed, "sweep").permutation(total)[: s.points]
        result = [
            {k: v[i] for k, v, i in zip(keys, values, at, strict=True)}
            for at in np.column_stack(np.unravel_index(points, [len(v) for v in values])).tolist()
        ]
    for changes in result:
        config.override(changes)
    return result


def run(market: Market, config: Config, mesh: Mesh, folder: Path) -> Iterator[Point]:
    """Scores every setting with every seed; yields each with its record and whether it is new.

    A point that the ledger holds, of the same code, data and settings, is not run again.

    Args:
      market: the data.
      config: the base; ``sweep`` and ``selection`` govern.
      mesh: to train on.
      folder: of the ledger.
    """
    recorded = {_key(r): r for r in ledger.read(folder) if r.kind == "sweep" and r.finished}
    read = labels.of_days(market, *samples.period(config.data, config.train.split))
    for changes in settings(config):
        trial = config.override(changes)
        selection: Selection | None = None
        for seed in range(config.seed, config.seed + config.sweep.seeds):
            seeded = dataclasses.replace(trial, seed=seed)
            subject = ledger.Subject(
                f"{config.name} sweep", market.fingerprint, (seed,), config.train.split
            )
            key = _key(ledger.record("sweep", seeded, subject, ledger.Result({}, {})))
            existing = recorded.get(key)
            if existing is not None:
                yield changes, existing, False
                continue
            setting = readings.of_config(ledger.flat(trial))
            question = readings.Question("sweep", seeded, subject, read, (setting,), (), folder)
            question.require_unread(at_most=2)  # a hold-out is not for choosing
            reading, started = question.begin(), time.perf_counter()
            selection = selection or Selection(market, trial, mesh)
            scores = selection.scores(seed)
            # Weighed as in the base config, the same for all settings.
            metrics = {_OBJECTIVE: objective(scores, config.targets), **scores}
            cost = {"seconds": time.perf_counter() - started}
            result = ledger.Result(metrics, cost, suspect=tuple(selection.suspect))
            yield changes, reading.finish(result), True


def table(points: list[Point]) -> pd.DataFrame:
    """A row a setting, best first: mean and standard deviation over seeds of each score, and the
    leak alarms of a seed, if there are any."""
    any_suspect = any(r.suspect for _, r, _ in points)
    frame = pd.DataFrame(
        [
            {"setting": _words(c) or "as it is", **r.metrics, **r.cost}
            | ({"leak alarms": len(r.suspect)} if any_suspect else {})
            for c, r, _ in points
        ]
    )
    by = frame.groupby("setting", sort=False)
    out = by.mean()
    out.insert(1, "±", by[_OBJECTIVE].std())
    return out.sort_values(_OBJECTIVE)


def effects(points: list[Point]) -> pd.DataFrame:
    """How changing each key alone changes the objective, largest effect first.

    A key's effect is the largest change by any of its values from the unchanged config; ``noise``
    is the standard error of such a difference over seeds.

    Raises:
      InputError: the points are not of a sensitivity sweep.
    """
    by_setting: dict[str, list[float]] = {}
    for changes, record, _ in points:
        by_setting.setdefault(_words(changes), []).append(record.metrics[_OBJECTIVE])
    if "" not in by_setting:
        raise InputError("config.sweep.method is not sensitivity: nothing to compare with")
    base = np.array(by_setting.pop(""))
    rows = []
    for setting, values in by_setting.items():
        spread = np.std(values, ddof=1) ** 2 + base.std(ddof=1) ** 2 if len(base) > 1 else np.nan
        rows.append(
            {
                "key": setting.partition("=")[0],
                "setting": setting,
                "change": float(np.mean(values) - base.mean()),
                "noise": float(np.sqrt(spread / len(base))),
            }
        )
    frame = pd.DataFrame(rows)
    frame["effect"] = frame.groupby("key")["change"].transform(lambda x: x.abs().max())
    return frame.sort_values(["effect", "key"], ascending=False).reset_index(drop=True)


def _words(changes: Changes) -> str:
    return ", ".join(f"{k}={v}" for k, v in changes.items())


def _key(record: ledger.Record) -> str:
    """Identifies a point: code, data and the config that shapes it."""
    # Neither the sweep around it nor the answer to its leak alarm makes another point.
    other = ("sweep.", "evaluate.leak_alarm_override")
    shaping = {k: v for k, v in record.config.items() if not k.startswith(other)}
    return repr((record.code, record.data, sorted(shaping.items())))
