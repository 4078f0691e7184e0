"""A small market, and files of it as vendors write them."""

import json
from collections.abc import Callable
from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd

from fusionjax.imports import columns, market, reading
from fusionjax.imports.market import Imported

PRICES = ["open", "high", "low", "close"]


def sessions(count: int, code: str = "XNYS") -> pd.DatetimeIndex:
    calendar = exchange_calendars.get_calendar(code, start="2024-01-01", end="2024-12-31")
    return pd.DatetimeIndex(calendar.sessions[:count])


def truth(symbols: tuple[str, ...] = ("AAA", "BBB"), days: pd.DatetimeIndex | None = None):
    """Bars with a split of two for one in the middle of each symbol's days."""
    days = sessions(80) if days is None else days
    rng = np.random.default_rng(0)
    parts = []
    for symbol in symbols:
        price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(days))))
        split = np.where(np.arange(len(days)) < len(days) // 2, 2.0, 1.0)
        close, open_ = (np.round(price * split * by, 2) for by in (1, 1.002))
        parts.append(
            pd.DataFrame(
                {
                    "symbol": symbol,
                    "date": days.astype("datetime64[s]"),
                    "open": open_,
                    "high": np.round(np.maximum(open_, close) * 1.01, 2),
                    "low": np.round(np.minimum(open_, close) * 0.99, 2),
                    "close": close,
                    "adj_close": close / split,
                    "volume": rng.integers(1000, 2000, len(days)) * 1000.0,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def take(*paths: Path, names: tuple[str, ...] = (), order: str | None = None) -> Imported:
    """What the command does before it writes."""
    cells = [reading.read(path) for path in reading.files_of([*paths])]
    return market.imported(columns.recognised(cells, columns.named(names)), order)


def each(bars: pd.DataFrame, folder: Path, name: str, write: Callable) -> None:
    """A file a symbol, named by a pattern."""
    folder.mkdir(exist_ok=True)
    for symbol, own in bars.groupby("symbol"):
        write(own.reset_index(drop=True), folder / name.format(symbol))


def csv(names: dict[str, str], form: str = "%Y-%m-%d", **more: object) -> Callable:
    """A writer of columns under a vendor's names, in that order, with constant ones beside."""

    def write(bars: pd.DataFrame, path: Path) -> None:
        shown = bars.assign(date=bars["date"].dt.strftime(form), **more)
        shown[[*names]].set_axis([*names.values()], axis=1).to_csv(path, index=False)

    return write


def titled(*more: str) -> dict[str, str]:
    """Columns as Yahoo and many others name them."""
    return {c: c.title() for c in ("date", *PRICES, "volume")} | dict(
        zip(more[::2], more[1::2], strict=True)
    )


def two_headers(bars: pd.DataFrame, path: Path, *, by_symbol: bool = False) -> None:
    """As ``yf.download(...).to_csv()`` does."""
    wide = bars.rename(columns={"adj_close": "Adj Close"} | {c: c.title() for c in bars})
    wide = wide.pivot(index="Date", columns="Symbol").rename_axis(columns=["Price", "Ticker"])
    if by_symbol:
        wide = wide.swaplevel(axis=1).sort_index(axis=1)
    wide.to_parquet(path) if path.suffix == ".parquet" else wide.to_csv(path)


def klines(bars: pd.DataFrame, path: Path, unit: int) -> None:
    """Binance's: no header, times since 1970 of which ``unit`` make a second."""
    opened = bars["date"].astype("int64") * unit
    cells = [opened, *(bars[c] for c in (*PRICES, "volume")), opened + 86400 * unit - 1]
    pd.concat([*cells, *[bars["volume"] * 0] * 5], axis=1).to_csv(path, index=False, header=False)


def investing(bars: pd.DataFrame, path: Path, form: str = "%m/%d/%Y") -> None:
    """Newest first, with thousands' commas and millions."""
    shown = pd.DataFrame({"Date": bars["date"].dt.strftime(form)})
    for name, ours in zip(("Price", "Open", "High", "Low"), ("close", *PRICES[:3]), strict=True):
        shown[name] = bars[ours].map("{:,.2f}".format)
    shown["Vol."] = (bars["volume"] / 1e6).map("{:.3f}M".format)
    shown["Change %"] = "0.12%"
    shown[::-1].to_csv(path, index=False, quoting=1, encoding="utf-8-sig")


def alpha_vantage_json(bars: pd.DataFrame, path: Path) -> None:
    fields = ["1. open", "2. high", "3. low", "4. close", "5. adjusted close", "6. volume"]
    days = {
        f"{row.date:%Y-%m-%d}": dict(
            zip(fields, map(str, (row.open, row.high, row.low, row.close)), strict=False)
        )
        | {fields[4]: repr(row.adj_close), fields[5]: str(row.volume)}
        for row in bars[::-1].itertuples()
    }
    told = {"Meta Data": {"2. Symbol": bars["symbol"][0]}, "Time Series (Daily)": days}
    path.write_text(json.dumps(told))


def crsp(bars: pd.DataFrame, path: Path) -> None:
    """Returns with letters, a mean of bid and ask as a negative price, factors of splits."""
    ret = bars["adj_close"].pct_change().map(repr)
    ret[0], ret[7] = "C", "B"
    price = bars["close"].copy()
    price[5] *= -1
    shown = pd.DataFrame(
        {
            "PERMNO": "10107",
            "date": bars["date"].dt.strftime("%Y%m%d"),
            "TICKER": "MSFT",
            "BIDLO": bars["low"],
            "ASKHI": bars["high"],
            "PRC": price,
            "VOL": bars["volume"],
            "RET": ret,
            "CFACPR": bars["close"] / bars["adj_close"],
            "OPENPRC": bars["open"],
        }
    )
    shown.to_csv(path, index=False)
