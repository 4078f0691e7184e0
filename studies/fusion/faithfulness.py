"""Is an explanation true? On a planted market, of whose parts the worth is known."""

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int64

from fusionjax.config import Config
from fusionjax.data.samples import between, period, training_data
from fusionjax.data.windows import Scaler, Windows
from fusionjax.distill import weights
from fusionjax.evaluate import explanation
from fusionjax.evaluate.explanation import Contribution
from fusionjax.evaluate.inference import Ensemble
from fusionjax.evaluate.swaps import WHOLE, Replaced, Swap
from fusionjax.experts import stacked
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.job import Output, Run
from fusionjax.train.loop import fit
from fusionjax.train.run import make_program
from fusionjax.train.run_info import RunInfo
from studies.data.planted_parts import PlantedParts
from studies.names import PLANTED_PARTS

TARGET = "direction.1d"
NOISE = "noise"  # the modality of the planted market that is it


@dataclasses.dataclass(frozen=True)
class Told:
    """What explanations said of some samples, an entry a part.

    Attributes:
      source: whose part it is.
      kind: of the part.
      size: of its contribution.
      says: whether it was said to be something.
      tells: whether it truly adds to the log odds.
      moves: how far the forecast moves with other content in its place, of placebos that the
        explanation did not see.
      falls: how far it moves with nothing in its place: zeros, and no document.
      sample: number of the explained sample.
    """

    source: np.ndarray
    kind: np.ndarray
    size: Float[np.ndarray, "N"]
    says: np.ndarray
    tells: np.ndarray
    moves: Float[np.ndarray, "N"]
    falls: Float[np.ndarray, "N"]
    sample: Int64[np.ndarray, "N"]

    def auc(self, positive: np.ndarray, score: np.ndarray, kind: str | None = None) -> float:
        """The chance that a positive part of a sample has a larger score than another part of its
        kind, ties half; over all samples and kinds, or one of these."""
        total = pairs = 0.0
        kinds = np.unique(self.kind) if kind is None else [kind]
        for i, of_kind in itertools.product(np.unique(self.sample), kinds):
            own = (self.kind == of_kind) & (self.sample == i)
            a, b = score[own & positive], score[own & ~positive]
            total += (a[:, None] > b).sum() + (a[:, None] == b).sum() / 2
            pairs += len(a) * len(b)
        return total / pairs if pairs else float("nan")

    def lines(self) -> list[str]:
        """The figures in words."""
        whole, noise = self.kind == WHOLE, self.source == NOISE
        samples = np.unique(self.sample)
        silent = [not self.says[noise & (self.sample == i)].any() for i in samples]
        named = self.says[whole & ~noise].mean()
        kinds = dict.fromkeys(self.kind.tolist())
        return [
            f"{len(samples)} samples, {len(self.kind)} parts",
            f"AUC of what is named by how far the forecast moves with other content in its place: "
            f"{self.auc(self.says, self.moves):.3f}; with nothing there: "
            f"{self.auc(self.says, self.falls):.3f}",
            f"AUC of what truly tells by the size of its contribution: "
            f"{self.auc(self.tells, self.size):.3f}; "
            + ", ".join(f"{k} {self.auc(self.tells, self.size, k):.3f}" for k in kinds),
            f"the noise says nothing in {np.mean(silent):.1%} of the samples; "
            f"a modality that tells says something in {named:.1%}",
        ]


def trained(planted: PlantedParts, config: Config, folder: Path, mesh: Mesh) -> Ensemble:
    """A run on the first days of a planted market."""
    market = planted.market
    first, last = period(config.data, config.train.split)
    learned = training_data(market, config, first, last, weights.meta_fraction(config))
    windows = Windows(market, config, Scaler.fit(market, last))
    windows = stacked.started(windows, learned, last)
    program = make_program(config, mesh, windows, learned.meta_sessions)
    days = config.data.splits[config.train.split]
    info = RunInfo(config, market.fingerprint, windows.scaler, *days, parent=None)
    with Checkpoints(folder / "seed_0", create=True) as checkpoints:
        stacked.kept(windows, folder / "seed_0")
        fit(Run(config, windows, program), learned, Output(checkpoints, info))
    return Ensemble(folder, config, market)


def told(planted: PlantedParts, run: Ensemble, config: Config, count: int, seed: int = 0) -> Told:
    """Explains random samples of the days after training."""
    market = planted.market
    rows = between(market, config, run.since, market.session.max()).row
    rows = np.random.default_rng(seed).choice(rows, count, replace=False)
    entries: list[tuple[Any, ...]] = []
    for i, row in enumerate(rows.tolist()):
        said, again = (
            [
                c
                for c in explanation.explain(run, market, config, row, draw=draw).contributions
                if c.source in PLANTED_PARTS
            ]
            for draw in (0, 1)
        )
        falls = _without(run, config, row, said)
        truth = _truth(planted, said, row)
        for c, other, tells, fall in zip(said, again, truth, falls, strict=True):
            size, moves = abs(c.change[TARGET]), abs(other.change[TARGET])
            entries.append((c.source, c.kind, size, c.says[TARGET], tells, moves, fall, i))
    return Told(*(np.array(column) for column in zip(*entries, strict=True)))


def _truth(planted: PlantedParts, own: list[Contribution], row: int) -> Iterator[bool]:
    groups = dict.fromkeys((c.source, c.kind) for c in own)
    for source, kind in groups:
        yield from planted.tells(source, kind, row)


def _without(run: Ensemble, config: Config, row: int, own: list[Contribution]) -> np.ndarray:
    """How far the forecast moves with zeros in place of each part, in the order of ``own``."""
    batch, windows = run.windows.one(row), run.windows
    swaps = []
    for source, kind in dict.fromkeys((c.source, c.kind) for c in own):
        value = batch.inputs[source]
        nothing = jax.tree.map(np.zeros_like, value)
        one = jax.tree.map(lambda x: x[0], value)
        parts = {p.kind: p for p in config.modalities[source].parts(one, windows.market, row)}
        inside = (
            parts[kind].inside
            if kind in parts
            else jax.tree.map(lambda x: np.ones((1,) * x.ndim, bool), value)
        )
        names = [c.part for c in own if (c.source, c.kind) == (source, kind)]
        swaps.append(Swap(source, kind, names, inside, nothing, np.zeros((len(names), 1), int)))
    asking = copy.copy(run)
    asking.windows = replaced = Replaced(windows, batch, swaps)
    value = explanation.scalars(asking.predict(replaced.cases), config.targets)[TARGET]
    return np.abs(value[1:] - value[0])
