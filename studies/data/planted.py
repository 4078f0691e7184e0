"""A planted market whose modalities' worth is known, as a ground truth for learned weights.

Six modalities: ``numeric`` and ``text`` are informative (text is missing from 30 % of samples),
``chart`` is informative but 30 % of it is corrupted with heavy tails and two of its features repeat
numeric ones, ``audio`` is noise and half missing, ``video`` is noise, and ``source`` is a shortcut:
it gives the label away early in the training period and nothing in its last quarter.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from fusionjax.errors import InputError
from studies.data.views import StudyLabels, Views, targets, views
from studies.names import MODALITIES

_FEATURES = {"numeric": 8, "text": 12, "chart": 12, "audio": 8, "video": 8, "source": 4}
_INFORMATIVE = {"numeric": 3, "text": 3, "chart": 3}  # leading features of each
_MISSING = {"text": 0.3, "audio": 0.5}
_CORRUPTED = 0.3  # of charts
_SHORTCUT_STRENGTH = 2.0  # at the start
_SHORTCUT_ENDS = 0.75  # share of training at which it is gone: there concat loses six points


@dataclasses.dataclass(frozen=True)
class Regime:
    """Difficulty of a planted market."""

    signal: float = 1.0  # scale of the label's log odds
    label_noise: float = 0.0  # share of training labels that are flipped
    drift: bool = False  # the chart's meaning reverses half-way through training


REGIMES = {
    "full": Regime(),
    "weak": Regime(signal=0.5),
    "noisy_labels": Regime(label_noise=0.25),
    "drift": Regime(drift=True),
    "clear": Regime(signal=4.0, label_noise=0.25),
}


def regime(name: str) -> Regime:
    """The regime of that name.

    Raises:
      InputError: there is no such regime.
    """
    if name not in REGIMES:
        raise InputError(
            f"config.ladder.variant (of studies/plant.py: --regime) is {name!r}; expected "
            f"{', '.join(REGIMES)}"
        )
    return REGIMES[name]


@dataclasses.dataclass(frozen=True)
class Truth:
    """What the generator knows and no model is given."""

    probability: Float[np.ndarray, "S"]  # of up, given all that was drawn
    flipped: Bool[np.ndarray, "S"]  # the training label is the wrong one
    corrupted: Bool[np.ndarray, "S"]  # the chart is
    informative: dict[str, Bool[np.ndarray, "_"]]  # by modality, each feature
    relevance: dict[str, float]  # by modality: variance of log odds that it shows, over all rows


@dataclasses.dataclass(frozen=True)
class Planted:
    """A market with its truth."""

    views: Views
    truth: Truth


def plant(
    regime: Regime, seed: int, *, train: int = 2500, dev: int = 500, test: int = 4000
) -> Planted:
    """Draws a market. Rows are in time order: train, then dev, then test.

    The label's log odds are a sum of one part of each informative modality and one product of
    numeric and text, so that neither late nor early fusion alone is right.
    """
    rng = np.random.default_rng([seed, 17])
    count = train + dev + test
    time = np.arange(count)
    x = {name: rng.normal(size=(count, _FEATURES[name])) for name in MODALITIES}
    x["chart"][:, 3:5] = 0.9 * x["numeric"][:, :2] + np.sqrt(1 - 0.81) * x["chart"][:, 3:5]
    n, t, c = x["numeric"], x["text"], x["chart"]
    reverse = np.where(regime.drift & (time < train // 2), -1.0, 1.0)
    part = {
        "numeric": 0.7 * n[:, 0] - 0.6 * n[:, 1] + 0.4 * n[:, 2],
        "text": 0.7 * t[:, 0] + 0.5 * np.tanh(2 * t[:, 1]) - 0.4 * t[:, 2],
        "chart": reverse * (0.7 * c[:, 0] - 0.5 * c[:, 1] + 0.4 * c[:, 2]),
    }
    interaction = 0.5 * n[:, 0] * t[:, 0]
    log_odds = regime.signal * (sum(part.values()) + interaction)
    probability = 1 / (1 + np.exp(-log_odds))
    up = rng.random(count) < probability
    shortcut = np.clip(1 - time / (_SHORTCUT_ENDS * train), 0, 1)
    x["source"][:, 0] += _SHORTCUT_STRENGTH * shortcut * np.where(up, 1, -1)
    corrupted = rng.random(count) < _CORRUPTED
    x["chart"][corrupted] = 3 * rng.standard_t(1.5, size=(int(corrupted.sum()), _FEATURES["chart"]))
    for name, rate in _MISSING.items():
        x[name][rng.random(count) < rate] = np.nan
    observed = {name: np.isfinite(x[name]).all(1) for name in MODALITIES} | {"chart": ~corrupted}
    relevance = {name: float((p**2 * observed[name]).mean()) for name, p in part.items()}
    for name in ("numeric", "text"):  # the product is half of each
        relevance[name] += float((interaction**2 * observed["text"]).mean()) / 2
    flipped = (rng.random(count) < regime.label_noise) & (time < train)
    rows = np.split(time, [train, train + dev])
    return Planted(
        views(
            x,
            StudyLabels(targets(direction=(up ^ flipped).astype(np.int64))),
            time,
            dict(zip(("train", "dev", "test"), rows, strict=True)),
            where="planted market",
        ),
        Truth(
            probability,
            flipped,
            corrupted,
            {name: np.arange(size) < _INFORMATIVE.get(name, 0) for name, size in _FEATURES.items()},
            {name: relevance.get(name, 0.0) for name in MODALITIES},
        ),
    )
