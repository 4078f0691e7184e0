"""A service's track record: how its forecasts compare with what came, over all its days.

Read from each day's ``track.json`` alone; no data and no model is opened.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fusionjax.adapt import proof
from fusionjax.adapt.matured import TRACK
from fusionjax.adapt.serving import ROLLBACK, read
from fusionjax.errors import InputError
from fusionjax.scores.intervals import Estimate, least_days, ratio, verdict

_EDGES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 1.0)  # of stated confidence
_RIGHT, _CONFIDENCE = "right", "confidence"


def summary(service: Path) -> dict[str, Any]:
    """The record of all days, in JSON's types.

    Args:
      service: its folder.

    Returns:
      ``days``: how many were served, ``first`` and ``last``; ``sum``: of the last day's proof;
      ``read_before``: what is to be said of pretrained encoders that may have read of them;
      ``targets``: of each the metrics, and of each of the simplest forecasts the loss and the
      difference to it, with 95 % intervals over days (null where they are too few);
      ``confidence``: how often calls of a stated confidence were right; ``weights``: of each day;
      ``events``: days with alarms, updates or a run that was taken back.

    Raises:
      InputError: no day was served there since track records are kept.
    """
    paths = sorted(service.glob(f"*/{TRACK}"))
    if not paths:
        raise InputError(
            f"{service}: no served day with a {TRACK}; give the folder of a service (of a run "
            "RUN it is RUN_serving unless --workdir said otherwise)"
        )
    days = [read(path) for path in paths]
    by_target = _by_target(days)
    confidence = {k: _confidence(*v) for k, v in by_target.items() if _CONFIDENCE in v[1]}
    return {
        "service": service.name,
        "days": len(days),
        "first": days[0]["day"],
        "last": days[-1]["day"],
        "read_before": _read_before(days),
        "sum": proof.sums(service).get(days[-1]["day"], ""),
        "targets": {k: _figures(*v) for k, v in by_target.items()},
        "confidence": confidence,
        "weights": [{"session": d["day"], **d["weights"]} for d in days],
        "events": [e for d in days if (e := _event(service, d))],
    }


def _read_before(days: list[dict[str, Any]]) -> list[str]:
    """That of the last day inside, and how many there are."""
    inside = [d["read_before"] for d in days if d["read_before"]]
    last = inside[-1] if inside else []
    return [f"{line} ({len(inside)} of {len(days)} served days lie inside)" for line in last]


# Number of each label's day, numbers by metric, numbers by simplest forecast and metric, horizon.
_Counts = tuple[np.ndarray, dict[str, np.ndarray], dict[str, dict[str, np.ndarray]], int]


def _by_target(days: list[dict[str, Any]]) -> dict[str, _Counts]:
    """All labels of each target, in the order of the forecasts' sessions."""
    entries: dict[str, list[dict[str, Any]]] = {}
    for entry in (e for d in days for e in d["labels"]):
        entries.setdefault(entry["target"], []).append(entry)
    found = {}
    for target, own in entries.items():
        own.sort(key=lambda e: e["session"])
        sessions = np.repeat([e["session"] for e in own], [len(e["symbols"]) for e in own])
        day = np.unique(sessions, return_inverse=True)[1]
        floors = [f for f in own[0]["floors"] if all(f in e["floors"] for e in own)]
        found[target] = (
            day,
            _joined([e["counted"] for e in own]),
            {f: _joined([e["floors"][f] for e in own]) for f in floors},
            int(own[0]["horizon"]),
        )
    return found


def _joined(counted: list[dict[str, list[float]]]) -> dict[str, np.ndarray]:
    return {k: np.concatenate([c[k] for c in counted]) for k in counted[0]}


def _figures(
    day: np.ndarray,
    ours: dict[str, np.ndarray],
    floors: dict[str, dict[str, np.ndarray]],
    horizon: int,
) -> dict[str, Any]:
    """The metrics of a target, and its loss beside those of the simplest forecasts."""
    loss, needed = next(iter(ours)), least_days(horizon, lasting=True)
    beside = {}
    for name, theirs in floors.items():
        gap = _mean(day, ours[loss] - theirs[loss], horizon, loss)
        beside[name] = {
            "loss": float(theirs[loss].mean()),
            "difference": _ends(gap),
            "verdict": verdict(gap, False, needed),
        }
    return {
        "labels": len(day),
        "sessions": int(day.max()) + 1,
        "loss": loss,
        "metrics": {k: _ends(_mean(day, x, horizon, k)) for k, x in ours.items()},
        "floors": beside,
    }


def _confidence(
    day: np.ndarray, ours: dict[str, np.ndarray], _: dict[str, Any], horizon: int
) -> list[dict[str, Any]]:
    """How often calls were right, by the confidence that was stated."""
    rows = []
    place = np.searchsorted(_EDGES, ours[_CONFIDENCE], side="right").clip(1, len(_EDGES) - 1)
    for i in np.unique(place).tolist():
        own = place == i
        of_days = np.unique(day[own], return_inverse=True)[1]
        rows.append(
            {
                "from": _EDGES[i - 1],
                "to": _EDGES[i],
                "calls": int(own.sum()),
                "stated": round(float(ours[_CONFIDENCE][own].mean()), 4),
                "right": _ends(_mean(of_days, ours[_RIGHT][own], horizon, _RIGHT)),
            }
        )
    return rows


def _mean(day: np.ndarray, values: np.ndarray, horizon: int, metric: str) -> Estimate:
    """A mean over labels with its error over days; whether a call is right cannot be foreseen, as
    ``outcomes.hit_rate`` says."""
    count = np.bincount(day).astype(float)
    return ratio(np.bincount(day, values), count, horizon, lasting=metric != _RIGHT)


def _ends(estimate: Estimate) -> dict[str, float | None]:
    low, high = estimate.interval()
    known = bool(np.isfinite(estimate.error))
    return {
        "value": round(estimate.value, 6),
        "low": round(low, 6) if known else None,
        "high": round(high, 6) if known else None,
    }


def _event(service: Path, day: dict[str, Any]) -> dict[str, Any]:
    """What happened on a day beside its forecasts; empty if nothing did."""
    taken = service / day["day"] / ROLLBACK
    told = {
        "alarms": day["alarms"],
        "update": day["update"]["why"] if day["update"]["made"] else "",
        "promoted": day["update"]["promoted"],
        "taken back": read(taken)["why"] if taken.exists() else "",
    }
    return {"session": day["day"], **told} if any(told.values()) else {}


def lines(record: dict[str, Any]) -> list[str]:
    """A ``summary`` in words."""
    told = [
        f"{record['service']}: {record['days']} sessions served, {record['first']} to "
        f"{record['last']}; record {record['sum'] or '–'}"
    ]
    told += record["read_before"]
    for target, own in record["targets"].items():
        metrics = "; ".join(f"{k} {words(v)}" for k, v in own["metrics"].items())
        told.append(f"{target}: {own['labels']:,} labels of {own['sessions']} sessions: {metrics}")
        told += [
            f"  beside {name}, {floor['loss']:.4f}: {words(floor['difference'], signed=True)}, "
            f"{floor['verdict']}"
            for name, floor in own["floors"].items()
        ]
        told += [
            f"  stated {row['from']:.0%} to {row['to']:.0%}: {row['calls']:,} calls, stated "
            f"{row['stated']:.1%} on average, right {words(row['right'])}"
            for row in record["confidence"].get(target, [])
        ]
    for event in record["events"]:
        parts = [*event["alarms"], event["update"], event["taken back"]]
        told.append(f"{event['session']}: {'; '.join(filter(None, parts))}")
    return told


def words(ends: dict[str, float | None], *, signed: bool = False) -> str:
    """A value with its interval, unless the days are too few for one."""
    sign = "+" if signed else ""
    value = f"{ends['value']:{sign}.4f}"
    if ends["low"] is None:
        return value
    return f"{value} [{ends['low']:{sign}.4f}, {ends['high']:{sign}.4f}]"
