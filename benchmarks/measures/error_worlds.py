"""Simulated worlds without skill: days with a common factor, clustered volatility, heavy tails.

Two forecasters whose own errors last are equally good; what they earn and lose on each day is what
intervals and verdicts are made of.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import lfilter

_AT_ONCE = 3_000_000  # values of one array
_HEAVY = 20  # stocks up to which each has heavy tails of its own; the sum of more has none
_Z90 = 1.645


@dataclasses.dataclass(frozen=True)
class World:
    """Settings of simulated worlds.

    Attributes:
      days: scored.
      stocks: of each day.
      horizon: sessions of a label; labels of neighbouring days overlap.
      persistence: autocorrelation of a forecaster's own errors from day to day.
      tail: degrees of freedom of Student's t.
      factor: share of the variance that a day's stocks share, of returns and of own errors.
      clustering: autocorrelation of the log of the volatility.
    """

    days: int
    stocks: int = 20
    horizon: int = 1
    persistence: float = 0.0
    tail: float = 4.0
    factor: float = 0.4
    clustering: float = 0.95


@dataclasses.dataclass(frozen=True)
class Panel:
    """Some worlds of one kind.

    Attributes:
      returns: [worlds, stocks, days + horizon - 1], of the session after each day.
      volatility: of the session, the same for all stocks.
      up: of the two forecasters, probabilities.
      error: of the two forecasters, own errors of the log volatility.
    """

    world: World
    returns: Float[np.ndarray, "worlds stocks sessions"]
    volatility: Float[np.ndarray, "worlds one sessions"]
    up: tuple[np.ndarray, np.ndarray]
    error: tuple[np.ndarray, np.ndarray]

    @property
    def miss(self) -> Float[np.ndarray, "worlds stocks days"]:
        """The log of the realised volatility less that of the first session's."""
        h = self.world.horizon
        realised = 0.5 * np.log(_over(self.returns**2, h) / h + 1e-4)
        return realised - np.log(self.volatility[..., : self.world.days])


def panels(world: World, count: int, seed: int) -> Iterator[Panel]:
    """``count`` worlds, so many at once as fit into memory."""
    rng = np.random.default_rng([seed, world.days, world.stocks, world.horizon])
    at_once = max(_AT_ONCE // (world.stocks * world.days), 1)
    for start in range(0, count, at_once):
        size = own_size(np.arange(start, min(start + at_once, count)))
        yield _panel(world, size.astype(np.float32)[:, None, None], rng)


def own_size(number: Int[np.ndarray, "worlds"]) -> Float[np.ndarray, "worlds"]:
    """How large own errors are in each world: in half of them small, in half large."""
    return np.where(number % 2, 1.5, 0.5)


def _panel(world: World, size: np.ndarray, rng: np.random.Generator) -> Panel:
    count = len(size)
    sessions = world.days + world.horizon - 1
    one, every = (count, 1, sessions), (count, world.stocks, sessions)
    volatility = np.exp(0.4 * autoregression(rng, world.clustering, one))
    factor, own = np.sqrt(world.factor), np.sqrt(1 - world.factor)
    noise = _heavy(rng, world.tail, every) if world.stocks <= _HEAVY else _normal(rng, every)
    returns = volatility * (factor * _heavy(rng, world.tail, one) + own * noise)

    def errors() -> np.ndarray:
        shape = count, world.stocks, world.days
        common = autoregression(rng, world.persistence, (count, 1, world.days))
        return size * (factor * common + own * autoregression(rng, world.persistence, shape))

    up = tuple(1 / (1 + np.exp(-0.4 * errors())) for _ in "ab")
    error = tuple(0.5 * errors() for _ in "ab")
    return Panel(world, returns, volatility, up, error)  # type: ignore[arg-type]


def autoregression(
    rng: np.random.Generator, persistence: float, shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    """Stationary first-order autoregressions along the last axis, of unit variance."""
    noise = _normal(rng, shape)
    noise[..., 1:] *= np.sqrt(1 - persistence**2)
    return lfilter([1.0], [1.0, -persistence], noise, axis=-1).astype(np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


def _heavy(rng: np.random.Generator, tail: float, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.standard_t(tail, shape) / np.sqrt(tail / (tail - 2))).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Statement:
    """What is said of each world.

    Attributes:
      daily: the metric, or the difference of a metric, of each day.
      lasting: as ``metrics.lasting`` of it.
      truth: of its mean; None: the mean over many worlds with own errors of one size.
      level: of the interval.
    """

    daily: Float[np.ndarray, "worlds days"]
    lasting: bool
    truth: float | None = None
    level: float = 0.95


def statements(panel: Panel) -> dict[str, Statement]:
    """What is said of additive metrics, by name; levels show why nothing is said of them."""
    return _of_direction(panel) | _of_volatility(panel)


def _of_direction(panel: Panel) -> dict[str, Statement]:
    h = panel.world.horizon
    ahead = _over(panel.returns, h)
    rose = ahead > 0
    hit = [((p > 0.5) == rose).mean(1) for p in panel.up]
    loss = [-np.log(np.where(rose, p, 1 - p)).mean(1) for p in panel.up]
    first = panel.up[0]
    gap = (np.maximum(first, 1 - first) - ((first > 0.5) == rose)).mean(1)
    traded = (np.where(first > 0.5, 1, -1) * panel.returns[..., : panel.world.days]).mean(1)
    made = {
        "accuracy": Statement(hit[0], False, 0.5),
        "annual return": Statement(traded, False, 0.0),
        "log loss, level": Statement(loss[0], True),
        "accuracy, paired": Statement(hit[0] - hit[1], False, 0.0),
        "log loss, paired": Statement(loss[0] - loss[1], True, 0.0),
        "anomaly: confidence": Statement(gap, True, None, 0.99),
    }
    if panel.world.stocks >= 5:
        made["IC"] = Statement(_correlation(first, ahead), False, 0.0)
    return made


def _of_volatility(panel: Panel) -> dict[str, Statement]:
    h, days = panel.world.horizon, panel.world.days
    known = np.log(panel.volatility[..., :days])
    miss = panel.miss - panel.miss.mean()  # both forecasters are right on average
    error = [miss - e for e in panel.error]
    squared = [(e**2).mean(1) for e in error]
    ahead = _over(panel.returns, h)
    edges = [_Z90 * np.sqrt(h) * np.exp(known + 0.6 * e) for e in panel.error]
    inside = (np.abs(ahead) < edges[0]).mean(1)
    pinball = [_pinball(ahead, edge).mean(1) for edge in edges]
    return {
        "MSE, level": Statement(squared[0], True),
        "MSE, paired": Statement(squared[0] - squared[1], True, 0.0),
        "coverage, level": Statement(inside, True),
        "pinball, paired": Statement(pinball[0] - pinball[1], True, 0.0),
        "anomaly: coverage": Statement(inside, True, None, 0.99),
        "anomaly: volatility": Statement(error[0].mean(1), True, 0.0, 0.99),
    }


def _over(daily: np.ndarray, horizon: int) -> np.ndarray:
    """Sums over ``horizon`` sessions."""
    if horizon == 1:
        return daily
    total = np.cumsum(daily, -1)
    total[..., horizon:] -= total[..., :-horizon].copy()
    return total[..., horizon - 1 :]


def _pinball(y: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """The mean pinball loss of quantiles at 5 % and 95 %, at ∓ ``edge``."""
    return (0.05 * (y + edge) - np.minimum(y + edge, 0) + np.maximum(y - edge, 0) * 0.95
            + 0.05 * np.maximum(edge - y, 0)) / 2  # fmt: skip


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
