"""The leak alarm: forecasts better than any honest one, of every head at every horizon.

A head says what its ``reference`` is, an honest forecast from the past alone, and by how much a
forecast may beat it (``Head.alarms``).
"""

from collections.abc import Iterable, Mapping

import numpy as np

from fusionjax.config import Config, EvaluateConfig
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Prediction
from fusionjax.heads.base import Head, Scored

MARK = "LEAK ALARM"


def of_horizon(
    target: str, at: int, values: Mapping[str, np.ndarray], train: Scored, scored: Scored
) -> list[str]:
    """A line for each figure of a head at one horizon that no honest forecast reaches.

    Args:
      target: the head's name.
      at: number of the horizon.
      values: by forecaster, [S, ...].
      train: what was learned from; the reference learns from it too.
      scored: the samples.
    """
    if not train.known.any() or not scored.known.any():
        return []
    head: Head = scored.config.targets[target].one(at)
    reference = head.reference(train, scored)
    return [
        f"{MARK}: {who}, {target} at {scored.horizon} session(s): {figure}; find what knows the "
        "future before believing it"
        for who, value in values.items()
        for figure in head.alarms(value, reference, scored)
    ]


def of_prediction(
    who: str,
    prediction: Prediction,
    train: Samples,
    scored: Samples,
    market: Market,
    config: Config,
) -> list[str]:
    """The lines of ``of_horizon`` for all heads and horizons of one forecaster."""
    lines = []
    for target, head in config.targets.items():
        for at in range(len(head.horizons)):
            learned, later = (Scored.of(target, s, market, config, at) for s in (train, scored))
            value = prediction.value[target][:, at].astype(float)
            lines += of_horizon(target, at, {who: value}, learned, later)
    return lines


def marks(alarms: Iterable[str], answer: str) -> list[str]:
    """What must stand wherever scores with these alarms are shown; empty if there are none."""
    lines = list(dict.fromkeys(alarms))
    if not lines:
        return []
    if answer.strip():
        return [*lines, f"These leak alarms were answered: {answer.strip()}"]
    return [*lines, "SUSPECT: no result until evaluate.leak_alarm_override explains it"]


def require_answered(alarms: list[str], settings: EvaluateConfig) -> None:
    """Raises InputError for an alarm without an ``evaluate.leak_alarm_override``."""
    if alarms and not settings.leak_alarm_override.strip():
        more = f" (and {len(alarms) - 1} more)" if len(alarms) > 1 else ""
        raise InputError(
            f"{alarms[0]}{more}. What was written is marked as suspect; once you know why it is "
            'true, say so: --config.evaluate.leak_alarm_override="the reason"'
        )
