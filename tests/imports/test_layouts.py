"""Every layout gives the bars that it was written from."""

from collections.abc import Callable
from pathlib import Path

import downloads
import numpy as np
import pandas as pd
import pytest
from downloads import csv, each, sessions, take, titled, truth

from fusionjax.data import schema
from fusionjax.errors import InputError
from fusionjax.imports import columns, reading, report

ADJUSTED = titled("adj_close", "Adj Close")
STOOQ = {"symbol": "<TICKER>", "per": "<PER>", "date": "<DATE>", "time": "<TIME>"}
STOOQ |= {c: f"<{c.upper()}>" for c in downloads.PRICES} | {"volume": "<VOL>", "oi": "<OPENINT>"}
TIINGO = {c: c for c in ("date", "close", "high", "low", "open", "volume")}
TIINGO |= {"adj_close": "adjClose", "adj_volume": "adjVolume", "div": "divCash", "f": "splitFactor"}
ALPHA = {c: c for c in ("timestamp", *downloads.PRICES)} | {"adj_close": "adjusted_close"}
ALPHA |= {"volume": "volume", "div": "dividend_amount", "f": "split_coefficient"}


def alpha_vantage(bars: pd.DataFrame, path: Path) -> None:
    bars = bars.assign(timestamp=bars["date"].dt.strftime("%Y-%m-%d"), div=0, f=1.0)
    bars[::-1][[*ALPHA]].set_axis([*ALPHA.values()], axis=1).to_csv(path, index=False)


def zoned(bars: pd.DataFrame, path: Path) -> None:
    """A history of yfinance's: dates are midnights in New York."""
    at = bars["date"].dt.tz_localize("America/New_York")
    bars.assign(date=at)[[*ADJUSTED]].set_axis([*ADJUSTED.values()], axis=1).to_parquet(path)


WITH_ADJUSTED: dict[str, tuple[str, Callable]] = {
    "Yahoo": ("{}.csv", csv(ADJUSTED)),
    "a history in parquet": ("{}.parquet", zoned),
    "two header rows": ("{}.csv", downloads.two_headers),
    "EODHD": ("{}.csv", csv(titled("adj_close", "Adjusted_close"))),
    "Tiingo": ("{}.csv", csv(TIINGO, "%Y-%m-%dT00:00:00+00:00", adj_volume=1, div=0, f=1)),
    "Alpha Vantage": ("daily_adjusted_{}.csv", alpha_vantage),
    "Alpha Vantage's JSON": ("any{}.json", downloads.alpha_vantage_json),
}
ADJUSTED_ONLY: dict[str, tuple[str, Callable, str]] = {
    "Stooq": (
        "{}.txt",
        csv(STOOQ, "%Y%m%d", per="D", time="000000", oi=0),
        "adjusted only: Stooq",
    ),
    "Stooq's page": ("{}_us_d.csv", csv(titled()), "adjustment unknown"),
    "yfinance": (
        "{}.csv",
        lambda bars, path: downloads.two_headers(bars.drop(columns="adj_close"), path),
        "adjusted only: without Adj Close",
    ),
    "yfinance's history": (
        "{}.csv",
        csv(titled("d", "Dividends", "s", "Stock Splits"), "%Y-%m-%d 00:00:00-05:00", d=0, s=0),
        "adjusted only: yfinance's history",
    ),
    "investing.com": (
        "{} Historical Data.csv",
        downloads.investing,
        "adjustment unknown: investing.com",
    ),
}


@pytest.mark.parametrize("vendor", WITH_ADJUSTED)
def test_layouts_with_an_adjusted_close(tmp_path: Path, vendor: str) -> None:
    name, write = WITH_ADJUSTED[vendor]
    each(truth(), tmp_path / "in", name, write)
    found = take(tmp_path / "in")
    pd.testing.assert_frame_equal(found.bars, truth()[[*schema.BARS]])
    assert any(note.startswith("close as given, and an adjusted") for note in found.notes)
    assert found.calendar.code == "XNYS"
    assert found.calendar.shared == 80


@pytest.mark.parametrize("vendor", ADJUSTED_ONLY)
def test_layouts_with_one_close(tmp_path: Path, vendor: str) -> None:
    name, write, assumed = ADJUSTED_ONLY[vendor]
    each(truth(), tmp_path / "in", name, write)
    found = take(tmp_path / "in")
    expected = truth()[[*schema.BARS]].assign(adj_close=lambda t: t["close"])
    pd.testing.assert_frame_equal(found.bars, expected)
    assert any(note.startswith(assumed) for note in found.notes), found.notes


@pytest.mark.parametrize("by_symbol", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_several_symbols_under_two_header_rows(
    tmp_path: Path, suffix: str, by_symbol: bool
) -> None:
    """Of which one began later, so that its cells are empty before."""
    bars = truth().drop(range(5)).reset_index(drop=True)
    path = tmp_path / f"all{suffix}"
    downloads.two_headers(bars, path, by_symbol=by_symbol)
    found = take(path)
    pd.testing.assert_frame_equal(found.bars, bars[[*schema.BARS]])
    assert not [note for note in found.notes if note.startswith("left out")]


def test_one_and_two_header_rows_of_one_vendor_go_together(tmp_path: Path) -> None:
    """With an adjusted close in both, prices are adjusted alike."""
    bars = truth(("AAA", "BBB", "CCC"))
    old, new = bars[bars["symbol"] == "AAA"], bars[bars["symbol"] != "AAA"]
    csv(ADJUSTED)(old, tmp_path / "AAA.csv")
    downloads.two_headers(new, tmp_path / "all.csv")
    found = take(tmp_path)
    pd.testing.assert_frame_equal(found.bars, bars[[*schema.BARS]])
    files = columns.recognised([reading.read(p) for p in reading.files_of([tmp_path])], {})
    shown = report.table(files, found)
    assert shown.row_count == 2, "the symbol stands elsewhere in each"
    downloads.two_headers(new.drop(columns="adj_close"), tmp_path / "all.csv")
    with pytest.raises(InputError, match="bars of two layouts .* download all of them in one way"):
        take(tmp_path)


def test_one_table_of_all_in_any_order_and_case(tmp_path: Path) -> None:
    csv(
        {"volume": "VOL", "close": "Close", "date": "DATE", "symbol": "Ticker"}
        | {"adj_close": "adj. close", "low": "LOW", "high": "High", "open": "open"}
    )(truth().sample(frac=1, random_state=0), tmp_path / "all.csv")
    pd.testing.assert_frame_equal(take(tmp_path / "all.csv").bars, truth()[[*schema.BARS]])


@pytest.mark.parametrize("unit", [1000, 1_000_000])
def test_klines_of_binance(tmp_path: Path, unit: int) -> None:
    bars = truth(("BTCUSDT",), sessions(80, "24/7"))
    for month, own in bars.groupby(bars["date"].dt.strftime("%Y-%m")):
        downloads.klines(own, tmp_path / f"BTCUSDT-1d-{month}.csv", unit)
    found = take(tmp_path)
    expected = bars[[*schema.BARS]].assign(adj_close=bars["close"])
    pd.testing.assert_frame_equal(found.bars, expected)
    assert found.calendar.code == "24/7"
    assert any(note.startswith("nothing to adjust") for note in found.notes)


def test_hours_of_binance_are_refused_as_no_sessions(tmp_path: Path) -> None:
    bars = truth(("BTCUSDT",), pd.date_range("2024-01-01", periods=80, freq="h"))
    downloads.klines(bars, tmp_path / "BTCUSDT-1h-2024-01.csv", 1000)
    with pytest.raises(InputError, match=r"row 1: open_time .*download daily bars"):
        take(tmp_path)


def test_crsp(tmp_path: Path) -> None:
    bars = truth(("10107",))
    downloads.crsp(bars, tmp_path / "crsp.csv")
    found = take(tmp_path / "crsp.csv")
    pd.testing.assert_frame_equal(found.bars, bars[[*schema.BARS]], rtol=1e-9)
    assert "1 closes are means of bid and ask" in found.notes


@pytest.mark.parametrize("lost", [["RET"], ["RET", "CFACPR"]])
def test_crsp_without_returns(tmp_path: Path, lost: list[str]) -> None:
    bars = truth(("10107",))
    downloads.crsp(bars, tmp_path / "crsp.csv")
    pd.read_csv(tmp_path / "crsp.csv").drop(columns=lost).to_csv(tmp_path / "crsp.csv", index=False)
    found = take(tmp_path / "crsp.csv")
    adj = bars["close"] if "CFACPR" in lost else bars["adj_close"]
    np.testing.assert_allclose(found.bars["adj_close"], adj)
    told = "neither RET nor CFACPR: closes are not adjusted" in found.notes
    assert told == ("CFACPR" in lost)


@pytest.mark.parametrize(
    "form", ["%b %d, %Y", "%d-%b-%Y", "%d %B %Y", "%Y/%m/%d", "%Y%m%d", "%d/%m/%Y", "%m-%d-%Y"]
)
def test_dates_in_every_form(tmp_path: Path, form: str) -> None:
    csv(ADJUSTED, form)(truth(("AAA",)), tmp_path / "AAA.csv")
    pd.testing.assert_frame_equal(take(tmp_path).bars, truth(("AAA",))[[*schema.BARS]])


def test_tokyos_calendar_is_found_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = ["XLON", "XTKS"]
    monkeypatch.setattr("fusionjax.data.calendar.codes", lambda: some)  # all take half a minute
    csv(ADJUSTED)(truth(("7203",), sessions(80, "XTKS")), tmp_path / "7203.csv")
    found = take(tmp_path)
    assert found.calendar.sentence.startswith(
        "calendar XTKS: 80 of 80 days are among its 80 sessions;"
    )


def test_columns_may_be_named(tmp_path: Path) -> None:
    names = titled("adj_close", "Adj Close", "pe", "P/E") | {"close": "Final"}
    csv(names, pe=12.5)(truth(("AAA",)), tmp_path / "AAA.csv")
    found = take(tmp_path, names=("Final=close", "P/E=pe"))
    pd.testing.assert_frame_equal(found.bars[[*schema.BARS]], truth(("AAA",))[[*schema.BARS]])
    assert found.channels == ("pe",)
    assert (found.bars["pe"] == 12.5).all()
