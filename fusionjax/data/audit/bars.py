"""Audit of bars: gaps, frozen or copied series, unit jumps, renamed symbols, wild channels."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fusionjax.config import Config
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged, listed
from fusionjax.data.store import Market

_LONG_GAP, _MISSING = 5, 0.01  # missing sessions: in a row, as a share of the symbol's
_FROZEN_RUN = 5  # bars in a row that repeat the one before
_COPIED = 20  # equal bars that two symbols may not share
_RATIOS = np.array([1.5, 2, 3, 4, 5, 6, 7, 8, 10, 20, 25, 50, 100, 1000])
_CLEAR_RATIO = 5.0  # a move by this factor stops training: no ordinary day explains it
_WILD = 8.0  # robust standard deviations
_SHIFTED = 0.3  # Kolmogorov-Smirnov distance of a channel between training and later


def findings(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields the findings on bars; adds tables."""
    yield _gaps(market, tables)
    yield _frozen(market)
    yield _copies(market)
    yield _renamed(market)
    yield _jumps(market, tables)
    yield from _channels(market, config, tables)


def _gaps(market: Market, tables: dict[str, pd.DataFrame]) -> Finding:
    sessions, position = np.unique(market.session, return_inverse=True)
    step = np.diff(position)
    same_symbol = np.diff(market.symbol) == 0
    missing = np.where(same_symbol, step - 1, 0)
    frame = pd.DataFrame({"symbol": market.symbol[1:], "missing": missing})
    per_symbol = frame.groupby("symbol")["missing"].agg(["sum", "max"])
    first, last = market.first_row, market.last_row
    rows = np.unique(first)
    bar_count = last[rows] - rows + 1
    table = pd.DataFrame(
        {
            "first": market.session[rows].astype(str),
            "last": market.session[last[rows]].astype(str),
            "bars": bar_count,
            "missing": per_symbol["sum"].reindex(range(len(rows)), fill_value=0).to_numpy(),
            "longest gap": per_symbol["max"].reindex(range(len(rows)), fill_value=0).to_numpy(),
        },
        index=pd.Index(market.symbols, name="symbol"),
    )
    tables["bars by symbol, most missing first"] = table.sort_values("missing", ascending=False)
    share = table["missing"] / (table["missing"] + table["bars"])
    worst = str(share.idxmax())
    bad = (share > _MISSING) | (table["longest gap"] > _LONG_GAP)
    what = (
        f"{int(bad.sum())} of {len(table)} symbols lack more than {_MISSING:.0%} of the sessions "
        f"between their first and last bar, of {len(sessions):,} in all, or more than {_LONG_GAP} "
        f"in a row; the most is {share.max():.1%}, {worst}"
    )
    return judged("gaps", WATCH if bad.any() else None, what, "fetch the missing bars")


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
        named = f"; the first from {_place(market, row)}"
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
        for j in np.flatnonzero((wait > 0) & (wait <= _LONG_GAP) & (np.abs(level) < 0.1)):
            pairs.append(f"{market.symbols[i]} to {market.symbols[j]} ({market.session[first[j]]})")
    return judged(
        "renamed symbols",
        WATCH if pairs else None,
        listed(f"{len(pairs)} symbols begin where another ends, at its price", pairs),
        "if it is one security, give all its rows one symbol",
    )


def _jumps(market: Market, tables: dict[str, pd.DataFrame]) -> Finding:
    """Adjusted closes that move by a round ratio and stay there: a split or unit not adjusted."""
    log = np.log(market.adj_close)
    move = np.zeros(len(log))
    same_symbol = np.diff(market.symbol) == 0
    move[1:][same_symbol] = np.diff(log)[same_symbol]
    typical = pd.Series(np.abs(move)).groupby(market.symbol).transform("median").to_numpy()
    nearest = np.log(_RATIOS)[np.abs(np.abs(move)[:, None] - np.log(_RATIOS)).argmin(1)]
    row = np.arange(len(log))
    later = np.minimum(row + 5, market.last_row)
    yesterday, earlier = (np.maximum(row - n, market.first_row) for n in (1, 6))
    lasting = np.abs(log[later] - log) < nearest / 2
    lasting &= np.abs(log[yesterday] - log[earlier]) < nearest / 2  # nor reverses an earlier one
    near_ratio = np.abs(np.abs(move) - nearest) < np.minimum(4 * typical, 0.05)
    jump = near_ratio & lasting & (np.abs(move) > 10 * typical) & (np.abs(move) > 0.35)
    clear = jump & (nearest >= np.log(_CLEAR_RATIO) - 1e-9)
    rows = np.flatnonzero(jump)
    if len(rows):
        tables["jumps by a round ratio"] = pd.DataFrame(
            {
                "symbol": [market.symbols[i] for i in market.symbol[rows]],
                "session": market.session[rows].astype(str),
                "moved by": np.exp(move[rows]).round(4),
                "nearest ratio": np.exp(nearest[rows]).round(1),
            }
        )
    first = ""
    if len(rows):
        first = f", the first {_place(market, rows[0])} (× {np.exp(move[rows[0]]):.3g})"
    level = STOP if clear.any() else WATCH if len(rows) else None
    return judged(
        "unit jumps",
        level,
        f"{len(rows)} adjusted closes move by a round ratio and stay there{first}",
        "adjust adj_close for splits, or bring the series to one unit",
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


def _place(market: Market, row: np.integer) -> str:
    return f"{market.symbols[market.symbol[row]]} {market.session[row]}"
