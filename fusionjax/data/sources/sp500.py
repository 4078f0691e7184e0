"""The embedded default: S&P 500 daily bars 1999-2018 with NASDAQ, WTI and VIX, from ``arch``.

The package is not imported, as it imports SciPy and matplotlib: only its files are read.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import features, schema
from fusionjax.data.sources import Raw, Source
from fusionjax.registry import SOURCES

SYMBOL = "SPX"
# A context value older than this many calendar days counts as missing.
_STALE_AFTER = 5


def files(root: Path) -> list[Path]:
    """The files whose content the prepared set depends on."""
    return [_file(name) for name in ("sp500", "nasdaq", "wti", "vix")]


def _file(name: str) -> Path:
    spec = importlib.util.find_spec("arch")
    assert spec is not None, "arch is a dependency"
    assert spec.submodule_search_locations is not None, "and a package"
    return Path(spec.submodule_search_locations[0]) / "data" / name / f"{name}.csv.gz"


def read(root: Path, calendar: str) -> Raw:
    """Reads the four series. VIX begins in 2014; before that its channels are missing (NaN)."""
    index = _load("sp500")
    bars = pd.DataFrame(
        {
            "symbol": SYMBOL,
            "date": index.index,
            "open": index["Open"],
            "high": index["High"],
            "low": index["Low"],
            "close": index["Close"],
            "adj_close": index["Adj Close"],
            "volume": index["Volume"].astype(float),
        }
    )
    bars = schema.check_bars(bars, "arch.data.sp500", calendar)
    nasdaq = _as_of(_load("nasdaq")["Adj Close"], bars["date"])
    # The oil price has a date only, so it is used from the next session on.
    wti = _as_of(_load("wti").iloc[:, 0], bars["date"], same_day=False)
    vix = _as_of(_load("vix").iloc[:, 0], bars["date"])
    context = pd.DataFrame(
        {
            "nasdaq_ret": np.log(nasdaq).diff(),
            "wti_ret": np.log(wti).diff(),
            "vix_level": np.log(vix / 100 / np.sqrt(252)),
            "vix_change": np.log(vix).diff(),
        }
    )
    channels = pd.concat([features.price_channels(bars), context], axis=1)
    return Raw(bars, channels, None, np.ones(len(bars), bool), ())


def _load(name: str) -> pd.DataFrame:
    """A series as ``arch.data`` loads it: numbers by date, NaN for anything else."""
    # Correctly rounded, whatever version of pandas reads it.
    table = pd.read_csv(_file(name), float_precision="round_trip")
    table = table.set_index(pd.to_datetime(table.pop("Date")))
    return table.apply(pd.to_numeric, errors="coerce")


def _as_of(values: pd.Series, dates: pd.Series, *, same_day: bool = True) -> pd.Series:
    """The last value available at each date's decision.

    Args:
      values: by date; NaN where the market was closed.
      dates: sessions.
      same_day: whether a value is known at the decision of its own day. NASDAQ closes at 16:00 and
        the VIX at 16:15, before the decision at 16:30.
    """
    known = values.dropna()
    positions = known.index.searchsorted(dates, side="right" if same_day else "left") - 1
    age = dates.to_numpy() - known.index.to_numpy()[np.maximum(positions, 0)]
    fresh = (positions >= 0) & (age <= np.timedelta64(_STALE_AFTER, "D"))
    return pd.Series(np.where(fresh, known.to_numpy()[np.maximum(positions, 0)], np.nan))


SOURCES.register("sp500")(Source(files, read))
