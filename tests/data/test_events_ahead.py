"""What is known ahead: each decision counts the sessions until what it knew of, and no other."""

import functools
import json
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import seeing, small
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import calendar, events, prepare, store
from fusionjax.data.audit import audit
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError

DAYS = pd.bdate_range("2024-05-01", "2024-05-24")
NAMES = ("symbol", "name", "occurrence", "known_time", "due_time", "value")
# Announced for the evening of the 9th, moved to the 14th; the next one, announced and cancelled.
CALL = [
    ("AÅ", "call", "Q1", "2024-05-02T16:30:00-04:00", "2024-05-09T16:05:00-04:00", 1.0),
    ("AÅ", "call", "Q1", "2024-05-07T16:31:00-04:00", "2024-05-14T08:00:00-04:00", 1.5),
    ("AÅ", "call", "Q2", "2024-05-15T08:00:00-04:00", "2024-05-23", 2.0),
    ("AÅ", "call", "Q2", "2024-05-20T08:00:00-04:00", None, None),
]
CHANNELS = ("call_until", "call_since", "call_within_1", "call_within_5", "call_value")


def folder(root: Path, rows: list[tuple], name: str = "events.jsonl") -> Path:
    root.mkdir()
    prices = dict.fromkeys(("open", "high", "low", "close", "adj_close"), 10.0)
    bars = [
        pd.DataFrame({"symbol": s, "date": DAYS, **prices, "volume": 1e3}) for s in ("AÅ", "NA")
    ]
    pd.concat(bars).to_parquet(root / "bars.parquet")
    table = pd.DataFrame(rows, columns=NAMES, dtype=object)
    if name.endswith("csv"):
        table.to_csv(root / name, index=False)
    else:
        lines = [json.dumps(row) for row in table.to_dict("records")]
        (root / name).write_text("\n".join(lines))
    return root


def opened(root: Path, tmp_path: Path) -> tuple[Market, Config]:
    c = seeing({"price": {"kind": "numeric", "sessions": 4, "channels": ("ret",)}})
    c.data.splits.train = c.data.splits.dev = ("2024-05-01", "2024-05-24")
    c = small(c, tmp_path / "prepared", data__source="folder", data__root=str(root))
    return store.load(prepare.prepare(c.data, Progress(disable=True))), c


def known(market: Market, name: str, symbol: str = "AÅ") -> pd.Series:
    rows = market.symbol == market.symbols.index(symbol)
    column = market.channels[rows, market.columns((name,))[0]]
    return pd.Series(column, pd.DatetimeIndex(market.session[rows]).strftime("%m-%d"))


def test_sessions_are_counted_to_what_was_known(tmp_path: Path) -> None:
    """What is announced at the decision counts, a minute later the next day. An event after the
    close is of the next session, as what it moves is."""
    market, _ = opened(folder(tmp_path / "m", CALL), tmp_path)
    until = known(market, "call_until")
    assert until[:"05-01"].isna().all()
    assert until["05-02":"05-07"].tolist() == [6, 5, 4, 3], "to the 10th"
    assert until["05-08":"05-13"].tolist() == [4, 3, 2, 1], "to the 14th"
    assert until["05-14":"05-14"].isna().all(), "none is known after it"
    assert until["05-15":"05-17"].tolist() == [6, 5, 4], "to the 23rd"
    assert until["05-20":].isna().all(), "it was cancelled"
    since = known(market, "call_since")
    assert since[:"05-13"].isna().all()
    assert since["05-14":].tolist() == list(range(9))
    within = known(market, "call_within_5")
    assert within[within == 1].index.tolist() == [
        *("05-03", "05-06", "05-07", "05-08", "05-09", "05-10", "05-13", "05-16", "05-17")
    ]
    assert known(market, "call_within_1")[lambda x: x == 1].index.tolist() == ["05-13"]
    value = known(market, "call_value")
    assert (value["05-02":"05-07"] == 1.0).all()
    assert (value["05-08":"05-13"] == 1.5).all()
    assert known(market, "call_until", "NA").isna().all()
    assert (known(market, "call_within_5", "NA") == 0).all()


@pytest.mark.parametrize("day", ["2024-05-03", "2024-05-07", "2024-05-14", "2024-05-20"])
def test_rows_of_the_future_change_no_input(tmp_path: Path, day: str) -> None:
    """Bars and events cut at a decision give the same inputs, bit for bit."""
    decided = pd.Timestamp(f"{day}T16:30:00-04:00")
    seen = []
    for name, cut in (("whole", False), ("cut", True)):
        rows = [r for r in CALL if not cut or pd.Timestamp(r[3]) <= decided]
        root = folder(tmp_path / name, rows)
        if cut:
            bars = pd.read_parquet(root / "bars.parquet")
            bars[bars["date"] <= day].to_parquet(root / "bars.parquet")
        market, c = opened(root, tmp_path)
        channels = tuple(n for n in CHANNELS if n in market.channel_names)
        c = c.override({"modalities.price.channels": channels})
        at = (market.symbol == 0) & (market.session == np.datetime64(day))
        windows = Windows(market, c, Scaler.fit(market, np.datetime64("2024-05-02")))
        (batch,) = evaluation_batches(np.flatnonzero(at), windows, 1)
        seen.append(batch.inputs["price"])
    assert len(rows) < len(CALL) or day == "2024-05-20"
    jax.tree.map(np.testing.assert_array_equal, *seen)


@functools.cache
def foreseen(first: str, last: str) -> tuple[np.ndarray, np.ndarray]:
    return calendar.foreseen("XNYS", np.datetime64(first), np.datetime64(last))


@functools.cache
def decided() -> tuple[np.ndarray, np.ndarray]:
    days = foreseen("2024-05-01", "2024-08-30")[0]
    return days, calendar.decision_times(days, "XNYS", 30)


def expected(visible: pd.DataFrame, day: np.datetime64, horizon: int) -> list[float]:
    """The channels of one bar, said again of the rows that it may know."""
    sessions, closes = foreseen("2023-06-01", "2025-06-01")
    last = visible.sort_values("known_time", kind="stable").groupby("occurrence").tail(1)
    last = last[last["due_time"].notna()]
    of = [int(np.argmax(closes >= t)) for t in calendar.seconds(last["due_time"])]
    now = int(np.flatnonzero(sessions == day)[0])
    until = min((s - now for s in of if s > now), default=np.nan)
    since = min((now - s for s in of if s <= now), default=np.nan)
    capped = [float(np.minimum(x, events.MOST)) for x in (until, since)]
    return [*capped, float(until <= horizon)]


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Rows of few occurrences, so that many are moved or cancelled; known times differ."""
    hours = st.integers(-3000, 5000)
    count = draw(st.integers(1, 12))
    known_at = draw(st.lists(hours, min_size=count, max_size=count, unique=True))
    start = pd.Timestamp("2024-05-01T00:30Z")
    rows = []
    for hour in known_at:
        due = draw(st.none() | st.integers(-200, 4000))
        rows.append(
            {
                "symbol": draw(st.sampled_from(["A", events.ALL])),
                "name": "x",
                "occurrence": draw(st.sampled_from(["1", "2", "3"])),
                "known_time": start + pd.Timedelta(hours=hour),
                "due_time": pd.NaT if due is None else start + pd.Timedelta(hours=due),
                "value": np.nan,
            }
        )
    table = pd.DataFrame(rows, columns=list(NAMES))
    stamps = {c: pd.to_datetime(table[c], utc=True) for c in ("known_time", "due_time")}
    table = table.assign(**stamps, occurrence=table["symbol"] + table["occurrence"])
    return table.sample(frac=1, random_state=0)


@given(tables())
def test_every_decision_counts_what_it_knows(table: pd.DataFrame) -> None:
    """As a plain sum over the rows that were known says, for every bar: so no other row counts."""
    days, decisions = decided()
    bars = pd.DataFrame({"symbol": "A", "date": days.astype("M8[s]")})
    code = np.full(len(days), "XNYS")
    found = events.channels(table, bars, decisions, code, (3,))
    for row in range(0, len(days), 11):
        now = pd.Timestamp(decisions[row], tz="UTC")
        said = expected(table[table["known_time"] <= now], days[row], 3)
        np.testing.assert_array_equal(found.iloc[row].to_numpy(), said)


def test_dates_alone_of_a_csv(tmp_path: Path) -> None:
    """Known when the day is over, due when it begins; a Saturday's is Monday's; repeated rows
    count once; an event of all stocks; symbols in one row."""
    rows = [
        ("*", "expiry", None, "2024-05-02", "2024-05-10", None),
        ("*", "expiry", None, "2024-05-02", "2024-05-10", None),
        ("AÅ|NA", "vote", None, "2024-05-02", "2024-05-11", None),
        ("NA", "vote", None, "2024-05-02", "2024-05-08", None),
    ]
    market, _ = opened(folder(tmp_path / "m", rows, "events.csv"), tmp_path)
    assert market.channel_names[-8:-4] == tuple(
        f"expiry_{end}" for end in ("until", "since", "within_1", "within_5")
    )
    for symbol in ("AÅ", "NA"):
        assert known(market, "expiry_until", symbol)[:"05-10"].tolist()[2:-1] == [5, 4, 3, 2, 1]
        assert known(market, "expiry_until", symbol)[:"05-02"].isna().all()
    assert known(market, "vote_until")["05-09":"05-10"].tolist() == [2, 1], "of Monday the 13th"
    assert known(market, "vote_until", "NA")["05-07":"05-09"].tolist() == [1, 3, 2]


def test_sessions_ahead_are_the_exchanges(tmp_path: Path) -> None:
    """27 May is Memorial Day, after the last bar; far ahead is as far as ``MOST``."""
    rows = [
        ("AÅ", "call", None, "2024-05-02", "2024-05-28", None),
        ("NA", "call", None, "2024-05-02", "2026-01-02", None),
    ]
    market, _ = opened(folder(tmp_path / "m", rows), tmp_path)
    assert known(market, "call_until")["05-24"] == 1
    assert known(market, "call_until", "NA")["05-24"] == events.MOST


def test_beyond_a_calendar_weekdays_are_foreseen() -> None:
    """The holidays of Shanghai are told year by year."""
    import exchange_calendars

    end = exchange_calendars.get_calendar("XSHG").bound_max()
    assert end is not None
    last = end.to_numpy().astype("M8[D]")
    days, closes = calendar.foreseen("XSHG", last - 30, last + 14)
    after = days > last
    assert after.sum() == 10
    assert (np.diff(closes)[-9:] > np.timedelta64(0, "s")).all()
    assert set((closes[after] - days[after]).astype(int)) == {7 * 3600}, "15:00 in Shanghai"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("AÅ", "a b", None, "2024-05-01", "2024-05-02", 1), "the name 'a b' is no word"),
        (("AÅ", None, None, "2024-05-01", "2024-05-02", 1), "row 0 .*name must be text"),
        (("AÅ", "x", None, "2024-05-01", "soon", 1), "row 0 .*due_time is not ISO 8601"),
        (("AÅ", "x", None, "2024-05-01", "2024-05-02T10:00", 1), "row 0 .*due_time has no time z"),
        (("AÅ", "x", None, "2024-05-01", "2024-13-02", 1), "row 0 .*due_time: expected a day"),
        (("AÅ", "x", None, None, "2024-05-02", 1), "row 0 .*known_time is missing"),
        (("AÅ", "x", None, "2099-05-02", "2099-06-02", 1), "row 0 .*known_time is in the future"),
        (("AÅ", "x", None, "2024-05-01", None, 1), "row 0 .*due_time is empty, which cancels"),
        (("AÅ", "x", None, "2024-05-01", "2024-05-02", "up"), "row 0 .*value is not a number"),
        (("A|A", "x", None, "2024-05-01", "2024-05-02", 1), "row 0: names a symbol twice"),
    ],
)
def test_bad_events_are_named(tmp_path: Path, row: tuple, said: str) -> None:
    with pytest.raises(InputError, match=f"events.jsonl: {said}"):
        opened(folder(tmp_path / "m", [row]), tmp_path)


def test_two_rows_of_one_time_that_differ_are_refused(tmp_path: Path) -> None:
    rows = [CALL[0], (*CALL[0][:4], "2024-05-10", 1.0)]
    with pytest.raises(InputError, match="row 1 .*known at the same time, says otherwise"):
        opened(folder(tmp_path / "m", rows), tmp_path)


def test_a_name_that_is_a_channel_is_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", CALL)
    bars = pd.read_parquet(root / "bars.parquet")
    bars.assign(call_within_9=1.0).to_parquet(root / "bars.parquet")
    with pytest.raises(InputError, match="the name 'call' is a channel or column already"):
        opened(root, tmp_path)


def test_what_was_known_too_late_is_counted(tmp_path: Path) -> None:
    """By the audit, too; and a symbol without prices is told."""
    rows = [
        *CALL,
        ("NA", "call", "Q1", "2024-05-09", "2024-05-09", None),
        ("ZZ", "call", "Q1", "2024-05-01", "2024-05-09", None),
    ]
    market, c = opened(folder(tmp_path / "m", rows), tmp_path)
    (line,) = market.late_events
    assert line == "call: 1 of 3 were known only when they were due or later"
    assert "1 items of ZZ in events.jsonl: no prices" in market.notes
    assert known(market, "call_since", "NA")["05-10"] == 1, "it counts from when it is known"
    findings = {f.code: f for f in audit(market, c).findings}
    assert findings["late events"].level == "watch"
    assert line in findings["late events"].what
