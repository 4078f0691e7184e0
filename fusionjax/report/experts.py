"""The run's page: how much each expert counts, and how much the network corrects them."""

from pathlib import Path

import numpy as np
from markupsafe import Markup

from fusionjax.config import Config
from fusionjax.experts.stacked import Experts
from fusionjax.report import charts
from fusionjax.train import events


def weights(seeds: list[Path], config: Config) -> list[Markup]:
    """Bars for each head and horizon; empty without experts.

    Args:
      seeds: folders of the trainings.
      config: of the run.
    """
    experts = Experts.read(seeds[0]) if seeds and config.stacked_heads else None
    if experts is None:
        return []
    judged = [_gains(folder) for folder in seeds]
    parts = []
    for (name, at), weight in experts.weight.items():
        gains = np.array([g[name][at] for g in judged if name in g])
        text = f"{name}, {config.targets[name].horizons[at]} sessions"
        parts += [
            Markup("<h3>{}</h3>").format(text),
            charts.bars([*weight], [*weight.values()], x="weight"),
        ]
        if len(gains):
            parts.append(
                Markup("<p>The network corrects them by {:.0%} of what it would, from {:.0%} to "
                       "{:.0%} by seed.</p>").format(gains.mean(), gains.min(), gains.max())
            )  # fmt: skip
    return parts


def _gains(folder: Path) -> dict[str, list[float]]:
    """By head and horizon; empty of a training from before they were judged."""
    judged = [e["gains"] for e in events.read(folder) if e["code"] == "T7"]
    return judged[-1] if judged else {}
