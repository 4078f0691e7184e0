"""Decides whether an update may replace its parent, on the newest labels, unseen by both."""

import dataclasses

import numpy as np

from fusionjax.config import Config
from fusionjax.data.samples import Samples
from fusionjax.errors import InputError
from fusionjax.evaluate import losses
from fusionjax.evaluate.inference import Prediction


@dataclasses.dataclass(frozen=True)
class PromotionDecision:
    """The decision of the promotion gate, with its evidence.

    Attributes:
      promoted: whether the update replaces the parent.
      why: in words.
      samples: in the holdout.
      first: their first target day.
      last: their last.
      rise: of each loss, update minus parent, with its paired 95 % interval over days.
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
        if not alarms or override.strip():
            return dataclasses.replace(self, suspect=tuple(alarms))
        why = f"refused: {alarms[0]}"
        return dataclasses.replace(self, promoted=False, why=why, suspect=tuple(alarms))


def holdout(samples: Samples, config: Config) -> tuple[Samples, np.datetime64]:
    """The promotion holdout: samples of the newest ``finetune.promotion_sessions`` target days, and
    the last day before them. Only days on which the first judged head has a label count.

    Raises:
      InputError: there is none.
    """
    name = next(iter(losses.judged(config.targets)))
    days = np.unique(samples.target_day[samples.targets.mask[name][:, 0]])
    if not len(days):
        raise InputError(
            f"no label of {name} has matured since the parent's training; wait for one, or set "
            "finetune.promotion_sessions to 0"
        )
    first = days[-min(config.finetune.promotion_sessions, len(days))]
    return samples.take(samples.target_day >= first), first - 1


def decide(
    parent: Prediction, update: Prediction, holdout: Samples, config: Config
) -> PromotionDecision:
    """Promotes unless a loss is higher beyond the paired interval, or a forecast is non-finite."""
    days = str(holdout.target_day.min()), str(holdout.target_day.max())
    forecast = update.value | {"modality_weight": update.modality_weight}
    broken = [name for name, x in forecast.items() if not np.isfinite(x).all()]
    if broken:
        why = f"refused: {', '.join(broken)} of the update hold non-finite values"
        return PromotionDecision(False, why, len(holdout), *days, {})
    before, after = (
        losses.sample_losses(prediction, holdout, config.targets) for prediction in (parent, update)
    )
    unlabelled = [k for k, v in before.items() if not np.isfinite(v).any()]
    if unlabelled:
        why = f"refused: no label of the window has matured for the {' and the '.join(unlabelled)}"
        return PromotionDecision(False, why, len(holdout), *days, {})
    rise = losses.rise([after], [before], holdout, config)
    worse = [k for k, (_, low, _) in rise.items() if low > 0]
    rises = (f"{k} {m:+.4f} [{low:+.4f}, {high:+.4f}]" for k, (m, low, high) in rise.items())
    outcome = "refused: worse" if worse else "promoted: not worse"
    why = f"{outcome} than the parent beyond noise; rise of {'; of '.join(rises)}"
    return PromotionDecision(not worse, why, len(holdout), *days, rise)
