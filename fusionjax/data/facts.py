"""Numbers known at a time, such as fundamentals and macro data: each becomes a channel of bars.

A channel holds what a decision knows: of the values that were available, that of the latest event,
and of several vintages of it the last one. A later vintage is seen from when it was available on.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64, Shaped

from fusionjax.data import calendar

ALL = "*"  # the symbol of a fact that concerns every stock
AGE = "_age"  # ends the name of the channel that says how old the event is: log(1 + days)
ENDS = f"({AGE})?"  # of all channels of a fact, as a regular expression
_DAY = 86_400


def channels(
    facts: pd.DataFrame, symbols: pd.Series, decisions: Shaped[np.ndarray, "R"]
) -> pd.DataFrame:
    """Two channels for each name: the value known at each bar's decision, and its age.

    Args:
      facts: ``symbol``, ``name``, ``value``, and ``event_time`` and ``available_time`` in UTC.
      symbols: of the bars, sorted, as their sessions are within one.
      decisions: datetime64[s] of each bar's decision, UTC.

    Returns:
      A row a bar; NaN before the first value.
    """
    seconds = [
        calendar.seconds(facts[c]).astype(np.int64) for c in ("event_time", "available_time")
    ]
    facts = facts.assign(event=seconds[0], available=seconds[1])
    now = decisions.astype(np.int64)
    rows = symbols.groupby(symbols, sort=False).indices
    out = {}
    for name, table in facts.groupby("name"):
        value = np.full((len(now), 2), np.nan)
        of = {str(symbol): t for symbol, t in table.groupby("symbol")}
        shared = of.pop(ALL, None)
        for symbol, at in rows.items():
            if seen := [t for t in (of.get(str(symbol)), shared) if t is not None]:
                value[at] = _known(pd.concat(seen), now[at])
        out[str(name)], out[f"{name}{AGE}"] = value.T
    return pd.DataFrame(out, index=symbols.index)


def _known(facts: pd.DataFrame, now: Int64[np.ndarray, "R"]) -> Float[np.ndarray, "R 2"]:
    """Value and age at each time, of the facts of one name and symbol."""
    facts = facts.sort_values(["available", "event"], kind="stable")
    event = facts["event"].to_numpy()
    newest = event == np.maximum.accumulate(event)  # not of a period before one that is known
    best = np.maximum.accumulate(np.where(newest, np.arange(len(event)), 0))
    count = np.searchsorted(facts["available"].to_numpy(), now, side="right")
    at = best[np.maximum(count - 1, 0)]
    value = facts["value"].to_numpy(float)[at]
    age = np.log1p(np.maximum(now - event[at], 0) / _DAY)
    there = (count > 0) & np.isfinite(value)
    return np.where(there[:, None], np.stack([value, age], 1), np.nan)
