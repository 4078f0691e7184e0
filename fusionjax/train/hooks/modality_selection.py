"""Half-way: which modalities the meta set does not miss, and what is odd about the fusion."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool

from fusionjax import files
from fusionjax.data.pipeline import labelled_batches
from fusionjax.data.samples import Samples, TrainingData
from fusionjax.distill import weights
from fusionjax.distill.contribution import anomalies
from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.hook import Hook, TrainingLoop
from fusionjax.train.program import meta_batch_size
from fusionjax.train.quarantine import Exclusions
from fusionjax.train.rebound import Rebound
from fusionjax.train.state import TrainState
from fusionjax.types import Batch, Encoded

_MOST_ROWS = 8192  # of the training and of the meta rows that a diagnosis looks at


class ModalitySelection(Hook):
    """Selects once in a run, where fusion weights are learned from a meta set.

    Args:
      rebound: there is no way back to before it.
      exclusions: samples that are not asked.
    """

    def __init__(self, rebound: Rebound, exclusions: Exclusions) -> None:
        self._rebound, self._exclusions = rebound, exclusions

    def opened(self, loop: TrainingLoop) -> None:
        """Knows the step that it is due at."""
        has_meta_set = loop.training_data.meta is not None
        self._due = weights.elimination_step(loop.run.config) if has_meta_set else None

    def before_step(self, loop: TrainingLoop) -> None:
        """Selects at that step: while the encoders have not seen the meta set."""
        if loop.step != self._due:
            return
        self._due = None  # once, also where this step has to be made again
        training_data = self._exclusions.without_excluded(loop.training_data, loop.step)
        with loop.goodput.spent("settle"):
            loop.state = select(loop, training_data)
        self._rebound.settled(loop.step, loop.state)


def select(loop: TrainingLoop, training_data: TrainingData) -> TrainState:
    """Drops what the meta set does not miss, and says what is odd about the fusion.

    Indicators before and after go to ``fusion.json`` in the run's folder.
    """
    assert training_data.inner is not None
    assert training_data.meta is not None
    program, state, windows = loop.run.program, loop.state, loop.run.windows
    names, size = tuple(loop.run.config.modalities), meta_batch_size(loop.run.config.train)
    inner, meta = (_thinned(s) for s in (training_data.inner, training_data.meta))
    before, later = (
        program.encode(state.ema_params, labelled_batches(s, windows, size)) for s in (inner, meta)
    )
    later, broken = _sound(later)
    asked, meta = meta, meta.take(~broken)
    seen = {
        "training": program.diagnose(state.ema_params, *before),
        "anchor": program.diagnose(state.ema_params, *later),
    }
    _, session = np.unique(meta.target_day, return_inverse=True)
    state, outcome = program.eliminate(state, *later, session)
    seen["settled"] = program.diagnose(state.ema_params, *later)
    odd = anomalies(names, seen["training"], seen["anchor"], seen["settled"])
    if broken.any():
        rows = asked.row[broken][:8].tolist()
        first = f"{broken.sum()} meta samples are non-finite once encoded and were not asked"
        odd = [f"{first}: {rows}", *odd]
    _tell(loop, names, outcome, f"{len(meta):,}", odd)
    if loop.folder is not None:
        indicators = {name: dataclasses.asdict(d) for name, d in seen.items()}
        _record(loop.folder, {"modalities": names, **indicators, **outcome, "anomalies": odd})
    return state


def _tell(
    loop: TrainingLoop, names: tuple[str, ...], outcome: dict[str, Any], asked: str, odd: list[str]
) -> None:
    step, label = int(loop.state.step), loop.run.label
    worth = ", ".join(
        f"{name} {w:+.4f} ± {e:.4f}{'' if k else ' (dropped)'}"
        for name, w, e, k in zip(
            names, outcome["worth"], outcome["error"], outcome["kept"], strict=True
        )
    )
    text = f"{label}: worth to {asked} later samples, in loss: {worth}"
    events.tell("T3", text, loop.folder, step=step)
    for line in odd:
        events.tell("T4", f"{label}: {line}", loop.folder, step=step)


def _record(folder: Path, row: dict[str, Any]) -> None:
    if processes.first():
        files.write_text(folder / "fusion.json", json.dumps(row, default=np.ndarray.tolist))


def _sound(later: tuple[Encoded, Batch]) -> tuple[tuple[Encoded, Batch], Bool[np.ndarray, "N"]]:
    """What is encoded, without the samples that are non-finite; and which those are."""
    encoded, batch = later
    broken = ~np.isfinite(encoded.h.astype(np.float32)).all((1, 2))
    return jax.tree.map(lambda x: x[~broken], (encoded, batch)), broken


def _thinned(samples: Samples) -> Samples:
    """Evenly spaced samples where there are more than a diagnosis needs."""
    if len(samples) <= _MOST_ROWS:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, _MOST_ROWS).astype(int))
