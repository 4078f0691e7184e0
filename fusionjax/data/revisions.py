"""What a source revised of days that have passed, with old and new value."""

from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import store, sums
from fusionjax.data.names import MARKET_CHANNELS, PRICE_CHANNELS
from fusionjax.data.sources import Raw
from fusionjax.data.store import Market
from fusionjax.errors import InputError

_KEYS = ["symbol", "date"]
_PRICES = ["open", "high", "low", "close", "volume"]
_SETS = 3  # of the newest are compared: a folder may hold sets of several markets
_SHOWN = 3


def of_last_set(home: Path, source: str, raw: Raw) -> list[str]:
    """Lines on the bars that changed since the newest earlier set of the same market.

    Args:
      home: of the prepared sets.
      source: their ``data.source``.
      raw: the tables of today.
    """
    complete = [s for s in home.glob(f"{source}-*/{sums.NAME}") if s.parent.suffix != ".tmp"]
    for manifest in sorted(complete, key=_age)[:_SETS]:
        try:
            before = store.load(manifest.parent)
        except InputError as e:
            return [f"bars are not compared with the set before: {e}"]
        both = _joined(before, raw)
        there = both["found"] == "both"
        alike = (both["close"] == both["close before"]) | (both["volume"] == both["volume before"])
        if there.mean() > 0.5 and alike[there].mean() > 0.5:
            return _lines(both, manifest.parent.name)
    return []


def _age(manifest: Path) -> tuple[float, str]:
    return -manifest.stat().st_mtime, str(manifest)


def _joined(before: Market, raw: Raw) -> pd.DataFrame:
    """The earlier set's bars, each beside today's of the same symbol and day."""
    old = pd.DataFrame(before.ohlcv, columns=_PRICES)
    old["adj_close"] = before.adj_close
    computed = {*PRICE_CHANNELS, *MARKET_CHANNELS}
    own = [c for c in before.channel_names if c in raw.channels and c not in computed]
    old[own] = before.channels[:, before.columns(tuple(own))]
    today = pd.concat([raw.bars[[*_PRICES, "adj_close"]], raw.channels[own]], axis=1)
    new = today.astype(old.dtypes.to_dict())
    old["symbol"] = np.array(before.symbols, object)[before.symbol]
    old["date"] = before.session.astype("datetime64[s]")
    new[_KEYS] = raw.bars[_KEYS]
    return old.merge(new, on=_KEYS, how="left", suffixes=(" before", ""), indicator="found")


def _lines(both: pd.DataFrame, name: str) -> list[str]:
    """One line for the bars that are gone, and one for each column that changed."""
    gone = both["found"] == "left_only"
    lines = []
    if gone.any():
        shown = [f"{r.symbol} {r.date:%Y-%m-%d}" for r in both[gone][:_SHOWN].itertuples()]
        lines.append(f"{gone.sum():,} bars of {name} are gone: {_listed(shown, int(gone.sum()))}")
    names = [str(c) for c in both]
    for column in (c.removesuffix(" before") for c in names if c.endswith(" before")):
        was, now = both[f"{column} before"], both[column]
        changed = ~gone & (was != now) & ~(was.isna() & now.isna())
        if changed.any():
            rows = both[changed]
            shown = [
                f"{symbol} {day:%Y-%m-%d} was {a:.7g}, is {b:.7g}"
                for symbol, day, a, b in zip(
                    *(rows[c][:_SHOWN] for c in (*_KEYS, f"{column} before", column)), strict=True
                )
            ]
            lines.append(
                f"{column} of {len(rows):,} bars of {rows['symbol'].nunique():,} symbol(s) differs "
                f"from {name}: {_listed(shown, len(rows))}"
            )
    return lines


def _listed(shown: list[str], count: int) -> str:
    return "; ".join(shown) + "; …" * (count > len(shown))
