"""The loss of each sample, and the difference of mean losses of two forecasters.

Updates, modalities and drift are judged by these: each head's proper loss at its first horizon.
"""

import numpy as np
from jaxtyping import Float, Int

from fusionjax.config import Config, Heads
from fusionjax.data.samples import Samples
from fusionjax.evaluate.inference import Prediction
from fusionjax.heads.base import Head
from fusionjax.scores.intervals import Estimate, ratio


def judged(heads: Heads) -> dict[str, Head]:
    """The heads with a ``loss_title``; their losses judge a model."""
    return {name: head for name, head in heads.items() if head.loss_title}


def horizon(heads: Heads) -> int:
    """Sessions until every label that judges a model is known."""
    return max(head.horizons[0] for head in judged(heads).values())


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
    *,
    one_draw: bool = False,
) -> dict[str, Estimate]:
    """Mean rise of each loss from ``real`` to ``changed``, with its error over days and trainings.

    Args:
      changed: the losses of one training a dict.
      real: likewise.
      scored: the samples of the losses.
      config: its heads' longest judged horizon is that of the days.
      one_draw: all ``real`` trainings saw one draw of what each of ``changed`` draws anew, so that
        they may differ from the mean of ``changed`` as much as one of them does.
    """
    day = np.unique(scored.target_day, return_inverse=True)[1]
    span = horizon(config.targets)
    return {
        k: rise_of([x[k] for x in changed], [x[k] for x in real], day, span, one_draw)
        for k in real[0]
    }


def rise_of(
    changed: list[np.ndarray],
    real: list[np.ndarray],
    day: Int[np.ndarray, "S"],
    horizon: int,
    one_draw: bool,
) -> Estimate:
    """The rise of one loss; see ``rise``.

    Args:
      changed: the loss of each sample, one array a training; NaN without a label.
      real: likewise.
      day: of each sample, from 0.
      horizon: sessions of a label.
      one_draw: as in ``rise``.
    """
    days = int(day.max(initial=-1)) + 1
    (above, count), (below, _) = (_daily(side, day, days) for side in (changed, real))
    over_days = ratio(above.mean(0) - below.mean(0), count, horizon, lasting=True)
    between = [
        float((x.sum(1) / max(count.sum(), 1)).var(ddof=1)) if len(x) > 1 else 0.0
        for x in (above, below)
    ]
    parts = (
        (over_days.error**2, over_days.freedom),
        (between[0] * (1 / len(above) + one_draw), len(above) - 1.0),
        (between[1] / len(below), len(below) - 1.0),
    )
    return _joined(over_days.value, parts)


def _joined(value: float, parts: tuple[tuple[float, float], ...]) -> Estimate:
    """An estimate whose variance is a sum of parts, each with its degrees of freedom.

    Degrees of freedom after Welch (1947) and Satterthwaite (1946).
    """
    variance = sum(v for v, _ in parts)
    if not 0 < variance < np.inf:
        return Estimate(value, float(np.sqrt(variance)), 1.0)
    freedom = variance**2 / sum(v**2 / max(f, 1) for v, f in parts)
    return Estimate(value, float(np.sqrt(variance)), float(freedom))


def _daily(
    each: list[np.ndarray], day: np.ndarray, days: int
) -> tuple[Float[np.ndarray, "N days"], Float[np.ndarray, "days"]]:
    """Sums of losses by training and day, and the number of samples of each day."""
    known = np.isfinite(each[0])
    total = np.stack([np.bincount(day, np.where(known, x, 0), days) for x in each])
    return total, np.bincount(day, known, days)
