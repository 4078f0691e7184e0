"""Debugs a non-finite step: where it is non-finite first, which samples cause it, for the record.

The state waits as it was before the failing step, and the step's feed is a function of seed and
step: the step is made again with every intermediate result checked, then with parts of the rows
blank, until the samples that break it are known.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from fusionjax import files
from fusionjax.data.pipeline import BatchSource, VisibleRows
from fusionjax.parallel import processes
from fusionjax.parallel.rules import path_name
from fusionjax.train.job import Run
from fusionjax.train.state import TrainState
from fusionjax.train.trace_nonfinite import Site
from fusionjax.types import StepInputs

_SHOWN = 8  # names listed before "and … more"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found about a non-finite step.

    Attributes:
      step: that could not be made.
      cause: ``samples`` whose content breaks it; the ``model``, which breaks on nothing or on
        most samples; or ``chance``: made again, it is finite (a fault of the machine).
      forward: the first non-finite intermediate result of the forward pass.
      backward: the same of the backward pass.
      gradients: parameters whose gradient is non-finite.
      parameters: that are non-finite themselves.
      samples: rows of the market that break it.
      inputs: which of theirs are non-finite.
    """

    step: int
    cause: Literal["samples", "model", "chance"]
    forward: Site | None = None
    backward: Site | None = None
    gradients: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    samples: tuple[int, ...] = ()
    inputs: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.cause == "chance":
            return (
                f"step {self.step} was non-finite and, made again, is not: look at the machine's "
                "memory and devices"
            )
        first = [
            f"in the {way} pass first in {site}"
            for way, site in (("forward", self.forward), ("backward", self.backward))
            if site is not None
        ]
        return f"step {self.step} is non-finite: " + "; ".join(
            first
            + _listed("non-finite gradients of", self.gradients)
            + _listed("non-finite parameters", self.parameters)
            + _listed("non-finite inputs", self.inputs)
        )


def _listed(what: str, names: tuple[str, ...]) -> list[str]:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{what} {', '.join(names[:_SHOWN])}{more}"] if names else []


def debug_step(
    run: Run, batch_source: BatchSource, state: TrainState, reference: dict | None = None
) -> Finding:
    """Looks into the step that ``state`` could not make.

    More than ``guard.max_quarantined`` samples, or half of a batch, are not at fault: it is the
    model.

    Args:
      run: that it is a step of.
      feeds: what it trains on.
      state: as it waits.
      reference: parameters that the run is held to.
    """
    program, seed, step = run.program, run.config.seed, int(state.step)
    batch, meta = batch_source.drawn(step)
    rows = np.concatenate([batch.row, np.zeros(0, int) if meta is None else meta.row])

    def made(shown: np.ndarray, state: TrainState = state) -> tuple[dict[str, bool], Any, Any]:
        step_inputs = batch_source.showing(
            step, VisibleRows(shown[: len(batch)], shown[len(batch) :])
        )
        return program.examine(state, step_inputs, seed, reference)

    sizes = (len(part) // 2 for part in (batch, meta) if part is not None)
    most = min(run.config.guard.max_quarantined, *sizes)
    every = np.ones(len(rows), bool)
    found, sites, lost = made(every)
    if not any(found.values()):
        return Finding(step, "chance")
    none, _, usual = made(~every)
    at = None
    if not any(none.values()):
        spoilt = batch_source.spoilt(step)
        if spoilt.sum() > most and not any(made(~spoilt)[0].values()):
            at = np.flatnonzero(spoilt)  # too many to be taken out, but it is not the model
        else:
            at = _breaking(lambda s: any(made(s)[0].values()), rows, most)
    if at is None:
        # What is non-finite on purpose is so with fresh parameters too.
        usual = made(every, program.init(seed))[2]
    if not (lost & ~usual).any():  # it breaks on everything, fresh too
        usual = np.zeros_like(lost)
    first = {side: _first(sites, lost & ~usual, side) for side in (False, True)}
    parameters = jax.tree_util.tree_leaves_with_path(state.params)
    broken = jax.device_get([~jax.numpy.isfinite(x).all() for _, x in parameters])
    samples = () if at is None else tuple(dict.fromkeys(rows[at].tolist()))
    return Finding(
        step,
        "model" if at is None else "samples",
        first[False],
        first[True],
        tuple(n.removeprefix("gradients/") for n, x in found.items() if x and "gradients/" in n),
        tuple(path_name(p) for (p, _), x in zip(parameters, broken, strict=True) if x),
        samples,
        () if at is None else _inputs(batch_source[step], samples),
    )


def _breaking(
    breaks: Callable[[np.ndarray], bool], rows: np.ndarray, most: int
) -> np.ndarray | None:
    """Positions of the fewest rows that break a step, by halving; None for more than ``most``.

    Args:
      breaks: whether it does with these rows shown and the others blank.
      rows: that all together break it; a sample drawn twice stands in it twice.
      most: how many.
    """
    found: list[int] = []

    def search(inside: np.ndarray) -> None:
        if len(found) > most:
            return
        if len(inside) == 1:
            found.extend(inside.tolist())
            return
        halves = [h for h in np.array_split(inside, 2) if breaks(np.isin(np.arange(len(rows)), h))]
        for half in halves:
            search(half)
        if not halves:  # only together
            found.extend(inside.tolist())

    search(np.arange(len(rows)))
    return np.array(sorted(found)) if len(found) <= most else None


def _first(sites: list[Site], lost: np.ndarray, backward: bool) -> Site | None:
    return next((sites[i] for i in np.flatnonzero(lost) if sites[i].backward == backward), None)


def _inputs(step_inputs: StepInputs, samples: tuple[int, ...]) -> tuple[str, ...]:
    """What this process's rows of these samples hold that is non-finite."""
    named = []
    for part in (step_inputs.batch, step_inputs.meta):
        if part is None:
            continue
        mine = np.isin(part.sample_id, samples)
        for path, x in jax.tree_util.tree_leaves_with_path((part.inputs, part.targets)):
            if mine.any() and np.issubdtype(x.dtype, np.inexact):
                count = int((~np.isfinite(x[mine])).sum())
                if count:
                    name = path_name(path).split("/", 1)[1]
                    named.append(f"{name} ({count} value{'s' * (count > 1)})")
    return tuple(dict.fromkeys(named))


def record(
    folder: Path, finding: Finding, step_inputs: StepInputs, described: list[dict[str, Any]]
) -> Path:
    """Writes a finding and the arrays of the step's feed beside a training; returns where.

    Every process dumps its own rows.
    """
    place = folder / "lost" / f"step_{finding.step}"
    arrays = {
        path_name(path): x
        for path, x in jax.tree_util.tree_leaves_with_path(step_inputs)
        if x is not None
    }
    with files.replaced(place / f"feed_{processes.index()}.npz") as f:
        np.savez_compressed(f, **arrays)
    if processes.first():
        row = dataclasses.asdict(finding) | {"described": described}
        files.write_text(place / "finding.json", json.dumps(row, indent=1))
    return place
