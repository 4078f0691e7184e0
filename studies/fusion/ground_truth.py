"""Learned weights compared with a planted market or labels whose truth is known."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from rich.table import Table
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from fusionjax.errors import InputError
from fusionjax.types import Forecast
from studies.data import planted, spoilt
from studies.data.planted import MODALITIES, Planted
from studies.data.views import Views
from studies.fusion.ladder import with_vectors
from studies.fusion.started import StartedExperiment
from studies.schema import StudyConfig


@dataclasses.dataclass(frozen=True)
class GroundTruthCheck:
    """One figure of the weights against the truth, a value a seed, with the bar it should reach."""

    question: str
    bar: str
    values: Float[np.ndarray, "seeds"]


def findings(config: StudyConfig) -> list[GroundTruthCheck]:
    """Trains the first of ``config.ladder.fusions`` on all modalities and checks its weights.

    A planted market checks weights of modalities, samples and labels, and, without encoder layers,
    of features. Views with wrong labels check the labels.

    Raises:
      InputError: the ladder's data has no known truth.
    """
    c = config.ladder
    config = config.override(c.fusions[0][1])
    seeds = range(c.first_seed, c.first_seed + c.seeds)
    if c.data == "planted":
        markets = [planted.plant(planted.regime(c.variant), s) for s in seeds]
        return _of_a_market(config, markets) + _of_features(config, markets)
    if c.data == "views" and c.variant == "wrong_labels":
        spoilt, clean = (
            [spoilt.load(Path(c.root), s, variant) for s in seeds]
            for variant in ("wrong_labels", "clean")
        )
        wrong = [_labels(a) != _labels(b) for a, b in zip(spoilt, clean, strict=True)]
        study = StartedExperiment(with_vectors(config, spoilt[0]), spoilt)
        fitted = study.fit(spoilt[0].names)
        belief = _belief(study.predict(fitted, spoilt[0].names, study.train), spoilt)
        return [_wrong_labels(belief, [w[study.train] for w in wrong])]
    raise InputError(
        f"config.ladder: no truth is known of {c.data} {c.variant}; choose planted, or views with "
        "variant wrong_labels"
    )


def _of_a_market(config: StudyConfig, markets: list[Planted]) -> list[GroundTruthCheck]:
    views = [m.views for m in markets]
    study = StartedExperiment(with_vectors(config, views[0]), views)
    fitted = study.fit(MODALITIES)
    rows = views[0].split["test"]
    weight = np.asarray(study.predict(fitted, MODALITIES, rows).modality_weight)  # seeds, rows, M
    presence = np.stack([[v.batch.present[n][rows] for n in MODALITIES] for v in views]).mean(2)
    mean = weight.mean(1) / presence
    relevance = [list(m.truth.relevance.values()) for m in markets]
    chart = MODALITIES.index("chart")
    checks = [
        GroundTruthCheck(
            "modality weights against relevance, Spearman",
            "at least .9",
            np.array([spearmanr(a, b)[0] for a, b in zip(mean, relevance, strict=True)]),
        ),
        GroundTruthCheck("weight of the shortcut", "0", mean[:, MODALITIES.index("source")]),
    ]
    if np.asarray(fitted.notes["kept"])[:, chart].all():
        checks.append(
            GroundTruthCheck(
                "corrupted charts by low weight, AUC",
                "at least .95",
                np.array(
                    [
                        roc_auc_score(m.truth.corrupted[rows], -w[:, chart])
                        for m, w in zip(markets, weight, strict=True)
                    ]
                ),
            )
        )
    flipped = [m.truth.flipped[study.train] for m in markets]
    if all(f.any() for f in flipped):
        belief = _belief(study.predict(fitted, MODALITIES, study.train), views)
        true = [_of_label(m.truth.probability, m.views)[study.train] for m in markets]
        ceiling = _wrong_labels(true, flipped)
        checks += [
            _wrong_labels(belief, flipped),
            GroundTruthCheck("the same by the true probability: the ceiling", "", ceiling.values),
        ]
    return checks


def _of_features(config: StudyConfig, markets: list[Planted]) -> list[GroundTruthCheck]:
    """Feature weights of the modalities that hold both informative features and noise."""
    views = [m.views for m in markets]
    study = StartedExperiment(with_vectors(config.override({"model.layers": 0}), views[0]), views)
    state = study.fit(MODALITIES).state
    feature = np.asarray(state.ema_params["fusion"]["feature"])  # seeds, M, D
    areas = []
    for market, weight in zip(markets, feature, strict=True):
        informative = {n: x for n, x in market.truth.informative.items() if x.any() and not x.all()}
        weights = [weight[MODALITIES.index(n), : len(x)] for n, x in informative.items()]
        areas.append(
            roc_auc_score(np.concatenate(list(informative.values())), np.concatenate(weights))
        )
    return [
        GroundTruthCheck("features, informative from noise, AUC", "at least .95", np.array(areas))
    ]


def _labels(views: Views) -> np.ndarray:
    return views.batch.targets.label["direction"][:, 0]


def _of_label(up: Float[np.ndarray, "S"], views: Views) -> Float[np.ndarray, "S"]:
    return np.where(_labels(views) == 1, up, 1 - up)


def _belief(forecast: Forecast, views: list[Views]) -> list[Float[np.ndarray, "N"]]:
    """Probability of each training row's own label."""
    p = np.asarray(jax.nn.softmax(jnp.asarray(forecast.outcome["direction"])))[:, :, 0]
    rows = views[0].split["train"]
    return [p[i][np.arange(len(rows)), _labels(v)[rows]] for i, v in enumerate(views)]


def _wrong_labels(
    belief: list[Float[np.ndarray, "N"]], wrong: list[Bool[np.ndarray, "N"]]
) -> GroundTruthCheck:
    areas = [roc_auc_score(w, -b) for w, b in zip(wrong, belief, strict=True)]
    return GroundTruthCheck(
        "wrong training labels by low belief, AUC", "at least .95", np.array(areas)
    )


def for_screen(checks: list[GroundTruthCheck], config: StudyConfig) -> Table:
    """The table for a terminal."""
    ladder = config.ladder
    title = f"{config.name}, {ladder.variant}, {ladder.seeds} seeds from {ladder.first_seed}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name, justify in (("question", "left"), ("mean", "right"), ("worst", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("bar")
    for check in checks:
        worst = check.values.max() if check.bar == "0" else check.values.min()
        table.add_row(check.question, f"{check.values.mean():.3f}", f"{worst:.3f}", check.bar)
    return table
