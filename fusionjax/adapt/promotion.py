"""Decides whether an update may replace its parent, on the newest labels, unseen by both.

A test of non-inferiority: the update is promoted only if the data show that no loss rises by
``finetune.promotion_margin``. benchmarks/error_rates.py measures how often a worse one is promoted
and an equal one is not.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from fusionjax.config import Config
from fusionjax.data.samples import Samples
from fusionjax.errors import InputError
from fusionjax.evaluate import losses
from fusionjax.evaluate.inference import Prediction
from fusionjax.scores import intervals
from fusionjax.scores.intervals import Estimate


@dataclasses.dataclass(frozen=True)
class PromotionDecision:
    """The decision of the promotion gate, with its evidence.

    Attributes:
      promoted: whether the update replaces the parent.
      why: in words.
      samples: in the holdout.
      first: their first target day.
      last: their last.
      rise: of each loss, from parent to update, as a share of the parent's, with its 95 % interval
        over days; infinite if they are too few.
    """

    promoted: bool
    why: str
    samples: int
    first: str
    last: str
    rise: dict[str, tuple[float, float, float]]
    suspect: tuple[str, ...] = ()  # leak alarms of the parent's or the update's forecasts

    def unless_suspect(self, alarms: list[str], override: str) -> "PromotionDecision":
        """The decision with the leak alarms; nothing is promoted on unanswered ones."""
        if not alarms or override.strip() or not self.promoted:
            return dataclasses.replace(self, suspect=tuple(alarms))
        why = f"refused: {alarms[0]}"
        return dataclasses.replace(self, promoted=False, why=why, suspect=tuple(alarms))


def holdout(samples: Samples, config: Config) -> tuple[Samples, np.datetime64]:
    """The promotion holdout: samples of the newest ``finetune.promotion_sessions`` target days, and
    the last day before them. Only days on which every judged head has a label count.

    Raises:
      InputError: there is none.
    """
    names = list(losses.judged(config.targets))
    labelled = [samples.target_day[samples.targets.mask[name][:, 0]] for name in names]
    days = sorted(set.intersection(*(set(np.unique(d)) for d in labelled)))
    if not days:
        missing = [n for n, d in zip(names, labelled, strict=True) if not len(d)] or names
        raise InputError(
            f"no label of {' and '.join(missing)} has matured since the parent's training; wait "
            "for one, or set finetune.promotion_sessions to 0"
        )
    first = days[-min(config.finetune.promotion_sessions, len(days))]
    return samples.take(samples.target_day >= first), first - 1


def decide(
    parent: Prediction, update: Prediction, holdout: Samples, config: Config
) -> PromotionDecision:
    """Promotes if no loss rises by the margin, beyond doubt, and every forecast is finite."""
    evidence = len(holdout), str(holdout.target_day.min()), str(holdout.target_day.max())
    forecast = update.value | {"modality_weight": update.modality_weight}
    broken = [name for name, x in forecast.items() if not np.isfinite(x).all()]
    if broken:
        why = f"refused: {', '.join(broken)} of the update hold non-finite values"
        return PromotionDecision(False, why, *evidence, {})
    before, after = (
        losses.sample_losses(prediction, holdout, config.targets) for prediction in (parent, update)
    )
    day = np.unique(holdout.target_day, return_inverse=True)[1]
    span = losses.horizon(config.targets)
    rises = {k: relative_rise(before[k], after[k], day, span) for k in before}
    needed = intervals.least_days(span, lasting=True)
    promoted, why = judge(rises, config.finetune.promotion_margin, needed)
    ends = {k: (e.value, *e.interval()) for k, e in rises.items()}
    return PromotionDecision(promoted, why, *evidence, ends)


def relative_rise(
    before: Float[np.ndarray, "S"], after: Float[np.ndarray, "S"], day: np.ndarray, horizon: int
) -> Estimate:
    """The rise of a mean loss as a share of what it was, over the days that have a label.

    Args:
      before: the parent's loss of each sample; NaN without a label.
      after: the update's.
      day: of each sample, from 0.
      horizon: sessions of a label.
    """
    known = np.isfinite(before)
    days, day = np.unique(day[known], return_inverse=True)
    old, new = (np.bincount(day, x[known]) for x in (before, after))
    share = new.sum() / max(old.sum(), 1e-12)
    influence = (new - share * old) * (len(days) / max(old.sum(), 1e-12))
    return Estimate.of(float(share - 1), influence, horizon, lasting=True)


def judge(rises: dict[str, Estimate], margin: float, needed: int) -> tuple[bool, str]:
    """Whether an update is promoted, and why; ``needed`` days are enough to tell."""
    ends = {k: e.interval() for k, e in rises.items()}
    if not all(math.isfinite(e.error) for e in rises.values()):
        return False, (
            f"the parent stays: {intervals.NOT_ENOUGH} to compare them, about {needed} needed; set "
            "finetune.promotion_sessions to as many"
        )
    words = "; of ".join(
        f"{k} {100 * e.value:+.1f} % [{100 * ends[k][0]:+.1f}, {100 * ends[k][1]:+.1f}]"
        for k, e in rises.items()
    )
    if all(high < margin for _, high in ends.values()):
        return True, f"promoted: not worse than the parent by {100 * margin:g} %; rise of {words}"
    if any(low > 0 for low, _ in ends.values()):
        return False, f"refused: worse than the parent; rise of {words}"
    return False, (
        f"the parent stays: these days do not show that no loss rises by {100 * margin:g} %; "
        f"rise of {words}"
    )
