"""Whether experts weighed together do harm: rolling origins, each scored on what comes after."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.experts import stacked
from fusionjax.experts.stacked import Experts, Stack
from fusionjax.experts.walk_forward import Available, Task
from fusionjax.heads.base import Scored


@dataclasses.dataclass(frozen=True)
class Block:
    """Mean losses of one head at one horizon on the sessions after an origin.

    Attributes:
      task: what is forecast.
      first: target day of the block, and ``last``.
      together: of the experts as they are weighed.
      chosen: of the expert from which the weights start: the best on the meta set, or the simplest.
      equal: of their plain mean.
      alone: of each, by name.
      weight: of each that has any.
    """

    task: Task
    first: np.datetime64
    last: np.datetime64
    together: float
    chosen: float
    equal: float
    alone: dict[str, float]
    weight: dict[str, float]

    @property
    def harm(self) -> float:
        """Excess over the chosen expert, as a share of its loss."""
        return self.together / self.chosen - 1


def blocks(market: Market, config: Config, count: int) -> Iterator[Block]:
    """Scores the later half of the training and scored period, in parts.

    Args:
      market: the data.
      config: of the run; its training split begins the period, its scored split ends it.
      count: parts, each scored by experts of everything before it.
    """
    first, _ = samples.period(config.data, config.train.split)
    _, last = samples.period(config.data, config.evaluate.split)
    days = np.unique(samples.between(market, config, first, last).target_day)
    starts = days[np.linspace(len(days) // 2, len(days), count, endpoint=False).astype(int)]
    ends = [*(starts[1:] - 1), last]
    for start, end in zip(starts, ends, strict=True):
        known = start - 1
        training = samples.training_data(
            market, config, first, known, weights.meta_fraction(config)
        )
        windows = Windows(market, config, Scaler.fit(market, known))
        every = stacked.learned(Available(windows, windows.trailing), training, known)
        block = samples.between(market, config, start, end)
        for task in every.learned:
            yield _scored(every, windows, task, training.meta, block)


def _scored(
    every: Experts, windows: Windows, task: Task, meta: Samples | None, block: Samples
) -> Block:
    assert meta is not None
    name, at = task
    available = Stack.over(windows, every).available
    known = Scored.of(name, block, windows.market, windows.config, at)
    rows, label = known.row[known.known], known.label[known.known]
    names = [*every.learned[task]]
    values = {k: every.forecast(available, task, k, rows) for k in names}
    loss = available.of(task)[names[0]].loss
    alone = {k: float(loss(v, label).mean()) for k, v in values.items()}
    start = stacked.start(every, available, task, meta)
    return Block(
        task,
        block.target_day.min(),
        block.target_day.max(),
        float(loss(every.together(available, task, rows), label).mean()),
        alone[start],
        float(loss(np.mean([*values.values()], 0), label).mean()),
        alone,
        every.weight[task],
    )


def plot(blocks: list[Block], path: Path) -> None:
    """Draws how much each expert counts in each block, and what that does to the error."""
    import matplotlib.pyplot as plt

    names = sorted({name for b in blocks for name in b.weight})
    at, floor = np.arange(len(blocks)), np.zeros(len(blocks))
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8, 5), sharex=True, height_ratios=(3, 2), layout="constrained"
    )
    for name in names:
        share = np.array([b.weight.get(name, 0.0) for b in blocks])
        above.bar(at, share, 0.7, floor, label=name)
        floor += share
    above.set(ylabel="weight")
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    best = np.array([min(b.alone.values()) for b in blocks])
    for label, style, errors in (
        ("weighed", "ko-", [b.together for b in blocks]),
        ("the one chosen", "ks--", [b.chosen for b in blocks]),
        ("plain mean", "k^:", [b.equal for b in blocks]),
    ):
        below.plot(at, 100 * (np.array(errors) / best - 1), style, label=label)
    below.axhline(0, color="grey", linewidth=0.8)
    below.set(ylabel="% above the best\nsingle in hindsight", xticks=at)
    below.set_xticklabels([f"from {str(b.first)[:7]}" for b in blocks])
    below.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path)
    plt.close(figure)
