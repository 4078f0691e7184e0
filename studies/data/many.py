"""Planted markets with many modalities of known worth, to count what the selection keeps."""

import dataclasses

import numpy as np
from jaxtyping import Float

from studies.data.views import StudyLabels, Views, targets, views

_FEATURES, _INFORMATIVE = 6, 3  # of each modality; of those that inform
_SHAPE = (0.7, -0.5, 0.5)  # how the log odds follow the informative features, scaled to a worth
_DRAWS = 64  # over which a modality is averaged out, to know what is lost without it


@dataclasses.dataclass(frozen=True)
class Many:
    """A market of many modalities.

    Attributes:
      views: what is learned from; modality ``m00`` informs first.
      worth: nats that are lost without each modality by who knows the others' truth, on test rows.
    """

    views: Views
    worth: Float[np.ndarray, "M"]


@dataclasses.dataclass(frozen=True)
class Market:
    """How a market is drawn.

    Attributes:
      modalities: their number.
      variance: of the log odds, of each modality that informs; about 8 times its worth in nats.
      correlation: of a modality's first features with the others' first features.
      day: standard deviation of the log odds that a session's samples share and nothing shows.
      stocks: samples a session.
      train: training samples.
    """

    modalities: int
    variance: tuple[float, ...]
    correlation: float = 0.0
    day: float = 0.0
    stocks: int = 1
    train: int = 2500


def draw(market: Market, seed: int, *, dev: int = 500, test: int = 4000) -> Many:
    """Draws a market: train, then dev, then test rows, in time order."""
    rng = np.random.default_rng([seed, 71])
    splits = np.cumsum([market.train, dev])
    count = int(splits[-1]) + test
    time = np.arange(count) // market.stocks
    x = rng.normal(size=(market.modalities, count, _FEATURES))
    common = rng.normal(size=(1, count, _INFORMATIVE))
    c = market.correlation
    x[..., :_INFORMATIVE] = np.sqrt(c) * common + np.sqrt(1 - c) * x[..., :_INFORMATIVE]
    shape = np.array(_SHAPE) / np.linalg.norm(_SHAPE)
    part = [
        np.sqrt(v) * (m[:, :_INFORMATIVE] @ shape) for v, m in zip(market.variance, x, strict=False)
    ]
    shared = market.day * rng.normal(size=time[-1] + 1)[time]
    log_odds = np.sum(part, 0) + shared
    up = rng.random(count) < _probability(log_odds)
    rows = np.split(np.arange(count), splits)
    later = rows[2]
    worth, known = np.zeros(market.modalities), _loss(_probability(log_odds[later]), up[later])
    for i, p in enumerate(part):
        others = rng.permuted(np.tile(p[later], (_DRAWS, 1)), axis=1)
        without = _probability(log_odds[later] - p[later] + others).mean(0)
        worth[i] = (_loss(without, up[later]) - known).mean()
    names = [f"m{i:02d}" for i in range(market.modalities)]
    return Many(
        views(
            dict(zip(names, x, strict=True)),
            StudyLabels(targets(direction=up.astype(np.int64))),
            time,
            dict(zip(("train", "dev", "test"), rows, strict=True)),
            where="market of many modalities",
        ),
        worth,
    )


def _probability(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-log_odds))


def _loss(probability: np.ndarray, up: np.ndarray) -> np.ndarray:
    return -np.log(np.where(up, probability, 1 - probability))
