"""Samples with a part replaced by another sample's: what explanations ask a run about."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int64

from fusionjax.data.windows import EXPERTS, Windows
from fusionjax.experts import stack
from fusionjax.experts.stacked import Stack
from fusionjax.types import Batch, Targets

WHOLE, SCALE = "whole", "trailing volatility"  # a kind of parts; a source beside the modalities


@dataclasses.dataclass(frozen=True)
class Swap:
    """Parts of one kind and what stands in for them.

    Attributes:
      source: what they are parts of: what they are put into.
      kind: of the parts.
      names: of each part.
      inside: see ``modalities.base.Parts``.
      content: what stands in, in the structure of the input, [N, ...].
      other: for each part, the rows of ``content``, one a placebo.
    """

    source: str
    kind: str
    names: list[str]
    inside: Any
    content: Any
    other: Int64[np.ndarray, "P K"]


class Replaced(Windows):
    """One sample with a part replaced: its rows are cases, first the sample as it is.

    Args:
      windows: the sample's.
      own: the sample.
      swaps: what is replaced, part after part, placebo after placebo.
    """

    def __init__(self, windows: Windows, own: Batch, swaps: list[Swap]) -> None:
        self.config, self.stack = windows.config, None
        self._own, self._swaps = own, swaps
        index = [np.array([[-1, 0, 0]])]
        for i, swap in enumerate(swaps):
            part = np.repeat(np.arange(len(swap.names)), swap.other.shape[1])
            index.append(np.column_stack([np.full(len(part), i), part, swap.other.ravel()]))
        self._index = np.concatenate(index).astype(np.int64)

    @property
    def cases(self) -> Int64[np.ndarray, "S"]:
        """All of them."""
        return np.arange(len(self._index))

    def expect(self, rows: Int64[np.ndarray, "B"], hidden: frozenset[str] = frozenset()) -> None:
        """Nothing: what experts say is in the swaps."""

    def __call__(
        self,
        rows: Int64[np.ndarray, "B"],
        targets: Targets,
        weight: Float[np.ndarray, "B"],
        hidden: frozenset[str] = frozenset(),
    ) -> Batch:
        """The batch of some cases."""
        batch: Batch = jax.tree.map(lambda x: np.repeat(x, len(rows), 0), self._own)
        which, part, other = self._index[rows].T
        beside = batch.base, batch.log_scale
        for i in np.unique(which[which >= 0]).tolist():
            swap, at = self._swaps[i], np.flatnonzero(which == i)
            into = batch.inputs.get(swap.source, beside)
            _put(into, swap, at, part[at], other[at])
        return dataclasses.replace(batch, targets=targets, weight=weight)


def _put(into: Any, swap: Swap, at: np.ndarray, part: np.ndarray, other: np.ndarray) -> None:
    """Replaces a part in each of some rows, in place."""

    def put(x: np.ndarray, inside: np.ndarray, content: np.ndarray) -> None:
        x[at] = np.where(inside[part], content[other], x[at])

    jax.tree.map(put, into, swap.inside, swap.content)


def of_modality(
    name: str, samples: tuple[Batch, Batch], windows: Windows, row: int, placebos: int
) -> list[Swap]:
    """A modality as a whole and by its parts; none where the sample or the placebos lack it.

    Args:
      name: of the modality.
      samples: the explained one, and candidates to stand in.
      windows: their source.
      row: of the explained one.
      placebos: how many stand in.
    """
    own, others = samples
    there = np.flatnonzero(others.present[name])[:placebos]
    if not own.present[name][0] or len(there) < 2:
        return []
    modality, content = windows.config.modalities[name], others.inputs[name]
    value = jax.tree.map(lambda x: x[0], own.inputs[name])
    parts = modality.parts(value, windows.market, row)
    return [
        Swap(name, WHOLE, [name], _everything(content), content, there[None]),
        *(
            Swap(name, p.kind, p.names, p.inside, content, np.tile(there, (len(p.names), 1)))
            for p in parts
            if p.names
        ),
    ]


def of_experts(
    windows: Windows, samples: tuple[Batch, Batch], rows: Int64[np.ndarray, "S"]
) -> list[Swap]:
    """What experts forecast together, and each of them; without experts, the trailing volatility.

    Args:
      windows: with the experts.
      samples: the explained one, and at least as many as placebos.
      rows: of the placebos, then of the explained one.
    """
    own, others = samples
    content = others.base, others.log_scale
    there = np.arange(len(rows) - 1)[None]
    source = SCALE if others.base is None else EXPERTS
    whole = Swap(source, WHOLE, [source], _everything(content), content, there)
    if windows.stack is None:
        return [whole]
    names = sorted({n for w in windows.stack.experts.weight.values() for n in w})
    base = _each_replaced(windows.stack, own.base, names, rows)
    content = base, np.repeat(own.log_scale, names and there.size * len(names), 0)
    other = np.arange(there.size * len(names)).reshape(len(names), -1)
    each = Swap(EXPERTS, "expert", names, _everything(content, len(names)), content, other)
    return [whole, each] if len(names) > 1 else [whole]


def _each_replaced(experts: Stack, own: Any, names: list[str], rows: Int64[np.ndarray, "S"]) -> Any:
    """The forecasts of experts together if one after the other says what it says of placebos.

    Args:
      experts: of the run.
      own: ``Base`` of the explained sample.
      names: of the experts.
      rows: of the placebos, then of the explained sample.
    """
    count = len(rows) - 1
    base = jax.tree.map(lambda x: np.repeat(x, count * len(names), 0), own)
    for task, weight in experts.experts.weight.items():
        head, at = task
        each = [experts.experts.forecast(experts.available, task, n, rows) for n in weight]
        said, shares = np.stack(each, 1), np.array([*weight.values()])
        for i, name in enumerate(weight):
            mixed = np.repeat(said[-1:], count, 0)
            mixed[:, i] = said[:-1, i]
            together = stack.combined(mixed, shares, int(shares.argmin()))
            known = np.isfinite(together).reshape(count, -1).all(1)
            place = names.index(name) * count + np.flatnonzero(known)
            base.value[head][place, at] = together[known]
    return base


def _everything(content: Any, parts: int = 1) -> Any:
    """Masks of parts that are the whole."""
    return jax.tree.map(lambda x: np.ones((parts, *(1,) * (x.ndim - 1)), bool), content)
