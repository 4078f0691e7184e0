"""Training on a chosen share of the samples, beside as many at random and all of them."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Int64
from rich.table import Table

from fusionjax.distill.coreset import choose, draw
from fusionjax.errors import InputError
from studies.data.views import Views
from studies.fusion.ladder import Cell, score, with_vectors
from studies.fusion.ladder_table import Difference, clusters, interval, paired, title
from studies.fusion.started import StartedExperiment
from studies.schema import StudyConfig


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Scores on one subset after training on all, chosen and random samples.

    Attributes:
      cells: scored models by the samples they were trained on.
      skill: by the same, accuracy above chance as a share of what all samples give.
      gain: chosen against random, %-points; negative = chosen is better.
    """

    title: str
    cells: dict[str, Cell]
    skill: dict[str, float]
    gain: Difference


def compare(config: StudyConfig, views: list[Views], split: str, share: float) -> Comparison:
    """Trains the ladder's first fusion on all samples, then on a coreset that it chooses.

    It uses the modalities of the last subset.

    Raises:
      InputError: the share is not in (0, 1), or the labels are not classes.
    """
    if not 0 < share < 1:
        raise InputError(f"--share={share}: expected a share between 0 and 1")
    if not views[0].batch.targets.mask["direction"].any():
        raise InputError(
            f"config.ladder: {config.ladder.data} has volatilities to forecast; a coreset is "
            "chosen by classes, of planted or digits"
        )
    name, changes = config.ladder.fusions[0]
    config, subset = with_vectors(config, views[0]).override(changes), config.ladder.subsets[-1]
    study = StartedExperiment(config, views)
    fitted = study.fit(subset)
    cells = {"all": score(name, study, fitted, views, subset, split)}
    logits = study.predict(fitted, subset, study.train).outcome["direction"]
    belief = np.asarray(jax.nn.softmax(logits))[:, :, 0]
    chosen = [
        choose(b, v.batch.targets.label["direction"][study.train, 0].astype(np.int64), share, seed)
        for seed, (b, v) in enumerate(zip(belief, views, strict=True))
    ]
    random = [draw(len(study.train), share, seed) for seed in range(len(views))]
    for how, positions in (("chosen", chosen), ("random", random)):
        reduced = [_only(v, k) for v, k in zip(views, positions, strict=True)]
        study = StartedExperiment(config, reduced)
        fitted = study.fit(subset)
        cells[f"{share:.0%} {how}"] = score(name, study, fitted, reduced, subset, split)
    chance = 100 * (1 - 1 / len(views[0].classes))
    loss = {how: cell.loss[..., 0] for how, cell in cells.items()}
    skill = {how: (chance - x.mean()) / (chance - loss["all"].mean()) for how, x in loss.items()}
    chosen_loss, random_loss = list(loss.values())[1:]
    return Comparison(
        f"{title(config)}, {split}, {len(views)} seeds from {config.ladder.first_seed}",
        cells,
        skill,
        paired(chosen_loss, random_loss, clusters(config, views[0], split)),
    )


def _only(views: Views, positions: Int64[np.ndarray, "K"]) -> Views:
    """The views with only the training rows at ``positions``, and all rows of other splits."""
    split = {"train": views.split["train"][positions]} | {
        k: v for k, v in views.split.items() if k != "train"
    }
    order = np.concatenate(list(split.values()))
    ends = np.cumsum([len(v) for v in split.values()])[:-1]
    return dataclasses.replace(
        views,
        batch=jax.tree.map(lambda x: x[order], views.batch),
        time=views.time[order],
        known=views.known[order],
        split=dict(zip(split, np.split(np.arange(len(order)), ends), strict=True)),
    )


def for_screen(c: Comparison) -> Table:
    """The table for a terminal."""
    table = Table(title=c.title, title_justify="left", title_style="bold")
    for name in ("trained on", "accuracy", "NLL", "of all samples' skill", "against random"):
        table.add_column(name, justify="left" if name == "trained on" else "right")
    for i, (how, cell) in enumerate(c.cells.items()):
        scores = ["{:.1f} ± {:.1f}".format(*cell.summary["accuracy"])]
        scores.append("{:.3f} ± {:.3f}".format(*cell.summary["NLL"]))
        table.add_row(how, *scores, f"{c.skill[how]:.1%}", interval(c.gain) if i == 1 else "")
    return table
