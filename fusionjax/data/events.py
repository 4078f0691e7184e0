"""What is known ahead, such as earnings days and expiries: each kind becomes channels of bars.

A channel holds what a decision knows: of each occurrence the last row that was known by then. So
an announced day counts from its announcement on, and a moved or cancelled one until it was moved.
An event is of the first session that closes at or after it: news in the evening moves the next.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64, Shaped

from fusionjax.data import calendar
from fusionjax.data.facts import ALL

MOST = 63  # sessions counted ahead and back, a quarter: what lies farther away is as far
# End the names of channels: sessions until the next, since the last, what the next one's row says.
UNTIL, SINCE, VALUE = "_until", "_since", "_value"
ENDS = rf"({UNTIL}|{SINCE}|{VALUE}|_within_\d+)"  # of all channels of an event
_REACH = np.timedelta64(150, "D")  # holds MOST sessions, whatever the holidays
_NEVER = np.iinfo(np.int64).max


class _Version(NamedTuple):
    """What one row says of an occurrence, and when it holds: bars ``first`` to ``stop``."""

    session: int  # of the event, among those that the calendar foresees
    value: float
    first: int
    stop: int


def within(horizon: int) -> str:
    """The end of the name of the channel that is 1 if an event is due within the horizon."""
    return f"_within_{horizon}"


def channels(
    events: pd.DataFrame,
    bars: pd.DataFrame,
    decisions: Shaped[np.ndarray, "R"],
    exchange: Shaped[np.ndarray, "R"],
    horizons: tuple[int, ...],
) -> pd.DataFrame:
    """The channels of each kind of event, its ``name``.

    Args:
      events: ``symbol``, ``name``, ``occurrence``, ``known_time`` and ``due_time`` in UTC (NaT: it
        was cancelled), ``value``.
      bars: ``symbol`` and ``date``, sorted by both.
      decisions: datetime64[s] of each bar's decision, UTC.
      exchange: exchange_calendars code of each bar.
      horizons: in sessions.

    Returns:
      A row a bar, and of each name: sessions from 1 on until the next that is known of, NaN if
      none is; from 0 on since the last that was due, NaN if none was; both at most ``MOST``. For
      each horizon 1 or 0. And where a row has a value, that of the next.
    """
    ends = [UNTIL, SINCE, *map(within, horizons), VALUE]
    known = np.sort(events["name"].unique()).tolist()
    out = {f"{n}{e}": np.full(len(bars), np.nan) for n in known for e in ends}
    days = bars["date"].to_numpy().astype("datetime64[D]")
    by_name = {
        str(name): {str(symbol): t for symbol, t in table.groupby("symbol")}
        for name, table in events.groupby("name")
    }
    for code in np.unique(exchange).tolist():
        of_code = np.flatnonzero(exchange == code)
        span = days[of_code].min() - _REACH, days[of_code].max() + _REACH
        foreseen, closes = calendar.foreseen(code, *span)
        passed = np.searchsorted(foreseen, days, side="right")
        symbols = bars["symbol"].iloc[of_code]
        for symbol, at in symbols.groupby(symbols, sort=False).indices.items():
            rows = of_code[at]
            for name, tables in by_name.items():
                own = [tables[s] for s in (str(symbol), ALL) if s in tables]
                versions = _versions(pd.concat(own), decisions[rows], closes) if own else ()
                until, since, value = _counted(versions, passed[rows])
                out[f"{name}{UNTIL}"][rows] = np.minimum(until, MOST)
                out[f"{name}{SINCE}"][rows] = np.minimum(since, MOST)
                out[f"{name}{VALUE}"][rows] = value
                for h in horizons:
                    out[f"{name}{within(h)}"][rows] = until <= h
    filled = {n: x for n, x in out.items() if not n.endswith(VALUE) or np.isfinite(x).any()}
    return pd.DataFrame(filled, index=bars.index)


def late(events: pd.DataFrame) -> list[str]:
    """For each name of which some were: how many occurrences were known only once they were due."""
    first = events.sort_values("known_time", kind="stable").groupby(
        ["name", "symbol", "occurrence"], as_index=False
    )
    told = first.first()  # of each occurrence, and of a cancelled one the day that it had
    after = told["known_time"] >= told["due_time"]
    by_name = after.groupby(told["name"])
    return [
        f"{name}: {int(x.sum()):,} of {len(x):,} were known only when they were due or later"
        for name, x in by_name
        if x.any()
    ]


def _versions(
    events: pd.DataFrame, decisions: Shaped[np.ndarray, "N"], closes: Shaped[np.ndarray, "D"]
) -> Iterator[_Version]:
    """What the rows of one name and one symbol say; a cancelled occurrence has no session."""
    due = events["due_time"]
    session = np.searchsorted(closes, calendar.seconds(due.fillna(events["known_time"])))
    first = calendar.first_session_after(calendar.seconds(events["known_time"]), decisions)
    table = events.assign(session=np.where(due.isna(), _NEVER, session), first=first)
    order = ["known_time", "session", "value"]
    table = table.sort_values(order, kind="stable")  # the raw file's order decides nothing
    replaced = table.groupby(["symbol", "occurrence"])["first"].shift(-1)
    table = table.assign(stop=replaced.fillna(len(decisions)).astype(int))
    holds = (table["first"] < table["stop"]) & (table["session"] < _NEVER)
    columns = (table.loc[holds, c].tolist() for c in _Version._fields)
    return map(_Version._make, zip(*columns, strict=True))


def _counted(
    versions: "Iterator[_Version] | tuple[()]", passed: Int64[np.ndarray, "N"]
) -> tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"], Float[np.ndarray, "N"]]:
    """Sessions until the next event and since the last one, and the next one's value.

    Args:
      versions: of one name and one symbol.
      passed: foreseen sessions up to each bar, its own included.
    """
    next_one, last = np.full(len(passed), np.inf), np.full(len(passed), -np.inf)
    value = np.full(len(passed), np.nan)
    for version in versions:
        due = int(np.searchsorted(passed, version.session + 1))  # the bar in which it has happened
        ahead = slice(version.first, min(version.stop, due))
        nearer = version.session < next_one[ahead]
        value[ahead][nearer] = version.value
        next_one[ahead][nearer] = version.session
        behind = slice(max(version.first, due), version.stop)
        np.maximum(last[behind], version.session, out=last[behind])
    until, since = next_one + 1 - passed, passed - 1 - last
    return (
        np.where(np.isfinite(until), until, np.nan),
        np.where(np.isfinite(since), since, np.nan),
        value,
    )
