"""Faults of bars are named, and bars as they come from a good vendor are not accused."""

import functools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, seeing, small

from benchmarks.measures import bar_worlds as worlds
from benchmarks.measures.bar_rates import of_bars
from fusionjax.config import Config
from fusionjax.data import adjust
from fusionjax.data.audit import Audit, audit, prices
from fusionjax.data.names import PRICE_CHANNELS
from fusionjax.data.sources import acl18, kdd17, sp500

SEED = 4
DATASETS = ROOT.parent / "shared" / "datasets"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    spec = {"kind": "numeric", "sessions": 8, "patch": 4, "channels": PRICE_CHANNELS}
    c = seeing({"price": spec})
    c.data.splits.train = ("2015-01-02", "2017-06-30")
    c.data.splits.dev = ("2017-07-01", "2018-12-31")
    return small(c, tmp_path)


@functools.cache
def clean() -> pd.DataFrame:
    return worlds.clean(SEED)


def levels(report: Audit) -> dict[str, str]:
    return {f.code: f.level for f in report.findings if f.level != "fine"}


@pytest.mark.slow
def test_ten_clean_sets_are_accused_once_at_most(config: Config) -> None:
    """Of the first 120 two for their tails, two for a volatility that moved, none for bars."""
    accused = [levels(audit(worlds.market(worlds.clean(seed)), config)) for seed in range(10)]
    assert sum(map(len, accused)) <= 1, accused


def test_the_bars_of_ten_clean_sets_are_not_accused(config: Config) -> None:
    moves = []
    for seed in range(10):
        table = worlds.clean(seed)
        accused = {f.code for f in of_bars(table, config) if f.level != "fine"}
        assert accused <= {"outliers", "shifted channels"}
        moves.append(np.log(table["adj_close"]).groupby(table["symbol"]).diff().abs().max())
    assert sum(move > 0.25 for move in moves) >= 8, "news as large as what is planted"


def adjusted_volumes(bars: pd.DataFrame) -> pd.DataFrame:
    """As EODHD and, once, Yahoo have it: prices as traded, volume adjusted for splits."""
    close, adj_close = (bars[c].to_numpy() for c in ("close", "adj_close"))
    shares = pd.Series(adjust.log_shares(close, adj_close, adjust.first_rows(bars["symbol"])))
    last = shares.groupby(bars["symbol"]).transform("last")
    return bars.assign(volume=bars["volume"] * np.exp(last - shares))


def weekday(number: int) -> worlds.Plant:
    return worlds.without(lambda date: date.dt.dayofweek != number)


def last_of(period: str) -> worlds.Plant:
    """The last bar of each week or month, as vendors date theirs."""
    return lambda bars: bars.groupby(["symbol", bars["date"].dt.to_period(period)]).tail(1)


def between(first: str, last: str, symbol: str = "") -> worlds.Plant:
    return worlds.without(lambda date: date.between(first, last), symbol)


def half_empty(bars: pd.DataFrame) -> pd.DataFrame:
    keep = np.random.default_rng(0).random(1100) < 0.5
    days = bars["date"].drop_duplicates().sort_values()
    gone = days[(days.dt.year == 2016).to_numpy() & ~keep[: len(days)]]
    return bars[~bars["date"].isin(gone)].reset_index(drop=True)


ADJ, ONE = ("adj_close",), slice(300, 301)
PLANTED: list[tuple[str, worlds.Plant, str, str, str]] = [
    *(
        (f"split {ratio:.3g}", worlds.split_forgotten(ratio), "unit jumps", level, "first S03 2015")
        for ratio, level in (
            (1.5, "watch"),
            (2, "watch"),
            (3, "watch"),
            (10, "stop"),
            (1 / 2, "watch"),
            (1 / 12, "stop"),
            (1 / 15, "stop"),
            (1 / 30, "stop"),
            (1 / 35, "stop"),
        )
    ),
    ("spin-off", worlds.prices_times(1 / 0.7, slice(None, 300)), "unit jumps", "watch", "× 0.696"),
    ("lira", worlds.prices_times(1e-6, slice(300, None)), "unit jumps", "stop", "× 9.95e-07"),
    ("pence", worlds.prices_times(100, slice(300, None)), "unit jumps", "stop", "first S03 2016"),
    ("spike", worlds.prices_times(100, ONE), "bad bars", "stop", "first S03 2016-03-14 .× 99.5"),
    ("spikes", worlds.prices_times(0.01, slice(300, 304)), "bad bars", "stop", "1 moves of"),
    ("last bar", worlds.prices_times(100, slice(-1, None)), "unit jumps", "stop", "S03 2018-12-31"),
    (
        "bad close",
        worlds.prices_times(1.6, ONE, ADJ),
        "bad bars",
        "watch",
        "S03 2016-03-14 .× 1.59",
    ),
    (
        "a split a day early",
        worlds.prices_times(2, ONE, ("open", "high", "low", "close")),
        "adjustments",
        "watch",
        "S03 2016-03-14 .× 0.5.",
    ),
    (
        "lots",
        worlds.prices_times(0.01, slice(300, None), ("volume",)),
        "volume units",
        "watch",
        "the first S03 2016-03-14",
    ),
    ("adjusted volumes", adjusted_volumes, "volume units", "watch", "are adjusted already"),
    ("weekly", last_of("W"), "spacing", "stop", "20 of 20 symbols.*S00 .weekly., S01 .weekly"),
    ("Mondays", weekday(0), "spacing", "stop", "20 of 20 .*weekly"),
    ("monthly", last_of("M"), "spacing", "stop", "20 of 20 .*monthly"),
    (
        "one symbol weekly",
        worlds.without(lambda date: date.dt.dayofweek != 2, "S03"),
        "spacing",
        "stop",
        "1 of 20 symbols' bars are not daily: S03 .weekly",
    ),
    (
        "a month of all symbols",
        between("2016-05-01", "2016-05-31"),
        "missing sessions",
        "stop",
        "^21 of .* no symbol's bars: 21 of XNYS, 2016-05-02 to 2016-05-31$",
    ),
    ("half a year", half_empty, "missing sessions", "stop", "^141 of 1,006 sessions"),
    (
        "a month of one symbol",
        between("2016-05-01", "2016-05-31", "S03"),
        "gaps",
        "watch",
        "1 of 20 symbols lack",
    ),
]


@pytest.mark.parametrize(
    ("plant", "code", "level", "pattern"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED]
)
def test_a_fault_of_bars_is_named(
    config: Config, plant: worlds.Plant, code: str, level: str, pattern: str
) -> None:
    (finding,) = [f for f in of_bars(plant(clean()), config) if f.code == code]
    assert finding.level == level, finding
    assert re.search(pattern, finding.what), finding.what
    assert finding.do


def test_only_what_is_planted_is_named(config: Config) -> None:
    assert not levels(audit(worlds.market(clean()), config))
    plant = worlds.prices_times(100, ONE)
    found = levels(audit(worlds.market(plant(clean())), config))
    assert found == {"bad bars": "stop"}


def test_a_symbol_that_trades_now_and_then_is_no_weekly_one(config: Config) -> None:
    keep = np.random.default_rng(0).random(1100) < 0.25
    thin = worlds.without(lambda date: pd.Series(~np.resize(keep, len(date)), date.index), "S03")
    found = {f.code: f.level for f in of_bars(thin(clean()), config)}
    assert found["gaps"] == "watch"
    assert found["spacing"] == "fine"


def test_days_that_a_folder_calls_closed_are_not_missed(config: Config) -> None:
    """As of an exchange that stopped for a month, of which its calendar does not know."""
    market = worlds.market(between("2016-05-01", "2016-05-31")(clean()))
    days = pd.date_range("2016-05-01", "2016-05-31").strftime("%Y-%m-%d")
    object.__setattr__(market, "session_changes", {"XNYS": dict.fromkeys(days, "")})
    assert "missing sessions" not in levels(audit(market, config))


def test_the_closes_that_are_assumed_are_told(config: Config) -> None:
    market = worlds.market(clean())
    object.__setattr__(market, "exchanges", {"S03": "XBOG"})
    object.__setattr__(market, "session_changes", {"XBOG": {"2016-05-03": "13:00"}})
    report = audit(market, config)
    # The library has Bogota on New York's clock, and this is how a user of it learns so.
    (told,) = [f for f in report.findings if f.code == "closes"]
    assert told.level == "fine"
    assert "XNYS at 16:00 America/New_York on 998 of 1,006 sessions, else 13:00 (8)" in told.what
    assert re.search(
        r"XBOG at 16:00 America/New_York on 9\d\d of 9\d\d ses.*, 1 by sess", told.what
    )
    table = report.tables["closes"]
    assert table.loc[("XBOG", "13:00"), "first"] == "2016-05-03"
    assert set(table.loc["XNYS"].index) == {"16:00", "13:00"}


@pytest.mark.shared_data
def test_real_prices_have_no_bad_bars() -> None:
    """154,000 bars of 2007 to 2016 and the S&P 500, with 120 moves of more than a tenth."""
    for raw in (
        kdd17.read(DATASETS / "kdd17", "XNYS"),
        acl18.read(DATASETS / "acl18", "XNYS"),
        sp500.read(Path(), "XNYS"),
    ):
        found = list(prices.findings(worlds.market(raw.bars), {}))
        assert {f.level for f in found} == {"fine"}, found
