"""Audit of bars: frozen or copied series, renamed symbols, wild channels."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fusionjax.config import Config
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged, listed, place
from fusionjax.data.store import Market

_WAIT = 5  # sessions from one symbol's end to another's beginning
_FROZEN_RUN = 5  # bars in a row that repeat the one before
_COPIED = 20  # equal bars that two symbols may not share
_WILD = 8.0  # robust standard deviations
_SHIFTED = 0.3  # Kolmogorov-Smirnov distance of a channel between training and later


def findings(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields the findings on bars; adds tables."""
    yield _frozen(market)
    yield _copies(market)
    yield _renamed(market)
    yield from _channels(market, config, tables)


def _frozen(market: Market) -> Finding:
    same = np.zeros(len(market.session), bool)
    same[1:] = (market.ohlcv[1:] == market.ohlcv[:-1]).all(1) & (np.diff(market.symbol) == 0)
    run = same.astype(int)
    start = np.flatnonzero(np.diff(np.concatenate([[0], run])) == 1)
    stop = np.flatnonzero(np.diff(np.concatenate([run, [0]])) == -1)
    length = stop - start + 1
    long = length >= _FROZEN_RUN
    named = ""
    if long.any():
        row = start[long][0]
        named = f"; the first from {place(market, row)}"
    what = (
        f"{same.sum():,} bars repeat the one before exactly, {long.sum()} times "
        f"{_FROZEN_RUN} or more in a row{named}"
    )
    return judged(
        "frozen bars", WATCH if long.any() else None, what, "a feed that stopped repeats its last"
    )


def _copies(market: Market) -> Finding:
    """Different symbols with the same bars: one security twice, which can straddle two splits."""
    traded = np.flatnonzero(market.ohlcv[:, 4] > 0)
    table = pd.DataFrame(market.ohlcv[traded]).assign(session=market.session[traded])
    bar_hash = pd.util.hash_pandas_object(table, index=False).to_numpy()
    repeated = pd.DataFrame({"row": bar_hash, "symbol": market.symbol[traded]})
    repeated = repeated[repeated.duplicated("row", keep=False)].sort_values(["row", "symbol"])
    pairs = repeated.assign(other=repeated.groupby("row")["symbol"].shift(-1)).dropna()
    counts = (
        pairs.groupby(["symbol", "other"], as_index=False).size().rename(columns={"size": "bars"})
    )
    copied = counts[counts["bars"] >= _COPIED]
    named = (
        f"{market.symbols[a]} and {market.symbols[b]} ({n} bars)"
        for a, b, n in copied.astype(int).to_numpy().tolist()
    )
    return judged(
        "copied bars",
        STOP if len(copied) else None,
        listed(f"{len(copied)} pairs of symbols share {_COPIED} or more equal bars", named),
        "keep one of each pair",
    )


def _renamed(market: Market) -> Finding:
    """A symbol that begins where another ends, at its price."""
    first = np.unique(market.first_row)
    last = market.last_row[first]
    sessions = np.unique(market.session)
    begins = np.searchsorted(sessions, market.session[first])
    ends = np.searchsorted(sessions, market.session[last])
    ended = np.flatnonzero(ends < len(sessions) - 1)
    pairs = []
    for i in ended:
        wait = begins - ends[i]
        level = np.log(market.ohlcv[first, 0] / market.ohlcv[last[i], 3])
        for j in np.flatnonzero((wait > 0) & (wait <= _WAIT) & (np.abs(level) < 0.1)):
            pairs.append(f"{market.symbols[i]} to {market.symbols[j]} ({market.session[first[j]]})")
    return judged(
        "renamed symbols",
        WATCH if pairs else None,
        listed(f"{len(pairs)} symbols begin where another ends, at its price", pairs),
        "if it is one security, give all its rows one symbol",
    )


def _channels(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Findings on channel values that affect scaling and clipping."""
    used = {*config.channel_names}
    last = np.datetime64(config.data.splits[config.train.split][1], "D")
    training = market.session <= last
    rows = []
    for i, name in enumerate(market.channel_names):
        values = market.channels[:, i].astype(float)
        known = np.isfinite(values)
        trained, later = values[training & known], values[~training & known]
        if not len(trained):
            rows.append((name, name in used, 1.0, *[np.nan] * 5))
            continue
        low, middle, high = np.quantile(trained, [0.25, 0.5, 0.75])
        spread = (high - low) / 1.349 or np.nan
        wild = float(np.mean(np.abs(trained - middle) > _WILD * spread))
        shifted = _distance(trained, later) if len(later) else np.nan
        missing = 1 - known[training].mean()
        rows.append(
            (name, name in used, missing, trained.mean(), trained.std(), wild, shifted, later.size)
        )
    columns = ["channel", "used", "missing", "mean", "std", "wild", "KS later", "later rows"]
    table = pd.DataFrame(rows, columns=columns).set_index("channel")
    tables["channels, on training sessions"] = table
    inputs = table[table["used"]]
    absent = inputs.index[inputs["missing"] > 0.5]
    yield judged(
        "missing values",
        WATCH if len(absent) else None,
        listed(
            f"{len(absent)} of {len(inputs)} channels lack more than half of their training values",
            absent,
            most=4,
        ),
        "they are masked; a modality is only as present as its rarest channel",
    )
    constant = inputs.index[inputs["std"] < 1e-8]
    yield judged(
        "constant channels",
        WATCH if len(constant) else None,
        listed(f"{len(constant)} channels never vary in training", constant, most=len(constant)),
        "remove them from config.modalities",
    )
    wild_channels = inputs.index[inputs["wild"] > 0.01]
    yield judged(
        "outliers",
        WATCH if len(wild_channels) else None,
        listed(
            f"{len(wild_channels)} channels have more than 1 % of training values beyond "
            f"{_WILD:.0f} robust standard deviations",
            wild_channels,
            most=4,
        ),
        "they are clipped there; a logarithm or a rank may serve better",
    )
    shifted_channels = inputs.index[inputs["KS later"] > _SHIFTED]
    yield judged(
        "shifted channels",
        WATCH if len(shifted_channels) else None,
        listed(
            f"{len(shifted_channels)} channels have another distribution after training (KS "
            f"distance above {_SHIFTED})",
            shifted_channels,
            most=4,
        ),
        "expect drift there: prefer differences and ratios to levels",
    )


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two samples, from 0 to 1."""
    points, a, b = np.concatenate([a, b]), np.sort(a), np.sort(b)
    shares = [np.searchsorted(x, points, side="right") / len(x) for x in (a, b)]
    return float(np.abs(shares[0] - shares[1]).max())
