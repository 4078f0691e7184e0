"""Audit of the symbols together: near-copies, shifted calendars, repeated spells, survivors."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.audit.finding import STOP, WATCH, Finding, judged, listed
from fusionjax.data.store import Market

_COPY, _SAME = 0.999, 0.9999  # correlation of returns: to be looked at, and one security twice
_FOLLOWS = 0.9  # of one symbol's returns with another's of the session after
_LEADS = 0.15  # of a symbol's returns with the others' mean of the session after
_ERRORS = 5.0  # standard errors beyond it
_BARS = 60  # in common
_SESSIONS = 1500  # looked at, the newest
_CLIP = 5.0  # standard deviations: one day of two equal crashes makes no copy
_SPELL = 10  # bars in a row with the same returns
_SURVIVORS, _NAMES, _YEARS = 150, 10, 3.0  # years of symbols of which some must have ended
_DIGITS = 1e6  # of a return, to be the same


def findings(market: Market, config: Config) -> Iterator[Finding]:
    """Yields the findings on the symbols together."""
    sessions, at = np.unique(market.session, return_inverse=True)
    at = at - max(len(sessions) - _SESSIONS, 0)
    x = np.full((min(len(sessions), _SESSIONS), len(market.symbols)), np.nan, np.float32)
    ret = samples.log_returns(market)
    x[at[at >= 0], market.symbol[at >= 0]] = ret[at >= 0]
    known = np.isfinite(x)
    x = np.where(known, x, 0)
    count = np.maximum(known.sum(0), 1)
    x = np.where(known, x - x.sum(0) / count, 0)
    scale = np.sqrt((x**2).sum(0) / count)
    x = np.clip(x / np.where(scale > 0, scale, 1), -_CLIP, _CLIP)
    yield _copies(market, x, known)
    yield _shifted(market, x, known)
    yield _repeated(market, config, ret)
    yield _survivors(market, sessions)


def _pairs(
    x: Float[np.ndarray, "T N"], known: Bool[np.ndarray, "T N"], lag: int
) -> Float[np.ndarray, "N N"]:
    """Correlation of each symbol's returns with each other's ``lag`` sessions later."""
    a, b = (x[: len(x) - lag], x[lag:])
    in_a, in_b = (k.astype(np.float32) for k in (known[: len(x) - lag], known[lag:]))
    norm = np.sqrt(((a * a).T @ in_b) * (in_a.T @ (b * b)))
    enough = in_a.T @ in_b >= _BARS
    return np.where(enough & (norm > 0), (a.T @ b) / np.where(norm > 0, norm, 1), 0)


def _copies(market: Market, x: np.ndarray, known: np.ndarray) -> Finding:
    """Symbols whose returns are another's, of the same session or of the one after."""
    now, after = _pairs(x, known, 0), _pairs(x, known, 1)
    np.fill_diagonal(after, 0)
    names = market.symbols
    same = [
        (now[i, j], f"{names[i]} and {names[j]}") for i, j in np.argwhere(np.triu(now, 1) > _COPY)
    ]
    late = [
        (after[i, j], f"{names[i]} and, a session later, {names[j]}")
        for i, j in np.argwhere(after > _FOLLOWS)
    ]
    pairs = sorted(same + late, reverse=True)
    sure = late or any(r > _SAME for r, _ in same)
    return judged(
        "near-copies",
        STOP if sure else WATCH if pairs else None,
        listed(
            f"{len(pairs)} pairs of symbols have the same returns (correlation above {_COPY}, or "
            f"above {_FOLLOWS} a session later)",
            (f"{what} ({r:.5f})" for r, what in pairs),
        ),
        "keep one of each pair: it is one security twice, and one can be in training what the "
        "other is in a test",
    )


def _shifted(market: Market, x: np.ndarray, known: np.ndarray) -> Finding:
    """Symbols whose bars know the session after: their dates are early, or their close is late."""
    leading: list[str] = []
    # Of the same exchange: what closes first is not early.
    together = (market.exchange[:, None] == np.unique(market.exchange)).astype(np.float32)
    others = (known @ together) @ together.T - known
    mean = ((x @ together) @ together.T - x) / np.maximum(others, 1)
    both = known[:-1] & (others[1:] > 0)
    count = both.sum(0)
    a, b = np.where(both, x[:-1], 0), np.where(both, mean[1:], 0)
    norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    r = (a * b).sum(0) / np.where(norm > 0, norm, 1)
    error = _ERRORS / np.sqrt(np.maximum(count, 4) - 3)  # of Fisher's z
    least = np.tanh(np.arctanh(np.clip(r, -0.99999, 0.99999)) - error)
    for i in np.argsort(-r):
        if count[i] >= _BARS and least[i] > _LEADS:
            leading.append(f"{market.symbols[i]} ({r[i]:.2f})")
    return judged(
        "shifted calendar",
        STOP if leading else None,
        listed(
            f"{len(leading)} symbols' returns correlate with the others' of the session after",
            leading,
        ),
        "their dates are a session early, or their exchange closes after the others: give each its "
        "own dates, or name it in the column exchange of the bars",
    )


def _repeated(market: Market, config: Config, ret: np.ndarray) -> Finding:
    """Spells of bars that occur again at another time: rows of training among those scored."""
    digits = np.round(np.nan_to_num(ret) * _DIGITS).astype(np.int64)
    _, value, count = np.unique(digits, return_inverse=True, return_counts=True)
    rare = np.log(len(ret) / count)[value]
    code, surprise = np.zeros(len(ret), np.uint64), np.zeros(len(ret))
    for j in range(_SPELL):
        code = code * np.uint64(0x9E3779B97F4A7C15) + np.roll(digits, j).astype(np.uint64)
        surprise += np.roll(rare, j)
    rows = np.arange(len(ret))
    # Returns of few values, or none, repeat by chance: among all pairs of spells, less than once
    # in a thousand sets.
    sure = surprise > 2 * np.log(len(ret)) + np.log(1000)
    rows = rows[(rows - market.first_row >= _SPELL) & sure]
    frame = pd.DataFrame({"code": code[rows], "row": rows, "session": market.session[rows]})
    frame = frame[frame.duplicated("code", keep=False)].sort_values(["code", "row"])
    frame["other"] = frame.groupby("code")["row"].shift(-1)
    frame = frame.dropna()
    other = frame["other"].to_numpy(int)
    frame = frame[frame["session"].to_numpy() != market.session[other]]
    one, other = frame["row"].to_numpy(int), frame["other"].to_numpy(int)
    end = samples.period(config.data, config.train.split)[1]
    crossing = (market.session[one] <= end) != (market.session[other] <= end)
    order = np.argsort(~crossing, kind="stable")
    named = (
        f"{market.symbols[market.symbol[a]]} to {market.session[a]} and "
        f"{market.symbols[market.symbol[b]]} to {market.session[b]}"
        for a, b in zip(one[order], other[order], strict=True)
    )
    return judged(
        "repeated spells",
        STOP if crossing.any() else WATCH if len(one) else None,
        listed(
            f"{len(one)} spells of {_SPELL} bars have the returns of another time, "
            f"{crossing.sum()} of them in training and after it",
            named,
        ),
        "rows were appended twice or dated anew; keep the first of each",
    )


def _survivors(market: Market, sessions: np.ndarray) -> Finding:
    first = np.unique(market.first_row)
    last = market.last_row[first]
    if market.member is not None:  # who left the universe has ended
        rows = np.where(market.member, np.arange(len(market.member)), -1)
        last = np.maximum(np.maximum.reduceat(rows, first), first)
    span = (market.session[last] - market.session[first]).astype("timedelta64[D]").astype(float)
    years, ended = span.sum() / 365.25, (market.session[last] < sessions[-1]).sum()
    long = (sessions[-1] - sessions[0]).astype("timedelta64[D]").astype(float) > 365.25 * _YEARS
    suspect = not ended and long and years > _SURVIVORS and len(first) >= _NAMES
    return judged(
        "survivors only",
        WATCH if suspect else None,
        f"{ended} of {len(first)} symbols end before the last session, in {years:,.0f} years of "
        "symbols",
        "in a market some names end: who was chosen because it lived on makes returns look better "
        "and safer than they were. Add the dead ones, by dated membership",
    )
