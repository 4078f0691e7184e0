"""Detects that the training loss has rebounded, and restores the best state.

Once a window, after the next step was dispatched, the host reads the median of the window's losses
and its standard error. The rise over the best window is measured in standard errors.
"""

import bisect
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fusionjax.config import GuardConfig
from fusionjax.train import guards
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.state import TrainState

# The standard error of the median of n normal values is 1.2533 σ / √n, and σ is 1.4826 median
# absolute deviations.
_ERROR = 1.2533 * 1.4826
_RECENT = 10  # windows whose median standard error is the typical one


@dataclasses.dataclass(frozen=True)
class LossWindow:
    """The median loss of the window that ends at a step."""

    step: int
    loss: float  # median
    error: float  # its standard error

    @staticmethod
    def of(step: int, losses: np.ndarray) -> "LossWindow":
        median = float(np.median(losses))
        deviation = float(np.median(np.abs(losses - median)))
        return LossWindow(step, median, _ERROR * deviation / math.sqrt(len(losses)))

    def above(self, other: "LossWindow", least_error: float = 0.0) -> float:
        """How many standard errors this loss is above another.

        Args:
          other: an earlier window.
          least_error: lower bound of both standard errors, as those of few losses are noisy.
        """
        noise = math.hypot(max(self.error, least_error), max(other.error, least_error))
        return (self.loss - other.loss) / max(noise, 1e-6 * abs(other.loss), 1e-12)


@dataclasses.dataclass(frozen=True)
class GuardDecision:
    """What to do after a window.

    Attributes:
      halted: a step was non-finite; updates are suspended.
      state: to restore, if the loss has rebounded and a rollback is left.
      seen: the window, if its loss has rebounded.
      best: the window that it was compared with.
    """

    halted: bool = False
    state: TrainState | None = None
    seen: LossWindow | None = None
    best: LossWindow | None = None

    @property
    def acts(self) -> bool:
        """Whether there is anything to do."""
        return self.halted or self.seen is not None


@dataclasses.dataclass
class History:
    """The history of a run's losses, over all its restarts; stored as JSON in its checkpoints."""

    looks: list[LossWindow] = dataclasses.field(default_factory=list)
    best: LossWindow | None = None  # ``step`` is that of the best state
    pending: int | None = None  # step of the state that the next window will rate
    rollbacks: int = 0

    def usual_error(self) -> float:
        """Median standard error of the last windows."""
        return float(
            np.median([look.error for look in self.looks[-_RECENT:] or [LossWindow(0, 0, 0)]])
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "History":
        looks, best = [LossWindow(**x) for x in raw["looks"]], raw["best"]
        return History(looks, best and LossWindow(**best), raw["pending"], raw["rollbacks"])


class Rebound:
    """Keeps the best state and restores it.

    Small states are copied on the devices every window, and into the checkpoints, so that a resumed
    run has them; of large ones the best checkpoint is kept. A state is rated by the loss of the
    updates after it, so a state spoiled by its last update is never the best.

    Args:
      guard: thresholds of the run.
      like: shapes and shardings of its state.
      loss_changes: steps at which the meaning of the loss changes; losses before and after one are
        never compared.
      checkpoints: of the run; None keeps no large state.
    """

    def __init__(
        self,
        guard: GuardConfig,
        like: TrainState,
        loss_changes: list[int],
        checkpoints: Checkpoints | None,
    ) -> None:
        self._guard, self._loss_changes, self._checkpoints = guard, loss_changes, checkpoints
        self.history = History()
        shares = (math.prod(x.sharding.shard_shape(x.shape)) for x in jax.tree.leaves(like))
        size = sum(n * x.dtype.itemsize for n, x in zip(shares, jax.tree.leaves(like), strict=True))
        self.in_memory = size <= guard.memory_bytes
        self.copies: dict[str, TrainState] = {}  # "best" and "pending", in memory
        self._snapshot: tuple[int, tuple[Any, list], TrainState | None] | None = None
        self._like = like
        split = jax.tree.map(lambda x: x.sharding, like)
        self._copy = jax.jit(lambda s: jax.tree.map(jnp.copy, s), out_shardings=split)
        self._restore = jax.jit(self._restored, static_argnums=2, out_shardings=split)
        self._free = jax.jit(self._freed, donate_argnums=0, out_shardings=split)

    def resume(self, history: dict[str, Any], copies: dict[str, TrainState]) -> None:
        """Continues from a checkpoint's history and copies."""
        self.history, self.copies = History.from_json(history), copies
        if self.in_memory and "best" not in copies:
            self.history.best = None
        if self.in_memory and "pending" not in copies:
            self.history.pending = None
        self._protect()

    def hold(self, done: int, state: TrainState) -> None:
        """Stores this step's window on the device; the next ``look`` reads it."""
        if self._guard.window and done % self._guard.window == 0:
            now = jax.tree.map(jnp.copy, (state.guard, guards.counters(state)))
            self._snapshot = done, now, self._copy(state) if self.in_memory else None

    def rewind(self) -> None:
        """Drops the stored window, which belongs to a step that was undone."""
        self._snapshot = None

    def saves(self, step: int) -> None:
        """A checkpoint is about to be written; a large state in it is rated by a later window.

        An earlier one that is not rated yet has priority: windows may be longer than the interval
        between checkpoints.
        """
        if not self.in_memory and self.history.pending is None:
            self.history.pending = step
            self._protect()

    def modalities_selected(self, step: int, state: TrainState) -> None:
        """Modalities were selected: earlier states cannot be restored; losses are compared anew."""
        self._clear()
        self._snapshot = None
        if self._guard.window and self.in_memory:
            self.history.best = LossWindow(step, math.inf, 0.0)
            self.copies["best"] = self._copy(state)

    def to_checkpoint(self) -> tuple[dict[str, Any], dict[str, TrainState]]:
        """The history and the copies that a checkpoint stores beside the state."""
        return self.history.to_json(), dict(self.copies)

    def look(self) -> GuardDecision:
        """Reads the stored window, if any, and decides what to do."""
        if self._snapshot is None:
            return GuardDecision()
        (step, now, copy), self._snapshot = self._snapshot, None
        guard, window, h = now[0], self._guard.window, self.history
        losses, count, halted = jax.device_get((guard.losses, guard.count, guard.halted))
        if halted or count < window:
            return GuardDecision(halted=bool(halted))
        seen, phase = LossWindow.of(step, losses), self._phase(step - 1)
        h.looks.append(seen)
        if h.best and self._phase(h.best.step) != phase:
            self._clear()
        if self._phase(step - window) != phase:
            h.pending = None
            self.copies.pop("pending", None)
            self._protect()
            return GuardDecision()
        best, error = h.best, h.usual_error()
        if best and self._guard.loss_zscore and seen.above(best, error) > self._guard.loss_zscore:
            state = self.back(now)
            if state is None:
                h.best = None  # reported once, not at every later window
            return GuardDecision(state=state, seen=seen, best=best)
        if h.pending is not None and h.pending <= step - window:
            if best is None or seen.loss < best.loss:
                h.best = dataclasses.replace(seen, step=h.pending)
                if self.in_memory:
                    self.copies["best"] = self.copies["pending"]
            h.pending = None
        if copy is not None:
            h.pending, self.copies["pending"] = step, copy
        self._protect()
        return GuardDecision()

    def back(self, now: tuple[Any, list]) -> TrainState | None:
        """The best state with the present counters and a lower learning rate; None if none is left.

        The steps since are not repeated, so the batches that spoiled the state are not either.

        Args:
          now: the present guard, and the counters as ``guards.counters`` returns them.
        """
        h = self.history
        if h.best is None or h.rollbacks >= self._guard.max_rollbacks:
            return None
        best = self.copies["best"] if self.in_memory else self._from_disk(h.best.step)
        if best is None:
            return None
        h.rollbacks, h.pending = h.rollbacks + 1, None
        return self._restore(best, now, self._guard.lr_backoff)

    def _from_disk(self, step: int) -> TrainState | None:
        assert self._checkpoints is not None, "only checkpoints keep large states"
        return self._checkpoints.restored(step, self._like)

    def freed(self, state: TrainState) -> TrainState:
        """A halted state with updates allowed again."""
        return self._free(state)

    @staticmethod
    def _restored(best: TrainState, now: tuple[Any, list], rate: float) -> TrainState:
        guard, counters = now
        state = guards.with_counters(best, counters)
        return dataclasses.replace(state, guard=guards.after_rollback(guard, rate))

    @staticmethod
    def _freed(state: TrainState) -> TrainState:
        free = dataclasses.replace(state.guard, halted=jnp.zeros((), bool))
        return dataclasses.replace(state, guard=free)

    def _phase(self, step: int) -> int:
        return bisect.bisect_right(self._loss_changes, step)

    def _clear(self) -> None:
        self.history.best = self.history.pending = None
        self.copies = {}
        self._protect()

    def _protect(self) -> None:
        """Names the checkpoints that must not be deleted."""
        if self._checkpoints is not None and not self.in_memory:
            h = self.history
            steps = h.pending, h.best.step if h.best else None
            self._checkpoints.protected = {step for step in steps if step is not None}
