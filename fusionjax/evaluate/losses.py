"""The loss of each sample, and how much one forecaster loses more than another.

What updates, modalities and drift are judged by: each head's proper loss at its first horizon.
"""

import numpy as np
from jaxtyping import Float

from fusionjax.config import Config
from fusionjax.data.samples import Samples
from fusionjax.evaluate.inference import Prediction
from fusionjax.heads.base import Head
from fusionjax.scores import bootstrap
from fusionjax.scores.bootstrap import Draws


def judged(config: Config) -> dict[str, Head]:
    """The heads whose losses judge: those with a ``loss_title``."""
    return {name: head for name, head in config.targets.items() if head.loss_title}


def sample_losses(
    forecast: Prediction, samples: Samples, config: Config
) -> dict[str, Float[np.ndarray, "S"]]:
    """What each sample loses, by the titles of ``judged``; NaN where no label counts."""
    t, found = samples.targets, {}
    for name, head in judged(config).items():
        lost = head.sample_loss(forecast.value[name][:, 0], t.label[name][:, 0])
        found[head.loss_title] = np.where(t.mask[name][:, 0], lost, np.nan)
    return found


def rise(
    changed: list[dict[str, np.ndarray]],
    real: list[dict[str, np.ndarray]],
    scored: Samples,
    config: Config,
) -> dict[str, tuple[float, float, float]]:
    """Mean rise of each loss; the interval is over days in blocks and over trainings."""
    days, day = np.unique(scored.target_day, return_inverse=True)
    horizon = max(head.horizons[0] for head in judged(config).values())
    draws = Draws.of_days(len(days), horizon, config)
    rng = np.random.default_rng(0)
    out = {}
    for k in real[0]:
        daily = [_daily([one[k] for one in side], day, len(days)) for side in (changed, real)]
        sums = [total @ draws.counts.T for total, _ in daily]  # [trainings, runs]
        count = draws.counts @ daily[0][1]
        drawn = [
            s[rng.integers(len(s), size=s.shape[::-1]).T, np.arange(s.shape[1])].mean(0)
            for s in sums
        ]
        low, high = bootstrap.interval((drawn[0] - drawn[1]) / np.maximum(count, 1))
        change = np.mean(daily[0][0].sum(1)) - np.mean(daily[1][0].sum(1))
        out[k] = float(change / max(daily[0][1].sum(), 1)), low, high
    return out


def _daily(
    each: list[np.ndarray], day: np.ndarray, days: int
) -> tuple[Float[np.ndarray, "N days"], Float[np.ndarray, "days"]]:
    """Losses added up by day, for every training, and how many samples each day has."""
    seen = np.isfinite(each[0])
    total = np.stack([np.bincount(day, np.where(seen, x, 0), days) for x in each])
    return total, np.bincount(day, seen, days)
