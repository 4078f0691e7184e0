"""A planted market whose modalities' worth is known, as a ground truth for learned weights.

Six modalities: ``numeric`` and ``text`` are informative (text is missing from 30 % of samples),
``chart`` is informative but 30 % of it is corrupted with heavy tails and two of its features repeat
numeric ones, ``audio`` is noise and half missing, ``video`` is noise, and ``source`` is a shortcut:
it gives the label away early in the training period and nothing in its last quarter. Regimes differ
in who informs, how much and when; times are shares of the training period.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from fusionjax.errors import InputError
from studies.data.views import StudyLabels, Views, targets, views
from studies.names import MODALITIES

_FEATURES = {"numeric": 8, "text": 12, "chart": 12, "audio": 8, "video": 8, "source": 4}
_MISSING = {"text": 0.3, "audio": 0.5}
_CORRUPTED = 0.3  # of charts
_SHORTCUT_STRENGTH = 2.0  # at the start
_ALWAYS = (0.0, math.inf)
# What a modality adds to the log odds where it informs, by its first features.
_PART: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "numeric": lambda x: 0.7 * x[:, 0] - 0.6 * x[:, 1] + 0.4 * x[:, 2],
    "text": lambda x: 0.7 * x[:, 0] + 0.5 * np.tanh(2 * x[:, 1]) - 0.4 * x[:, 2],
    "chart": lambda x: 0.7 * x[:, 0] - 0.5 * x[:, 1] + 0.4 * x[:, 2],
}
_LED_BY = 3  # features


@dataclasses.dataclass(frozen=True)
class Regime:
    """What a planted market is like."""

    signal: float = 1.0  # scale of the label's log odds
    label_noise: float = 0.0  # share of training labels that are flipped
    drift: bool = False  # the chart's meaning reverses half-way through training
    informative: tuple[str, ...] = ("numeric", "text", "chart")
    text_informs: tuple[float, float] = _ALWAYS  # from, until
    text_begins: float = 0.0  # before, it is missing
    shortcut_ends: float = 0.75  # there concat loses six points
    common: float = 0.0  # share of each first feature's variance that all modalities have in common


REGIMES = {
    "full": Regime(),
    "weak": Regime(signal=0.5),
    "noisy_labels": Regime(label_noise=0.25),
    "drift": Regime(drift=True),
    "clear": Regime(signal=4.0, label_noise=0.25),
    "many_weak": Regime(signal=0.4, informative=MODALITIES, shortcut_ends=0.0),
    "correlated": Regime(common=0.5),
    "short_lived": Regime(text_informs=(0.0, 0.5)),
    "delayed": Regime(text_informs=(0.5, math.inf)),
    "late_start": Regime(text_begins=0.65),
    "shortcut_85": Regime(shortcut_ends=0.85),
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
    x = _features(regime, count, rng)
    part = _parts(regime, x, time / train)
    interaction = 0.5 * x["numeric"][:, 0] * x["text"][:, 0] * (part["text"] != 0)
    log_odds = regime.signal * (sum(part.values()) + interaction)
    probability = 1 / (1 + np.exp(-log_odds))
    up = rng.random(count) < probability
    if regime.shortcut_ends:
        shortcut = np.clip(1 - time / (regime.shortcut_ends * train), 0, 1)
        x["source"][:, 0] += _SHORTCUT_STRENGTH * shortcut * np.where(up, 1, -1)
    corrupted = rng.random(count) < _CORRUPTED
    x["chart"][corrupted] = 3 * rng.standard_t(1.5, size=(int(corrupted.sum()), _FEATURES["chart"]))
    for name, rate in _MISSING.items():
        x[name][rng.random(count) < rate] = np.nan
    x["text"][time < regime.text_begins * train] = np.nan
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
            {
                name: (np.arange(size) < _LED_BY) & (name in regime.informative)
                for name, size in _FEATURES.items()
            },
            relevance,
        ),
    )


def _features(
    regime: Regime, count: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "S _"]]:
    """What modalities hold before the shortcut and all that spoils them."""
    x = {name: rng.normal(size=(count, _FEATURES[name])) for name in MODALITIES}
    x["chart"][:, 3:5] = 0.9 * x["numeric"][:, :2] + np.sqrt(1 - 0.81) * x["chart"][:, 3:5]
    if regime.common:
        common = rng.normal(size=count)
        for own in x.values():
            own[:, 0] = np.sqrt(regime.common) * common + np.sqrt(1 - regime.common) * own[:, 0]
    return x


def _parts(
    regime: Regime, x: dict[str, Float[np.ndarray, "S _"]], when: Float[np.ndarray, "S"]
) -> dict[str, Float[np.ndarray, "S"]]:
    """What each modality adds to the log odds; ``when``: 1 at the end of training."""
    part = {
        name: _PART.get(name, _PART["chart"])(own) * (name in regime.informative)
        for name, own in x.items()
    }
    begin, end = regime.text_informs
    part["text"] = np.where((when >= begin) & (when < end), part["text"], 0.0)
    part["chart"] = np.where(regime.drift & (when < 0.5), -part["chart"], part["chart"])
    return part
