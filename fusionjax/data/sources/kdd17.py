"""KDD17 (Zhang et al., 2017; as Adv-ALSTM published it): 50 US stocks' daily prices, 2007-2014."""

from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import adjust, features, schema
from fusionjax.data.sources import Raw, Source
from fusionjax.registry import SOURCES

_PRICES = "prices_raw.parquet"
_COLUMNS = {
    "Date": "date",
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}


def files(root: Path) -> list[Path]:
    """The files whose content the prepared set depends on."""
    return [root / _PRICES]


def read(root: Path, calendar: str) -> Raw:
    """Reads prices from ``root``; market channels are computed over all stocks.

    Raises:
      InputError: the file is missing or damaged, or a row breaks the schema.
    """
    table = schema.read_table(root / _PRICES)
    schema.require_columns(table, ("symbol", "Original_Open", *_COLUMNS), root / _PRICES)
    bars = table[["symbol", *_COLUMNS]].rename(columns=_COLUMNS)
    # "Open" of stocks that split is on another scale than the other prices; this one is not.
    bars["open"] = table["Original_Open"].fillna(bars["open"])
    bars["volume"] = bars["volume"].astype(float)
    bars = bars.sort_values(["symbol", "date"], ignore_index=True)  # the file has the newest first
    bars = schema.check_bars(bars, root / _PRICES)
    bars["volume"] *= _shares_then(bars)
    prices = features.price_channels(bars)
    one_sector = pd.Series("", index=bars.index)
    market = features.market_channels(bars, prices["ret"], one_sector)
    return Raw(bars, pd.concat([prices, market], axis=1), None, np.ones(len(bars), bool), ())


def _shares_then(bars: pd.DataFrame) -> np.ndarray:
    """Shares of each bar's day for one of the last day: prices are as traded, but volumes are not
    (Apple's, on its split of seven for one in June 2014, did not rise)."""
    close, adj_close = (bars[c].to_numpy() for c in ("close", "adj_close"))
    shares = pd.Series(adjust.log_shares(close, adj_close, adjust.first_rows(bars["symbol"])))
    return np.exp((shares - shares.groupby(bars["symbol"]).transform("last")).to_numpy())


SOURCES.register("kdd17")(Source(files, read))
