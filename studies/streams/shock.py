"""Do intervals still cover when volatility jumps? Simulated bars and real ones, a table of each."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from arch.univariate import GARCH, StudentsT, ZeroMean
from jaxtyping import Bool, Float, Int
from scipy import stats

from fusionjax.config import resolve
from fusionjax.configs import demo
from fusionjax.data import samples
from fusionjax.data.sources import sp500
from fusionjax.data.store import Market
from fusionjax.heads.base import Scored
from fusionjax.heads.returns import Returns
from fusionjax.scores import calibration

_WARM_UP, _CALIBRATION, _TEST = 100, 1000, 3000  # days; the first only start the volatility
BEGIN = _WARM_UP + _CALIBRATION  # the first test day
_SHOCKS, _LENGTH = (750, 1875), 250  # test days, days
_LEVEL = 0.9
_Z = stats.norm.ppf((1 + _LEVEL) / 2)
_STEPS = 26  # quarters of an hour, of which a day's range is that of
_AFTER = (5, 20)  # days after a jump
_REAL = 15  # jumps of the index
_APART = 40  # days between them


@dataclasses.dataclass(frozen=True)
class World:
    """How returns are simulated.

    Attributes:
      name: in tables.
      degrees: of freedom of the innovations.
      factor: times the volatility, for 250 days from test days 750 and 1875 on.
      ramp: days in which it gets there.
      stochastic: the log variance is an AR(1) of its own instead of a GARCH.
    """

    name: str
    degrees: float = 5.0
    factor: float = 2.6
    ramp: int = 1
    stochastic: bool = False


WORLDS = (
    World("GARCH-t5, jumps of 2.6"),
    World("the same, calm", factor=1.0),
    World("GARCH-t4, jumps of 1.8", degrees=4.0, factor=1.8),
    World("GARCH-t8, of 4 in ten days", degrees=8.0, factor=4.0, ramp=10),
    World("stochastic volatility, jumps of 2", factor=2.0, stochastic=True),
    World("the same, calm", factor=1.0, stochastic=True),
)


@dataclasses.dataclass(frozen=True)
class ScenarioScores:
    """What a method's intervals did on the test days, one value a seed."""

    method: str
    coverage: Float[np.ndarray, "R"]
    worst: Float[np.ndarray, "R"]  # coverage of the worst 250 consecutive days
    first: dict[int, Float[np.ndarray, "R"]]  # coverage of the first days after a jump
    width: Float[np.ndarray, "R"]  # mean, in % of price
    score: Float[np.ndarray, "R"]  # interval score (Gneiting & Raftery, 2007), in %: less is better

    def __str__(self) -> str:
        values = (self.coverage, self.worst, *self.first.values(), self.width, self.score)
        spread = (f" ± {v.std():.3f}" if len(v) > 1 else "" for v in values)
        return self.method + "".join(
            f" | {v.mean():.3f}{s}" for v, s in zip(values, spread, strict=True)
        )


def simulate(seed: int, world: World = WORLDS[0]) -> Market:
    """Daily bars of one stock: GARCH(1,1) with Student-t innovations and two volatility shocks.

    Of returns in %: σ² = .02 + .05 r² + .93 σ² before shocks, or ln σ² an AR(1) of .97 with a
    standard deviation of .82. After 100 days of warm-up and 1000 of calibration come 3000 test
    days; the shocks come without notice. So hard that static split conformal intervals, on seeds 0
    to 19 of the first world, cover about .842 of the test days and .508 of the worst 250. A day's
    range is that of a Brownian bridge to its close with the day's volatility; it opens where the
    last closed.
    """
    days = BEGIN + _TEST
    rng = np.random.default_rng(seed)
    if world.stochastic:
        log_variance = np.zeros(days)
        for day in range(1, days):
            log_variance[day] = 0.97 * log_variance[day - 1] + 0.2 * rng.normal()
        volatility = np.exp(log_variance / 2)
        noise = rng.standard_t(world.degrees, days) / np.sqrt(world.degrees / (world.degrees - 2))
        calm = volatility * noise
    else:
        model = ZeroMean(volatility=GARCH(), distribution=StudentsT(seed=rng))
        simulated = model.simulate((0.02, 0.05, 0.93, world.degrees), days)
        calm, volatility = (simulated[k].to_numpy() for k in ("data", "volatility"))
    since = np.arange(days)[:, None] - (BEGIN + np.array(_SHOCKS))
    reached = np.clip((since + 1) / world.ramp, 0, 1) * (since < _LENGTH)
    times = 1 + (world.factor - 1) * reached.max(1)
    return _market(calm * times / 100, volatility * times / 100, rng)


def _market(
    returns: Float[np.ndarray, "T"], volatility: Float[np.ndarray, "T"], rng: np.random.Generator
) -> Market:
    """Bars whose closes move by the returns, with ranges of their volatility."""
    time = np.arange(1, _STEPS + 1) / _STEPS
    path = rng.normal(size=(len(returns), _STEPS)).cumsum(1) / np.sqrt(_STEPS)
    path = (path - time * path[:, -1:]) * volatility[:, None] + time * returns[:, None]
    close = returns.cumsum()
    opened = close - returns
    high, low = opened + np.maximum(path.max(1), 0), opened + np.minimum(path.min(1), 0)
    prices = np.exp(np.stack([opened, high, low, close], 1))
    session = np.datetime64("2000-01-01") + np.arange(len(returns))
    return _of_one(session, prices, prices[:, 3])


def _of_one(session: np.ndarray, prices: np.ndarray, adjusted: np.ndarray) -> Market:
    """A market of one stock."""
    count = len(session)
    return Market(
        "",
        ("ONE",),
        (),
        np.zeros(count, np.int32),
        session.astype("datetime64[D]"),
        session.astype("datetime64[s]").astype(np.int64),
        np.column_stack([prices, np.zeros(count)]).astype(np.float32),
        adjusted.astype(float),
        np.ones(count, bool),
        np.zeros((count, 0), np.float32),
        np.zeros(count, np.int64),
        None,
    )


def index() -> Market:
    """The S&P 500, 1999 to 2018, as ``arch`` brings it along."""
    bars = sp500.read(Path(), "XNYS").bars
    prices = bars[["open", "high", "low", "close"]].to_numpy(float)
    day = bars["date"].to_numpy().astype("datetime64[D]")
    return _of_one(day, prices, bars["adj_close"].to_numpy(float))


def study(seeds: Iterable[int], world: World = WORLDS[0]) -> tuple[ScenarioScores, ...]:
    """Coverage and width of kinds of 90 % intervals for the next day's return.

    Split conformal intervals learn from the calibration days; adaptive ones go on learning, with
    the defaults of ``calibration.adaptive_conformal``. Relative means to the volatility of the last
    20 days. What is used (``Returns.calibrated``) also looks at the ranges of the last days. Rate
    and window were chosen on seeds 100 to 119 of the first world; the weight of a day beside the
    next (.5, .8, .9) and the power of the ratio (.5, .75, 1) on those seeds of all worlds: of those
    that are nowhere wider than without, the one that covers most of the twenty days after a jump.
    Report on other seeds.
    """
    markets = [simulate(seed, world) for seed in seeds]
    jumps = BEGIN + np.array(_SHOCKS)
    each = [_results(market, BEGIN, jumps) for market in markets]
    return tuple(_row(method, [e[method] for e in each]) for method in each[0])


def real() -> tuple[ScenarioScores, ...]:
    """The same of the index: its jumps are the fifteen days, at least 40 apart, on which the root
    mean square of five days rose most above that of the 60 before."""
    market = index()
    square = np.diff(np.log(market.adj_close), prepend=np.log(market.adj_close[0])) ** 2
    total = np.concatenate([[0.0], square.cumsum()])
    day = np.arange(300, len(square) - max(_AFTER))
    ratio = (total[day + 5] - total[day]) / (total[day] - total[day - 60])
    jumps: list[int] = []
    for at in day[np.argsort(-ratio)].tolist():
        if len(jumps) < _REAL and all(abs(at - j) > _APART for j in jumps):
            jumps.append(at)
    results = _results(market, 300, np.array(jumps))
    return tuple(_row(method, [each]) for method, each in results.items())


@dataclasses.dataclass(frozen=True)
class _Result:
    hit: Bool[np.ndarray, "test"]
    first: dict[int, float]
    width: float
    score: float


def _results(market: Market, begin: int, jumps: Int[np.ndarray, "J"]) -> dict[str, _Result]:
    """By method; ``begin`` is the first test day."""
    move = np.diff(np.log(market.adj_close))[_WARM_UP - 1 :]  # of the days from _WARM_UP on

    def result(half: Float[np.ndarray, "T"]) -> _Result:
        hit, test = np.abs(move) <= half, slice(begin - _WARM_UP, None)
        after = {n: float(np.mean([hit[j - _WARM_UP :][:n] for j in jumps])) for n in _AFTER}
        beyond = np.maximum(np.abs(move) - half, 0)
        score = 2 * half + 2 / (1 - _LEVEL) * beyond
        return _Result(hit[test], after, 200 * half[test].mean(), 100 * score[test].mean())

    return {name: result(half) for name, half in _half_widths(market, begin).items()}


def _half_widths(market: Market, begin: int) -> dict[str, Float[np.ndarray, "T"]]:
    """Half the intervals' widths on the days from the warm-up's end on, by method."""
    rows = np.arange(_WARM_UP, len(market.session)) - 1  # a forecast is made the day before
    label, known = Returns().labels(market, rows, 1, market.session[-1])
    config = resolve(demo.get_config())
    scored = Scored(market, config, rows, market.session[rows + 1], 1, label, known)
    usual = np.exp(samples.realised_log_volatility(market, rows, -20))
    plain = np.full(len(rows), 0.01)

    def static(scale: np.ndarray) -> np.ndarray:
        score = (np.abs(scored.label) / scale)[: begin - _WARM_UP]
        return calibration.split_conformal(score, _LEVEL) * scale

    def adaptive(scale: np.ndarray, rate: float = 0.02) -> np.ndarray:
        y, half = scored.observed, _Z * scale
        raw = calibration.Intervals(-half, half, y, scale)
        return calibration.adaptive_conformal(raw, scored.start, scored.end, _LEVEL, rate)[1]

    head = Returns(horizons=(1,), quantiles=((1 - _LEVEL) / 2, 0.5, (1 + _LEVEL) / 2))
    normal = np.array([-_Z, 0.0, _Z]) * usual[:, None]
    used = head.calibrated(normal, scored)
    assert used is not None
    return {
        "split conformal": static(plain),
        "split conformal, relative": static(usual),
        "adaptive": adaptive(plain),
        "adaptive, relative": adaptive(usual),
        "adaptive, relative, rate .05": adaptive(usual, 0.05),
        "used": used[:, -1],
    }


def _row(method: str, each: list[_Result]) -> ScenarioScores:
    def of(value: Callable[[_Result], float]) -> Float[np.ndarray, "R"]:
        return np.array([value(e) for e in each])

    return ScenarioScores(
        method,
        of(lambda e: e.hit.mean()),
        of(lambda e: worst_window_coverage(e.hit)),
        {n: of(functools.partial(lambda n, e: e.first[n], n)) for n in _AFTER},
        of(lambda e: e.width),
        of(lambda e: e.score),
    )


def worst_window_coverage(hit: Bool[np.ndarray, "T"], window: int = 250) -> float:
    """The least share of hits in any ``window`` consecutive days, or in all days if fewer."""
    length = min(window, len(hit))
    return float(np.convolve(hit, np.ones(length), "valid").min() / length)
