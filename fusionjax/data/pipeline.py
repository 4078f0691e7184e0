"""Endless shuffled batches: batch number ``step`` is a pure function of the seed and the step."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping

import grain
import jax
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from fusionjax import streams
from fusionjax.data.samples import Samples, TrainingData, unlabelled
from fusionjax.data.windows import Windows
from fusionjax.types import Batch, StepInputs

Balance = Float64[np.ndarray, "R"] | None  # weight of each row of the market in drawing
_PREFETCH = 4  # batches made ahead of the step that uses them


class _Stream:
    """Epoch after epoch of a fresh permutation of ``size`` positions.

    With weights, an epoch holds each position as often as its weight says, rounded up or down at
    random (systematic resampling), and is as long as without.
    """

    def __init__(
        self, size: int, seed: int, purpose: str, weight: Float64[np.ndarray, "S"] | None
    ) -> None:
        ends = None if weight is None else np.cumsum(weight) * size / weight.sum()

        @functools.lru_cache(maxsize=2)
        def permutation(epoch: int) -> np.ndarray:
            rng = streams.generator(seed, purpose, epoch)
            if ends is None:
                return rng.permutation(size)
            drawn = np.searchsorted(ends, np.arange(size) + rng.random(), side="right")
            return rng.permutation(np.minimum(drawn, size - 1))

        self._size, self._permutation = size, permutation

    def __call__(self, start: int, stop: int) -> Int64[np.ndarray, "B"]:
        at = np.arange(start, stop)
        epochs = at // self._size
        drawn = [self._permutation(int(e))[at[epochs == e] % self._size] for e in np.unique(epochs)]
        return np.concatenate(drawn) if drawn else at


class _Sampler:
    """Draws ``count`` samples a step from a shuffled stream."""

    def __init__(
        self, samples: Samples, count: int, seed: int, purpose: str, balance: Balance
    ) -> None:
        self._samples, self._count = samples, count
        weight = None if balance is None else balance[samples.row]
        self._stream = _Stream(len(samples), seed, purpose, weight)

    def __call__(self, step: int) -> Samples:
        return self._samples.take(self._stream(step * self._count, (step + 1) * self._count))


@dataclasses.dataclass(frozen=True)
class VisibleRows:
    """Which rows of a step's global batch and meta set are visible; the others are zeros."""

    batch: Bool[np.ndarray, "B"]
    meta: Bool[np.ndarray, "A"]


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """How many samples every step draws, and in what order.

    Attributes:
      batch_size: global batch size, in samples.
      meta_batch_size: meta samples beside each batch, where the training data has a meta set.
      refit_start: the step from which batches are drawn from the meta set too.
      seed: of the order.
      is_update_step: whether a step needs its meta batch; the others get none.
    """

    batch_size: int
    meta_batch_size: int
    refit_start: int
    seed: int
    is_update_step: Callable[[int], bool] = lambda step: True


@dataclasses.dataclass(frozen=True)
class Replay:
    """Older samples, and the share of each batch that comes from them."""

    samples: Samples
    share: float


class BatchSource:
    """Random access to this process's rows of every global batch.

    The global batch is the same for any number of processes: process p of P makes rows
    p·B/P to (p+1)·B/P of it.

    Args:
      training_data: samples to draw from.
      windows: builds the inputs.
      plan: how many samples are drawn, in what order.
      replay: older samples to mix in, or None.
      process: (this process, number of processes).
    """

    def __init__(
        self,
        training_data: TrainingData,
        windows: Windows,
        plan: BatchPlan,
        replay: Replay | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        replayed = 0 if replay is None else round(plan.batch_size * replay.share)
        self._windows, self._process, self._plan = windows, process, plan
        older_rows = [] if replay is None else [replay.samples.row]
        windows.expect(np.concatenate([training_data.all.row, *older_rows]))
        self._weight: Mapping[int, tuple[float, int]] = {}
        balance, seed = windows.balance, plan.seed

        def sampler(samples: Samples | None, count: int, purpose: str) -> _Sampler | None:
            return None if samples is None else _Sampler(samples, count, seed, purpose, balance)

        own = plan.batch_size - replayed
        self._all = _Sampler(training_data.all, own, seed, "batches", balance)
        self._inner = sampler(training_data.inner, own, "batches of the inner training set")
        self._meta = sampler(training_data.meta, plan.meta_batch_size, "batches of the meta set")
        older = replay.samples if replay and replayed else None
        self._replay = sampler(older, replayed, "replay")

    def __len__(self) -> int:
        return 2**31  # endless; grain wants a length

    def __getitem__(self, step: int) -> StepInputs:
        return self.showing(step, None)

    def weighing(self, weight: Mapping[int, tuple[float, int]]) -> "BatchSource":
        """The same samples in the same order, with other weights.

        Args:
          weight: by row of the market, a sample's weight and the first step that it holds for;
            1 if not listed. A sample of weight 0 is still drawn, but all its values are zeros.
        """
        other = copy.copy(self)
        other._weight = weight
        return other

    def starting(self, step: int) -> Iterator[StepInputs]:
        """Step inputs from ``step`` on, built in a background thread."""
        stream = iter(
            grain.MapDataset.source(self).to_iter_dataset(
                grain.ReadOptions(num_threads=1, prefetch_buffer_size=_PREFETCH)
            )
        )
        stream.set_state({"next_index": step})
        return stream

    def drawn(self, step: int) -> tuple[Samples, Samples | None]:
        """The samples of a step's global batch, and of its meta batch, if it has one."""
        inner = self._inner if step < self._plan.refit_start else None
        samples = (inner or self._all)(step)
        if self._replay is not None:
            samples = samples.then(self._replay(step))
        if self._meta is None or not self._plan.is_update_step(step):
            return samples, None
        return samples, self._meta(step)

    def spoilt(self, step: int) -> Bool[np.ndarray, "N"]:
        """Which rows of a step's global batch and then its meta batch have non-finite inputs."""
        all_rows = copy.copy(self)
        all_rows._process = (0, 1)
        step_inputs = all_rows[step]
        parts = [
            np.any(
                [
                    ~np.isfinite(x).reshape(len(x), -1).all(1)
                    for x in jax.tree.leaves(part.inputs)
                    if np.issubdtype(x.dtype, np.inexact)
                ],
                axis=0,
            )
            for part in (step_inputs.batch, step_inputs.meta)
            if part is not None
        ]
        return np.concatenate(parts)

    def showing(self, step: int, shown: VisibleRows | None) -> StepInputs:
        """A step's inputs; rows that are not ``shown`` are zeros."""
        batch, meta = self.drawn(step)
        return StepInputs(
            self._build(step, batch, None if shown is None else shown.batch),
            None
            if meta is None
            else self._build(step, meta, None if shown is None else shown.meta),
        )

    def _build(self, step: int, drawn: Samples, shown: np.ndarray | None) -> Batch:
        index, count = self._process
        size = len(drawn)
        positions = np.arange(index * size // count, (index + 1) * size // count)
        own = drawn.take(positions)
        weight = np.ones(len(own), np.float32)
        if self._weight:
            weights = [self._weight.get(row, (1.0, 0)) for row in own.row.tolist()]
            weight = np.array([w if step >= since else 1.0 for w, since in weights], np.float32)
        if shown is not None:
            weight = weight * shown[positions].astype(np.float32)
        batch = self._windows(own.row, own.targets, weight)
        return batch if weight.all() else self._without_content(batch)

    def _without_content(self, batch: Batch) -> Batch:
        """Zeroes the values of rows with weight 0: 0 times a non-finite value is not 0."""
        hidden = batch.weight == 0

        def zeroed(x: np.ndarray) -> np.ndarray:
            return np.where(hidden.reshape(-1, *(1,) * (x.ndim - 1)), x.dtype.type(0), x)

        return dataclasses.replace(jax.tree.map(zeroed, batch), sample_id=batch.sample_id)


def labelled_batches(samples: Samples, windows: Windows, batch_size: int) -> Iterator[Batch]:
    """Every sample once, in order and with its labels; padding rows at the end have weight 0."""
    windows.expect(samples.row)
    for at, weight in _pages(len(samples), batch_size):
        part = samples.take(at)
        yield windows(part.row, part.targets, weight)


def evaluation_batches(
    rows: np.ndarray, windows: Windows, batch_size: int, hidden: frozenset[str] = frozenset()
) -> Iterator[Batch]:
    """Every row once, in order and without labels; padding rows at the end have weight 0."""
    targets = unlabelled(windows.config.targets, batch_size)
    windows.expect(rows, hidden)
    for at, weight in _pages(len(rows), batch_size):
        yield windows(rows[at], targets, weight, hidden)


def _pages(
    count: int, size: int
) -> Iterator[tuple[Int64[np.ndarray, "B"], Float32[np.ndarray, "B"]]]:
    """Positions 0 to ``count``, ``size`` at a time; padding repeats the last with weight 0."""
    for start in range(0, count, size):
        at = np.arange(start, start + size)
        yield np.minimum(at, count - 1), (at < count).astype(np.float32)
