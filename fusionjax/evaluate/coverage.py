"""Which samples every forecaster forecasts: files of forecasts may lack some, or whole targets."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from fusionjax.config import Config
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Prediction

_FEW = 3  # samples that are named


def kept(
    each: Mapping[str, list[Prediction]],
    samples: Samples,
    inside: Bool[np.ndarray, "S"],
    market: Market,
    config: Config,
    common: bool,
) -> tuple[Bool[np.ndarray, "S"], list[str]]:
    """The samples to score, and lines for above the tables.

    The first forecaster must have all targets of the config; another one that has nothing of a
    target at a horizon only stays out of that table.

    Args:
      each: forecasts of all samples by seed, by the forecaster's name; NaN where there is none.
      samples: to forecast.
      inside: those to be scored.
      market: the data.
      config: with the targets.
      common: score those that every forecaster forecasts, instead of refusing if some lack.

    Raises:
      InputError: a sample lacks a forecast and ``common`` is false, or no sample is left.
    """
    lacking, missing, absent = ~inside, [], []
    for name, seeds in each.items():
        for target, head in config.targets.items():
            for at, horizon in enumerate(head.horizons):
                what = (
                    f"{name} has no forecast of {target} at {horizon} session{'s' * (horizon > 1)}"
                )
                has = _has(seeds[0], target, at, len(samples))
                if name != next(iter(each)) and not has[inside].any():
                    absent.append(f"{what}: it is not in that table")
                    continue
                gone = inside & ~has
                lacking |= gone
                if gone.any():
                    few = [
                        f"{market.symbols[market.symbol[row]]} {market.session[row]}"
                        for row in samples.row[gone][:_FEW]
                    ]
                    missing.append(
                        f"{what} for {gone.sum():,} of {inside.sum():,} samples of "
                        f"{config.evaluate.split}, made at the close of {', '.join(few)}"
                        f"{' …' if gone.sum() > _FEW else ''}"
                    )
    if lacking.all():
        raise InputError(f"{missing[0]}: there is nothing to score")
    if missing and not common:
        raise InputError(f"{missing[0]}; add them, or score what all have with --common")
    only = f"Only {(~lacking).sum():,} of {inside.sum():,} samples are scored, those that every "
    return ~lacking, [*([f"{only}file forecasts (--common)"] if missing else []), *absent]


def _has(prediction: Prediction, target: str, at: int, samples: int) -> Bool[np.ndarray, "S"]:
    """Which samples have a value of a target at its horizon number ``at``."""
    if target not in prediction.value:
        return np.zeros(samples, bool)
    return np.isfinite(prediction.value[target][:, at]).reshape(samples, -1).all(1)
