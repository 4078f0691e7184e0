"""``evaluate.ablation`` for a study: all placebos of a modality train at once in one program."""

import dataclasses

import numpy as np
import pandas as pd
from rich.progress import Progress

from fusionjax.evaluate import ablation
from studies.data.views import Views
from studies.fusion.ladder import Cell, score, with_vectors
from studies.fusion.ladder_table import Difference, clusters, interval, paired
from studies.fusion.started import StartedExperiment
from studies.schema import StudyConfig


def replaced(
    views: Views, modality: str, source: np.ndarray, absent: np.ndarray | bool = False
) -> Views:
    """The views with a modality's content, presence included, taken from other rows."""
    batch = views.batch
    vector = batch.inputs[modality]
    moved = type(vector)(*(np.asarray(getattr(vector, f.name))[source]
                           for f in dataclasses.fields(vector)))  # fmt: skip
    present = np.asarray(batch.present[modality])[source] & ~np.asarray(absent)
    return dataclasses.replace(
        views,
        batch=dataclasses.replace(
            batch,
            inputs={**batch.inputs, modality: moved},
            present={**batch.present, modality: present},
        ),
    )


def contents(views: Views, rows: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """By kind of change: for every row of the views, the row whose content replaces its own."""
    identity, rng = np.arange(len(views.time)), np.random.default_rng(seed)
    constant, shuffled, other = identity.copy(), identity.copy(), identity.copy()
    constant[rows], other[rows] = rows[0], np.roll(rows, -1)
    for day in np.unique(views.time[rows]):
        same_day = rows[views.time[rows] == day]
        shuffled[same_day] = rng.permutation(same_day)
    return {
        "constant": constant,
        "shuffled within the day": shuffled,
        "from another sample": other,
    }


def placebo(views: Views, modality: str, seed: int) -> Views:
    """A modality's content shuffled across all samples of each split."""
    rng, source = np.random.default_rng([seed, 41]), np.arange(len(views.time))
    for rows in views.split.values():
        source[rows] = rng.permutation(rows)
    return replaced(views, modality, source)


def ablate(
    config: StudyConfig, views: list[Views], split: str, placebos: int, progress: Progress
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The worth of each modality to a study's first fusion, on its last subset without junk.

    Args:
      config: of the study.
      views: of every seed.
      split: to score.
      placebos: shuffles of each modality, each a training.
      progress: counts programs.

    Returns:
      The rise of the loss when a modality's content is changed under the trained models; and
      when training with its placebos, without it, and with it alone. Losses are those of
      ``ladder``, averaged over horizons; a positive rise means that the change is worse.

    Raises:
      InputError: fewer than two placebos.
    """
    ablation.require_placebos(placebos)
    fusion, changes = config.ladder.fusions[0]
    config = with_vectors(config.override(changes), views[0])
    subset = tuple(m for m in config.ladder.subsets[-1] if not m.startswith("junk"))
    rows, cluster = views[0].split[split], clusters(config, views[0], split)
    bar = progress.add_task(fusion, total=1 + len(subset) * (1 + 2 * (len(subset) > 1)), note="")

    study = StartedExperiment(config, views)

    def scored(variant: list[Views], names: tuple[str, ...], what: str) -> Cell:
        progress.update(bar, note=what)
        experiment = study.with_views(variant)
        cell = score(fusion, experiment, experiment.fit(names), variant, names, split)
        progress.advance(bar)
        return cell

    def rise(changed: Cell, real: Cell) -> Difference:
        return paired(changed.loss.mean(-1), real.loss.mean(-1), cluster)

    fitted = study.fit(subset)
    real = score(fusion, study, fitted, views, subset, split)
    progress.advance(bar)
    by_content, by_training = [], []
    for name in subset:
        for what, source in contents(views[0], rows).items():
            variant = [replaced(v, name, source) for v in views]
            changed = score(fusion, study.with_views(variant), fitted, variant, subset, split)
            by_content.append((name, what, interval(rise(changed, real))))
        others = tuple(n for n in subset if n != name)
        for what, names in (("empty", others), ("alone", (name,))):
            changed = score(fusion, study, fitted, views, names, split)
            by_content.append((name, what, interval(rise(changed, real))))
        shuffled = [placebo(views[k % len(views)], name, k) for k in range(placebos)]
        noise = scored(shuffled, subset, f"{placebos} placebos of {name}")
        mean = np.broadcast_to(noise.loss.mean((0, -1)), real.loss.shape[:2])
        gain = paired(mean, real.loss.mean(-1), cluster)
        real_loss = real.loss.mean()
        as_good = float((noise.loss.mean((1, 2)) <= real_loss).mean())
        row: dict[str, str | float] = {
            "modality": name,
            "placebo − real": interval(gain),
            "placebos as good": f"{100 * as_good:.0f} %",
        }
        if others:
            row["without − real"] = interval(rise(scored(views, others, f"without {name}"), real))
            row["alone − real"] = interval(rise(scored(views, (name,), f"only {name}"), real))
        assert real.weights is not None
        weight = real.weights[:, views[0].names.index(name)]
        row["weight"] = f"{weight.mean():.3f} ± {weight.std(ddof=min(1, len(views) - 1)):.3f}"
        row["verdict"] = "used" if gain.low > 0 else "not used"
        by_training.append(row)
    content = pd.DataFrame(by_content, columns=["modality", "content", "rise"])
    return content.set_index("modality"), pd.DataFrame(by_training).set_index("modality")
