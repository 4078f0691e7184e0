"""Half-way: which modalities the anchor does not miss, and what is odd about the fusion."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Bool

from fusionjax import files
from fusionjax.config import Config
from fusionjax.data.pipeline import labelled_batches
from fusionjax.data.samples import Lesson, Samples
from fusionjax.data.windows import Windows
from fusionjax.distill.contribution import anomalies
from fusionjax.parallel import processes
from fusionjax.train import events
from fusionjax.train.program import Program, anchor_size
from fusionjax.train.state import TrainState
from fusionjax.types import Batch, Encoded

_MOST_ROWS = 8192  # of the training and of the anchor rows that a diagnosis looks at


def settle(
    program: Program,
    state: TrainState,
    lesson: Lesson,
    windows: Windows,
    config: Config,
    folder: Path | None,
    label: str,
) -> TrainState:
    """Drops what the anchor does not miss, and says what is odd about the fusion.

    Now, while the encoders have not seen the anchor. Indicators before and after go to
    ``fusion.json`` in the run's folder.
    """
    assert lesson.base is not None
    assert lesson.anchor is not None
    names, size = tuple(config.modalities), anchor_size(config)
    base, anchor = (_thinned(s) for s in (lesson.base, lesson.anchor))
    before, later = (
        program.encode(state.ema_params, labelled_batches(s, windows, size)) for s in (base, anchor)
    )
    later, broken = _sound(later)
    asked, anchor = anchor, anchor.take(~broken)
    seen = {
        "training": program.diagnose(state.ema_params, *before),
        "anchor": program.diagnose(state.ema_params, *later),
    }
    _, session = np.unique(anchor.target_day, return_inverse=True)
    state, said = program.eliminate(state, *later, session)
    worth = ", ".join(
        f"{name} {w:+.4f} ± {e:.4f}{'' if k else ' (dropped)'}"
        for name, w, e, k in zip(names, said["worth"], said["error"], said["kept"], strict=True)
    )
    seen["settled"] = program.diagnose(state.ema_params, *later)
    found = anomalies(names, seen["training"], seen["anchor"], seen["settled"])
    if broken.any():
        rows = asked.row[broken][:8].tolist()
        found = [
            f"{broken.sum()} anchor samples are non-finite once encoded and were not asked: {rows}",
            *found,
        ]
    step, said_worth = int(state.step), f"worth to {len(anchor):,} later samples, in loss: {worth}"
    events.tell("T3", f"{label}: {said_worth}", folder, step=step)
    for line in found:
        events.tell("T4", f"{label}: {line}", folder, step=step)
    if folder is not None and processes.first():
        record = {
            "modalities": names,
            **{name: dataclasses.asdict(d) for name, d in seen.items()},
            **said,
            "anomalies": found,
        }
        files.write_text(folder / "fusion.json", json.dumps(record, default=np.ndarray.tolist))
    return state


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
