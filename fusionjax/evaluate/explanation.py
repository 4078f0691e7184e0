"""Why a forecast is what it is: what it would be with other samples' content in a part's place.

Each part of a sample is replaced by the same part of placebos, samples of the training period, one
at a time. The mean change of the forecast is what the part contributes; its spread over placebos is
what other content does in its place. A part that the forecast does not follow says nothing, as
noise does, and neither does one whose own content is no different from the others'.

Only what the network reads is replaced: what experts forecast, and the volatility that forecasts
are scaled by, are parts of their own.
"""

import copy
import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from fusionjax import streams
from fusionjax.config import Config, Heads
from fusionjax.data.samples import between, unlabelled
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.inference import Ensemble, Prediction
from fusionjax.evaluate.swaps import WHOLE, Replaced, Swap, of_experts, of_modality

PLACEBOS = 32
_LEAST = 0.5  # of what replacing any part of its kind does, root mean square: less says nothing
_ZERO = 1e-6  # a change that records do not show
_SURE = 2.0  # standard errors of a mean over placebos


@dataclasses.dataclass(frozen=True)
class Contribution:
    """What one part does to a forecast; by target, such as ``direction.1d``.

    Attributes:
      source: a modality, the experts, or the trailing volatility where there are none.
      kind: "whole", or what its modality calls such parts.
      part: its name.
      change: the forecast less its mean with placebos in the part's place.
      spread: standard deviation of the forecast over these placebos.
      says: whether the change is one that noise does not make.
    """

    source: str
    kind: str
    part: str
    change: dict[str, float]
    spread: dict[str, float]
    says: dict[str, bool]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The contributions of all parts to one forecast.

    Attributes:
      symbol: of the stock.
      session: of its last bar.
      forecast: by target, before calibration, on the scale of ``scalars``.
      scale: by target, that in words.
      placebos: how many samples stood in for each part.
      absent: sources that the sample lacks, or no placebo has.
      weight: of each modality in the fusion.
      contributions: wholes first.
    """

    symbol: str
    session: str
    forecast: dict[str, float]
    scale: dict[str, str]
    placebos: int
    absent: list[str]
    weight: dict[str, float]
    contributions: list[Contribution]

    def to_json(self) -> dict[str, Any]:
        """In JSON's types, numbers with six digits; "says" is "something" or "nothing"."""

        def numbers(by_target: dict[str, float]) -> dict[str, float]:
            return {k: round(v, 6) for k, v in by_target.items()}

        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return own | {
            "forecast": numbers(self.forecast),
            "weight": numbers(self.weight),
            "contributions": [
                {
                    "source": c.source,
                    "kind": c.kind,
                    "part": c.part,
                    "change": numbers(c.change),
                    "spread": numbers(c.spread),
                    "says": {k: "something" if v else "nothing" for k, v in c.says.items()},
                }
                for c in self.contributions
            ],
        }

    def frame(self) -> pd.DataFrame:
        """A row a part, by source, kind and name: weight, and of each target the change, the spread
        and whether it says something."""
        rows = [
            {"source": c.source, "kind": c.kind, "part": c.part}
            | ({"weight": self.weight.get(c.source, np.nan)} if c.kind == WHOLE else {})
            | c.change
            | {f"{k}.spread": v for k, v in c.spread.items()}
            | {f"{k}.says": v for k, v in c.says.items()}
            for c in self.contributions
        ]
        return pd.DataFrame(rows).set_index(["source", "kind", "part"])

    def lines(self, target: str, most: int = 8) -> list[str]:
        """In words, for one target: every source, and of its parts those that say something, the
        largest first.

        Args:
          target: of ``forecast``.
          most: parts of each kind and source.
        """
        scale = f" ({self.scale[target]})" if self.scale[target] else ""
        told = [f"{self.symbol} after {self.session}: {target} {self.forecast[target]:+.4f}{scale}"]
        for whole in (c for c in self.contributions if c.kind == WHOLE):
            told.append(_line(whole, target))
            own = [c for c in self.contributions if c.source == whole.source and c.kind != WHOLE]
            for kind in dict.fromkeys(c.kind for c in own):
                parts = [c for c in own if c.kind == kind]
                named = sorted(
                    (c for c in parts if c.says[target]), key=lambda c: -abs(c.change[target])
                )
                told += [f"  {kind} {_line(c, target)}" for c in named[:most]]
                rest = len(parts) - len(named[:most])
                more = "say nothing" if len(named) <= most else "less or nothing"
                told += [f"  {kind}: {rest} of {len(parts)} {more}"] if rest else []
        return told + [f"{name}: absent" for name in self.absent]


def explain(
    ensemble: Ensemble,
    market: Market,
    config: Config,
    row: int,
    placebos: int = PLACEBOS,
    draw: int = 0,
) -> Explanation:
    """What each part of a sample contributes to its forecast, without calibration.

    Args:
      ensemble: the run.
      market: the data.
      config: of the run.
      row: of the sample, from ``forecast.row_at``.
      placebos: how many samples stand in for each part, of the same stock where it has as many.
      draw: another number draws other placebos.

    Raises:
      InputError: the data hold no sample that could stand in.
    """
    rows = _placebos(ensemble, market, config, row, draw)[: 2 * placebos]
    windows = ensemble.windows
    windows.expect(np.append(rows, row))
    others = windows(rows, unlabelled(config.targets, len(rows)), np.ones(len(rows), np.float32))
    own = windows.one(row)
    swaps = [
        swap
        for name in config.modalities
        for swap in of_modality(name, (own, others), windows, row, placebos)
    ]
    swaps += of_experts(windows, (own, others), np.append(rows[:placebos], row))
    absent = [name for name in config.modalities if name not in {s.source for s in swaps}]
    replaced = Replaced(windows, own, swaps)
    asking = copy.copy(ensemble)
    asking.windows = replaced
    forecast = asking.predict(replaced.cases)
    values = scalars(forecast, config.targets)
    weights = forecast.modality_weight[0].astype(float).tolist()
    return Explanation(
        market.symbols[market.symbol[row]],
        str(market.session[row]),
        {k: float(v[0]) for k, v in values.items()},
        {
            f"{name}.{horizon}d": head.additive_title
            for name, head in config.targets.items()
            for horizon in head.horizons
        },
        placebos,
        absent,
        dict(zip(config.modalities, weights, strict=True)),
        _judged(swaps, values),
    )


def targets(heads: Heads) -> list[str]:
    """What can be explained: each head at each horizon."""
    return [f"{name}.{horizon}d" for name, head in heads.items() for horizon in head.horizons]


def scalars(forecast: Prediction, heads: Heads) -> dict[str, Float[np.ndarray, "S"]]:
    """One number a sample for each of ``targets``: log odds of two classes, else the middle of
    several, such as quantiles."""
    each = []
    for name, head in heads.items():
        value = forecast.value[name].astype(float)
        if head.class_names:
            p = np.clip(value, _ZERO, 1 - _ZERO)
            value = np.log(p / (1 - p))
        value = value.reshape(*value.shape[:2], -1)
        each += [*value[..., value.shape[2] // 2].T]
    return dict(zip(targets(heads), each, strict=True))


def _placebos(
    ensemble: Ensemble, market: Market, config: Config, row: int, draw: int
) -> Int64[np.ndarray, "N"]:
    """Rows of the training period, or before the row where the data lack that; those of its own
    stock first, in random order."""
    rows = between(market, config, *ensemble.learned).row
    if not len(rows):
        earlier = market.decision_time < market.decision_time[row]
        rows = np.flatnonzero(earlier & market.forecast_rows(config.data.min_history))
    rows = streams.generator(draw, "placebos", row).permutation(rows[rows != row])
    if len(rows) < 2:
        raise InputError(
            f"{market.symbols[market.symbol[row]]} after {market.session[row]}: the data hold "
            f"{len(rows)} other samples that could stand in for its parts; expected 2 or more: "
            "explain a later session"
        )
    foreign = market.symbol[rows] != market.symbol[row]
    return rows[np.argsort(foreign, kind="stable")].astype(np.int64)


def _judged(swaps: list[Swap], values: dict[str, np.ndarray]) -> list[Contribution]:
    """The contribution of every part, wholes first; ``values`` are by target and case."""
    by_target = {target: _of_target(swaps, value) for target, value in values.items()}
    order = sorted(range(len(swaps)), key=lambda i: swaps[i].kind != WHOLE)
    return [
        Contribution(
            swaps[i].source,
            swaps[i].kind,
            name,
            {k: float(change[i][p]) for k, (change, _, _) in by_target.items()},
            {k: float(spread[i][p]) for k, (_, spread, _) in by_target.items()},
            {k: bool(says[i][p]) for k, (_, _, says) in by_target.items()},
        )
        for i in order
        for p, name in enumerate(swaps[i].names)
    ]


def _of_target(
    swaps: list[Swap], value: Float[np.ndarray, "S"]
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Change and spread of every part, and whether it says something: an array a swap."""
    each = np.split(value[1:], np.cumsum([s.other.size for s in swaps])[:-1])
    with_placebos = [x.reshape(s.other.shape) for x, s in zip(each, swaps, strict=True)]
    change = [value[0] - x.mean(1) for x in with_placebos]
    spread = [x.std(1, ddof=1) for x in with_placebos]
    by_kind = {
        kind: _ordinary(
            np.concatenate([x for x, s in zip(spread, swaps, strict=True) if s.kind == kind])
        )
        for kind in {s.kind for s in swaps}
    }
    follows = {
        s.source: x[0] > by_kind[WHOLE]
        for s, x in zip(swaps, spread, strict=True)
        if s.kind == WHOLE
    }
    says = [
        (np.abs(moved) > np.maximum(by_kind[s.kind], _SURE * x / np.sqrt(s.other.shape[1])))
        & follows[s.source]
        for s, moved, x in zip(swaps, change, spread, strict=True)
    ]
    return change, spread, says


def _ordinary(spread: Float[np.ndarray, "P"]) -> float:
    """The largest change that says nothing, of parts that placebos move so far."""
    return max(_LEAST * float(np.sqrt(np.mean(spread**2))), _ZERO)


def _line(c: Contribution, target: str) -> str:
    name = c.source if c.kind == WHOLE else c.part
    verdict = "" if c.says[target] else ": nothing"
    return f"{name} {c.change[target]:+.4f} (others in its place ±{c.spread[target]:.4f}){verdict}"
