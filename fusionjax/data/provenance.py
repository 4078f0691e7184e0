"""Describes a sample for people: its stock, its day, its files and texts."""

import datetime
from collections.abc import Iterable
from typing import Any

import numpy as np

from fusionjax.config import Config, DataConfig
from fusionjax.data.store import Market

READ_BEFORE = "READ BEFORE"  # begins the line about a pretrained encoder


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


def read_before(
    encoders: dict[str, tuple[str, str]], configs: Iterable[Config], days: tuple[str, str]
) -> list[str]:
    """A line for each pretrained encoder that may have read of some days before they were to be
    forecast: its own training data reach into them.

    Args:
      encoders: of the data, see ``Market``.
      configs: whose modalities count.
      days: the first and the last.
    """
    kinds = {m.kind for c in configs for m in c.modalities.values()}
    first, last = days
    lines = []
    for kind, (encoder, until) in encoders.items():
        if kind in kinds and first[: len(until)] <= until:
            end = "all of them" if last[: len(until)] <= until else f"those until {until}"
            lines.append(
                f"{READ_BEFORE}: {encoder}, which embeds {kind}, has learned from what was "
                f"written until {until}. Of the days {first} to {last} {end} lie inside, so it "
                "may know what came of them; only later days are unseen by it"
            )
    return lines


def with_encoders(
    records: list[dict[str, Any]], market: Market, config: Config
) -> list[dict[str, Any]]:
    """Forecasts for users; under ``read_before`` the encoders, by what they embed, that may have
    read of the session after the forecast's, with the month until which they have read."""
    kinds = {m.kind for m in config.modalities.values()}
    known = {k: v for k, v in market.encoders.items() if k in kinds}

    def told(session: str) -> dict[str, Any]:
        inside = {
            kind: {"encoder": encoder, "until": until}
            for kind, (encoder, until) in known.items()
            if session[: len(until)] <= until
        }
        return {"read_before": inside} if inside else {}

    return [record | told(record["session"]) for record in records]


def moment(seconds: np.int64) -> str:
    """Seconds since 1970-01-01 UTC in ISO 8601."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).isoformat()
