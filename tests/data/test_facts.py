"""Numbers known at a time: what a decision knows of them, and nothing of what came later."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import seeing, small
from rich.progress import Progress

from fusionjax.data import facts, prepare, store
from fusionjax.data.store import Market
from fusionjax.errors import InputError

DAYS = pd.bdate_range("2024-05-01", "2024-05-24")
# A quarter's earnings, restated later; the next quarter's before the restatement of the first.
EPS = [
    ("AÅ", "eps", 1.0, "2024-03-31", "2024-05-02T16:30:00-04:00"),
    ("AÅ", "eps", 3.0, "2024-04-30", "2024-05-14T08:00:00-04:00"),
    ("AÅ", "eps", 1.5, "2024-03-31", "2024-05-16T08:00:00-04:00"),
    ("AÅ", "eps", 2.5, "2024-04-30", "2024-05-20T16:31:00-04:00"),
]
NAMES = ("symbol", "name", "value", "event_time", "available_time")


def folder(root: Path, rows: list[tuple], name: str = "facts.jsonl") -> Path:
    root.mkdir()
    prices = dict.fromkeys(("open", "high", "low", "close", "adj_close"), 10.0)
    bars = [
        pd.DataFrame({"symbol": s, "date": DAYS, **prices, "volume": 1e3}) for s in ("AÅ", "NA")
    ]
    pd.concat(bars).to_parquet(root / "bars.parquet")
    table = pd.DataFrame(rows, columns=NAMES)
    if name.endswith("csv"):
        table.to_csv(root / name, index=False)
    else:
        lines = [json.dumps(row) for row in table.to_dict("records")]
        (root / name).write_text("\n".join(lines))
    return root


def opened(root: Path, tmp_path: Path) -> Market:
    c = seeing({"price": {"kind": "numeric", "sessions": 4, "channels": ("ret",)}})
    c.data.splits.train = c.data.splits.dev = ("2024-05-01", "2024-05-24")
    c = small(c, tmp_path / "prepared", data__source="folder", data__root=str(root))
    return store.load(prepare.prepare(c.data, Progress(disable=True)))


def known(market: Market, name: str, symbol: str) -> pd.Series:
    rows = market.symbol == market.symbols.index(symbol)
    column = market.channels[rows, market.columns((name,))[0]]
    return pd.Series(column, pd.DatetimeIndex(market.session[rows]).strftime("%m-%d"))


def test_a_decision_knows_what_was_available_of_the_latest_event(tmp_path: Path) -> None:
    """Decisions are at 16:30 in New York: a value of that second counts, one of a minute later not
    before the next day; a restated old quarter does not replace a newer one."""
    eps = known(opened(folder(tmp_path / "m", EPS), tmp_path), "eps", "AÅ")
    assert eps[:"05-01"].isna().all()
    assert (eps["05-02":"05-13"] == 1.0).all()
    assert (eps["05-14":"05-20"] == 3.0).all()
    assert (eps["05-21":] == 2.5).all()


def test_what_comes_later_changes_nothing_before(tmp_path: Path) -> None:
    whole = known(opened(folder(tmp_path / "m", EPS), tmp_path), "eps", "AÅ")
    for n in range(1, len(EPS)):
        part = known(opened(folder(tmp_path / f"m{n}", EPS[:n]), tmp_path), "eps", "AÅ")
        until = pd.Timestamp(EPS[n][-1]).strftime("%m-%d")
        pd.testing.assert_series_equal(part[:until][:-1], whole[:until][:-1])


def test_ages_and_facts_of_all_stocks(tmp_path: Path) -> None:
    rows = [
        *EPS,
        ("*", "cpi", 3.4, "2024-04-30", "2024-05-15T12:30:00Z"),
        ("NA", "cpi", 9.0, "2024-05-01", "2024-05-20"),
    ]
    market = opened(folder(tmp_path / "m", rows, "facts.csv"), tmp_path)
    assert market.channel_names[-4:] == ("cpi", "cpi_age", "eps", "eps_age")
    assert known(market, "cpi", "AÅ")["05-15":].eq(np.float32(3.4)).all()
    assert known(market, "cpi", "NA")["05-21":].eq(9.0).all(), "a date alone: known when it is over"
    assert known(market, "eps", "NA").isna().all()
    # The end of 31 March in New York to the decision of 2 May.
    days = (pd.Timestamp("2024-05-02T20:30Z") - pd.Timestamp("2024-04-01T04:00Z")).total_seconds()
    assert known(market, "eps_age", "AÅ")["05-02"] == pytest.approx(np.log1p(days / 86_400))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("AÅ", "ret", 1, "2024-05-01", "2024-05-02"), "the name 'ret' is a channel or column al"),
        (("AÅ", "a b", 1, "2024-05-01", "2024-05-02"), "the name 'a b' is no word of letters"),
        (("AÅ", "eps", "n/a", "2024-05-01", "2024-05-02"), "row 0 .*value is not a number"),
        (("AÅ", "eps", 1, "2024-05-03", "2024-05-02"), "row 0 .*available before it happened"),
        (("AÅ", "eps", 1, "2024-05-01", "2099-05-02"), "row 0 .*available_time is in the future"),
        (("AÅ", None, 1, "2024-05-01", "2024-05-02"), "row 0 .*name must be text"),
    ],
)
def test_bad_facts_are_named(tmp_path: Path, row: tuple, said: str) -> None:
    with pytest.raises(InputError, match=said):
        opened(folder(tmp_path / "m", [row]), tmp_path)


def test_a_fact_without_prices_is_told(tmp_path: Path) -> None:
    market = opened(folder(tmp_path / "m", [*EPS, ("ZZ", *EPS[0][1:])]), tmp_path)
    assert "1 items of ZZ in facts.jsonl: no prices" in market.notes
    assert facts.ALL not in market.symbols
