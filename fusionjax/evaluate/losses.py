"""The loss of each sample, and the difference of mean losses of two forecasters.

Updates, modalities and drift are judged by these: each head's proper loss at its first horizon.
"""

import numpy as np
from jaxtyping import Float

from fusionjax.config import Config, Heads
from fusionjax.data.samples import Samples
from fusionjax.evaluate.inference import Prediction
from fusionjax.heads.base import Head
from fusionjax.scores import bootstrap
from fusionjax.scores.bootstrap import Draws


def judged(heads: Heads) -> dict[str, Head]:
    """The heads with a ``loss_title``; their losses judge a model."""
    return {name: head for name, head in heads.items() if head.loss_title}


def sample_losses(
    forecast: Prediction, samples: Samples, heads: Heads
) -> dict[str, Float[np.ndarray, "S"]]:
    """The loss of each sample, by the titles of ``judged`` heads; NaN without a label."""
    t, losses = samples.targets, {}
    for name, head in judged(heads).items():
        loss = head.sample_loss(forecast.value[name][:, 0], t.label[name][:, 0])
        losses[head.loss_title] = np.where(t.mask[name][:, 0], loss, np.nan)
    return losses


def rise(
    changed: list[dict[str, np.ndarray]],
    real: list[dict[str, np.ndarray]],
    scored: Samples,
    config: Config,
) -> dict[str, tuple[float, float, float]]:
    """Mean rise of each loss from ``real`` to ``changed``, with its 95 % interval.

    Both hold the losses of one training a dict; blocks of days and trainings are resampled.
    """
    days, day = np.unique(scored.target_day, return_inverse=True)
    horizon = max(head.horizons[0] for head in judged(config.targets).values())
    draws = Draws.of_days(len(days), horizon, config.evaluate)
    rng = np.random.default_rng(0)
    rises = {}
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
        rises[k] = float(change / max(daily[0][1].sum(), 1)), low, high
    return rises


def _daily(
    each: list[np.ndarray], day: np.ndarray, days: int
) -> tuple[Float[np.ndarray, "N days"], Float[np.ndarray, "days"]]:
    """Sums of losses by training and day, and the number of samples of each day."""
    known = np.isfinite(each[0])
    total = np.stack([np.bincount(day, np.where(known, x, 0), days) for x in each])
    return total, np.bincount(day, known, days)
