"""Audit of leads: does a channel know what comes after its decision?

What a bar's own past says of the next ones (their size, their volume) is taken away from both sides
first, by a regression on ranks. What is left is a surprise, which honest inputs foresee but little.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int64

from fusionjax import streams
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.audit.channels import used_channels
from fusionjax.data.audit.finding import STOP, Finding, judged
from fusionjax.data.audit.text_lead import text_channels
from fusionjax.data.store import Market

# A rank correlation with a surprise beyond these counts as knowledge of the future; what honest
# inputs reach, and what planted leaks do, is measured in docs/evaluation.md.
_RETURN, _OPEN, _SIZE = 0.10, 0.35, 0.5
_ONE_SYMBOL, _ERRORS_ALONE = 0.5, 6.0  # the same for the next return of one symbol alone
_ERRORS = 4.0  # standard errors beyond the bound, with as many blocks as one likes
_BLOCKS = 8  # of sessions; fewer say nothing
_SESSIONS = 60  # of a symbol, to be asked alone
_ROWS = 40_000  # looked at: whole symbols, drawn at random
_STOCKS = 5  # least number a day for a comparison across its stocks
_OWN = 0.02  # a channel of which the bars' past leaves no larger share is a function of it
_SPELLS = 15  # independent ones that a channel must have, to be compared over time
_PER_CONTROL = 12  # sessions for each thing that the past says: fewer would fit it to chance
_FEWEST_CONTROLS = 7  # to be compared with sizes and volumes
_LISTED = 20  # channels in the table
_OVER_ALL = "over all rows"


@dataclasses.dataclass(frozen=True, order=True)
class _Lead:
    """How a channel or its change relates to something that comes after."""

    excess: float  # of ``least`` over ``bound``
    name: str
    what: str
    of: str
    how: str
    r: float
    least: float  # that |r| is, within its error
    bound: float


@dataclasses.dataclass(frozen=True)
class _Target:
    """Something that happens after a decision."""

    name: str
    value: Float[np.ndarray, "R"]  # NaN where unknown by the end of training
    span: int  # sessions until it is known
    bound: float


def findings(market: Market, config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Finding]:
    """Yields a finding for each channel that knows the future; adds the table of the best."""
    rows = _rows(market, config)
    names, values = _channels(market, config)
    best = [max(all_) for all_ in _leads(market, config, rows, names, values).values() if all_]
    best.sort(reverse=True)
    columns = ["channel", "knows of", "how", "rank correlation", "at least", "bound"]
    shown = [(f.what, f.of, f.how, f.r, f.least, f.bound) for f in best[:_LISTED]]
    table = pd.DataFrame(shown, columns=columns).set_index("channel").round(3)
    tables["what channels know of the future, most first"] = table
    for f in (f for f in best if f.excess > 0):
        yield judged(
            f"future in {f.name}",
            STOP,
            f"{f.what} has a rank correlation of {f.r:+.2f} with {f.of} {f.how}, at least "
            f"{f.least:.2f} with its error, beyond what past bars say; honest inputs stay below "
            f"{f.bound:.2f}",
            "find how it is made: what is centred, shifted, revised later or fitted to all data",
        )
    what = (
        f"{len(best)} of {len(names)} channels and readings of texts compared with what came after"
    )
    yield judged("channels and the future", None, what, "")


def _leads(
    market: Market,
    config: Config,
    rows: Int64[np.ndarray, "R"],
    names: list[str],
    values: Float[np.ndarray, "A C"],
) -> dict[str, list[_Lead]]:
    """By channel, how it and its change relate to each target."""
    found: dict[str, list[_Lead]] = {name: [] for name in names}
    if not len(rows) or not names:
        return found
    session = np.unique(market.session[rows], return_inverse=True)[1]
    controls = _past(market)[rows, : (session.max() + 1) // _PER_CONTROL]
    basis = np.linalg.qr(_centred(_ranks(controls)))[0]
    ranks = _ranks(np.concatenate([values, _change(market, values)], 1)[rows])
    share, x = _surprise(ranks, basis)
    x[:, share < _OWN] = 0
    views = {_OVER_ALL: np.where(_slow(market, rows, ranks), 0, x)}
    if np.median(np.bincount(session)) >= _STOCKS:
        # What all stocks of a day share differs between them only by what was taken away.
        raw = _centred(ranks)
        shared = (_within_day(raw, session) ** 2).sum(0) < _OWN * (raw**2).sum(0)
        views["across the stocks of a day"] = np.where(shared, 0, _within_day(x, session))
    for target in _targets(market, config):
        if target.bound != _RETURN and controls.shape[1] < _FEWEST_CONTROLS:
            continue  # sizes and volumes last: too short a past does not tell by how much
        y = _surprise(_ranks(target.value[rows, None]), basis)[1]
        for how, a in views.items():
            b = y if how == _OVER_ALL else _within_day(y, session)
            r, least = _correlations(a, b[:, 0], session // max(2 * target.span, 3))
            for i in np.flatnonzero(np.isfinite(r)).tolist():
                _add(found, names, i, (target.name, how, r[i], least[i], target.bound))
        if target.span == 1 and target.bound == _RETURN:
            for i, of_whom, r_alone, least_alone in _each_symbol(market, rows, x, y[:, 0]):
                how = f"for {of_whom} alone"
                seen = (target.name, how, r_alone, least_alone, _ONE_SYMBOL)
                _add(found, names, i, seen)
    return found


def _add(found: dict[str, list[_Lead]], names: list[str], i: int, seen: tuple) -> None:
    """Notes a relation of the i-th of the channels and their changes."""
    name = names[i % len(names)]
    what = f"the change of {name}" if i >= len(names) else name
    found[name].append(_Lead(float(seen[3] - seen[4]), name, what, *seen))


def _rows(market: Market, config: Config) -> Int64[np.ndarray, "R"]:
    """Rows of training decisions with some history; whole symbols up to a number of rows."""
    first, last = samples.period(config.data, config.train.split)
    at = np.arange(len(market.session))
    inside = (market.session >= first) & (market.session < last) & (at < market.last_row)
    inside &= market.forecast_rows(config.data.min_history)
    if inside.sum() > _ROWS:
        count = np.bincount(market.symbol[inside], minlength=len(market.symbols))
        order = streams.generator(0, "audited symbols").permutation(len(count))
        chosen = order[np.cumsum(count[order]) <= _ROWS]
        inside &= np.isin(market.symbol, chosen)
    return np.flatnonzero(inside)


def _channels(market: Market, config: Config) -> tuple[list[str], Float[np.ndarray, "R C"]]:
    """The channels that modalities use, and what texts say, with their names."""
    names, values = used_channels(market, config)
    if market.texts is None or "text" not in {m.kind for m in config.modalities.values()}:
        return names, values
    told, said = text_channels(market, config)
    return names + told, np.concatenate([values, said], 1)


def _past(market: Market) -> Float[np.ndarray, "R P"]:
    """What a bar and those before it say of the next ones, from the bars themselves."""
    at, first = np.arange(len(market.session)), market.first_row
    ret = np.nan_to_num(samples.log_returns(market))
    volume = np.log1p(market.adjusted[:, 4].astype(float))
    close = market.adjusted[:, 3].astype(float)
    before = np.maximum(at - 1, first)
    month = np.log(_sum(market, ret**2, 20) / 20 + 1e-8)
    week = np.log(_sum(market, ret**2, 5) / 5 + 1e-8)
    columns = [ret, month, volume, week, np.log(np.abs(ret) + 1e-4)]  # what matters most first
    columns += [_sum(market, volume, 20), volume[before]]
    columns += [_sum(market, ret, n) for n in (5, 20)]
    opened = np.log(market.adjusted[:, 0] / close[before])
    # Opens on another scale than closes would otherwise foresee each other.
    columns += [opened, _sum(market, opened, 20)]
    day = np.unique(market.decision_time, return_inverse=True)[1]
    columns += [_day_mean(of_all, day)[day] for of_all in (ret, week, month)]
    columns.append(np.log(_sum(market, ret**2, 60) / 60 + 1e-8))
    columns += [volume[np.maximum(at - 4, first)], _sum(market, volume, 5)]
    return np.stack(columns, 1)


def _targets(market: Market, config: Config) -> list[_Target]:
    """Returns, the next open, volume and volatility, where known by the end of training."""
    last = samples.period(config.data, config.train.split)[1]
    at = np.arange(len(market.session))
    spans = {1, 5, 20} | {h for head in config.targets.values() for h in head.horizons}
    targets = []
    for h in sorted(spans):
        ratio, known = samples.growth(market, at, h, last)
        name = "the next return" if h == 1 else f"the return of the next {h} sessions"
        targets.append(_Target(name, np.where(known, np.log(ratio), np.nan), h, _RETURN))
        if h == 1:
            following = np.minimum(at + 1, market.last_row)
            opened = np.log(market.adjusted[following, 0] / market.adjusted[:, 3].astype(float))
            traded = np.log1p(market.adjusted[following, 4].astype(float))
            targets.append(_Target("the next open", np.where(known, opened, np.nan), 1, _RETURN))
            opening = np.where(known, np.abs(opened), np.nan)
            targets.append(_Target("the size of the next open", opening, 1, _OPEN))
            targets.append(_Target("the next volume", np.where(known, traded, np.nan), 1, _SIZE))
        size = samples.realised_log_volatility(market, at, h)
        name = "the size of " + name
        targets.append(_Target(name, np.where(known, size, np.nan), h, _SIZE))
    return targets


def _slow(
    market: Market, rows: Int64[np.ndarray, "R"], ranks: Float[np.ndarray, "R C"]
) -> Bool[np.ndarray, "C"]:
    """Which channels move as slowly as the period: in a sample, a price is high before it falls
    (Stambaugh, 1999), so that they say nothing over time."""
    follows = np.flatnonzero((np.diff(rows) == 1) & (np.diff(market.symbol[rows]) == 0))
    a, b = _centred(ranks)[follows], _centred(ranks)[follows + 1]
    size = np.sqrt((a * a * (b != 0)).sum(0) * (b * b * (a != 0)).sum(0))
    keeps = (a * b).sum(0) / np.maximum(size, 1e-12)
    sessions = len(np.unique(market.session[rows])) * np.isfinite(ranks).mean(0)
    return sessions * (1 - keeps) < _SPELLS * np.maximum(1 + keeps, 1e-9)


def _within_day(v: Float[np.ndarray, "R C"], session: Int64[np.ndarray, "R"]) -> np.ndarray:
    """Less the mean of the day's known values; 0 where unknown."""
    return np.where(v == 0, 0, v - _day_mean(v, session)[session])


def _correlations(
    x: Float[np.ndarray, "R C"], y: Float[np.ndarray, "R"], block: Int64[np.ndarray, "R"]
) -> tuple[Float[np.ndarray, "C"], Float[np.ndarray, "C"]]:
    """Correlations of surprises, 0 where unknown, and the least that |r| is within its error.

    The error is the linearised one of sums over blocks of sessions (Liang & Zeger, 1986).
    """
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[order], prepend=-1))
    x, y = x[order], y[order][:, None]
    both = (x != 0) & (y != 0)
    xy, xx, yy = (np.add.reduceat(v, starts) for v in (x * y, x * x * both, y * y * both))
    norm = np.sqrt(xx.sum(0) * yy.sum(0))
    norm = np.where(norm > 1e-9, norm, np.nan)
    r = xy.sum(0) / norm
    half = 0.5 * (xx / np.maximum(xx.sum(0), 1e-9) + yy / np.maximum(yy.sum(0), 1e-9))
    used = ((xx > 0) & (yy > 0)).sum(0)
    error = np.sqrt(((xy / norm - r * half) ** 2).sum(0) * used / np.maximum(used - 1, 1))
    # Few blocks have a t distribution's tails: its quantile over the normal one's, roughly.
    errors = _ERRORS * (1 + (_ERRORS**2 + 1) / (4 * np.maximum(used - 1, 1))) ** 2
    low = np.abs(r) - errors * error
    return np.where(used >= _BLOCKS, r, np.nan), low


def _each_symbol(
    market: Market,
    rows: Int64[np.ndarray, "R"],
    x: Float[np.ndarray, "R C"],
    y: Float[np.ndarray, "R"],
) -> Iterator[tuple[int, str, float, float]]:
    """Of each channel the symbol in which it relates most to a target: number of the channel, the
    symbol, correlation, and the least that it is within its error."""
    symbol = market.symbol[rows]
    starts = np.flatnonzero(np.diff(symbol, prepend=-1))
    both = (x != 0) & (y != 0)[:, None]
    x, y_ = x * both, y[:, None] * both
    count = np.add.reduceat(both, starts, dtype=int)
    many = np.maximum(count, 1)
    total_x, total_y = (np.add.reduceat(v, starts) for v in (x, y_))
    xy, xx, yy = (np.add.reduceat(v, starts) for v in (x * y_, x * x, y_ * y_))
    xy, xx, yy = xy - total_x * total_y / many, xx - total_x**2 / many, yy - total_y**2 / many
    usable = (xx > 1e-6 * len(rows) / len(starts)) & (yy > 0) & (count >= _SESSIONS)
    r = np.where(usable, xy / np.sqrt(np.where(usable, xx * yy, 1)), 0)
    error = _ERRORS_ALONE / np.sqrt(np.maximum(many, 4) - 3)  # of Fisher's z
    least = np.tanh(np.arctanh(np.minimum(np.abs(r), 0.999999)) - error)
    least[~usable] = -1
    for i in np.flatnonzero(usable.any(0)).tolist():
        s = int(least[:, i].argmax())
        yield i, market.symbols[symbol[starts[s]]], float(r[s, i]), float(least[s, i])


def _surprise(
    ranks: Float[np.ndarray, "R C"], basis: Float[np.ndarray, "R P"]
) -> tuple[Float[np.ndarray, "C"], Float[np.ndarray, "R C"]]:
    """The share that the past leaves of each column of centred ranks, and what it leaves."""
    known = np.isfinite(ranks)
    x = _centred(ranks)
    left = np.where(known, x - basis @ (basis.T @ x), 0.0)
    return (left**2).sum(0) / np.maximum((x**2).sum(0), 1e-12), left


def _ranks(values: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R C"]:
    """Ranks of each column from 0 to 1, ties averaged; NaN stays."""
    return pd.DataFrame(values).rank(pct=True).to_numpy()


def _centred(ranks: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R C"]:
    """Less each column's mean; 0 where unknown."""
    known = np.isfinite(ranks)
    total = np.where(known, ranks, 0).sum(0)
    return np.where(known, ranks - total / np.maximum(known.sum(0), 1), 0.0)


def _sum(market: Market, values: Float[np.ndarray, "R"], n: int) -> Float[np.ndarray, "R"]:
    """The sum over a symbol's last ``n`` rows, of as many as there are scaled to ``n``."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    begin = np.maximum(at - n + 1, market.first_row)
    return (total[at + 1] - total[begin]) * n / (at + 1 - begin)


def _change(market: Market, values: Float[np.ndarray, "R C"]) -> Float[np.ndarray, "R C"]:
    """Each value less that of the bar before; NaN at a symbol's first."""
    change = np.diff(values, axis=0, prepend=np.nan)
    change[np.unique(market.first_row)] = np.nan
    return change


def _day_mean(values: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Means over each day's rows, of values that are not 0."""
    order = np.argsort(day, kind="stable")
    starts = np.flatnonzero(np.diff(day[order], prepend=-1))
    v = values[order]
    count = np.add.reduceat(v != 0, starts, dtype=int)
    return np.add.reduceat(v, starts) / np.maximum(count, 1)
