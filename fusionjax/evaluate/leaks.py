"""The leak alarm: forecasts better than any honest one, of every head at every horizon.

A head says what its ``reference`` is, an honest forecast from the past alone, and by how much a
forecast may beat it (``Head.alarms``).
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from fusionjax.config import Config, EvaluateConfig
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Prediction
from fusionjax.heads.base import Head, Scored

MARK = "LEAK ALARM"


def of_head(
    target: str,
    values: Mapping[str, np.ndarray],
    train: Samples,
    scored: Samples,
    market: Market,
    config: Config,
) -> list[str]:
    """A line for each figure of a head that no honest forecast reaches.

    Args:
      target: the head's name.
      values: by forecaster, [S, H, ...], or its first horizons only.
      train: what was learned from; the reference learns from it too.
      scored: the samples.
      market: the data.
      config: of the run.
    """
    head, lines = config.targets[target], []
    for i, horizon in enumerate(head.horizons):
        asked = {who: v[:, i].astype(float) for who, v in values.items() if v.shape[1] > i}
        one: Head = dataclasses.replace(head, horizons=(horizon,))
        learned, later = (
            Scored(market, config, s.row, s.target_day, t.label[target][:, i], t.mask[target][:, i])
            for s, t in ((train, train.targets), (scored, scored.targets))
        )
        if not asked or not learned.known.any() or not later.known.any():
            continue
        reference = one.reference(learned, later)
        for who, value in asked.items():
            lines += [
                f"{MARK}: {who}, {target} at {horizon} session(s): {figure}; find what knows the "
                "future before believing it"
                for figure in one.alarms(value, reference, later)
            ]
    return lines


def of_prediction(
    who: str,
    prediction: Prediction,
    train: Samples,
    scored: Samples,
    market: Market,
    config: Config,
) -> list[str]:
    """The lines of ``of_head`` for all heads of one forecaster."""
    return [
        line
        for target in config.targets
        for line in of_head(target, {who: prediction.value[target]}, train, scored, market, config)
    ]


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
