"""Calibrated uncertainty of forecasts, fitted only to labels that had matured by then."""

import abc
import collections
import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from fusionjax.errors import InputError

_HOTTEST = 20.0  # temperatures are searched between its inverse and it
_LABELS = 250  # fewer determine no temperature
WINDOW = 1000  # sessions whose labels calibrate
_ROUNDING = 1e-9  # (n + 1) · level may be a whole number plus rounding


def temperature(logit: Float[np.ndarray, "S"], label: Int[np.ndarray, "S"]) -> float:
    """The T in [1/20, 20] at which sigmoid(logit / T) has the least log loss (Guo et al., 2017).

    Args:
      logit: log odds of class 1.
      label: 0 or 1.

    Raises:
      InputError: no label.
    """
    if not len(label):
        raise InputError("temperature: 0 labels given; fit it on at least one, better 250")
    from scipy import optimize, special

    log_odds_against = np.where(label == 1, -logit, logit)
    fit = optimize.minimize_scalar(
        lambda log_t: -special.log_expit(-log_odds_against * math.exp(-log_t)).mean(),
        bounds=(-math.log(_HOTTEST), math.log(_HOTTEST)),
        method="bounded",
    )
    return math.exp(fit.x)


def log_odds(up: Any) -> Any:
    """Of probabilities, kept off 0 and 1; NumPy or JAX arrays."""
    xp = up.__array_namespace__()
    p = xp.clip(up, 1e-6, 1 - 1e-6)
    return xp.log(p / (1 - p))


def tempered(up: Any, temperature: Any) -> Any:
    """Probabilities by their temperatures; where those are NaN, by 1. NumPy or JAX arrays [S]."""
    xp = up.__array_namespace__()
    divisor = xp.where(xp.isnan(temperature), xp.ones_like(temperature), temperature)
    return 1 / (1 + xp.exp(-log_odds(up) / divisor))


class Sequential(abc.ABC):
    """A calibration that moves from session to session by the labels that mature at its close.

    Of a sample ``columns`` numbers are kept once its label is known, for ``window`` sessions: what
    is stored does not grow with the history.

    Attributes:
      columns: numbers that are kept of a sample.
    """

    columns: ClassVar[int]

    def __init__(self, window: int) -> None:
        self._window = window
        self._pool: collections.deque[tuple[int, np.ndarray]] = collections.deque()

    def learn(
        self, session: int, kept: Float[np.ndarray, "K C"], issued: Float[np.ndarray, "K"]
    ) -> None:
        """Learns from labels that mature at the close of a session, later than all before it.

        Args:
          session: an ordinal.
          kept: what is kept of the samples.
          issued: what ``issue`` gave at the session of each.
        """
        self._pool.append((session, kept))

    @abc.abstractmethod
    def issue(self, session: int) -> float:
        """What corrects the session's samples, by the labels known at its close; NaN: nothing."""

    def state(self) -> dict[str, np.ndarray]:
        """All that later sessions depend on, as arrays."""
        sizes = [len(kept) for _, kept in self._pool]
        return {
            "session": np.repeat(np.array([s for s, _ in self._pool], np.int64), sizes),
            "kept": np.concatenate([np.empty((0, self.columns)), *(k for _, k in self._pool)]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from ``state``."""
        sessions, first = np.unique(state["session"], return_index=True)
        parts = np.split(state["kept"], first[1:]) if len(sessions) else []
        self._pool = collections.deque(zip(sessions.tolist(), parts, strict=True))

    def _known(self, last: int) -> Float[np.ndarray, "P C"]:
        """What is kept of the window's labels up to a session; what is older is dropped."""
        while self._pool and self._pool[0][0] <= last - self._window:
            self._pool.popleft()
        parts = [kept for session, kept in self._pool if session <= last]
        return np.concatenate([np.empty((0, self.columns)), *parts])


def replay(
    process: Sequential,
    kept: Float[np.ndarray, "S C"],
    start: Int[np.ndarray, "S"],
    end: Int[np.ndarray, "S"],
) -> Float[np.ndarray, "S"]:
    """What a fresh calibration issues to each sample, session by session.

    Args:
      process: nothing was learned yet.
      kept: of each sample; NaN where its label does not count.
      start: session at whose close the forecast is made, an ordinal.
      end: session at whose close the label is known, after ``start``.
    """
    matured = _by_end(~np.isnan(kept).any(1), end)
    by_start = np.argsort(start, kind="stable")
    now = np.unique(np.concatenate([start, end[matured]]))
    old, new = np.searchsorted(end[matured], [now - 1, now], side="right")
    first, last = np.searchsorted(start[by_start], [now - 1, now], side="right")
    issued = np.full(len(start), np.nan)
    for t, session in enumerate(now.tolist()):
        if old[t] < new[t]:
            at = matured[old[t] : new[t]]
            process.learn(session, kept[at], issued[at])
        if first[t] < last[t]:
            issued[by_start[first[t] : last[t]]] = process.issue(session)
    return issued


class Temperature(Sequential):
    """Prequential temperature scaling; of a sample log odds and label are kept.

    Each block of ``every`` sessions, counted from ordinal 0, has one temperature, of the labels
    that matured in the ``window`` sessions before it; NaN while there are fewer than 250.
    """

    columns = 2

    def __init__(self, every: int = 20, window: int = WINDOW) -> None:
        super().__init__(window)
        self._every, self._block, self._value = every, -1, math.nan

    def issue(self, session: int) -> float:
        first = session // self._every * self._every
        if first != self._block:
            known = self._known(first - 1)
            self._block, self._value = first, math.nan
            if len(known) >= _LABELS:
                self._value = temperature(known[:, 0], known[:, 1].astype(int))
        return self._value

    def state(self) -> dict[str, np.ndarray]:
        block = {"block": np.array(self._block), "temperature": np.array(self._value)}
        return super().state() | block

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        super().restore(state)
        self._block, self._value = int(state["block"]), float(state["temperature"])


def prequential_temperature(
    logit: Float[np.ndarray, "S"],
    label: Int[np.ndarray, "S"],
    known: Bool[np.ndarray, "S"],
    start: Int[np.ndarray, "S"],
    end: Int[np.ndarray, "S"],
    every: int = 20,
) -> Float[np.ndarray, "S"]:
    """The temperature of each sample, from the labels that matured before its block of sessions.

    Args:
      logit: log odds of class 1.
      label: 0 or 1.
      known: whether the label counts.
      start: see ``replay``.
      end: see ``replay``.
      every: see ``Temperature``.

    Returns:
      T; 1 while fewer than 250 labels have matured.
    """
    kept = np.stack([logit, np.where(known, label, np.nan)], 1)
    issued = replay(Temperature(every), kept, start, end)
    return np.where(np.isnan(issued), 1.0, issued)


def split_conformal(score: Float[np.ndarray, "S"], level: float) -> float:
    """The conformal quantile: a new exchangeable score is below it with probability >= ``level``.

    The ⌈(S + 1) level⌉-th smallest score (Vovk et al., 2005; Lei et al., 2018, algorithm 2);
    infinite if there are fewer scores.

    Args:
      score: nonconformity of past samples.
      level: in (0, 1).

    Raises:
      InputError: a level outside (0, 1).
    """
    _require_share(level)
    rank = _rank(len(score), level)
    return float(np.partition(score, rank - 1)[rank - 1]) if rank <= len(score) else math.inf


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Raw intervals of S samples and their outcomes, to be calibrated.

    Attributes:
      low: of the intervals.
      high: of the intervals; equal to ``low`` for a point forecast.
      y: outcomes; NaN where unknown.
      scale: > 0 and known at ``start``, such as trailing volatility; in any unit.
    """

    low: Float[np.ndarray, "S"]
    high: Float[np.ndarray, "S"]
    y: Float[np.ndarray, "S"]
    scale: Float[np.ndarray, "S"]

    def __post_init__(self) -> None:
        scale = self.scale
        if not (scale > 0).all():
            worst = int(np.flatnonzero(~(scale > 0))[0])
            raise InputError(
                f"adaptive_conformal: scale is {scale[worst]} at sample {worst}, expected above 0; "
                "put a floor under the volatility"
            )

    @property
    def nonconformity(self) -> Float[np.ndarray, "S"]:
        """``max(low - y, y - high) / scale`` (conformalised quantile regression, Romano et al.,
        2019, eq. 6, relative to a volatility); NaN where the outcome is unknown."""
        return np.maximum(self.low - self.y, self.y - self.high) / self.scale


def widened(low: Any, high: Any, margin: Any) -> tuple[Any, Any]:
    """Low and high with a margin on either side; as they are where that is NaN. An interval
    narrowed beyond its middle becomes its middle. NumPy or JAX arrays [S]."""
    xp, middle, unchanged = low.__array_namespace__(), (low + high) / 2, margin != margin
    return (
        xp.where(unchanged, low, xp.minimum(low - margin, middle)),
        xp.where(unchanged, high, xp.maximum(high + margin, middle)),
    )


class AdaptiveConformal(Sequential):
    """The margin of intervals in units of their scale, moved toward their nominal coverage; of a
    sample its nonconformity is kept (``Intervals.nonconformity``).

    At the close of each session, the labels that mature then first correct the target miss rate,
    ``α ← α + rate (1 - level - missed)`` (adaptive conformal inference, Gibbs & Candès, 2021,
    eq. 2), where ``missed`` is the share of them outside their issued intervals. Then the session's
    samples are issued the (1 - α) conformal quantile of the scores of the last ``window`` sessions,
    the current one included.

    α stays in [0, 1], and the quantile is at most the largest score: no interval is infinite, and
    the guarantee of Gibbs & Candès ends where α stays 0. While there are too few scores for
    ``level``, nothing (NaN) is issued and α is not corrected by it. ``shock.study`` measures the
    defaults.

    Raises:
      InputError: a level outside (0, 1).
    """

    columns = 1

    def __init__(self, level: float = 0.9, rate: float = 0.02, window: int = WINDOW) -> None:
        _require_share(level)
        super().__init__(window)
        self._level, self._rate, self._alpha = level, rate, 1 - level

    def learn(
        self, session: int, kept: Float[np.ndarray, "K C"], issued: Float[np.ndarray, "K"]
    ) -> None:
        super().learn(session, kept, issued)
        calibrated = ~np.isnan(issued)
        if calibrated.any():
            missed = (kept[:, 0] > issued)[calibrated].mean()
            alpha = self._alpha + self._rate * (1 - self._level - missed)
            self._alpha = min(max(alpha, 0.0), 1.0)

    def issue(self, session: int) -> float:
        scores = self._known(session)[:, 0]
        if _rank(len(scores), self._level) > len(scores):
            return math.nan
        rank = min(_rank(len(scores), 1 - self._alpha), len(scores))
        return float(np.partition(scores, rank - 1)[rank - 1])

    def state(self) -> dict[str, np.ndarray]:
        return super().state() | {"alpha": np.array(self._alpha)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        super().restore(state)
        self._alpha = float(state["alpha"])


def adaptive_conformal(
    raw: Intervals,
    start: Int[np.ndarray, "S"],
    end: Int[np.ndarray, "S"],
    level: float = 0.9,
    rate: float = 0.02,
    window: int = WINDOW,
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
    """Intervals widened or narrowed, session by session, as ``AdaptiveConformal`` says.

    Args:
      raw: intervals, outcomes and scales.
      start: see ``replay``.
      end: see ``replay``.
      level: share to be covered, in (0, 1).
      rate: of the correction of the target miss rate.
      window: sessions whose matured scores are used, the current one included.

    Returns:
      The calibrated low and high.

    Raises:
      InputError: a level outside (0, 1), or a scale that is not above 0.
    """
    process = AdaptiveConformal(level, rate, window)
    margin = replay(process, raw.nonconformity[:, None], start, end) * raw.scale
    return widened(raw.low, raw.high, margin)


def risk_coverage(
    confidence: Float[np.ndarray, "S"], loss: Float[np.ndarray, "S"]
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "S"]]:
    """The mean loss of the most confident 1, 2, … S samples (El-Yaniv & Wiener, 2010).

    Samples of equal confidence each count with their mean loss, whatever their order.

    Returns:
      Coverage, the share of samples taken, and risk.
    """
    _, tie, count = np.unique(-confidence, return_inverse=True, return_counts=True)
    taken = np.arange(1, len(loss) + 1)
    return taken / len(loss), np.repeat(np.bincount(tie, loss) / count, count).cumsum() / taken


def aurc(confidence: Float[np.ndarray, "S"], loss: Float[np.ndarray, "S"]) -> float:
    """The area under the risk-coverage curve: its mean risk (Geifman & El-Yaniv, 2017)."""
    return float(risk_coverage(confidence, loss)[1].mean())


def _by_end(mask: Bool[np.ndarray, "S"], end: Int[np.ndarray, "S"]) -> Int[np.ndarray, "K"]:
    """Positions where the mask is true, in the order in which their labels mature."""
    chosen = np.flatnonzero(mask)
    return chosen[np.argsort(end[chosen], kind="stable")]


def _rank(count: int, level: float) -> int:
    """Rank (from 1, ascending) of the conformal quantile among ``count`` scores."""
    return max(math.ceil((count + 1) * level - _ROUNDING), 1)


def _require_share(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give the share to be covered, such as 0.9")
