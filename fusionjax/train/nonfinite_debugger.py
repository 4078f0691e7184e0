"""Debugs a non-finite step: finds its first non-finite value and the samples that cause it.

The state is still that before the failing step, and the step's batch depends on seed and step only.
So the step is repeated, first with every intermediate result checked, then with parts of the rows
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

_MAX_LISTED = 8  # names listed before "and … more"


@dataclasses.dataclass(frozen=True)
class Finding:
    """The diagnosis of a non-finite step.

    Attributes:
      step: that is non-finite.
      cause: ``samples`` whose content breaks it; the ``model``, which fails without any sample or
        with most; or ``chance``: repeated, the step is finite (a fault of the machine).
      forward: the first non-finite intermediate result of the forward pass.
      backward: the same of the backward pass.
      gradients: parameters whose gradient is non-finite.
      parameters: those that are themselves non-finite.
      samples: rows of the market that break it.
      inputs: their non-finite inputs.
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
                f"step {self.step} was non-finite but, repeated, is not: check the machine's "
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
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return [f"{what} {', '.join(names[:_MAX_LISTED])}{more}"] if names else []


def debug_step(
    run: Run, batch_source: BatchSource, state: TrainState, reference: dict | None = None
) -> Finding:
    """Diagnoses the step after ``state``.

    If more than ``guard.max_quarantined`` samples, or half of a batch, break it, the model is the
    cause.

    Args:
      run: that the step belongs to.
      batch_source: its inputs.
      state: before the step.
      reference: parameters that regularise the run.
    """
    program, seed, step = run.program, run.config.seed, int(state.step)
    batch, meta = batch_source.drawn(step)
    rows = np.concatenate([batch.row, np.zeros(0, int) if meta is None else meta.row])

    def examine(visible: np.ndarray, state: TrainState = state) -> tuple[dict[str, bool], Any, Any]:
        step_inputs = batch_source.showing(
            step, VisibleRows(visible[: len(batch)], visible[len(batch) :])
        )
        return program.examine(state, step_inputs, seed, reference)

    sizes = (len(part) // 2 for part in (batch, meta) if part is not None)
    limit = min(run.config.guard.max_quarantined, *sizes)
    all_rows = np.ones(len(rows), bool)
    nonfinite, sites, flags = examine(all_rows)
    if not any(nonfinite.values()):
        return Finding(step, "chance")
    without_rows, _, intended = examine(~all_rows)
    positions = None
    if not any(without_rows.values()):
        spoilt = batch_source.spoilt(step)
        if spoilt.sum() > limit and not any(examine(~spoilt)[0].values()):
            positions = np.flatnonzero(spoilt)  # too many to exclude, but not the model's fault
        else:
            positions = _find_breaking(lambda s: any(examine(s)[0].values()), rows, limit)
    if positions is None:
        # Intermediate results that are meant to be non-finite are so with fresh parameters too.
        intended = examine(all_rows, program.init(seed))[2]
    if not (flags & ~intended).any():  # fresh parameters fail in the same places
        intended = np.zeros_like(flags)
    first = {side: _first_site(sites, flags & ~intended, side) for side in (False, True)}
    parameters = jax.tree_util.tree_leaves_with_path(state.params)
    broken = jax.device_get([~jax.numpy.isfinite(x).all() for _, x in parameters])
    samples = () if positions is None else tuple(dict.fromkeys(rows[positions].tolist()))
    return Finding(
        step,
        "model" if positions is None else "samples",
        first[False],
        first[True],
        tuple(
            n.removeprefix("gradients/") for n, x in nonfinite.items() if x and "gradients/" in n
        ),
        tuple(path_name(p) for (p, _), x in zip(parameters, broken, strict=True) if x),
        samples,
        () if positions is None else _nonfinite_inputs(batch_source[step], samples),
    )


def _find_breaking(
    breaks: Callable[[np.ndarray], bool], rows: np.ndarray, limit: int
) -> np.ndarray | None:
    """Positions of the fewest rows that break a step, by halving; None for more than ``limit``.

    Args:
      breaks: whether the step is non-finite with these rows shown and the others blank.
      rows: all rows of the step; a sample drawn twice occurs twice.
      limit: the most positions to return.
    """
    positions: list[int] = []

    def search(part: np.ndarray) -> None:
        if len(positions) > limit:
            return
        if len(part) == 1:
            positions.extend(part.tolist())
            return
        halves = [h for h in np.array_split(part, 2) if breaks(np.isin(np.arange(len(rows)), h))]
        for half in halves:
            search(half)
        if not halves:  # they break it only together
            positions.extend(part.tolist())

    search(np.arange(len(rows)))
    return np.array(sorted(positions)) if len(positions) <= limit else None


def _first_site(sites: list[Site], flags: np.ndarray, backward: bool) -> Site | None:
    return next((sites[i] for i in np.flatnonzero(flags) if sites[i].backward == backward), None)


def _nonfinite_inputs(step_inputs: StepInputs, samples: tuple[int, ...]) -> tuple[str, ...]:
    """The non-finite inputs of these samples, with counts, in this process's rows."""
    lines = []
    for part in (step_inputs.batch, step_inputs.meta):
        if part is None:
            continue
        selected = np.isin(part.sample_id, samples)
        for path, x in jax.tree_util.tree_leaves_with_path((part.inputs, part.targets)):
            if selected.any() and np.issubdtype(x.dtype, np.inexact):
                count = int((~np.isfinite(x[selected])).sum())
                if count:
                    name = path_name(path).split("/", 1)[1]
                    lines.append(f"{name} ({count} value{'s' * (count > 1)})")
    return tuple(dict.fromkeys(lines))


def record(
    folder: Path, finding: Finding, step_inputs: StepInputs, described: list[dict[str, Any]]
) -> Path:
    """Writes a finding and the step's inputs to a training's folder; returns where.

    Every process writes its own rows.
    """
    target = folder / "lost" / f"step_{finding.step}"
    arrays = {
        path_name(path): x
        for path, x in jax.tree_util.tree_leaves_with_path(step_inputs)
        if x is not None
    }
    with files.replaced(target / f"feed_{processes.index()}.npz") as f:
        np.savez_compressed(f, **arrays)
    if processes.first():
        row = dataclasses.asdict(finding) | {"described": described}
        files.write_text(target / "finding.json", json.dumps(row, indent=1))
    return target
