"""Audit of how channels were made: scaled by all data, or filled with the mean of the labels."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.audit.channels import used_channels
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged, listed
from fusionjax.data.store import Market

_ROWS = 60  # of a series, to say how it was scaled
_EXACT = 1e-4  # of a mean that scaling made 0
_EARLY = 0.2  # of a symbol's training rows
_CONSTANT = 0.9  # share of a channel's variance that lies between symbols
_SYMBOLS, _ENCODED = 10, 0.8  # least number; rank correlation with the mean label


def findings(market: Market, config: Config) -> Iterator[Finding]:
    """Yields the findings on channels that were fitted to rows of later splits."""
    names, values = used_channels(market, config)
    last = samples.period(config.data, config.train.split)[1]
    training = market.session <= last
    scaled, encoded = [], []
    for name, x in zip(names, values.T, strict=True):
        for whose, group in (("of each symbol", market.symbol), ("", np.zeros_like(market.symbol))):
            if how := _scaled(x, group, training):
                scaled.append(f"{name} ({how}{whose})")
                break
        if (r := _encoded(x, market, last)) is not None:
            encoded.append(f"{name} ({r:+.3f})")
    yield judged(
        "scaled by all data",
        WATCH if scaled else None,
        listed(
            f"{len(scaled)} of {len(names)} channels have been scaled by rows after training too",
            scaled,
        ),
        "scale by training rows or by the past alone; here the scaler is fitted on training anyway",
    )
    yield judged(
        "encoded labels",
        STOP if encoded else None,
        listed(
            f"{len(encoded)} of {len(names)} channels are in each symbol's first rows what its "
            "labels were on average, rank correlation",
            encoded,
        ),
        "a mean of labels may be an input only where it is of labels known before",
    )


def _scaled(
    x: Float[np.ndarray, "R"], group: Int[np.ndarray, "R"], training: Bool[np.ndarray, "R"]
) -> str:
    """How every group was scaled by rows of training and after; empty if it was not."""
    known = np.isfinite(x)
    if not (known & training).any() or not (known & ~training).any():
        return ""
    frame = pd.DataFrame({"x": x, "group": group, "training": training})[known]
    of_all = frame.groupby("group")["x"].agg(["mean", "std", "min", "max", "size", "nunique"])
    of_all = of_all[(of_all["size"] >= _ROWS) & (of_all["nunique"] >= _ROWS // 2)]
    if not len(of_all):
        return ""
    before = frame[frame["training"]].groupby("group")["x"].agg(["mean", "std", "min", "max"])
    before = before.reindex(of_all.index)
    unit = (of_all["std"] - 1).abs() < 1 / of_all["size"] + _EXACT
    zero = of_all["mean"].abs() < _EXACT
    moved = (before["mean"].abs() > 10 * _EXACT) | ((before["std"] - 1).abs() > 10 * _EXACT)
    if (unit & zero).all() and moved.any():
        return "mean 0, deviation 1 "
    edges = (of_all["min"].abs() < _EXACT**2) & ((of_all["max"] - 1).abs() < _EXACT**2)
    inside = (before["min"] > _EXACT) | (before["max"] < 1 - _EXACT)
    if edges.all() and inside.any() and _once(frame, of_all.index):
        return "from 0 to 1 "
    return ""


def _once(frame: pd.DataFrame, groups: pd.Index) -> bool:
    """Whether each group reaches 0 and 1 in one row each: a bounded quantity does so often."""
    for edge in (0.0, 1.0):
        at = frame[(frame["x"] - edge).abs() < _EXACT**2]
        if (at.groupby("group").size().reindex(groups, fill_value=0) != 1).any():
            return False
    return True


def _encoded(x: Float[np.ndarray, "R"], market: Market, last: np.datetime64) -> float | None:
    """Rank correlation over symbols of the first values and the mean next return, of training or of
    all rows, if it shows that the channel was made of it."""
    found: float | None = None
    for until in (last, market.session.max()):
        ratio, known = samples.growth(market, np.arange(len(x)), 1, until)
        seen = known & np.isfinite(x)
        frame = pd.DataFrame({"x": x, "move": np.log(ratio), "symbol": market.symbol})[seen]
        frame = frame[frame.groupby("symbol")["x"].transform("size") >= _ROWS]
        by = frame.groupby("symbol")
        if by.ngroups < _SYMBOLS or frame["x"].std() == 0:
            continue
        if by["x"].transform("mean").var() < _CONSTANT * frame["x"].var():
            continue
        place = by.cumcount() / by["x"].transform("size")
        early = frame[place < _EARLY].groupby("symbol")["x"].mean()
        r = float(early.rank().corr(by["move"].mean().rank()))
        least = np.tanh(np.arctanh(min(abs(r), 0.9999999)) - 3 / np.sqrt(by.ngroups - 3))
        found = r if least > _ENCODED else found
    return found
