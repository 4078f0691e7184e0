"""Where a sample comes from, for people: its stock, its day, the files and texts it is made of."""

import datetime
from typing import Any

import numpy as np

from fusionjax.config import ChartConfig, Config, MediaConfig, NumericConfig, TextConfig
from fusionjax.data.store import Market

_SHOWN = 80  # characters of a text


def describe(market: Market, config: Config, row: int) -> dict[str, Any]:
    """What a sample is made of.

    Args:
      market: the data.
      config: which modalities look how far back.
      row: its ``sample_id``.
    """
    return {
        "sample_id": row,
        "symbol": market.symbols[market.symbol[row]],
        "session": str(market.session[row]),
        "decision_time": _time(market.decision_time[row]),
        "sources": [
            s for m in config.modalities.values() for s in _sources(market, config, m, row)
        ],
    }


def named(sample: dict[str, Any]) -> str:
    """In a few words."""
    return f"{sample['sample_id']} ({sample['symbol']} {sample['session']})"


def _sources(market: Market, config: Config, modality: Any, row: int) -> list[str]:
    oldest = market.oldest(np.array([row]), modality.sessions)[0]
    if isinstance(modality, NumericConfig | ChartConfig):
        symbol = market.symbols[market.symbol[row]]
        return [
            f"{config.data.root or config.data.source}: bars of {symbol} from "
            f"{market.session[oldest]} to {market.session[row]}"
        ]
    if isinstance(modality, TextConfig):
        texts = market.texts
        assert texts is not None
        begin = np.searchsorted(texts.bar, oldest, side="left")
        end = np.searchsorted(texts.bar, row, side="right")
        at = np.arange(max(begin, end - modality.max_documents), end)
        written = texts.read(at) if texts.records else [""] * len(at)
        return [
            f"text of {_time(texts.event_time[i])} by {texts.names[int(texts.author[i])]}: "
            f"{' '.join(words.split())[:_SHOWN]}"
            for i, words in zip(at.tolist(), written, strict=True)
        ]
    assert isinstance(modality, MediaConfig)
    media = market.media[modality.kind]
    newest = int(np.searchsorted(media.bar, row, side="right")) - 1
    if newest < 0 or media.bar[newest] < oldest:
        return []
    return [f"{config.data.root}/{modality.kind}: {media.path[newest]}"]


def _time(seconds: np.int64) -> str:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).isoformat()
