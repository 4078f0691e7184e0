"""Endless shuffled batches: batch number ``step`` is a pure function of the seed and the step."""

import functools
from collections.abc import Iterator

import grain
import numpy as np
from jaxtyping import Int64

from fusionjax.data.samples import Samples, take_targets, unlabelled
from fusionjax.data.windows import Windows
from fusionjax.types import Batch

_PREFETCH = 4  # batches made ahead of the step that uses them


class _Stream:
    """Epoch after epoch of a fresh permutation of ``size`` positions."""

    def __init__(self, size: int, seed: int) -> None:
        @functools.lru_cache(maxsize=2)
        def permutation(epoch: int) -> np.ndarray:
            return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(size)

        self._size, self._permutation = size, permutation

    def __call__(self, start: int, stop: int) -> Int64[np.ndarray, "B"]:
        at = np.arange(start, stop)
        epochs = at // self._size
        return (
            np.concatenate(
                [self._permutation(int(e))[at[epochs == e] % self._size] for e in np.unique(epochs)]
            )
            if len(at)
            else at
        )


class _Batches:
    """Random access to this process's rows of every global batch.

    The global batch is the same for any number of processes: process p of P makes rows
    p·B/P to (p+1)·B/P of it.
    """

    def __init__(
        self,
        samples: Samples,
        windows: Windows,
        batch_size: int,
        seed: int,
        process: tuple[int, int],
        replay: Samples | None,
        replay_share: float,
    ) -> None:
        self._windows = windows
        self._old = round(batch_size * replay_share) if replay is not None else 0
        self._new = batch_size - self._old
        self._pool = samples if replay is None else _concatenate(samples, replay)
        self._fresh = _Stream(len(samples), seed)
        self._replay = _Stream(len(self._pool) - len(samples), seed + 1) if self._old else None
        self._offset = len(samples)
        index, count = process
        self._rows = slice(index * batch_size // count, (index + 1) * batch_size // count)

    def __len__(self) -> int:
        return 2**31  # endless; grain wants a length

    def __getitem__(self, step: int) -> Batch:
        at = self._fresh(step * self._new, (step + 1) * self._new)
        if self._replay is not None:
            old = self._offset + self._replay(step * self._old, (step + 1) * self._old)
            at = np.concatenate([at, old])
        at = at[self._rows]
        return self._windows(
            self._pool.row[at], take_targets(self._pool.targets, at), np.ones(len(at), np.float32)
        )


def training_batches(
    samples: Samples,
    windows: Windows,
    *,
    batch_size: int,
    seed: int,
    start: int,
    process: tuple[int, int] = (0, 1),
    replay: Samples | None = None,
    replay_share: float = 0.0,
) -> Iterator[Batch]:
    """Batches from step ``start`` on, made in the background.

    Args:
      samples: what to learn from.
      windows: builds the inputs.
      batch_size: global batch size, in samples.
      seed: of the order.
      start: first step, so that a resumed run sees the batch it would have seen.
      process: (this process, number of processes).
      replay: older samples to mix in, or None.
      replay_share: share of each batch that comes from ``replay``.
    """
    source = _Batches(samples, windows, batch_size, seed, process, replay, replay_share)
    batches = iter(
        grain.MapDataset.source(source).to_iter_dataset(
            grain.ReadOptions(num_threads=1, prefetch_buffer_size=_PREFETCH)
        )
    )
    batches.set_state({"next_index": start})
    return batches


def evaluation_batches(
    rows: np.ndarray, windows: Windows, batch_size: int, hidden: frozenset[str] = frozenset()
) -> Iterator[Batch]:
    """Every row once, in order and without labels; padding rows at the end have weight 0."""
    targets = unlabelled(windows.config, batch_size)
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        padded = np.concatenate([part, np.repeat(part[-1:], batch_size - len(part))])
        weight = (np.arange(batch_size) < len(part)).astype(np.float32)
        yield windows(padded, targets, weight, hidden)


def _concatenate(a: Samples, b: Samples) -> Samples:
    join = {
        name: np.concatenate([getattr(a.targets, name), getattr(b.targets, name)])
        for name in a.targets.__dataclass_fields__
    }
    return Samples(
        np.concatenate([a.row, b.row]),
        np.concatenate([a.target_day, b.target_day]),
        type(a.targets)(**join),
        np.concatenate([a.subset, b.subset]),
    )
