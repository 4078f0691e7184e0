"""The modality ladder: each fusion, and a baseline, on growing sets of modalities.

A fusion does no harm if no subset is worse than the best smaller one beyond the paired interval.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from einops import rearrange
from jaxtyping import Float, Int64
from rich.progress import Progress

from fusionjax.data import items
from fusionjax.errors import InputError
from fusionjax.types import ImageInput, Input, VectorInput
from studies.data import candles, maec, planted, spoilt
from studies.data.views import Views
from studies.fusion import view_experts
from studies.fusion.started import Started, StartedExperiment
from studies.schema import StudyConfig

_BINS = 10  # of the calibration error


@dataclasses.dataclass(frozen=True)
class Cell:
    """One fusion on one subset. ``loss`` is what is compared; lower is better.

    Attributes:
      loss: of every seed and sample: 100 if wrong, or squared errors of log volatility by horizon.
      summary: metric -> (mean over seeds, standard deviation over seeds).
      weights: mean fusion weight of each modality where present, a row a seed; None for baselines
      and for one part of a forecast alone.
      kept: which modalities elimination kept, a row a seed; None for these and other fusions.
    """

    fusion: str
    subset: tuple[str, ...]
    loss: Float[np.ndarray, "seeds samples K"]
    summary: dict[str, tuple[float, float]]
    weights: Float[np.ndarray, "seeds M"] | None
    kept: Float[np.ndarray, "seeds M"] | None


def load(config: StudyConfig, progress: Progress) -> list[Views]:
    """The views of every seed."""
    c = config.ladder
    seeds = range(c.first_seed, c.first_seed + c.seeds)
    if c.data == "planted":
        return [planted.plant(planted.regime(c.variant), s).views for s in seeds]
    if c.data == "views":
        return [spoilt.load(Path(c.root), s, c.variant) for s in seeds]
    if c.data == "candles":
        return [candles.load(Path(c.root), s) for s in seeds]
    cache = Path(config.data.prepared) / "studies" / items.text_folder()
    junk = sum(name.startswith("junk") for name in c.subsets[-1])
    return [
        maec.load(Path(c.root), cache, progress, year=c.variant, junk=junk, seed=s)  # type: ignore[arg-type]
        for s in seeds
    ]


def with_subsets(config: StudyConfig, views: Views) -> StudyConfig:
    """The config with the subsets that it leaves to the data: all but junk, then all."""
    real = tuple(name for name in views.names if not name.startswith("junk"))
    both = tuple(dict.fromkeys((real, views.names)))
    return config.override({"ladder.subsets": config.ladder.subsets or both})


def with_vectors(config: StudyConfig, views: Views) -> StudyConfig:
    """The config with one vector modality a view and the views' classes.

    Views that are not vectors keep their entry of the config.
    """
    raw = json.loads(config.to_json())
    vectors = {n: {"kind": "vector", "features": size} for n, size in views.features.items()}
    raw["modalities"] = {n: vectors.get(n) or raw["modalities"][n] for n in views.names}
    raw["targets"]["direction"]["classes"] = views.classes
    for name, mask in views.batch.targets.mask.items():
        raw["targets"][name]["horizons"] = views.horizons if mask.any() else (1,)
    return StudyConfig.from_json(raw)


def climb(
    config: StudyConfig, views: list[Views], split: str, progress: Progress
) -> Iterator[Cell]:
    """Trains and scores every fusion on every subset, and linear baselines at the end.

    One that starts from experts is followed by its network and by its experts, each alone.

    Raises:
      InputError: a subset names an unknown modality, or the data has no such split.
    """
    config = with_vectors(config, views[0])
    for subset in config.ladder.subsets:
        unknown = set(subset) - set(views[0].names)
        if unknown:
            raise InputError(
                f"config.ladder: {', '.join(sorted(unknown))} is no modality of "
                f"{config.ladder.data}; it has {', '.join(views[0].names)}"
            )
    if split not in views[0].split:
        raise InputError(
            f"config.ladder.data {config.ladder.data} has no split {split}; it has "
            f"{', '.join(views[0].split)}"
        )
    oracle = config.ladder.oracle
    if oracle and oracle not in config.ladder.subsets[1:]:
        raise InputError(
            f"config.ladder.oracle {', '.join(oracle)} is none of config.ladder.subsets after the "
            "first"
        )
    total = (len(config.ladder.fusions) + 1) * len(config.ladder.subsets)
    bar = progress.add_task("ladder", total=total, note="")
    for name, changes in config.ladder.fusions:
        study = StartedExperiment(config.override(changes), views)
        for subset in config.ladder.subsets:
            progress.update(bar, note=f"{name}, {len(subset)} modalities")
            fitted = study.fit(subset)
            yield score(name, study, fitted, views, subset, split)
            for part, alone in fitted.parts().items():
                cell = score(f"{name}, {part} alone", study, alone, views, subset, split)
                yield dataclasses.replace(cell, weights=None, kept=None)
            progress.advance(bar)
    for subset in config.ladder.subsets:
        progress.update(bar, note=f"baseline, {len(subset)} modalities")
        yield _baseline(views, subset, split)
        yield from _of_each_view(views, subset, split)
        progress.advance(bar)


def score(
    name: str,
    study: StartedExperiment,
    fitted: Started,
    views: list[Views],
    subset: tuple[str, ...],
    split: str,
) -> Cell:
    """Scores what ``study.fit`` returned for a subset."""
    rows = views[0].split[split]
    f = jax.device_get(study.predict(fitted, subset, rows))
    weight = np.where(f.modality_weight > 0, f.modality_weight, np.nan)
    with np.errstate(invalid="ignore"):
        count = np.isfinite(weight).sum(1)
        weights = np.nansum(weight, 1) / np.maximum(count, 1)
    if _regresses(views):
        loss, summary = _volatility_scores(f.outcome["volatility"], views, rows)
    else:
        log_p = jax.nn.log_softmax(f.outcome["direction"][:, :, 0])
        loss, summary = _direction_scores(np.asarray(log_p), views, rows)
    return Cell(name, subset, loss, summary, weights, fitted.notes.get("kept"))


def _baseline(views: list[Views], subset: tuple[str, ...], split: str) -> Cell:
    """Ridge or logistic regression on all features of the subset, 0 where a modality is absent.

    Its penalty is chosen on the later parts of growing windows inside the training rows.
    """
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.model_selection import TimeSeriesSplit

    predictions = []
    for v in views:
        x = np.concatenate([flat(v.batch.inputs[name]) for name in subset], 1)
        train, rows, t = v.split["train"], v.split[split], v.batch.targets.label
        folds = TimeSeriesSplit(5)
        if _regresses(views):
            model = RidgeCV(np.logspace(-1, 5, 13), cv=folds).fit(x[train], t["volatility"][train])
            predictions.append(model.predict(x[rows]))
        else:
            model = LogisticRegressionCV(
                Cs=np.logspace(-4, 0, 5),
                l1_ratios=(0.0,),
                cv=folds,
                scoring="neg_log_loss",
                max_iter=1000,
                use_legacy_attributes=False,
            ).fit(x[train], t["direction"][train, 0])
            predictions.append(model.predict_log_proba(x[rows]))
    scores = _volatility_scores if _regresses(views) else _direction_scores
    loss, summary = scores(np.stack(predictions), views, views[0].split[split])
    name = "ridge" if _regresses(views) else "logistic regression"
    return Cell(name, subset, loss, summary, None, None)


def _of_each_view(views: list[Views], subset: tuple[str, ...], split: str) -> Iterator[Cell]:
    """Logistic regressions of one view each, together; none of volatility, nor of pictures."""
    rows = views[0].split[split]
    if _regresses(views) or views[0].features.keys() != set(views[0].names):
        return
    each = [view_experts.alone(v, subset, rows) for v in views]
    for name in each[0]:
        scores = _direction_scores(np.log(np.stack([x[name] for x in each])), views, rows)
        yield Cell(name, subset, *scores, None, None)


def flat(value: Input) -> Float[np.ndarray, "S F"]:
    """A vector as it is, a picture as the mean brightness of 16 × 16 fields."""
    if isinstance(value, ImageInput):
        fields = rearrange(value.pixels, "s (y p) (x q) -> s (y x) (p q)", y=16, x=16)
        return fields.mean(2) / 255
    assert isinstance(value, VectorInput), "studies are of vectors and pictures"
    return value.x.astype(float)


def _regresses(views: list[Views]) -> bool:
    return bool(views[0].batch.targets.mask["volatility"].any())


def _volatility_scores(
    prediction: Float[np.ndarray, "seeds samples H"],
    views: list[Views],
    rows: Int64[np.ndarray, "_"],
) -> tuple[np.ndarray, dict[str, tuple[float, float]]]:
    """Squared errors, and their mean by horizon."""
    loss = (prediction - np.stack([v.batch.targets.label["volatility"][rows] for v in views])) ** 2
    summary = {f"MSE {h}": _mean_std(loss[..., i].mean(1)) for i, h in enumerate(maec.HORIZONS)}
    return loss.astype(float), summary


def _direction_scores(
    log_p: Float[np.ndarray, "seeds samples C"], views: list[Views], rows: Int64[np.ndarray, "_"]
) -> tuple[np.ndarray, dict[str, tuple[float, float]]]:
    """100 where the likeliest class is wrong; accuracy, log loss and calibration."""
    label = np.stack([v.batch.targets.label["direction"][rows, 0] for v in views])
    correct = log_p.argmax(-1) == label
    nll = -np.take_along_axis(log_p, label[..., None], -1)[..., 0]
    confidence = np.exp(log_p.max(-1))
    ece = [calibration_error(*seed) for seed in zip(confidence, correct, strict=True)]
    return 100.0 * (~correct)[..., None], {
        "accuracy": _mean_std(100 * correct.mean(1)),
        "NLL": _mean_std(nll.mean(1)),
        "ECE": _mean_std(np.array(ece)),
    }


def calibration_error(confidence: Float[np.ndarray, "S"], correct: np.ndarray) -> float:
    """Expected calibration error of the top class, %, in ten equal bins (Guo et al., 2017)."""
    bin_of = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(bin_of, confidence - correct, _BINS)
    return float(100 * np.abs(gap).sum() / len(confidence))


def _mean_std(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan")
