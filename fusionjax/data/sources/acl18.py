"""StockNet (Xu & Cohen, ACL 2018): 88 US stocks, their tweets and daily prices."""

from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import features, schema
from fusionjax.data.sources import Raw, Source
from fusionjax.errors import InputError
from fusionjax.registry import SOURCES

_PRICES, _TWEETS, _STOCKS = "prices_raw.parquet", "tweets_preprocessed.parquet", "stock_table.csv"
# The published sub-protocol uses tweets of this many calendar days before the target.
_ALIGN_DAYS = 5


def files(root: Path) -> list[Path]:
    """The files whose content the prepared set depends on."""
    return [root / _PRICES, root / _TWEETS, root / _STOCKS]


def read(root: Path, calendar: str) -> Raw:
    """Reads prices, tweets and sectors from ``root``.

    Raises:
      InputError: a file is missing or damaged, or a row breaks the schema.
    """
    bars = schema.check_bars(schema.read_table(root / _PRICES), root / _PRICES, calendar)
    stocks = schema.read_table(root / _STOCKS)
    schema.require_columns(stocks, ("Symbol", "Sector"), root / _STOCKS)
    sector = dict(zip(stocks["Symbol"].str.lstrip("$"), stocks["Sector"], strict=True))
    unknown = sorted(set(bars["symbol"]) - set(sector))
    if unknown:
        raise InputError(f"{root / _PRICES}: symbol {unknown[0]} is not in {_STOCKS}; add it")
    tweets = schema.read_table(root / _TWEETS)
    schema.require_columns(
        tweets, ("symbol", "day", "created_at", "user_id", "tokens"), root / _TWEETS
    )
    documents = pd.DataFrame(
        {
            "symbol": tweets["symbol"],
            "event_time": tweets["created_at"],
            "available_time": tweets["created_at"],
            "author": tweets["user_id"],
            "text": tweets["tokens"],
        }
    )
    documents = schema.check_documents(documents, pd.Timestamp.now(tz="UTC"), root / _TWEETS)
    priced = documents["symbol"].isin(bars["symbol"].unique())
    notes = tuple(
        f"{n} texts of {s}: no prices"
        for s, n in documents.loc[~priced, "symbol"].value_counts().items()
    )

    prices = features.price_channels(bars)
    market = features.market_channels(bars, prices["ret"], bars["symbol"].map(sector))
    return Raw(
        bars,
        pd.concat([prices, market], axis=1),
        documents[priced].reset_index(drop=True),
        _tweet_aligned(bars, tweets),
        notes,
        sectors={symbol: sector[symbol] for symbol in bars["symbol"].unique()},
    )


def _tweet_aligned(bars: pd.DataFrame, tweets: pd.DataFrame) -> np.ndarray:
    """Rows of StockNet's own test protocol: every trading slot before the target has a tweet.

    A tweet of calendar day c belongs to the slot of the first trading day after c. Each slot of the
    five calendar days before a target day must have at least one tweet.
    """
    tweet_days = {s: set(d) for s, d in tweets.groupby("symbol")["day"]}
    aligned = np.zeros(len(bars), bool)
    for symbol, rows in bars.groupby("symbol"):
        sessions = rows["date"].to_numpy().astype("datetime64[D]")
        days = sessions[:, None] - np.arange(1, _ALIGN_DAYS + 1)
        slot = np.searchsorted(sessions, days, side="right")
        has = np.isin(days.astype(str), list(tweet_days.get(symbol, ())))
        same_slot = slot[:, :, None] == slot[:, None, :]
        aligned[rows.index] = (same_slot & has[:, None, :]).any(2).all(1)
    return aligned


SOURCES.register("acl18")(Source(files, read))
