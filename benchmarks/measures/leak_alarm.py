"""What the leak alarm hears: forecasters who know the future, and honest ones of all kinds."""

from collections.abc import Callable

import numpy as np

from benchmarks.measures.leak_worlds import Simulated, World, simulate
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.evaluate import leaks
from fusionjax.heads.base import Scored

Values = dict[str, np.ndarray]  # by head, [S, H, ...]


def alarms(world: World, seed: int, config: Config, forecast: str, days: int) -> list[str]:
    """The alarms of a forecaster on the last sessions of a simulated market.

    Args:
      world: its size and kind.
      seed: of the market and of the forecaster's errors.
      config: its targets are forecast.
      forecast: one of ``FORECASTERS``.
      days: that are scored; those before are trained on.
    """
    made = simulate(world, seed)
    m = made.market
    session = np.unique(m.session)
    train, scored = (
        samples.between(m, config, *ends)
        for ends in ((session[0], session[-days - 1]), (session[-days], session[-1]))
    )
    value = FORECASTERS[forecast](made, scored, config, np.random.default_rng([seed, 3]))
    lines = []
    for target, v in value.items():
        for at in range(v.shape[1]):
            learned, later = (Scored.of(target, s, m, config, at) for s in (train, scored))
            one = {forecast: v[:, at].astype(float)}
            lines += leaks.of_horizon(target, at, one, learned, later)
    return lines


def _ar(rng: np.random.Generator, scored: Samples, symbol: np.ndarray, keep: float) -> np.ndarray:
    """Errors of a forecaster that last: half of each is the day's, half the stock's."""
    day = np.unique(scored.target_day, return_inverse=True)[1]
    noise = rng.normal(size=(day.max() + 1, symbol.max() + 2))
    noise[1:] *= np.sqrt(1 - keep**2)
    for t in range(1, len(noise)):
        noise[t] += keep * noise[t - 1]
    return (noise[day, symbol] + noise[day, -1]) / np.sqrt(2)


def _honest(keep: float, skill: float) -> Callable:
    """Knows the true volatility, which nobody does, and a little of the return.

    Args:
      keep: correlation of its errors from one day to the next.
      skill: of its forecast of the next return, as a correlation.
    """

    def forecast(made: Simulated, scored: Samples, config: Config, rng: np.random.Generator):
        m, scale = made.market, made.volatility[scored.row]
        error = _ar(rng, scored, m.symbol[scored.row], keep)
        ratio, _ = samples.growth(m, scored.row, 1, m.session.max())
        view = skill * np.log(ratio) / scale + np.sqrt(1 - skill**2) * error
        levels = np.array(config.targets["returns"].quantiles)
        z = np.quantile(rng.standard_t(4, 20_000) / np.sqrt(2), levels)
        heads = config.targets
        return {
            "direction": _each(heads["direction"], lambda h: np.clip(0.52 + 0.05 * view, 0, 1)),
            "returns": _each(
                heads["returns"],
                lambda h: scale[:, None] * (np.sqrt(h) * z + 0.05 * view[:, None]),
            ),
            "volatility": _each(
                heads["volatility"], lambda h: np.log(scale) - 0.65 / h**0.8 - 0.02 + 0.05 * error
            ),
        }

    return forecast


def _knows(noise: float) -> Callable:
    """Knows each label, with so many standard deviations of noise to one of the label."""

    def forecast(made: Simulated, scored: Samples, config: Config, rng: np.random.Generator):
        value: Values = {}
        for name, head in config.targets.items():
            label = scored.targets.label[name].astype(float)
            if name == "direction":
                last = scored.target_day.max()
                grown = (samples.growth(made.market, scored.row, h, last) for h in head.horizons)
                label = np.stack([np.log(ratio) for ratio, _ in grown], 1)
            seen = label + noise * label.std(0) * rng.normal(size=label.shape)
            # The best use of what is seen: drawn towards the mean.
            best = label.mean(0) + (seen - label.mean(0)) / (1 + noise**2)
            if name == "direction":
                value[name] = (best > 0).astype(float) * 0.8 + 0.1
            elif name == "returns":
                left = label.std(0) * noise / np.sqrt(1 + noise**2)
                z = np.quantile(rng.normal(size=20_000), head.quantiles)
                value[name] = best[..., None] + left[:, None] * z
            else:
                value[name] = best
        return value

    return forecast


def _each(head, of: Callable[[int], np.ndarray]) -> np.ndarray:
    return np.stack([of(h) for h in head.horizons], 1)


FORECASTERS: dict[str, Callable] = {
    "volatility known": _honest(0.0, 0.0),
    "errors that last (.8)": _honest(0.8, 0.0),
    "errors that last (.95)": _honest(0.95, 0.0),
    "foresees a little (IC .05)": _honest(0.5, 0.05),
    "knows all": _knows(0.0),
    "knows with as much noise": _knows(1.0),
    "knows with twice as much noise": _knows(2.0),
}
