"""What texts say of a bar, as numbers that can be compared with what comes after."""

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market, Texts

_LAST = 300  # seconds before a decision: what comes then would often be too late a moment later
_FOLD = 30  # sessions that are forecast by a regression on the other half of them
_BARS = 20_000  # of which regressions are made; the newest
_RIDGE = 0.3  # of the number of bars


def text_channels(market: Market, config: Config) -> tuple[list[str], Float[np.ndarray, "R C"]]:
    """Of each bar with texts: their scores, their number, whether some came in the last minutes,
    and what their vectors say of what follows.

    The last are ridge regressions of the next return and of its size on the mean vector, each
    half of the sessions forecast by the other.
    """
    texts = market.texts
    assert texts is not None
    rows = len(market.session)
    count = np.bincount(texts.bar, minlength=rows).astype(float)
    wait = market.decision_time[texts.bar] - texts.available_time
    some = count > 0
    late = np.bincount(texts.bar, (wait >= 0) & (wait < _LAST), rows)
    late = np.where(some, late > 0, np.nan)
    score = np.full((rows, texts.lexicon.shape[1]), np.nan)
    for i in range(score.shape[1]):
        total = np.bincount(texts.bar, texts.lexicon[:, i], rows)
        score[some, i] = total[some] / count[some]
    names = [f"score {i + 1} of the texts" for i in range(score.shape[1])]
    names += ["number of texts", "texts of the last five minutes"]
    names += ["what texts say of the return", "what texts say of its size"]
    read = _read(market, config, texts, np.flatnonzero(some))
    return names, np.column_stack([score, count, late, read])


def _read(
    market: Market, config: Config, texts: Texts, bars: Int64[np.ndarray, "K"]
) -> Float[np.ndarray, "R 2"]:
    """Forecasts of the next return and of its size from the mean vector of a bar's texts."""
    values = np.full((len(market.session), 2), np.nan)
    last = samples.period(config.data, config.train.split)[1]
    ratio, known = samples.growth(market, bars, 1, last)
    bars, ratio = bars[known][-_BARS:], ratio[known][-_BARS:]
    if len(bars) < 4 * _FOLD:
        return values
    inside = np.isin(texts.bar, bars)
    at = np.searchsorted(bars, texts.bar[inside])
    order = np.argsort(at, kind="stable")
    starts = np.flatnonzero(np.diff(at[order], prepend=-1))
    vector = texts.embedding[inside][order].astype(np.float32)
    x = np.add.reduceat(vector, starts) / np.bincount(at)[:, None]
    x = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    move = np.log(ratio)
    y = np.stack([move, np.abs(move)], 1).argsort(0).argsort(0) / len(move) - 0.5
    half = np.unique(market.session[bars], return_inverse=True)[1] // _FOLD % 2
    for part in (0, 1):
        a, target = x[half == part], y[half == part].astype(np.float32)
        penalty = _RIDGE * max(len(a), 1) * np.eye(x.shape[1], dtype=np.float32)
        weight = np.linalg.solve(a.T @ a + penalty, a.T @ target)
        values[bars[half != part]] = x[half != part] @ weight
    return values
