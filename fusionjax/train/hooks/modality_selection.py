"""Runs once in mid-training: removes modalities that do not lower the held-out loss, and
diagnoses the fusion."""

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

_MAX_ROWS = 8192  # of the training and of the meta rows in a diagnosis


class ModalitySelection(Hook):
    """Selects once in a run, where fusion weights are learned from a meta set.

    Args:
      rebound: must not restore a state from before the selection.
      exclusions: samples that are left out.
    """

    def __init__(self, rebound: Rebound, exclusions: Exclusions) -> None:
        self._rebound, self._exclusions = rebound, exclusions

    def opened(self, loop: TrainingLoop) -> None:
        """Computes the step of the selection."""
        has_meta_set = loop.training_data.meta is not None
        self._due = weights.elimination_step(loop.run.config) if has_meta_set else None

    def before_step(self, loop: TrainingLoop) -> None:
        """Selects at that step, before the encoders have trained on the meta set."""
        if loop.step != self._due:
            return
        self._due = None  # once, even if this step is repeated
        training_data = self._exclusions.without_excluded(loop.training_data, loop.step)
        with loop.goodput.spent("settle"):
            loop.state = select(loop, training_data)
        self._rebound.modalities_selected(loop.step, loop.state)


def select(loop: TrainingLoop, training_data: TrainingData) -> TrainState:
    """Removes modalities that do not lower the held-out loss, and reports oddities of the fusion.

    Indicators before and after are written to ``fusion.json`` in the run's folder.
    """
    assert training_data.inner is not None
    assert training_data.meta is not None
    program, state, windows = loop.run.program, loop.state, loop.run.windows
    names, size = tuple(loop.run.config.modalities), meta_batch_size(loop.run.config.train)
    inner, meta = (evenly_spaced(s) for s in (training_data.inner, training_data.meta))
    inner_encoded, meta_encoded = (
        program.encode(state.ema_params, labelled_batches(s, windows, size)) for s in (inner, meta)
    )
    meta_encoded, broken = _without_nonfinite(meta_encoded)
    broken_rows, meta = meta.row[broken], meta.take(~broken)
    indicators = {
        "training": program.diagnose(state.ema_params, *inner_encoded),
        "anchor": program.diagnose(state.ema_params, *meta_encoded),
    }
    _, session = np.unique(meta.target_day, return_inverse=True)
    state, outcome = program.eliminate(state, *meta_encoded, session)
    indicators["settled"] = program.diagnose(state.ema_params, *meta_encoded)
    odd = anomalies(names, *indicators.values())
    if broken.any():
        text = f"{len(broken_rows)} meta samples are non-finite once encoded and were left out"
        odd = [f"{text}: {broken_rows[:8].tolist()}", *odd]
    _report(loop, names, outcome, f"{len(meta):,}", odd)
    if loop.folder is not None:
        rows = {name: dataclasses.asdict(d) for name, d in indicators.items()}
        _record(loop.folder, {"modalities": names, **rows, **outcome, "anomalies": odd})
    return state


def _report(
    loop: TrainingLoop,
    names: tuple[str, ...],
    outcome: dict[str, Any],
    samples: str,
    odd: list[str],
) -> None:
    step, label = int(loop.state.step), loop.run.label
    worth = ", ".join(
        f"{name} {w:+.4f} ± {e:.4f}{'' if k else ' (dropped)'}"
        for name, w, e, k in zip(
            names, outcome["worth"], outcome["error"], outcome["kept"], strict=True
        )
    )
    text = f"{label}: decrease of the loss of {samples} held-out samples: {worth}"
    events.tell("T3", text, loop.folder, step=step)
    for line in odd:
        events.tell("T4", f"{label}: {line}", loop.folder, step=step)


def _record(folder: Path, row: dict[str, Any]) -> None:
    if processes.first():
        files.write_text(folder / "fusion.json", json.dumps(row, default=np.ndarray.tolist))


def _without_nonfinite(
    samples: tuple[Encoded, Batch],
) -> tuple[tuple[Encoded, Batch], Bool[np.ndarray, "N"]]:
    """Encoded samples without the non-finite ones, and which those are."""
    encoded, batch = samples
    broken = ~np.isfinite(encoded.h.astype(np.float32)).all((1, 2))
    return jax.tree.map(lambda x: x[~broken], (encoded, batch)), broken


def evenly_spaced(samples: Samples) -> Samples:
    """Evenly spaced samples, at most as many as a diagnosis needs."""
    if len(samples) <= _MAX_ROWS:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, _MAX_ROWS).astype(int))
