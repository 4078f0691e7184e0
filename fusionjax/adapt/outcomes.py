"""How a service's earlier calls came out."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fusionjax.config import Config
from fusionjax.data.samples import growth
from fusionjax.data.store import Market
from fusionjax.scores.intervals import ratio

_SESSIONS = 60  # newest served sessions with known labels that are counted


def outcomes(market: Market, config: Config, service: Path, day: str) -> dict[str, Any]:
    """The calls of direction before ``day`` whose labels are known by now, in JSON's types.

    Args:
      market: the data up to ``day``.
      config: of the service; its first head of classes says which label a call is judged by.
      service: with one folder a served session, see ``daily``.
      day: the newest session.

    Returns:
      ``days``: calls, calls of the second class (up), judged calls, right ones and rises of each
      session, oldest first; ``latest``: the calls of the last of them, one by one; ``overall``:
      see ``hit_rate``. A call is not judged where the label does not count: too small a move.
    """
    days: list[dict[str, Any]] = []
    latest: dict[str, Any] = {}
    _, head = config.classifier
    for path in sorted(service.glob("*/forecast.json"), reverse=True):
        session = path.parent.name
        if session >= day or len(days) == _SESSIONS:
            continue
        calls = [f for f in json.loads(path.read_text()) if f.get("call") in head.class_names]
        rows = rows_of(market, [f["symbol"] for f in calls], session)
        ratio, matured = growth(market, rows, head.horizons[0], np.datetime64(day))
        label, counts = head.labels(market, rows, head.horizons[0], np.datetime64(day))
        matured &= rows >= 0
        if not matured.any():
            continue
        called = np.array([head.class_names.index(f["call"]) for f in calls])
        judged = counts & matured
        days.append(
            {
                "session": session,
                "calls": int(matured.sum()),
                "up": int((called[matured] == 1).sum()),
                "judged": int(judged.sum()),
                "right": int((called == label)[judged].sum()),
                "rose": int((label[judged] == 1).sum()),
            }
        )
        latest = latest or {
            "session": session,
            "calls": [
                {
                    "symbol": calls[i]["symbol"],
                    "call": calls[i]["call"],
                    "up": calls[i]["calibrated"]["up"],
                    "return": round(float(ratio[i] - 1), 6),
                    "right": bool(called[i] == label[i]) if judged[i] else None,
                }
                for i in np.flatnonzero(matured)
            ],
        }
    days.reverse()
    horizon = head.horizons[0]
    overall = hit_rate(days, horizon) if sum(d["judged"] for d in days) else {}
    return {"horizon": horizon, "days": days, "latest": latest, "overall": overall}


def hit_rate(days: list[dict[str, Any]], horizon: int) -> dict[str, Any]:
    """The share of right calls, with an interval over days.

    Calls of one day share its market, and labels of ``horizon`` sessions overlap, which the
    interval knows (``scores.intervals``); None where the days are too few for one.

    Returns:
      ``sessions``, ``judged``, ``right``, ``low``, ``high``; shares ``up`` of all calls, and
      ``rose`` of judged labels, which "always up" would have had right.
    """
    right, judged = (np.array([d[key] for d in days], float) for key in ("right", "judged"))
    share = ratio(right, judged, horizon, lasting=False)
    low, high = share.interval()
    known = np.isfinite(low)
    return {
        "sessions": len(days),
        "judged": int(judged.sum()),
        "right": share.value,
        "low": max(low, 0.0) if known else None,
        "high": min(high, 1.0) if known else None,
        "up": sum(d["up"] for d in days) / sum(d["calls"] for d in days),
        "rose": sum(d["rose"] for d in days) / float(judged.sum()),
    }


def rows_of(market: Market, symbols: list[str], session: str) -> np.ndarray:
    """The market's row of each symbol on a session; -1 where it has none."""
    on_day = np.flatnonzero(market.session == np.datetime64(session))
    at = {market.symbols[market.symbol[row]]: int(row) for row in on_day}
    return np.array([at.get(s, -1) for s in symbols], int)
