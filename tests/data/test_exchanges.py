"""Several exchanges in one folder, days that no calendar knows, clocks that change at midnight."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import seeing, small
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import calendar, prepare, store
from fusionjax.data.audit import sessions as sessions_audit
from fusionjax.data.audit import universe
from fusionjax.data.sources import folder
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import forecast
from fusionjax.forecast_files import rows
from fusionjax.heads import trading
from fusionjax.heads.volatility_regressors import multi_scale, with_market

DAYS = pd.date_range("2024-04-25", "2024-05-10", freq="B")
GOLDEN_WEEK = ["2024-04-29", "2024-05-03", "2024-05-06"]  # Tokyo was closed


def bars(symbol: str, days: pd.DatetimeIndex, **more: str) -> pd.DataFrame:
    close = 50 + np.arange(len(days)) % 3
    prices = dict.fromkeys(["open", "high", "low", "close", "adj_close"], close)
    columns = {"symbol": symbol, "date": days.strftime("%Y-%m-%d"), **prices, "volume": 1e6}
    return pd.DataFrame({**columns, **more})


def tokyo(**more: str) -> pd.DataFrame:
    return bars("TT", DAYS.drop(pd.to_datetime(GOLDEN_WEEK)), **more)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A stock of New York, whose rows name no exchange, and one of Tokyo."""
    root = tmp_path / "market"
    root.mkdir()
    table = pd.concat([bars("NN", DAYS, exchange=""), tokyo(exchange="XTKS")])
    table.to_csv(root / "bars.csv", index=False)
    return root


def config(root: Path, tmp_path: Path, **changes: object) -> Config:
    c = seeing({"price": {"kind": "numeric", "sessions": 4, "patch": 2, "channels": ("ret",)}})
    c.data.source, c.data.root = "folder", str(root)
    c.data.splits.train = c.data.splits.dev = ("2024-04-25", "2024-05-10")
    return small(c, tmp_path / "prepared", **changes)


def market(c: Config) -> Market:
    return store.load(prepare.prepare(c.data, Progress(disable=True)))


def decided(m: Market, symbol: str, day: str) -> str:
    at = (m.symbol == m.symbols.index(symbol)) & (m.session == np.datetime64(day))
    return str(m.decision_time[at].astype("datetime64[s]")[0])


def test_each_symbol_is_decided_at_its_own_close(root: Path, tmp_path: Path) -> None:
    m = market(config(root, tmp_path))
    assert m.symbols == ("NN", "TT")
    assert m.exchange.tolist() == ["", "XTKS"]
    assert m.channel_names[-1] == "vol20", "an exchange is no channel"
    assert decided(m, "NN", "2024-05-07") == "2024-05-07T20:30:00"
    assert decided(m, "TT", "2024-05-07") == "2024-05-07T06:30:00"
    # The same bars, all of New York: Tokyo's would be decided fourteen hours late.
    table = pd.concat([bars("NN", DAYS), tokyo()])
    table.to_csv(root / "bars.csv", index=False)
    m = market(config(root, tmp_path))
    assert decided(m, "TT", "2024-05-07") == "2024-05-07T20:30:00"


def test_a_date_alone_is_over_where_the_symbol_trades(root: Path, tmp_path: Path) -> None:
    """At midnight in Tokyo; of an item with both symbols, in New York."""
    lines = [
        f'{{"symbol": "{s}", "event_time": "2024-05-07", "available_time": "2024-05-07", '
        f'"text": "orders of {s}"}}'
        for s in ("TT", "NN", "TT|NN")
    ]
    (root / "texts.jsonl").write_text("\n".join(lines))
    raw = folder.read(root, "XNYS")
    assert raw.documents is not None
    ends = raw.documents["available_time"].dt.strftime("%dT%H:%M").tolist()
    assert ends == ["07T15:00", "08T04:00", "08T04:00", "08T04:00"]


def refuse_two(root: Path) -> None:
    table = pd.concat(
        [bars("NN", DAYS[:3], exchange="XNYS"), bars("NN", DAYS[3:], exchange="XTSE")]
    )
    table.to_csv(root / "bars.csv", index=False)


def refuse_unknown(root: Path) -> None:
    bars("NN", DAYS, exchange="NMS").to_csv(root / "bars.csv", index=False)


def sessions(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "sessions.csv").write_text(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (refuse_two, "bars.csv: symbol NN trades on XNYS and XTSE; give all its rows one exchange"),
        (refuse_unknown, "bars.csv: column exchange .drop it if all .* is 'NMS'; exchange"),
        (sessions("date\n2024-05-06\n"), "sessions.csv: lacks column close; it has date"),
        (sessions("date,close\n6 May,15:00\n"), "row 0 .date=6 May, .*date must be YYYY-MM-DD"),
        (
            sessions("date,close\n2024-05-06,3pm\n"),
            "row 0 .*close=3pm.: close must be a local time",
        ),
        (
            sessions("date,close\n2024-05-06,15:00\n2024-05-06,\n"),
            "sessions.csv: row 1 .*this exchange and day came before; keep one",
        ),
        (
            sessions("date,close,exchange\n2024-05-06,15:00,XFOO\n"),
            "sessions.csv: exchange is 'XFOO'; exchange_calendars knows no such exchange",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    root: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    change(root)
    with pytest.raises(InputError, match=message):
        market(config(root, tmp_path))


def test_a_folder_brings_closes_of_its_own(root: Path, tmp_path: Path) -> None:
    """A Saturday and a half day that the library does not know, and a day without trading."""
    days = DAYS.union(pd.to_datetime(["2024-05-04"]))  # a Saturday
    extra = tokyo(exchange="XTKS")
    pd.concat([bars("NN", days, exchange=""), extra]).to_csv(root / "bars.csv", index=False)
    with pytest.raises(
        InputError,
        match="row 7 .*2024-05-04.*when XNYS was closed; check",
    ):
        market(config(root, tmp_path))
    text = "date,close,exchange\n2024-05-04,12:00,\n2024-05-07,11:00,XTKS\n2024-05-08,,XNYS\n"
    (root / "sessions.csv").write_text(text)
    with pytest.raises(InputError, match="row 10 .*2024-05-08.*when XNYS was closed"):
        market(config(root, tmp_path))
    (root / "sessions.csv").write_text(text.replace("2024-05-08,,XNYS\n", ""))
    m = market(config(root, tmp_path))
    assert decided(m, "NN", "2024-05-04") == "2024-05-04T16:30:00"
    # A day as a bar's may be written: of digits alone, and a midnight as pandas writes it.
    text = "date,close,exchange\n20240504,12:00,\n2024-05-07 00:00:00,11:00,XTKS\n"
    (root / "sessions.csv").write_text(text)
    m = market(config(root, tmp_path))
    assert decided(m, "NN", "2024-05-04") == "2024-05-04T16:30:00"
    assert decided(m, "TT", "2024-05-07") == "2024-05-07T02:30:00"
    assert decided(m, "NN", "2024-05-07") == "2024-05-07T20:30:00"
    assert m.session_changes == {
        "XNYS": {"2024-05-04": "12:00"},
        "XTKS": {"2024-05-07": "11:00"},
    }


def test_the_audit_knows_the_saturdays_of_new_york(tmp_path: Path) -> None:
    """Until 1952: to noon, on the days that have a bar; a stock without one has a gap."""
    saturdays = pd.date_range("1952-03-01", periods=4, freq="7D")
    days = pd.bdate_range("1952-02-25", "1952-04-10").union(saturdays)
    whole, short = bars("NN", days, exchange=""), bars("GG", days.drop("1952-03-08"), exchange="")
    pd.concat([whole, short]).to_csv(tmp_path / "bars.csv", index=False)
    c = config(tmp_path, tmp_path)
    tables: dict[str, pd.DataFrame] = {}
    found = {f.code: f for f in sessions_audit.findings(market(c), c, tables)}
    assert "12:00 (4)" in found["closes"].what
    assert "0 of" in found["missing sessions"].what
    gaps = tables["bars by symbol, most missing first"]
    assert gaps["missing"].to_dict() == {"GG": 1, "NN": 0}


def test_weekly_bars_on_a_holiday_are_called_weekly(tmp_path: Path) -> None:
    """Fridays: Good Friday of 2024 among them."""
    bars("NN", pd.date_range("2024-03-01", "2024-04-26", freq="7D")).to_csv(tmp_path / "bars.csv")
    with pytest.raises(InputError, match="row 4 .*closed; the bars lie 7 days apart, but daily"):
        folder.read(tmp_path, "XNYS")


@pytest.mark.parametrize(
    ("code", "day", "end"),
    [
        ("BVMF", "2018-11-03", "2018-11-04T03:00"),
        ("XSGO", "2023-09-02", "2023-09-03T04:00"),
        ("XBUE", "2007-12-29", "2007-12-30T03:00"),
        ("XKAR", "2008-05-31", "2008-05-31T19:00"),
        ("XNYS", "2024-03-09", "2024-03-10T05:00"),
    ],
)
def test_a_day_ends_at_the_first_moment_of_the_next(
    tmp_path: Path, code: str, day: str, end: str
) -> None:
    """Clocks went forward at midnight in all but the last: that moment was called 01:00."""
    bars("NN", DAYS[-3:]).to_csv(tmp_path / "bars.csv", index=False)
    line = f'{{"symbol": "NN", "event_time": "{day}", "available_time": "{day}", "text": "up"}}'
    (tmp_path / "texts.jsonl").write_text(line)
    raw = folder.read(tmp_path, code)
    assert raw.documents is not None
    assert raw.documents["available_time"].dt.strftime("%Y-%m-%dT%H:%M").tolist() == [end]


@pytest.fixture
def followers(tmp_path: Path) -> Path:
    """Two stocks of New York, and two of Tokyo that follow them a session later."""
    rng, root = np.random.default_rng(0), tmp_path / "followers"
    root.mkdir()
    first, last = np.datetime64("2021-01-04"), np.datetime64("2022-03-31")
    common = rng.normal(0, 0.01, 500)
    frames = []
    for code, lag in (("XNYS", 0), ("XTKS", 1)):
        days, _ = calendar.closes(code, first, last, {})
        news = common[(days - first).astype(int) - lag]
        for number in range(2):
            close = 50 * np.exp((news + rng.normal(0, 0.002, len(days))).cumsum())
            table = bars(f"{code}{number}", pd.DatetimeIndex(days), exchange=code)
            prices = dict.fromkeys(["open", "high", "low", "close", "adj_close"], close.round(4))
            frames.append(table.assign(**prices, volume=rng.integers(1e5, 1e6, len(days))))
    pd.concat(frames).to_csv(root / "bars.csv", index=False)
    return root


def test_who_closes_later_is_not_early(followers: Path, tmp_path: Path) -> None:
    c = config(followers, tmp_path)
    m = market(c)
    found = {f.code: f for f in universe.findings(m, c)}
    assert found["shifted calendar"].level == "fine", found["shifted calendar"]
    found = {f.code: f for f in sessions_audit.findings(m, c, {})}
    assert {f.level for f in found.values()} == {"fine"}, "each has its own holidays"
    alone = dataclasses.replace(m, exchanges={})
    of_one = {f.code: f for f in universe.findings(alone, c)}
    assert of_one["shifted calendar"].level == "stop"
    of_one = {f.code: f for f in sessions_audit.findings(alone, c, {})}
    assert of_one["gaps"].level == "watch"


def test_a_mean_over_stocks_is_of_those_that_have_closed(followers: Path, tmp_path: Path) -> None:
    """What New York does today is no input of a decision in Tokyo, 14 hours before."""
    m = market(config(followers, tmp_path))
    later = np.flatnonzero(m.symbol >= 2)
    adj_close, ohlcv = m.adj_close.copy(), m.ohlcv.copy()
    adj_close[m.symbol < 2] = adj_close[m.symbol < 2] ** 3
    ohlcv[m.symbol < 2, 1] *= 1.5
    changed = dataclasses.replace(m, adj_close=adj_close, ohlcv=ohlcv)
    np.testing.assert_array_equal(
        with_market(m, later, multi_scale), with_market(changed, later, multi_scale)
    )
    own = np.flatnonzero(m.symbol < 2)
    assert (with_market(m, own, multi_scale) != with_market(changed, own, multi_scale)).any()


def test_an_order_waits_for_the_next_session_of_its_exchange(
    followers: Path, tmp_path: Path
) -> None:
    """Of Friday, 28 May 2021: New York was closed on Monday, Tokyo open."""
    m = market(config(followers, tmp_path))
    friday = np.flatnonzero(m.session == np.datetime64("2021-05-28"))
    filled = trading._next_session(m, friday).astype(str).tolist()
    assert filled == ["2021-06-01"] * 2 + ["2021-05-31"] * 2
    last = np.flatnonzero(m.session == m.session.max())
    assert np.isnat(trading._next_session(m, last)).all()
    book = trading.Trading(m, friday, np.array(filled, "datetime64[D]"), 1)
    assert book._ordered.all()


def test_a_day_is_its_session_where_it_is_decided_after_midnight(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-20", "2024-02-10")
    bars("BTC", days).to_csv(tmp_path / "bars.csv", index=False)
    c = config(tmp_path, tmp_path, data__calendar="24/7")
    m = market(c)
    row = forecast.row_at(m, c.data, "BTC", "2024-02-03")
    assert str(m.session[row]) == "2024-02-03"
    assert decided(m, "BTC", "2024-02-03") == "2024-02-04T00:30:00"
    row = forecast.row_at(m, c.data, "BTC", "2024-02-04T00:29:59")
    assert str(m.session[row]) == "2024-02-02"
    for day in ("2024-01-21", "2024-02-17"):
        with pytest.raises(InputError, match=f"--at={day}: no data for BTC then"):
            forecast.row_at(m, c.data, "BTC", day)


def test_a_file_of_forecasts_is_read_on_each_symbols_clock(root: Path, tmp_path: Path) -> None:
    """With Tokyo for the rest: New York decides when it is tomorrow there."""
    table = pd.concat([bars("NN", DAYS, exchange="XNYS"), tokyo()])
    table.to_csv(root / "bars.csv", index=False)
    m = market(config(root, tmp_path, data__calendar="XTKS"))
    made = ["2024-05-07T16:15:00-04:00", "2024-05-07T15:20:00+09:00", "2024-05-07"]
    keys = pd.DataFrame({"symbol": ["NN", "TT", "NN"], "decision_time": made, "horizon": 1})
    row, horizon, unzoned = rows.placed(keys, m, calendar.zone("XTKS"), Path("f.csv"))
    assert m.session[row].astype(str).tolist() == ["2024-05-07"] * 3
    assert horizon.tolist() == [1, 1, 1]
    assert not unzoned
