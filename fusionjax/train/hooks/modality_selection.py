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
from fusionjax.distill import evidence, weights
from fusionjax.distill.contribution import anomalies
from fusionjax.distill.elimination import enough_shown
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
    inner, meta = (some_in_order(s) for s in (training_data.inner, training_data.meta))
    inner_encoded = program.encode(state.ema_params, labelled_batches(inner, windows, size))
    meta_encoded, broken = finite(
        program.encode(state.ema_params, labelled_batches(meta, windows, size))
    )
    broken_rows, meta = meta.row[broken], meta.take(~broken)
    indicators = {
        "training": program.diagnose(state.ema_params, *inner_encoded),
        "anchor": program.diagnose(state.ema_params, *meta_encoded),
    }
    session = np.unique(meta.target_day, return_inverse=True)[1]
    shown = enough_shown(np.asarray(inner_encoded[0].present), inner.target_day)
    shown &= enough_shown(np.asarray(meta_encoded[0].present), meta.target_day)
    state, outcome = program.eliminate(state, *meta_encoded, session, shown)
    indicators["settled"] = program.diagnose(state.ema_params, *meta_encoded)
    odd = anomalies(names, *indicators.values())
    if broken.any():
        text = f"{len(broken_rows)} meta samples are non-finite once encoded and were left out"
        odd = [f"{text}: {broken_rows[:8].tolist()}", *odd]
    state_of = evidence.states(names, outcome["kept"], shown, loop.run.config.distill.keep)
    rises = evidence.by_session(outcome.pop("rises"), session)
    known = [e if asked else evidence.NOTHING for e, asked in zip(rises, shown, strict=True)]
    _report(loop, state_of, outcome, f"{len(meta):,}", odd)
    if loop.folder is not None:
        rows = {name: dataclasses.asdict(d) for name, d in indicators.items()}
        known_of = {n: e.to_json() for n, e in zip(names, known, strict=True)}
        record = {"modalities": names, "state": state_of, **rows, **outcome, "anomalies": odd}
        write(loop.folder, record | {"window": int(session.max()) + 1, "evidence": known_of})
    return state


def _report(
    loop: TrainingLoop,
    state_of: dict[str, str],
    outcome: dict[str, Any],
    samples: str,
    odd: list[str],
) -> None:
    step, label = int(loop.state.step), loop.run.label
    worth = zip(state_of.items(), outcome["earned"], outcome["error"], strict=True)
    words = ", ".join(
        describe(name, word, float(e), float(error)) for (name, word), e, error in worth
    )
    text = (
        f"{label}: rise of the loss of {samples} held-out samples with other samples' in the place "
        f"of each modality: {words}"
    )
    events.tell("T3", text, loop.folder, step=step)
    for line in odd:
        events.tell("T4", f"{label}: {line}", loop.folder, step=step)


def describe(name: str, word: str, earned: float, error: float) -> str:
    """A modality with what was decided of it, for a message."""
    if word == "waiting":
        return f"{name} (waiting, without weight: too few sessions show it)"
    return f"{name} {earned:+.4f} ± {error:.4f}" + ("" if word == "kept" else f" ({word})")


def write(folder: Path, record: dict[str, Any]) -> None:
    """Writes ``fusion.json`` of a run's folder: what was decided, and the evidence."""
    if processes.first():
        files.write_text(folder / "fusion.json", json.dumps(record, default=np.ndarray.tolist))


def finite(
    samples: tuple[Encoded, Batch],
) -> tuple[tuple[Encoded, Batch], Bool[np.ndarray, "N"]]:
    """Encoded samples without the non-finite ones, and which those are."""
    encoded, batch = samples
    broken = ~np.isfinite(encoded.h.astype(np.float32)).all((1, 2))
    return jax.tree.map(lambda x: x[~broken], (encoded, batch)), broken


def some_in_order(samples: Samples) -> Samples:
    """Evenly spaced samples by day, at most as many as a diagnosis needs.

    A market's are by symbol. Here a sample some rows away must be of another time, or a placebo of
    what all stocks share would be none.
    """
    samples = samples.take(np.argsort(samples.target_day, kind="stable"))
    if len(samples) <= _MAX_ROWS:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, _MAX_ROWS).astype(int))
