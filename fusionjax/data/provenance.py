"""Describes a sample for people: its stock, its day, its files and texts."""

import datetime
from typing import Any

import numpy as np

from fusionjax.config import Config, DataConfig
from fusionjax.data.store import Market


def describe(market: Market, config: Config, row: int) -> dict[str, Any]:
    """Symbol, session, decision time and sources of a sample.

    Args:
      market: the data.
      config: of the run; its modalities give the sources.
      row: the ``sample_id``.
    """
    return {
        "sample_id": row,
        "symbol": market.symbols[market.symbol[row]],
        "session": str(market.session[row]),
        "decision_time": moment(market.decision_time[row]),
        "sources": [
            s for m in config.modalities.values() for s in m.sources(market, config.data, row)
        ],
    }


def named(sample: dict[str, Any]) -> str:
    """A short name of a described sample: id, symbol and session."""
    return f"{sample['sample_id']} ({sample['symbol']} {sample['session']})"


def bars(market: Market, data: DataConfig, row: int, sessions: int) -> str:
    """In words, the bars that a look-back of ``sessions`` reads."""
    oldest = market.oldest(np.array([row]), sessions)[0]
    symbol = market.symbols[market.symbol[row]]
    return (
        f"{data.root or data.source}: bars of {symbol} from "
        f"{market.session[oldest]} to {market.session[row]}"
    )


def moment(seconds: np.int64) -> str:
    """Seconds since 1970-01-01 UTC in ISO 8601."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).isoformat()
