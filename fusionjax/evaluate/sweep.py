"""Many settings scored on the same folds: each is recorded as it ends, and never run twice."""

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

from fusionjax import ledger
from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.selection import Selection, objective

Changes = dict[str, Any]
Point = tuple[Changes, ledger.Record, bool]  # a setting, what came of one seed, whether it is new
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
    found: list[Changes]
    if s.method == "sensitivity":
        own = ledger.flat(config)
        found = [{}] + [{k: v} for k, tried in s.space for v in tried if v != own.get(k)]
    elif s.method == "grid":
        found = [dict(zip(keys, chosen, strict=True)) for chosen in itertools.product(*values)]
    else:
        total = math.prod(len(v) for v in values)
        drawn = np.random.default_rng(config.seed).permutation(total)[: s.points]
        found = [
            {k: v[i] for k, v, i in zip(keys, values, at, strict=True)}
            for at in np.column_stack(np.unravel_index(drawn, [len(v) for v in values])).tolist()
        ]
    for changes in found:
        config.override(changes)
    return found


def run(market: Market, config: Config, mesh: Mesh, folder: Path) -> Iterator[Point]:
    """Scores every setting with every seed; yields each with its record and whether it is new.

    A point that the ledger holds, of the same code, data and settings, is not run again.

    Args:
      market: the data.
      config: the base; ``sweep`` and ``selection`` govern.
      mesh: to train on.
      folder: of the ledger.
    """
    done = {_key(r): r for r in ledger.read(folder) if r.kind == "sweep"}
    for changes in settings(config):
        tried = config.override(changes)
        selection: Selection | None = None
        for seed in range(config.seed, config.seed + config.sweep.seeds):
            mine = dataclasses.replace(tried, seed=seed)
            subject = ledger.Subject(
                f"{config.name} sweep", market.fingerprint, (seed,), config.train.split
            )
            planned = ledger.record("sweep", mine, subject, ledger.Result({}, {}))
            known = done.get(_key(planned))
            if known is not None:
                yield changes, known, False
                continue
            begun = time.perf_counter()
            selection = selection or Selection(market, tried, mesh)
            got = selection.scores(seed)
            # Weighed as in the base config, the same for all settings.
            made = dataclasses.replace(
                planned,
                metrics={_OBJECTIVE: objective(got, config), **got},
                cost={"seconds": time.perf_counter() - begun},
            )
            ledger.append(folder, made)
            yield changes, made, True


def table(points: list[Point]) -> pd.DataFrame:
    """A row a setting, best first: mean and standard deviation over seeds of each score."""
    frame = pd.DataFrame(
        [{"setting": _said(c) or "as it is", **r.metrics, **r.cost} for c, r, _ in points]
    )
    by = frame.groupby("setting", sort=False)
    out = by.mean()
    out.insert(1, "±", by[_OBJECTIVE].std())
    return out.sort_values(_OBJECTIVE)


def effects(points: list[Point]) -> pd.DataFrame:
    """What changing each key alone does to the objective, largest effect first.

    The effect is that of its best or worst value, whichever is farther, against the config as it
    is; ``noise`` is the standard error of such a difference over seeds.

    Raises:
      InputError: the points are not of a sensitivity sweep.
    """
    values: dict[str, list[float]] = {}
    for c, r, _ in points:
        values.setdefault(_said(c), []).append(r.metrics[_OBJECTIVE])
    if "" not in values:
        raise InputError("config.sweep.method is not sensitivity: nothing to compare with")
    base = np.array(values.pop(""))
    rows = []
    for setting, got in values.items():
        spread = np.std(got, ddof=1) ** 2 + base.std(ddof=1) ** 2 if len(base) > 1 else np.nan
        rows.append(
            {
                "key": setting.partition("=")[0],
                "setting": setting,
                "change": float(np.mean(got) - base.mean()),
                "noise": float(np.sqrt(spread / len(base))),
            }
        )
    frame = pd.DataFrame(rows)
    frame["effect"] = frame.groupby("key")["change"].transform(lambda x: x.abs().max())
    return frame.sort_values(["effect", "key"], ascending=False).reset_index(drop=True)


def _said(changes: Changes) -> str:
    return ", ".join(f"{k}={v}" for k, v in changes.items())


def _key(record: ledger.Record) -> str:
    """What makes two points the same; the sweep they are part of does not."""
    shaping = {k: v for k, v in record.config.items() if not k.startswith("sweep.")}
    return repr((record.code, record.data, sorted(shaping.items())))
