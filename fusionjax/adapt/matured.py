"""What came of a service's forecasts: each label on the day on which it became known.

A day's ``track.json`` holds the labels that came since the day before, beside what was forecast and
the simplest forecasts, and who forecasts from that day on: ``adapt.track`` reads these alone.
"""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from fusionjax import files
from fusionjax.adapt import proof
from fusionjax.adapt.drift import Alarm
from fusionjax.adapt.outcomes import rows_of
from fusionjax.adapt.serving import read
from fusionjax.config import Config
from fusionjax.data import provenance
from fusionjax.data.samples import between
from fusionjax.data.store import Market
from fusionjax.evaluate.inference import read_info
from fusionjax.heads.base import Head, Scored, rounded

TRACK, FORECAST = "track.json", "forecast.json"
_WAIT = 60  # sessions that a label may be late, as of a stock that was suspended
_NEVER = "0001-01-01"


def record(folder: Path, market: Market, config: Config, run: Path, stages: dict[str, Any]) -> str:
    """Writes a day's ``track.json``, unless it is there, and appends the day to the service's
    proof; returns the sum of its record there.

    Args:
      folder: of the day, with its forecasts.
      market: the data up to it.
      config: of the service.
      run: that served when the day began.
      stages: ``alarms`` of its drift, and its ``update``.
    """
    service, day = folder.parent, folder.name
    records = read(folder / FORECAST)
    facts = {"model": records[0]["model"], "data": market.fingerprint}
    if not (folder / TRACK).exists():
        weights = [record["modality_weight"] for record in records]
        learned, update = _learned(service, day, run), stages["update"]
        told = {
            "day": day,
            **facts,
            "learned": learned,
            "weights": {k: float(np.mean([w[k] for w in weights])) for k in weights[0]},
            "read_before": provenance.read_before(market.encoders, (config,), (day, day)),
            "alarms": [Alarm(**a).words for a in stages["alarms"]],
            "update": {k: update[k] for k in ("promoted", "why")} | {"made": "suspect" in update},
            **matured(market, config, service, day, learned),
        }
        files.write_text(folder / TRACK, json.dumps(told, indent=1))
    return proof.record(service, day, facts)


def _learned(service: Path, day: str, run: Path) -> tuple[str, str]:
    """First and last day whose labels the simplest forecasts know, as long as a service lasts: what
    the run knew that served first; ``run`` on its first ``day``."""
    earlier = [p for p in sorted(service.glob(f"*/{TRACK}")) if p.parent.name < day]
    if earlier:
        first, last = read(earlier[0])["learned"]
        return first, last
    info = read_info(run)
    return info.trained_from, info.trained_until


def matured(
    market: Market, config: Config, service: Path, day: str, learned: tuple[str, str]
) -> dict[str, Any]:
    """The labels of earlier forecasts that became known since the last day with a ``track.json``.

    Args:
      market: the data up to ``day``.
      config: of the service.
      service: with one folder a served session, see ``daily``.
      day: the newest session.
      learned: first and last day that the simplest forecasts learn from.

    Returns:
      ``since``: the day before; ``labels``: of each earlier session, head and horizon the symbols,
      their labels, what ``Head.tracked`` counts of the service's forecasts, and of each of the
      simplest ones.
    """
    earlier = (p.parent.name for p in service.glob(f"*/{TRACK}"))
    since = max((d for d in earlier if d < day), default=_NEVER)
    sessions = np.unique(market.session)
    reach = int(np.searchsorted(sessions, np.datetime64(day))) - config.longest_horizon - _WAIT
    oldest = str(sessions[max(reach, 0)])
    floors = _Floors(market, config, learned)
    labels: list[dict[str, Any]] = []
    for path in sorted(service.glob(f"*/{FORECAST}")):
        session = path.parent.name
        if oldest <= session < day:
            records = read(path)
            rows = rows_of(market, [f["symbol"] for f in records], session)
            found = _of_session(floors, records, rows, (since, day))
            labels += [{"session": session, **entry} for entry in found]
    return {"since": since, "labels": labels}


class _Floors:
    """The simplest forecasts: the share of rising labels, past quantiles, past volatility."""

    def __init__(self, market: Market, config: Config, learned: tuple[str, str]) -> None:
        self.market, self.config = market, config
        self._first, self._last = (np.datetime64(day, "D") for day in learned)
        self.train = functools.cache(self._train)

    def _train(self, name: str, at: int) -> Scored:
        samples = between(self.market, self.config, self._first, self._last)
        return Scored.of(name, samples, self.market, self.config, at)

    def of(self, name: str, at: int, rows: Int[np.ndarray, "S"]) -> dict[str, np.ndarray]:
        """By name, the values of some rows."""
        head: Head = self.config.targets[name].one(at)
        train = self.train(name, at)
        if not train.known.any():
            return {}
        if head.class_names:
            share = float(train.label[train.known].mean())
            return {"base rate": np.full(len(rows), share)}
        return head.rules(train, self._last, rows)


def _of_session(
    floors: _Floors,
    records: list[dict[str, Any]],
    rows: Int[np.ndarray, "S"],
    days: tuple[str, str],
) -> list[dict[str, Any]]:
    """An entry for each head and horizon that has new labels; ``days``: since when, until when."""
    entries = []
    for name, head in floors.config.targets.items():
        for at, horizon in enumerate(head.horizons):
            one = head.one(at)
            values = [head.recorded(record, at) for record in records]
            label, new = _new_labels(one, floors.market, rows, days)
            new &= np.array([v is not None for v in values], bool)
            at_new = np.flatnonzero(new)
            if not len(at_new):
                continue
            y = label[at_new].astype(head.dtype)
            stated = np.array([values[i] for i in at_new], float)
            simple = floors.of(name, at, rows[at_new])
            entries.append(
                {
                    "target": f"{name}.{horizon}d",
                    "horizon": horizon,
                    "symbols": [records[i]["symbol"] for i in at_new],
                    "came": rounded(y),
                    "counted": _counted(one, stated, y),
                    "floors": {k: _counted(one, v, y) for k, v in simple.items()},
                }
            )
    return entries


def _new_labels(
    head: Head, market: Market, rows: Int[np.ndarray, "S"], days: tuple[str, str]
) -> tuple[np.ndarray, Bool[np.ndarray, "S"]]:
    """The labels, and which of them count on the last day and did not on the first; of rows, where
    -1 is none."""
    before, now = (np.datetime64(day, "D") for day in days)
    label, known = head.labels(market, rows, head.horizons[0], now)
    _, earlier = head.labels(market, rows, head.horizons[0], before)
    return label, np.asarray(known & ~earlier & (rows >= 0))


def _counted(head: Head, value: np.ndarray, label: np.ndarray) -> dict[str, list[float]]:
    return {k: rounded(x) for k, x in head.tracked(value, label).items()}
