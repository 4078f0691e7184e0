"""Comparisons of a ladder's cells: between subsets and fusions; as table, JSON and plot."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from rich.table import Table

from fusionjax import files
from fusionjax.errors import require_extra
from studies.data.views import Views
from studies.fusion.ladder import Cell
from studies.schema import StudyConfig


@dataclasses.dataclass(frozen=True)
class Difference:
    """A paired difference of losses in %-points or squared error; positive = the first is worse."""

    mean: float
    low: float
    high: float


def clusters(config: StudyConfig, views: Views, split: str) -> Int64[np.ndarray, "seeds samples"]:
    """Cluster of each sample: its seed, as each has its own market or shuffle, or its session."""
    rows, seeds = views.split[split], config.ladder.seeds
    if views.dated:
        return np.tile(views.time[rows], (seeds, 1))
    return np.repeat(np.arange(seeds)[:, None], len(rows), axis=1)


def paired(
    first: Float[np.ndarray, "seeds samples"],
    second: Float[np.ndarray, "seeds samples"],
    cluster: Int64[np.ndarray, "seeds samples"],
) -> Difference:
    """Mean difference with its 95 % interval: Student's t over cluster means of the pairs."""
    from scipy import stats

    difference = (first - second).ravel()
    _, cluster_index = np.unique(cluster.ravel(), return_inverse=True)
    groups = cluster_index.max() + 1
    excess = np.bincount(cluster_index, difference - difference.mean(), groups)
    error = np.sqrt((excess**2).sum() * groups / (groups - 1)) / len(difference)
    half = float(stats.t.ppf(0.975, groups - 1) * error)
    return Difference(
        float(difference.mean()), float(difference.mean()) - half, float(difference.mean()) + half
    )


@dataclasses.dataclass(frozen=True)
class LadderReport:
    """All cells and their comparisons."""

    title: str
    cells: list[Cell]
    # By fusion: each subset against its best smaller subset.
    harm: dict[str, list[Difference | None]]
    # The first fusion against each other one, on every subset.
    against: dict[str, list[Difference]]
    # By fusion: gain of the last subset over the best fusion on the first, as a share of the gain
    # with the oracle's modalities. None without an oracle, or where that gains nothing.
    oracle_share: dict[str, float | None]


def title(config: StudyConfig) -> str:
    """Name of a config's ladder: each variant, and each file of views, has its own folder."""
    c = config.ladder
    return f"{Path(c.root).stem if c.data == 'views' else config.name}_{c.variant}"


def report(
    config: StudyConfig, cells: Iterable[Cell], views: list[Views], split: str
) -> LadderReport:
    """Compares subset with subset and, on the last one, the first fusion with all other rows.

    With several horizons the loss is their mean.
    """
    cells, cluster = list(cells), clusters(config, views[0], split)
    names = list(dict.fromkeys(c.fusion for c in cells))
    fusions = [name for name, _ in config.ladder.fusions]
    by = {n: [c for c in cells if c.fusion == n] for n in names}
    harm: dict[str, list[Difference | None]] = {}
    for name, row in by.items():
        losses = [c.loss.mean(-1) for c in row]
        harm[name] = [None]
        for i in range(1, len(losses)):
            best = min(losses[:i], key=np.mean)
            harm[name].append(paired(losses[i], best, cluster))
    against = {
        n: [
            paired(ours.loss.mean(-1), other.loss.mean(-1), cluster)
            for ours, other in zip(by[names[0]], by[n], strict=True)
        ]
        for n in names[1:]
    }
    mean = {(c.fusion, c.subset): float(c.loss.mean()) for c in cells}
    first, last, oracle = config.ladder.subsets[0], config.ladder.subsets[-1], config.ladder.oracle
    oracle_share: dict[str, float | None] = dict.fromkeys(names)
    if oracle:
        start, best = (min(mean[n, subset] for n in fusions) for subset in (first, oracle))
        if best < start:  # else there is nothing to have a share of
            oracle_share = {n: (start - mean[n, last]) / (start - best) for n in names}
    return LadderReport(f"{title(config)}, {split}", cells, harm, against, oracle_share)


def columns(r: LadderReport) -> tuple[list[str], list[list[str]]]:
    """The table's header and rows: scores, last subset against best smaller, ours against each."""
    names = list(dict.fromkeys(c.fusion for c in r.cells))
    subsets = [c.subset for c in r.cells if c.fusion == names[0]]
    metrics = list(r.cells[0].summary)
    head = ["fusion", *(_subset(subsets, i) for i in range(len(subsets)))]
    head += ["harm of the last subset", "ours minus this"]
    known = any(share is not None for share in r.oracle_share.values())
    head += ["of the oracle's gain"] if known else []
    rows = []
    for name in names:
        own = [c for c in r.cells if c.fusion == name]
        cells = [" · ".join(_score(k, *c.summary[k]) for k in metrics) for c in own]
        last = r.harm[name][-1]
        share = r.oracle_share[name]
        rows.append(
            [name, *cells, interval(last), interval(r.against.get(name, [None])[-1])]
            + ([f"{share:.0%}"] if share is not None else [])
        )
    return head, rows


def against_best(r: LadderReport) -> str:
    """The first row minus the best of the others on every subset; its own parts are no others."""
    ours = r.cells[0].fusion
    others = [n for n in r.against if not n.startswith(f"{ours}, ")]
    if not others:
        return ""
    told = []
    for i, cell in enumerate(c for c in r.cells if c.fusion == ours):
        best = max(others, key=lambda n: r.against[n][i].mean)
        told.append(f"{len(cell.subset)}: {best} {interval(r.against[best][i])}")
    return f"{ours} minus the best of the others, by the number of modalities: {'; '.join(told)}"


def for_screen(r: LadderReport) -> Table:
    """The table for a terminal."""
    head, rows = columns(r)
    table = Table(title=r.title, title_justify="left", title_style="bold")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right")
    for i, row in enumerate(rows):
        table.add_row(*row, style="bold" if i == 0 else None)
    return table


def save(
    r: LadderReport,
    config: StudyConfig,
    names: tuple[str, ...],
    folder: Path,
    split: str,
    picture: bool,
) -> Path:
    """Writes table (Markdown), numbers (JSON) and picture into a folder of its own in ``folder``.

    Returns:
      The Markdown's path.
    """
    head, rows = columns(r)
    text = f"{r.title}\n\n| {' | '.join(head)} |\n{'|---' * len(head)}|\n"
    text += "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if against := against_best(r):
        text += f"\n{against}\n"
    ours = [c for c in r.cells if c.kept is not None]
    if ours:
        text += f"\nweights and share of seeds that keep it\n\n| subset | {' | '.join(names)} |\n"
        text += f"{'|---' * (len(names) + 1)}|\n"
        for c in ours:
            assert c.kept is not None
            assert c.weights is not None
            cells = [
                f"{w:.2f} ± {s:.2f}, {k:.0%}" if n in c.subset else "–"
                for n, w, s, k in zip(
                    names, c.weights.mean(0), c.weights.std(0), c.kept.mean(0), strict=True
                )
            ]
            text += f"| {len(c.subset)} ({c.fusion}) | {' | '.join(cells)} |\n"
    path = folder / title(config) / f"ladder_{split}.md"
    files.write_text(path, text)
    raw = {
        "config": json.loads(config.to_json()),
        "cells": [
            {
                "fusion": c.fusion,
                "subset": c.subset,
                "summary": c.summary,
                "weights": None if c.weights is None else c.weights.tolist(),
                "kept": None if c.kept is None else c.kept.tolist(),
            }
            for c in r.cells
        ],
        "harm": {k: [d and dataclasses.asdict(d) for d in v] for k, v in r.harm.items()},
        "against": {k: [dataclasses.asdict(d) for d in v] for k, v in r.against.items()},
        "found": r.oracle_share,
    }
    files.write_text(path.with_suffix(".json"), json.dumps(raw))
    if picture:
        plot(r, path.with_suffix(".svg"))
    return path


def plot(r: LadderReport, path: Path) -> None:
    """Draws the loss of every fusion, mean and 95 % interval over seeds, subset by subset.

    Raises:
      InputError: the extra ``plots`` is not installed.
    """
    require_extra("plots", "matplotlib")
    import matplotlib.pyplot as plt
    from scipy import stats

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for i, name in enumerate(r.harm):
        cells = [c for c in r.cells if c.fusion == name]
        by_seed = np.stack([c.loss.mean((1, 2)) for c in cells])  # subsets, seeds
        seeds = by_seed.shape[1]
        half = stats.t.ppf(0.975, max(seeds - 1, 1)) * by_seed.std(1, ddof=1) / np.sqrt(seeds)
        axes.errorbar(
            np.arange(len(cells)) + 0.03 * i,
            by_seed.mean(1),
            half,
            label=name,
            linewidth=2.5 if i == 0 else 1,
            color="black" if i == 0 else f"C{(i - 1) % 10}",
            capsize=2,
        )
    subsets = [c.subset for c in r.cells if c.fusion == next(iter(r.harm))]
    axes.set_xticks(range(len(subsets)), [_subset(subsets, i) for i in range(len(subsets))])
    axes.set_ylabel(
        "wrong, % (mean and 95 % interval over seeds)" if _classes(r) else "squared error"
    )
    axes.set_title(r.title)
    axes.legend(fontsize=8, ncols=2)
    with files.replaced(path) as f:
        figure.savefig(f, format="svg", metadata={"Date": None})
    plt.close(figure)


def _classes(r: LadderReport) -> bool:
    return "accuracy" in r.cells[0].summary


def _subset(subsets: list[tuple[str, ...]], i: int) -> str:
    if i == 0:
        return ", ".join(subsets[0])
    added = [n for n in subsets[i] if n not in subsets[i - 1]]
    gone = [n for n in subsets[i - 1] if n not in subsets[i]]
    return f"+ {', '.join(added)}" if not gone else ", ".join(subsets[i])


def _score(metric: str, mean: float, std: float) -> str:
    digits = 1 if metric in ("accuracy", "ECE") else 3
    name = {"accuracy": "", "NLL": "nll ", "ECE": "ece "}.get(metric, "")
    return f"{name}{mean:.{digits}f}" + (f"±{std:.{digits}f}" if metric == "accuracy" else "")


def interval(d: Difference | None) -> str:
    """A difference and its 95 % interval, for a table."""
    if d is None:
        return "–"
    digits = 2 if max(abs(d.low), abs(d.high)) > 0.3 else 4  # points, or squared error
    return f"{d.mean:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]"
